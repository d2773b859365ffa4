"""The estimate itself: tokens, USD and hours of a plan as expected, in a range and at worst.

Enters: a plan's cells, the sizes of its prompts, and what recorded trials taught. Leaves: an
``Estimate``. The range is the 5th to 95th percentile of the total over 2,000 resamples, in which
both what is known of a model (its recorded trials) and the trials to come are drawn anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finrag_eval.domain import Cell, ExecutionSpec, ModelConfig, Prices, RateLimit
from finrag_eval.estimate import priors
from finrag_eval.estimate.history import History, Lessons
from finrag_eval.estimate.prompt_sizes import PromptSizes
from finrag_eval.money import exact_sum, worst_case_usd

Floats = NDArray[np.float64]

RESAMPLES = 2_000
_SEED = 7_051
_FEWEST_LESSONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """An expected figure with its 5th and 95th percentile."""

    expected: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        return {"expected": self.expected, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """What is left to do of one cell: trials to send, and those that are recorded already."""

    cell: Cell
    trials: int
    recorded: int
    judges: tuple[ModelConfig, ...] = ()
    output_burndown: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEstimate:
    """One cell: tokens, USD and the time that one call takes; ``fitted_on`` says from what."""

    cell: str
    model_key: str
    trials: int
    recorded: int
    input_tokens: Range
    output_tokens: Range
    usd: Range
    worst_usd: Decimal
    latency_seconds: float
    fitted_on: str
    cost_basis: str

    def as_json(self) -> dict[str, Any]:
        """The cell as one JSON object."""
        return {
            "cell": self.cell,
            "model_key": self.model_key,
            "trials": self.trials,
            "recorded": self.recorded,
            "input_tokens": self.input_tokens.as_json(),
            "output_tokens": self.output_tokens.as_json(),
            "usd": self.usd.as_json() | {"worst": float(self.worst_usd)},
            "latency_seconds": self.latency_seconds,
            "fitted_on": self.fitted_on,
            "cost_basis": self.cost_basis,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The whole plan: USD, seconds, what binds, and what the cap covers."""

    cells: tuple[CellEstimate, ...]
    usd: Range
    worst_usd: Decimal
    seconds: float
    seconds_without_limits: float
    binds: str
    max_usd: Decimal | None
    covered_expected: int | None
    covered_worst: int | None
    measured_share: float

    def as_json(self) -> dict[str, Any]:
        """The estimate as one JSON document."""
        return {
            "cells": [cell.as_json() for cell in self.cells],
            "usd": self.usd.as_json() | {"worst": float(self.worst_usd)},
            "seconds": self.seconds,
            "seconds_without_limits": self.seconds_without_limits,
            "binds": self.binds,
            "budget": {
                "max_usd": None if self.max_usd is None else float(self.max_usd),
                "covers_expected": None
                if self.max_usd is None
                else self.usd.expected <= float(self.max_usd),
                "covers_worst": None if self.max_usd is None else self.worst_usd <= self.max_usd,
                "trials_covered_expected": self.covered_expected,
                "trials_covered_worst": self.covered_worst,
            },
            "measured_share_of_queries": self.measured_share,
        }


def estimate_plan(
    todo: Sequence[Todo],
    sizes: PromptSizes,
    history: History,
    execution: ExecutionSpec,
    limits: Mapping[str, RateLimit],
    max_usd: Decimal | None,
) -> Estimate:
    """The estimate of what is left to do."""
    random = np.random.default_rng(_SEED)
    draws = [_draw(one, sizes, history, random) for one in todo]
    cells = tuple(drawn.estimate for drawn in draws)
    totals = np.sum([drawn.usd for drawn in draws], axis=0) if draws else np.zeros(RESAMPLES)
    expected = math.fsum(cell.usd.expected for cell in cells)
    seconds_free, seconds, binds = _time(todo, cells, execution, limits)
    worst = exact_sum(cell.worst_usd for cell in cells)
    return Estimate(
        cells=cells,
        usd=_range(totals, expected),
        worst_usd=worst,
        seconds=seconds,
        seconds_without_limits=seconds_free,
        binds=binds,
        max_usd=max_usd,
        covered_expected=_covered(cells, max_usd, expected),
        covered_worst=_covered(cells, max_usd, float(worst)),
        measured_share=sizes.share,
    )


def with_price_factor(model: ModelConfig, factor: Decimal) -> ModelConfig:
    """The model with all of its prices multiplied: for what-if questions."""

    def times(prices: Prices) -> Prices:
        known = {name: getattr(prices, name) for name in prices.__slots__}
        return replace(
            prices, **{name: price * factor for name, price in known.items() if price is not None}
        )

    return replace(
        model,
        prices=times(model.prices),
        length_tiers=tuple(replace(tier, prices=times(tier.prices)) for tier in model.length_tiers),
        tier_prices={name: times(prices) for name, prices in model.tier_prices.items()},
    )


@dataclass(frozen=True, slots=True)
class _Drawn:
    estimate: CellEstimate
    usd: Floats


def _draw(
    one: Todo,
    sizes: PromptSizes,
    history: History,
    random: np.random.Generator,
) -> _Drawn:
    """One cell's expectation, and 2,000 totals of it."""
    model = one.cell.model
    chars, size_bytes = sizes.of(one.cell.prompts.version.label)
    outputs, ratios, latency, fitted_on = _knowledge(one.cell, history)
    in_price, out_price = (
        float(price) / 1000
        for price in (model.prices.cost_per_1k_input, model.prices.cost_per_1k_output)
    )
    mean_chars = float(chars.mean()) if chars.size else 0.0
    inputs = _input_totals(one.trials, chars.astype(float), ratios, random)
    output = _sample_totals(one.trials, outputs, random)
    judge_mean, judge = _judge_totals(one, float(outputs.mean()), random)
    usd = inputs * in_price + output * out_price + judge
    expected_in = one.trials * mean_chars * float(ratios.mean())
    expected_out = one.trials * float(outputs.mean())
    expected = expected_in * in_price + expected_out * out_price + judge_mean
    return _Drawn(
        estimate=CellEstimate(
            cell=one.cell.name,
            model_key=model.key,
            trials=one.trials,
            recorded=one.recorded,
            input_tokens=_range(inputs, expected_in),
            output_tokens=_range(output, expected_out),
            usd=_range(usd, expected),
            worst_usd=_worst(one, size_bytes),
            latency_seconds=latency,
            fitted_on=fitted_on,
            cost_basis=model.cost_basis,
        ),
        usd=usd,
    )


def _knowledge(cell: Cell, history: History) -> tuple[Floats, Floats, float, str]:
    """Output lengths, tokens per character, seconds a call, and what they were fitted on.

    Output lengths of the same cell where at least ten of its answers are recorded, else of the
    same model, else the prior; tokens per character by model.
    """
    of_cell = history.cells.get(cell.digest, Lessons())
    of_model = history.models.get(cell.model.model_id, Lessons())
    chosen = of_cell if len(of_cell) >= _FEWEST_LESSONS else of_model
    if len(chosen) < _FEWEST_LESSONS:
        outputs = priors.output_samples(cell.model.max_tokens)
        latency = priors.LATENCY_SECONDS + priors.LATENCY_SECONDS_PER_OUTPUT_TOKEN * float(
            outputs.mean()
        )
        return outputs, np.array([priors.TOKENS_PER_CHAR]), latency, "prior, no recorded trials"
    word = "this cell" if chosen is of_cell else "this model"
    seconds = np.asarray(chosen.latency_seconds or of_model.latency_seconds, dtype=float)
    return (
        np.asarray(chosen.output_tokens, dtype=float),
        np.asarray(chosen.tokens_per_char, dtype=float),
        float(seconds.mean()) if seconds.size else priors.LATENCY_SECONDS,
        f"{len(chosen)} recorded trials of {word}",
    )


def _input_totals(
    trials: int, chars: Floats, ratios: Floats, random: np.random.Generator
) -> Floats:
    """2,000 totals of prompt tokens: the factor drawn anew, and single prompts astray of it."""
    if ratios.size < 2:
        factor = random.normal(ratios.mean(), priors.TOKENS_PER_CHAR_SPREAD, RESAMPLES)
        factor = np.maximum(factor, 0.2 * ratios.mean())
        stray = 0.1 * float(ratios.mean())
    else:
        factor = _bootstrap_means(ratios, random)
        stray = float(ratios.std(ddof=1))
    repeats = trials / max(1, chars.size)
    noise = random.standard_normal(RESAMPLES) * stray * math.sqrt(repeats * float(chars @ chars))
    totals: Floats = factor * chars.sum() * repeats + noise
    return np.maximum(totals, 0.0)


def _sample_totals(trials: int, seen: Floats, random: np.random.Generator) -> Floats:
    """2,000 totals of as many draws as there are trials, from resampled recordings."""
    means = _bootstrap_means(seen, random)
    spread = float(seen.std(ddof=1)) * math.sqrt(trials)
    return np.maximum(means * trials + random.standard_normal(RESAMPLES) * spread, 0.0)


def _bootstrap_means(seen: Floats, random: np.random.Generator) -> Floats:
    """Means of 2,000 resamples; a small sample's spread is widened by n/(n-1)."""
    means = random.choice(seen, size=(RESAMPLES, seen.size)).mean(axis=1)
    centre = float(seen.mean())
    widened: Floats = centre + (means - centre) * math.sqrt(seen.size / max(1, seen.size - 1))
    return widened


def _judge_totals(
    one: Todo, output_tokens: float, random: np.random.Generator
) -> tuple[float, Floats]:
    """USD of the judges' calls: expected, and 2,000 totals with a fifth of spread."""
    mean = 0.0
    for judge in one.judges:
        reads = priors.JUDGE_INPUT_TOKENS + output_tokens
        writes = min(priors.JUDGE_OUTPUT_TOKENS, judge.max_tokens)
        a_call = reads * float(judge.prices.cost_per_1k_input) / 1000
        a_call += writes * float(judge.prices.cost_per_1k_output) / 1000
        mean += one.trials * a_call
    return mean, mean * np.maximum(0.0, random.normal(1.0, 0.2, RESAMPLES))


def _worst(one: Todo, size_bytes: NDArray[np.int64]) -> Decimal:
    """The sum of the reservations that the trials would make, one attempt each."""
    model, trials = one.cell.model, one.trials
    if size_bytes.size == 0 or trials == 0:
        return Decimal(0)
    sizes, counts = np.unique(size_bytes, return_counts=True)
    whole = exact_sum(
        worst_case_usd(model, int(size)) * int(count)
        for size, count in zip(sizes, counts, strict=True)
    )
    own = whole * trials / int(size_bytes.size)
    judge_bytes = int(4 * (priors.JUDGE_INPUT_TOKENS + model.max_tokens))
    return own + exact_sum(worst_case_usd(judge, judge_bytes) * trials for judge in one.judges)


def _time(
    todo: Sequence[Todo],
    cells: Sequence[CellEstimate],
    execution: ExecutionSpec,
    limits: Mapping[str, RateLimit],
) -> tuple[float, float, str]:
    """Seconds without limits, seconds with them, and what binds (METHODS)."""
    free = math.fsum(cell.trials * cell.latency_seconds for cell in cells) / execution.concurrency
    if any(cell.trials for cell in cells):
        free = max(free, max(cell.latency_seconds for cell in cells if cell.trials))
    slowest, binds = free, f"concurrency {execution.concurrency}"
    for model_key, limit in limits.items():
        own = [
            (cell, one.output_burndown)
            for cell, one in zip(cells, todo, strict=True)
            if cell.model_key == model_key
        ]
        calls = sum(cell.trials for cell, _ in own)
        tokens = math.fsum(
            cell.input_tokens.expected + burndown * cell.output_tokens.expected
            for cell, burndown in own
        )
        for name, amount, rate in (("rpm", calls, limit.rpm), ("tpm", tokens, limit.tpm)):
            if rate and 60 * amount / rate > slowest:
                slowest, binds = 60 * amount / rate, f"{name} of {model_key}"
    return free, slowest, binds


def _covered(cells: Sequence[CellEstimate], max_usd: Decimal | None, total: float) -> int | None:
    """How many trials a cap covers when each costs the same share of the total."""
    if max_usd is None:
        return None
    trials = sum(cell.trials for cell in cells)
    if total <= float(max_usd):
        return trials
    return int(trials * float(max_usd) / total)


def _range(totals: Floats, expected: float) -> Range:
    low, high = np.quantile(totals, [0.05, 0.95])
    return Range(expected=expected, low=float(low), high=float(high))

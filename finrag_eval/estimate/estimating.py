"""The estimate itself: tokens, USD and hours of a plan as expected, in a range and at worst.

Enters: a plan's cells, the sizes of its prompts, and what recorded trials taught. Leaves: an
``Estimate``. The range is the 5th to 95th percentile of the total over 2,000 resamples, in which
both what is known of a model (``knowledge``) and the trials to come are drawn anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finrag_eval.domain import Cell, ExecutionSpec, ModelConfig, Prices, RateLimit
from finrag_eval.estimate import priors
from finrag_eval.estimate.duration import Load, duration
from finrag_eval.estimate.history import History
from finrag_eval.estimate.knowledge import RESAMPLES, Beliefs, Knowledge
from finrag_eval.estimate.prompt_sizes import PromptSizes
from finrag_eval.money import exact_sum, prices_for, worst_case_usd

Floats = NDArray[np.float64]

_SEED = 7_051


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
    """What is left to do of one cell: trials to send, and those that are recorded already.

    ``target`` is what answers, as the spec names it.
    """

    cell: Cell
    target: str
    trials: int
    recorded: int
    judges: tuple[ModelConfig, ...] = ()
    output_burndown: float = 1.0
    judge_burndowns: Mapping[str, float] = field(default_factory=dict)
    repeats: int = 1


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
    retrieval_usd: Decimal
    retrieval_worst_usd: Decimal
    max_usd: Decimal | None
    covered_expected: int | None
    covered_worst: int | None
    measured_share: float

    def as_json(self) -> dict[str, Any]:
        """The estimate as one JSON document."""
        return {
            "cells": [cell.as_json() for cell in self.cells],
            "usd": self.usd.as_json() | {"worst": float(self.worst_usd)},
            "retrieval_usd": {
                "expected": float(self.retrieval_usd),
                "worst": float(self.retrieval_worst_usd),
            },
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
    counted: Mapping[str, Floats] | None = None,
    retrieval_usd: tuple[Decimal, Decimal] = (Decimal(0), Decimal(0)),
) -> Estimate:
    """The estimate of what is left to do.

    ``counted`` are the true prompt tokens of every measured query, by cell, where they are known;
    ``retrieval_usd`` is what gathering the contexts costs as expected, and at worst.
    """
    random = np.random.default_rng(_SEED)
    beliefs = Beliefs(history, random)
    exact = counted or {}
    draws = [_draw(one, sizes, beliefs, exact.get(one.cell.name), random) for one in todo]
    cells = tuple(drawn.estimate for drawn in draws)
    totals = np.sum([drawn.usd for drawn in draws], axis=0) if draws else np.zeros(RESAMPLES)
    gathering, gathering_worst = retrieval_usd
    totals = totals + float(gathering)
    expected = math.fsum([float(gathering), *(cell.usd.expected for cell in cells)])
    takes = duration(_answers(todo, cells), _judging(todo, cells), execution, limits)
    worst = exact_sum([gathering_worst, *(cell.worst_usd for cell in cells)])
    return Estimate(
        cells=cells,
        usd=_range(totals, expected),
        worst_usd=worst,
        seconds=takes.limited,
        seconds_without_limits=takes.free,
        binds=takes.binds,
        retrieval_usd=gathering,
        retrieval_worst_usd=gathering_worst,
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
    beliefs: Beliefs,
    counted: Floats | None,
    random: np.random.Generator,
) -> _Drawn:
    """One cell's expectation, and 2,000 totals of it."""
    chars, size_bytes = sizes.of(one.cell.prompts.version.label)
    known = beliefs.of(one.cell, one.target)
    if counted is None:
        mean_tokens = known.factor * (float(chars.mean()) if chars.size else 0.0)
        inputs = _input_totals(one.trials, chars.astype(float), known, random)
    else:
        mean_tokens = float(counted.mean()) if counted.size else 0.0
        inputs = np.full(RESAMPLES, one.trials * mean_tokens)
    in_price, out_price = _prices(one, known, mean_tokens)
    output = _output_totals(one.trials, known, random)
    judge_mean, judge = _judge_totals(one, known.output, random)
    usd = inputs * in_price + output * out_price + judge
    expected_in = one.trials * mean_tokens
    expected_out = one.trials * known.output
    expected = expected_in * in_price + expected_out * out_price + judge_mean
    return _Drawn(
        estimate=CellEstimate(
            cell=one.cell.name,
            model_key=one.cell.model.key,
            trials=one.trials,
            recorded=one.recorded,
            input_tokens=_range(inputs, expected_in),
            output_tokens=_range(output, expected_out),
            usd=_range(usd, expected),
            worst_usd=_worst(one, size_bytes),
            latency_seconds=known.latency_seconds,
            fitted_on=known.fitted_on + ("" if counted is None else "; prompts by CountTokens"),
            cost_basis=one.cell.model.cost_basis,
        ),
        usd=usd,
    )


def _prices(one: Todo, known: Knowledge, mean_tokens: float) -> tuple[float, float]:
    """USD of a prompt token, as many of them as usual being cached, and of an output token.

    The prices are those of the asked service tier, else of the length tier of a usual prompt.
    """
    model = one.cell.model
    asked = model.settings.get("service_tier")
    tier = None if asked is None else str(asked)
    prices = prices_for(model, round(mean_tokens), service_tier=tier)
    plain = float(prices.cost_per_1k_input)
    read = plain if prices.cost_per_1k_cache_read is None else float(prices.cost_per_1k_cache_read)
    long = str(model.settings.get("cache_ttl")) == "1h" and prices.cost_per_1k_cache_write_1h
    writing = long or prices.cost_per_1k_cache_write
    write = plain if writing is None else float(writing)
    reads, writes = _cache_shares(one, known, mean_tokens)
    prompt = plain * (1 - reads - writes) + read * reads + write * writes
    return prompt / 1000, float(prices.cost_per_1k_output) / 1000


def _cache_shares(one: Todo, known: Knowledge, mean_tokens: float) -> tuple[float, float]:
    """Shares of the prompt's tokens that are read from a cache, and written to one.

    Where nothing was recorded, each question writes its context once and its repeats read it.
    """
    if known.cache_reads is not None and known.cache_writes is not None:
        return known.cache_reads, known.cache_writes
    marks = one.cell.model.settings.get("cache_point")
    if not marks or mean_tokens < priors.FEWEST_CACHED_TOKENS:
        return 0.0, 0.0
    share = priors.CACHED_SHARE
    return share * (one.repeats - 1) / one.repeats, share / one.repeats


def _input_totals(
    trials: int, chars: Floats, known: Knowledge, random: np.random.Generator
) -> Floats:
    """2,000 totals of prompt tokens: the factor drawn anew, and single prompts astray of it."""
    repeats = trials / max(1, chars.size)
    stray = known.factor_spread * math.sqrt(repeats * float(chars @ chars))
    noise = random.standard_normal(RESAMPLES) * stray
    totals: Floats = known.factor_means * chars.sum() * repeats + noise
    return np.maximum(totals, 0.0)


def _output_totals(trials: int, known: Knowledge, random: np.random.Generator) -> Floats:
    """2,000 totals of the answers' tokens: their mean drawn anew, and single answers astray."""
    relative = known.output_means / max(known.output, 1e-9)
    noise = random.standard_normal(RESAMPLES) * known.output_spread * math.sqrt(trials)
    return np.maximum(known.output_means * trials + noise * relative, 0.0)


def _judge_totals(
    one: Todo, output_tokens: float, random: np.random.Generator
) -> tuple[float, Floats]:
    """USD of the judges' calls: expected, and 2,000 totals with a fifth of spread."""
    mean = 0.0
    for judge in one.judges:
        reads, writes = _judge_tokens(judge, output_tokens)
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


def _answers(todo: Sequence[Todo], cells: Sequence[CellEstimate]) -> list[Load]:
    """The calls that answer, by cell; a quota may count a token of output several times."""
    return [
        Load(
            model_key=cell.model_key,
            calls=cell.trials,
            tokens=cell.input_tokens.expected + one.output_burndown * cell.output_tokens.expected,
            seconds=cell.latency_seconds,
        )
        for cell, one in zip(cells, todo, strict=True)
    ]


def _judging(todo: Sequence[Todo], cells: Sequence[CellEstimate]) -> list[Load]:
    """The judges' calls, a load for each judge of each cell."""
    loads = []
    for cell, one in zip(cells, todo, strict=True):
        answer = cell.output_tokens.expected / max(1, cell.trials)
        for judge in one.judges:
            reads, writes = _judge_tokens(judge, answer)
            prior = priors.of_provider(judge.provider)
            loads.append(
                Load(
                    model_key=judge.key,
                    calls=cell.trials,
                    tokens=cell.trials * (reads + one.judge_burndowns.get(judge.key, 1.0) * writes),
                    seconds=prior.latency_seconds(writes),
                )
            )
    return loads


def _judge_tokens(judge: ModelConfig, output_tokens: float) -> tuple[float, float]:
    """What one judge's call reads of an answer of that length, and what it writes."""
    writes = min(priors.JUDGE_OUTPUT_TOKENS, float(judge.max_tokens))
    return priors.JUDGE_INPUT_TOKENS + output_tokens, writes


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

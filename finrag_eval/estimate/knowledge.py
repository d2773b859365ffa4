"""What is believed of a cell before it runs: token factors, answer lengths, seconds, and the doubt.

Enters: recorded lessons, or a prior where there are none. Leaves: ``Knowledge`` of a cell. Cells
that rest on the same lessons, or on the same prior, share its doubt: if answers are twice as long
as believed, they are so in all of them, and a total's range must say that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from finrag_eval.domain import BUILT_IN_TARGET, Cell
from finrag_eval.estimate import priors
from finrag_eval.estimate.history import History, Lessons

Floats = NDArray[np.float64]

RESAMPLES = 2_000
_FEWEST_LESSONS = 10
#: How far a cell may lie from other cells of its model: one standard deviation of the logarithm.
_OTHER_CELL_OUTPUT = 0.25
_OTHER_CELL_FACTOR = 0.03
#: How far the next sweep may lie from those recorded, since its questions are others: the same. All
#: cells share it. Without it, 84 of 100 seeded sweeps were inside their range, with it more than 90
#: (benchmarks/estimate_law.py).
_NEXT_SWEEP_OUTPUT = 0.05
_NEXT_SWEEP_FACTOR = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """One cell's prompt tokens per character, output tokens and seconds a call.

    ``factor_means`` and ``output_means`` are 2,000 draws of what the true means may be;
    ``factor_spread`` and ``output_spread`` how far single trials lie from them (one standard
    deviation, of which the latter grows with the mean). ``cache_reads`` and ``cache_writes`` are
    shares of the prompt's tokens, None where nothing was recorded.
    """

    factor: float
    factor_spread: float
    factor_means: Floats
    output: float
    output_spread: float
    output_means: Floats
    latency_seconds: float
    fitted_on: str
    cache_reads: float | None = None
    cache_writes: float | None = None


class Beliefs:
    """What a history and the priors say of cells; ``of`` gives a cell's."""

    def __init__(self, history: History, random: np.random.Generator) -> None:
        self._history, self._random = history, random
        self._drawn: dict[tuple[str, ...], Floats] = {}

    def of(self, cell: Cell, target: str) -> Knowledge:
        """Lessons of the cell itself where there are ten, else of its model, else the prior."""
        of_cell = self._history.cells.get(cell.digest, Lessons())
        if len(of_cell) >= _FEWEST_LESSONS:
            return self._recorded(("cell", cell.digest), of_cell, "this cell")
        key = lessons_key(cell.model.model_id, target)
        of_model = self._history.models.get(key, Lessons())
        if len(of_model) >= _FEWEST_LESSONS:
            known = self._recorded(("model", key), of_model, "this model")
            return _of_another_cell(known, self._random)
        return self._believed(cell)

    def _recorded(self, source: tuple[str, ...], lessons: Lessons, whose: str) -> Knowledge:
        factors = np.asarray(lessons.tokens_per_char, dtype=float)
        outputs = np.asarray(lessons.output_tokens, dtype=float)
        seconds = np.asarray(lessons.latency_seconds, dtype=float)
        means = (
            self._once((*source, "factor"), lambda: self._bootstrap(factors)),
            self._once((*source, "output"), lambda: self._bootstrap(outputs)),
        )
        return Knowledge(
            factor=float(factors.mean()),
            factor_spread=float(factors.std(ddof=1)),
            factor_means=means[0] * np.exp(self._normal("next factor") * _NEXT_SWEEP_FACTOR),
            output=float(outputs.mean()),
            output_spread=float(outputs.std(ddof=1)),
            output_means=means[1] * np.exp(self._normal("next output") * _NEXT_SWEEP_OUTPUT),
            latency_seconds=float(seconds.mean()) if seconds.size else priors.LATENCY_SECONDS,
            fitted_on=f"{len(lessons)} recorded trials of {whose}",
            cache_reads=_mean(lessons.cache_reads),
            cache_writes=_mean(lessons.cache_writes),
        )

    def _believed(self, cell: Cell) -> Knowledge:
        """The prior: all models share the doubt about the questions, each has one of its own."""
        model = cell.model
        prior = priors.of_provider(model.provider)
        lengths = np.minimum(prior.output_samples(), model.max_tokens)
        mean = float(lengths.mean())
        doubt = self._normal("questions") * priors.OUTPUT_DOUBT_OF_QUESTIONS
        doubt = doubt + self._normal("model", model.model_id) * priors.OUTPUT_DOUBT_OF_MODEL
        spread = prior.factor_doubt * self._normal("factor", model.model_id)
        return Knowledge(
            factor=prior.tokens_per_char,
            factor_spread=0.1 * prior.tokens_per_char,
            factor_means=np.maximum(prior.tokens_per_char + spread, 0.05),
            output=mean,
            output_spread=float(lengths.std(ddof=1)),
            output_means=np.minimum(mean * np.exp(doubt), model.max_tokens),
            latency_seconds=prior.latency_seconds(mean),
            fitted_on="prior, no recorded trials",
        )

    def _normal(self, *source: str) -> Floats:
        return self._once(("prior", *source), lambda: self._random.standard_normal(RESAMPLES))

    def _once(self, source: tuple[str, ...], draw: Callable[[], Floats]) -> Floats:
        if source not in self._drawn:
            self._drawn[source] = draw()
        return self._drawn[source]

    def _bootstrap(self, seen: Floats) -> Floats:
        """Means of 2,000 resamples; a small sample's spread is widened by n/(n-1)."""
        means = self._random.choice(seen, size=(RESAMPLES, seen.size)).mean(axis=1)
        centre = float(seen.mean())
        widened: Floats = centre + (means - centre) * math.sqrt(seen.size / max(1, seen.size - 1))
        return widened


def lessons_key(model_id: str, target: str) -> str:
    """What a model's lessons are kept under: another pipeline asks it for other answers."""
    return model_id if target == BUILT_IN_TARGET else f"{model_id} by {target}"


def _of_another_cell(known: Knowledge, random: np.random.Generator) -> Knowledge:
    """The model's lessons for a cell without any: other prompts, other lengths of answers."""
    output = np.exp(random.standard_normal(RESAMPLES) * _OTHER_CELL_OUTPUT)
    factor = np.exp(random.standard_normal(RESAMPLES) * _OTHER_CELL_FACTOR)
    return replace(
        known,
        factor_means=known.factor_means * factor,
        output_means=known.output_means * output,
    )


def _mean(shares: object) -> float | None:
    values = np.asarray(shares, dtype=float)
    return float(values.mean()) if values.size else None

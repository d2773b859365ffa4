"""What recorded trials teach: tokens per character, output lengths, latencies; and how earlier
estimates did against the truth.

Kept as ``calibration.json`` in the results folder: the newest trials of every model and cell, a
line per finished sweep, and the spreads of its comparisons. It can be deleted at any time; the next
sweep begins it anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from finrag_eval.results import replacing

FILE_NAME = "calibration.json"
_VERSION = 1
_KEPT_TRIALS = 400
_KEPT_SWEEPS = 200
_KEPT_SPREADS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One recorded answer: characters of its prompt, and what came of it.

    ``prompt_tokens`` counts those read from a cache and written to one, too.
    """

    prompt_chars: int
    prompt_tokens: int
    output_tokens: int
    latency_seconds: float | None
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """The recorded answers of one model or cell, newest last; cache shares of prompt tokens."""

    tokens_per_char: Sequence[float] = ()
    output_tokens: Sequence[float] = ()
    latency_seconds: Sequence[float] = ()
    cache_reads: Sequence[float] = ()
    cache_writes: Sequence[float] = ()

    def __len__(self) -> int:
        return len(self.output_tokens)

    def with_more(self, more: Iterable[Observed]) -> Lessons:
        """These and newer answers, of which the newest 400 are kept."""
        answers = [one for one in more if one.prompt_chars > 0]
        latencies = [one.latency_seconds for one in answers if one.latency_seconds is not None]
        return Lessons(
            tokens_per_char=_newest(
                self.tokens_per_char, [one.prompt_tokens / one.prompt_chars for one in answers]
            ),
            output_tokens=_newest(self.output_tokens, [one.output_tokens for one in answers]),
            latency_seconds=_newest(self.latency_seconds, latencies),
            cache_reads=_newest(
                self.cache_reads, [_share(one.cache_read_tokens, one) for one in answers]
            ),
            cache_writes=_newest(
                self.cache_writes, [_share(one.cache_write_tokens, one) for one in answers]
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One finished sweep's estimate against its truth; USD. ``inside`` the 5th-95th range?"""

    sweep_id: str
    ended_at: str
    expected_usd: float
    low_usd: float
    high_usd: float
    true_usd: float
    fitted_on: int

    @property
    def inside(self) -> bool:
        return self.low_usd <= self.true_usd <= self.high_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSpread:
    """How much the pairs of one comparison differed: ``spread`` is the root of n times its error.

    ``cells`` are the digests of baseline and candidate, ``models`` their model ids; ``queries``
    counts the pairs that could have been.
    """

    sweep_id: str
    metric: str
    cells: Sequence[str]
    models: Sequence[str]
    cost_basis: str
    query_set: str
    repeats: int
    pairs: int
    queries: int
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All lessons of a results folder: by model id and by cell digest, past estimates, spreads."""

    models: Mapping[str, Lessons] = field(default_factory=dict)
    cells: Mapping[str, Lessons] = field(default_factory=dict)
    sweeps: Sequence[Held] = ()
    spreads: Sequence[RecordedSpread] = ()

    def with_answers(self, answers: Mapping[tuple[str, str], Sequence[Observed]]) -> History:
        """The history with more answers, given by (model id, cell digest)."""
        models, cells = dict(self.models), dict(self.cells)
        for (model_id, cell), observed in answers.items():
            models[model_id] = models.get(model_id, Lessons()).with_more(observed)
            cells[cell] = cells.get(cell, Lessons()).with_more(observed)
        return replace(self, models=models, cells=cells)

    def with_sweep(self, held: Held) -> History:
        """The history with one more estimate set against the truth; a sweep counts once."""
        others = [one for one in self.sweeps if one.sweep_id != held.sweep_id]
        return replace(self, sweeps=[*others, held][-_KEPT_SWEEPS:])

    def with_spreads(self, sweep_id: str, spreads: Iterable[RecordedSpread]) -> History:
        """The history with a sweep's spreads, in the place of those that it had."""
        others = [one for one in self.spreads if one.sweep_id != sweep_id]
        return replace(self, spreads=[*others, *spreads][-_KEPT_SPREADS:])


def read_history(results_folder: Path) -> History:
    """The history of a results folder; an empty one where there is none that can be read."""
    try:
        content = json.loads((results_folder / FILE_NAME).read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            return History()
        return History(
            models={key: Lessons(**value) for key, value in content["models"].items()},
            cells={key: Lessons(**value) for key, value in content["cells"].items()},
            sweeps=[Held(**value) for value in content["sweeps"]],
            spreads=[RecordedSpread(**value) for value in content.get("spreads", ())],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return History()


def write_history(results_folder: Path, history: History) -> None:
    """Keep the history, whole or not at all."""
    content = {
        "version": _VERSION,
        "models": {key: _plain(value) for key, value in history.models.items()},
        "cells": {key: _plain(value) for key, value in history.cells.items()},
        "sweeps": [_plain(held) for held in history.sweeps],
        "spreads": [_plain(spread) for spread in history.spreads],
    }
    with replacing(results_folder / FILE_NAME) as file:
        json.dump(content, file, separators=(",", ":"))


def _plain(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _share(tokens: int, one: Observed) -> float:
    return tokens / one.prompt_tokens if one.prompt_tokens else 0.0


def _newest(before: Sequence[float], more: Sequence[float]) -> list[float]:
    return [*before, *more][-_KEPT_TRIALS:]

"""Which trials a page can open, and what is counted over all of them.

Enters: trials, one at a time and in any order. Leaves: ``Gathered``: whole queries up to a
limit, and tallies over every trial. Holds no more text than the page will.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from finrag_eval.report.trial_view import Stamp, TrialView

#: Characters kept of one answer, one context and any other one text; the rest is cut, and said so.
ANSWER_CHARS = 20_000
CONTEXT_CHARS = 150_000
OTHER_CHARS = 10_000
_MOST_CHARS = {
    "question": OTHER_CHARS,
    "expected": OTHER_CHARS,
    "answer": ANSWER_CHARS,
    "context": CONTEXT_CHARS,
    "error_message": OTHER_CHARS,
    "traceback": OTHER_CHARS,
}


@dataclass(slots=True, kw_only=True)
class Retrieval:
    """What retrieval found for one query, over all its trials."""

    question: str
    kpi: int | None = None
    passages: int | None = None
    trials: int = 0
    failed: int = 0


@dataclass(slots=True, kw_only=True)
class FailureKind:
    """Trials that failed in one way: how many in which cell, and one message of theirs."""

    stage: str
    error_type: str
    message: str
    cells: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True, kw_only=True)
class Gathered:
    """The trials of a page (``kept``) and the tallies over all ``seen`` of them."""

    kept: tuple[TrialView, ...]
    seen: int
    queries_kept: int
    queries_seen: int
    seed: int
    latencies: dict[str, list[float]]
    costs: dict[str, dict[str, Decimal]]
    retrieval: dict[str, Retrieval]
    failures: dict[tuple[str, str], FailureKind]

    @property
    def is_sample(self) -> bool:
        return len(self.kept) < self.seen


def gather(
    trials: Iterable[TrialView],
    *,
    max_trials: int,
    max_chars: int,
    seed: int = 0,
    known: Mapping[Stamp, LongTexts] = MappingProxyType({}),
) -> Gathered:
    """Tallies over all trials, and the trials of as many whole queries as the limits allow.

    Queries are drawn by a seeded hash of their id, so the same trials are kept in whatever order
    they come, and every cell keeps the same queries. At least one query is kept. Trials whose long
    texts are ``known`` need not be opened for that.
    """
    tally = _Tally()
    draw = _Draw(max_trials=max_trials, max_chars=max_chars, seed=seed, known=known)
    for one in trials:
        tally.add(one)
        draw.offer(one)
    kept = draw.kept()
    return Gathered(
        kept=kept,
        seen=tally.seen,
        queries_kept=len({one.query_id for one in kept}),
        queries_seen=len(tally.retrieval),
        seed=seed,
        latencies=dict(tally.latencies),
        costs={cell: dict(costs) for cell, costs in tally.costs.items()},
        retrieval=tally.retrieval,
        failures=tally.failures,
    )


class _Tally:
    """Counts over every trial; Decimal sums are exact."""

    def __init__(self) -> None:
        self.seen = 0
        self.latencies: defaultdict[str, list[float]] = defaultdict(list)
        self.costs: defaultdict[str, defaultdict[str, Decimal]] = defaultdict(
            lambda: defaultdict(Decimal)
        )
        self.retrieval: dict[str, Retrieval] = {}
        self.failures: dict[tuple[str, str], FailureKind] = {}

    def add(self, one: TrialView) -> None:
        self.seen += 1
        if one.status == "success" and one.latency_total_seconds is not None:
            self.latencies[one.cell].append(one.latency_total_seconds)
        costs = self.costs[one.cell]
        costs["answers"] += one.cost_usd or Decimal(0)
        costs["judge"] += one.judge_cost_usd
        costs["retrieval"] += one.retrieval_cost_usd
        costs["wasted"] += one.wasted_usd
        self._retrieval(one)
        if one.status == "failed":
            self._failure(one)

    def _retrieval(self, one: TrialView) -> None:
        found = self.retrieval.setdefault(
            one.query_id, Retrieval(question=cut(one.question, 300)[0])
        )
        found.trials += 1
        found.failed += one.status == "failed"
        found.kpi = _least(found.kpi, one.kpi_matches_count)
        found.passages = _least(found.passages, one.rag_chunks_count)

    def _failure(self, one: TrialView) -> None:
        kind = (one.stage or "", one.error_type or "unknown")
        if kind not in self.failures:
            message = cut(one.error_message or "", 300)[0]
            self.failures[kind] = FailureKind(stage=kind[0], error_type=kind[1], message=message)
        self.failures[kind].cells[one.cell] += 1


class _Draw:
    """Keeps the queries of the lowest hashes as long as their trials fit the limits."""

    def __init__(
        self, *, max_trials: int, max_chars: int, seed: int, known: Mapping[Stamp, LongTexts]
    ) -> None:
        self._max_trials, self._max_chars, self._seed = max_trials, max_chars, seed
        self._known = known
        self._queries: dict[str, list[TrialView]] = {}
        self._texts: dict[str, DistinctTexts] = {}
        self._highest: list[tuple[int, str]] = []
        self._hashes: dict[str, int] = {}
        self._bar: int | None = None
        self._trials = self._chars = 0

    def offer(self, one: TrialView) -> None:
        rank = self._rank(one.query_id)
        if self._bar is not None and rank >= self._bar:
            return
        if one.query_id not in self._queries:
            self._queries[one.query_id] = []
            self._texts[one.query_id] = DistinctTexts()
            heapq.heappush(self._highest, (-rank, one.query_id))
        self._keep(one)
        while self._is_over() and len(self._queries) > 1:
            self._drop_highest()

    def kept(self) -> tuple[TrialView, ...]:
        return tuple(one for trials in self._queries.values() for one in trials)

    def _rank(self, query_id: str) -> int:
        if query_id not in self._hashes:
            digest = hashlib.sha256(f"{self._seed}:{query_id}".encode("utf-8", "replace")).digest()
            self._hashes[query_id] = int.from_bytes(digest[:8])
        return self._hashes[query_id]

    def _keep(self, one: TrialView) -> None:
        texts = self._texts[one.query_id]
        known = None if one.stamp is None else self._known.get(one.stamp)
        if known is None:
            one = opened(one)
            known = long_texts(one)
        self._chars += texts.add(known)
        self._queries[one.query_id].append(one)
        self._trials += 1

    def _is_over(self) -> bool:
        return self._trials > self._max_trials or self._chars > self._max_chars

    def _drop_highest(self) -> None:
        rank, query_id = heapq.heappop(self._highest)
        self._bar = -rank
        self._trials -= len(self._queries.pop(query_id))
        self._chars -= self._texts.pop(query_id).chars


#: Texts by hash and characters, for one process.
LongTexts = frozenset[tuple[int, int]]


def long_texts(one: TrialView) -> LongTexts:
    """An opened trial's answer, context and traceback."""
    texts = (one.answer, one.context, one.traceback)
    return frozenset((hash(text), len(text)) for text in texts if text)


class DistinctTexts:
    """The long texts of one query's trials, each once, and their ``chars``."""

    def __init__(self) -> None:
        self._texts: set[tuple[int, int]] = set()
        self.chars = 0

    def add(self, texts: LongTexts) -> int:
        """How many characters come with them that were not there yet."""
        new = texts - self._texts
        self._texts |= new
        added = sum(length for _, length in new)
        self.chars += added
        return added


def opened(one: TrialView) -> TrialView:
    """The trial with its texts, as long as a page shows them."""
    return _shortened(one if one.open is None else one.open())


def cut(text: str, chars: int) -> tuple[str, int]:
    """The text's first characters, and how many were left out."""
    return (text, 0) if len(text) <= chars else (text[:chars], len(text) - chars)


def _shortened(one: TrialView) -> TrialView:
    """The trial with its long texts cut, each with a sentence that says so."""
    long: dict[str, Any] = {
        name: with_note(text, limit)
        for name, limit in _MOST_CHARS.items()
        if (text := getattr(one, name)) is not None and len(text) > limit
    }
    return replace(one, **long) if long else one


def with_note(text: str, limit: int) -> str:
    """The text's first characters, with a sentence that says how many are left out."""
    start, left_out = cut(text, limit)
    return f"{start}\n[cut here: {left_out:,} of {len(text):,} characters are not on this page]"


def _least(known: int | None, value: int | None) -> int | None:
    if value is None:
        return known
    return value if known is None else min(known, value)

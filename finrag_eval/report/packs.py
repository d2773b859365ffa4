"""Trials packed for a page: a light table of all of them, and a sealed pack per query.

Enters: the trials that a page can open. Leaves: plain data for the table, and for each query a
zlib-compressed, base64-encoded JSON document with every text of its trials, each text once. A
browser unpacks one when a trial is opened, so that a page of many megabytes of text starts with
a few hundred kilobytes; and base64 cannot hold anything that a browser would run.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from finrag_eval.domain import Score
from finrag_eval.report.context_view import split_context
from finrag_eval.report.figures import MISSING, count, money, seconds
from finrag_eval.report.safe_text import one_line, safe_link
from finrag_eval.report.sample import CONTEXT_CHARS, OTHER_CHARS, cut, opened, with_note
from finrag_eval.report.trial_view import Stamp, TrialView

_COMPRESSION = 6
_EXPLAINED = json.JSONEncoder(ensure_ascii=False, default=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A JSON-able ``table``, and base64 texts: ``packs``, one per query, and ``prompts``."""

    table: Mapping[str, Any]
    packs: tuple[str, ...]
    prompts: str


@dataclass(slots=True)
class _Texts:
    """Texts by number, each kept once."""

    texts: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    contexts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def number(self, text: str | None) -> int | None:
        if text is None:
            return None
        if text not in self.numbers:
            self.numbers[text] = len(self.texts)
            self.texts.append(text)
        return self.numbers[text]

    def context(self, context: str | None) -> dict[str, Any] | None:
        """A context's parts, by number; cells that share one share the work."""
        if context is None:
            return None
        if context not in self.contexts:
            parts = split_context(context)
            self.contexts[context] = {
                "kpi": self.number(parts.kpi),
                "passages": [[heading, self.number(text)] for heading, text in parts.passages],
                "other": self.number(parts.other),
                "chars": f"{len(context):,}",
            }
        return self.contexts[context]


def pack(
    trials: Sequence[TrialView],
    cell_names: Sequence[str],
    ahead: Packer | None = None,
) -> Packed:
    """The trials as a table and packs; ``cell_names`` gives the order of the cells.

    What was packed ``ahead`` is taken where it is what would be packed now.
    """
    packer = Packer(
        cells=tuple(cell_names),
        score_names=tuple(dict.fromkeys(score.name for one in trials for score in one.scores)),
        prompts=_prompts_of(trials, cell_names),
    )
    if ahead is not None and ahead.is_like(packer):
        packer = ahead
    by_query: dict[str, list[TrialView]] = {}
    for one in trials:
        by_query.setdefault(one.query_id, []).append(one)
    queries: list[dict[str, Any]] = []
    rows: list[list[Any]] = []
    packs: list[str] = []
    for query_number, query_id in enumerate(sorted(by_query)):
        asked = packer.in_order(by_query[query_id])
        place = Place(query=query_number, first_row=len(rows))
        done = packer.packed(asked, place)
        queries.append(done.query)
        rows += done.rows
        packs.append(done.texts)
    table = {"scores": packer.score_names, "queries": queries, "trials": rows}
    return Packed(table=table, packs=tuple(packs), prompts=_sealed(packer.prompts.texts))


def _prompts_of(trials: Sequence[TrialView], cell_names: Sequence[str]) -> tuple[str, ...]:
    """The trials' prompts, each once, in the order of the cells."""
    firsts = {one.cell: one for one in reversed(trials)}
    shown = (firsts[name] for name in cell_names if name in firsts)
    texts = (text for one in shown for text in (one.system_prompt, one.query_template))
    return tuple(dict.fromkeys(shown_prompt(text) for text in texts if text is not None))


def shown_prompt(text: str) -> str:
    """A prompt as long as a page shows it."""
    return text if len(text) <= CONTEXT_CHARS else with_note(text, CONTEXT_CHARS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a query stands in the table: its number, and the number of its first row."""

    query: int
    first_row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Query:
    """One query's part of a page; ``texts`` is its pack."""

    query: dict[str, Any]
    rows: list[list[Any]]
    texts: str


class Packer:
    """Packs queries, and knows those that it has packed."""

    def __init__(
        self, *, cells: tuple[str, ...], score_names: tuple[str, ...], prompts: tuple[str, ...]
    ) -> None:
        self._cells, self.score_names, self._first_prompts = cells, score_names, prompts
        self._order = {name: at for at, name in enumerate(cells)}
        self._known: dict[tuple[Place, tuple[Stamp | None, ...]], _Query] = {}
        self.prompts = _Texts()
        for text in prompts:
            self.prompts.number(text)

    def is_like(self, other: Packer) -> bool:
        """Whether it packs the same trials in the same way."""
        return (
            self._cells == other._cells
            and self.score_names == other.score_names
            and self._first_prompts == other._first_prompts
        )

    def in_order(self, trials: Iterable[TrialView]) -> list[TrialView]:
        """One query's trials as they follow on one another."""
        return sorted(trials, key=lambda one: (one.repeat, self._order.get(one.cell, 0)))

    def packed(self, asked: Sequence[TrialView], place: Place) -> _Query:
        """One query's trials, opened only where they were not packed before."""
        stamps = tuple(one.stamp for one in asked)
        found = self._known.get((place, stamps))
        if found is None:
            whole = [one if one.open is None else opened(one) for one in asked]
            found = self._pack(whole, place)
            if None not in stamps:
                self._known[place, stamps] = found
        return found

    def _pack(self, asked: Sequence[TrialView], place: Place) -> _Query:
        return _Query(
            query=_query(asked[0]),
            rows=[_row(one, self._order, place.query, self.score_names) for one in asked],
            texts=_sealed(_query_pack(asked, place.first_row, self.prompts)),
        )


def _query(one: TrialView) -> dict[str, Any]:
    """What the table shows and searches of a question."""
    return {
        "id": one_line(one.query_id, 200),
        "text": one_line(one.question, 240),
        "difficulty": one.difficulty or "",
        "tickers": list(one.tickers),
        "tags": [*one.tags, *([one.answer_type] if one.answer_type else [])],
    }


def _row(
    one: TrialView, order: Mapping[str, int], query: int, score_names: Sequence[str]
) -> list[Any]:
    """One table row: numbers to sort by beside the text to show."""
    values = {score.name: score.value for score in one.scores}
    preview = one.answer if one.status == "success" else f"{one.error_type}: {one.error_message}"
    return [
        order.get(one.cell, 0),
        query,
        one.repeat,
        1 if one.status == "success" else 0,
        [values.get(name) for name in score_names],
        None if one.cost_usd is None else float(one.cost_usd),
        money(one.cost_usd),
        one.latency_total_seconds,
        seconds(one.latency_total_seconds),
        one_line(one.error_type or "", 200),
        one_line(preview or "", 140),
    ]


def _query_pack(trials: Sequence[TrialView], first_row: int, prompts: _Texts) -> dict[str, Any]:
    texts = _Texts()
    details = {str(first_row + at): _details(one, texts, prompts) for at, one in enumerate(trials)}
    return {"trials": details, "texts": texts.texts}


def _details(one: TrialView, texts: _Texts, prompts: _Texts) -> dict[str, Any]:
    """All that an opened trial shows; long texts by number."""
    return {
        "run": one.run_name,
        "url": safe_link(one.run_url),
        "question": texts.number(one.question),
        "expected": texts.number(one.expected),
        "refuse": one.should_refuse,
        "answer": texts.number(one.answer),
        "error": _error(one, texts),
        "scores": [_score(score) for score in one.scores],
        "figures": _figures(one),
        "facts": _facts(one),
        "context": texts.context(one.context),
        "system": prompts.number(one.system_prompt and shown_prompt(one.system_prompt)),
        "template": prompts.number(one.query_template and shown_prompt(one.query_template)),
    }


def _error(one: TrialView, texts: _Texts) -> dict[str, Any] | None:
    if one.status == "success":
        return None
    return {
        "type": one.error_type or "unknown",
        "stage": one.stage or "",
        "message": one.error_message or "",
        "traceback": texts.number(one.traceback),
    }


def _score(score: Score) -> dict[str, Any]:
    """A score's value, or in words why it has none, with what the scorer gave as its reasons."""
    note = score.error and f"the scorer failed: {score.error}"
    return {
        "name": score.name,
        "value": None if score.value is None else f"{score.value:g}",
        "note": cut(note or score.unscored or "", OTHER_CHARS)[0],
        "why": [
            [str(key).replace("_", " "), _reason(value)] for key, value in score.explanation.items()
        ],
    }


def _reason(value: Any) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, float):
        is_readable = value == 0 or 1e-4 <= abs(value) < 1e15
        text = f"{value:,.6f}".rstrip("0").rstrip(".") if is_readable else f"{value:g}"
    elif isinstance(value, list | tuple | dict) and not value:
        text = "none"
    elif isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        text = "; ".join(value)
    else:
        text = _EXPLAINED.encode(value)
    return cut(text, OTHER_CHARS)[0]


def _figures(one: TrialView) -> list[list[str]]:
    """Labels and texts of the trial's figures, in the order of reading.

    Cache tokens, retries and costs beside the answer's are left out where they are 0.
    """
    caches = {"cache read": one.cache_read_tokens, "cache write": one.cache_write_tokens}
    rows = [
        ["cost", money(one.cost_usd)],
        ["tokens in", count(one.input_tokens)],
        ["tokens out", count(one.output_tokens)],
        *([label, count(tokens)] for label, tokens in caches.items() if tokens),
        ["time to answer", seconds(one.latency_total_seconds)],
        ["retrieval", seconds(one.latency_retrieval_seconds)],
        ["model", seconds(one.latency_llm_seconds)],
        ["waited for limits", seconds(one.latency_wait_seconds)],
        *([["retries", count(one.retries)]] if one.retries else []),
        ["KPI matches", count(one.kpi_matches_count)],
        ["passages", count(one.rag_chunks_count)],
        ["stop reason", one.stop_reason or MISSING],
    ]
    extra = {
        "judge cost": one.judge_cost_usd,
        "retrieval cost": one.retrieval_cost_usd,
        "wasted": one.wasted_usd,
        "saved by reuse": one.saved_usd,
    }
    return rows + [[label, money(usd)] for label, usd in extra.items() if usd]


def _facts(one: TrialView) -> list[list[str]]:
    """Labels and texts of what names the trial; what is not known is left out."""
    started = None
    if one.started_at is not None:
        started = datetime.fromtimestamp(one.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S Z")
    facts: list[list[str | None]] = [
        ["run", one.run_name],
        ["run id", one.run_id],
        ["trial key", one.trial_key],
        ["repeat", str(one.repeat)],
        ["started", started],
        ["reused from", one.reused_from],
        ["difficulty", one.difficulty],
        ["answer type", one.answer_type],
        ["tickers", ", ".join(one.tickers)],
        ["years", ", ".join(str(year) for year in one.years)],
        ["tags", ", ".join(one.tags)],
    ]
    facts += [[str(key).replace("_", " "), _reason(value)] for key, value in one.more.items()]
    return [[label, text] for label, text in facts if label and text]


def _sealed(value: Any) -> str:
    """The value as JSON, compressed (zlib) and in base64."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    packed = zlib.compress(text.encode("utf-8", "replace"), _COMPRESSION)
    return base64.b64encode(packed).decode("ascii")

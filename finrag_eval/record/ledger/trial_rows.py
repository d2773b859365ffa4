"""Outcomes and scores as rows, and rows as the ``TrialRecord`` that all else is made from.

Enters: outcomes from the workers, whose results may hold anything. Leaves: values that SQLite
takes, and records again. What a result does not say is None, never 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from finrag_eval.domain import Outcome, Prices, Score, Trial, TrialRecord
from finrag_eval.money import exact_sum
from finrag_eval.record.ledger import texts
from finrag_eval.record.ledger.plan_rows import usd_text

#: The columns of a stored outcome, in the order of ``outcome_row`` (its session comes first).
OUTCOME_COLUMNS: Sequence[str] = (
    "session", "trial_key", "cell", "model_key", "query_id", "repeat", "status",
    "started_at", "ended_at",
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
    "cache_write_1h_tokens", "cost_usd", "wasted_usd", "retrieval_cost_usd", "saved_usd",
    "latency_total_seconds", "latency_retrieval_seconds", "latency_llm_seconds",
    "latency_wait_seconds", "retries", "context_length_chars", "answer_length_chars",
    "kpi_matches_count", "rag_chunks_count", "tickers", "years", "stop_reason",
    "error_type", "error_message", "stage", "reused_from", "redacted", "context", "traceback",
)  # fmt: skip

_MAX_MESSAGE_CHARS = 4_000
_MAX_INTEGER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class PackedText:
    """A text ready to be stored; ``data`` is None where it is known to be stored already."""

    digest: str
    size: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class PackedOutcome:
    """An outcome ready to be stored: no work is left but the inserts."""

    row: tuple[Any, ...]
    result_size: int
    result: bytes
    texts: tuple[PackedText, ...]


def pack_text(text: str, known: texts.KnownTexts) -> PackedText:
    """The text with its digest, compressed unless it is stored already."""
    name, size = texts.digest_and_size(text)
    return PackedText(name, size, None if name in known else texts.pack(texts.encoded(text)))


def pack_outcome(
    outcome: Outcome,
    *,
    session: int,
    model_key: str | None,
    redact: frozenset[str],
    known: texts.KnownTexts,
) -> PackedOutcome:
    """The rows of an outcome, with the texts of ``redact`` replaced in all of them."""
    full = outcome.result
    secrets = {key: full[key] for key in redact if isinstance(full.get(key), str)}
    result: Mapping[str, Any] = texts.redacted(full, secrets) if secrets else full
    message, trace = _failure_texts(outcome, secrets)
    context = result.get("context")
    packed_context = pack_text(context, known) if isinstance(context, str) else None
    packed_trace = pack_text(trace, known) if trace is not None else None
    kept = {**result, "context": None} if packed_context else result
    raw = texts.encoded(texts.exact_json(kept))
    figures = _outcome_figures(outcome, session, model_key, message)
    row = (
        *figures,
        int(bool(redact)),
        packed_context.digest if packed_context else None,
        packed_trace.digest if packed_trace else None,
    )
    stored = tuple(text for text in (packed_context, packed_trace) if text is not None)
    return PackedOutcome(row, len(raw), texts.pack(raw), stored)


def _failure_texts(outcome: Outcome, secrets: Mapping[str, str]) -> tuple[str | None, str | None]:
    if outcome.failure is None:
        return None, None
    message = str(texts.redacted(outcome.failure.message, secrets))
    trace = outcome.failure.traceback
    return message, None if trace is None else str(texts.redacted(trace, secrets))


def _outcome_figures(
    outcome: Outcome, session: int, model_key: str | None, message: str | None
) -> tuple[Any, ...]:
    trial, usage, failure = outcome.trial, outcome.usage, outcome.failure
    seen = _Seen.in_result(outcome.result)
    return (
        session,
        trial.key,
        trial.cell,
        model_key,
        texts.column_text(trial.query_id),
        trial.repeat,
        "success" if outcome.succeeded else "failed",
        outcome.started_at,
        outcome.ended_at,
        _integer(usage.input_tokens) if usage else None,
        _integer(usage.output_tokens) if usage else None,
        _integer(usage.cache_read_tokens) if usage else None,
        _integer(usage.cache_write_tokens) if usage else None,
        _integer(usage.cache_write_1h_tokens) if usage else None,
        None if outcome.cost_usd is None else usd_text(outcome.cost_usd),
        usd_text(outcome.wasted_usd),
        usd_text(outcome.retrieval_cost_usd),
        usd_text(outcome.saved_usd),
        outcome.latency_total_seconds,
        outcome.latency_retrieval_seconds,
        outcome.latency_llm_seconds,
        outcome.latency_wait_seconds,
        outcome.retries,
        seen.context_chars,
        seen.answer_chars,
        seen.kpi_count,
        seen.rag_count,
        texts.strict_json(seen.tickers),
        texts.strict_json(seen.years),
        texts.column_text(outcome.stop_reason),
        texts.column_text(failure.error_type) if failure else None,
        texts.column_text(_cut(message)),
        texts.column_text(failure.stage) if failure else None,
        outcome.reused_from,
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a result says of itself; someone's own callable may say less, or nonsense."""

    context_chars: int | None
    answer_chars: int | None
    kpi_count: int | None
    rag_count: int | None
    tickers: tuple[str, ...]
    years: tuple[int, ...]

    @classmethod
    def in_result(cls, result: Mapping[str, Any]) -> _Seen:
        metadata = _mapping(result.get("metadata"))
        retrieval = _mapping(metadata.get("retrieval"))
        context, answer = result.get("context"), result.get("answer")
        told = _integer(_mapping(metadata.get("context")).get("context_length"))
        return cls(
            context_chars=len(context) if isinstance(context, str) else told,
            answer_chars=len(answer) if isinstance(answer, str) else None,
            kpi_count=_integer(retrieval.get("kpi_count")),
            rag_count=_integer(retrieval.get("rag_count")),
            tickers=tuple(
                item for item in _items(retrieval.get("tickers")) if isinstance(item, str)
            ),
            years=tuple(
                year
                for item in _items(retrieval.get("years"))
                if (year := _integer(item)) is not None
            ),
        )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else ()


def _integer(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_INTEGER:
        return value
    return None


def _cut(message: str | None) -> str | None:
    if message is None or len(message) <= _MAX_MESSAGE_CHARS:
        return message
    return f"{message[:_MAX_MESSAGE_CHARS]} … ({len(message)} characters in all)"


def scores_json(scores: Iterable[Score], *, redact: bool) -> str:
    """The scores as a JSON list; explanations lose their texts where ``redact``."""
    return texts.strict_json([_score_object(score, redact) for score in scores])


def _score_object(score: Score, redact: bool) -> dict[str, Any]:
    known: dict[str, Any] = {"name": score.name}
    if score.value is not None and math.isfinite(score.value):
        known["value"] = score.value
    elif score.value is not None:
        known["error"] = f"the scorer gave {score.value}"
    if score.unscored is not None:
        known["unscored"] = score.unscored
    if score.error is not None:
        known["error"] = score.error
    if score.explanation:
        known["explanation"] = (
            texts.without_texts(score.explanation) if redact else score.explanation
        )
    if score.cost_usd:
        known["cost_usd"] = usd_text(score.cost_usd)
    return known


def scores_of(text: str) -> tuple[Score, ...]:
    """The scores of ``scores_json``."""
    return tuple(
        Score(
            name=known["name"],
            value=known.get("value"),
            unscored=known.get("unscored"),
            error=known.get("error"),
            explanation=known.get("explanation", {}),
            cost_usd=usd_of(known.get("cost_usd", "0")),
        )
        for known in json.loads(text)
    )


def usd_of(text: str) -> Decimal:
    """The amount that ``usd_text`` wrote."""
    return _ZERO if text == "0" else Decimal(text)


_ZERO = Decimal(0)


@lru_cache(maxsize=4096)
def json_tuple(text: str) -> tuple[Any, ...]:
    """A stored JSON list; the same few lists come up over and over."""
    return tuple(json.loads(text))


#: Every judge's bill for an outcome, over all scorings: amounts with spaces between.
JUDGE_USD = "(SELECT group_concat(x.judge_cost_usd, ' ') FROM scores x WHERE x.outcome = o.outcome)"

#: What was paid for a trial besides this outcome and its scores: its earlier outcomes, and calls
#: whose session died before anything came of them.
LOST_USD = """trim(
    coalesce((SELECT group_concat(coalesce(e.cost_usd, '0') || ' ' || e.wasted_usd || ' '
        || e.retrieval_cost_usd || ' ' || coalesce((SELECT group_concat(x.judge_cost_usd, ' ')
        FROM scores x WHERE x.outcome = e.outcome), '0'), ' ')
        FROM outcomes e WHERE e.trial_key = o.trial_key AND e.outcome < o.outcome), '')
    || ' ' ||
    coalesce((SELECT group_concat(a.billed_usd, ' ') FROM attempts a
        WHERE a.trial_key = o.trial_key AND a.orphan = 1), ''))"""

#: What a record is read from, beside the columns of ``outcomes`` (as ``o``): the trial's labels
#: in the plan of today (as ``p``), and its scores (as ``s``).
RECORD_COLUMNS: Sequence[str] = (
    "o.outcome", "coalesce(s.scores, 0)", "o.trial_key", "coalesce(p.cell, o.cell)",
    "coalesce(p.query_id, o.query_id)", "coalesce(p.repeat, o.repeat)", "o.status",
    "o.started_at", "o.ended_at", "o.input_tokens", "o.output_tokens", "o.cache_read_tokens",
    "o.cache_write_tokens", "o.cost_usd", "o.wasted_usd", "o.retrieval_cost_usd", "o.saved_usd",
    "o.latency_total_seconds", "o.latency_retrieval_seconds", "o.latency_llm_seconds",
    "o.latency_wait_seconds", "o.retries", "o.context_length_chars", "o.answer_length_chars",
    "o.kpi_matches_count", "o.rag_chunks_count", "o.tickers", "o.years", "o.stop_reason",
    "o.error_type", "o.error_message", "o.stage", "o.reused_from",
    "coalesce(s.scores_json, '[]')", JUDGE_USD, LOST_USD, "o.model_key", "o.session",
)  # fmt: skip


def usd_sum(amounts: str | None) -> Decimal:
    """The exact sum of amounts with spaces between; 0 of nothing."""
    if not amounts or amounts == "0":
        return _ZERO
    return exact_sum(Decimal(amount) for amount in amounts.split())


def record_of(row: Sequence[Any], prices: Prices | None) -> TrialRecord:
    """The record of a row of ``RECORD_COLUMNS``."""
    (outcome, scores, key, cell, query_id, repeat, status, started, ended, tokens_in, tokens_out,
     cache_read, cache_write, cost, wasted, retrieval, saved, total_s, retrieval_s, llm_s, wait_s,
     retries, context_chars, answer_chars, kpi, rag, tickers, years, stop, error, message, stage,
     reused, scored, judge, lost, _, _) = row  # fmt: skip
    return TrialRecord(
        outcome_id=outcome,
        scores_id=scores,
        trial=Trial(key=key, cell=cell, query_id=query_id, repeat=repeat),
        status=status,
        started_at=started,
        ended_at=ended,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        cost_usd=None if cost is None else usd_of(cost),
        wasted_usd=usd_sum(f"{wasted} {lost}") if lost else usd_of(wasted),
        judge_cost_usd=usd_sum(judge),
        retrieval_cost_usd=usd_of(retrieval),
        saved_usd=usd_of(saved),
        latency_total_seconds=total_s,
        latency_retrieval_seconds=retrieval_s,
        latency_llm_seconds=llm_s,
        latency_wait_seconds=wait_s,
        retries=retries,
        context_length_chars=context_chars,
        answer_length_chars=answer_chars,
        kpi_matches_count=kpi,
        rag_chunks_count=rag,
        tickers=json_tuple(tickers),
        years=json_tuple(years),
        stop_reason=stop,
        error_type=error,
        error_message=message,
        stage=stage,
        reused_from=reused,
        scores=scores_of(scored),
        prices=prices,
    )

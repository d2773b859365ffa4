"""One MLflow trace a trial: how the time, the tokens and the money of an answer were spent.

Enters: a recorded trial with its result and its run. Leaves: a trace that the run's page shows,
with the spans entities, kpi, rag, prompt, llm and score, and an assessment a score. There is no
bulk way for traces: one takes 0.1 to 0.2 s of the recorder's CPU (ten spans, SQLite, two busy
cores, 2026-11-28), a hundred times what its run takes in the bulk lane. So they are written only
where they were asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from finrag_eval.domain import Query, TrialRecord
from finrag_eval.record.assessments import assess
from finrag_eval.record.cleaning import clean_document, clean_text
from finrag_eval.record.lanes import StoreAway, one_line
from finrag_eval.record.ledger import LedgerReader
from finrag_eval.record.run_book import RunBook
from finrag_eval.record.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Trace

_BATCH = 16
_HOPELESS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanFacts:
    """One span; instants are epoch seconds."""

    name: str
    kind: str
    starts: float
    ends: float
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


def span_facts(
    record: TrialRecord, query: Query, result: Mapping[str, Any], model_id: str
) -> tuple[SpanFacts, list[SpanFacts]]:
    """The trial as a root span and the spans in it.

    Retrieval stands at the beginning and the model's call at the end, so that the gap between
    them is the waiting. The steps of retrieval are not timed one by one: each span has the whole.
    """
    starts, ends = record.started_at, max(record.started_at, record.ended_at)
    retrieved = min(ends, starts + (record.latency_retrieval_seconds or 0.0))
    called = max(retrieved, ends - (record.latency_llm_seconds or 0.0))
    root = SpanFacts(
        name="trial",
        kind="CHAIN",
        starts=starts,
        ends=ends,
        inputs={"query": query.query},
        outputs={"answer": result.get("answer"), "error": result.get("error")},
        attributes={
            "cell": record.trial.cell,
            "query_id": record.trial.query_id,
            "waited_seconds": record.latency_wait_seconds,
            "retries": record.retries,
        },
    )
    return root, [
        *_retrieval_spans(record, query, result, starts, retrieved),
        SpanFacts(name="prompt", kind="UNKNOWN", starts=retrieved, ends=retrieved),
        _llm_span(record, result, model_id, called, ends),
        *(
            SpanFacts(
                name=f"score.{score.name}",
                kind="EVALUATOR",
                starts=ends,
                ends=ends,
                outputs={
                    "value": score.value,
                    "unscored": score.unscored,
                    "error": score.error,
                    **score.explanation,
                },
            )
            for score in record.scores
        ),
    ]


def _retrieval_spans(
    record: TrialRecord, query: Query, result: Mapping[str, Any], starts: float, ends: float
) -> Iterator[SpanFacts]:
    context = (result.get("metadata") or {}).get("context") or {}
    asked = {"query": query.query}
    yield SpanFacts(
        name="entities",
        kind="PARSER",
        starts=starts,
        ends=ends,
        inputs=asked,
        outputs={"tickers": list(record.tickers), "years": list(record.years)},
    )
    yield SpanFacts(
        name="kpi",
        kind="RETRIEVER",
        starts=starts,
        ends=ends,
        inputs=dict(context.get("kpi_entities") or {}) or asked,
        outputs={"matches": record.kpi_matches_count},
    )
    yield SpanFacts(
        name="rag",
        kind="RETRIEVER",
        starts=starts,
        ends=ends,
        inputs=dict(context.get("rag_entities") or {}) or asked,
        outputs={
            "chunks": record.rag_chunks_count,
            "retrieval_stats": context.get("retrieval_stats"),
            "context": result.get("context"),
        },
    )


def _llm_span(
    record: TrialRecord, result: Mapping[str, Any], model_id: str, starts: float, ends: float
) -> SpanFacts:
    attributes: dict[str, Any] = {"mlflow.llm.model": model_id}
    if record.input_tokens is not None and record.output_tokens is not None:
        attributes["mlflow.chat.tokenUsage"] = {
            "input_tokens": record.input_tokens,
            "output_tokens": record.output_tokens,
            "total_tokens": record.input_tokens + record.output_tokens,
        }
    if record.cost_usd is not None:
        attributes["mlflow.llm.cost"] = {"total_cost": float(record.cost_usd)}
    return SpanFacts(
        name="llm",
        kind="CHAT_MODEL",
        starts=starts,
        ends=ends,
        outputs={"answer": result.get("answer"), "stop_reason": record.stop_reason},
        attributes=attributes,
    )


class Tracer:
    """Gives recorded trials their traces, in the order of the ledger."""

    def __init__(self, reader: LedgerReader, book: RunBook, store: Store) -> None:
        os.environ.setdefault("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
        import mlflow

        mlflow.set_tracking_uri(store.uri)
        self._reader, self._book, self._store = reader, book, store
        self._lost = 0

    @property
    def is_hopeless(self) -> bool:
        """True where MLflow lost trace after trace although the store answers."""
        return self._lost >= _HOPELESS

    def step(self) -> bool:
        """Writes the traces of the next few trials; False where all have one.

        MLflow loses a trace in silence when the store is away, so each batch ends by looking
        whether the last one is there. Raises StoreAway.
        """
        done = self._book.trace_position
        records = [
            record
            for record in self._reader.records(done, _BATCH)
            if record.scores_id <= self._book.position
        ]
        if not records:
            return False
        entries = self._book.entries([record.trial.key for record in records])
        last = None
        try:
            for record in records:
                entry = entries.get(record.trial.key)
                if entry is None or not entry.run_id:
                    continue
                found = self._trace(entry.run_id)
                if found is not None:
                    assess(found.info.trace_id, found.info.assessments or (), record.scores)
                elif trace_id := self._write(entry.run_id, record):
                    last = entry.run_id
                    assess(trace_id, (), record.scores)
            if last is not None and self._trace(last) is None:
                self._lost += 1
                raise StoreAway("it took no trace")
        except StoreAway:
            raise
        except Exception as error:
            raise StoreAway(one_line(error)) from error
        self._book.advance_traces(records[-1].scores_id)
        return True

    def _trace(self, run_id: str) -> Trace | None:
        """The run's trace without its spans; None where it has none."""
        import mlflow

        found = mlflow.search_traces(
            run_id=run_id,
            max_results=1,
            return_type="list",
            include_spans=False,
            locations=[self._store.experiment_id],
        )
        return found[0] if found else None

    def _write(self, run_id: str, record: TrialRecord) -> str | None:
        """Writes the trial's trace; its id, None where the ledger lacks the trial's cell."""
        cell = self._reader.cell_of(record.outcome_id)
        query = self._reader.query_of(record.outcome_id)
        if cell is None or query is None:
            return None
        result = self._reader.result(record.outcome_id)
        root, rest = span_facts(record, query, result, cell.model.model_id)
        return _send(self._store.experiment_id, run_id, record, root, rest)


def _send(
    experiment_id: str, run_id: str, record: TrialRecord, root: SpanFacts, rest: list[SpanFacts]
) -> str:
    import mlflow

    trunk = mlflow.start_span_no_context(
        root.name,
        span_type=root.kind,
        inputs=clean_document(root.inputs),
        attributes=clean_document(root.attributes),
        metadata={"mlflow.sourceRun": run_id},
        tags={
            "finrag_eval.trial_key": record.trial.key,
            "finrag_eval.cell": clean_text(record.trial.cell)[:250],
            "status": record.status,
        },
        experiment_id=experiment_id,
        start_time_ns=_ns(root.starts),
    )
    for span in rest:
        branch = mlflow.start_span_no_context(
            span.name,
            span_type=span.kind,
            parent_span=trunk,
            inputs=clean_document(span.inputs),
            attributes=clean_document(span.attributes),
            start_time_ns=_ns(span.starts),
        )
        branch.end(outputs=clean_document(span.outputs), end_time_ns=_ns(span.ends))
    status = "OK" if record.status == "success" else "ERROR"
    trunk.end(outputs=clean_document(root.outputs), status=status, end_time_ns=_ns(root.ends))
    return str(trunk.trace_id)


def _ns(at: float) -> int:
    return int(at * 1_000_000) * 1000

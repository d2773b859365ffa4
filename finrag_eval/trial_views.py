"""Trials as the report opens them: figures, texts and links in one place.

Enters: a ledger's reader and what was recorded in MLflow. Leaves: ``TrialView``, one at a time,
with figures alone; the texts of those that a page keeps are read when it opens them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from finrag_eval.domain import Cell, Query, TrialRecord
from finrag_eval.record.ledger import LedgerReader
from finrag_eval.record.payload import CellForm, Origin
from finrag_eval.record.run_book import Recorded
from finrag_eval.report.trial_view import TrialView


def trial_views(
    reader: LedgerReader, records: Iterable[TrialRecord], origin: Origin, store: Recorded | None
) -> Iterator[TrialView]:
    """A view of each of the reader's records; to be opened while the reader is open."""
    views = TrialViews(reader, origin)
    return (views.of(record, store) for record in records)


class TrialViews:
    """Makes views of one sweep's trials; they are to be opened while the reader is open."""

    def __init__(self, reader: LedgerReader, origin: Origin) -> None:
        self._reader = reader
        self._forms = {cell.name: CellForm(cell, origin) for cell in reader.cells()}
        self._queries = {query.id: query for query in reader.queries()}

    def of(self, record: TrialRecord, store: Recorded | None) -> TrialView:
        """The trial's figures, with its run where one is recorded."""
        query = self._queries[record.trial.query_id]
        form = self._forms[record.trial.cell]
        opened = partial(self._opened, record, form, query, store)
        return _view(record, form.cell, query, store, open=opened)

    def _opened(
        self, record: TrialRecord, form: CellForm, query: Query, store: Recorded | None
    ) -> TrialView:
        """The trial with its run's name and its long texts."""
        result = self._reader.result(record.outcome_id)
        return _view(
            record,
            form.cell,
            query,
            store,
            run_name=form.run_name(record),
            answer=result.get("answer"),
            context=result.get("context"),
            traceback=self._reader.traceback(record.outcome_id),
        )


def _view(
    record: TrialRecord,
    cell: Cell,
    query: Query,
    store: Recorded | None,
    **more: Any,
) -> TrialView:
    run_id = None if store is None else store.run_ids.get(record.trial.key)
    return TrialView(
        **more,
        stamp=(record.outcome_id, record.scores_id, run_id),
        run_id=run_id,
        run_url=_run_url(store, run_id),
        trial_key=record.trial.key,
        cell=cell.name,
        query_id=query.id,
        repeat=record.trial.repeat,
        question=query.query,
        expected=_expected(query),
        should_refuse=query.should_refuse,
        status=record.status,
        error_type=record.error_type,
        error_message=record.error_message,
        stage=record.stage,
        scores=record.scores,
        system_prompt=cell.prompts.system_text or None,
        query_template=cell.prompts.query_text or None,
        stop_reason=record.stop_reason,
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        cache_read_tokens=record.cache_read_tokens,
        cache_write_tokens=record.cache_write_tokens,
        cost_usd=record.cost_usd,
        judge_cost_usd=record.judge_cost_usd,
        retrieval_cost_usd=record.retrieval_cost_usd,
        wasted_usd=record.wasted_usd,
        saved_usd=record.saved_usd,
        latency_total_seconds=record.latency_total_seconds,
        latency_retrieval_seconds=record.latency_retrieval_seconds,
        latency_llm_seconds=record.latency_llm_seconds,
        latency_wait_seconds=record.latency_wait_seconds,
        retries=record.retries,
        started_at=record.started_at,
        kpi_matches_count=record.kpi_matches_count,
        rag_chunks_count=record.rag_chunks_count,
        reused_from=record.reused_from,
        answer_type=query.answer_type,
        difficulty=query.difficulty,
        tickers=record.tickers or query.tickers,
        years=record.years or query.years,
        tags=query.tags,
    )


def _run_url(store: Recorded | None, run_id: str | None) -> str | None:
    """The trial's run beside its parent's, where a browser can show that one."""
    if store is None or run_id is None or not store.parent_url or not store.parent_run_id:
        return None
    return store.parent_url.replace(store.parent_run_id, run_id)


def _expected(query: Query) -> str | None:
    if query.expected_answer is None:
        return None if query.expected_value is None else f"{query.expected_value:,}"
    if isinstance(query.expected_answer, str):
        return query.expected_answer
    return "; ".join(query.expected_answer)

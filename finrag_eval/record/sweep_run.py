"""The sweep's own run in the store: there from the first moment, complete at the last.

Enters: the ledger, the sweep's folder and a store. Leaves: the parent of all trials' runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finrag_eval.record.datasets import log_dataset
from finrag_eval.record.lanes import Job
from finrag_eval.record.ledger import LedgerReader, SessionInfo
from finrag_eval.record.parent import DatasetFacts, SweepView, dataset_facts, parent_payload
from finrag_eval.record.payload import RunPayload
from finrag_eval.record.public_lane import bring_up_to_date, create_run
from finrag_eval.record.reconcile import find_parent
from finrag_eval.record.run_book import RunBook
from finrag_eval.record.store import Store


class SweepRun:
    """One sweep's parent run."""

    def __init__(self, folder: Path, reader: LedgerReader, book: RunBook, store: Store) -> None:
        self._folder, self._reader, self._book, self._store = folder, reader, book, store
        self._linked: tuple[str, DatasetFacts] | None = None

    def begin(self) -> tuple[str, bool]:
        """The run's id, and whether it had to be made anew; it is RUNNING from now on."""
        known = self._book.parent_run_id or find_parent(self._store, self._reader.sweep_id)
        run_id = self._write(known, "running", None)
        return run_id, run_id != known

    def end(self, status: str | None, ended_at: float | None) -> str:
        """The run's id; it has the summary, its files and a final state from now on.

        Without a status, the one that the sweep's files or its last session tell.
        """
        told, at = self._told()
        return self._write(
            self._book.parent_run_id, status or told or "interrupted", ended_at or at
        )

    def _write(self, known: str | None, status: str, ended_at: float | None) -> str:
        job = Job(
            trial_key="",
            scores_id=0,
            payload=self._payload(status, ended_at),
            run_id=known,
        )
        if known is None:
            create_run(self._store, job)
        else:
            bring_up_to_date(self._store, job)
        assert job.run_id is not None
        self._book.set_parent(
            job.run_id, self._store.run_url(job.run_id), self._store.experiment_id
        )
        self._log_dataset(job.run_id)
        return job.run_id

    def _log_dataset(self, run_id: str) -> None:
        """Link the run with its query set, where this recorder has not done so yet."""
        plan = self._newest_plan()
        if not plan:
            return
        dataset = dataset_facts(
            source=str(plan.get("query_set_source", "")),
            digest=str(plan.get("query_set_digest", "")),
            rows=int(plan.get("queries", 0)),
        )
        if self._linked != (run_id, dataset):
            log_dataset(self._store, run_id, dataset)
            self._linked = run_id, dataset

    def _payload(self, status: str, ended_at: float | None) -> RunPayload:
        sessions = self._reader.sessions()
        plan = self._newest_plan() or {}
        return parent_payload(
            SweepView(
                sweep_id=self._reader.sweep_id,
                name=self._reader.name,
                status=status,
                started_at=sessions[0].started_at if sessions else self._reader.created_at,
                ended_at=ended_at,
                spec=self._reader.spec() or {},
                facts=_facts(sessions),
                cells=self._reader.cells(),
                trials_planned=plan.get("trials"),
                folder=self._folder,
            )
        )

    def _newest_plan(self) -> dict[str, Any] | None:
        plans = [session.plan for session in self._reader.sessions() if session.plan]
        return dict(plans[-1]) if plans else None

    def _told(self) -> tuple[str | None, float | None]:
        """How the sweep ended, as far as anybody said so; None where its driver just died."""
        runs = [session for session in self._reader.sessions() if session.kind == "run"]
        last = runs[-1] if runs else None
        if last is None or last.ended_at is None:
            return None, None
        try:
            summary = json.loads((self._folder / "summary.json").read_text(encoding="utf-8"))
            return str(summary["status"]), last.ended_at
        except (OSError, ValueError, KeyError, TypeError):
            return last.status, last.ended_at


def _facts(sessions: tuple[SessionInfo, ...]) -> dict[str, Any]:
    return dict(sessions[-1].facts) if sessions else {}

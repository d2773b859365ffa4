"""Batch jobs in the ledger: they outlive sessions, however those end, and count once."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_parts import a_cell, a_ledger, an_outcome, begin, settle_all, some_queries

from finrag_eval.domain import BatchJob, BatchRecord, Trial
from finrag_eval.record.ledger import Ledger, LedgerReader

RESERVED = Decimal("0.5")
CARRIED = {"retrieval_cost_usd": "0.01", "prompt_seconds": 0.5}


def a_job(trials: Sequence[Trial], token: str = "t1") -> BatchJob:
    return BatchJob(
        token=token,
        model_key="fast",
        records=tuple(
            BatchRecord(
                trial_key=trial.key, cell=trial.cell, reserved_usd=RESERVED, carried=CARRIED
            )
            for trial in trials
        ),
    )


@pytest.fixture
def planned(tmp_path: Path) -> tuple[Path, list[Trial], BatchJob]:
    """The folder of a sweep that died after it sent a job of three trials."""
    with a_ledger(tmp_path) as ledger:
        trials = begin(ledger, [a_cell()], some_queries(3))
        searched = ledger.reserve(
            trial_key=trials[0].key,
            cell=trials[0].cell,
            model_key="retrieval",
            purpose="retrieval",
            usd=RESERVED,
        )
        ledger.settle(searched, billed_usd=Decimal("0.01"), state="kept")
        job = ledger.plan_job(a_job(trials))
        ledger.note_job("t1", "sent", "arn:of:t1")
    return ledger.folder, trials, job


def collect(ledger: Ledger, job: BatchJob, trials: Sequence[Trial]) -> None:
    for record, trial in zip(job.records, trials, strict=False):
        ledger.settle(record.attempt, billed_usd=Decimal("0.2"), state="kept")
        outcome = an_outcome(trial, cost="0.2", retrieval_cost_usd=Decimal("0.01"))
        ledger.append_outcome(outcome)
    settle_all(ledger)


def test_a_job_is_reserved_whole_and_its_attempts_are_numbered(
    planned: tuple[Path, list[Trial], BatchJob],
) -> None:
    folder, trials, job = planned
    assert [record.attempt for record in job.records] == [2, 3, 4]
    with LedgerReader.open(folder) as reader:
        (found,) = reader.batch_jobs()
    assert (found.token, found.model_key, found.job_id) == ("t1", "fast", "arn:of:t1")
    assert found.records == job.records
    assert [record.trial_key for record in found.records] == [trial.key for trial in trials]


def test_what_is_in_a_job_is_neither_spent_nor_wasted_when_a_session_ends(
    planned: tuple[Path, list[Trial], BatchJob],
) -> None:
    folder, _, job = planned
    for _ in range(2):
        with Ledger.open(folder) as ledger:
            ledger.begin_session({}, {})
            assert ledger.spent().total == Decimal("0.01")
            assert ledger.spent().wasted == 0
            (found,) = ledger.batch_jobs()
            assert found.records == job.records
            ledger.end_session("interrupted", 130)


def test_a_later_session_collects_it_and_every_cent_is_told_once(
    planned: tuple[Path, list[Trial], BatchJob],
) -> None:
    folder, trials, job = planned
    with Ledger.open(folder) as ledger:
        ledger.begin_session({}, {})
        collect(ledger, job, trials)
        ledger.note_job("t1", "collected")
        assert ledger.batch_jobs() == ()
        ledger.end_session("completed", 0)
    with LedgerReader.open(folder) as reader:
        assert reader.spent().total == Decimal("0.61")
        assert reader.spent().wasted == 0
        records = list(reader.final_records())
        assert [record.wasted_usd for record in records] == [0, 0, 0]


def test_what_a_dying_session_had_not_told_is_collected_again(
    planned: tuple[Path, list[Trial], BatchJob],
) -> None:
    folder, trials, job = planned
    with Ledger.open(folder) as ledger:
        ledger.begin_session({}, {})
        collect(ledger, job, trials[:1])
        for record in job.records[1:]:
            ledger.settle(record.attempt, billed_usd=Decimal("0.2"), state="kept")
    with Ledger.open(folder) as ledger:
        assert ledger.spent().wasted == 0
        ledger.begin_session({}, {})
        (found,) = ledger.batch_jobs()
        assert found.records == job.records[1:]
        assert ledger.spent().total == Decimal("0.21")
        collect(ledger, found, trials[1:])
        ledger.note_job("t1", "collected")
        ledger.end_session("completed", 0)
    with LedgerReader.open(folder) as reader:
        assert reader.spent().total == Decimal("0.61")
        assert [record.wasted_usd for record in reader.final_records()] == [0, 0, 0]


def test_a_scoring_session_leaves_jobs_alone(
    planned: tuple[Path, list[Trial], BatchJob],
) -> None:
    folder, _, job = planned
    with Ledger.open(folder) as ledger:
        ledger.begin_session({}, {}, kind="score")
        ledger.end_session("completed", 0)
        assert ledger.batch_jobs()[0].records == job.records


def test_a_job_that_was_never_sent_is_dropped(
    planned: tuple[Path, list[Trial], BatchJob],
) -> None:
    folder, trials, _ = planned
    with Ledger.open(folder) as ledger:
        ledger.begin_session({}, {})
        job = ledger.plan_job(a_job(trials, "t2"))
        assert ledger.batch_job_count() == 2
        for record in job.records:
            ledger.settle(record.attempt, billed_usd=Decimal(0), state="free")
        ledger.note_job("t2", "dropped")
        assert [one.token for one in ledger.batch_jobs()] == ["t1"]

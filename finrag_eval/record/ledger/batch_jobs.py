"""Batch jobs in the ledger: on disk before they are sent, and found again by any later session.

Enters: jobs with their records. Leaves: numbered attempts, all reserved in one transaction, and
the jobs that are not collected yet. A job is ``planned``, then ``sent``, and ends ``collected``
(its outcomes are on disk) or ``dropped`` (it was never sent).
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace

from finrag_eval.domain import BatchJob, BatchRecord
from finrag_eval.record.ledger.plan_rows import usd_text
from finrag_eval.record.ledger.texts import strict_json
from finrag_eval.record.ledger.trial_rows import usd_of

_OPEN = "('planned', 'sent')"

#: Attempts of open jobs that no outcome of their session came of: a session that died while it
#: collected had settled some of them, and what they answered is still to be read.
_UNCOLLECTED = f"""
    SELECT a.attempt FROM attempts a JOIN batch_jobs j ON j.token = a.batch
    WHERE j.state IN {_OPEN} AND NOT EXISTS (
        SELECT 1 FROM outcomes o WHERE o.trial_key = a.trial_key AND o.session = a.session)"""


def plan_job(
    connection: sqlite3.Connection, job: BatchJob, *, session: int, now: float
) -> BatchJob:
    """The job with its attempts numbered; all of it is reserved in one transaction."""
    connection.execute(
        "INSERT INTO batch_jobs VALUES (?, ?, ?, 'planned', NULL)", (job.token, job.model_key, now)
    )
    return replace(
        job,
        records=tuple(
            replace(record, attempt=_reserved(connection, job, record, session, now))
            for record in job.records
        ),
    )


def note_job(connection: sqlite3.Connection, token: str, state: str, job_id: str | None) -> None:
    """Put down what became of a job; ``job_id`` None leaves it as it was."""
    connection.execute(
        "UPDATE batch_jobs SET state = ?, job_id = coalesce(?, job_id) WHERE token = ?",
        (state, job_id, token),
    )


def take_over(connection: sqlite3.Connection, session: int) -> None:
    """Make what is still to be collected this session's, and open."""
    connection.execute(
        "UPDATE attempts SET session = ?, state = 'open', billed_usd = NULL, settled_at = NULL, "
        f"error_type = NULL, orphan = 0 WHERE attempt IN ({_UNCOLLECTED})",
        (session,),
    )


def open_jobs(connection: sqlite3.Connection) -> tuple[BatchJob, ...]:
    """The jobs that are not collected yet, oldest first, with what is open of each."""
    jobs = connection.execute(
        "SELECT token, model_key, job_id FROM batch_jobs "
        f"WHERE state IN {_OPEN} ORDER BY planned_at, token"
    ).fetchall()
    return tuple(
        BatchJob(
            token=token,
            model_key=model_key,
            job_id=job_id,
            records=tuple(
                BatchRecord(
                    trial_key=trial_key,
                    cell=cell,
                    reserved_usd=usd_of(reserved),
                    carried=json.loads(carried),
                    attempt=attempt,
                )
                for attempt, trial_key, cell, reserved, carried in connection.execute(
                    "SELECT attempt, trial_key, cell, reserved_usd, carried FROM attempts "
                    "WHERE batch = ? AND state = 'open' ORDER BY attempt",
                    (token,),
                )
            ),
        )
        for token, model_key, job_id in jobs
    )


def job_count(connection: sqlite3.Connection) -> int:
    """How many jobs were ever planned."""
    return int(connection.execute("SELECT count(*) FROM batch_jobs").fetchone()[0])


def _reserved(
    connection: sqlite3.Connection, job: BatchJob, record: BatchRecord, session: int, now: float
) -> int:
    cursor = connection.execute(
        "INSERT INTO attempts (session, trial_key, cell, model_key, purpose, reserved_usd, "
        "reserved_at, state, batch, carried) VALUES (?, ?, ?, ?, 'target', ?, ?, 'open', ?, ?)",
        (
            session,
            record.trial_key,
            record.cell,
            job.model_key,
            usd_text(record.reserved_usd),
            now,
            job.token,
            strict_json(record.carried),
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid

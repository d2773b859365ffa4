"""All of a sweep's files, made from its ledger: summary, tables and report.

Enters: a job, a ledger that is complete, and how the sweep ended. Leaves: the files. The end of a
sweep, ``summary``, ``score`` and ``sync`` make the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from finrag_eval.comparisons import compared
from finrag_eval.domain import Query, TrialRecord
from finrag_eval.ending import Ending
from finrag_eval.job import SweepJob
from finrag_eval.provenance import iso_utc
from finrag_eval.record.ledger import LedgerReader, SessionInfo
from finrag_eval.record.parent import CAPS
from finrag_eval.record.run_book import Recorded, recorded
from finrag_eval.report.ahead import PackedAhead
from finrag_eval.report.html import write_report_html
from finrag_eval.results import REPORT_HTML, write_summary
from finrag_eval.summarise import SweepFacts, summarise
from finrag_eval.trial_columns import columns_by_cell
from finrag_eval.trial_table import origin_of, write_trial_tables
from finrag_eval.trial_views import trial_views


def write_files(job: SweepJob, folder: Path, ending: Ending) -> dict[str, Any]:
    """Make all of the sweep's files from its ledger; the summary."""
    summary = write_summary_and_report(job, folder, ending)
    names = [name for cell in summary["cells"] for name in cell["scores"]]
    with LedgerReader.open(folder) as reader:
        write_trial_tables(job, folder, reader, reader.final_records(), names)
    return summary


def write_summary_and_report(
    job: SweepJob,
    folder: Path,
    ending: Ending,
    *,
    then: Callable[[], None] = lambda: None,
    may_fork: bool = False,
    ahead: PackedAhead | None = None,
) -> dict[str, Any]:
    """Make the summary's files, call ``then``, and make the report; the summary.

    ``may_fork``: a process beside this one may draw for the report. ``ahead``: what was packed for
    it before.
    """
    with LedgerReader.open(folder) as reader:
        store = recorded(folder)
        records = reader.kept_records()
        summary = summary_of(job, reader, records, ending, store)
        write_summary(folder, summary)
        then()
        origin = origin_of(job, folder.name, summary["parent_run_id"])
        views = trial_views(reader, records, origin, store)
        write_report_html(folder / REPORT_HTML, summary, views, may_fork=may_fork, ahead=ahead)
    return summary


def summary_of(
    job: SweepJob,
    reader: LedgerReader,
    records: Iterable[TrialRecord],
    ending: Ending,
    store: Recorded | None,
) -> dict[str, Any]:
    """The whole summary, comparisons and gates included, from the ledger and its records alone."""
    queries = job.plan.query_set.queries
    columns = columns_by_cell(records, _by_id(queries))
    summary = summarise(
        _facts(job, reader, ending, store),
        cells=job.plan.cells,
        queries=queries,
        columns=columns,
        repeats=job.spec.repeats,
        judges=[scorer.name for scorer in job.spec.scorers if scorer.kind == "judge"],
    )
    return compared(summary, job, columns)


def _facts(
    job: SweepJob, reader: LedgerReader, ending: Ending, store: Recorded | None
) -> SweepFacts:
    runs = [session for session in reader.sessions() if session.kind == "run"]
    facts = runs[-1].facts
    return SweepFacts(
        sweep_id=reader.sweep_id,
        name=job.spec.name,
        experiment=job.spec.experiment,
        environment=job.spec.environment,
        status=ending.status,
        started_at=iso_utc(runs[0].started_at),
        ended_at=iso_utc(ending.ended_at),
        wall_seconds=_wall_seconds(runs, ending),
        trials_planned=job.plan.trial_count,
        spent_usd=reader.spent().total,
        max_usd=_cap_that_held(job, facts),
        parent_run_id=None if store is None else store.parent_run_id,
        parent_run_url=None if store is None else store.parent_url,
        tracking_uri=facts.get("tracking_uri"),
        digests={
            "spec": facts["spec_digest"],
            "query_set": facts["query_set_digest"],
            "retrieval": facts["retrieval_digest"],
            "git_commit": facts["git_commit"],
            "git_dirty": facts["git_dirty"],
        },
        stopped_models=ending.stopped_models,
    )


def _cap_that_held(job: SweepJob, facts: Mapping[str, Any]) -> Decimal | None:
    """USD: the spec's cap, or the lower one that budgets over time left to the newest session."""
    caps = facts.get(CAPS)
    if caps is None:
        return job.spec.budget.max_usd
    return None if caps["max_usd"] is None else Decimal(caps["max_usd"])


def _wall_seconds(runs: Sequence[SessionInfo], ending: Ending) -> float:
    """Seconds of all sessions; one that died is not counted, since nobody saw its end."""
    *before, newest = runs
    passed = sum(one.ended_at - one.started_at for one in before if one.ended_at is not None)
    return passed + max(0.0, ending.ended_at - newest.started_at)


def _by_id(queries: tuple[Query, ...]) -> dict[str, Query]:
    return {query.id: query for query in queries}

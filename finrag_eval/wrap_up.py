"""A session's last steps: the recorder is waited for while the summary and all files are made.

Enters: a ledger that is complete, and a recorder behind it. Leaves: the sweep's files, its run in
a final state, and the exit code. ``summary`` and ``score`` make the same files again from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from finrag_eval.comparisons import compared
from finrag_eval.domain import Query
from finrag_eval.ending import Ending
from finrag_eval.estimate.learning import learn
from finrag_eval.estimate.spreads import remember_spreads
from finrag_eval.job import SweepJob
from finrag_eval.provenance import iso_utc
from finrag_eval.record.ledger import LedgerReader, SessionInfo
from finrag_eval.record.parent import CAPS
from finrag_eval.record.payload import Origin
from finrag_eval.record.recording import Level, RecorderHandle
from finrag_eval.record.run_book import recorded
from finrag_eval.report.html import write_report_html
from finrag_eval.results import REPORT_HTML, write_summary, write_trials
from finrag_eval.summarise import SweepFacts, summarise
from finrag_eval.trial_columns import columns_by_cell
from finrag_eval.trial_table import TrialRows
from finrag_eval.trial_views import trial_views


class Watch(Protocol):
    """Who looks on while the recorder catches up."""

    def notice(self, line: str) -> None: ...
    def start(self, what: str, *, total: int, done: int, unit: str = "trial") -> None: ...
    def advance(self, done: int) -> None: ...
    def close(self) -> None: ...


def wrap_up(
    job: SweepJob,
    folder: Path,
    ending: Ending,
    *,
    recorder: RecorderHandle | None,
    watch: Watch,
) -> tuple[dict[str, Any], int]:
    """The summary and the exit code, once every file is written and the store is level."""
    level = None if recorder is None else _drain(recorder, watch)
    summary = write_files(job, folder, ending)
    teach = partial(_teach, job, folder, summary)
    if recorder is None:
        teach()
    else:
        ended = recorder.finish(ending.status, ended_at=ending.ended_at, meanwhile=teach)
        level = ended if level is None or level.is_level else level
    if level is not None and not level.is_level:
        watch.notice(
            f"MLflow does not have everything yet ({level.reason}); all of it is in the ledger, "
            f"and `finrag-eval sync {folder.name}` brings it level"
        )
    return summary, exit_code(ending, summary, level)


def exit_code(ending: Ending, summary: Mapping[str, Any], level: Level | None) -> int:
    """The contract's code: the first that applies of 130/143, 5, 3, 6 and 4."""
    if ending.exit_code:
        return ending.exit_code
    if level is not None and not level.is_level:
        return 6
    return 4 if any(not gate["passed"] for gate in summary["gates"]) else 0


def write_files(job: SweepJob, folder: Path, ending: Ending) -> dict[str, Any]:
    """Make all of the sweep's files from its ledger; the summary."""
    with LedgerReader.open(folder) as reader:
        store = recorded(folder)
        summary = summary_of(job, reader, ending, folder)
        write_summary(folder, summary)
        origin = _origin(job, folder.name, summary["parent_run_id"])
        rows = TrialRows(
            reader,
            origin,
            {} if store is None else store.run_ids,
            _score_names(job, summary),
        )
        write_trials(folder, rows.columns, rows.batches())
        write_report_html(folder / REPORT_HTML, summary, trial_views(reader, origin, store))
    return summary


def _teach(job: SweepJob, folder: Path, summary: Mapping[str, Any]) -> None:
    """Let the next plan of this results folder know what this sweep saw."""
    with LedgerReader.open(folder) as reader:
        learn(
            folder.parent,
            sweep_id=folder.name,
            ended_at=str(summary["ended_at"]),
            plan=job.plan,
            judges=list(job.judges.values()),
            records=reader.final_records(),
        )
    remember_spreads(folder.parent, folder.name, job.plan, summary["comparisons"])


def _score_names(job: SweepJob, summary: Mapping[str, Any]) -> list[str]:
    """The sweep's own scores in their order, then others that answers were given."""
    own = [scorer.name for scorer in job.spec.scorers]
    given = [name for cell in summary["cells"] for name in cell["scores"]]
    return list(dict.fromkeys([*own, *given]))


def summary_of(job: SweepJob, reader: LedgerReader, ending: Ending, folder: Path) -> dict[str, Any]:
    """The whole summary, comparisons and gates included, from the ledger alone."""
    queries = job.plan.query_set.queries
    columns = columns_by_cell(reader.final_records(), _by_id(queries))
    summary = summarise(
        _facts(job, reader, ending, folder),
        cells=job.plan.cells,
        queries=queries,
        columns=columns,
        repeats=job.spec.repeats,
        judges=[scorer.name for scorer in job.spec.scorers if scorer.kind == "judge"],
    )
    return compared(summary, job, columns)


def _facts(job: SweepJob, reader: LedgerReader, ending: Ending, folder: Path) -> SweepFacts:
    runs = [session for session in reader.sessions() if session.kind == "run"]
    store = recorded(folder)
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


def _origin(job: SweepJob, sweep_id: str, parent_run_id: str | None) -> Origin:
    return Origin(
        environment=job.spec.environment,
        include_kpi=job.spec.retrieval.include_kpi,
        include_rag=job.spec.retrieval.include_rag,
        repeats=job.spec.repeats,
        sweep_id=sweep_id,
        parent_run_id=parent_run_id,
        tags=job.spec.tags,
    )


def _by_id(queries: tuple[Query, ...]) -> dict[str, Query]:
    return {query.id: query for query in queries}


def _drain(recorder: RecorderHandle, watch: Watch) -> Level:
    """Wait for the recorder, with a bar where there is much to wait for."""
    shown = False

    def progress(done: int, behind: int) -> None:
        nonlocal shown
        if behind and not shown:
            watch.start("recording in MLflow", total=done + behind, done=done)
            shown = True
        if shown:
            watch.advance(done)

    try:
        return recorder.drain(progress=progress)
    finally:
        if shown:
            watch.close()

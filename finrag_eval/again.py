"""What can be done again from a ledger alone: the summary, the scores, and the runs in MLflow.

Enters: a sweep's id. Leaves: its files made anew. Nothing here asks a target for an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from finrag_eval.domain import Cell, SweepStatus, Trial
from finrag_eval.ending import Ending
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.execute.gate import Gate
from finrag_eval.execute.gates import Gates
from finrag_eval.from_ledger import write_files
from finrag_eval.job import SweepJob, job_of_ledger, judge_keys, with_judges_of
from finrag_eval.judging import judge_answers, judges_of
from finrag_eval.progress import Watch
from finrag_eval.record.ground import tracking_problems
from finrag_eval.record.ledger import Ledger, LedgerReader, find_sweep
from finrag_eval.record.recording import Level, RecorderHandle, sync_sweep
from finrag_eval.record.store_uri import mask_uri, resolve_tracking_uri
from finrag_eval.scoring import Scoring
from finrag_eval.session import SweepResult, gate_settings
from finrag_eval.spec.ml_config import find_ml_config, read_ml_config
from finrag_eval.spec.sweeps import read_scorers
from finrag_eval.stopping import StopAtOnce, stops_on_signals
from finrag_eval.wrap_up import exit_code, wrap_up

_ENDED = ("completed", "partial", "budget_stopped", "interrupted", "failed")


def summary_again(sweep_id: str, *, output_dir: Path) -> SweepResult:
    """The sweep's summary and files, made anew from its ledger."""
    folder = find_sweep(output_dir, sweep_id)
    with LedgerReader.open(folder) as reader:
        job, ending = job_of_ledger(reader), ending_in(reader)
    summary = write_files(job, folder, ending)
    return SweepResult(summary=summary, exit_code=exit_code(ending, summary, None), folder=folder)


def score_again(
    sweep_id: str,
    *,
    scorers: Sequence[str] | None,
    output_dir: Path,
    tracking_uri: str | None,
    tracking: bool,
    watch: Watch,
    config: Path | None = None,
) -> SweepResult:
    """Score every recorded answer with the given scorers, else with the sweep's own.

    Scores of other names stay as they are. Judges are asked for verdicts that are not there yet,
    within the sweep's budget; ``config`` has the models of judges that the sweep did not have.
    Raises InvalidInput for scorers that are none.
    """
    folder = find_sweep(output_dir, sweep_id)
    with LedgerReader.open(folder) as reader:
        job, ending = job_of_ledger(reader), ending_in(reader)
    if scorers:
        job = replace(job, spec=replace(job.spec, scorers=read_scorers(scorers, "--scorer")))
        job = _with_judges(job, config)
    uri = _checked_uri(job, tracking_uri, output_dir) if tracking else None
    with Ledger.open(folder, redact=frozenset(job.spec.redact)) as ledger:
        ledger.begin_session(job.spec.resolved, job.facts(), kind="score")
        scoring = Scoring(job, ledger)
        watch.start("scoring", total=job.plan.trial_count, done=0)
        for done in scoring.all_again():
            watch.advance(done)
        watch.close()
        ledger.flush()
        ending = _judge(job, ledger, ending, watch)
        ledger.end_session(ending.status, ending.exit_code)
    recorder = (
        None if uri is None else RecorderHandle.start(folder, uri=uri, on_notice=watch.notice)
    )
    try:
        summary, code = wrap_up(
            job, folder, ending, recorder=recorder, watch=watch, is_as_recorded=False
        )
    finally:
        if recorder is not None:
            recorder.close()
    return SweepResult(summary=summary, exit_code=code, folder=folder)


def _with_judges(job: SweepJob, config: Path | None) -> SweepJob:
    """The job with its judges' models and rubrics checked, before anything is written."""
    if any(key not in job.judges for key in judge_keys(job.spec)):
        problems: list[Problem] = []
        found = read_ml_config(find_ml_config(config), problems=problems)
        if found is None:
            raise InvalidInput(problems)
        job = with_judges_of(job, found)
    judges_of(job)
    return job


def _judge(job: SweepJob, ledger: Ledger, ending: Ending, watch: Watch) -> Ending:
    """Ask the job's judges for the verdicts that are missing; the ending, with what stopped it."""
    gates = Gates()

    def stop() -> None:
        watch.notice("stopping: no new calls; waiting for those in flight (once more: at once)")
        gates.stop()

    def opened(trials: Sequence[Trial], cells: Sequence[Cell]) -> Gate:
        return Gate(trials, cells, **gate_settings(job, ledger, job.spec.budget, watch))

    try:
        with stops_on_signals(stop) as stopping:
            for step in judge_answers(job, ledger, opened):
                if isinstance(step, Gate):
                    gates.add(step)
                    watch.start("judging", total=job.plan.trial_count, done=0)
                else:
                    watch.advance(step)
    except StopAtOnce:
        raise KeyboardInterrupt from None
    finally:
        watch.close()
    reason = gates.reason or "done"
    if stopping.exit_code is None and reason == "done":
        return ending
    watch.notice("not every answer was judged; the same command goes on with the rest")
    return replace(ending, exit_code=3 if reason == "budget" else stopping.exit_code or 130)


def sync_again(
    sweep_id: str,
    *,
    output_dir: Path,
    tracking_uri: str | None,
    experiment: str | None,
    watch: Watch,
) -> Level:
    """Bring the store level with the ledger, and the sweep's files up to date with it."""
    folder = find_sweep(output_dir, sweep_id)
    with LedgerReader.open(folder) as reader:
        job, ending = job_of_ledger(reader), ending_in(reader)
    uri = _checked_uri(job, tracking_uri, output_dir)
    watch.start("recording in MLflow", total=job.plan.trial_count, done=0)
    try:
        return sync_sweep(
            folder,
            uri,
            experiment=experiment,
            between=lambda handle: _files_again(job, folder, ending),
            on_notice=watch.notice,
            progress=lambda done, behind: watch.advance(done),
        )
    finally:
        watch.close()


def ending_in(reader: LedgerReader) -> Ending:
    """How the sweep's newest run ended; one that died was interrupted."""
    run = next((one for one in reversed(reader.sessions()) if one.kind == "run"), None)
    if run is None:
        return Ending(status="interrupted", exit_code=0, ended_at=reader.created_at)
    return Ending(
        status=cast("SweepStatus", run.status) if run.status in _ENDED else "interrupted",
        exit_code=0 if run.exit_code in (None, 4, 6) else run.exit_code,
        ended_at=run.started_at if run.ended_at is None else run.ended_at,
    )


def _files_again(job: SweepJob, folder: Path, ending: Ending) -> None:
    write_files(job, folder, ending)


def _checked_uri(job: SweepJob, tracking_uri: str | None, output_dir: Path) -> str:
    uri = resolve_tracking_uri(tracking_uri)
    problems, away = tracking_problems(
        uri,
        experiment=job.spec.experiment,
        tracking=job.spec.tracking,
        resumed=True,
        results_folder=output_dir,
    )
    if problems:
        raise InvalidInput(problems)
    if away is not None:
        from finrag_eval.errors import StoreUnreachable

        raise StoreUnreachable(mask_uri(uri), away)
    return uri

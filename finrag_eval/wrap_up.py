"""A session's last steps: the store is brought level, every file is made, the run is closed.

Enters: a ledger that is complete, and a recorder behind it. Leaves: the sweep's files, its run in
a final state, and the exit code. The recorder makes the summary and the report, since it has the
libraries loaded that this process never needed, while the tables are made here; where there is no
recorder, or it could not, all is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from finrag_eval.domain import TrialRecord
from finrag_eval.ending import Ending
from finrag_eval.job import SweepJob
from finrag_eval.provenance import iso_utc
from finrag_eval.record.ledger import LedgerReader
from finrag_eval.record.recording import Level, RecorderHandle
from finrag_eval.results import read_summary
from finrag_eval.trial_table import write_trial_tables

if TYPE_CHECKING:
    from finrag_eval.estimate.learning import Lessons


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
    is_as_recorded: bool = True,
) -> tuple[dict[str, Any], int]:
    """The summary and the exit code, once every file is written and the store is level.

    ``is_as_recorded``: the job is the one that the ledger remembers.
    """
    with LedgerReader.open(folder) as reader:
        reading = _Reading(job, reader)
        level = None if recorder is None else _drain(recorder, watch, reading.begin)
        can_write = is_as_recorded and level is not None and level.is_level
        summary = _write_files(job, folder, ending, reading, recorder if can_write else None)
    if recorder is not None:
        ended = recorder.finish(ending.status, ended_at=ending.ended_at)
        recorder.dismiss()
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


def _write_files(
    job: SweepJob,
    folder: Path,
    ending: Ending,
    reading: _Reading,
    recorder: RecorderHandle | None,
) -> dict[str, Any]:
    """The summary, with every file made: the tables here, summary and report by the recorder."""
    if recorder is not None:
        recorder.begin_files(ending.as_json())
    lessons = reading.lessons
    write_trial_tables(job, folder, reading.reader, reading.records, lessons.score_names)
    summary = None
    if recorder is not None and recorder.has_made_summary():
        summary = read_summary(folder)
    is_made_behind = summary is not None
    if summary is None:
        summary = _write_summary_and_report(job, folder, ending)
    _teach(job, folder, ending, summary, lessons)
    if recorder is not None and is_made_behind and not recorder.has_made_files():
        summary = _write_summary_and_report(job, folder, ending)
    return summary


def _write_summary_and_report(job: SweepJob, folder: Path, ending: Ending) -> dict[str, Any]:
    """Loads what this process needs for nothing else."""
    from finrag_eval.from_ledger import write_summary_and_report

    return write_summary_and_report(job, folder, ending)


class _Reading:
    """What the tables and the next plan need, read while the recorder catches up."""

    def __init__(self, job: SweepJob, reader: LedgerReader) -> None:
        self._job, self.reader = job, reader

    def begin(self) -> None:
        """Read the ledger."""
        _ = self.lessons

    @cached_property
    def records(self) -> Iterable[TrialRecord]:
        """The sweep's trials, to go through several times."""
        return self.reader.kept_records()

    @cached_property
    def lessons(self) -> Lessons:
        """What the sweep's answers teach."""
        from finrag_eval.estimate.learning import Lessons

        return Lessons(self._job.plan, self.records)


def _teach(
    job: SweepJob, folder: Path, ending: Ending, summary: Mapping[str, Any], lessons: Lessons
) -> None:
    """Let the next plan of this results folder know what this sweep saw."""
    from finrag_eval.estimate.learning import learn
    from finrag_eval.estimate.spreads import remember_spreads

    learn(
        folder.parent,
        lessons,
        sweep_id=folder.name,
        ended_at=str(iso_utc(ending.ended_at)),
        judges=list(job.judges.values()),
    )
    remember_spreads(folder.parent, folder.name, job.plan, summary["comparisons"])


def _drain(recorder: RecorderHandle, watch: Watch, meanwhile: Callable[[], None]) -> Level:
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
        return recorder.drain(meanwhile=meanwhile, progress=progress)
    finally:
        if shown:
            watch.close()

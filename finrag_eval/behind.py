"""The process behind a sweep: it records, and at the end it makes the summary and the report.

    python -m finrag_eval.behind

Enters: the driver's commands on stdin. Leaves: runs in MLflow, summary and report beside the
ledger, and events on stdout. Between two batches it loads what the files need, and reads for the
report what is recorded by then; the driver's process keeps its one lock for the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finrag_eval.beforehand import made_ready
from finrag_eval.leaving import leave
from finrag_eval.record.recorder import main

if TYPE_CHECKING:
    from finrag_eval.reading_ahead import ReadingAhead

#: Trials of a sweep whose report may be drawn by two processes: of 100,000 it would save half a
#: second of five minutes, and take 60 MB more at the peak (2026-11-29).
_FORKS_UP_TO = 10_000


class Files:
    """Makes a sweep's files, and makes ready for it piece by piece."""

    def __init__(self) -> None:
        self._steps: Iterator[bool] | None = None
        self._ahead: ReadingAhead | None = None

    def make_ready(self, folder: Path) -> bool:
        if self._steps is None:
            self._steps = self._all_steps(folder)
        return next(self._steps, False)

    def _all_steps(self, folder: Path) -> Iterator[bool]:
        """True after each piece of work, False where there is none just now."""
        yield from made_ready()
        from finrag_eval.reading_ahead import ReadingAhead

        self._ahead = ReadingAhead.begun(folder)
        while self._ahead is not None:
            yield self._ahead.step()

    def write(self, folder: Path, ending: Mapping[str, Any], then: Callable[[], None]) -> None:
        from finrag_eval.ending import Ending
        from finrag_eval.from_ledger import write_summary_and_report
        from finrag_eval.job import job_of_ledger
        from finrag_eval.record.ledger import LedgerReader

        with LedgerReader.open(folder) as reader:
            job = job_of_ledger(reader)
        write_summary_and_report(
            job,
            folder,
            Ending(**ending),
            then=then,
            may_fork=job.plan.trial_count <= _FORKS_UP_TO,
            ahead=None if self._ahead is None else self._ahead.packed,
        )

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()


if __name__ == "__main__":
    leave(main(Files()))

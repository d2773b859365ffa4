"""The results folder: which sweeps there are, which one is meant, which answers, which to prune.

Enters: a folder with one folder a sweep. Leaves: listings and paths. A ledger that cannot be read
is listed as such and never hides the others.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from finrag_eval.errors import InvalidInput, LedgerUnreadable, Problem, SweepInUse
from finrag_eval.record.ledger import finding
from finrag_eval.record.ledger.connections import LEDGER_FILE, ReadOnly
from finrag_eval.record.ledger.listing import (
    SUMMARY_FILE,
    SweepListing,
    listing_of,
    pruned_listing,
)
from finrag_eval.record.ledger.lock import SweepLock

LATEST = "latest"

#: What holds texts of trials, or is of no use without them. Summaries, reports and specs stay.
_PRUNED_PATTERNS = ("ledger.sqlite*", "trials.*", "recording.sqlite*")

_AMBIGUOUS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """A sweep whose trials were removed (or would be), and how many bytes that frees."""

    sweep_id: str
    freed_bytes: int

    def __str__(self) -> str:
        return f"{self.sweep_id} ({self.freed_bytes / 1e6:.1f} MB)"


def list_sweeps(results_folder: Path) -> list[SweepListing]:
    """All sweeps of the folder, newest first; none where there is no such folder."""
    listings = [_listing(folder) for folder in _sweep_folders(results_folder)]
    return sorted(listings, key=lambda found: (found.started_at or 0, found.sweep_id), reverse=True)


def find_sweep(results_folder: Path, wanted: str) -> Path:
    """The folder of the sweep with that id, with an id that begins so, or of the ``latest`` one.

    Raises InvalidInput with the nearest ids where none fits, and with all where several do.
    """
    names = [folder.name for folder in _sweep_folders(results_folder)]
    if wanted in names:
        return results_folder / wanted
    if wanted == LATEST and names:
        return list_sweeps(results_folder)[0].folder
    fitting = [name for name in names if wanted and name.startswith(wanted)]
    if len(fitting) == 1:
        return results_folder / fitting[0]
    raise InvalidInput([_not_found(results_folder, wanted, names, fitting)])


def recorded_answers(
    results_folder: Path, keys: Collection[str], *, besides: str | None = None
) -> dict[str, tuple[str, int]]:
    """For each key that some sweep has a whole answer to: that sweep's id and the outcome's.

    The newest sweep's answer is given; the sweep ``besides`` (the one that asks) is left out, and
    so are ledgers that cannot be read.
    """
    wanted = set(keys)
    found: dict[str, tuple[str, int]] = {}
    for listing in list_sweeps(results_folder):
        if listing.is_pruned or listing.problem or listing.sweep_id == besides:
            continue
        answers = _answers_in(listing.folder)
        for key in wanted & answers.keys():
            found[key] = (listing.sweep_id, answers[key])
        wanted -= answers.keys()
        if not wanted:
            break
    return found


def prune(
    results_folder: Path,
    *,
    older_than_seconds: float,
    now: float | None = None,
    dry_run: bool = False,
) -> list[Pruned]:
    """Remove the trials of sweeps that were last active so long ago; their summaries stay.

    A sweep that is being run is never touched, nor one whose ledger cannot be read, nor one that
    has no summary of all that it did yet (see ``lacks_summary``).
    """
    instant = time.time() if now is None else now
    old = [
        listing
        for listing in list_sweeps(results_folder)
        if not listing.is_pruned
        and listing.problem is None
        and listing.running_pid is None
        and listing.last_active_at is not None
        and instant - listing.last_active_at > older_than_seconds
        and not lacks_summary(listing)
    ]
    pruned = []
    for listing in old:
        freed = _bytes_to_free(listing.folder) if dry_run else _prune_one(listing.folder)
        if freed is not None:
            pruned.append(Pruned(sweep_id=listing.sweep_id, freed_bytes=freed))
    return pruned


def lacks_summary(listing: SweepListing) -> bool:
    """Whether a sweep died before its summary, or went on after it: its ledger alone knows all."""
    summary = listing.folder / SUMMARY_FILE
    is_old = summary.is_file() and summary.stat().st_mtime < (listing.last_active_at or 0)
    return not listing.is_pruned and (is_old or not summary.is_file())


def _sweep_folders(results_folder: Path) -> Iterator[Path]:
    if not results_folder.is_dir():
        return
    for folder in sorted(results_folder.iterdir()):
        if (folder / LEDGER_FILE).is_file() or (folder / SUMMARY_FILE).is_file():
            yield folder


def _listing(folder: Path) -> SweepListing:
    return listing_of(folder) if (folder / LEDGER_FILE).is_file() else pruned_listing(folder)


def _not_found(results_folder: Path, wanted: str, names: list[str], fitting: list[str]) -> Problem:
    place = str(results_folder)
    if fitting:
        shown = ", ".join(fitting[:_AMBIGUOUS_SHOWN])
        more = len(fitting) - _AMBIGUOUS_SHOWN
        shown += f" and {more} more" if more > 0 else ""
        return Problem(
            file=place,
            message=f"{len(fitting)} sweeps begin with '{wanted}'",
            fix=f"give more of the id: {shown}",
        )
    if not names:
        return Problem(
            file=place,
            message="there is no sweep here",
            fix="run one first, or name its folder with --output-dir",
        )
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    return Problem(
        file=place,
        message=f"there is no sweep '{wanted}'",
        fix=f"did you mean {' or '.join(near)}?" if near else "`finrag-eval sweeps` lists them",
    )


def _answers_in(folder: Path) -> dict[str, int]:
    try:
        opened = ReadOnly(folder)
    except LedgerUnreadable:
        return {}
    try:
        return finding.recorded_answers(opened.connection)
    finally:
        opened.close()


def _prune_one(folder: Path) -> int | None:
    """Bytes freed; None where somebody began to run the sweep in between."""
    try:
        lock = SweepLock.acquire(folder)
    except SweepInUse:
        return None
    try:
        freed = _bytes_to_free(folder)
        for path in _files_to_prune(folder):
            path.unlink(missing_ok=True)
        return freed
    finally:
        lock.release(remove=True)


def _bytes_to_free(folder: Path) -> int:
    return sum(path.stat().st_size for path in _files_to_prune(folder))


def _files_to_prune(folder: Path) -> list[Path]:
    return [path for pattern in _PRUNED_PATTERNS for path in folder.glob(pattern) if path.is_file()]

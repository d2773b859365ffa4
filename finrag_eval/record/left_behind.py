"""Sweeps that died together with their recorder: the next one beside them ends their runs.

Enters: a store, and a sweep's folder among others. Leaves: no run RUNNING whose sweep is dead. What
such a sweep has in its ledger is recorded when somebody resumes or syncs it.
"""

from __future__ import annotations

from pathlib import Path

from finrag_eval.record.ledger import SweepListing, list_sweeps
from finrag_eval.record.reconcile import end_running
from finrag_eval.record.store import Store


def end_runs_left_behind(store: Store, folder: Path) -> None:
    """Ends all RUNNING runs of dead sweeps in the output folder of the one in ``folder``."""
    for listing in list_sweeps(folder.absolute().parent):
        if _is_dead(listing) and listing.folder.name != folder.name:
            end_running(store, listing.sweep_id)


def _is_dead(listing: SweepListing) -> bool:
    has_ended = listing.exit_code is not None or listing.is_pruned
    return not has_ended and listing.running_pid is None and listing.problem is None

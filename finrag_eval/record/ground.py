"""Can this sweep be recorded? Decided before the first call, without importing MLflow.

A store that never answered here is taken for a typing error, and refused while nothing is paid. A
store that has recorded a sweep of this results folder before is taken to be away for a while: the
sweep goes on, and recording catches up. ``tracking.on_unreachable`` says otherwise where it is
``stop`` or ``go_on``.
"""

from __future__ import annotations

from pathlib import Path

from finrag_eval.domain import TrackingSpec
from finrag_eval.errors import Problem
from finrag_eval.record.run_book import recorded
from finrag_eval.record.store_uri import mask_uri, store_problems, why_unreachable

_SWEEPS_LOOKED_AT = 50


def tracking_problems(
    uri: str, *, experiment: str, tracking: TrackingSpec, resumed: bool, results_folder: Path
) -> tuple[tuple[Problem, ...], str | None]:
    """What forbids to start, and, where the store is only away, why it does not answer."""
    if problems := store_problems(uri, experiment=experiment):
        return problems, None
    reason = why_unreachable(uri)
    if reason is None:
        return (), None
    policy = tracking.on_unreachable
    goes_on = policy == "go_on" or (
        policy == "auto" and (resumed or _has_recorded(uri, results_folder))
    )
    if goes_on:
        return (), reason
    return (
        (
            Problem(
                file="tracking store",
                key="--tracking-uri",
                message=f"{mask_uri(uri)} does not answer: {reason}",
                fix="start it or mend the URI; --no-tracking records in the ledger alone, and "
                "--set tracking.on_unreachable=go_on runs now and leaves the rest to `sync`",
            ),
        ),
        None,
    )


def _has_recorded(uri: str, results_folder: Path) -> bool:
    """Whether an earlier sweep of the folder reached this store."""
    if not results_folder.is_dir():
        return False
    newest = sorted(results_folder.iterdir(), reverse=True)[:_SWEEPS_LOOKED_AT]
    books = (recorded(folder) for folder in newest if folder.is_dir())
    return any(
        book is not None and book.uri == mask_uri(uri) and book.parent_run_id for book in books
    )

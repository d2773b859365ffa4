"""Spend over time: read back from the tracking store, summed, set against budgets.

``load_costs`` is its public door, for notebooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import pandas as pd


def load_costs(
    *,
    since: str | date | None = None,
    until: str | date | None = None,
    by: Sequence[str] = ("day", "model_key"),
    experiments: Sequence[str] = (),
    tracking_uri: str | None = None,
    tz: str = "UTC",
) -> pd.DataFrame:
    """Spend per group as a pandas frame; columns as in ``costs.report.group_spend``.

    ``since`` and ``until`` are days (``YYYY-MM-DD``, both included) in the zone ``tz``. Raises
    InvalidInput for a wrong day, an unknown dimension, zone or experiment, and StoreUnreachable.
    """
    from finrag_eval.costs.report import check_dimensions, check_zone, group_spend
    from finrag_eval.costs.spend import read_spend
    from finrag_eval.record.store_uri import resolve_tracking_uri
    from finrag_eval.record.tracked import TrackedStore

    dimensions, zone = check_dimensions(by), check_zone(tz)
    spend = read_spend(
        TrackedStore(uri=resolve_tracking_uri(tracking_uri)),
        since=day_start(since, zone),
        until=day_end(until, zone),
        experiments=experiments,
    )
    return group_spend(spend, dimensions, zone=zone)


def day_start(day: str | date | None, zone: ZoneInfo) -> float | None:
    """The instant (epoch seconds) at which a day begins in a zone; None for None."""
    if day is None:
        return None
    return datetime.combine(_date(day), time.min, zone).timestamp()


def day_end(day: str | date | None, zone: ZoneInfo) -> float | None:
    """The instant at which the day after begins in a zone; None for None."""
    if day is None:
        return None
    return day_start(_date(day) + timedelta(days=1), zone)


def _date(day: str | date) -> date:
    if isinstance(day, datetime):
        return day.date()
    if isinstance(day, date):
        return day
    try:
        return date.fromisoformat(day)
    except ValueError:
        from finrag_eval.errors import InvalidInput, Problem

        message, fix = f"{day!r} is not a day", "write it like 2026-01-31"
        raise InvalidInput([Problem(file="load_costs", message=message, fix=fix)]) from None

"""Spend summed by day, week, month, model, prompt version and more: one row per group.

Enters: a spend frame. Leaves: a frame of sums. Real money and rehearsal figures never meet in one
row: ``cost_basis`` is always a part of the group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from finrag_eval.costs.spend import JUDGING, LOST, MONEY, SPENT, TOKENS
from finrag_eval.errors import InvalidInput, Problem

if TYPE_CHECKING:
    import pandas as pd

#: What a report can be grouped by.
DIMENSIONS = (
    "day",
    "week",
    "month",
    "model_key",
    "prompt_version",
    "environment",
    "experiment",
    "sweep",
    "sweep_id",
    "query_tag",
)

#: How the periods of the calendar are written; weeks are those of ISO 8601.
PERIODS = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}
#: What a query without tags counts as.
UNTAGGED = "untagged"
#: The figures of a group, in their order.
FIGURES = ("runs", "failed", *TOKENS, "cache_share", *MONEY, "spent_usd", "usd_per_run")


def check_dimensions(names: Sequence[str]) -> tuple[str, ...]:
    """The dimensions as asked for; InvalidInput names every unknown one."""
    unknown = [name for name in names if name not in DIMENSIONS]
    if unknown:
        raise InvalidInput(
            Problem(
                file="command line",
                key="--by",
                message=f"unknown dimension {name!r}",
                fix="known: " + ", ".join(DIMENSIONS),
            )
            for name in unknown
        )
    return tuple(dict.fromkeys(names))


def check_zone(name: str) -> ZoneInfo:
    """The time zone that days are counted in; InvalidInput where it does not exist."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise InvalidInput(
            [
                Problem(
                    file="command line",
                    key="--tz",
                    message=f"no time zone {name!r}",
                    fix="write it like Europe/Berlin or UTC",
                )
            ]
        ) from None


def group_spend(
    spend: pd.DataFrame, by: Sequence[str], *, zone: ZoneInfo | None = None
) -> pd.DataFrame:
    """Sums per group, in the order of the groups; days are those of ``zone`` (UTC by default).

    Columns: those of ``by``, ``cost_basis``, ``runs`` and ``failed`` (int64), token counts (NaN
    where no run of the group has any), ``cache_share`` (cache reads among all prompt tokens; NaN
    without any), the five kinds of USD, ``spent_usd`` (target + judge + retrieval + wasted) and
    ``usd_per_run`` (NaN without runs). Money is summed exactly. A query with several tags counts
    in the group of each, so sums over ``query_tag`` may exceed the total.
    """
    import pandas as pd

    keys = [*by, "cost_basis"]
    keyed = _with_dimensions(spend, by, zone or ZoneInfo("UTC"))
    is_run = ~keyed["status"].isin([LOST, JUDGING])
    keyed["runs"] = is_run.astype("int64")
    keyed["failed"] = (keyed["status"] == "failed").astype("int64")
    groups = keyed.groupby(keys, sort=True, dropna=False)
    sums = groups[["runs", "failed"]].sum()
    sums[list(TOKENS)] = groups[list(TOKENS)].sum(min_count=1)
    codes = groups.ngroup().to_numpy()
    for name in MONEY:
        sums[name] = pd.Series(_exact_sums(keyed[name], codes, len(sums)), index=sums.index)
    amounts = zip(*(sums[name] for name in SPENT), strict=True)
    sums["spent_usd"] = [math.fsum(parts) for parts in amounts]
    prompt = sums[[name for name in TOKENS if name != "output_tokens"]].sum(axis=1, min_count=1)
    sums["cache_share"] = sums["cache_read_tokens"] / prompt.where(prompt > 0)
    sums["usd_per_run"] = sums["spent_usd"] / sums["runs"].where(sums["runs"] > 0)
    return sums.reset_index()[[*keys, *FIGURES]]


def total_by_basis(spend: pd.DataFrame) -> pd.DataFrame:
    """One row per cost basis: the same sums over everything."""
    return group_spend(spend, [])


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows as plain JSON-able dictionaries; what is not known is None."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [
        {str(name): _plain(str(name), value) for name, value in row.items()}
        for row in plain.to_dict("records")
    ]


def _plain(name: str, value: Any) -> Any:
    """A value of Python's own; tokens are whole."""
    if value is None:
        return None
    if name in TOKENS:
        return int(value)
    return value.item() if hasattr(value, "item") else value


def _exact_sums(amounts: pd.Series[Any], codes: Any, groups: int) -> list[float]:
    """The sum of each group, rounded once (``math.fsum``)."""
    parts: list[list[float]] = [[] for _ in range(groups)]
    for code, amount in zip(codes.tolist(), amounts.tolist(), strict=True):
        if amount:
            parts[code].append(amount)
    return [math.fsum(part) for part in parts]


def _with_dimensions(spend: pd.DataFrame, by: Sequence[str], zone: ZoneInfo) -> pd.DataFrame:
    keyed = spend.copy()
    for name in by:
        if name in PERIODS:
            keyed[name] = _period(spend["started_at"], name, zone)
    if "query_tag" in by:
        keyed["query_tag"] = keyed["query_tags"].replace("", UNTAGGED).str.split(",")
        keyed = keyed.explode("query_tag", ignore_index=True)
    return keyed


def _period(instants: pd.Series[Any], name: str, zone: ZoneInfo) -> pd.Series[Any]:
    """The day, ISO week or month that each instant is in, in a zone."""
    days = instants.dt.tz_convert(zone).dt.tz_localize(None).dt.normalize()
    written: pd.Series[Any] = days.map({day: day.strftime(PERIODS[name]) for day in days.unique()})
    return written

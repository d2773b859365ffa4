"""Spend summed by day, week, month, model, prompt version and more: one row per group.

Enters: a spend frame. Leaves: a frame of sums. Real money and rehearsal figures never meet in one
row: ``cost_basis`` is always a part of the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

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

_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_MONEY = ("target_usd", "judge_usd", "retrieval_usd", "wasted_usd", "saved_usd")


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
    """Sums per group, in the order of the groups.

    Columns: those of ``by``, ``cost_basis``, ``runs``, ``failed``, token counts, ``cache_share``
    (cache reads among all prompt tokens; NaN without any), the five kinds of USD, ``spent_usd``
    (target + judge + retrieval + wasted) and ``usd_per_run``. A query with several tags counts in
    the group of each, so sums over ``query_tag`` may exceed the total.
    """
    keys = [*by, "cost_basis"]
    keyed = _with_dimensions(spend, by, zone or ZoneInfo("UTC"))
    if keyed.empty:
        return _derived(keyed.reindex(columns=[*keys, "runs", "failed", *_TOKENS, *_MONEY]))
    keyed["runs"] = (keyed["status"] != "lost").astype("int64")
    keyed["failed"] = (keyed["status"] == "failed").astype("int64")
    sums = keyed.groupby(keys, sort=True, dropna=False)[["runs", "failed", *_TOKENS, *_MONEY]].sum()
    return _derived(sums.reset_index())


def total_by_basis(spend: pd.DataFrame) -> pd.DataFrame:
    """One row per cost basis: the same sums over everything."""
    return group_spend(spend, [])


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows as plain JSON-able dictionaries; what is not known is None."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [
        {str(key): value.item() if hasattr(value, "item") else value for key, value in row.items()}
        for row in plain.to_dict("records")
    ]


def _with_dimensions(spend: pd.DataFrame, by: Sequence[str], zone: ZoneInfo) -> pd.DataFrame:
    keyed = spend.copy()
    for name in by:
        if name in ("day", "week", "month"):
            keyed[name] = _period(spend["started_at"], name, zone)
        elif name == "query_tag":
            keyed[name] = spend["query_tags"].str.split(",")
            keyed = keyed.explode(name, ignore_index=True)
            keyed[name] = keyed[name].replace("", "untagged")
    return keyed


def _period(instants: pd.Series[Any], name: str, zone: ZoneInfo) -> Any:
    local = instants.dt.tz_convert(zone).dt.tz_localize(None)
    if name == "week":
        calendar = local.dt.isocalendar()
        return calendar["year"].astype(str) + "-W" + calendar["week"].astype(str).str.zfill(2)
    return local.dt.strftime("%Y-%m-%d" if name == "day" else "%Y-%m")


def _derived(sums: pd.DataFrame) -> pd.DataFrame:
    prompt = sums["input_tokens"] + sums["cache_read_tokens"] + sums["cache_write_tokens"]
    sums["cache_share"] = sums["cache_read_tokens"] / prompt.where(prompt > 0)
    sums["spent_usd"] = (
        sums["target_usd"] + sums["judge_usd"] + sums["retrieval_usd"] + sums["wasted_usd"]
    )
    sums["usd_per_run"] = sums["spent_usd"] / sums["runs"].where(sums["runs"] > 0)
    return sums

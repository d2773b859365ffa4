"""Budgets over time: what is spent and left of each, and how its period will end.

Enters: a budget, a spend frame and an instant. Leaves: a ``BudgetStatus``. A budget counts real
money alone (``cost_basis`` billed), by when each trial started, and never rehearsals.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from finrag_eval.costs.spend import SPENT

if TYPE_CHECKING:
    import pandas as pd

PeriodName = Literal["day", "week", "month"]

#: Whole days before today that a forecast is made from, at most and at least.
LOOK_BACK_DAYS, _FEWEST_DAYS = 28, 2
_RESAMPLES, _SEED = 2_000, 20_220

#: Below this many USD a difference is the rounding of floats, and no money.
SMALLEST_USD = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which spending a budget counts: everything where nothing is named."""

    experiment: str | None = None
    environment: str | None = None
    model_key: str | None = None
    tag: tuple[str, str] | None = None

    def amounts(self, spend: pd.DataFrame) -> pd.Series[Any]:
        """USD of real money that this scope counts, row by row.

        For a model: what its own answers cost, and what it was paid as a judge. Where a sweep had
        several judges, or lost calls of several models, all of that counts for each of them.
        """
        held = spend["cost_basis"] == "billed"
        for name in ("experiment", "environment"):
            if (wanted := getattr(self, name)) is not None:
                held &= spend[name] == wanted
        if self.tag is not None:
            key, value = self.tag
            fitting = [
                text for text in spend["tags"].unique() if json.loads(text).get(key) == value
            ]
            held &= spend["tags"].isin(fitting)
        if self.model_key is None:
            return spend[list(SPENT)].sum(axis=1).where(held, 0.0)
        own = [name for name in SPENT if name != "judge_usd"]
        answers = spend[own].sum(axis=1).where(self._names(spend["model_key"]), 0.0)
        judging = spend["judge_usd"].where(self._names(spend["judges"]), 0.0)
        return (answers + judging).where(held, 0.0)

    def unknown_names(self, spend: pd.DataFrame) -> list[str]:
        """A sentence for every name of the scope that no row of the frame has: a typo, perhaps."""
        known = {
            "experiment": set(spend["experiment"]),
            "environment": set(spend["environment"]),
            "model_key": {
                key
                for name in ("model_key", "judges")
                for text in spend[name].unique()
                for key in text.split(", ")
            },
        }
        asked = {name: getattr(self, name) for name in known}
        if self.tag is not None:
            key, asked["tag"] = self.tag
            told = (json.loads(text).get(key) for text in spend["tags"].unique())
            known["tag"] = {value for value in told if value is not None}
        return [
            _never_seen(name, wanted, known[name] - {""})
            for name, wanted in asked.items()
            if wanted is not None and wanted not in known[name]
        ]

    def _names(self, keys: pd.Series[Any]) -> pd.Series[Any]:
        """Where a list of model keys holds this scope's."""
        return keys.isin([text for text in keys.unique() if self.model_key in text.split(", ")])


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodBudget:
    """A limit in USD on what one period of the calendar may cost."""

    name: str
    period: PeriodName
    limit_usd: Decimal
    scope: Scope = field(default_factory=Scope)
    zone: str = "UTC"

    def bounds(self, now: datetime) -> tuple[datetime, datetime]:
        """Start and end of the period that ``now`` is in, in the budget's own zone."""
        today = now.astimezone(ZoneInfo(self.zone)).date()
        first, after = self._days(today)
        return self.midnight(first), self.midnight(after)

    def midnight(self, day: date) -> datetime:
        """The instant at which a day begins in the budget's zone."""
        return datetime.combine(day, time.min, ZoneInfo(self.zone))

    def needs_since(self, now: datetime) -> float:
        """The instant (epoch seconds) from which on spending must be known for a status."""
        today = now.astimezone(ZoneInfo(self.zone)).date()
        first = min(self._days(today)[0], today - timedelta(days=LOOK_BACK_DAYS))
        return self.midnight(first).timestamp()

    def _days(self, today: date) -> tuple[date, date]:
        if self.period == "day":
            return today, today + timedelta(days=1)
        if self.period == "week":
            monday = today - timedelta(days=today.weekday())
            return monday, monday + timedelta(days=7)
        first = today.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """Where a budget stands: USD throughout; None where there is too little to say it from.

    ``run_rate_usd_per_day`` is the mean of the whole days of the last four weeks, from the first
    one with any spending on. ``forecast_usd`` is what the period will have cost at its end, with
    its 5th and 95th percentile; ``runs_out_on`` the day (of the budget's zone) on which the limit
    was reached, or on which the expected spending will pass it.
    """

    budget: PeriodBudget
    start: datetime
    end: datetime
    spent_usd: float
    left_usd: float
    run_rate_usd_per_day: float | None
    forecast_usd: float | None
    forecast_low_usd: float | None
    forecast_high_usd: float | None
    runs_out_on: date | None

    @property
    def is_passed(self) -> bool:
        return self.left_usd < -SMALLEST_USD

    def as_json(self) -> dict[str, Any]:
        """The status as one JSON object."""
        scope = self.budget.scope
        return {
            "name": self.budget.name,
            "period": self.budget.period,
            "scope": {
                "experiment": scope.experiment,
                "environment": scope.environment,
                "model_key": scope.model_key,
                "tag": None if scope.tag is None else dict([scope.tag]),
            },
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "limit_usd": float(self.budget.limit_usd),
            "spent_usd": self.spent_usd,
            "left_usd": self.left_usd,
            "run_rate_usd_per_day": self.run_rate_usd_per_day,
            "forecast_usd": self.forecast_usd,
            "forecast_low_usd": self.forecast_low_usd,
            "forecast_high_usd": self.forecast_high_usd,
            "runs_out_on": None if self.runs_out_on is None else self.runs_out_on.isoformat(),
            "passed": self.is_passed,
        }


def spent_in_period(budget: PeriodBudget, spend: pd.DataFrame, now: datetime) -> float:
    """USD that count against a budget in the period of ``now``, summed exactly."""
    start, end = (edge.timestamp() for edge in budget.bounds(now))
    return math.fsum(amount for at, amount in _rows(budget, spend) if start <= at < end)


def budget_status(budget: PeriodBudget, spend: pd.DataFrame, now: datetime) -> BudgetStatus:
    """The status of one budget at ``now``, from a frame with all spending since ``needs_since``.

    The forecast adds two things to what is spent: what a day still brings after this time of day,
    and a whole day for every day that is left. Its range is that of 2,000 resamples (fixed seed),
    in which the days seen are drawn anew, and from them the days to come. So idle days and heavy
    nights weigh as they fell, and tonight's sweep counts until it has run.
    """
    start, end = budget.bounds(now)
    local_now = now.astimezone(start.tzinfo)
    rows = [(datetime.fromtimestamp(at, start.tzinfo), usd) for at, usd in _rows(budget, spend)]
    inside = [(at, usd) for at, usd in rows if start <= at < end]
    spent = math.fsum(usd for _, usd in inside)
    left = math.fsum([float(budget.limit_usd), -spent])
    days = _whole_days(rows, local_now)
    days_left = (end.date() - local_now.date()).days - 1
    expected, low, high = _forecast(days, days_left, spent)
    return BudgetStatus(
        budget=budget,
        start=start,
        end=end,
        spent_usd=spent,
        left_usd=left,
        run_rate_usd_per_day=_mean([whole for whole, _ in days]),
        forecast_usd=expected,
        forecast_low_usd=low,
        forecast_high_usd=high,
        runs_out_on=_ran_out_on(inside, budget)
        or _will_run_out_on(days, days_left, left, local_now),
    )


def _never_seen(name: str, wanted: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(wanted, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"no recorded run of its time has the {name} {wanted!r}{hint}"


def _rows(budget: PeriodBudget, spend: pd.DataFrame) -> list[tuple[float, float]]:
    """Instants (epoch seconds) and USD of all that the budget counts, in order of time."""
    amounts = budget.scope.amounts(spend)
    counted = amounts > 0
    instants = spend["started_at"][counted].astype("int64") / 1e6
    return sorted(zip(instants.tolist(), amounts[counted].tolist(), strict=True))


def _whole_days(rows: Sequence[tuple[datetime, float]], now: datetime) -> list[tuple[float, float]]:
    """For each whole day before today: its USD, and those of them after this time of day.

    At most 28 days, from the first one with any spending on.
    """
    today, clock = now.date(), now.time()
    oldest = today - timedelta(days=LOOK_BACK_DAYS)
    seen: dict[date, tuple[list[float], list[float]]] = {}
    for at, usd in rows:
        if oldest <= at.date() < today:
            whole, after = seen.setdefault(at.date(), ([], []))
            whole.append(usd)
            if at.time() > clock:
                after.append(usd)
    if not seen:
        return []
    first = min(seen)
    every = [first + timedelta(days=number) for number in range((today - first).days)]
    nothing: tuple[list[float], list[float]] = ([], [])
    return [
        (math.fsum(whole), math.fsum(after))
        for whole, after in (seen.get(day, nothing) for day in every)
    ]


def _forecast(
    days: Sequence[tuple[float, float]], days_left: int, spent: float
) -> tuple[float | None, float | None, float | None]:
    if len(days) < _FEWEST_DAYS:
        return None, None, None
    import numpy as np

    random = np.random.default_rng(_SEED)
    whole, after = np.array(days).T
    count = len(days)
    known = random.integers(count, size=(_RESAMPLES, count))
    drawn = random.integers(count, size=(_RESAMPLES, days_left + 1))
    chosen = np.take_along_axis(known, drawn, axis=1)
    totals = spent + after[chosen[:, 0]] + whole[chosen[:, 1:]].sum(axis=1)
    low, high = np.quantile(totals, [0.05, 0.95])
    expected = spent + float(after.mean()) + days_left * float(whole.mean())
    return expected, float(low), float(high)


def _ran_out_on(inside: Sequence[tuple[datetime, float]], budget: PeriodBudget) -> date | None:
    """The day on which the limit was reached; None where it was not."""
    so_far = 0.0
    for at, usd in inside:
        so_far += usd
        if so_far >= float(budget.limit_usd) - SMALLEST_USD:
            return at.date()
    return None


def _will_run_out_on(
    days: Sequence[tuple[float, float]], days_left: int, left: float, now: datetime
) -> date | None:
    """The day on which the expected spending passes the limit; None within this period."""
    rest_of_today, a_day = _mean([after for _, after in days]), _mean([all_ for all_, _ in days])
    if rest_of_today is None or a_day is None or len(days) < _FEWEST_DAYS:
        return None
    if rest_of_today > left:
        return now.date()
    if a_day <= 0:
        return None
    ahead = math.floor((left - rest_of_today) / a_day) + 1
    return now.date() + timedelta(days=ahead) if ahead <= days_left else None


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None

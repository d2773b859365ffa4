"""Budgets over time: BUDGET.yaml, what is spent and left of each, and how it will end.

```yaml
budgets:
  - name: research, monthly
    period: month              # day, week (from Monday) or month
    limit_usd: 50
    scope: {environment: production, experiment: NAME, model_key: KEY, tag: {team: research}}
    tz: UTC                    # optional: where days begin
```

A budget counts real money alone (``cost_basis`` billed), by when each trial started.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import pandas as pd

PeriodName = Literal["day", "week", "month"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which spending a budget counts: everything where nothing is named."""

    experiment: str | None = None
    environment: str | None = None
    model_key: str | None = None
    tag: tuple[str, str] | None = None

    def holds(self, spend: pd.DataFrame) -> pd.DataFrame:
        """The rows of real money that this scope counts."""
        mask = spend["cost_basis"] == "billed"
        for name in ("experiment", "environment", "model_key"):
            if (wanted := getattr(self, name)) is not None:
                mask &= spend[name] == wanted
        if self.tag is not None:
            key, value = self.tag
            matches = {text: json.loads(text).get(key) == value for text in set(spend["tags"])}
            mask &= spend["tags"].map(matches).astype(bool)
        return spend[mask]


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
        local = now.astimezone(ZoneInfo(self.zone))
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.period == "day":
            return midnight, midnight + timedelta(days=1)
        if self.period == "week":
            monday = midnight - timedelta(days=midnight.weekday())
            return monday, monday + timedelta(days=7)
        first = midnight.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """Where a budget stands: USD throughout; None where there is too little to say it from.

    ``forecast_usd`` is what the period will have cost at its end, ``forecast_low_usd`` and
    ``forecast_high_usd`` the 5th and 95th percentile; ``runs_out_on`` the first day (of the
    budget's zone) on which the expected spending passes the limit.
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
    runs_out_on: str | None

    @property
    def is_passed(self) -> bool:
        return self.spent_usd > float(self.budget.limit_usd)

    def as_json(self) -> dict[str, Any]:
        """The status as one JSON object."""
        return {
            "name": self.budget.name,
            "period": self.budget.period,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "limit_usd": float(self.budget.limit_usd),
            "spent_usd": self.spent_usd,
            "left_usd": self.left_usd,
            "run_rate_usd_per_day": self.run_rate_usd_per_day,
            "forecast_usd": self.forecast_usd,
            "forecast_low_usd": self.forecast_low_usd,
            "forecast_high_usd": self.forecast_high_usd,
            "runs_out_on": self.runs_out_on,
            "passed": self.is_passed,
        }


def budget_status(budget: PeriodBudget, spend: pd.DataFrame, now: datetime) -> BudgetStatus:
    """The status of one budget at ``now``, from a spend frame that covers its period.

    The forecast adds to what is spent the daily amounts seen so far, resampled for the days that
    are left (a bootstrap of whole days, 2,000 resamples, fixed seed), so that idle days and heavy
    nights weigh as they fell. Days before the period's first spending count as days without any.
    """
    start, end = budget.bounds(now)
    held = budget.scope.holds(spend)
    inside = held[(held["started_at"] >= start) & (held["started_at"] < end)]
    columns = ("target_usd", "judge_usd", "retrieval_usd", "wasted_usd")
    spent = math.fsum(amount for column in columns for amount in inside[column])
    left = float(budget.limit_usd) - spent
    daily = _daily(inside, columns, start, now)
    days_left = _days_between(now, end)
    rate = math.fsum(daily) / len(daily) if daily else None
    expected, low, high = _forecast(daily, days_left, spent)
    return BudgetStatus(
        budget=budget,
        start=start,
        end=end,
        spent_usd=spent,
        left_usd=left,
        run_rate_usd_per_day=rate,
        forecast_usd=expected,
        forecast_low_usd=low,
        forecast_high_usd=high,
        runs_out_on=_runs_out_on(rate, left, now.astimezone(start.tzinfo), end),
    )


def left_of(
    budgets: Sequence[PeriodBudget],
    spend: pd.DataFrame,
    now: datetime,
    *,
    experiment: str,
    environment: str,
    model_keys: Sequence[str],
    tags: Mapping[str, str],
) -> list[tuple[PeriodBudget, Decimal]]:
    """The budgets that a sweep falls under, each with the USD that it may still take.

    A budget on one model applies where the sweep uses that model.
    """
    applying = []
    for budget in budgets:
        scope = budget.scope
        applies = (
            scope.experiment in (None, experiment)
            and scope.environment in (None, environment)
            and (scope.model_key is None or scope.model_key in model_keys)
            and (scope.tag is None or tags.get(scope.tag[0]) == scope.tag[1])
        )
        if applies:
            status = budget_status(budget, spend, now)
            applying.append((budget, max(Decimal(0), Decimal(repr(status.left_usd)))))
    return applying


def _daily(
    inside: pd.DataFrame, columns: Sequence[str], start: datetime, now: datetime
) -> list[float]:
    """USD of each whole or begun day of the period up to now."""
    days = (now.astimezone(start.tzinfo).date() - start.date()).days + 1
    amounts = [0.0] * days
    totals = inside[list(columns)].sum(axis=1)
    dates = inside["started_at"].dt.tz_convert(start.tzinfo).dt.date
    for date, amount in zip(dates, totals, strict=True):
        index = (date - start.date()).days
        if index < days:
            amounts[index] += float(amount)
    return amounts


def _days_between(now: datetime, end: datetime) -> int:
    """Whole days of the period that have not begun yet."""
    return max(0, (end.date() - now.astimezone(end.tzinfo).date()).days - 1)


def _forecast(
    daily: Sequence[float], days_left: int, spent: float
) -> tuple[float | None, float | None, float | None]:
    if days_left == 0:
        return spent, spent, spent
    if len(daily) < 2 or spent == 0:
        return None, None, None
    import numpy as np

    random = np.random.default_rng(20_220)
    seen = np.asarray(daily)
    totals = spent + random.choice(seen, size=(2_000, days_left)).sum(axis=1)
    low, high = np.quantile(totals, [0.05, 0.95])
    return float(spent + days_left * seen.mean()), float(low), float(high)


def _runs_out_on(rate: float | None, left: float, now: datetime, end: datetime) -> str | None:
    if left <= 0:
        return now.date().isoformat()
    if not rate:
        return None
    day = now.date() + timedelta(days=math.ceil(left / rate))
    return day.isoformat() if day < end.date() else None

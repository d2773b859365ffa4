"""Budgets: what counts, where a period stands, and how it will end."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finrag_eval.costs.budget_file import read_budgets
from finrag_eval.costs.budgets import PeriodBudget, Scope, budget_status, spent_in_period
from finrag_eval.costs.spend import SPEND_COLUMNS, no_spend
from finrag_eval.errors import InvalidInput

NOW = datetime.fromisoformat("2026-03-17T12:00Z")


def a_frame(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """A spend frame of a few rows; ``at`` is an instant in ISO 8601, ``usd`` the target's cost."""
    made = []
    for row in rows:
        plain: dict[str, Any] = {
            name: 0.0 if name.endswith(("_usd", "_tokens")) else "" for name in SPEND_COLUMNS
        }
        plain |= {"cost_basis": "billed", "status": "success", "tags": "{}", "model_key": "haiku"}
        plain |= {key: value for key, value in row.items() if key not in ("at", "usd")}
        plain["target_usd"] = row.get("usd", plain["target_usd"])
        plain["started_at"] = pd.Timestamp(row["at"]).tz_convert("UTC")
        made.append(plain)
    if not made:
        return no_spend()
    frame = pd.DataFrame(made, columns=list(SPEND_COLUMNS))
    return frame.astype({"started_at": "datetime64[us, UTC]"})


def a_budget(limit: str = "50", period: Any = "month", **changes: Any) -> PeriodBudget:
    return PeriodBudget(name="all", period=period, limit_usd=Decimal(limit), **changes)


def nightly(usd: float, first: str, last: str) -> list[dict[str, Any]]:
    """As much every night at 02:00 UTC."""
    day, end = date.fromisoformat(first), date.fromisoformat(last)
    return [
        {"at": f"{day + timedelta(days=number)}T02:00Z", "usd": usd}
        for number in range((end - day).days + 1)
    ]


@pytest.mark.parametrize(
    ("period", "zone", "now", "start", "end"),
    [
        ("month", "UTC", "2026-03-17T12:00Z", "2026-03-01T00:00+00:00", "2026-04-01T00:00+00:00"),
        ("month", "UTC", "2026-12-31T23:59Z", "2026-12-01T00:00+00:00", "2027-01-01T00:00+00:00"),
        ("week", "UTC", "2026-03-16T00:00Z", "2026-03-16T00:00+00:00", "2026-03-23T00:00+00:00"),
        ("week", "UTC", "2026-03-15T23:59Z", "2026-03-09T00:00+00:00", "2026-03-16T00:00+00:00"),
        ("day", "UTC", "2026-03-17T12:00Z", "2026-03-17T00:00+00:00", "2026-03-18T00:00+00:00"),
        # Berlin's summer time begins in March and ends in October 2026.
        (
            "month",
            "Europe/Berlin",
            "2026-03-31T21:59Z",
            "2026-03-01T00:00+01:00",
            "2026-04-01T00:00+02:00",
        ),
        (
            "month",
            "Europe/Berlin",
            "2026-03-31T22:00Z",
            "2026-04-01T00:00+02:00",
            "2026-05-01T00:00+02:00",
        ),
        (
            "day",
            "Europe/Berlin",
            "2026-10-25T00:30Z",
            "2026-10-25T00:00+02:00",
            "2026-10-26T00:00+01:00",
        ),
        # Midnight does not exist in Beirut on the day when its clocks go forward.
        (
            "day",
            "Asia/Beirut",
            "2026-03-29T12:00Z",
            "2026-03-28T22:00+00:00",
            "2026-03-29T21:00+00:00",
        ),
    ],
)
def test_periods_begin_at_midnight_of_their_zone(
    period: str, zone: str, now: str, start: str, end: str
) -> None:
    bounds = a_budget(period=period, zone=zone).bounds(datetime.fromisoformat(now))
    assert [edge.timestamp() for edge in bounds] == [
        datetime.fromisoformat(edge).timestamp() for edge in (start, end)
    ]


def test_a_budget_counts_the_real_money_of_its_scope_alone() -> None:
    at = "2026-03-10T02:00Z"
    spend = a_frame(
        [
            {"at": at, "usd": 1.0, "experiment": "A", "environment": "production"},
            {"at": at, "usd": 2.0, "experiment": "A", "model_key": "nova"},
            {"at": at, "usd": 4.0, "experiment": "B", "tags": '{"team": "research"}'},
            {"at": at, "usd": 8.0, "experiment": "A", "cost_basis": "rehearsal"},
            {"at": "2026-02-28T23:59Z", "usd": 16.0, "experiment": "A"},
            {"at": at, "wasted_usd": 32.0, "model_key": "haiku, nova", "status": "lost"},
            {"at": at, "judge_usd": 64.0, "judges": "opus, nova"},
            {"at": at, "saved_usd": 128.0, "retrieval_usd": 256.0, "model_key": "micro"},
        ]
    )

    def spent(**scope: Any) -> float:
        return spent_in_period(a_budget(scope=Scope(**scope)), spend, NOW)

    assert spent() == 1 + 2 + 4 + 32 + 64 + 256
    assert spent(experiment="A") == 1 + 2
    assert spent(environment="production") == 1
    assert spent(tag=("team", "research")) == 4
    assert spent(tag=("team", "sales")) == 0
    assert spent(model_key="nova") == 2 + 32 + 64
    assert spent(model_key="haiku") == 1 + 4 + 32
    assert spent(model_key="opus") == 64
    assert spent(model_key="micro") == 256
    assert spent(experiment="A", model_key="nova") == 2


def test_a_budget_that_is_used_up_to_the_cent_is_not_passed() -> None:
    spend = a_frame([{"at": "2026-03-10T02:00Z", "usd": 0.1} for _ in range(500)])
    status = budget_status(a_budget("50"), spend, NOW)
    assert not status.is_passed
    assert status.left_usd == pytest.approx(0, abs=1e-12)
    assert status.runs_out_on == date(2026, 3, 10)
    assert budget_status(a_budget("49.99"), spend, NOW).is_passed


def test_the_forecast_adds_whole_days_and_what_today_still_brings() -> None:
    spend = a_frame(nightly(2.0, "2026-03-03", "2026-03-17"))
    at_noon = budget_status(a_budget(), spend, NOW)
    assert at_noon.spent_usd == 30
    assert at_noon.run_rate_usd_per_day == 2
    assert at_noon.forecast_usd == at_noon.forecast_low_usd == at_noon.forecast_high_usd == 58
    # 20 are left and 2 go a night: the tenth night from now reaches 50, the eleventh passes it.
    assert at_noon.runs_out_on == date(2026, 3, 28)
    before = budget_status(a_budget(), spend.iloc[:-1], datetime.fromisoformat("2026-03-17T01:00Z"))
    assert before.spent_usd == 28
    assert before.forecast_usd == 58
    assert budget_status(a_budget("60"), spend, NOW).runs_out_on is None


def test_idle_days_and_heavy_nights_weigh_as_they_fell() -> None:
    """Ten dollars on Mondays alone; the forecast's range holds what comes of them."""
    spend = a_frame([{"at": f"2026-03-{day:02d}T02:00Z", "usd": 10.0} for day in (2, 9, 16)])
    status = budget_status(a_budget(), spend, NOW)
    assert status.run_rate_usd_per_day == 30 / 15
    assert status.forecast_usd == pytest.approx(30 + 14 * 2)
    assert status.forecast_low_usd == 30
    assert status.forecast_high_usd is not None
    assert 60 < status.forecast_high_usd < 120


def test_nine_of_ten_months_end_within_the_range_that_was_forecast_in_their_middle() -> None:
    inside = 0
    for seed in range(100):
        rng = random.Random(seed)
        rows = [
            {"at": f"2026-03-{day:02d}T02:{minute:02d}Z", "usd": rng.lognormvariate(-1, 0.8)}
            for day in range(1, 32)
            for minute in range(rng.choice((0, 2, 4)))
        ]
        so_far = [row for row in rows if row["at"] < "2026-03-17T12"]
        status = budget_status(a_budget(), a_frame(so_far), NOW)
        assert status.forecast_low_usd is not None
        assert status.forecast_high_usd is not None
        end = math.fsum(row["usd"] for row in rows)
        inside += status.forecast_low_usd <= end <= status.forecast_high_usd
    assert 84 <= inside <= 97


def test_too_few_days_make_no_forecast() -> None:
    for first in ("2026-03-17", "2026-03-16"):
        status = budget_status(a_budget(), a_frame(nightly(2.0, first, "2026-03-17")), NOW)
        assert status.forecast_usd is None
        assert status.runs_out_on is None
    assert budget_status(a_budget(), a_frame([]), NOW).run_rate_usd_per_day is None


def test_days_before_the_period_tell_what_its_first_days_will_bring() -> None:
    spend = a_frame(nightly(2.0, "2026-02-10", "2026-03-01"))
    status = budget_status(a_budget("40"), spend, datetime.fromisoformat("2026-03-01T12:00Z"))
    assert status.spent_usd == 2
    assert status.forecast_usd == 2 + 30 * 2
    assert status.runs_out_on == date(2026, 3, 21)


def test_a_budget_that_was_passed_says_since_when() -> None:
    status = budget_status(a_budget("5"), a_frame(nightly(2.0, "2026-03-03", "2026-03-08")), NOW)
    assert status.is_passed
    assert status.runs_out_on == date(2026, 3, 5)
    told = status.as_json()
    assert (told["passed"], told["runs_out_on"], told["left_usd"]) == (True, "2026-03-05", -7.0)


@given(
    amounts=st.lists(st.decimals("0.000001", "20", places=6), max_size=40),
    period=st.sampled_from(["day", "week", "month"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
    seed=st.integers(0, 99),
)
def test_what_is_spent_is_the_exact_sum_of_the_period(
    amounts: list[Decimal], period: Any, zone: str, seed: int
) -> None:
    rng = random.Random(seed)
    edge = datetime.fromisoformat("2026-03-01T00:00Z").timestamp()
    rows = [(edge + rng.uniform(0, 60 * 86_400), amount) for amount in amounts]
    spend = a_frame(
        {"at": datetime.fromtimestamp(at, ZoneInfo("UTC")), "usd": float(usd)} for at, usd in rows
    )
    budget = a_budget(period=period, zone=zone)
    start, end = budget.bounds(NOW)
    inside = [usd for at, usd in rows if start.timestamp() <= at < end.timestamp()]
    assert Decimal(repr(spent_in_period(budget, spend, NOW))).quantize(Decimal("1e-9")) == sum(
        inside, Decimal(0)
    )


GOOD = """
budgets:
  - name: research, monthly
    period: month
    limit_usd: 50.00
    scope: {environment: production, experiment: Nightly, model_key: haiku, tag: {team: research}}
    tz: Europe/Berlin
  - {name: everything, period: day, limit_usd: 5}
"""


def test_a_budget_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "BUDGET.yaml"
    path.write_text(GOOD)
    first, second = read_budgets(path)
    assert first == PeriodBudget(
        name="research, monthly",
        period="month",
        limit_usd=Decimal("50.00"),
        scope=Scope(
            environment="production",
            experiment="Nightly",
            model_key="haiku",
            tag=("team", "research"),
        ),
        zone="Europe/Berlin",
    )
    assert second == PeriodBudget(name="everything", period="day", limit_usd=Decimal(5))


def test_all_problems_of_a_budget_file_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "BUDGET.yaml"
    path.write_text(
        """budgets:
  - name: one
    period: fortnight
    limit_usd: 0
  - name: two
    period: month
    limit_usd: 5
    scope: {enviroment: production}
    tz: Mars/Olympus
  - name: two
    period: month
    limit_usd: 7
    scope: {tag: {a: b, c: d}}
  - period: day
    limit_usd: 1
    tz: ../etc
"""
    )
    with pytest.raises(InvalidInput) as caught:
        read_budgets(path)
    told = [(problem.line, problem.key, problem.message) for problem in caught.value.problems]
    assert told == [
        (3, "budgets[0].period", "'fortnight' is not one of its values"),
        (4, "budgets[0].limit_usd", "0 is impossible"),
        (8, "budgets[1].scope.enviroment", "there is no key 'enviroment'"),
        (9, "budgets[1].tz", "there is no time zone 'Mars/Olympus'"),
        (10, "budgets[2].name", "'two' is used twice"),
        (13, "budgets[2].scope.tag", "names 2 tags"),
        (14, "budgets[3]", "has no name"),
        (16, "budgets[3].tz", "there is no time zone '../etc'"),
    ]


@pytest.mark.parametrize("text", ["", "budgets: []", "budgets: 5", "limits: 5", "{", "- 5"])
def test_what_is_no_budget_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "BUDGET.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        read_budgets(path)
    with pytest.raises(InvalidInput, match=r"BUDGET2\.yaml"):
        read_budgets(tmp_path / "BUDGET2.yaml")

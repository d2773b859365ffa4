"""``run --budget-file``: a sweep takes no more than what is left of the month."""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from spend_parts import MadeSweep, a_cell, a_model, a_record, a_sweep, instant, some_queries

from finrag_eval.costs.budget_file import read_budgets
from finrag_eval.costs.budgets import budget_status
from finrag_eval.costs.caps import Cap, budget_caps, lowered
from finrag_eval.costs.spend import read_spend
from finrag_eval.domain import BudgetSpec, ModelConfig, PromptVersion, QuerySet, SweepSpec, Trial
from finrag_eval.errors import StoreUnreachable
from finrag_eval.execute.budget import Budget
from finrag_eval.record.ledger import Ledger, Spent
from finrag_eval.record.tracked import TrackedStore

Recorder = Callable[..., str]
NOW = datetime.fromisoformat("2026-03-20T02:00Z")


def a_spec(**changes: Any) -> SweepSpec:
    spec = SweepSpec(
        name="nightly",
        experiment="Tests",
        environment="production",
        models=("haiku", "nova"),
        prompts=(PromptVersion(system="v1", query="v1"),),
        query_set="sets/core.jsonl",
        tags={"team": "research"},
    )
    return replace(spec, **changes)


MODELS: dict[str, ModelConfig] = {key: a_model(key) for key in ("haiku", "nova")}


def a_budget_file(folder: Path, *budgets: str) -> Path:
    path = folder / "BUDGET.yaml"
    path.write_text("budgets:\n" + "".join(f"  - {{{budget}}}\n" for budget in budgets))
    return path


def left(path: Path, uri: str, **options: Any) -> dict[str, Decimal]:
    options = {"spec": a_spec(), "models": MODELS, "now": NOW} | options
    caps = budget_caps(path, tracking_uri=uri, **options)
    return {cap.budget: cap.left_usd for cap in caps}


def a_costly(sweep: MadeSweep, usd: str) -> MadeSweep:
    """The same sweep with trials that cost so much each, and nothing else."""
    records = [
        replace(record, cost_usd=Decimal(usd), wasted_usd=Decimal(0)) for record in sweep.records
    ]
    return replace(sweep, records=records)


def test_a_month_of_nightly_sweeps_never_passes_its_budget(
    recording: Recorder, uri: str, tmp_path: Path
) -> None:
    """Every night a sweep runs on what is left, eight calls at once; the report agrees with SQL."""
    path = a_budget_file(tmp_path, "name: month, period: month, limit_usd: 1.00")
    cell, queries, rng = a_cell(a_model()), some_queries(12), random.Random(17)
    worst = Decimal("0.012")
    stopped = 0
    for day in range(1, 32):
        now = datetime.fromisoformat(f"2026-03-{day:02d}T02:00Z")
        caps = budget_caps(path, a_spec(), MODELS, tracking_uri=uri, now=now)
        spec = lowered(BudgetSpec(max_usd=Decimal("0.05")), caps)
        records, was_stopped = _night(cell, queries, spec, worst, now.timestamp(), rng)
        stopped += was_stopped
        if records:
            recording(
                MadeSweep(
                    sweep_id=f"night-{day:02d}",
                    cells=[cell],
                    queries=queries,
                    records=records,
                    status="budget_stopped" if was_stopped else "completed",
                    max_usd=spec.max_usd,
                )
            )
        spent = _month_by_sql(uri)
        assert spent <= 1.0
    assert stopped >= 3
    assert spent > 1.0 - float(worst)

    (budget,) = read_budgets(path)
    store = TrackedStore(uri=uri)
    status = budget_status(budget, read_spend(store), datetime.fromisoformat("2026-03-31T23:00Z"))
    assert abs(status.spent_usd - spent) < 1e-9
    assert not status.is_passed


def _night(
    cell: Any, queries: Any, spec: BudgetSpec, worst: Decimal, at: float, rng: random.Random
) -> tuple[list[Any], bool]:
    """Trials as the gate lets them start: eight in flight, each under a reservation."""
    budget = Budget(spec)
    waiting, in_flight, records = list(queries), [], []
    while True:
        while waiting and len(in_flight) < 8:
            held = budget.reserve(cell.model.key, cell.name, worst)
            if held is None:
                break
            in_flight.append((held, waiting.pop()))
        if not in_flight:
            return records, bool(waiting)
        held, query = in_flight.pop(rng.randrange(len(in_flight)))
        usd = worst * rng.randint(10, 100) / 100
        budget.settle(held, usd)
        wasted = usd if rng.random() < 0.1 else Decimal(0)
        record = a_record(
            cell, query, at + len(records), rng, cost_usd=usd - wasted, wasted_usd=wasted
        )
        records.append(record)


def _month_by_sql(uri: str) -> float:
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database:
        amounts = database.execute(
            "SELECT m.value FROM latest_metrics m JOIN runs r USING (run_uuid) "
            "WHERE m.key IN ('cost_usd', 'wasted_usd', 'judge_cost_usd', 'retrieval_cost_usd') "
            "AND r.start_time >= ? AND r.start_time < ?",
            (instant("2026-03-01T00:00") * 1000, instant("2026-04-01T00:00") * 1000),
        )
        return math.fsum(amount for (amount,) in amounts)


def test_only_budgets_that_the_sweep_falls_under_cap_it(
    recording: Recorder, uri: str, tmp_path: Path
) -> None:
    recording(a_costly(a_sweep(tags={"team": "research"}), "0.25"))  # four trials a model
    path = a_budget_file(
        tmp_path,
        "name: all, period: month, limit_usd: 5",
        "name: week, period: week, limit_usd: 5",
        "name: experiment, period: month, limit_usd: 5, scope: {experiment: Tests}",
        "name: other, period: month, limit_usd: 5, scope: {experiment: Other}",
        "name: development, period: month, limit_usd: 5, scope: {environment: development}",
        "name: team, period: month, limit_usd: 1, scope: {tag: {team: research}}",
        "name: sales, period: month, limit_usd: 1, scope: {tag: {team: sales}}",
        "name: nova, period: month, limit_usd: 5, scope: {model_key: nova}",
        "name: opus, period: month, limit_usd: 5, scope: {model_key: opus}",
    )
    assert left(path, uri) == {
        "all": 3,
        "week": 5,
        "experiment": 3,
        "team": 0,
        "nova": 4,
    }
    caps = budget_caps(path, a_spec(), MODELS, tracking_uri=uri, now=NOW)
    assert str(caps[0]) == "budget 'all': $3.000000 of $5 is left"
    assert str(caps[-1]) == "budget 'nova' for nova: $4.000000 of $5 is left"


def test_rehearsals_neither_count_nor_are_capped(
    recording: Recorder, uri: str, tmp_path: Path
) -> None:
    offline = a_model("offline", provider="rehearsal")
    recording(a_costly(a_sweep(models=(offline,)), "9"))
    path = a_budget_file(tmp_path, "name: all, period: month, limit_usd: 5")
    assert left(path, uri) == {"all": 5}
    assert left(path, uri, spec=a_spec(models=("offline",)), models={"offline": offline}) == {}
    judged = {"offline": offline, "judge": a_model("judge")}
    assert left(path, uri, models=judged) == {"all": 5}


def test_a_store_that_is_not_there_yet_has_nothing_spent(tmp_path: Path) -> None:
    path = a_budget_file(tmp_path, "name: all, period: month, limit_usd: 5")
    assert left(path, f"sqlite:///{tmp_path}/none.db") == {"all": 5}


def test_what_cannot_be_looked_up_is_not_spent(tmp_path: Path) -> None:
    path = a_budget_file(tmp_path, "name: all, period: month, limit_usd: 5")
    with pytest.raises(StoreUnreachable):
        left(path, "http://127.0.0.1:9")


def test_another_sweep_under_way_holds_its_whole_cap(
    recording: Recorder, uri: str, tmp_path: Path
) -> None:
    at = "2026-03-20T01:00"
    recording(a_costly(a_sweep(at=at, max_usd=Decimal(3)), "0.25"), finished=False)
    path = a_budget_file(
        tmp_path,
        "name: all, period: month, limit_usd: 5",
        "name: nova, period: month, limit_usd: 5, scope: {model_key: nova}",
        "name: other, period: month, limit_usd: 5, scope: {environment: development}",
    )
    assert left(path, uri) == {"all": 2, "nova": 3}
    assert left(path, uri, sweep_id="2026-001") == {"all": 3, "nova": 4}
    # After a day of silence it is taken for dead.
    later = datetime.fromisoformat("2026-03-21T02:00Z")
    assert left(path, uri, now=later) == {"all": 3, "nova": 4}


def test_a_sweep_under_way_without_a_cap_holds_what_it_spent(
    recording: Recorder, uri: str, tmp_path: Path
) -> None:
    recording(a_costly(a_sweep(at="2026-03-20T01:00"), "0.25"), finished=False)
    path = a_budget_file(tmp_path, "name: all, period: month, limit_usd: 5")
    assert left(path, uri) == {"all": 3}


@pytest.mark.parametrize("recorded", ["nothing", "its start", "half of it"])
def test_what_only_a_ledger_knows_is_counted_once(
    recording: Recorder, uri: str, tmp_path: Path, recorded: str
) -> None:
    """The process was killed, or the store was away: the ledger beside it has all of it."""
    sweep = a_costly(a_sweep(at="2026-03-20T01:00", max_usd=Decimal(4)), "0.25")
    results = tmp_path / "results"
    _in_ledger(sweep, results)
    if recorded == "its start":
        recording(replace(sweep, records=sweep.records[:1]), finished=False)
    elif recorded == "half of it":
        recording(replace(sweep, records=sweep.records[:4]), finished=False)
    path = a_budget_file(
        tmp_path,
        "name: all, period: month, limit_usd: 5",
        "name: other, period: month, limit_usd: 5, scope: {experiment: Other}",
        "name: sales, period: month, limit_usd: 5, scope: {tag: {team: sales}}",
    )
    spec = a_spec(experiment="Other", tags={"team": "sales"})
    assert left(path, uri, output_dir=results) == {"all": 3}
    # An open call counts at its worst case, as wasted, once the books are closed.
    assert left(path, uri, output_dir=results, spec=spec) == {"all": 3, "other": 5, "sales": 5}


def test_a_sweep_that_is_run_here_holds_what_is_left_of_its_cap(
    recording: Recorder, uri: str, tmp_path: Path
) -> None:
    sweep = a_costly(a_sweep(at="2026-03-20T01:00", max_usd=Decimal(4)), "0.25")
    recording(replace(sweep, records=sweep.records[:4]), finished=False)
    results = tmp_path / "ledgers"
    path = a_budget_file(tmp_path, "name: all, period: month, limit_usd: 5")
    with _in_ledger(sweep, results, close=False):
        assert left(path, uri, output_dir=results) == {"all": 1}
    assert left(path, uri, output_dir=results) == {"all": 3}


def test_a_sweep_that_is_run_here_holds_the_caps_that_budgets_left_it(
    uri: str, tmp_path: Path
) -> None:
    """Its spec names no cap, and no store knows of it."""
    sweep = a_costly(a_sweep(at="2026-03-20T01:00"), "0.25")
    results = tmp_path / "ledgers"
    path = a_budget_file(
        tmp_path,
        "name: all, period: month, limit_usd: 5",
        "name: nova, period: month, limit_usd: 5, scope: {model_key: nova}",
        "name: other, period: month, limit_usd: 5, scope: {environment: development}",
    )
    caps = {"max_usd": "4.5", "per_model": {"nova": "1.5"}}
    with _in_ledger(sweep, results, close=False, caps=caps):
        assert left(path, uri, output_dir=results) == {"all": Decimal("0.5"), "nova": 3.5}
        # However long it has been silent: somebody works on it.
        later = datetime.fromisoformat("2026-05-01T00:00Z")
        assert left(path, uri, output_dir=results, now=later)["all"] == Decimal("0.5")
    # A cap for one model alone is a promise of that much.
    other = tmp_path / "others"
    with _in_ledger(sweep, other, close=False, caps={"max_usd": None, "per_model": {"nova": "4"}}):
        assert left(path, uri, output_dir=other) == {"all": 0, "nova": 1}


def test_calls_that_a_dead_sweep_left_open_count_at_their_worst_case(
    uri: str, tmp_path: Path
) -> None:
    sweep = a_costly(a_sweep(at="2026-03-20T01:00"), "0.25")
    results = tmp_path / "ledgers"
    ledger = _in_ledger(sweep, results, close=False)
    ledger.reserve(
        trial_key="one more",
        cell=sweep.cells[0].name,
        model_key="haiku",
        purpose="target",
        usd=Decimal("0.5"),
    )
    ledger.flush()
    ledger.close()
    path = a_budget_file(tmp_path, "name: all, period: month, limit_usd: 5")
    assert left(path, uri, output_dir=results) == {"all": Decimal("2.5")}


def test_a_sweep_of_another_folder_tells_its_caps_in_the_store(
    recording: Recorder, uri: str, tmp_path: Path
) -> None:
    sweep = a_costly(a_sweep(at="2026-03-20T01:00", max_usd=Decimal(5)), "0.25")
    caps = {"max_usd": "3.5", "per_model": {"nova": "1.25"}}
    recording(replace(sweep, caps=caps), finished=False)
    path = a_budget_file(
        tmp_path,
        "name: all, period: month, limit_usd: 5",
        "name: nova, period: month, limit_usd: 5, scope: {model_key: nova}",
    )
    # Of nova, 1.00 is shown already; what is claimed beside it is at most its own cap.
    assert left(path, uri) == {"all": Decimal("1.5"), "nova": Decimal("2.75")}


def _in_ledger(
    sweep: MadeSweep, results: Path, *, close: bool = True, caps: dict[str, Any] | None = None
) -> Ledger:
    """The sweep's calls in a ledger of its own, whose process then died."""
    ledger = Ledger.create(results / sweep.sweep_id, sweep_id=sweep.sweep_id, name=sweep.name)
    ledger.begin_session(sweep.spec(), {} if caps is None else {"caps": caps})
    ledger.store_plan(
        cells=sweep.cells,
        query_set=QuerySet(queries=tuple(sweep.queries), digest="d", source="s"),
        trials=[
            Trial(key=one.trial.key, cell=one.trial.cell, query_id=one.trial.query_id)
            for one in sweep.records
        ],
    )
    for one in sweep.records:
        assert one.cost_usd is not None
        attempt = ledger.reserve(
            trial_key=one.trial.key,
            cell=one.trial.cell,
            model_key=one.trial.cell.partition(".")[0],
            purpose="target",
            usd=one.cost_usd,
        )
        ledger.settle(attempt, billed_usd=one.cost_usd, state="kept")
    ledger.flush()
    if close:
        ledger.close()
    return ledger


def test_a_sweeps_budget_is_lowered_to_what_is_left_and_never_raised() -> None:
    caps = [
        Cap(budget="month", limit_usd=Decimal(9), left_usd=Decimal(3)),
        Cap(budget="day", limit_usd=Decimal(9), left_usd=Decimal(2)),
        Cap(budget="nova", limit_usd=Decimal(9), left_usd=Decimal(1), model_key="nova"),
    ]
    found = lowered(BudgetSpec(per_model={"nova": Decimal(4), "haiku": Decimal(1)}), caps)
    assert found.max_usd == 2
    assert found.per_model == {"nova": 1, "haiku": 1}
    assert lowered(BudgetSpec(max_usd=Decimal(1)), caps).max_usd == 1
    assert lowered(BudgetSpec(max_usd=Decimal(1)), []) == BudgetSpec(max_usd=Decimal(1))
    # A sweep that is gone on with keeps what it has spent, which is in nothing that is left.
    own = Spent(total=Decimal(5), per_model={"nova": Decimal(2)}, per_cell={}, wasted=Decimal(0))
    again = lowered(BudgetSpec(max_usd=Decimal(20)), caps, spent=own)
    assert again.max_usd == 7
    assert again.per_model == {"nova": 3}

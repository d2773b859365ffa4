"""What was spent, read back from real stores: every row and sum traced to the runs it came from."""

from __future__ import annotations

import json
import math
import random
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from spend_parts import (
    KINDS,
    a_cell,
    a_model,
    a_record,
    a_sweep,
    failed,
    instant,
    some_queries,
)

from finrag_eval.costs import load_costs
from finrag_eval.costs.report import DIMENSIONS, group_spend, total_by_basis
from finrag_eval.costs.spend import MONEY, SPEND_COLUMNS, SPENT, TOKENS, no_spend, read_spend
from finrag_eval.errors import InvalidInput, StoreUnreachable
from finrag_eval.record.payload import CellForm, Origin
from finrag_eval.record.store import open_store
from finrag_eval.record.tracked import TrackedStore

Recorder = Callable[..., str]


def spend_of(uri: str, **options: Any) -> pd.DataFrame:
    return read_spend(TrackedStore(uri=uri), **options)


def children_by_sql(uri: str) -> list[dict[str, Any]]:
    """The child runs of a store with their params, tags and metrics, by SQL alone."""
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database:
        runs = {
            row[0]: {"run_id": row[0], "started_at": row[1] / 1000}
            for row in database.execute(
                "SELECT r.run_uuid, r.start_time FROM runs r JOIN tags t USING (run_uuid) "
                "WHERE t.key = 'finrag_eval.kind' AND t.value = 'trial'"
            )
        }
        for table in ("params", "tags", "latest_metrics"):
            for run_id, key, value in database.execute(f"SELECT run_uuid, key, value FROM {table}"):
                if run_id in runs:
                    runs[run_id][key] = value
    return list(runs.values())


def test_every_figure_of_a_report_is_the_sum_of_the_child_runs_it_came_from(
    recording: Recorder, uri: str
) -> None:
    """Over a price change on 15 March and the change to summer time on 29 March 2026 in Berlin."""
    rng = random.Random(5)
    for day in (13, 14, 15, 28, 29, 31):
        price = "0.001" if day < 15 else "0.0007"
        models = (a_model(price=price), a_model("nova", price="0.0008"))
        at = f"2026-03-{day:02d}T21:50"  # past midnight in Berlin while it runs
        sweep = a_sweep(day, at=at, rng=rng, models=models, apart_s=900.0)
        recording(replace(sweep, records=[*sweep.records[:-1], failed(sweep.records[-1])]))

    berlin = ZoneInfo("Europe/Berlin")
    expected: dict[tuple[str, str], dict[str, list[Decimal]]] = defaultdict(
        lambda: defaultdict(list)
    )
    prices = set()
    for run in children_by_sql(uri):
        local = datetime.fromtimestamp(run["started_at"], UTC).astimezone(berlin)
        group = expected[local.date().isoformat(), run["model_key"]]
        for name in (*KINDS, *TOKENS):
            if name in run:
                group[name].append(Decimal(run[name]))
        group["runs"].append(Decimal(1))
        group["failed"].append(Decimal(run["status"] == "failed"))
        prices.add((run["model_key"], run["cost_per_1k_input"]))
    assert prices == {("haiku", "0.001"), ("haiku", "0.0007"), ("nova", "0.0008")}

    report = group_spend(spend_of(uri), ["day", "model_key"], zone=berlin)
    assert len(report) == len(expected)
    assert set(report["day"]) >= {"2026-03-29", "2026-03-30", "2026-04-01"}
    for row in report.to_dict("records"):
        group = expected[row["day"], row["model_key"]]
        for ours, theirs in zip(SPENT, KINDS, strict=True):
            assert row[ours] == pytest.approx(float(sum(group[theirs])), abs=1e-12), (row, ours)
        spent = sum(sum(group[name]) for name in KINDS)
        assert row["spent_usd"] == pytest.approx(float(spent), abs=1e-12)
        for name in TOKENS:
            assert row[name] == float(sum(group[name]))
        assert (row["runs"], row["failed"]) == (sum(group["runs"]), sum(group["failed"]))
        prompt = sum(sum(group[name]) for name in TOKENS if name != "output_tokens")
        assert row["cache_share"] == pytest.approx(float(sum(group["cache_read_tokens"]) / prompt))


def test_a_day_of_the_clock_change_has_23_hours(recording: Recorder, uri: str) -> None:
    sweep = a_sweep(queries=25, at="2026-03-28T22:30", apart_s=1800.0)
    recording(sweep)
    days = group_spend(spend_of(uri), ["day"], zone=ZoneInfo("Europe/Berlin"))
    # From 23:00 UTC on the 28th to 22:00 UTC on the 29th, two trials an hour.
    assert dict(zip(days["day"], days["runs"], strict=True)) == {
        "2026-03-28": 1,
        "2026-03-29": 46,
        "2026-03-30": 3,
    }
    berlin = load_costs(
        since="2026-03-29", until="2026-03-29", tracking_uri=uri, tz="Europe/Berlin"
    )
    assert int(berlin["runs"].sum()) == 46


def test_the_groups_of_every_dimension_add_up_to_the_total(recording: Recorder, uri: str) -> None:
    for number in range(1, 4):
        recording(
            a_sweep(
                number,
                at=f"2026-0{number}-27T23:59",
                experiment=f"Number {number % 2}",
                environment="development" if number == 1 else "production",
                name=f"sweep {number}",
            )
        )
    spend = spend_of(uri)
    (total,) = total_by_basis(spend).to_dict("records")
    assert total["runs"] == 24
    for dimension in DIMENSIONS:
        groups = group_spend(spend, [dimension])
        assert len(groups) > 1 or dimension == "prompt_version"
        assert math.fsum(groups["spent_usd"]) == pytest.approx(total["spent_usd"], abs=1e-12)
        assert int(groups["runs"].sum()) == 24


def test_weeks_are_those_of_iso_8601(recording: Recorder, uri: str) -> None:
    recording(a_sweep(1, at="2025-12-31T23:00", apart_s=3600.0))
    groups = group_spend(spend_of(uri), ["week", "month", "day"])
    assert list(groups["week"].unique()) == ["2026-W01"]
    assert list(groups["month"].unique()) == ["2025-12", "2026-01"]


def test_a_query_with_several_tags_counts_in_the_group_of_each(
    recording: Recorder, uri: str
) -> None:
    sweep = a_sweep()
    both = replace(sweep.queries[0], tags=("growth", "lookup"))
    none = replace(sweep.queries[1], tags=())
    recording(replace(sweep, queries=[both, none, *sweep.queries[2:]]))
    groups = group_spend(spend_of(uri), ["query_tag"]).set_index("query_tag")
    assert dict(groups["runs"]) == {"growth": 4, "lookup": 4, "untagged": 2}


def test_real_money_and_rehearsals_never_meet_in_one_row(recording: Recorder, uri: str) -> None:
    models = (a_model(), a_model("offline", provider="rehearsal", price_as="haiku"))
    recording(a_sweep(models=models))
    for by in ([], ["day"], ["day", "sweep", "environment"]):
        groups = group_spend(spend_of(uri), by)
        assert list(groups["cost_basis"]) == ["billed", "rehearsal"]
        assert list(groups["runs"]) == [4, 4]


def test_judges_that_are_real_money_count_as_such_beside_rehearsals(
    recording: Recorder, uri: str
) -> None:
    sweep = a_sweep(models=(a_model("offline", provider="rehearsal"),))
    judged = [replace(record, judge_cost_usd=Decimal("0.002")) for record in sweep.records]
    recording(
        replace(
            sweep, records=judged, judges={"judge": {"provider": "bedrock", "model_id": "vendor.j"}}
        )
    )
    billed, rehearsal = total_by_basis(spend_of(uri)).to_dict("records")
    assert billed["judge_usd"] == billed["spent_usd"] == pytest.approx(0.008)
    assert (billed["runs"], rehearsal["runs"]) == (0, 4)
    assert rehearsal["judge_usd"] == 0
    assert rehearsal["input_tokens"] == sum(record.input_tokens or 0 for record in judged)
    assert math.isnan(billed["input_tokens"])
    assert math.isnan(billed["usd_per_run"])


def test_the_report_equals_the_sum_over_the_children_to_a_billionth_of_a_dollar(
    recording: Recorder, uri: str
) -> None:
    rng = random.Random(11)
    for number in range(1, 9):
        recording(a_sweep(number, at=f"2026-03-{number:02d}T02:00", rng=rng, queries=10))
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database:
        (theirs,) = database.execute(
            "SELECT sum(value) FROM latest_metrics WHERE key IN ('cost_usd', 'judge_cost_usd', "
            "'retrieval_cost_usd', 'wasted_usd')"
        ).fetchone()
    groups = group_spend(spend_of(uri), ["day", "model_key"])
    assert len(groups) == 16
    assert abs(math.fsum(groups["spent_usd"]) - theirs) < 1e-9


def test_what_no_trial_can_show_is_a_row_of_its_own(recording: Recorder, uri: str) -> None:
    run_id = recording(replace(a_sweep(), rest_usd=Decimal("0.5")))
    spend = spend_of(uri)
    (lost,) = spend[spend["status"] == "lost"].to_dict("records")
    assert lost["wasted_usd"] == pytest.approx(0.5, abs=1e-9)
    assert (lost["run_id"], lost["model_key"]) == (run_id, "haiku, nova")
    assert lost["cost_basis"] == "billed"
    (total,) = total_by_basis(spend).to_dict("records")
    assert total["runs"] == 8
    assert total["spent_usd"] == pytest.approx(float(replace(a_sweep()).spent_usd) + 0.5, abs=1e-9)


def test_a_sweep_under_way_is_read_from_its_child_runs(recording: Recorder, uri: str) -> None:
    sweep = a_sweep()
    recording(sweep, finished=False)
    spend = spend_of(uri)
    assert len(spend) == 8
    assert math.fsum(spend[list(SPENT)].sum()) == pytest.approx(float(sweep.spent_usd))
    assert set(spend["sweep"]) == {"nightly"}


@pytest.mark.parametrize("harm", ["absent", "cut short", "of fewer trials", "of another shape"])
def test_a_trials_file_that_is_not_whole_is_not_believed(
    recording: Recorder, uri: str, harm: str
) -> None:
    sweep = a_sweep()
    recording(sweep)
    store = TrackedStore(uri=uri)
    (parent,) = store.sweeps()
    path = Path(parent.artifact_uri) / "summary" / "trials.parquet"
    table = pd.read_parquet(path)
    match harm:
        case "absent":
            path.unlink()
        case "cut short":
            path.write_bytes(path.read_bytes()[:-100])
        case "of fewer trials":
            table.iloc[:-1].to_parquet(path)
        case "of another shape":
            table.drop(columns="cost_usd").to_parquet(path)
    spend = read_spend(store)
    assert len(spend) == 8
    assert math.fsum(spend[list(SPENT)].sum()) == pytest.approx(float(sweep.spent_usd))


def test_the_file_of_trials_and_the_child_runs_give_the_same_rows(
    recording: Recorder, uri: str
) -> None:
    sweep = a_sweep(queries=8, tags={"team": "research"})
    records = [*sweep.records[:-2], failed(sweep.records[-2]), failed(sweep.records[-1])]
    saved = replace(records[0], saved_usd=Decimal("0.01"), cost_usd=Decimal(0))
    recording(replace(sweep, records=[saved, *records[1:]]))
    store = TrackedStore(uri=uri)
    from_file = read_spend(store)
    (parent,) = store.sweeps()
    (Path(parent.artifact_uri) / "summary" / "trials.parquet").unlink()
    from_runs = read_spend(store)
    by_run = [frame.sort_values("run_id", ignore_index=True) for frame in (from_file, from_runs)]
    # Query tags are in the table alone: a child run does not carry them.
    pd.testing.assert_frame_equal(*(frame.drop(columns="query_tags") for frame in by_run))


def test_single_queries_count_and_deleted_runs_do_not(uri: str) -> None:
    cell, (query, *_) = a_cell(a_model()), some_queries(1)
    store = open_store(uri, "Single")
    rng, form = random.Random(3), CellForm(cell, Origin(environment="development"))
    made = []
    for _ in range(3):
        payload = form.payload(a_record(cell, query, instant("2026-03-05T10:00"), rng), query, None)
        run = store.client.create_run(store.experiment_id, payload.start_ms, dict(payload.tags))
        for key, value in payload.params.items():
            store.client.log_param(run.info.run_id, key, value)
        store.client.log_metric(run.info.run_id, "cost_usd", payload.metrics["cost_usd"])
        made.append((run.info.run_id, payload.metrics["cost_usd"]))
    store.client.delete_run(made[0][0])
    store.engine.dispose()
    spend = spend_of(uri)
    assert sorted(spend["run_id"]) == sorted(run_id for run_id, _ in made[1:])
    assert math.fsum(spend["target_usd"]) == pytest.approx(sum(usd for _, usd in made[1:]))
    assert set(spend["environment"]) == {"development"}
    assert set(spend["sweep"]) == {""}


def test_runs_of_older_programs_with_a_cost_count_as_billed(uri: str) -> None:
    store = open_store(uri, "Older")
    run = store.client.create_run(store.experiment_id, int(instant("2026-03-05T10:00") * 1000))
    store.client.log_metric(run.info.run_id, "cost_usd", 0.017)
    store.client.create_run(store.experiment_id)  # no cost: not a row
    store.engine.dispose()
    (row,) = spend_of(uri).to_dict("records")
    assert (row["target_usd"], row["cost_basis"], row["model_key"]) == (0.017, "billed", "")
    assert math.isnan(row["input_tokens"])


def test_only_the_time_and_the_experiments_asked_for_are_counted(
    recording: Recorder, uri: str
) -> None:
    recording(a_sweep(1, at="2026-03-01T23:59"))
    recording(a_sweep(2, at="2026-03-05T02:00", experiment="Other"))
    since, until = instant("2026-03-02T00:00"), instant("2026-03-06T00:00")
    assert len(spend_of(uri, since=since, until=until)) == 6 + 8
    assert len(spend_of(uri, since=since, until=until, whole_sweeps=True)) == 16
    assert len(spend_of(uri, since=since, experiments=["Other"])) == 8
    assert len(spend_of(uri, until=since)) == 2
    with pytest.raises(InvalidInput) as caught:
        spend_of(uri, experiments=["Others"])
    assert caught.value.problems[0].message == "there is no experiment 'Others'"
    assert caught.value.problems[0].fix == "known: Default, Other, Tests"


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30"])
def test_what_is_no_day_is_the_users_mistake(uri: str, day: str) -> None:
    for bound in ("since", "until"):
        with pytest.raises(InvalidInput) as caught:
            load_costs(**{bound: day}, tracking_uri=uri)
        assert caught.value.problems[0].message == f"{day!r} is not a day"


def test_nothing_spent_gives_the_same_columns_without_rows(uri: str) -> None:
    for spend in (spend_of(uri), no_spend()):
        assert tuple(spend.columns) == SPEND_COLUMNS
        assert group_spend(spend, ["day", "query_tag"]).empty
        assert total_by_basis(spend).empty


def test_frames_have_the_documented_types(recording: Recorder, uri: str) -> None:
    recording(a_sweep())
    spend = spend_of(uri)
    assert str(spend["started_at"].dtype) == "datetime64[us, UTC]"
    assert all(spend[name].dtype == "float64" for name in (*TOKENS, *MONEY))
    texts = [name for name in SPEND_COLUMNS if name not in ("started_at", *TOKENS, *MONEY)]
    assert all(pd.api.types.is_string_dtype(spend[name].dtype) for name in texts)
    assert not spend[texts].isna().to_numpy().any()
    costs = load_costs(since="2026-03-01", by=("day",), tracking_uri=uri)
    assert costs["runs"].dtype == costs["failed"].dtype == "int64"
    assert costs["spent_usd"].dtype == costs["cache_share"].dtype == "float64"


def test_the_tables_of_a_store_give_what_mlflows_client_gives(
    recording: Recorder, uri: str
) -> None:
    rng = random.Random(2)
    for number in range(1, 4):
        sweep = a_sweep(number, at=f"2026-03-0{number}T02:00", rng=rng)
        records = [*sweep.records[:-1], failed(sweep.records[-1])]
        recording(replace(sweep, records=records, experiment=f"Number {number % 2}"))
    recording(a_sweep(4, experiment="Number 0"), finished=False)
    tables, client = TrackedStore(uri=uri), TrackedStore(uri=uri, direct=False)
    for options in (
        {},
        {"experiments": ["Number 0"]},
        {"since": instant("2026-03-02T02:01"), "until": instant("2026-03-03T00:00")},
    ):
        assert tables.sweeps(**options) == client.sweeps(**options)
        assert tables.single_queries(**options) == client.single_queries(**options)
    for sweep_run in tables.sweeps():
        ours, theirs = (
            sorted(store.children(sweep_run), key=lambda run: run.run_id)
            for store in (tables, client)
        )
        assert len(ours) == 8
        assert ours == theirs
    frames = [read_spend(store) for store in (tables, client)]
    pd.testing.assert_frame_equal(
        *(frame.sort_values("run_id", ignore_index=True) for frame in frames)
    )


SEARCHES = [
    ("metrics.cost_usd > 0.005", ["metrics.cost_usd DESC"]),
    ("metrics.cost_usd <= 0.005 and params.model_key = 'haiku'", ["metrics.cost_usd ASC"]),
    ("tags.status = 'failed'", []),
    ("tags.status != 'failed'", ["tags.`finrag_eval.query_id` DESC", "params.model_key"]),
    ("tags.error_type IS NULL", ["metrics.latency_total_seconds DESC"]),
    ("tags.error_type IS NOT NULL", ["metrics.cost_usd DESC"]),
    ("", ["metrics.cost_usd ASC"]),
    ("", ["metrics.odd DESC"]),
    ("", ["metrics.odd ASC"]),
    ("metrics.odd != 3", []),
    ("metrics.odd < 3", []),
    ("params.query_preview LIKE '%company 1%'", []),
    ("params.query_preview LIKE '%COMPANY 1%'", []),
    ("params.query_preview ILIKE '%COMPANY 1%'", []),
    ("attributes.start_time > 1772416800000 and attributes.status = 'FINISHED'", []),
    ("attributes.status != 'FINISHED'", ["attributes.end_time DESC"]),
    ("attributes.run_name LIKE 'query_%'", []),
    ("tags.`mlflow.parentRunId` IS NOT NULL", ["attributes.status ASC"]),
    ("dataset.name = 'core'", []),
]


@pytest.fixture(scope="module")
def searched(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with two sweeps, failed trials, and a metric that is NaN, huge or missing."""
    import shutil

    from spend_parts import record_sweep

    folder = tmp_path_factory.mktemp("searched")
    shutil.copy(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    store = open_store(uri, "Tests")
    for number in (1, 2):
        sweep = a_sweep(number, at=f"2026-03-0{number}T02:00")
        records = [*sweep.records[:-1], failed(sweep.records[-1])]
        record_sweep(store, folder / str(number), replace(sweep, records=records))
    found = store.client.search_runs([store.experiment_id], "tags.status = 'success'")
    for run, value in zip(found, (math.nan, 3.0, -1e300, 0.0), strict=False):
        store.client.log_metric(run.info.run_id, "odd", value)
    store.engine.dispose()
    return uri


@pytest.mark.parametrize(("where", "order_by"), SEARCHES)
def test_searches_give_what_mlflow_gives_in_its_order(
    searched: str, where: str, order_by: list[str]
) -> None:
    tables, client = (TrackedStore(uri=searched, direct=direct) for direct in (True, False))
    ours = list(tables.search(where, order_by=order_by, limit=9))
    theirs = list(client.search(where, order_by=order_by, limit=9))
    assert [run.run_id for run in ours] == [run.run_id for run in theirs]
    assert json.dumps([dict(run.metrics) for run in ours]) == json.dumps(
        [dict(run.metrics) for run in theirs]
    )


@pytest.mark.parametrize(
    "where",
    ["metrics.cost_usd >", "a or b", "cost_usd > 1", "tags.status > 'x'", "metrics.x = 'y'", "'"],
)
@pytest.mark.parametrize("direct", [True, False])
def test_a_wrong_filter_is_the_users_mistake(searched: str, where: str, direct: bool) -> None:
    with pytest.raises(InvalidInput) as caught:
        list(TrackedStore(uri=searched, direct=direct).search(where))
    assert caught.value.problems[0].message.startswith("MLflow does not understand this search: ")


def test_a_store_that_is_not_there_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        TrackedStore(uri=f"sqlite:///{tmp_path}/none.db")
    (problem,) = caught.value.problems
    assert problem.message == f"there is no store at {tmp_path}/none.db"
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(StoreUnreachable, match="could not be reached"):
        TrackedStore(uri="http://127.0.0.1:9")

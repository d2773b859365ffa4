"""Both lanes into a store: what they write cannot be told apart, and can be written again."""

from __future__ import annotations

import math
import random
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from tracking_parts import STARTED, a_cell, a_query, a_record, an_answer, hostile_text

from finrag_eval.domain import Query, Score, Trial
from finrag_eval.record.bulk_lane import BulkLane, run_id_for, why_not_bulk
from finrag_eval.record.lanes import Job, StoreAway, Written
from finrag_eval.record.open_recording import choose_lane
from finrag_eval.record.payload import CellForm, Origin, RunPayload
from finrag_eval.record.public_lane import PublicLane
from finrag_eval.record.store import Store, open_store
from finrag_eval.record.verified import VERIFIED_SCHEMAS

SWEEP = "20260921-000000-nightly-ab12"


@pytest.fixture
def stores(template_store: Path, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two stores of the same making, one for each lane; artifacts in a folder with a space."""
    opened = []
    for lane in ("public lane", "bulk lane"):
        folder = tmp_path / lane
        folder.mkdir()
        shutil.copy(template_store, folder / "mlflow.db")
        opened.append(open_store(f"sqlite:///{folder / 'mlflow.db'}", "Both lanes"))
    yield opened[0], opened[1]
    for store in opened:
        store.engine.dispose()


def jobs_of(payloads: Mapping[str, RunPayload], state: int = 1) -> list[Job]:
    return [
        Job(trial_key=key, scores_id=state, payload=payload) for key, payload in payloads.items()
    ]


def a_payload(number: int = 1, *, files: bool = True, **changes: Any) -> RunPayload:
    trial = Trial(key=f"key{number}", cell="small.v1-v1", query_id=f"q{number:03d}")
    origin = Origin(environment="production", sweep_id=SWEEP, parent_run_id="f" * 32)
    record = replace(a_record(number), trial=trial)
    result = an_answer(trial, number).result if files else None
    form = CellForm(a_cell(), origin)
    return form.payload(replace(record, **changes), a_query(number), result)


def random_payload(number: int, rng: random.Random) -> RunPayload:
    """Any trial: hostile texts, limits, NaN, missing figures, failures."""
    figures: dict[str, Any] = {
        name: rng.choice([None, 0, 1, 7, 10**9])
        for name in ("input_tokens", "output_tokens", "cache_read_tokens", "kpi_matches_count")
    }
    figures |= {
        "latency_total_seconds": rng.choice([None, 0.0, 1e-9, rng.random() * 900]),
        "cost_usd": rng.choice([None, Decimal(0), Decimal(rng.randint(0, 10**9)) / 10**9]),
        "wasted_usd": rng.choice([Decimal(0), Decimal("0.1")]),
        "started_at": STARTED + rng.random() * 1000,
        "tickers": tuple(hostile_text(rng, 9) for _ in range(rng.randint(0, 3))),
        "stop_reason": rng.choice([None, "end_turn", "max_tokens", hostile_text(rng, 20)]),
        "scores": tuple(
            Score(
                name=rng.choice(["numeric", "p@5", "a/../b", "ü", hostile_text(rng, 300)]),
                value=rng.choice([None, 0.0, 1.0, -1e300, 1e-300, math.nan, rng.random()]),
            )
            for _ in range(rng.randint(0, 4))
        ),
    }
    figures["ended_at"] = figures["started_at"] + rng.random() * 10
    if rng.random() < 0.3:
        message = hostile_text(rng, rng.choice([0, 50, 9000]))
        figures |= {"status": "failed", "error_type": "E", "error_message": message, "stage": "s"}
    trial = Trial(key=f"key{number}", cell="small.v1-v1", query_id=hostile_text(rng, 300))
    origin = Origin(
        environment="production",
        sweep_id=SWEEP,
        parent_run_id="f" * 32,
        tags={hostile_text(rng, 280): hostile_text(rng, 60)},
    )
    query = Query(id="q", query=hostile_text(rng, rng.choice([1, 90, 7000])) or "?")
    result = {"answer": hostile_text(rng, 200), "context": rng.choice(["", "context \ud800"])}
    return CellForm(a_cell(), origin).payload(
        replace(a_record(number), trial=trial, **figures),
        query,
        result if rng.random() < 0.2 else None,
    )


def seen(store: Store, run: Any) -> dict[str, Any]:
    """All that MLflow's API shows of a run, ids and times of the database apart."""
    info = run.info
    assert info.artifact_uri.endswith(f"{info.run_id}/artifacts")
    assert info.artifact_uri.startswith(store.artifact_location)
    return {
        "name": info.run_name,
        "status": info.status,
        "start": info.start_time,
        "end": info.end_time,
        "stage": info.lifecycle_stage,
        "user": info.user_id,
        "experiment": info.experiment_id,
        "params": run.data.params,
        "tags": run.data.tags,
        "metrics": {
            metric.key: (repr(metric.value), metric.timestamp, metric.step)
            for metric in run.data._metric_objs
        },
        "inputs": run.inputs.dataset_inputs,
    }


def runs_by_key(store: Store) -> dict[str, Any]:
    found: dict[str, Any] = {}
    token = None
    while True:
        page = store.client.search_runs(
            [store.experiment_id], "tags.`finrag_eval.kind` = 'trial'", page_token=token
        )
        for run in page:
            key = run.data.tags["finrag_eval.trial_key"]
            assert key not in found
            found[key] = run
        token = page.token
        if not token:
            return found


def files_of(store: Store, run_id: str, path: str | None = None) -> dict[str, int]:
    files: dict[str, int] = {}
    for file in store.client.list_artifacts(run_id, path):
        if file.is_dir:
            files |= files_of(store, run_id, file.path)
        else:
            files[file.path] = file.file_size
    return files


def rows_of(store: Store) -> list[tuple[Any, ...]]:
    """The rows of ``runs`` as the database has them, ids and places apart."""
    with closing(sqlite3.connect(store.uri.removeprefix("sqlite:///"))) as database:
        database.row_factory = sqlite3.Row
        rows = [dict(row) for row in database.execute("SELECT * FROM runs")]
    for row in rows:
        row["artifact_uri"] = row["artifact_uri"].replace(row["run_uuid"], "RUN")
        row["artifact_uri"] = row["artifact_uri"].removeprefix(store.artifact_location)
        del row["run_uuid"]
    return sorted(tuple(sorted(row.items(), key=str)) for row in rows)


def check_database(store: Store) -> None:
    """No orphan, no broken reference, and each newest value is one of the values."""
    with closing(sqlite3.connect(store.uri.removeprefix("sqlite:///"))) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        for table in ("params", "tags", "metrics", "latest_metrics"):
            (orphans,) = database.execute(
                f"SELECT count(*) FROM {table} WHERE run_uuid NOT IN (SELECT run_uuid FROM runs)"
            ).fetchone()
            assert orphans == 0, table
        newest = """SELECT run_uuid, key, value, timestamp, step, is_nan FROM metrics m
            WHERE NOT EXISTS (SELECT 1 FROM metrics n WHERE n.run_uuid = m.run_uuid
            AND n.key = m.key AND (n.step, n.timestamp, n.value) > (m.step, m.timestamp, m.value))
            ORDER BY 1, 2"""
        latest = """SELECT run_uuid, key, value, timestamp, step, is_nan
            FROM latest_metrics ORDER BY 1, 2"""
        assert database.execute(newest).fetchall() == database.execute(latest).fetchall()


def write(lane: PublicLane | BulkLane, jobs: Sequence[Job]) -> Written:
    written = Written()
    lane.write(jobs, written)
    return written


def test_the_lanes_of_500_random_trials_cannot_be_told_apart(stores: tuple[Store, Store]) -> None:
    rng = random.Random(20261122)
    payloads = {f"key{number}": random_payload(number, rng) for number in range(500)}
    for lane in (PublicLane(stores[0]), BulkLane(stores[1], SWEEP)):
        written = write(lane, jobs_of(payloads))
        assert (len(written.done), written.refused) == (500, [])
    public, bulk = (runs_by_key(store) for store in stores)
    assert public.keys() == bulk.keys() == payloads.keys()
    for key in payloads:
        assert seen(stores[0], public[key]) == seen(stores[1], bulk[key])
    for key in rng.sample(sorted(payloads), 12):
        one, other = (
            (store, store.client.get_run(runs[key].info.run_id))
            for store, runs in zip(stores, (public, bulk), strict=True)
        )
        assert seen(*one) == seen(*other)
        assert files_of(one[0], one[1].info.run_id) == files_of(other[0], other[1].info.run_id)
        for name in one[1].data.metrics:
            histories = [
                [
                    (repr(metric.value), metric.timestamp, metric.step)
                    for metric in store.client.get_metric_history(run.info.run_id, name)
                ]
                for store, run in (one, other)
            ]
            assert histories[0] == histories[1]
            assert len(histories[0]) == 1
    assert rows_of(stores[0]) == rows_of(stores[1])
    for store in stores:
        check_database(store)


def test_newer_states_by_both_lanes_cannot_be_told_apart(stores: tuple[Store, Store]) -> None:
    failed = {
        f"key{n}": a_payload(
            n, status="failed", error_type="E", error_message="m", stage="s", scores=()
        )
        for n in range(4)
    }
    answered = {f"key{n}": a_payload(n) for n in range(4)}
    rescored = {
        f"key{n}": a_payload(n, scores=(Score(name="other", value=math.nan),)) for n in range(2)
    }
    looks = []
    for store, lane in zip(
        stores, (PublicLane(stores[0]), BulkLane(stores[1], SWEEP)), strict=True
    ):
        ids: dict[str, str | None] = {}
        for state, payloads in enumerate((failed, answered, rescored)):
            jobs = jobs_of(payloads, state)
            for job in jobs:
                job.run_id = ids.get(job.trial_key)
            written = write(lane, jobs)
            assert len(written.done) == len(payloads)
            ids |= {job.trial_key: job.run_id for job in written.done}
        check_database(store)
        look = {key: seen(store, run) for key, run in runs_by_key(store).items()}
        for one in look.values():
            one["metrics"] = {name: value for name, (value, _, _) in one["metrics"].items()}
        looks.append(look)
    assert looks[0] == looks[1]
    assert len(looks[0]) == 4
    one = looks[0]["key0"]
    assert one["status"] == "FINISHED"
    assert "error_type" not in one["tags"]
    assert (one["metrics"]["score.numeric"], one["metrics"]["score.other"]) == ("nan", "nan")
    assert looks[0]["key3"]["metrics"]["score.numeric"] == "1.0"


def test_a_batch_written_again_by_the_bulk_lane_changes_nothing(
    stores: tuple[Store, Store],
) -> None:
    store = stores[1]
    payloads = {f"key{n}": a_payload(n) for n in range(3)}
    write(BulkLane(store, SWEEP), jobs_of(payloads))
    before = {key: seen(store, run) for key, run in runs_by_key(store).items()}
    write(BulkLane(store, SWEEP), jobs_of(payloads))
    assert {key: seen(store, run) for key, run in runs_by_key(store).items()} == before
    assert {run.info.run_id for run in runs_by_key(store).values()} == {
        run_id_for(SWEEP, key, 1) for key in payloads
    }
    check_database(store)


@pytest.mark.parametrize("bulk", [False, True], ids=["public", "bulk"])
def test_a_run_in_the_trash_is_taken_out_again(stores: tuple[Store, Store], bulk: bool) -> None:
    store = stores[bulk]
    lane = BulkLane(store, SWEEP) if bulk else PublicLane(store)
    (job,) = write(lane, jobs_of({"key1": a_payload()})).done
    assert job.run_id is not None
    store.client.delete_run(job.run_id)
    write(lane, [job])
    assert store.client.get_run(job.run_id).info.lifecycle_stage == "active"
    assert len(runs_by_key(store)) == 1


def test_a_run_that_is_gone_for_good_is_made_anew(stores: tuple[Store, Store]) -> None:
    store = stores[0]
    (job,) = write(PublicLane(store), jobs_of({"key1": a_payload()})).done
    job.run_id = "0" * 32
    write(PublicLane(store), [job])
    assert store.client.get_run(str(job.run_id)).info.status == "FINISHED"


@pytest.mark.parametrize("bulk", [False, True], ids=["public", "bulk"])
def test_a_value_that_the_store_refuses_holds_up_no_other_trial(
    stores: tuple[Store, Store], bulk: bool
) -> None:
    store = stores[bulk]
    lane = BulkLane(store, SWEEP) if bulk else PublicLane(store)
    bad = replace(a_payload(2), params={"lone": "\ud800"})
    if not bulk:
        bad = replace(a_payload(2), metrics={"not@legal": 1.0})
    written = write(lane, jobs_of({"key1": a_payload(1), "key2": bad, "key3": a_payload(3)}))
    assert [job.trial_key for job in written.done] == ["key1", "key3"]
    assert [job.trial_key for job, _ in written.refused] == ["key2"]
    assert all(run.info.status != "RUNNING" for run in runs_by_key(store).values())


def test_a_locked_database_is_away_and_not_a_refusal(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores[1]
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(store.uri.removeprefix("sqlite:///"))) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreAway, match="database is locked"):
            write(BulkLane(store, SWEEP), jobs_of({"key1": a_payload()}))
    assert runs_by_key(store) == {}
    assert len(write(BulkLane(store, SWEEP), jobs_of({"key1": a_payload()})).done) == 1


def test_the_installed_mlflow_is_one_that_the_bulk_lane_was_verified_with(
    stores: tuple[Store, Store],
) -> None:
    assert version("mlflow") in VERIFIED_SCHEMAS
    assert why_not_bulk(stores[0]) is None


def test_what_was_not_verified_is_written_run_by_run(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = version("mlflow")
    schema = VERIFIED_SCHEMAS[installed]
    monkeypatch.setitem(VERIFIED_SCHEMAS, installed, "another")
    assert why_not_bulk(stores[0]) == f"not verified with schema {schema}"
    monkeypatch.delitem(VERIFIED_SCHEMAS, installed)
    lane, notice = choose_lane(stores[0], "auto", SWEEP)
    assert lane.name == "public"
    assert notice == f"recording run by run, not in bulk: not verified with MLflow {installed}"


@pytest.mark.parametrize(
    ("asked", "lane"), [("auto", "bulk"), ("bulk", "bulk"), ("public", "public")]
)
def test_the_lane_is_the_one_asked_for(stores: tuple[Store, Store], asked: str, lane: str) -> None:
    chosen, notice = choose_lane(stores[0], asked, SWEEP)
    assert (chosen.name, notice) == (lane, None)

"""A sweep's ledger followed into a real store by a real recorder process."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from tracking_parts import SPEC, SweepInLedger, a_cell, record_here, some_scores

from finrag_eval.domain import Score
from finrag_eval.record.ledger import Ledger, LedgerReader
from finrag_eval.record.reconcile import remove_strays
from finrag_eval.record.recording import EarlyRecorder, Level, RecorderHandle, sync_sweep
from finrag_eval.record.run_book import BOOK_FILE, RunBook, recorded
from finrag_eval.record.store import open_store

NewSweep = Callable[..., SweepInLedger]

SUMMARY = {
    "status": "partial",
    "wall_seconds": 12.5,
    "totals": {"trials_succeeded": 8, "trials_failed": 2, "cost_usd": 0.25, "input_tokens": 900},
    "budget": {"spent_usd": 0.5, "max_usd": 5.0},
    "cells": [
        {
            "cell": "small.v1-v1",
            "succeeded": 4,
            "failed": 1,
            "cost_usd": {"total": 0.1},
            "latency_total_seconds": {"p50": 3.0, "p95": 4.0},
            "scores": {"numeric": {"mean": 0.5}, "contains": {"mean": None}},
        }
    ],
}


def runs_of(uri: str, kind: str = "trial") -> list[Any]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("Tests")
    return list(
        client.search_runs(
            [experiment.experiment_id], f"tags.`finrag_eval.kind` = '{kind}'", max_results=5000
        )
    )


def check_children(uri: str, sweep: SweepInLedger, *, trials: int | None = None) -> list[Any]:
    """Exactly one child run a trial, whole, in a final state, under the one parent."""
    runs = runs_of(uri)
    keys = [run.data.tags["finrag_eval.trial_key"] for run in runs]
    assert sorted(keys) == sorted({trial.key for trial in sweep.trials()})[: trials or None]
    assert {run.info.status for run in runs} <= {"FINISHED", "FAILED"}
    assert all(len(run.data.params) == 12 for run in runs)
    (parent,) = runs_of(uri, "sweep")
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent.info.run_id}
    return runs


def whole(sweep: SweepInLedger, uri: str, **options: Any) -> dict[str, list[dict[str, Any]]]:
    """Answers and records all of a sweep's trials, from start to end."""
    sweep.answer(sweep.trials())
    sweep.end()
    return record_here(sweep.folder, uri, status="completed", **options)


def sync(sweep: SweepInLedger, uri: str) -> dict[str, Any]:
    """What ``sync`` does, in this process."""
    (finished,) = record_here(sweep.folder, uri, verify=True)["finished"]
    return finished


def test_the_driver_never_imports_mlflow() -> None:
    code = (
        "import sys\n"
        "from finrag_eval.record import ledger, parent, payload, recording, run_book, single_run\n"
        "from finrag_eval.record import recorder, store\n"
        "heavy = {'mlflow', 'sqlalchemy', 'pandas', 'numpy', 'alembic'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_trial_becomes_one_complete_child_run(new_sweep: NewSweep, store_uri: str) -> None:
    sweep = new_sweep()
    notices: list[str] = []
    steps: list[tuple[int, int]] = []
    with RecorderHandle.start(sweep.folder, uri=store_uri, on_notice=notices.append) as recorder:
        trials = sweep.trials()
        sweep.answer(trials[:4])
        sweep.answer(trials[4:], failing=lambda place: place % 3 == 0)
        level = recorder.drain(progress=lambda done, behind: steps.append((done, behind)))
        sweep.end()
        ended = recorder.finish("partial")
        ids, parent = recorder.run_ids(), recorder.parent_run_id
    assert notices == []
    assert level == Level(is_level=True, recorded=10, behind=0)
    assert ended.is_level
    assert steps[-1] == (10, 0)
    runs = check_children(store_uri, sweep)
    assert {run.data.tags["finrag_eval.trial_key"]: run.info.run_id for run in runs} == ids
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent}
    assert sum(run.info.status == "FAILED" for run in runs) == 2
    assert not (sweep.folder / "recorder.log").exists()


def test_the_costs_in_the_store_sum_to_those_of_the_ledger(
    new_sweep: NewSweep, store_uri: str
) -> None:
    sweep = new_sweep()
    whole(sweep, store_uri)
    runs = [*runs_of(store_uri), *runs_of(store_uri, "sweep")]
    total = sum(run.data.metrics.get("cost_usd", 0.0) for run in runs)
    with LedgerReader.open(sweep.folder) as ledger:
        costs = [record.cost_usd for record in ledger.records() if record.cost_usd is not None]
    assert total == pytest.approx(float(sum(costs)), abs=1e-9)


def test_the_parent_shows_the_result_in_words_figures_and_files(
    new_sweep: NewSweep, store_uri: str
) -> None:
    sweep = new_sweep()
    sweep.answer(sweep.trials())
    sweep.end("partial", 0)
    (sweep.folder / "summary.json").write_text(json.dumps(SUMMARY))
    (sweep.folder / "summary.md").write_text("# nightly\n\n**small is cheaper**\n")
    (sweep.folder / "sweep.yaml").write_text("name: nightly\n")
    ended_at = time.time() + 60
    said = record_here(sweep.folder, store_uri, status="partial", ended_at=ended_at)
    (url,) = [event["url"] for event in said["parent"]]
    (parent,) = runs_of(store_uri, "sweep")
    assert parent.info.run_name.startswith("sweep_2")
    assert parent.info.run_name.endswith("_nightly")
    assert parent.info.status == "FINISHED"
    assert parent.info.end_time == int(ended_at * 1000)
    assert url.endswith(f"/runs/{parent.info.run_id}")
    tags = parent.data.tags
    assert tags["status"] == "partial"
    assert tags["environment"] == "production"
    assert tags["team"] == "research"
    assert tags["finrag_eval.git_commit"] == tags["mlflow.source.git.commit"] == "0123abcd"
    assert tags["finrag_eval.git_dirty"] == "true"
    assert tags["finrag_eval.spec_digest"] == "spec-digest"
    assert tags["finrag_eval.query_set_digest"] == "set-digest"
    assert tags["finrag_eval.cost_basis"] == "billed"
    assert tags["mlflow.note.content"].startswith(
        "**small is cheaper**\n\nRead `summary/report.html` under *Artifacts* first.\n\n### Where"
    )
    assert parent.data.params["prompts"] == "v1/v1"
    assert parent.data.params["scorers"] == "numeric, contains"
    assert parent.data.params["budget.max_usd"] == "5.0"
    assert parent.data.metrics == {
        "sweep/trials_succeeded": 8.0,
        "sweep/trials_failed": 2.0,
        "sweep/cost_usd": 0.25,
        "sweep/input_tokens": 900.0,
        "sweep/spent_usd": 0.5,
        "sweep/max_usd": 5.0,
        "sweep/wall_seconds": 12.5,
        "small.v1-v1/cost_usd_total": 0.1,
        "small.v1-v1/latency_p50_seconds": 3.0,
        "small.v1-v1/latency_p95_seconds": 4.0,
        "small.v1-v1/trials_succeeded": 4.0,
        "small.v1-v1/trials_failed": 1.0,
        "small.v1-v1/score.numeric": 0.5,
    }
    (dataset,) = parent.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("core", "set-digest")
    assert json.loads(dataset.dataset.profile) == {"num_rows": 5}
    client = MlflowClient(store_uri)
    listed = [
        file.path
        for folder in ("spec", "summary")
        for file in client.list_artifacts(parent.info.run_id, folder)
    ]
    assert listed == [
        "spec/ml_config.yaml",
        "spec/sweep.yaml",
        "summary/summary.json",
        "summary/summary.md",
    ]
    config = Path(parent.info.artifact_uri, "spec/ml_config.yaml").read_text()
    import yaml

    assert yaml.safe_load(config)["serving_models"]["large"]["cost_per_1k_input"] == 0.00025


def test_the_sweep_is_to_be_seen_while_it_runs(new_sweep: NewSweep, store_uri: str) -> None:
    sweep = new_sweep()
    with RecorderHandle.start(sweep.folder, uri=store_uri) as recorder:
        sweep.answer(sweep.trials()[:2])
        recorder.drain()
        (parent,) = runs_of(store_uri, "sweep")
        assert parent.info.status == "RUNNING"
        assert parent.data.tags["status"] == "running"
        assert "10 trials planned, 2 cells" in parent.data.tags["mlflow.note.content"]
        assert len(runs_of(store_uri)) == 2
        recorder.finish("interrupted")
    (parent,) = runs_of(store_uri, "sweep")
    assert (parent.info.status, parent.data.tags["status"]) == ("KILLED", "interrupted")


def test_a_sweep_that_died_with_its_recorder_is_ended_by_the_next_one(
    new_sweep: NewSweep, store_uri: str
) -> None:
    dead = new_sweep(queries=2)
    trials = dead.trials()
    with RecorderHandle.start(dead.folder, uri=store_uri) as recorder:
        dead.answer(trials[:2])
        recorder.drain()
        os.kill(recorder.process_id, signal.SIGKILL)
    dead.close()
    client = MlflowClient(store_uri)
    (parent,) = runs_of(store_uri, "sweep")
    half_made = client.create_run(
        parent.info.experiment_id,
        tags={**runs_of(store_uri)[0].data.tags, "finrag_eval.trial_key": trials[2].key},
    )
    next_one = new_sweep(queries=1, sweep_id="20260922-000000-nightly-cd34")
    whole(next_one, store_uri)
    ended = [client.get_run(run.info.run_id) for run in (parent, half_made)]
    assert [run.info.status for run in ended] == ["KILLED", "KILLED"]
    assert ended[0].data.tags["status"] == "interrupted"

    dead.ledger = Ledger.open(dead.folder)
    dead.begin()
    dead.answer(trials[2:])
    dead.end()
    record_here(dead.folder, store_uri, status="completed")
    runs = [run for run in runs_of(store_uri) if of_sweep(run) == dead.sweep_id]
    assert len(runs) == len(trials)
    assert half_made.info.run_id in {run.info.run_id for run in runs}
    assert {run.info.status for run in runs} == {"FINISHED"}


def of_sweep(run: Any) -> str:
    return str(run.data.tags["finrag_eval.sweep_id"])


def test_a_resumed_sweep_goes_on_under_its_parent(new_sweep: NewSweep, store_uri: str) -> None:
    sweep = new_sweep()
    trials = sweep.trials()
    sweep.answer(trials[:6], failing=lambda place: place == 0)
    sweep.end("interrupted", 130)
    record_here(sweep.folder, store_uri, status="interrupted")
    before = {run.data.tags["finrag_eval.trial_key"]: run for run in runs_of(store_uri)}
    sweep.begin()
    sweep.answer([trials[0], *trials[6:]])
    record_here(sweep.folder, store_uri, status="completed")
    after = {
        run.data.tags["finrag_eval.trial_key"]: run for run in check_children(store_uri, sweep)
    }
    assert all(after[key].info.run_id == run.info.run_id for key, run in before.items())
    retried = after[trials[0].key]
    assert before[trials[0].key].info.status == "FAILED"
    assert retried.info.status == "FINISHED"
    assert "error_type" not in retried.data.tags
    assert retried.data.metrics["cost_usd"] > 0
    (parent,) = runs_of(store_uri, "sweep")
    assert (parent.info.status, parent.data.tags["status"]) == ("FINISHED", "completed")


def test_new_scores_reach_the_runs_that_are_there(new_sweep: NewSweep, store_uri: str) -> None:
    sweep = new_sweep(queries=1)
    whole(sweep, store_uri)
    sweep.ledger.begin_session(SPEC, {}, kind="score")
    with LedgerReader.open(sweep.folder) as ledger:
        outcomes = [record.outcome_id for record in ledger.records()]
    for outcome in outcomes:
        sweep.ledger.append_scores(outcome, some_scores(2))
    sweep.ledger.flush()
    assert sync(sweep, store_uri)["level"]
    runs = check_children(store_uri, sweep)
    assert {run.data.metrics["score.numeric"] for run in runs} == {0.0}
    client = MlflowClient(store_uri)
    history = client.get_metric_history(runs[0].info.run_id, "score.numeric")
    assert [metric.value for metric in sorted(history, key=lambda m: m.timestamp)] == [1.0, 0.0]


@pytest.mark.parametrize("lane", ["public", "bulk"])
def test_sync_may_be_run_any_number_of_times(
    new_sweep: NewSweep, store_uri: str, lane: str
) -> None:
    sweep = new_sweep(queries=2, spec={**SPEC, "tracking": {"lane": lane}})
    sweep.answer(sweep.trials())
    sweep.end("partial", 0)
    for _ in range(3):
        assert sync(sweep, store_uri) == {
            "level": True,
            "reason": None,
            "recorded": 4,
            "behind": 0,
        }
    runs = check_children(store_uri, sweep)
    history = MlflowClient(store_uri).get_metric_history(runs[0].info.run_id, "cost_usd")
    assert len(history) == 1
    (parent,) = runs_of(store_uri, "sweep")
    assert (parent.info.status, parent.data.tags["status"]) == ("FINISHED", "partial")


def test_sync_puts_right_whatever_happened_in_the_store(
    new_sweep: NewSweep, store_uri: str
) -> None:
    sweep = new_sweep(queries=3)
    whole(sweep, store_uri)
    client = MlflowClient(store_uri)
    runs = {run.data.tags["finrag_eval.trial_key"]: run for run in runs_of(store_uri)}
    keys = sorted(runs)
    client.delete_run(runs[keys[0]].info.run_id)
    experiment_id = runs[keys[1]].info.experiment_id
    twin = client.create_run(experiment_id, tags=runs[keys[1]].data.tags)  # a lost reply's
    client.update_run(runs[keys[2]].info.run_id, status="RUNNING")
    with closing(sqlite3.connect(store_uri.removeprefix("sqlite:///"))) as database, database:
        for table in ("params", "tags", "metrics", "latest_metrics", "runs"):
            database.execute(
                f"DELETE FROM {table} WHERE run_uuid = ?", (runs[keys[3]].info.run_id,)
            )
    assert sync(sweep, store_uri)["level"]
    check_children(store_uri, sweep)
    assert client.get_run(twin.info.run_id).info.lifecycle_stage == "deleted"
    assert client.get_run(twin.info.run_id).info.status == "KILLED"


@pytest.mark.parametrize("lane", ["bulk", "public"])
def test_what_lost_replies_left_behind_is_removed_and_nothing_else(
    new_sweep: NewSweep, store_uri: str, lane: str
) -> None:
    sweep = new_sweep(queries=2)
    whole(sweep, store_uri, lane=lane)
    client = MlflowClient(store_uri)
    (parent,), (trial, *_) = runs_of(store_uri, "sweep"), runs_of(store_uri)
    recorded_before = {run.info.run_id for run in runs_of(store_uri)}
    experiment_id = parent.info.experiment_id

    def made(tags: dict[str, str], name: str, status: str = "RUNNING") -> str:
        run_id = str(client.create_run(experiment_id, tags=tags, run_name=name).info.run_id)
        if status != "RUNNING":
            client.set_terminated(run_id, status)
        return run_id

    another_sweep = {**parent.data.tags, "finrag_eval.sweep_id": "of-somebody-else"}
    strays = [
        made(trial.data.tags, trial.info.run_name),
        made(parent.data.tags, parent.info.run_name),
        made(parent.data.tags, parent.info.run_name, "KILLED"),
    ]
    others = [
        made(another_sweep, parent.info.run_name),
        made({}, "sweep_of_a_chimney"),
        made({}, "somebody's own", "FINISHED"),
    ]
    with (
        LedgerReader.open(sweep.folder) as reader,
        closing(RunBook(sweep.folder, store_uri, "Tests")) as book,
    ):
        store = open_store(store_uri, "Tests", own_process=False)
        remove_strays(store, book, reader.sweep_id, direct=lane == "bulk")
    stages = {one: client.get_run(one).info.lifecycle_stage for one in (*strays, *others)}
    assert stages == dict.fromkeys(strays, "deleted") | dict.fromkeys(others, "active")
    assert all(client.get_run(one).info.status == "KILLED" for one in strays)
    assert {run.info.run_id for run in runs_of(store_uri)} == recorded_before
    assert client.get_run(parent.info.run_id).info.lifecycle_stage == "active"


def test_a_lost_book_is_written_again_from_the_store(new_sweep: NewSweep, store_uri: str) -> None:
    sweep = new_sweep(queries=2)
    whole(sweep, store_uri, lane="public")
    before = {run.info.run_id for run in runs_of(store_uri)}
    (sweep.folder / BOOK_FILE).write_bytes(b"no database at all, but some bytes" * 9)
    assert sync(sweep, store_uri)["level"]
    assert {run.info.run_id for run in check_children(store_uri, sweep)} == before
    found = recorded(sweep.folder)
    assert found is not None
    assert set(found.run_ids.values()) == before


def test_a_sweep_can_be_brought_into_another_store(
    new_sweep: NewSweep, store_uri: str, tmp_path: Path
) -> None:
    sweep = new_sweep(queries=1)
    whole(sweep, store_uri)
    another = f"sqlite:///{tmp_path / 'another.db'}"
    said = record_here(sweep.folder, another, verify=True)
    assert said["finished"][0]["level"]
    assert said["notice"] == [{"text": f"making a new MLflow store, {another}: some seconds"}]
    check_children(another, sweep)
    check_children(store_uri, sweep)


@pytest.mark.parametrize(
    ("policy", "kept"), [("all", 10), ("none", 0), ("failed", 4), ("sample:1", 5)]
)
def test_the_files_of_as_many_trials_are_kept_as_was_asked_for(
    new_sweep: NewSweep, store_uri: str, policy: str, kept: int
) -> None:
    sweep = new_sweep(spec={**SPEC, "tracking": {"artifacts": policy}})
    sweep.answer(sweep.trials(), failing=lambda place: place in (0, 3, 6, 9))
    record_here(sweep.folder, store_uri, status="partial")
    runs = check_children(store_uri, sweep)
    with_files = [run for run in runs if Path(run.info.artifact_uri, "response").exists()]
    assert len(with_files) == kept
    if policy == "sample:1":
        assert {run.info.status for run in runs if run not in with_files} == {"FINISHED"}


@pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")  # MLflow's own, on import
def test_each_trial_has_one_trace_where_traces_were_asked_for(
    new_sweep: NewSweep, store_uri: str
) -> None:
    sweep = new_sweep(queries=1, spec={**SPEC, "tracking": {"traces": True}})
    whole(sweep, store_uri)
    assert sync(sweep, store_uri)["level"]
    client = MlflowClient(store_uri)
    for run in check_children(store_uri, sweep):
        (trace,) = client.search_traces(
            locations=[run.info.experiment_id], run_id=run.info.run_id, include_spans=True
        )
        names = [span.name for span in trace.data.spans]
        assert names == [
            "trial",
            "entities",
            "kpi",
            "rag",
            "prompt",
            "llm",
            "score.numeric",
            "score.contains",
        ]
        assert trace.info.token_usage["input_tokens"] == 900
        assert trace.info.execution_duration == 3500
        given = {one.name: one.value for one in trace.info.assessments}
        assert given["numeric"] == run.data.metrics["score.numeric"]
        assert set(given) == {"numeric", "contains"}


@pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")  # MLflow's own, on import
def test_scores_are_assessments_of_the_trace_and_follow_the_ledger(
    new_sweep: NewSweep, store_uri: str
) -> None:
    sweep = new_sweep(queries=1, spec={**SPEC, "tracking": {"traces": True}})
    whole(sweep, store_uri)
    sweep.ledger.begin_session(SPEC, {}, kind="score")
    with LedgerReader.open(sweep.folder) as ledger:
        outcomes = [record.outcome_id for record in ledger.records()]
    new = (
        Score(name="numeric", value=0.0, explanation={"found": ["$5"], "expected": 6.0}),
        Score(name="judge", value=0.5, explanation={"model": "opus", "reason": "half of it"}),
        Score(name="contains", unscored="the query has no expected answer"),
        Score(name="own", error="ValueError: no"),
    )
    for outcome in outcomes:
        sweep.ledger.append_scores(outcome, new)
    sweep.ledger.flush()
    for _ in range(2):  # the second time changes nothing
        assert sync(sweep, store_uri)["level"]
    client = MlflowClient(store_uri)
    for run in check_children(store_uri, sweep):
        (trace,) = client.search_traces(
            locations=[run.info.experiment_id], run_id=run.info.run_id, include_spans=False
        )
        given = {one.name: one for one in trace.info.assessments}
        assert len(trace.info.assessments) == 4
        assert (given["numeric"].value, given["numeric"].source.source_type) == (0.0, "CODE")
        assert given["numeric"].rationale == '{"found": ["$5"], "expected": 6.0}'
        assert (given["judge"].value, given["judge"].rationale) == (0.5, "half of it")
        judge = given["judge"].source
        assert (judge.source_type, judge.source_id) == ("LLM_JUDGE", "opus")
        unscored, broken = given["contains"].error, given["own"].error
        assert (unscored.error_code, broken.error_code) == ("UNSCORED", "SCORER_BROKE")
        assert unscored.error_message == "the query has no expected answer"


def test_a_deleted_experiment_ends_recording_with_the_reason(
    new_sweep: NewSweep, store_uri: str
) -> None:
    client = MlflowClient(store_uri)
    client.delete_experiment(client.create_experiment("Tests"))
    sweep = new_sweep(queries=1)
    said = whole(sweep, store_uri)
    assert "the experiment 'Tests' was deleted in MLflow" in said["fatal"][0]["reason"]
    assert "finished" not in said


def test_repeats_are_told_in_the_names(new_sweep: NewSweep, store_uri: str) -> None:
    sweep = new_sweep(queries=1, cells=(a_cell(),), spec={**SPEC, "repeats": 2})
    whole(sweep, store_uri)
    (run,) = runs_of(store_uri)
    assert run.info.run_name.endswith("_small_v1-v1_q001_r1")


# -- a recorder that is started before its sweep is known


def test_an_early_recorder_without_a_sweep_is_ended() -> None:
    with EarlyRecorder() as early:
        taken = early.take()
        assert taken is not None
        process, errors = taken
    assert process.poll() is None, "a recorder that was taken over lives on"
    process.stdin.close()  # its driver is gone
    assert process.wait(60) == 0
    process.stdout.close()
    errors.close()
    with EarlyRecorder() as early:
        pid = early.process_id
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_early_recorder_records_the_sweep_that_it_is_given(
    new_sweep: NewSweep, store_uri: str
) -> None:
    sweep = new_sweep(queries=1)
    sweep.answer(sweep.trials())
    sweep.end()
    with EarlyRecorder() as early:
        pid = early.process_id
        with RecorderHandle.start(sweep.folder, uri=store_uri, early=early) as recorder:
            assert recorder.process_id == pid
            assert recorder.drain().is_level
            assert recorder.finish("completed").is_level
    check_children(store_uri, sweep)


def test_a_recorder_that_dies_over_the_files_has_made_none(
    new_sweep: NewSweep, store_uri: str
) -> None:
    sweep = new_sweep(queries=1)
    with RecorderHandle.start(sweep.folder, uri=store_uri) as recorder:
        assert recorder.drain().is_level
        os.kill(recorder.process_id, signal.SIGKILL)
        recorder.begin_files({"status": "completed", "exit_code": 0})
        assert not recorder.has_made_summary()


# -- deaths


def a_driver_that_dies(folder: Path, uri: str) -> subprocess.Popen[bytes]:
    """A process that starts a recorder, answers six trials and then waits to be killed."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "from tracking_parts import SweepInLedger\n"
        "from finrag_eval.record.recording import RecorderHandle\n"
        "sweep = SweepInLedger(folder=Path(sys.argv[1]))\n"
        "handle = RecorderHandle.start(sweep.folder, uri=sys.argv[2])\n"
        "sweep.answer(sweep.trials()[:6])\n"
        "print('answered', flush=True)\n"
        "time.sleep(600)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), uri, str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
    )


def test_sync_in_a_process_of_its_own_calls_back_between_trials_and_end(
    new_sweep: NewSweep, store_uri: str
) -> None:
    sweep = new_sweep(queries=1)
    sweep.answer(sweep.trials())
    sweep.end()
    between: list[dict[str, str]] = []
    level = sync_sweep(
        sweep.folder, store_uri, between=lambda handle: between.append(handle.run_ids())
    )
    assert level == Level(is_level=True, recorded=2, behind=0)
    runs = check_children(store_uri, sweep)
    assert between == [{run.data.tags["finrag_eval.trial_key"]: run.info.run_id for run in runs}]


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 90
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_when_the_driver_dies_the_recorder_ends_what_was_begun(
    store_uri: str, tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    driver = a_driver_that_dies(folder, store_uri)
    assert driver.stdout is not None
    with driver.stdout as line:
        line.readline()
    driver.send_signal(signal.SIGKILL)
    driver.wait()

    def is_closed() -> bool:
        return [run.info.status for run in runs_of(store_uri, "sweep")] == ["KILLED"]

    until(lambda: recorded(folder) is not None, "the recorder never wrote its book")
    MlflowClient(store_uri).create_experiment("Other")  # the store is not locked meanwhile
    until(lambda: MlflowClient(store_uri).get_experiment_by_name("Tests") is not None, "no store")
    until(is_closed, "the sweep's run stayed open")
    runs = runs_of(store_uri)
    assert len(runs) == 6
    assert {run.info.status for run in runs} == {"FINISHED"}
    (parent,) = runs_of(store_uri, "sweep")
    assert parent.data.tags["status"] == "interrupted"


@pytest.mark.parametrize("lane", ["public", "bulk"])
def test_a_recorder_that_is_killed_is_started_again_and_records_nothing_twice(
    new_sweep: NewSweep, store_uri: str, lane: str
) -> None:
    sweep = new_sweep(queries=40)
    notices: list[str] = []
    with RecorderHandle.start(
        sweep.folder, uri=store_uri, lane=lane, on_notice=notices.append
    ) as recorder:
        sweep.answer(sweep.trials())
        until(lambda: recorder.parent_run_id is not None, "the store was never opened")
        until(lambda: len(runs_of(store_uri)) > 3, "nothing was recorded")
        os.kill(recorder.process_id, signal.SIGKILL)
        level = recorder.drain()
        recorder.finish("completed")
    assert notices == ["the recorder died; it is started again"]
    assert level == Level(is_level=True, recorded=80, behind=0)
    check_children(store_uri, sweep)

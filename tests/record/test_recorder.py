"""A sweep's ledger followed into a real store by a real recorder process."""

from __future__ import annotations

from collections.abc import Callable

from mlflow import MlflowClient
from tracking_parts import SweepInLedger

from finrag_eval.record.recording import RecorderHandle

NewSweep = Callable[..., SweepInLedger]


def children(uri: str) -> list[object]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("Tests")
    return client.search_runs(
        [experiment.experiment_id], "tags.`finrag_eval.kind` = 'trial'", max_results=5000
    )


def test_every_trial_becomes_one_complete_child_run(new_sweep: NewSweep, store_uri: str) -> None:
    sweep = new_sweep()
    notices: list[str] = []
    with RecorderHandle.start(sweep.folder, uri=store_uri, on_notice=notices.append) as recorder:
        trials = sweep.trials()
        sweep.answer(trials[:4])
        sweep.answer(trials[4:], failing=lambda place: place % 3 == 0)
        level = recorder.drain()
        sweep.end()
        (sweep.folder / "summary.json").write_text(
            '{"status": "partial", "totals": {"cost_usd": 1}}'
        )
        ended = recorder.finish("partial", ended_at=1_790_000_100.0)
        ids = recorder.run_ids()
        parent = recorder.parent_run_id
    assert notices == []
    assert level.is_level
    assert ended.is_level
    runs = children(store_uri)
    assert sorted(run.info.run_id for run in runs) == sorted(ids.values())
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent}
    assert {run.info.status for run in runs} == {"FINISHED", "FAILED"}

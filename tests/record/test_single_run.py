"""A run outside a sweep, as ``query`` records it."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tracking_parts import a_cell, a_query, a_record, an_answer

from finrag_eval.errors import InvalidInput, StoreUnreachable
from finrag_eval.record.payload import Origin, RunPayload, child_payload
from finrag_eval.record.single_run import record_single_run


def a_payload() -> RunPayload:
    record = a_record()
    return child_payload(
        record,
        cell=a_cell(),
        query=a_query(),
        result=an_answer(record.trial).result,
        origin=Origin(environment="development"),
    )


def test_a_query_becomes_one_finished_run(store_uri: str) -> None:
    run_id, url = record_single_run(a_payload(), uri=store_uri, experiment="FinRAG-Synthesis")
    client = MlflowClient(store_uri)
    run = client.get_run(run_id)
    assert run.info.run_name == "query_20231114_221320_small"
    assert run.info.status == "FINISHED"
    assert run.data.tags["finrag_eval.kind"] == "trial"
    assert not {"finrag_eval.sweep_id", "mlflow.parentRunId"} & set(run.data.tags)
    assert run.data.metrics["cost_usd"] == 0.0002625
    assert Path(run.info.artifact_uri, "prompts/original_query.txt").read_text() == a_query().query
    assert url == f"http://127.0.0.1:5000/#/experiments/{run.info.experiment_id}/runs/{run_id}"


def test_a_store_that_is_not_there_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        uri = f"http://ann:secret@127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(StoreUnreachable) as caught:
            record_single_run(a_payload(), uri=uri, experiment="E")
    assert caught.value.reason == "Connection refused"
    assert "secret" not in str(caught.value)


def test_a_deleted_experiment_is_told_as_such(store_uri: str) -> None:
    client = MlflowClient(store_uri)
    client.delete_experiment(client.create_experiment("Gone"))
    with pytest.raises(InvalidInput, match="was deleted in MLflow"):
        record_single_run(a_payload(), uri=store_uri, experiment="Gone")


def test_a_refused_run_is_not_left_running(store_uri: str) -> None:
    bad = replace(a_payload(), metrics={"not@legal": 1.0})
    with pytest.raises(StoreUnreachable):
        record_single_run(bad, uri=store_uri, experiment="E")
    client = MlflowClient(store_uri)
    experiment = client.get_experiment_by_name("E")
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]

"""The query log under ``s3://``, against moto's S3 server."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from botocore.exceptions import ClientError

from finrag_eval.synthesis_pipeline.orchestrator import answer_query
from finrag_eval.synthesis_pipeline.query_logger import QueryLogger, read_query_log

RESULT: dict[str, Any] = {
    "query": "What was Nvidia's revenue?",
    "answer": "USD 10.9 billion",
    "context": "Revenue was 10,918 million. ≈ €",
    "metadata": {
        "llm": {"model_id": "m", "input_tokens": 10, "output_tokens": 5, "cost": 0.25},
        "context": {"context_length": 31},
        "retrieval": {"kpi_count": 1, "rag_count": 0},
        "timestamp": "2026-01-02T03:04:05Z",
        "processing_time_ms": 12.5,
    },
}


def names(s3: Any, prefix: str = "") -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket="sweeps", Prefix=prefix)["Contents"]]


def test_row_context_and_response_are_objects_under_the_prefix(s3: Any) -> None:
    exports = QueryLogger("s3://sweeps/logs/night/").log(
        RESULT, export_context=True, export_response=True, model_key="one"
    )
    places = {kind: str(name).removeprefix("s3://sweeps/") for kind, name in exports.items()}
    assert sorted(places.values()) == names(s3)
    assert all(name.startswith("logs/night/") for name in places.values())

    def content(kind: str) -> bytes:
        body: bytes = s3.get_object(Bucket="sweeps", Key=places[kind])["Body"].read()
        return body

    assert content("context_file").decode() == RESULT["context"]
    (row,) = parquet.read_table(io.BytesIO(content("log_file"))).to_pylist()
    assert (row["query"], row["model_key"], row["cost"]) == (RESULT["query"], "one", 0.25)
    assert row["context_file"] == exports["context_file"]


def test_many_workers_write_at_once_and_every_row_is_read_back(s3: Any) -> None:
    logger = QueryLogger("s3://sweeps/logs")

    def write(worker: int) -> None:
        for number in range(5):
            logger.log({**RESULT, "query": f"{worker}/{number}"}, export_context=False)

    crew = [threading.Thread(target=write, args=(worker,)) for worker in range(6)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    rows = read_query_log("s3://sweeps/logs")
    assert sorted(rows["query"]) == sorted(f"{w}/{n}" for w in range(6) for n in range(5))


def test_a_bucket_that_is_not_there_is_an_error_of_aws(s3: Any) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        QueryLogger("s3://nowhere/logs").log(RESULT)


def test_a_question_is_answered_and_logged_on_s3(s3: Any, tmp_path: Path) -> None:
    config = tmp_path / "ml_config.yaml"
    config.write_text(
        "serving_models:\n"
        "  one: {provider: rehearsal, variant: kpi, model_id: r, max_tokens: 100,\n"
        "        cost_per_1k_input: 0.001, cost_per_1k_output: 0.005}\n"
        "finrag_eval: {query_log: s3://sweeps/logs}\n"
    )
    result = answer_query("What was Nvidia's revenue in 2020?", "one", config=config)
    assert result["exports"]["log_file"].startswith("s3://sweeps/logs/rows/date=")
    assert read_query_log("s3://sweeps/logs")["query"].tolist() == [result["query"]]


def test_an_answer_is_not_lost_with_its_log(
    s3: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tmp_path / "ml_config.yaml"
    config.write_text(
        "serving_models:\n"
        "  one: {provider: rehearsal, variant: kpi, model_id: r, max_tokens: 100,\n"
        "        cost_per_1k_input: 0.001, cost_per_1k_output: 0.005}\n"
        "finrag_eval: {query_log: s3://nowhere/logs}\n"
    )
    result = answer_query("What was Nvidia's revenue in 2020?", "one", config=config)
    assert result["answer"]
    assert result["exports"]["log_file"] is None
    assert "the query log could not be written" in caplog.text

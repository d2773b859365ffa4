"""Sweeps by Bedrock batch jobs, through the real program: run, stopped, resumed, refused."""

from __future__ import annotations

import csv
import json
import signal
from decimal import Decimal
from typing import Any

import pytest
from loopback.aws_fixture import LoopbackAws
from sweep_place import Place

S3_URI = "s3://sweeps/evals"
EXECUTION = {
    "mode": "bedrock_batch",
    "s3_uri": S3_URI,
    "role_arn": "arn:aws:iam::111122223333:role/batch",
    "min_records": 2,
    "poll_s": 0.05,
}
INPUT, OUTPUT = Decimal("0.0000175"), Decimal("0.00007")


@pytest.fixture
def by_batch(place: Place, aws: LoopbackAws, s3: Any, moto_process: str) -> Place:
    """A place with a job service that takes five records."""
    del s3
    aws.programme(s3=moto_process, min_records=1)
    place.env |= {**aws.env, "AWS_ENDPOINT_URL_S3": moto_process}
    place.sweep(
        models=["production_budget"], prompts=[{"system": "v1", "query": "v1"}], execution=EXECUTION
    )
    return place


def jobs_made(aws: LoopbackAws) -> int:
    return len([call for call in aws.ledger("CreateModelInvocationJob") if call["status"] == 200])


def test_a_sweep_is_answered_by_one_job_at_half_the_price(
    by_batch: Place, aws: LoopbackAws
) -> None:
    ran = by_batch.run("run", "small.yaml", "--format", "json")
    assert ran.code == 0, ran.err
    (cell,) = ran.json["cells"]
    usd = (cell["input_tokens"] * INPUT + cell["output_tokens"] * OUTPUT) / 1000
    assert cell["cost_usd"]["total"] == pytest.approx(float(usd), abs=1e-12)
    assert ran.json["budget"]["spent_usd"] == pytest.approx(float(usd), abs=1e-12)
    assert (cell["succeeded"], cell["failed"]) == (5, 0)
    assert jobs_made(aws) == 1
    assert not (by_batch.results / ran.json["sweep_id"] / "batch").exists()
    with (by_batch.results / ran.json["sweep_id"] / "trials.csv").open(encoding="utf-8") as file:
        prices = {row["cost_per_1k_input"] for row in csv.DictReader(file)}
    assert [Decimal(price) for price in prices] == [INPUT]


def test_an_interrupted_sweep_leaves_its_job_and_resume_collects_it(
    by_batch: Place, aws: LoopbackAws
) -> None:
    aws.change(states=["Submitted", "InProgress"])
    process = by_batch.start("run", "small.yaml", "--no-tracking")
    assert process.stderr is not None
    for line in process.stderr:
        if "InProgress" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "1 batch job of 5 records" in err
    aws.change(states=["Completed"])
    ran = by_batch.run("resume", "latest", "--no-tracking", "--format", "json")
    assert ran.code == 0, ran.err
    assert ran.json["totals"]["trials_succeeded"] == 5
    assert ran.json["budget"]["wasted_usd"] == 0
    assert jobs_made(aws) == 1


def test_after_a_kill_jobs_are_collected_and_not_sent_on_demand_as_well(
    by_batch: Place, aws: LoopbackAws
) -> None:
    aws.change(states=["Submitted", "InProgress"])
    process = by_batch.start("run", "small.yaml", "--no-tracking")
    assert process.stderr is not None
    for line in process.stderr:
        if "InProgress" in line:
            break
    process.kill()
    process.communicate(timeout=120)
    by_batch.sweep(
        models=["production_budget"], prompts=[{"system": "v1", "query": "v1"}], execution={}
    )
    ran = by_batch.run("run", "small.yaml", "--no-tracking", "--format", "json")
    assert ran.code == 2
    (error,) = json.loads(ran.out)["errors"]
    assert (error["key"], error["message"]) == (
        "execution.mode",
        "5 trials of this sweep are in batch jobs, and would be paid for twice",
    )
    assert error["fix"] == (
        "collect them first (`--set execution.mode=bedrock_batch`), or start anew with --fresh"
    )
    aws.change(states=["Completed"])
    ran = by_batch.run("resume", "latest", "--no-tracking", "--format", "json")
    assert ran.code == 0, ran.err
    assert ran.json["totals"]["trials_succeeded"] == 5
    assert ran.json["budget"]["wasted_usd"] == 0
    assert jobs_made(aws) == 1


def test_too_few_trials_for_a_job_are_refused_before_anything_is_sent(
    by_batch: Place, aws: LoopbackAws, s3: Any
) -> None:
    ran = by_batch.run(
        "run", "small.yaml", "--set", "execution.min_records=100", "--format", "json"
    )
    assert ran.code == 2
    (error,) = json.loads(ran.out)["errors"]
    assert error["message"] == (
        "production_budget has 5 trials to send, and a batch job needs 100 records"
    )
    assert error["fix"] == (
        "send them on demand (`--set execution.mode=on_demand`), or set execution.min_records to "
        "what the account's quota says"
    )
    assert aws.ledger() == []
    assert "Contents" not in s3.list_objects_v2(Bucket="sweeps")
    assert not by_batch.results.exists()


def test_a_plan_is_at_the_prices_of_batches(by_batch: Place, aws: LoopbackAws) -> None:
    half = by_batch.run("plan", "small.yaml", "--format", "json")
    assert half.code == 0, half.err
    by_batch.sweep(models=["production_budget"], prompts=[{"system": "v1", "query": "v1"}])
    whole = by_batch.run("plan", "small.yaml", "--format", "json")
    for figure in ("expected", "worst"):
        assert whole.json["usd"][figure] == pytest.approx(2 * half.json["usd"][figure])
    assert aws.ledger() == []

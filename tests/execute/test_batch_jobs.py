"""Sweeps by batch jobs: real boto3, a job service and an S3 in processes of their own."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from batch_parts import ROLE, SETTINGS, BatchSweep, batch_cell, job_bodies, records_of
from execute_parts import SmallContext, SmallPipeline, queries
from loopback.aws_fixture import LoopbackAws

from finrag_eval.domain import BudgetSpec, MaxFailed, Outcome, Query
from finrag_eval.execute.batch import BatchGate
from finrag_eval.money import cost_usd, exact_sum, worst_case_usd


@pytest.fixture
def jobs(aws: LoopbackAws, s3: Any, moto_process: str) -> LoopbackAws:
    """The job service, with its files in S3 and no fewest number of records."""
    aws.programme(s3=moto_process, min_records=1)
    return aws


@pytest.fixture
def sweep(jobs: LoopbackAws, tmp_path: Path) -> BatchSweep:
    """Six questions of one model."""
    return BatchSweep(tmp_path, [batch_cell()])


def prompt_hash(query_id: str) -> str:
    number = query_id.removeprefix("q")
    prompt = f"Be exact.\0Context of {query_id}. Question {number}?"
    return hashlib.sha256(prompt.encode()).hexdigest()


# -- the whole way -------------------------------------------------------------------------------


def test_every_trial_is_answered_by_its_own_record(sweep: BatchSweep, jobs: LoopbackAws) -> None:
    ran = sweep.run()
    assert len(ran.outcomes) == 6
    for outcome in ran.outcomes.values():
        assert outcome.result["answer"].endswith(f"[sha256 {prompt_hash(outcome.trial.query_id)}]")
        assert outcome.result["context"] == f"Context of {outcome.trial.query_id}. "
    assert ran.gate.reason == "done"


def test_a_job_is_in_converse_format_with_the_trials_keys(
    sweep: BatchSweep, jobs: LoopbackAws, s3: Any
) -> None:
    sweep.run()
    (body,) = job_bodies(jobs)
    assert body["modelInvocationType"] == "Converse"
    assert (body["modelId"], body["roleArn"]) == ("vendor.m", ROLE)
    assert body["timeoutDurationInHours"] == 24
    assert body["jobName"] == f"finrag-eval-{body['clientRequestToken'][:32]}"
    folder = f"s3://sweeps/evals/nightly/sweep-1/{body['jobName']}"
    assert body["inputDataConfig"]["s3InputDataConfig"]["s3Uri"] == f"{folder}/input/records.jsonl"
    assert body["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"] == f"{folder}/output/"
    records = {record["recordId"]: record["modelInput"] for record in records_of(s3, body)}
    assert records["mxv1xv1xq0"] == {
        "messages": [
            {"role": "user", "content": [{"text": "Context of q0. Question 0?"}]},
        ],
        "system": [{"text": "Be exact."}],
        "inferenceConfig": {"maxTokens": 100},
    }
    assert len(records) == 6


def test_what_a_batch_has_not_is_left_out_of_its_records(
    jobs: LoopbackAws, s3: Any, tmp_path: Path
) -> None:
    settings = {"service_tier": "flex", "cache_point": True}
    BatchSweep(tmp_path, [batch_cell(settings=settings)]).run()
    (body,) = job_bodies(jobs)
    for record in records_of(s3, body):
        assert record["modelInput"].keys() == {"messages", "system", "inferenceConfig"}
        content = record["modelInput"]["messages"][0]["content"]
        assert [set(block) for block in content] == [{"text"}, {"text"}]


def test_one_job_a_model(jobs: LoopbackAws, tmp_path: Path) -> None:
    cells = [batch_cell("one"), batch_cell("two")]
    ran = BatchSweep(tmp_path, cells).run()
    assert len(ran.outcomes) == 12
    assert sorted(body["modelId"] for body in job_bodies(jobs)) == ["vendor.one", "vendor.two"]


def test_larger_sweeps_are_cut_into_jobs_none_of_them_too_small(
    jobs: LoopbackAws, s3: Any, tmp_path: Path
) -> None:
    settings = {**SETTINGS, "min_records": 3, "max_records": 6}
    ran = BatchSweep(tmp_path, [batch_cell()], count=13, settings=settings).run()
    assert len(ran.outcomes) == 13
    sizes = sorted(len(records_of(s3, body)) for body in job_bodies(jobs))
    assert sizes == [3, 4, 6]


def test_money_and_time_are_those_of_the_records(sweep: BatchSweep) -> None:
    ran = sweep.run()
    model = sweep.cells[0].model
    for outcome in ran.outcomes.values():
        assert outcome.usage is not None
        assert outcome.cost_usd == cost_usd(outcome.usage, model)
        assert outcome.latency_llm_seconds == 1.5
        assert outcome.latency_total_seconds is not None
        assert 1.75 <= outcome.latency_total_seconds < 2.0
        assert 3590 < outcome.latency_wait_seconds < 3600
        assert outcome.ended_at - outcome.started_at > 3590
    total = exact_sum(outcome.cost_usd or Decimal(0) for outcome in ran.outcomes.values())
    assert sweep.spent() == sweep.told() == total > 0
    assert ran.gate.snapshot().reserved_usd == 0


def test_progress_is_told_by_the_jobs_own_counts(sweep: BatchSweep) -> None:
    notices = sweep.run().notices
    assert " of 6 records is sent: arn:aws:bedrock:us-east-1:111122223333:" in notices[0]
    assert [line.partition(": ")[2].partition(": ")[2] for line in notices[1:]] == [
        "Submitted",
        "InProgress, 3 of 6 done",
        "Completed, 6 of 6 done",
    ]


def test_nothing_of_a_job_stays_on_disk_when_it_is_collected(sweep: BatchSweep) -> None:
    sweep.run()
    assert list((sweep.folder / "sweep-1" / "batch").iterdir()) == []


# -- the budget ----------------------------------------------------------------------------------


def test_what_does_not_fit_the_budget_is_not_sent(
    jobs: LoopbackAws, s3: Any, tmp_path: Path
) -> None:
    worst = worst_case_usd(batch_cell().model, len("Be exact.Context of q0. Question 0?"))
    cap = worst * 4
    sweep = BatchSweep(tmp_path, [batch_cell()], count=30, budget=BudgetSpec(max_usd=cap))
    seen: list[Decimal] = []

    def watch(gate: BatchGate, outcome: Outcome) -> None:
        snapshot = gate.snapshot()
        seen.append(snapshot.spent_usd + snapshot.reserved_usd)

    ran = sweep.run(after=watch)
    assert ran.gate.reason == "budget"
    assert max(seen) <= cap
    sizes = [len(records_of(s3, body)) for body in job_bodies(jobs)]
    assert sizes[0] == 4
    assert sum(sizes) == len(ran.outcomes) < 30
    assert sweep.spent() <= cap


def test_what_a_job_leaves_of_its_reservation_lets_more_in(
    jobs: LoopbackAws, s3: Any, tmp_path: Path
) -> None:
    worst = worst_case_usd(batch_cell().model, len("Be exact.Context of q0. Question 0?"))
    budget = BudgetSpec(max_usd=worst * 7)
    ran = BatchSweep(tmp_path, [batch_cell()], count=10, budget=budget).run()
    sizes = [len(records_of(s3, body)) for body in job_bodies(jobs)]
    assert sizes[0] == 7
    assert len(sizes) > 1
    assert sum(sizes) == len(ran.outcomes)


def test_too_few_that_fit_are_not_sent_and_it_is_said(jobs: LoopbackAws, tmp_path: Path) -> None:
    worst = worst_case_usd(batch_cell().model, len("Be exact.Context of q0. Question 0?"))
    budget = BudgetSpec(max_usd=worst * 3)
    settings = {**SETTINGS, "min_records": 5}
    ran = BatchSweep(tmp_path, [batch_cell()], budget=budget, settings=settings).run()
    assert (ran.gate.reason, ran.outcomes) == ("budget", {})
    assert ran.notices == [
        "m: 3 trials are too few for a batch job (min_records 5); "
        "`--set execution.mode=on_demand` sends them, within the budget"
    ]
    assert job_bodies(jobs) == []


def test_trials_that_fail_before_their_job_leave_too_few_for_one(
    jobs: LoopbackAws, tmp_path: Path
) -> None:
    def gather(query: Query) -> SmallContext:
        if query.id in ("q0", "q1"):
            raise ValueError("no context")
        return SmallContext(f"Context of {query.id}. ")

    settings = {**SETTINGS, "min_records": 5}
    pipeline = SmallPipeline(gather=gather)
    sweep = BatchSweep(tmp_path, [batch_cell()], settings=settings, pipeline=pipeline)
    ran = sweep.run()
    assert ran.failures == {"q0": "ValueError", "q1": "ValueError"}
    assert ran.gate.stopped_models == {
        "m": "4 trials are too few for a batch job (min_records 5); "
        "`--set execution.mode=on_demand` sends them"
    }
    assert sweep.spent() == 0


# -- records that went wrong ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fate", "manifest", "error_type", "is_billed"),
    [
        ("error400", None, "BatchError400", False),
        ("error500", None, "BatchError500", False),
        ("error500", True, "BatchError500", True),
        ("error500", "more", "BatchError500", True),
        ("missing", None, "BatchRecordMissing", True),
        ("null_text", None, "NoText", True),
        ("empty_content", None, "EmptyContent", True),
        ("no_usage", None, "MissingUsage", True),
        ("no_output", None, "MissingOutput", True),
        ("empty_object", None, "EmptyBody", True),
        ("guardrail", None, None, True),
        ("max_tokens", None, None, True),
    ],
)
def test_a_record_that_went_wrong_is_a_failed_trial_of_its_own_kind(
    sweep: BatchSweep,
    jobs: LoopbackAws,
    fate: str,
    manifest: Any,
    error_type: str | None,
    is_billed: bool,
) -> None:
    records = [{"match": "Question 2?", "fate": fate}]
    jobs.change(records=records, no_manifest=manifest)
    ran = sweep.run()
    assert len(ran.outcomes) == 6
    assert ran.failures == ({} if error_type is None else {"q2": error_type})
    outcome = ran.outcomes["m.v1-v1/q2"]
    if error_type is None:
        assert outcome.stop_reason in ("guardrail_intervened", "max_tokens")
    else:
        assert (outcome.wasted_usd > 0) == is_billed
    assert sweep.spent() == sweep.told()


def test_lines_that_are_no_records_change_nothing(sweep: BatchSweep, jobs: LoopbackAws) -> None:
    jobs.change(extra_output=["", "not json", "[]", '{"recordId": "unknown", "modelOutput": {}}'])
    ran = sweep.run()
    assert len(ran.outcomes) == 6
    assert ran.failures == {}


@pytest.mark.parametrize(
    ("status", "share", "error_type", "message"),
    [
        ("PartiallyCompleted", 0.5, "BatchNotProcessed", "the job's time was over before its turn"),
        ("Expired", 0.0, "BatchExpired", "the job expired before its turn"),
        ("Stopped", 0.5, "BatchStopped", "the job was stopped before its turn"),
    ],
)
def test_what_an_unfinished_job_answered_is_kept_and_the_rest_failed(
    sweep: BatchSweep,
    jobs: LoopbackAws,
    status: str,
    share: float,
    error_type: str,
    message: str,
) -> None:
    jobs.change(states=["InProgress", status], done_share=share)
    ran = sweep.run()
    answered = [outcome for outcome in ran.outcomes.values() if outcome.succeeded]
    assert len(answered) == 6 * share
    assert set(ran.failures.values()) == {error_type}
    failure = next(outcome.failure for outcome in ran.outcomes.values() if outcome.failure)
    assert (failure.message, failure.stage) == (message, "llm_invocation")
    billed = exact_sum(outcome.cost_usd or Decimal(0) for outcome in answered)
    assert sweep.spent() == sweep.told() == billed


def test_a_failed_job_fails_its_trials_and_stops_its_model(
    jobs: LoopbackAws, tmp_path: Path
) -> None:
    jobs.change(states=["Submitted", "Failed"], message="the role may not read the bucket")
    sweep = BatchSweep(tmp_path, [batch_cell("one")])
    ran = sweep.run()
    assert set(ran.failures.values()) == {"BatchFailed"}
    assert ran.gate.stopped_models == {
        "one": "its batch job failed: the role may not read the bucket"
    }
    failure = ran.outcomes["one.v1-v1/q0"].failure
    assert failure is not None
    assert failure.message == "the job failed: the role may not read the bucket"
    assert sweep.spent() == 0


def test_failed_trials_are_sent_again_in_a_job_of_their_own(
    sweep: BatchSweep, jobs: LoopbackAws
) -> None:
    jobs.change(records=[{"match": "Question 2?", "fate": "error400"}])
    sweep.settings = {**SETTINGS, "min_records": 1}
    sweep.run()
    jobs.change(records=[])
    ran = sweep.run(retry_failed=True)
    assert [outcome.trial.query_id for outcome in ran.outcomes.values()] == ["q2"]
    assert ran.failures == {}
    first, second = job_bodies(jobs)
    assert first["clientRequestToken"] != second["clientRequestToken"]


def test_more_failures_than_are_borne_stop_the_sweep_and_keep_what_was_paid_for(
    sweep: BatchSweep, jobs: LoopbackAws
) -> None:
    jobs.change(records=[{"match": f"Question {n}?", "fate": "error400"} for n in range(3)])
    sweep.max_failed = MaxFailed(count=0)
    ran = sweep.run()
    assert ran.gate.reason == "max_failed"
    assert len(ran.outcomes) == 6
    assert sweep.spent() == sweep.told()


# -- the service in trouble ----------------------------------------------------------------------

DENIED = [403, "AccessDeniedException", "not authorized to perform: iam:PassRole"]
BUSY = [503, "ServiceUnavailableException", "busy"]
FULL = [400, "ServiceQuotaExceededException", "too many jobs in progress"]
EXPIRED = [403, "ExpiredTokenException", "the token is expired"]


def test_a_job_that_may_not_be_made_stops_its_model_and_costs_nothing(
    jobs: LoopbackAws, tmp_path: Path
) -> None:
    jobs.change(faults=[{"operation": "CreateModelInvocationJob", "error": DENIED, "times": 1}])
    sweep = BatchSweep(tmp_path, [batch_cell("one"), batch_cell("two")])
    ran = sweep.run()
    stopped = dict(ran.gate.stopped_models)
    (refused,) = stopped
    assert stopped[refused] == "AccessDeniedException: not authorized to perform: iam:PassRole"
    assert len(ran.outcomes) == 6
    assert sweep.spent() == sweep.told()
    again = sweep.run()
    assert {outcome.trial.cell for outcome in again.outcomes.values()} == {f"{refused}.v1-v1"}


@pytest.mark.parametrize(
    ("operation", "error", "times", "told"),
    [
        (
            "CreateModelInvocationJob",
            FULL,
            2,
            "ServiceQuotaExceededException: too many jobs in progress; trying again",
        ),
        ("CreateModelInvocationJob", BUSY, 5, "ServiceUnavailableException: busy; trying again"),
        ("GetModelInvocationJob", BUSY, 5, "ServiceUnavailableException: busy; trying again"),
        (
            "GetModelInvocationJob",
            DENIED,
            2,
            "AccessDeniedException: not authorized to perform: iam:PassRole; trying again",
        ),
        (
            "GetModelInvocationJob",
            EXPIRED,
            2,
            "AWS refused the credentials (ExpiredTokenException); waiting for fresh credentials "
            "(for example `aws sso login`)",
        ),
    ],
)
def test_trouble_that_passes_is_told_once_and_borne(
    sweep: BatchSweep, jobs: LoopbackAws, operation: str, error: list[Any], times: int, told: str
) -> None:
    jobs.change(faults=[{"operation": operation, "error": error, "times": times}])
    ran = sweep.run()
    assert len(ran.outcomes) == 6
    assert ran.failures == {}
    assert len(job_bodies(jobs)) == 1
    assert len([line for line in ran.notices if line.endswith(told)]) == 1


def test_a_job_that_is_found_no_more_is_collected_from_its_output(
    sweep: BatchSweep, jobs: LoopbackAws
) -> None:
    gone = [404, "ResourceNotFoundException", "no such job"]
    fault = {"operation": "GetModelInvocationJob", "error": gone, "after": 3}
    jobs.change(states=["Submitted", "InProgress", "InProgress", "Completed"], faults=[fault])
    ran = sweep.run()
    assert set(ran.failures.values()) == {"BatchRecordMissing"}
    assert sweep.spent() == sweep.told() > 0


# -- sessions ------------------------------------------------------------------------------------


def stop_when(word: str) -> Any:
    def during(gate: BatchGate, line: str) -> None:
        if word in line:
            gate.stop("interrupted")

    return during


def test_a_stop_leaves_jobs_running_and_the_next_session_collects_them(
    sweep: BatchSweep, jobs: LoopbackAws
) -> None:
    jobs.change(states=["Submitted", "InProgress"])
    first = sweep.run(during=stop_when("InProgress"))
    assert first.outcomes == {}
    assert first.gate.reason == "interrupted"
    assert first.notices[-1].startswith("1 batch job of 6 records ($")
    assert first.notices[-1].endswith(
        "at most) go on at the vendor; `finrag-eval resume sweep-1` collects them"
    )
    assert sweep.spent() == 0
    jobs.change(states=["Completed"])
    second = sweep.run()
    assert second.notices[0].startswith("going on with 1 batch job of 6 records ($")
    assert len(second.outcomes) == 6
    assert len(job_bodies(jobs)) == 1
    assert len(sweep.pipeline.gathered) == 6
    assert sweep.spent() == sweep.told()


def test_a_stop_before_anything_is_sent_leaves_nothing_behind(
    sweep: BatchSweep, jobs: LoopbackAws
) -> None:
    def stop(gate: BatchGate, outcome: Outcome) -> None:
        gate.stop("interrupted")

    def gather(query: Query) -> SmallContext:
        if query.id == "q0":
            raise ValueError("no context")
        return SmallContext(f"Context of {query.id}. ")

    slow = threading.Event()

    class Waiting(SmallPipeline):
        def request(self, query: Query, *others: Any) -> Any:
            assert slow.wait(20)
            return super().request(query, *others)

    def stop_and_go(gate: BatchGate, outcome: Outcome) -> None:
        stop(gate, outcome)
        slow.set()

    sweep.pipeline = Waiting(gather=gather)
    ran = sweep.run(after=stop_and_go)
    assert list(ran.failures) == ["q0"]
    assert (ran.gate.reason, ran.notices) == ("interrupted", [])
    assert job_bodies(jobs) == []
    with sweep.reader() as reader:
        assert list(reader.attempt_rows()) == []
    sweep.pipeline = SmallPipeline()
    assert len(sweep.run().outcomes) == 5


def test_a_session_that_dies_after_sending_pays_nothing_twice(
    sweep: BatchSweep, jobs: LoopbackAws
) -> None:
    jobs.change(states=["Submitted", "InProgress"])
    sweep.run(during=stop_when("InProgress"), ends=False)
    jobs.change(states=["Completed"])
    ran = sweep.run()
    assert len(ran.outcomes) == 6
    assert len(job_bodies(jobs)) == 1
    assert sweep.spent() == sweep.told()
    with sweep.reader() as reader:
        assert reader.spent().wasted == 0


def test_a_job_that_was_made_unknown_to_the_ledger_is_found_by_its_name(
    sweep: BatchSweep, jobs: LoopbackAws
) -> None:
    """The process dies between the making of the job and the writing down of its id."""
    sweep.run(during=stop_when("is sent"))
    with sweep._ledger() as ledger:
        ledger._writer.run(
            lambda connection: connection.execute(
                "UPDATE batch_jobs SET state = 'planned', job_id = NULL"
            )
        )
    ran = sweep.run()
    assert len(ran.outcomes) == 6
    assert len(jobs.ledger("CreateModelInvocationJob")) == 1
    assert jobs.ledger("ListModelInvocationJobs")


def test_a_job_that_was_planned_and_never_made_is_made_by_the_next_session(
    sweep: BatchSweep, jobs: LoopbackAws
) -> None:
    jobs.change(faults=[{"operation": "CreateModelInvocationJob", "error": FULL}])
    first = sweep.run(during=stop_when("trying again"), ends=False)
    assert first.outcomes == {}
    jobs.change(faults=[])
    ran = sweep.run()
    assert len(ran.outcomes) == 6
    (body,) = job_bodies(jobs)
    asked = [call["body"]["clientRequestToken"] for call in jobs.ledger() if "body" in call]
    assert set(asked) == {body["clientRequestToken"]}
    assert len(sweep.pipeline.gathered) == 6


def test_a_planned_job_whose_lines_are_gone_is_prepared_anew(
    sweep: BatchSweep, jobs: LoopbackAws
) -> None:
    jobs.change(faults=[{"operation": "CreateModelInvocationJob", "error": FULL}])
    sweep.run(during=stop_when("trying again"), ends=False)
    for path in (sweep.folder / "sweep-1" / "batch").glob("*.jsonl"):
        path.unlink()
    jobs.change(faults=[])
    ran = sweep.run()
    assert len(ran.outcomes) == 6
    assert ran.failures == {}
    assert sweep.spent() == sweep.told()


def test_a_session_that_dies_while_it_collects_is_gone_on_with(
    sweep: BatchSweep, jobs: LoopbackAws
) -> None:
    class Died(Exception):
        pass

    def die(gate: BatchGate, outcome: Outcome) -> None:
        if outcome.trial.query_id == "q3":
            raise Died

    with pytest.raises(Died):
        sweep.run(after=die, ends=False)
    ran = sweep.run()
    with sweep.reader() as reader:
        records = list(reader.final_records())
        assert reader.spent().wasted == 0
    assert len(records) == 6
    assert all(record.status == "success" for record in records)
    assert 0 < len(ran.outcomes) < 6
    assert sweep.spent() == sweep.told()
    assert len(job_bodies(jobs)) == 1


def test_reservations_of_running_jobs_count_against_a_lower_cap(
    sweep: BatchSweep, jobs: LoopbackAws
) -> None:
    jobs.change(states=["Submitted", "InProgress"])
    sweep.run(during=stop_when("InProgress"))
    jobs.change(states=["Completed"])
    sweep.budget = BudgetSpec(max_usd=Decimal("0.0001"))
    sweep.asked = queries(9)
    ran = sweep.run()
    assert len(ran.outcomes) == 6
    assert ran.gate.reason == "budget"


def test_what_is_planned_no_more_is_paid_for_and_told_by_no_trial(
    sweep: BatchSweep, jobs: LoopbackAws
) -> None:
    jobs.change(states=["Submitted", "InProgress"])
    sweep.run(during=stop_when("InProgress"))
    jobs.change(states=["Completed"])
    sweep.asked = queries(4)
    ran = sweep.run()
    assert len(ran.outcomes) == 4
    with sweep.reader() as reader:
        gone = [row for row in reader.attempt_rows() if row["error_type"] == "NoLongerPlanned"]
        assert [row["state"] for row in gone] == ["wasted", "wasted"]
        assert reader.batch_jobs() == ()


def test_a_model_that_is_planned_no_more_leaves_its_job_alone(
    jobs: LoopbackAws, tmp_path: Path
) -> None:
    sweep = BatchSweep(tmp_path, [batch_cell("one")])
    jobs.change(states=["Submitted", "InProgress"])
    sweep.run(during=stop_when("InProgress"))
    sweep.cells = [batch_cell("two")]
    jobs.change(states=["Completed"])
    ran = sweep.run()
    assert ran.notices[0].startswith("one: batch job ")
    assert ran.notices[0].endswith("is left alone: the model is planned no more")
    assert len(ran.outcomes) == 6
    with sweep.reader() as reader:
        assert [job.model_key for job in reader.batch_jobs()] == ["one"]


# -- retrieval that costs money ------------------------------------------------------------------


class PaidPipeline(SmallPipeline):
    """Every context costs a cent."""

    def __init__(self) -> None:
        super().__init__(
            gather=lambda query: SmallContext(f"Context of {query.id}. ", cost_usd=Decimal("0.01"))
        )

    def gather_worst_usd(self, query: Query) -> Decimal:
        return Decimal("0.02")


def test_contexts_that_were_paid_for_are_not_paid_for_by_the_next_session(
    sweep: BatchSweep, jobs: LoopbackAws
) -> None:
    sweep.pipeline = PaidPipeline()
    sweep.cells = [batch_cell("one"), batch_cell("two")]
    jobs.change(states=["Submitted", "InProgress"])
    sweep.run(during=stop_when("InProgress"), ends=False)
    sweep.pipeline = PaidPipeline()
    jobs.change(states=["Completed"])
    ran = sweep.run()
    assert len(ran.outcomes) == 12
    assert sweep.pipeline.gathered == []
    paid = exact_sum(outcome.retrieval_cost_usd for outcome in ran.outcomes.values())
    assert paid == Decimal("0.06")
    assert sweep.spent() == sweep.told()


def test_the_budget_covers_retrieval_and_jobs_together(jobs: LoopbackAws, tmp_path: Path) -> None:
    cap = Decimal("0.045")
    sweep = BatchSweep(
        tmp_path, [batch_cell()], pipeline=PaidPipeline(), budget=BudgetSpec(max_usd=cap)
    )
    ran = sweep.run()
    assert ran.gate.reason == "budget"
    assert sweep.spent() <= cap
    assert 0 < len(ran.outcomes) < 6


def test_prices_of_batches_are_the_entrys_own_or_half() -> None:
    from execute_parts import PRICES, model

    from finrag_eval.domain import LengthTier, Prices
    from finrag_eval.money import at_batch_prices

    own = Prices(cost_per_1k_input=Decimal("0.0004"), cost_per_1k_output=Decimal("0.002"))
    named = model(tier_prices={"batch": own, "flex": PRICES})
    assert at_batch_prices(named) == replace(named, prices=own, tier_prices={})
    long = LengthTier(above_tokens=1000, prices=PRICES)
    half = at_batch_prices(model(length_tiers=(long,), tier_prices={"flex": PRICES}))
    assert half.prices == Prices(
        cost_per_1k_input=Decimal("0.0005"), cost_per_1k_output=Decimal("0.0025")
    )
    assert half.length_tiers[0].prices == half.prices
    assert half.tier_prices == {}

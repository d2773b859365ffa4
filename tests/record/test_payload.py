"""What a trial's run holds: the contract's names, to the letter."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils import validation
from tracking_parts import a_cell, a_query, a_record, an_answer

from finrag_eval.domain import Prices, Query, Score, Trial, TrialRecord
from finrag_eval.record.changes import ExistingRun, changes
from finrag_eval.record.cleaning import clean_name, clean_text, cut_text
from finrag_eval.record.payload import Origin, RunPayload, child_payload

ORIGIN = Origin(
    environment="production",
    include_rag=False,
    sweep_id="20260921-000000-nightly-ab12",
    parent_run_id="f" * 32,
    tags={"team": "research"},
)
RESULT = dict(an_answer(Trial(key="key1", cell="small.v1-v1", query_id="q001")).result)


def payload_of(
    record: TrialRecord | None = None, *, origin: Origin = ORIGIN, query: Query | None = None
) -> RunPayload:
    return child_payload(
        record or a_record(),
        cell=a_cell(),
        query=query or a_query(),
        result=RESULT,
        origin=origin,
    )


def test_an_answered_trial_has_the_contracts_params() -> None:
    assert payload_of().params == {
        "model_key": "small",
        "model_id": "vendor.small-1:0",
        "temperature": "0.1",
        "max_tokens": "1024",
        "cost_per_1k_input": "0.00025",
        "cost_per_1k_output": "0.00125",
        "system_prompt_version": "v1",
        "query_template_version": "v1",
        "include_kpi": "True",
        "include_rag": "False",
        "query_length": str(len("What was the revenue of company 1 in 2019? Café „Größe“")),
        "query_preview": "What was the revenue of company 1 in 2019? Café „Größe“",
    }


def test_an_answered_trial_has_the_contracts_metrics() -> None:
    assert payload_of().metrics == {
        "latency_total_seconds": 3.25,
        "latency_retrieval_seconds": 0.05,
        "latency_llm_seconds": 3.0,
        "latency_wait_seconds": 0.25,
        "retries": 1.0,
        "input_tokens": 900.0,
        "output_tokens": 30.0,
        "total_tokens": 937.0,
        "cache_read_tokens": 7.0,
        "cache_write_tokens": 0.0,
        "cost_usd": 0.0002625,
        "context_length_chars": 2000.0,
        "answer_length_chars": 40.0,
        "kpi_matches_count": 3.0,
        "rag_chunks_count": 8.0,
        "score.numeric": 1.0,
    }


def test_an_answered_trial_has_the_contracts_tags() -> None:
    tags = dict(payload_of().tags)
    assert tags.pop("mlflow.user")
    assert tags == {
        "status": "success",
        "environment": "production",
        "run_date": "2023-11-14",
        "tickers": "NVDA,MSFT",
        "years": "2018,2019",
        "stop_reason": "end_turn",
        "team": "research",
        "finrag_eval.kind": "trial",
        "finrag_eval.sweep_id": "20260921-000000-nightly-ab12",
        "finrag_eval.trial_key": "key1",
        "finrag_eval.cell": "small.v1-v1",
        "finrag_eval.query_id": "q001",
        "finrag_eval.repeat": "1",
        "finrag_eval.cost_basis": "billed",
        "mlflow.parentRunId": "f" * 32,
        "mlflow.source.name": "finrag-eval",
        "mlflow.source.type": "LOCAL",
    }


def test_an_answered_trial_has_the_contracts_artifacts() -> None:
    artifacts = payload_of().artifacts
    assert list(artifacts) == [
        "prompts/original_query.txt",
        "prompts/system_prompt.txt",
        "context/assembled_context.txt",
        "response/full_response.json",
        "response/scores.json",
    ]
    assert artifacts["prompts/original_query.txt"] == a_query().query
    assert artifacts["prompts/system_prompt.txt"] == "You answer from filings (v1)."
    assert artifacts["context/assembled_context.txt"] == RESULT["context"]
    assert json.loads(str(artifacts["response/full_response.json"])) == RESULT
    assert json.loads(str(artifacts["response/scores.json"]))["contains"] == {
        "value": None,
        "unscored": "no reference answer",
        "error": None,
        "explanation": {},
        "cost_usd": 0.0,
    }


@pytest.mark.parametrize(
    ("origin", "repeat", "name"),
    [
        (ORIGIN, 1, "query_20231114_221320_small_v1-v1_q001"),
        (replace(ORIGIN, repeats=3), 1, "query_20231114_221320_small_v1-v1_q001_r1"),
        (replace(ORIGIN, repeats=3), 2, "query_20231114_221320_small_v1-v1_q001_r2"),
        (Origin(environment="development"), 1, "query_20231114_221320_small"),
    ],
)
def test_a_run_is_named_after_its_time_and_cell(origin: Origin, repeat: int, name: str) -> None:
    record = a_record()
    record = replace(record, trial=replace(record.trial, repeat=repeat))
    assert payload_of(record, origin=origin).name == name


def test_what_is_not_known_is_absent_and_never_zero() -> None:
    unknown = dict.fromkeys(
        (
            "input_tokens",
            "output_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "cost_usd",
            "latency_total_seconds",
            "latency_retrieval_seconds",
            "latency_llm_seconds",
            "context_length_chars",
            "answer_length_chars",
            "kpi_matches_count",
            "rag_chunks_count",
            "stop_reason",
        )
    )
    payload = payload_of(a_record(**unknown, tickers=(), years=(), scores=()))
    assert payload.metrics == {"latency_wait_seconds": 0.25, "retries": 1.0}
    assert not {"tickers", "years", "stop_reason"} & set(payload.tags)


def test_a_failed_trial_is_a_failed_run_that_says_why() -> None:
    payload = payload_of(
        a_record(
            status="failed",
            error_type="ThrottlingException",
            error_message="Rate exceeded",
            stage="llm_invocation",
            wasted_usd=Decimal("0.0004"),
        )
    )
    assert payload.status == "FAILED"
    assert payload.tags["status"] == "failed"
    assert payload.tags["error_message"] == "Rate exceeded"
    assert payload.tags["error_type"] == "ThrottlingException"
    assert payload.tags["stage"] == "llm_invocation"
    assert payload.metrics["wasted_usd"] == 0.0004


def test_side_costs_stand_beside_the_cost_where_they_are_not_zero() -> None:
    paid = payload_of(a_record(judge_cost_usd=Decimal("0.01"), retrieval_cost_usd=Decimal("0.002")))
    assert paid.metrics["judge_cost_usd"] == 0.01
    assert paid.metrics["retrieval_cost_usd"] == 0.002
    assert not {"wasted_usd", "saved_usd"} & set(paid.metrics)


def test_a_reused_answer_says_where_it_comes_from_and_what_it_saved() -> None:
    reused = payload_of(a_record(reused_from="sweep-1", saved_usd=Decimal("0.3")))
    assert reused.tags["finrag_eval.reused"] == "true"
    assert reused.tags["finrag_eval.reused_from"] == "sweep-1"
    assert reused.metrics["saved_usd"] == 0.3
    assert "finrag_eval.reused" not in payload_of().tags


def test_a_rehearsal_is_never_taken_for_money() -> None:
    payload = child_payload(
        a_record(),
        cell=a_cell(provider="rehearsal"),
        query=a_query(),
        result=None,
        origin=ORIGIN,
    )
    assert payload.tags["finrag_eval.cost_basis"] == "rehearsal"
    assert payload.artifacts == {}


def test_the_price_of_then_is_recorded_and_not_that_of_today() -> None:
    then = Prices(cost_per_1k_input=Decimal("0.000001"), cost_per_1k_output=Decimal("15"))
    params = payload_of(a_record(prices=then)).params
    assert params["cost_per_1k_input"] == "0.000001"
    assert params["cost_per_1k_output"] == "15"


def test_a_users_tag_cannot_take_the_place_of_the_programs_own() -> None:
    origin = replace(ORIGIN, tags={"status": "great", "mlflow.runName": "x", "a b": "ok"})
    tags = payload_of(origin=origin).tags
    assert tags["status"] == "success"
    assert "mlflow.runName" not in tags
    assert tags["a b"] == "ok"


def test_what_is_cut_says_so() -> None:
    payload = payload_of(
        a_record(
            status="failed",
            error_message="x" * 9000,
            scores=(Score(name="p95(ms)", value=1.0), Score(name="big", value=math.inf)),
        )
    )
    assert len(payload.tags["error_message"]) == 8000
    assert payload.tags["error_message"].endswith("x … [cut, 9000 characters in all]")
    assert payload.metrics["score.p95_ms_"] == 1.0
    assert payload.tags["finrag_eval.cut"] == (
        "tag error_message: cut from 9000 characters; metric score.big: infinite, left out; "
        "metric score.p95(ms): name"
    )
    assert "finrag_eval.cut" not in payload_of().tags


def test_two_scores_that_clean_to_one_name_are_both_kept() -> None:
    scores = (Score(name="p@5", value=1.0), Score(name="p+5", value=0.5))
    metrics = payload_of(a_record(scores=scores)).metrics
    assert (metrics["score.p_5"], metrics["score.p_5_2"]) == (1.0, 0.5)


def test_a_surrogate_pair_is_joined_and_a_lone_one_replaced() -> None:
    assert clean_text("\ud83d\ude00 \ud800 \0") == "😀 \ufffd \ufffd"


def test_json_with_nan_is_written_as_null() -> None:
    payload = child_payload(
        a_record(),
        cell=a_cell(),
        query=a_query(),
        result={"answer": "a", "metadata": {"x": [math.nan, math.inf, 1.5]}},
        origin=ORIGIN,
    )
    written = json.loads(str(payload.artifacts["response/full_response.json"]))
    assert written["metadata"]["x"] == [None, None, 1.5]


any_text = st.text(st.characters(codec=None), max_size=400)  # lone surrogates and NUL, too


@given(name=any_text)
def test_every_name_becomes_one_that_mlflow_takes(name: str) -> None:
    validation._validate_metric_name(clean_name(name))
    assert 0 < len(clean_name(name)) <= 250
    assert clean_name(clean_name(name)) == clean_name(name)


@given(text=any_text)
def test_every_text_becomes_one_that_utf8_holds(text: str) -> None:
    clean = clean_text(text)
    assert clean.encode().decode() == clean
    assert "\0" not in clean
    assert clean_text(clean) == clean


@given(text=st.text(max_size=300), limit=st.integers(60, 250))
def test_a_cut_text_keeps_to_its_limit(text: str, limit: int) -> None:
    cut = cut_text(text, limit)
    assert len(cut) <= limit
    assert (cut == text) == (len(text) <= limit)


@given(
    query=any_text,
    message=any_text,
    tags=st.dictionaries(any_text, any_text, max_size=4),
    scores=st.lists(st.tuples(any_text, st.floats()), max_size=4),
)
def test_mlflow_takes_every_payload(
    query: str, message: str, tags: dict[str, str], scores: list[tuple[str, float]]
) -> None:
    record = a_record(
        status="failed",
        error_message=message,
        scores=tuple(Score(name=name, value=value) for name, value in scores),
    )
    payload = payload_of(
        record, origin=replace(ORIGIN, tags=tags), query=Query(id="q", query=query)
    )
    for name, value in payload.metrics.items():
        validation._validate_metric(name, value, payload.end_ms, 0)
        assert not math.isinf(value)
    for key, text in payload.params.items():
        assert validation._validate_param(key, text).value == text
    for key, text in payload.tags.items():
        assert validation._validate_tag(key, text).value == text
    for content in [*payload.artifacts.values(), *payload.tags.values(), payload.name]:
        str(content).encode()


def existing(payload: RunPayload, **changed: object) -> ExistingRun:
    state = {
        "run_id": "r",
        "status": payload.status,
        "artifact_uri": "/a",
        "end_ms": payload.end_ms,
        "is_deleted": False,
        "params": payload.params,
        "metrics": {name: (value, payload.end_ms) for name, value in payload.metrics.items()},
        "tags": payload.tags,
    }
    return ExistingRun(**{**state, **changed})  # type: ignore[arg-type]


def test_a_run_that_is_up_to_date_needs_no_change() -> None:
    payload = payload_of()
    assert changes(existing(payload), payload, now_ms=1).is_empty


def test_a_newer_figure_is_later_than_the_one_it_replaces() -> None:
    old, new = payload_of(), payload_of(a_record(scores=(Score(name="numeric", value=0.0),)))
    before = existing(old)
    change = changes(before, new, now_ms=1)
    value, at = change.metrics["score.numeric"]
    assert value == 0.0
    assert at > before.metrics["score.numeric"][1]


def test_a_score_that_is_no_longer_given_becomes_nan() -> None:
    change = changes(existing(payload_of()), payload_of(a_record(scores=())), now_ms=10**13)
    value, at = change.metrics["score.numeric"]
    assert math.isnan(value)
    assert at == 10**13


def test_a_param_cannot_change_and_is_kept_as_a_tag() -> None:
    dearer = Prices(cost_per_1k_input=Decimal(1), cost_per_1k_output=Decimal("0.00125"))
    change = changes(existing(payload_of()), payload_of(a_record(prices=dearer)), now_ms=1)
    assert change.params == {}
    assert change.tags == {"finrag_eval.param.cost_per_1k_input": "1"}


def test_an_error_that_was_overcome_leaves_no_tag_behind() -> None:
    failed = payload_of(
        a_record(status="failed", error_type="E", error_message="m", stage="s", stop_reason=None)
    )
    change = changes(existing(failed), payload_of(), now_ms=1)
    assert change.stale_tags == ("error_message", "error_type", "stage")
    assert change.tags["status"] == "success"
    assert change.status == "FINISHED"

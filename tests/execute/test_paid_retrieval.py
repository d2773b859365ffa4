"""Retrieval that costs money: within the budget, tried again, stopped and counted like any call."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from execute_parts import Ran, ToldClient, answers, cell, model, run
from loopback.aws_fixture import LoopbackAws
from loopback.vectors import tokens

from finrag_eval.domain import BudgetSpec, ExecutionSpec, RetrievalSettings
from finrag_eval.money import exact_sum
from finrag_eval.synthesis_pipeline.orchestrator import Pipeline
from finrag_eval.synthesis_pipeline.supply_lines import SupplyLines

QUERIES = 8
INPUT, QUERY = Decimal("0.12"), Decimal("0.25")
SETTINGS = RetrievalSettings(
    include_kpi=False,
    retriever="s3vectors",
    options={
        "embedding_model": "amazon.titan-embed-text-v2:0",
        "dimensions": 256,
        "cost_per_1k_input": float(INPUT),
        "cost_per_1k_queries": float(QUERY),
        "bucket": "filings",
        "index": "passages",
        "max_requests": 2,
    },
    top_k=1,
)
A_PASSAGE = {"ticker": "NVDA", "fiscal_year": 2020, "text": "Question 1? Yes."}
#: What one question costs: an embedding of "Question N?" and one request.
A_SEARCH = (tokens("Question 1?") * INPUT + QUERY) / 1000
EXECUTION = ExecutionSpec(concurrency=4, max_attempts=3)


@pytest.fixture
def filled(aws: LoopbackAws) -> LoopbackAws:
    """An index with one passage."""
    aws.programme(index={"filings/passages": [{"key": "1", "metadata": A_PASSAGE}]}, dimensions=256)
    return aws


def swept(**options: Any) -> Ran:
    pipeline: Any = Pipeline(SupplyLines(SETTINGS))
    cells = [cell(model("one")), cell(model("other"))]
    client = ToldClient(answers)
    return run(
        client, cells=cells, count=QUERIES, execution=EXECUTION, pipeline=pipeline, **options
    )


def retrieval_usd(ran: Ran) -> Decimal:
    return exact_sum(outcome.retrieval_cost_usd for outcome in ran.outcomes.values())


def test_each_question_is_searched_once_and_the_trial_that_did_pays(filled: LoopbackAws) -> None:
    ran = swept()
    assert len(ran.outcomes) == 2 * QUERIES
    assert all(outcome.succeeded for outcome in ran.outcomes.values())
    assert retrieval_usd(ran) == QUERIES * A_SEARCH
    rows = [row for row in ran.ledger.rows.values() if row["purpose"] == "retrieval"]
    assert exact_sum(row["billed"] for row in rows) == QUERIES * A_SEARCH
    assert len(filled.ledger("InvokeModel")) == QUERIES


def test_the_budget_holds_with_retrieval_in_it(filled: LoopbackAws) -> None:
    cap = Decimal("0.035")
    ran = swept(budget=BudgetSpec(max_usd=cap))
    assert ran.gate.reason == "budget"
    assert ran.ledger.most <= cap
    searches = filled.ledger("InvokeModel")
    assert len(searches) < QUERIES
    billed = exact_sum(row.get("billed", 0) for row in ran.ledger.rows.values())
    assert billed == ran.ledger.spent <= cap


def test_a_throttled_search_is_tried_again_and_its_embedding_is_not(filled: LoopbackAws) -> None:
    busy = [429, "TooManyRequestsException", "slow down"]
    filled.change(faults=[{"operation": "QueryVectors", "error": busy, "times": 1}])
    ran = swept()
    assert all(outcome.succeeded for outcome in ran.outcomes.values())
    assert len(filled.ledger("InvokeModel")) == QUERIES
    assert ran.ledger.spent >= QUERIES * A_SEARCH
    wasted = exact_sum(outcome.wasted_usd for outcome in ran.outcomes.values())
    assert wasted == tokens("Question 1?") * INPUT / 1000
    assert retrieval_usd(ran) + wasted == QUERIES * A_SEARCH


def test_a_search_that_stays_broken_fails_its_trials_in_their_stage(filled: LoopbackAws) -> None:
    broken = [500, "InternalServerException", "broken"]
    filled.change(faults=[{"operation": "QueryVectors", "error": broken}])
    ran = swept()
    failures = [outcome.failure for outcome in ran.outcomes.values()]
    assert len(failures) == 2 * QUERIES
    assert {failure and (failure.stage, failure.error_type) for failure in failures} == {
        ("context_building", "InternalServerException")
    }


def test_denied_retrieval_stops_after_the_searches_that_were_under_way(
    filled: LoopbackAws,
) -> None:
    filled.change(may_read=False)
    ran = swept()
    assert len(filled.ledger("QueryVectors")) <= EXECUTION.concurrency
    assert ran.gate.stopped_models["retrieval"].startswith(
        "AccessDeniedException: S3 Vectors: not authorized"
    )
    assert len(ran.outcomes) <= EXECUTION.concurrency

"""Someone's own callable as the target."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from execute_parts import Ran, ToldClient, answers, cell, model, run

from finrag_eval.domain import BudgetSpec, ExecutionSpec, Usage
from finrag_eval.errors import InvalidInput
from finrag_eval.execute.callable_target import CallableTarget, load_callable

LLM = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120, "stop_reason": "end_turn"}


def result(**changes: Any) -> dict[str, Any]:
    return {"query": "?", "answer": "42", "context": "c", "metadata": {"llm": LLM}, **changes}


def run_callable(
    function: Callable[..., Any],
    *,
    count: int = 1,
    execution: ExecutionSpec | None = None,
    budget: BudgetSpec | None = None,
) -> Ran:
    execution = execution or ExecutionSpec(concurrency=2)
    return run(
        ToldClient(answers),
        cells=[cell(model(context_window=1000))],
        count=count,
        execution=execution,
        budget=budget,
        make_target=lambda queries, cells: CallableTarget(
            function, queries=queries, cells=cells, execution=execution, include_rag=False
        ),
    )


def failure_of(function: Callable[..., Any], **named: Any) -> tuple[str, str, str]:
    ran = run_callable(function, **named)
    (outcome,) = ran.outcomes.values()
    assert outcome.failure is not None
    assert outcome.result["error"]
    return outcome.failure.error_type, outcome.failure.message, outcome.failure.stage


def test_it_gets_the_arguments_that_it_accepts() -> None:
    seen: list[dict[str, Any]] = []

    def target(query: str, model_key: str, *, include_rag: bool, prompt_versions: Any) -> Any:
        seen.append(locals())
        return result()

    run_callable(target)
    assert seen[0] == {
        "query": "Question 0?",
        "model_key": "m",
        "include_rag": False,
        "prompt_versions": {"system": "v1", "query": "v1"},
        "seen": seen,
    }


def test_one_that_accepts_anything_gets_the_whole_list() -> None:
    seen: list[dict[str, Any]] = []

    def target(**named: Any) -> Any:
        seen.append(named)
        return result()

    run_callable(target)
    assert seen[0].pop("model_config") == {
        "model_id": "vendor.m",
        "display_name": "m",
        "provider": "bedrock",
        "max_tokens": 100,
        "context_window": 1000,
        "cost_per_1k_input": 0.001,
        "cost_per_1k_output": 0.005,
    }
    assert seen[0] == {
        "query": "Question 0?",
        "model_key": "m",
        "prompt_versions": {"system": "v1", "query": "v1"},
        "include_kpi": True,
        "include_rag": False,
        "model_root": Path.cwd(),
        "export_context": True,
        "export_response": False,
        "context": None,
    }


def test_usage_comes_from_the_result_and_cost_from_the_prices() -> None:
    ran = run_callable(lambda query: result())
    (outcome,) = ran.outcomes.values()
    assert outcome.usage == Usage(input_tokens=100, output_tokens=20)
    assert outcome.cost_usd == Decimal("0.0002") == ran.ledger.spent
    assert outcome.stop_reason == "end_turn"
    assert outcome.result == result()


def test_a_cost_without_tokens_is_taken_as_told() -> None:
    ran = run_callable(lambda query: result(metadata={"llm": {"cost": 0.0123}}))
    (outcome,) = ran.outcomes.values()
    assert outcome.cost_usd == Decimal("0.0123")
    assert outcome.usage is None


def test_an_answer_without_usage_counts_at_its_worst_case_in_the_budget() -> None:
    ran = run_callable(lambda query: result(metadata=None))
    (outcome,) = ran.outcomes.values()
    assert outcome.cost_usd is None
    # 1,000 tokens of context window and 256 of framing, and 100 of output.
    assert ran.ledger.spent == Decimal("0.001756")


def test_async_callables_run_too() -> None:
    async def target(query: str) -> Any:
        await asyncio.sleep(0)
        return result(answer=query)

    ran = run_callable(target, count=20)
    assert {one.result["answer"] for one in ran.outcomes.values()} == {
        f"Question {n}?" for n in range(20)
    }


def test_a_result_with_an_error_is_a_failed_trial() -> None:
    failed = {"error": "no index", "error_type": "IndexGone", "stage": "context_building"}
    ran = run_callable(lambda query: failed)
    (outcome,) = ran.outcomes.values()
    assert outcome.failure is not None
    assert (outcome.failure.error_type, outcome.failure.stage) == ("IndexGone", "context_building")
    assert outcome.wasted_usd == 0, "no model was called before that stage"
    assert failure_of(lambda query: {"error": "boo"}) == ("TargetError", "boo", "llm_invocation")


def test_an_exception_is_a_failed_trial_and_may_have_cost_its_worst_case() -> None:
    def target(query: str) -> Any:
        raise KeyError("chunks")

    ran = run_callable(target)
    (outcome,) = ran.outcomes.values()
    assert outcome.failure is not None
    assert (outcome.failure.error_type, outcome.failure.stage) == ("KeyError", "llm_invocation")
    assert "in target" in (outcome.failure.traceback or "")
    assert outcome.wasted_usd == Decimal("0.001756") == ran.ledger.spent


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "returned a NoneType, not a dict"),
        ("42", "returned a str, not a dict"),
        ({}, "'answer' is a NoneType, not text, and there is no 'error'"),
        (result(answer=42), "'answer' is a int, not text, and there is no 'error'"),
        (result(metadata=[1]), "'metadata' is a list, not a dict"),
        (
            result(metadata={"llm": {**LLM, "input_tokens": -1}}),
            "metadata.llm.input_tokens is -1, not a count",
        ),
        (
            result(metadata={"llm": {**LLM, "output_tokens": "many"}}),
            "metadata.llm.output_tokens is 'many', not a count",
        ),
    ],
)
def test_what_is_no_result_is_a_failed_trial_that_says_why(returned: Any, message: str) -> None:
    assert failure_of(lambda query: returned) == (
        "MalformedResult",
        message,
        "response_packaging",
    )


def test_values_that_json_does_not_know_become_text() -> None:
    ran = run_callable(lambda query: result(exports={"log_file": Path("a.parquet")}))
    (outcome,) = ran.outcomes.values()
    assert outcome.result["exports"] == {"log_file": "a.parquet"}


def test_a_callable_that_hangs_fails_its_trial_alone() -> None:
    release = threading.Event()

    def target(query: str) -> Any:
        if query == "Question 0?":
            release.wait(30)
        return result()

    ran = run_callable(target, count=6, execution=ExecutionSpec(concurrency=2, timeout_s=0.3))
    release.set()
    by_query = {outcome.trial.query_id: outcome for outcome in ran.outcomes.values()}
    assert sum(outcome.succeeded for outcome in by_query.values()) == 5
    hung = by_query["q0"].failure
    assert hung is not None
    assert hung.error_type == "HungCallable"
    assert ran.notices == [
        "target: the callable did not return within timeout_s = 0.3 s; its thread is left behind"
    ]


def test_an_async_callable_that_hangs_is_cancelled() -> None:
    async def target(query: str) -> Any:
        await asyncio.sleep(60)

    assert failure_of(target, execution=ExecutionSpec(concurrency=1, timeout_s=0.2))[0] == (
        "HungCallable"
    )


def test_the_budget_holds_for_callables() -> None:
    ran = run_callable(
        lambda query: result(), count=100, budget=BudgetSpec(max_usd=Decimal("0.005"))
    )
    assert ran.gate.reason == "budget"
    assert ran.ledger.most <= Decimal("0.005")
    assert len(ran.outcomes) == 17


def test_a_target_is_named_by_module_and_callable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_target.py").write_text("class App:\n    def ask(query): return {}\nNOT = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert load_callable("my_target:App.ask").__name__ == "ask"
    for path, why in [
        ("my_target:asks", "AttributeError: module 'my_target' has no attribute 'asks'"),
        ("my_targets:ask", "ModuleNotFoundError: No module named 'my_targets'"),
        ("my_target:NOT", "a int is no callable"),
    ]:
        with pytest.raises(InvalidInput) as caught:
            load_callable(path)
        assert str(caught.value) == (
            f"target: target: cannot use '{path}' ({why}); "
            "write package.module:callable, importable from the current folder"
        )

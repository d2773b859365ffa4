"""Words for the ledger's tests: small cells, queries, outcomes, and child processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from finrag_eval.domain import (
    Cell,
    Failure,
    ModelConfig,
    Outcome,
    Prices,
    PromptTexts,
    PromptVersion,
    Query,
    QuerySet,
    Score,
    Trial,
    Usage,
)
from finrag_eval.record.ledger import Ledger

NUMERIC = (Score(name="numeric", value=1.0),)


def a_model(key: str = "fast", *, input_price: str = "0.001", **other: Any) -> ModelConfig:
    prices = Prices(
        cost_per_1k_input=Decimal(input_price),
        cost_per_1k_output=Decimal("0.005"),
        cost_per_1k_cache_read=Decimal("0.0001"),
    )
    return ModelConfig(
        key=key,
        provider="rehearsal",
        model_id=f"vendor.{key}",
        display_name=key.title(),
        max_tokens=100,
        prices=prices,
        **other,
    )


def a_cell(
    key: str = "fast", *, version: str = "v1", system_text: str = "Be exact.", **model: Any
) -> Cell:
    return Cell(
        model=a_model(key, **model),
        prompts=PromptTexts(
            version=PromptVersion(system=version, query="v1"),
            system_text=system_text,
            query_text="{context}\n{query}",
            digest=f"prompts of {system_text!a}",
        ),
        digest=f"cell of {key} and {system_text!a}",
    )


def some_queries(count: int) -> tuple[Query, ...]:
    return tuple(Query(id=f"q{number}", query=f"Question {number}?") for number in range(count))


def a_query_set(queries: Iterable[Query]) -> QuerySet:
    return QuerySet(queries=tuple(queries), digest="a digest", source="queries.jsonl")


def all_trials(cells: Iterable[Cell], queries: Iterable[Query], repeats: int = 1) -> list[Trial]:
    held = list(cells)
    return [
        Trial(
            key=f"{cell.digest}/{query.query!a}/{repeat}",
            cell=cell.name,
            query_id=query.id,
            repeat=repeat,
        )
        for query in queries
        for repeat in range(1, repeats + 1)
        for cell in held
    ]


def a_result(
    answer: str = "USD 10.9 billion", context: str = "Revenue was 10,918."
) -> dict[str, Any]:
    return {
        "query": "What was the revenue?",
        "answer": answer,
        "context": context,
        "metadata": {
            "llm": {"model_id": "vendor.fast", "input_tokens": 10, "cost": 0.1},
            "context": {"kpi_included": True, "context_length": len(context)},
            "retrieval": {
                "kpi_count": 2,
                "rag_count": 8,
                "tickers": ["NVDA", "MSFT"],
                "years": [2019, 2020],
                "sections": [],
            },
            "timestamp": "2026-01-02T03:04:05Z",
        },
        "exports": {},
    }


def an_outcome(
    trial: Trial,
    *,
    result: Mapping[str, Any] | None = None,
    cost: str = "0.25",
    wasted: str = "0",
    **other: Any,
) -> Outcome:
    return Outcome(
        trial=trial,
        result=a_result() if result is None else result,
        started_at=1000.0,
        ended_at=1004.0,
        usage=Usage(input_tokens=10, output_tokens=5, cache_read_tokens=3),
        cost_usd=Decimal(cost),
        wasted_usd=Decimal(wasted),
        latency_total_seconds=4.0,
        latency_llm_seconds=3.5,
        **other,
    )


def a_failure(trial: Trial, *, wasted: str = "0", message: str = "slow down") -> Outcome:
    return Outcome(
        trial=trial,
        result={"query": "?", "answer": None, "context": None, "metadata": None, "error": message},
        started_at=1000.0,
        ended_at=1001.0,
        failure=Failure(
            error_type="ThrottlingException",
            message=message,
            stage="llm_invocation",
            traceback="Traceback: here",
        ),
        wasted_usd=Decimal(wasted),
        retries=5,
    )


def a_ledger(root: Path, name: str = "sweep-1", **options: Any) -> Ledger:
    return Ledger.create(root / name, sweep_id=name, name="nightly", **options)


def begin(ledger: Ledger, cells: Iterable[Cell], queries: Iterable[Query]) -> list[Trial]:
    """Begin a session with a plan of all trials; gives the trials."""
    held, asked = list(cells), list(queries)
    trials = all_trials(held, asked)
    ledger.begin_session({"name": "nightly"}, {"digest": "abc"})
    ledger.store_plan(cells=held, query_set=a_query_set(asked), trials=trials)
    return trials


def settle_all(ledger: Ledger) -> None:
    """Wait for every write, those of callbacks included."""
    ledger.flush()
    ledger.flush()


def answer(
    ledger: Ledger,
    trial: Trial,
    *,
    reserved: str = "0.5",
    billed: str = "0.25",
    scores: Iterable[Score] = NUMERIC,
    outcome: Outcome | None = None,
) -> None:
    """One trial as a sweep does it: reserve, settle, outcome, and scores once that is on disk."""
    attempt = ledger.reserve(
        trial_key=trial.key,
        cell=trial.cell,
        model_key=trial.cell.partition(".")[0],
        purpose="target",
        usd=Decimal(reserved),
    )
    ledger.settle(attempt, billed_usd=Decimal(billed), state="kept")
    ledger.append_outcome(
        outcome or an_outcome(trial, cost=billed),
        lambda outcome_id: ledger.append_scores(outcome_id, scores),
    )


def child(source: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A Python process that runs ``source`` and can import this module."""
    return subprocess.Popen(
        [sys.executable, "-c", source, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
        **options,
    )


def output_of(process: subprocess.Popen[str]) -> str:
    """What the child printed, once it ended well."""
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out

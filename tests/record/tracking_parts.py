"""Real parts for the tests of recording: trials, and sweeps in real ledgers."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from finrag_eval.behind import Files
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
    TrialRecord,
    Usage,
)
from finrag_eval.record.channel import Channel
from finrag_eval.record.ledger import Ledger
from finrag_eval.record.recorder import Recorder

SPEC: Mapping[str, Any] = {
    "name": "nightly",
    "experiment": "Tests",
    "environment": "production",
    "models": ["small", "large"],
    "prompts": [{"system": "v1", "query": "v1"}],
    "query_set": {"path": "sets/core.jsonl"},
    "retrieval": {"include_kpi": True, "include_rag": False, "top_k": 8},
    "repeats": 1,
    "scorers": [{"name": "numeric"}, {"name": "contains"}],
    "budget": {"max_usd": 5.0, "warn_at": 0.8},
    "tags": {"team": "research"},
    "tracking": {"lane": "auto", "artifacts": "all", "traces": False},
}
STARTED = 1_700_000_000.25


def a_cell(key: str = "small", *, provider: str = "bedrock", system: str = "v1") -> Cell:
    prices = Prices(cost_per_1k_input=Decimal("0.00025"), cost_per_1k_output=Decimal("0.00125"))
    return Cell(
        model=ModelConfig(
            key=key,
            provider=provider,
            model_id=f"vendor.{key}-1:0",
            display_name=key.title(),
            max_tokens=1024,
            prices=prices,
            temperature=0.1,
        ),
        prompts=PromptTexts(
            version=PromptVersion(system=system, query="v1"),
            system_text=f"You answer from filings ({system}).",
            query_text="{context}\n\n{query}",
            digest=f"prompt-{system}",
        ),
        digest=f"cell-{key}-{system}",
    )


def a_query(number: int = 1) -> Query:
    return Query(
        id=f"q{number:03d}",
        query=f"What was the revenue of company {number} in 2019? Café „Größe“",
        expected_value=float(number),
    )


def an_answer(trial: Trial, number: int = 1, *, started_at: float = STARTED) -> Outcome:
    context = f"COMPANY {number}: revenue 2019 = {number} USD million\n" * 40
    answer = f"Revenue was {number} USD million (FY2019)."
    return Outcome(
        trial=trial,
        result={
            "query": a_query(number).query,
            "answer": answer,
            "context": context,
            "metadata": {
                "llm": {"model_id": "vendor.small-1:0", "input_tokens": 900, "output_tokens": 30},
                "context": {"kpi_included": True, "context_length": len(context)},
                "retrieval": {
                    "kpi_count": 3,
                    "rag_count": 8,
                    "tickers": ["NVDA", "MSFT"],
                    "years": [2018, 2019],
                },
                "timestamp": "2026-09-21T00:00:00Z",
            },
            "exports": {},
        },
        started_at=started_at,
        ended_at=started_at + 3.5,
        usage=Usage(input_tokens=900, output_tokens=30, cache_read_tokens=7),
        cost_usd=Decimal("0.0002625") + Decimal(number) / 1_000_000,
        latency_total_seconds=3.25,
        latency_retrieval_seconds=0.05,
        latency_llm_seconds=3.0,
        latency_wait_seconds=0.25,
        retries=1,
        stop_reason="end_turn",
    )


def a_failure(trial: Trial, *, started_at: float = STARTED) -> Outcome:
    message = "Rate exceeded"
    return Outcome(
        trial=trial,
        result={
            "query": "q",
            "answer": None,
            "context": None,
            "metadata": None,
            "error": message,
            "error_type": "ThrottlingException",
            "stage": "llm_invocation",
            "timestamp": "2026-09-21T00:00:00Z",
        },
        started_at=started_at,
        ended_at=started_at + 9,
        failure=Failure(error_type="ThrottlingException", message=message, stage="llm_invocation"),
        wasted_usd=Decimal("0.0004"),
        latency_wait_seconds=8.0,
        retries=5,
    )


def some_scores(number: int = 1) -> tuple[Score, ...]:
    return (
        Score(name="numeric", value=float(number % 2), explanation={"found": number}),
        Score(name="contains", unscored="no reference answer"),
    )


@dataclass
class SweepInLedger:
    """A sweep of a few cells and queries, written into a real ledger step by step."""

    folder: Path
    cells: Sequence[Cell] = field(default_factory=lambda: (a_cell("small"), a_cell("large")))
    queries: int = 5
    spec: Mapping[str, Any] = field(default_factory=lambda: dict(SPEC))
    sweep_id: str = "20260921-000000-nightly-ab12"

    def __post_init__(self) -> None:
        self.ledger = Ledger.create(self.folder, sweep_id=self.sweep_id, name="nightly")
        self.begin()

    def begin(self) -> None:
        """Begins a session with the plan."""
        self.ledger.begin_session(
            dict(self.spec),
            {
                "digests": {"spec": "spec-digest", "query_set": "set-digest"},
                "git_commit": "0123abcd",
                "git_dirty": True,
            },
        )
        queries = tuple(a_query(number) for number in range(1, self.queries + 1))
        self.ledger.store_plan(
            cells=self.cells,
            query_set=QuerySet(queries=queries, digest="set-digest", source="sets/core.jsonl"),
            trials=self.trials(),
        )

    def trials(self) -> list[Trial]:
        return [
            Trial(key=f"{cell.digest}.q{number:03d}", cell=cell.name, query_id=f"q{number:03d}")
            for number in range(1, self.queries + 1)
            for cell in self.cells
        ]

    def answer(
        self, trials: Sequence[Trial], *, failing: Callable[[int], bool] = lambda place: False
    ) -> None:
        """Appends an outcome and its scores for each trial; those fail that ``failing`` says."""
        for place, trial in enumerate(trials):
            number, at = int(trial.query_id[1:]), STARTED + place
            if failing(place):
                self.append(a_failure(trial, started_at=at), ())
            else:
                self.append(an_answer(trial, number, started_at=at), some_scores(number))
        self.ledger.flush()
        self.ledger.flush()

    def append(self, outcome: Outcome, scores: Sequence[Score]) -> None:
        def then(outcome_id: int) -> None:
            self.ledger.append_scores(outcome_id, scores)

        self.ledger.append_outcome(outcome, then)

    def end(self, status: str = "completed", code: int = 0) -> None:
        self.ledger.end_session(status, code)  # type: ignore[arg-type]

    def close(self) -> None:
        self.ledger.close()


def record_here(folder: Path, uri: str, **asked: Any) -> dict[str, list[dict[str, Any]]]:
    """Runs a recorder to its end in this process; what it said, by event.

    Its commands are those of a driver that asks for all of it and is gone. ``status`` and
    ``ended_at`` are those of the sweep's end; the rest are options of the start.
    """
    end = {key: asked.pop(key) for key in ("status", "ended_at") if key in asked}
    commands = [{"command": "drain"}, {"command": "finish", **end}]
    said = io.StringIO()
    lines = io.StringIO("".join(json.dumps(command) + "\n" for command in commands))
    Recorder(folder, {"uri": uri, **asked}, Channel(lines, said), Files()).run()
    events: dict[str, list[dict[str, Any]]] = {}
    for line in said.getvalue().splitlines():
        event = json.loads(line)
        events.setdefault(event.pop("event"), []).append(event)
    return events


def a_record(number: int = 1, **changes: Any) -> TrialRecord:
    """A recorded trial without a ledger."""
    record = TrialRecord(
        outcome_id=number,
        scores_id=number,
        trial=Trial(key=f"key{number}", cell="small.v1-v1", query_id=f"q{number:03d}"),
        status="success",
        started_at=STARTED,
        ended_at=STARTED + 3.5,
        input_tokens=900,
        output_tokens=30,
        cache_read_tokens=7,
        cache_write_tokens=0,
        cost_usd=Decimal("0.0002625"),
        wasted_usd=Decimal(0),
        judge_cost_usd=Decimal(0),
        retrieval_cost_usd=Decimal(0),
        saved_usd=Decimal(0),
        latency_total_seconds=3.25,
        latency_retrieval_seconds=0.05,
        latency_llm_seconds=3.0,
        latency_wait_seconds=0.25,
        retries=1,
        context_length_chars=2000,
        answer_length_chars=40,
        kpi_matches_count=3,
        rag_chunks_count=8,
        tickers=("NVDA", "MSFT"),
        years=(2018, 2019),
        stop_reason="end_turn",
        error_type=None,
        error_message=None,
        stage=None,
        reused_from=None,
        scores=some_scores(number),
    )
    return replace(record, **changes)


def hostile_text(rng: random.Random, most: int) -> str:
    """Text of any length up to ``most`` with what breaks stores in it."""
    alphabet = "aß漢😀\0\ud800\u202e'\"\\;%\n\t<>&{}"
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(0, most)))

"""Stores with spending in them: sweeps recorded as the program records them, without models.

Every run is made by the rooms that make it in a real sweep (payloads, lanes, the trials table);
only the answers are drawn from a seeded generator.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from finrag_eval.domain import (
    Cell,
    ModelConfig,
    Prices,
    PromptTexts,
    PromptVersion,
    Query,
    Trial,
    TrialRecord,
    Usage,
)
from finrag_eval.money import cost_usd, exact_sum
from finrag_eval.record.bulk_lane import BulkLane
from finrag_eval.record.lanes import Job, Written
from finrag_eval.record.parent import SweepView, parent_payload
from finrag_eval.record.payload import CellForm, Origin
from finrag_eval.record.public_lane import PublicLane, bring_up_to_date, create_run
from finrag_eval.record.store import Store
from finrag_eval.results import write_trials
from finrag_eval.trial_table import TrialRows

KINDS = ("cost_usd", "judge_cost_usd", "retrieval_cost_usd", "wasted_usd")


def instant(text: str) -> float:
    """``2026-03-31T22:30`` (UTC) as epoch seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def a_model(
    key: str = "haiku", *, price: str = "0.001", provider: str = "bedrock", **other: Any
) -> ModelConfig:
    input_price = Decimal(price)
    return ModelConfig(
        key=key,
        provider=provider,
        model_id=f"vendor.{key}-v1:0",
        display_name=key.title(),
        max_tokens=1024,
        prices=Prices(cost_per_1k_input=input_price, cost_per_1k_output=input_price * 5),
        **other,
    )


def a_cell(model: ModelConfig, *, system: str = "v1", query: str = "v1") -> Cell:
    version = PromptVersion(system=system, query=query)
    return Cell(
        model=model,
        prompts=PromptTexts(
            version=version,
            system_text=f"You answer from filings ({system}).",
            query_text="{context}\n\nQuestion: {query}",
            digest=f"prompts-{version.label}",
        ),
        digest=f"cell-{model.key}-{version.label}",
    )


def some_queries(count: int, tags: Sequence[str] = ()) -> tuple[Query, ...]:
    """Queries q001, q002 ...; each carries one of ``tags``, in turn, and the last of all both."""
    return tuple(
        Query(
            id=f"q{number:03d}",
            query=f"What was the revenue of company {number}?",
            tags=(tags[number % len(tags)],) if tags else (),
        )
        for number in range(1, count + 1)
    )


def a_record(
    cell: Cell, query: Query, at: float, rng: random.Random, *, number: int = 1, **changes: Any
) -> TrialRecord:
    """A finished trial with drawn tokens, priced as its cell's model is."""
    usage = Usage(
        input_tokens=rng.randint(2_000, 9_000),
        output_tokens=rng.randint(50, 900),
        cache_read_tokens=rng.choice((0, 0, 1_500)),
        cache_write_tokens=rng.choice((0, 0, 700)),
    )
    record = TrialRecord(
        outcome_id=number,
        scores_id=number,
        trial=Trial(key=f"{rng.getrandbits(128):032x}", cell=cell.name, query_id=query.id),
        status="success",
        started_at=at,
        ended_at=at + rng.uniform(2, 30),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cost_usd=cost_usd(usage, cell.model),
        wasted_usd=Decimal(rng.randint(1, 900)) / 100_000 if rng.random() < 0.05 else Decimal(0),
        judge_cost_usd=Decimal(0),
        retrieval_cost_usd=Decimal(0),
        saved_usd=Decimal(0),
        latency_total_seconds=rng.uniform(1, 40),
        latency_retrieval_seconds=0.02,
        latency_llm_seconds=rng.uniform(1, 39),
        latency_wait_seconds=0.0,
        retries=0,
        context_length_chars=20_000,
        answer_length_chars=900,
        kpi_matches_count=rng.randint(0, 5),
        rag_chunks_count=rng.randint(0, 8),
        tickers=("NVDA",),
        years=(2020,),
        stop_reason="end_turn",
        error_type=None,
        error_message=None,
        stage=None,
        reused_from=None,
        scores=(),
    )
    return replace(record, **changes)


def failed(record: TrialRecord, *, wasted: str = "0.004") -> TrialRecord:
    """The same trial without an answer."""
    nothing = dict.fromkeys(
        ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd")
    )
    return replace(
        record,
        status="failed",
        wasted_usd=Decimal(wasted),
        latency_total_seconds=None,
        error_type="ThrottlingException",
        error_message="Rate exceeded",
        stage="llm_invocation",
        **nothing,
    )


@dataclass
class MadeSweep:
    """One sweep to be recorded: its cells, queries and finished trials."""

    sweep_id: str
    cells: Sequence[Cell]
    queries: Sequence[Query]
    records: Sequence[TrialRecord]
    name: str = "nightly"
    experiment: str = "Tests"
    environment: str = "production"
    tags: Mapping[str, str] = field(default_factory=dict)
    status: str = "completed"
    max_usd: Decimal | None = None
    judges: Mapping[str, Any] = field(default_factory=dict)
    rest_usd: Decimal = Decimal(0)
    caps: Mapping[str, Any] | None = None

    @property
    def started_at(self) -> float:
        return min(record.started_at for record in self.records)

    @property
    def spent_usd(self) -> Decimal:
        """All that was billed, what no trial can show included."""
        shown = (getattr(record, name) or Decimal(0) for record in self.records for name in KINDS)
        return exact_sum([*shown, self.rest_usd])

    def result(self, outcome_id: int) -> dict[str, Any]:
        return {"answer": f"Answer {outcome_id}."}

    def final_records(self) -> Iterator[TrialRecord]:
        return iter(self.records)

    def summary(self) -> dict[str, Any]:
        done = [record.status for record in self.records]
        return {
            "status": self.status,
            "wall_seconds": 60.0,
            "totals": {
                "trials_planned": len(done),
                "trials_succeeded": done.count("success"),
                "trials_failed": done.count("failed"),
            },
            "budget": {
                "spent_usd": float(self.spent_usd),
                "max_usd": None if self.max_usd is None else float(self.max_usd),
            },
            "cells": [],
        }

    def spec(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "experiment": self.experiment,
            "environment": self.environment,
            "models": list({cell.model.key: None for cell in self.cells}),
            "query_set": {"path": "sets/core.jsonl"},
            "budget": {"max_usd": None if self.max_usd is None else float(self.max_usd)},
            "tags": dict(self.tags),
        }


def a_sweep(
    number: int = 1,
    *,
    at: str = "2026-03-10T02:00",
    rng: random.Random | None = None,
    models: Sequence[Any] = (),
    queries: int = 4,
    apart_s: float = 30.0,
    **changes: Any,
) -> MadeSweep:
    """A sweep of two models over a few queries, one trial every half minute."""
    rng = rng or random.Random(number)
    cells = [a_cell(model) for model in models or (a_model(), a_model("nova", price="0.0008"))]
    asked = some_queries(queries, tags=("lookup", "growth"))
    records = [
        a_record(cell, query, instant(at) + place * apart_s, rng, number=place + 1)
        for place, (query, cell) in enumerate((q, c) for q in asked for c in cells)
    ]
    return MadeSweep(
        sweep_id=f"2026-{number:03d}", cells=cells, queries=asked, records=records, **changes
    )


class _Reader:
    """What the trials table asks of a ledger."""

    def __init__(self, sweep: MadeSweep) -> None:
        self._sweep = sweep

    def cells(self) -> Sequence[Cell]:
        return self._sweep.cells

    def queries(self) -> Sequence[Query]:
        return self._sweep.queries

    def answer(self, outcome_id: int) -> str | None:
        answer: str | None = self._sweep.result(outcome_id).get("answer")
        return answer


def record_sweep(
    store: Store, folder: Path, sweep: MadeSweep, *, lane: str = "bulk", finished: bool = True
) -> str:
    """Record a sweep in the store; its parent's run id. Unfinished, it has children alone."""
    folder.mkdir(parents=True, exist_ok=True)
    running = _view(sweep, folder, "running", None)
    job = Job(trial_key="", scores_id=0, payload=parent_payload(running))
    create_run(store, job)
    assert job.run_id is not None
    origin = Origin(
        environment=sweep.environment,
        sweep_id=sweep.sweep_id,
        parent_run_id=job.run_id,
        tags=sweep.tags,
    )
    run_ids = _record_children(store, sweep, origin, lane)
    if finished:
        (folder / "summary.json").write_text(json.dumps(sweep.summary()))
        rows = TrialRows(_Reader(sweep), origin, run_ids, [])  # type: ignore[arg-type]
        write_trials(folder, rows.columns, rows.batches(sweep.final_records()))
        ended = max(record.ended_at for record in sweep.records)
        job.payload = parent_payload(_view(sweep, folder, sweep.status, ended))
        bring_up_to_date(store, job)
    return job.run_id


def _record_children(store: Store, sweep: MadeSweep, origin: Origin, lane: str) -> dict[str, str]:
    forms = {cell.name: CellForm(cell, origin) for cell in sweep.cells}
    queries = {query.id: query for query in sweep.queries}
    jobs = []
    for record in sweep.records:
        query = queries[record.trial.query_id]
        payload = forms[record.trial.cell].payload(record, query, None)
        jobs.append(Job(trial_key=record.trial.key, scores_id=1, payload=payload))
    writer = BulkLane(store, sweep.sweep_id) if lane == "bulk" else PublicLane(store)
    writer.write(jobs, written := Written())
    assert len(written.done) == len(jobs), written.refused
    return {job.trial_key: str(job.run_id) for job in jobs}


def _view(sweep: MadeSweep, folder: Path, status: str, ended: float | None) -> SweepView:
    return SweepView(
        sweep_id=sweep.sweep_id,
        name=sweep.name,
        status=status,
        started_at=sweep.started_at,
        ended_at=ended,
        spec=sweep.spec(),
        facts={"judges": dict(sweep.judges), "caps": sweep.caps},
        cells=sweep.cells,
        trials_planned=len(sweep.records),
        folder=folder,
    )

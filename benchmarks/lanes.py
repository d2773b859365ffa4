"""Lanes side by side on the same rows: naive, fluent, bare calls, public lane, bulk lane, floor.

Prints wall ms and CPU ms a run (median over blocks, with the quartiles) and the ratio to the bare
three calls. All ways alternate in small blocks inside one process, in reverse order every other
round, each on a store of its own, since a machine's speed changes from second to second.

    python benchmarks/lanes.py [--rounds 8] [--block 12] [--no-naive]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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
    Score,
    Trial,
    TrialRecord,
)
from finrag_eval.record.bulk_lane import BulkLane, run_id_for
from finrag_eval.record.lanes import Job, Written
from finrag_eval.record.payload import CellForm, Origin, RunPayload
from finrag_eval.record.public_lane import PublicLane
from finrag_eval.record.store import Store, open_store, prepare_environment

WORDS = ("revenue", "income", "fiscal", "year", "segment", "margin", "growth", "risk", "cash")


def text_of(chars: int, rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=chars // 4))[:chars]


def made_up_trial(number: int, rng: random.Random) -> tuple[TrialRecord, Query, dict[str, Any]]:
    """A trial with a 20 KB context and all figures, as a sweep gives it."""
    context, answer = text_of(20_000, rng), text_of(1_500, rng)
    at = number * 1.0
    record = TrialRecord(
        outcome_id=number,
        scores_id=number,
        trial=Trial(
            key=f"{rng.getrandbits(128):032x}", cell="budget.v1-v1", query_id=f"q{number:05d}"
        ),
        status="success",
        started_at=at,
        ended_at=at + 4.2,
        input_tokens=5123,
        output_tokens=412,
        cache_read_tokens=0,
        cache_write_tokens=0,
        cost_usd=Decimal("0.0123"),
        wasted_usd=Decimal(0),
        judge_cost_usd=Decimal(0),
        retrieval_cost_usd=Decimal(0),
        saved_usd=Decimal(0),
        latency_total_seconds=4.2,
        latency_retrieval_seconds=0.02,
        latency_llm_seconds=4.1,
        latency_wait_seconds=0.0,
        retries=0,
        context_length_chars=len(context),
        answer_length_chars=len(answer),
        kpi_matches_count=3,
        rag_chunks_count=8,
        tickers=("NVDA", "MSFT"),
        years=(2019, 2020),
        stop_reason="end_turn",
        error_type=None,
        error_message=None,
        stage=None,
        reused_from=None,
        scores=(Score(name="numeric", value=1.0), Score(name="citation", value=0.8)),
    )
    query = Query(id=f"q{number:05d}", query=text_of(180, rng))
    result = {
        "query": query.query,
        "answer": answer,
        "context": context,
        "metadata": {"llm": {"model_id": "m", "input_tokens": 5123, "output_tokens": 412}},
        "exports": {},
    }
    return record, query, result


def form() -> CellForm:
    prices = Prices(cost_per_1k_input=Decimal("0.001"), cost_per_1k_output=Decimal("0.005"))
    model = ModelConfig(
        key="budget",
        provider="bedrock",
        model_id="us.anthropic.claude-haiku-4-5-20251001-v1:0",
        display_name="Budget",
        max_tokens=1024,
        prices=prices,
        temperature=0.1,
    )
    prompts = PromptTexts(
        version=PromptVersion(system="v1", query="v1"),
        system_text="You answer from filings. " * 60,
        query_text="{context}\n{query}",
        digest="d",
    )
    origin = Origin(environment="development", sweep_id="bench", parent_run_id="0" * 32)
    return CellForm(Cell(model=model, prompts=prompts, digest="c"), origin)


@dataclass
class Way:
    """One way into MLflow, on a store of its own, with what each block took."""

    name: str
    write: Callable[[Store, Sequence[tuple[str, RunPayload]]], None]
    store: Store
    artifacts: bool
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)


def naive(store: Store, runs: Sequence[tuple[str, RunPayload]]) -> None:
    """The seed's way: the fluent API, one call for each item."""
    import mlflow

    mlflow.set_tracking_uri(store.uri)
    mlflow.set_experiment(experiment_id=store.experiment_id)
    for _, run in runs:
        with mlflow.start_run(run_name=run.name):
            for key, value in run.params.items():
                mlflow.log_param(key, value)
            for name, number in run.metrics.items():
                mlflow.log_metric(name, number)
            for key, value in run.tags.items():
                if not key.startswith("mlflow."):
                    mlflow.set_tag(key, value)
            for path, content in run.artifacts.items():
                mlflow.log_text(str(content), path)


def fluent(store: Store, runs: Sequence[tuple[str, RunPayload]]) -> None:
    """The fluent API with dicts."""
    import mlflow

    mlflow.set_tracking_uri(store.uri)
    mlflow.set_experiment(experiment_id=store.experiment_id)
    for _, run in runs:
        with mlflow.start_run(run_name=run.name):
            mlflow.log_params(dict(run.params))
            mlflow.log_metrics(dict(run.metrics))
            mlflow.set_tags({k: v for k, v in run.tags.items() if not k.startswith("mlflow.")})
            for path, content in run.artifacts.items():
                mlflow.log_text(str(content), path)


def bare(store: Store, runs: Sequence[tuple[str, RunPayload]]) -> None:
    """The three public calls and nothing else; files with ``open`` and ``write``."""
    from mlflow.entities import Metric, Param

    client = store.client
    for _, run in runs:
        made = client.create_run(
            store.experiment_id, run.start_ms, dict(run.tags), run_name=run.name
        )
        for path, content in run.artifacts.items():
            target = Path(made.info.artifact_uri, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(str(content))
        client.log_batch(
            made.info.run_id,
            [Metric(k, v, run.start_ms, 0) for k, v in run.metrics.items()],
            [Param(k, v) for k, v in run.params.items()],
        )
        client.set_terminated(made.info.run_id, run.status, run.end_ms)


def public(store: Store, runs: Sequence[tuple[str, RunPayload]]) -> None:
    lane = PublicLane(store)
    lane.write(_jobs(runs), written := Written())
    assert len(written.done) == len(runs)


def bulk(store: Store, runs: Sequence[tuple[str, RunPayload]]) -> None:
    lane = BulkLane(store, "bench")
    lane.write(_jobs(runs), written := Written())
    assert len(written.done) == len(runs)


def floor(store: Store, runs: Sequence[tuple[str, RunPayload]]) -> None:
    """The same rows by sqlite3's executemany: what no lane can beat."""
    database = sqlite3.connect(store.uri.removeprefix("sqlite:///"))
    database.execute("PRAGMA synchronous=NORMAL")
    rows: dict[str, list[tuple[Any, ...]]] = {"runs": [], "params": [], "tags": [], "metrics": []}
    for key, run in runs:
        run_id = run_id_for("bench", key, run.start_ms)
        rows["runs"].append((run_id, run.name, run.start_ms, run.end_ms, int(store.experiment_id)))
        rows["params"] += [(k, v, run_id) for k, v in run.params.items()]
        rows["tags"] += [(k, v, run_id) for k, v in run.tags.items()]
        rows["metrics"] += [(k, v, run.end_ms, run_id) for k, v in run.metrics.items()]
    with contextlib.closing(database), database:
        database.executemany(
            "INSERT INTO runs (run_uuid, name, start_time, end_time, experiment_id, status,"
            " lifecycle_stage) VALUES (?, ?, ?, ?, ?, 'FINISHED', 'active')",
            rows["runs"],
        )
        for table in ("params", "tags"):
            database.executemany(
                f"INSERT INTO {table} (key, value, run_uuid) VALUES (?, ?, ?)", rows[table]
            )
        for table in ("metrics", "latest_metrics"):
            database.executemany(
                f"INSERT INTO {table} (key, value, timestamp, step, is_nan, run_uuid)"
                " VALUES (?, ?, ?, 0, 0, ?)",
                rows["metrics"],
            )


def _jobs(runs: Sequence[tuple[str, RunPayload]]) -> list[Job]:
    return [
        Job(trial_key=key, scores_id=payload.start_ms, payload=payload) for key, payload in runs
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--block", type=int, default=12, help="runs a block; the bulk lane: x 8")
    parser.add_argument("--no-naive", action="store_true")
    options = parser.parse_args()
    prepare_environment(recorder=True)
    import mlflow

    folder = Path(tempfile.mkdtemp(prefix="lanes-"))
    try:
        ways = _ways(folder, naive_too=not options.no_naive)
        _measure(ways, options.rounds, options.block)
    finally:
        shutil.rmtree(folder)
    print(_machine(mlflow.__version__))
    _table(ways)


def _ways(folder: Path, *, naive_too: bool) -> list[Way]:
    template = folder / "template.db"
    open_store(f"sqlite:///{template}", "bench", own_process=True).engine.dispose()
    stock = folder / "stock.db"
    shutil.copy(template, stock)
    with contextlib.closing(sqlite3.connect(stock)) as database:
        database.execute("PRAGMA journal_mode=DELETE")

    def opened(name: str) -> Store:
        shutil.copy(template, folder / name)
        return open_store(f"sqlite:///{folder / name}", "lane", own_process=True)

    listed: list[tuple[str, Any, bool]] = [
        ("bare three calls", bare, False),
        ("public lane", public, False),
        ("bulk lane", bulk, False),
        ("floor (sqlite3)", floor, False),
        ("bare three calls + files", bare, True),
        ("public lane + files", public, True),
        ("bulk lane + files", bulk, True),
    ]
    if naive_too:
        listed += [
            ("naive: call by call + files", naive, True),
            ("fluent dicts + files", fluent, True),
        ]
    return [
        Way(name=name, write=write, store=opened(f"{number}.db"), artifacts=artifacts)
        for number, (name, write, artifacts) in enumerate(listed)
    ]


def _measure(ways: Sequence[Way], rounds: int, block: int) -> None:
    rng, cell_form = random.Random(7), form()
    number = 0
    for turn in range(rounds + 1):
        for way in ways if turn % 2 else list(reversed(ways)):
            size = block * 8 if way.write in (bulk, floor) else block
            runs = []
            for _ in range(size):
                number += 1
                record, query, result = made_up_trial(number, rng)
                payload = cell_form.payload(record, query, result if way.artifacts else None)
                runs.append((record.trial.key, replace(payload, tags={**payload.tags})))
            wall, cpu = time.perf_counter(), time.process_time()
            way.write(way.store, runs)
            if turn:  # the first round warms up
                way.wall_ms.append((time.perf_counter() - wall) * 1000 / size)
                way.cpu_ms.append((time.process_time() - cpu) * 1000 / size)


def _table(ways: Sequence[Way]) -> None:
    base = {way.artifacts: way for way in ways if way.write is bare}
    print("| way | wall ms a run | quartiles | CPU ms a run | ratio to bare calls (wall) |")
    print("|---|---|---|---|---|")
    for way in ways:
        low, middle, high = statistics.quantiles(way.wall_ms, n=4)
        ratio = statistics.median(
            one / other for one, other in zip(way.wall_ms, base[way.artifacts].wall_ms, strict=True)
        )
        cpu = statistics.median(way.cpu_ms)
        print(f"| {way.name} | {middle:.2f} | {low:.2f}–{high:.2f} | {cpu:.2f} | {ratio:.3f} |")


def _machine(mlflow_version: str) -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    facts = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit or "unknown",
        "python": platform.python_version(),
        "mlflow": mlflow_version,
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.machine()}",
    }
    return json.dumps(facts)


if __name__ == "__main__":
    sys.exit(main())

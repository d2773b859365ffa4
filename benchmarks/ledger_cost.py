"""What the ledger costs: CPU a trial, bytes on disk against raw text, and reading it back.

``python benchmarks/ledger_cost.py`` prints a table; each row is the median of ``--rounds`` fresh
ledgers. A trial is one reservation, one settlement, one outcome with its answer and context, and
one scoring, from 16 threads that wait for the disk as a sweep's workers do. CPU is that of the
whole process, the threads' own and the loop's included.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from finrag_eval.domain import (
    Cell,
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
from finrag_eval.record.ledger import LEDGER_FILE, Ledger, LedgerReader

CONTEXT_CHARS, ANSWER_CHARS, CELLS, THREADS = 22_000, 3_000, 10, 16
PASSAGES = Path(__file__).resolve().parents[2] / "shared" / "data" / "narrative_chunks.jsonl"


@dataclass(frozen=True)
class Cost:
    cpu_ms: float
    wall_ms: float
    disk_bytes: float
    raw_bytes: float
    columns_s: float
    records_s: float


def passages() -> list[str]:
    """Passages in the order of their filings: real ones where they lie beside the project."""
    if PASSAGES.is_file():
        with PASSAGES.open(encoding="utf-8") as lines:
            return [json.loads(line)["text"] for line in lines]
    chance = random.Random(7)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 11))) for _ in range(8_000)]
    return [" ".join(chance.choices(words, k=120)) + "." for _ in range(5_000)]


def make_text(chance: random.Random, found: list[str], chars: int, *, mixed: bool) -> str:
    """Passages that follow each other in a filing, or ``mixed``: unrelated ones."""
    parts: list[str] = []
    place = chance.randrange(len(found))
    while sum(map(len, parts)) < chars:
        place = chance.randrange(len(found)) if mixed else (place + 1) % len(found)
        parts.append(f"=== passage {place}\n{found[place]}\n")
    return "".join(parts)[:chars]


def cells() -> list[Cell]:
    prices = Prices(cost_per_1k_input=Decimal("0.001"), cost_per_1k_output=Decimal("0.005"))
    version = PromptVersion(system="v1", query="v1")
    texts = PromptTexts(version=version, system_text="System.", query_text="{query}", digest="p")
    return [
        Cell(
            model=ModelConfig(
                key=f"model_{number}",
                provider="rehearsal",
                model_id=f"m{number}",
                display_name=f"M{number}",
                max_tokens=1024,
                prices=prices,
            ),
            prompts=texts,
            digest=f"cell-{number}",
        )
        for number in range(CELLS)
    ]


def outcomes(trials: int, *, shared: bool, mixed: bool, seed: int = 1) -> list[Outcome]:
    """Outcomes query by query; the cells of a query share its context where ``shared``."""
    chance, found = random.Random(seed), passages()
    context = ""
    made = []
    for number in range(trials):
        if number % CELLS == 0 or not shared:
            context = make_text(chance, found, CONTEXT_CHARS, mixed=mixed)
        answer = make_text(chance, found, ANSWER_CHARS, mixed=mixed)
        made.append(outcome(number, context, answer))
    return made


def outcome(number: int, context: str, answer: str) -> Outcome:
    query, cell = divmod(number, CELLS)
    trial = Trial(key=f"{number:032x}", cell=f"model_{cell}.v1-v1", query_id=f"q{query}")
    retrieval = {"kpi_count": 3, "rag_count": 8, "tickers": ["NVDA"], "years": [2019, 2020]}
    llm = {"model_id": f"m{cell}", "input_tokens": 6000, "output_tokens": 700, "cost": 0.0095}
    result: dict[str, Any] = {
        "query": "What was NVIDIA's revenue in fiscal 2020?",
        "answer": answer,
        "context": context,
        "metadata": {"llm": llm, "retrieval": retrieval, "timestamp": "2026-01-01T00:00:00Z"},
        "exports": {},
    }
    return Outcome(
        trial=trial,
        result=result,
        started_at=1.0e9,
        ended_at=1.0e9 + 4,
        usage=Usage(input_tokens=6000, output_tokens=700),
        cost_usd=Decimal("0.0095"),
        latency_total_seconds=4.0,
        latency_retrieval_seconds=0.1,
        latency_llm_seconds=3.9,
        stop_reason="end_turn",
    )


def measure(made: list[Outcome], folder: Path) -> Cost:
    cell_list = cells()
    queries = tuple(Query(id=f"q{n}", query=f"Q{n}?") for n in range(len(made) // CELLS + 1))
    query_set = QuerySet(queries=queries, digest="d", source="benchmark")
    with Ledger.create(folder, sweep_id=folder.name, name="benchmark") as ledger:
        ledger.begin_session({}, {})
        ledger.store_plan(
            cells=cell_list, query_set=query_set, trials=(each.trial for each in made)
        )
        cpu, wall = time.process_time(), time.perf_counter()
        _in_threads(made, lambda each: _record(ledger, each))
        ledger.flush()
        ledger.flush()  # the scores that the first one's callbacks queued
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        ledger.end_session("completed", 0)
    raw = sum(len((each.result["answer"] + each.result["context"]).encode()) for each in made)
    with LedgerReader.open(folder) as reader:
        columns_s = _seconds(reader.columns)
        records_s = _seconds(lambda: sum(1 for _ in reader.final_records()))
    each_ms = 1000 / len(made)
    disk = (folder / LEDGER_FILE).stat().st_size
    return Cost(cpu * each_ms, wall * each_ms, disk, raw, columns_s, records_s)


def _record(ledger: Ledger, each: Outcome) -> None:
    trial = each.trial
    attempt = ledger.reserve(
        trial_key=trial.key,
        cell=trial.cell,
        model_key=trial.cell.partition(".")[0],
        purpose="target",
        usd=Decimal("0.0311"),
    )
    ledger.settle(attempt, billed_usd=each.cost_usd or Decimal(0), state="kept")
    scores = [
        Score(name="numeric", value=1.0, explanation={"expected": 10918.0, "found": 10918.0}),
        Score(name="contains", value=0.5, explanation={"missing": ["revenue"]}),
        Score(name="citation", unscored="no figure in the answer"),
    ]
    ledger.append_outcome(each, lambda outcome: ledger.append_scores(outcome, scores))


def _in_threads(made: list[Outcome], work: Callable[[Outcome], None]) -> None:
    waiting: Iterator[Outcome] = iter(made)
    lock = threading.Lock()

    def pull() -> None:
        while True:
            with lock:
                each = next(waiting, None)
            if each is None:
                return
            work(each)

    threads = [threading.Thread(target=pull) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print(
        f"{asked.trials} trials, {CONTEXT_CHARS + ANSWER_CHARS} characters each, {THREADS} threads"
    )
    print(f"{'':34}{'CPU ms':>8}{'spread':>14}{'wall ms':>9}{'disk/raw':>10}{'KB/trial':>10}"
          f"{'columns s':>11}{'records s':>11}")  # fmt: skip
    for label, shared, mixed in (
        ("context shared by 10 cells", True, False),
        ("every context its own", False, False),
        ("... of unrelated passages", False, True),
    ):
        made = outcomes(asked.trials, shared=shared, mixed=mixed)
        with TemporaryDirectory(prefix="ledger-cost-") as root:
            costs = [measure(made, Path(root) / f"round-{n}") for n in range(asked.rounds)]
        cpu = sorted(cost.cpu_ms for cost in costs)
        middle = statistics.median
        print(
            f"{label:34}{middle(cpu):8.3f}{f'{cpu[0]:.2f}-{cpu[-1]:.2f}':>14}"
            f"{middle(cost.wall_ms for cost in costs):9.3f}"
            f"{middle(cost.disk_bytes / cost.raw_bytes for cost in costs):10.1%}"
            f"{middle(cost.disk_bytes for cost in costs) / asked.trials / 1000:10.2f}"
            f"{middle(cost.columns_s for cost in costs):11.3f}"
            f"{middle(cost.records_s for cost in costs):11.3f}"
        )


if __name__ == "__main__":
    main()

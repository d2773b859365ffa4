"""Going on with a sweep, by content: what is paid again, and what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from loopback.fixture import LoopbackBedrock
from sweep_place import Place, questions_text

MODELS = """
serving_models:
  default_serving_model: loop
  loop: {provider: bedrock, model_id: loop.model-v1, display_name: Loop, max_tokens: 200,
         cost_per_1k_input: 0.001, cost_per_1k_output: 0.005}
  other: {provider: bedrock, model_id: other.model-v1, display_name: Other, max_tokens: 200,
          cost_per_1k_input: 0.0005, cost_per_1k_output: 0.0025}
"""


@pytest.fixture
def billed(place: Place, bedrock: LoopbackBedrock) -> Place:
    """The place with models that the loopback server bills for."""
    place.env = dict(bedrock.env)
    place.write("ml_config.yaml", MODELS)
    place.sweep(models=["loop"], retrieval={"include_rag": False})
    return place


def summary_of(place: Place, *arguments: str, code: int = 0) -> dict[str, Any]:
    ran = place.run(*arguments, "--no-tracking", "--format", "json")
    assert ran.code == code, ran.err
    found: dict[str, Any] = ran.json
    return found


def calls(bedrock: LoopbackBedrock) -> int:
    """Calls that the server answered since the last count."""
    count = sum(one["answered"] for one in bedrock.ledger())
    bedrock.programme()
    return count


def test_a_budget_stops_and_a_higher_one_goes_on(billed: Place, bedrock: LoopbackBedrock) -> None:
    stopped = summary_of(billed, "run", "small.yaml", "--max-usd", "0.004", code=3)
    assert stopped["status"] == "budget_stopped"
    assert stopped["budget"]["spent_usd"] <= 0.004
    first = calls(bedrock)
    assert 0 < first < 10
    ended = summary_of(billed, "resume", stopped["sweep_id"][:15], "--max-usd", "1")
    assert ended["status"] == "completed"
    assert ended["sweep_id"] == stopped["sweep_id"]
    assert first + calls(bedrock) == 10


def test_reordering_or_narrowing_the_spec_pays_for_nothing(
    billed: Place, bedrock: LoopbackBedrock
) -> None:
    summary_of(billed, "run", "small.yaml", "--max-usd", "0.004", code=3)
    first = calls(bedrock)
    lines = questions_text().splitlines()
    billed.write("questions.jsonl", "\n".join(reversed(lines)) + "\n")
    billed.sweep(
        models=["loop"],
        retrieval={"include_rag": False},
        prompts=[{"system": "v2", "query": "v1"}, {"system": "v1", "query": "v1"}],
        execution={"concurrency": 1},
    )
    ended = summary_of(billed, "run", "small.yaml")
    assert ended["totals"]["trials_succeeded"] == 10
    assert first + calls(bedrock) == 10


def test_adding_a_model_pays_for_the_new_cells_alone(
    billed: Place, bedrock: LoopbackBedrock
) -> None:
    bedrock.programme(scripts=[{"match": "Oracle", "faults": ["access_denied"], "then": "ok"}])
    first = summary_of(billed, "run", "small.yaml", "--set", "on_error.max_failed=0", code=5)
    paid = first["totals"]["trials_succeeded"]
    calls(bedrock)
    billed.sweep(models=["loop", "other"], retrieval={"include_rag": False})
    ended = summary_of(billed, "run", "small.yaml", "--retry-failed")
    assert ended["totals"]["trials_succeeded"] == 20
    assert calls(bedrock) == 20 - paid


def test_a_changed_price_keeps_answers_and_costs_as_then_billed(
    billed: Place, bedrock: LoopbackBedrock
) -> None:
    stopped = summary_of(billed, "run", "small.yaml", "--max-usd", "0.004", code=3)
    before = {cell["cell"]: cell["cost_usd"]["total"] for cell in stopped["cells"]}
    first = calls(bedrock)
    billed.write(
        "ml_config.yaml", MODELS.replace("cost_per_1k_input: 0.001", "cost_per_1k_input: 0.1")
    )
    ended = summary_of(billed, "run", "small.yaml", "--max-usd", "5")
    assert first + calls(bedrock) == 10
    assert ended["totals"]["cost_usd"] > 20 * sum(before.values())
    import pandas as pd

    trials = pd.read_parquet(billed.results / ended["sweep_id"] / "trials.parquet")
    at_old_price = trials[trials["cost_per_1k_input"] == 0.001]
    assert len(at_old_price) == first
    assert at_old_price["cost_usd"].sum() == pytest.approx(sum(before.values()), abs=1e-12)


def test_reused_answers_cost_nothing_and_say_what_they_saved(
    billed: Place, bedrock: LoopbackBedrock
) -> None:
    paid = summary_of(billed, "run", "small.yaml")
    assert calls(bedrock) == 10
    again = summary_of(billed, "run", "small.yaml", "--reuse")
    assert calls(bedrock) == 0
    assert again["sweep_id"] != paid["sweep_id"]
    assert again["totals"]["cost_usd"] == 0
    assert again["totals"]["trials_reused"] == 10
    assert again["budget"]["saved_usd"] == pytest.approx(paid["totals"]["cost_usd"], abs=1e-12)
    assert all(cell["latency_total_seconds"]["p50"] is None for cell in again["cells"])
    import pandas as pd

    trials = pd.read_parquet(billed.results / again["sweep_id"] / "trials.parquet")
    assert set(trials["finrag_eval.reused"]) == {"true"}


def test_more_failures_than_allowed_stop_with_code_5(
    billed: Place, bedrock: LoopbackBedrock
) -> None:
    bedrock.programme(rates={"validation": 1.0})
    ended = summary_of(billed, "run", "small.yaml", "--set", "on_error.max_failed=2", code=5)
    assert ended["status"] == "failed"
    assert ended["totals"]["trials_failed"] >= 3
    assert all(cell["latency_total_seconds"]["mean"] is None for cell in ended["cells"])


def test_the_summary_is_made_again_from_the_ledger_alone(
    billed: Place, bedrock: LoopbackBedrock
) -> None:
    first = summary_of(billed, "run", "small.yaml")
    folder = billed.results / first["sweep_id"]
    for name in ("summary.json", "summary.csv", "trials.parquet", "report.html", "sweep.yaml"):
        (folder / name).unlink()
    for name in ("small.yaml", "ml_config.yaml", "questions.jsonl"):
        (billed.folder / name).unlink()
    ran = billed.run("summary", "latest", "--format", "json")
    assert ran.code == 0, ran.err
    assert ran.json == first
    assert json.loads((folder / "summary.json").read_text()) == first
    assert (folder / "trials.parquet").is_file()
    assert Path(folder / "report.html").is_file()

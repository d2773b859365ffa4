"""``run --budget-file``: a nightly sweep takes no more than what is left of the month."""

from __future__ import annotations

import json
import math

import pytest
from loopback.fixture import LoopbackBedrock
from sweep_place import Place

MODELS = """
serving_models:
  default_serving_model: loop
  loop: {provider: bedrock, model_id: loop.model-v1, display_name: Loop, max_tokens: 200,
         cost_per_1k_input: 0.001, cost_per_1k_output: 0.005}
"""


def test_nightly_sweeps_together_never_pass_the_month(
    place: Place, bedrock: LoopbackBedrock
) -> None:
    place.env = dict(bedrock.env)
    place.write("ml_config.yaml", MODELS)
    place.write(
        "BUDGET.yaml",
        {"budgets": [{"name": "all, monthly", "period": "month", "limit_usd": 0.012}]},
    )
    place.sweep(models=["loop"], retrieval={"include_rag": False})
    spent, codes = 0.0, []
    for _ in range(4):
        ran = place.run(
            "run", "small.yaml", "--fresh", "--budget-file", "BUDGET.yaml", "--format", "json"
        )
        spent += ran.json["budget"]["spent_usd"]
        codes.append(ran.code)
        assert spent <= 0.012
        left_of_month = 0.012 - (spent - ran.json["budget"]["spent_usd"])
        assert ran.json["budget"]["max_usd"] == pytest.approx(left_of_month, abs=1e-9)
    assert codes[0] == 0
    assert codes[-1] == 3
    billed = sum(
        (one["input_tokens"] * 0.001 + one["output_tokens"] * 0.005) / 1000
        for one in bedrock.ledger()
        if one["answered"]
    )
    assert billed == pytest.approx(spent, abs=1e-9)
    report = place.run("costs", "--budget", "BUDGET.yaml", "--format", "json")
    (status,) = report.json["budgets"]
    assert status["spent_usd"] == pytest.approx(spent, abs=1e-9)


def test_sweeps_that_start_together_never_pass_the_month(
    place: Place, bedrock: LoopbackBedrock
) -> None:
    """Neither has a cap of its own, and one of them is in no tracking store."""
    bedrock.change(latency_s=1.5)  # none has ended before the other begins
    place.env = dict(bedrock.env)
    place.write("ml_config.yaml", MODELS)
    place.write(
        "BUDGET.yaml",
        {"budgets": [{"name": "month", "period": "month", "limit_usd": 0.05}]},
    )
    names = ("one", "other")
    for name in names:
        place.sweep(
            name=name,
            models=["loop"],
            retrieval={"include_rag": False},
            repeats=5,
            execution={"concurrency": 16},
        )
    options = ("--budget-file", "BUDGET.yaml", "--format", "json")
    started = [
        place.start("run", "one.yaml", *options),
        place.start("run", "other.yaml", "--no-tracking", *options),
    ]
    ended = [json.loads(process.communicate(timeout=120)[0]) for process in started]
    spent = math.fsum(one["budget"]["spent_usd"] for one in ended)
    assert 0 < spent <= 0.05
    assert "budget_stopped" in {one["status"] for one in ended}
    billed = math.fsum(
        (one["input_tokens"] * 0.001 + one["output_tokens"] * 0.005) / 1000
        for one in bedrock.ledger()
        if one["answered"]
    )
    assert billed == pytest.approx(spent, abs=1e-9)

"""Configured prices against the packaged price list."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from finrag_eval.domain import LengthTier, ModelConfig, Prices
from finrag_eval.price_check import Drift, check_prices
from finrag_eval.report.listings import prices_table

pytest.importorskip("genai_prices")

HAIKU = ModelConfig(
    key="haiku",
    provider="bedrock",
    model_id="us.anthropic.claude-haiku-4-5-20251001-v1:0",
    display_name="Haiku",
    max_tokens=200,
    prices=Prices(
        cost_per_1k_input=Decimal("0.0011"),
        cost_per_1k_output=Decimal("0.005"),
        cost_per_1k_cache_read=Decimal("0.00011"),
        cost_per_1k_cache_write_1h=Decimal("0.0022"),
    ),
    settings={"price_date": "2026-11-22"},
)


def verdicts(*models: ModelConfig) -> dict[tuple[str, int | None], str]:
    return {(drift.price, drift.above_tokens): drift.verdict for drift in check_prices(models)}


def test_each_price_of_an_entry_is_set_against_the_list() -> None:
    assert verdicts(HAIKU) == {
        ("cost_per_1k_input", None): "agrees",
        ("cost_per_1k_output", None): "differs",
        ("cost_per_1k_cache_read", None): "agrees",
        ("cost_per_1k_cache_write", None): "not configured",
        ("cost_per_1k_cache_write_1h", None): "agrees",
    }


def test_prices_of_long_prompts_are_compared_with_those_of_long_prompts() -> None:
    long = Prices(cost_per_1k_input=Decimal("0.00055"), cost_per_1k_output=Decimal("0.00275"))
    short = Prices(cost_per_1k_input=Decimal("0.00011"), cost_per_1k_output=Decimal("0.00055"))
    newer = replace(HAIKU, model_id="us.anthropic.claude-haiku-5-5", prices=short)
    tiered = replace(newer, length_tiers=(LengthTier(above_tokens=100_000, prices=long),))
    assert verdicts(tiered)["cost_per_1k_input", 100_000] == "agrees"
    assert verdicts(newer)["cost_per_1k_input", None] == "agrees"
    assert verdicts(newer)["cost_per_1k_input", 100_000] == "differs", "its list has such a tier"


def test_what_the_list_does_not_have_is_said_and_not_taken_for_a_drift() -> None:
    assert set(verdicts(replace(HAIKU, model_id="vendor.unknown-v1")).values()) == {"not listed"}


def test_rehearsals_have_no_listed_price() -> None:
    assert check_prices([replace(HAIKU, provider="rehearsal")]) == []


def test_the_table_tells_both_dates() -> None:
    drifts: list[Drift] = check_prices([HAIKU])
    lines = prices_table(drifts, width=100).splitlines()
    assert lines[2].split() == ["haiku", "output", "0.005", "0.0055", "2026-11-22", "differs"]
    assert lines[-1] == (
        f"1 of 5 prices differs from {drifts[0].listed_version} (its prices of "
        f"{drifts[0].listed_on}); USD per 1,000 tokens"
    )

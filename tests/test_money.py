"""What a call costs: by the kind of token, the tier that served it and the length of its prompt."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finrag_eval.domain import LengthTier, ModelConfig, Prices, Usage
from finrag_eval.money import cost_usd, worst_case_usd


def prices(*five: str) -> Prices:
    """Of input, output, cache reads, cache writes of 5 min and of 1 h; USD per 1,000 tokens."""
    read, write, hour = (*map(Decimal, five[2:]), None, None, None)[:3]
    return Prices(
        cost_per_1k_input=Decimal(five[0]),
        cost_per_1k_output=Decimal(five[1]),
        cost_per_1k_cache_read=read,
        cost_per_1k_cache_write=write,
        cost_per_1k_cache_write_1h=hour,
    )


USUAL = prices("0.003", "0.015", "0.0003", "0.00375", "0.006")
LONG = prices("0.006", "0.0225", "0.0006", "0.0075", "0.012")
FLEX = prices("0.0015", "0.0075", "0.00015", "0.001875", "0.003")
PRIORITY = prices("0.00525", "0.02625", "0.000525", "0.0065625", "0.0105")
MODEL = ModelConfig(
    key="m",
    provider="bedrock",
    model_id="m",
    display_name="m",
    max_tokens=500,
    prices=USUAL,
    length_tiers=(LengthTier(above_tokens=200_000, prices=LONG),),
    tier_prices={"flex": FLEX, "priority": PRIORITY},
)
USAGE = Usage(
    input_tokens=1000,
    output_tokens=200,
    cache_read_tokens=4000,
    cache_write_tokens=3000,
    cache_write_1h_tokens=2000,
)


@pytest.mark.parametrize(
    ("tier", "usd"),
    [
        (None, "0.02295"),  # 0.003 + 0.003 + 0.0012 + 0.00375 (1,000 for 5 min) + 0.012 (2,000)
        ("default", "0.02295"),
        ("flex", "0.011475"),
        ("priority", "0.0401625"),
    ],
)
def test_each_kind_of_token_has_its_price_in_the_tier_that_served(
    tier: str | None, usd: str
) -> None:
    assert cost_usd(USAGE, MODEL, service_tier=tier) == Decimal(usd)


@pytest.mark.parametrize(("cached", "usd"), [(199_000, "0.0657"), (199_001, "0.1299006")])
def test_a_long_prompt_counts_cached_tokens_and_prices_every_token(cached: int, usd: str) -> None:
    usage = Usage(input_tokens=1000, output_tokens=200, cache_read_tokens=cached)
    assert cost_usd(usage, MODEL) == Decimal(usd)


counts = st.integers(0, 300_000)


@given(
    plain=counts,
    output=st.integers(0, 500),
    read=counts,
    short=counts,
    hour=counts,
    tier=st.sampled_from([None, "flex", "priority", "reserved"]),
)
def test_no_call_costs_more_than_its_worst_case(
    plain: int, output: int, read: int, short: int, hour: int, tier: str | None
) -> None:
    usage = Usage(
        input_tokens=plain,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=short + hour,
        cache_write_1h_tokens=hour,
    )
    cost = cost_usd(usage, MODEL, service_tier=tier)
    assert cost <= worst_case_usd(MODEL, plain + read + short + hour)
    long = plain + read + short + hour > 200_000
    listed = {"flex": FLEX, "priority": PRIORITY}.get(str(tier), LONG if long else USUAL)
    each = (listed.cost_per_1k_input, listed.cost_per_1k_output, listed.cost_per_1k_cache_read,
            listed.cost_per_1k_cache_write, listed.cost_per_1k_cache_write_1h)  # fmt: skip
    tokens = (plain, output, read, short, hour)
    assert Fraction(cost) == sum(
        Fraction(price) * count / 1000 for price, count in zip(each, tokens, strict=True)
    )

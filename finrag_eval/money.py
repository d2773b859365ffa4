"""What tokens cost: exact decimal USD from configured prices.

Enters: a usage or a prompt's size, and a model's prices. Leaves: ``Decimal`` USD, never rounded.
Source of the formulas: METHODS, "Money" and "The budget is a bound".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal, localcontext

from finrag_eval.domain import ModelConfig, Prices, Usage

#: What a batch costs of the price on demand, where a model's entry has no prices of its own.
BATCH_SHARE = Decimal("0.5")
#: Tokens that message framing (roles, separators) may add to a prompt's bytes, at most.
FRAMING_TOKENS = 256

_PRECISION = 50


def prices_for(
    model: ModelConfig, prompt_tokens: int, *, service_tier: str | None = None
) -> Prices:
    """The prices of one call: those of the tier that served it, else of its length tier.

    ``prompt_tokens`` counts cached tokens, too. A tier without prices of its own costs as listed.
    """
    if service_tier is not None and service_tier in model.tier_prices:
        return model.tier_prices[service_tier]
    chosen = model.prices
    for tier in sorted(model.length_tiers, key=lambda tier: tier.above_tokens):
        if prompt_tokens > tier.above_tokens:
            chosen = tier.prices
    return chosen


def cost_usd(usage: Usage, model: ModelConfig, *, service_tier: str | None = None) -> Decimal:
    """USD of one call: input, output, cache reads and cache writes, each at its own price.

    Cached tokens are billed beside the input tokens, never out of them (Bedrock's usage). Where a
    cache price was never configured, those tokens cost as much as plain input: the upper bound
    for reads, and at most a quarter too little for writes.
    """
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    prices = prices_for(model, prompt, service_tier=service_tier)
    plain = prices.cost_per_1k_input
    read = plain if prices.cost_per_1k_cache_read is None else prices.cost_per_1k_cache_read
    write = plain if prices.cost_per_1k_cache_write is None else prices.cost_per_1k_cache_write
    hour = write if prices.cost_per_1k_cache_write_1h is None else prices.cost_per_1k_cache_write_1h
    short_writes = usage.cache_write_tokens - usage.cache_write_1h_tokens
    return _exact_sum_of_products(
        (usage.input_tokens, plain),
        (usage.output_tokens, prices.cost_per_1k_output),
        (usage.cache_read_tokens, read),
        (short_writes, write),
        (usage.cache_write_1h_tokens, hour),
    )


def worst_case_usd(model: ModelConfig, prompt_bytes: int) -> Decimal:
    """The most that one call can cost in USD, whatever tier or cache serves it.

    A token is at least one UTF-8 byte, so the prompt's bytes and the framing allowance bound its
    tokens; ``max_tokens`` bounds the output. The dearest of all configured prices is taken.
    """
    tokens = prompt_bytes + FRAMING_TOKENS
    every = [
        model.prices,
        *model.tier_prices.values(),
        *(tier.prices for tier in model.length_tiers if tokens > tier.above_tokens),
    ]
    return max(_worst(prices, tokens, model.max_tokens) for prices in every)


def _worst(prices: Prices, prompt_tokens: int, output_tokens: int) -> Decimal:
    per_token = max(
        price
        for price in (
            prices.cost_per_1k_input,
            prices.cost_per_1k_cache_read,
            prices.cost_per_1k_cache_write,
            prices.cost_per_1k_cache_write_1h,
        )
        if price is not None
    )
    return _exact_sum_of_products(
        (prompt_tokens, per_token), (output_tokens, prices.cost_per_1k_output)
    )


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """The sum of USD amounts with every digit kept; 0 of nothing."""
    with localcontext() as context:
        context.prec = _PRECISION
        return sum(amounts, Decimal(0))


def at_batch_prices(model: ModelConfig) -> ModelConfig:
    """The model with the prices of batch inference for its only ones.

    They are ``tier_prices: batch`` of its entry; without these, half of the others.
    """
    batch = model.tier_prices.get("batch")
    if batch is not None:
        return replace(model, prices=batch, length_tiers=(), tier_prices={})
    return replace(
        model,
        prices=_times(model.prices, BATCH_SHARE),
        length_tiers=tuple(
            replace(tier, prices=_times(tier.prices, BATCH_SHARE)) for tier in model.length_tiers
        ),
        tier_prices={},
    )


def without_prices(model: ModelConfig) -> ModelConfig:
    """The model with prices of 0: for what must not depend on prices, such as a trial's key."""
    nothing = Prices(cost_per_1k_input=Decimal(0), cost_per_1k_output=Decimal(0))
    return replace(model, prices=nothing, length_tiers=(), tier_prices={}, price_as=None)


def _times(prices: Prices, factor: Decimal) -> Prices:
    known = {name: getattr(prices, name) for name in prices.__slots__}
    return replace(
        prices, **{name: price * factor for name, price in known.items() if price is not None}
    )


def _exact_sum_of_products(*terms: tuple[int, Decimal]) -> Decimal:
    with localcontext() as context:
        context.prec = _PRECISION
        thousandths = sum((tokens * price for tokens, price in terms), Decimal(0))
        return thousandths / 1000

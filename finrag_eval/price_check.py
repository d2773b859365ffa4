"""Configured prices set against the price lists of the genai-prices package (extra ``prices``).

Enters: model entries. Leaves: a ``Drift`` for every price that can be compared. Prices are dated
facts: a difference is shown, never corrected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from finrag_eval.domain import ModelConfig
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.money import prices_for

#: Our price fields and how the package names the same price (USD per million tokens there).
_FIELDS = {
    "cost_per_1k_input": "input_mtok",
    "cost_per_1k_output": "output_mtok",
    "cost_per_1k_cache_read": "cache_read_mtok",
    "cost_per_1k_cache_write": "cache_write_mtok",
    "cost_per_1k_cache_write_1h": "cache_write_1h_mtok",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One configured price beside the listed one, in USD per 1,000 tokens; None is not listed.

    ``above_tokens`` is set for prices of longer prompts. The listed price is that of ``listed_on``.
    """

    model_key: str
    model_id: str
    price: str
    above_tokens: int | None = None
    configured: Decimal | None
    listed: Decimal | None
    configured_on: str | None
    listed_on: str
    listed_version: str

    @property
    def verdict(self) -> str:
        """``agrees``, ``differs``, ``not listed`` or ``not configured``."""
        if self.listed is None:
            return "not listed"
        if self.configured is None:
            return "not configured"
        return "agrees" if self.configured == self.listed else "differs"

    def as_json(self) -> dict[str, Any]:
        """The drift as one JSON object."""
        return {
            "model_key": self.model_key,
            "model_id": self.model_id,
            "price": self.price,
            "above_tokens": self.above_tokens,
            "configured": None if self.configured is None else float(self.configured),
            "listed": None if self.listed is None else float(self.listed),
            "configured_on": self.configured_on,
            "listed_on": self.listed_on,
            "listed_version": self.listed_version,
            "verdict": self.verdict,
        }


def check_prices(models: Iterable[ModelConfig]) -> list[Drift]:
    """A line per price of every Bedrock model; InvalidInput where the extra is not installed."""
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        raise InvalidInput(
            [
                Problem(
                    file="command line",
                    key="--check-prices",
                    message="the package genai-prices is not installed",
                    fix="pip install 'finrag-eval[prices]'",
                )
            ]
        ) from None
    from importlib.metadata import version

    snapshot = get_snapshot()
    listed = f"genai-prices {version('genai-prices')}"
    return [
        drift
        for model in models
        if model.provider == "bedrock"
        for drift in _drifts(model, snapshot, listed)
    ]


def _drifts(model: ModelConfig, snapshot: Any, listed_version: str) -> Iterator[Drift]:
    now = datetime.now(UTC)
    listed = _listed(model.model_id, snapshot, now)
    for above in _lengths(model, listed):
        for ours, theirs in _FIELDS.items():
            configured = _configured(model, ours, above)
            per_1k = _per_1k(getattr(listed, theirs, None), above)
            if configured is None and per_1k is None:
                continue
            yield Drift(
                model_key=model.key,
                model_id=model.model_id,
                price=ours,
                above_tokens=above,
                configured=configured,
                listed=per_1k,
                configured_on=model.settings.get("price_date"),
                listed_on=f"{now:%Y-%m-%d}",
                listed_version=listed_version,
            )


def _lengths(model: ModelConfig, listed: Any) -> list[int | None]:
    """The lengths of prompt above which other prices hold, by either side; None for all others."""
    ours = {tier.above_tokens for tier in model.length_tiers}
    theirs = {
        tier.start
        for field in _FIELDS.values()
        for tier in getattr(getattr(listed, field, None), "tiers", ())
    }
    return [None, *sorted(ours | theirs)]


def _configured(model: ModelConfig, price: str, above: int | None) -> Decimal | None:
    """The configured price of a prompt just longer than ``above``."""
    prices = model.prices if above is None else prices_for(model, above + 1)
    amount: Decimal | None = getattr(prices, price)
    return amount


def _listed(model_id: str, snapshot: Any, now: datetime) -> Any:
    try:
        _, found = snapshot.find_provider_model(model_id, None, "aws", None)
    except LookupError:
        return None
    return found.get_prices(now)


def _per_1k(per_million: Any, above: int | None) -> Decimal | None:
    """A price per million, of prompts just longer than ``above``, as one per thousand."""
    if per_million is None:
        return None
    price = getattr(per_million, "base", per_million)
    for tier in getattr(per_million, "tiers", ()):
        if above is not None and above >= tier.start:
            price = tier.price
    return Decimal(str(price)) / 1000

"""Configured prices set against the price lists of the genai-prices package (extra ``prices``).

Enters: model entries. Leaves: a ``Drift`` for every price that can be compared. Prices are dated
facts: a difference is shown, never corrected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from finrag_eval.domain import ModelConfig
from finrag_eval.errors import InvalidInput, Problem

#: Our price fields and how the package names the same price (USD per million tokens there).
_FIELDS = {
    "cost_per_1k_input": "input_mtok",
    "cost_per_1k_output": "output_mtok",
    "cost_per_1k_cache_read": "cache_read_mtok",
    "cost_per_1k_cache_write": "cache_write_mtok",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One configured price beside the listed one, in USD per 1,000 tokens; None is not listed."""

    model_key: str
    model_id: str
    price: str
    configured: Decimal | None
    listed: Decimal | None
    configured_on: str | None
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
            "configured": None if self.configured is None else float(self.configured),
            "listed": None if self.listed is None else float(self.listed),
            "configured_on": self.configured_on,
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
    prices = _listed(model.model_id, snapshot)
    for ours, theirs in _FIELDS.items():
        configured = getattr(model.prices, ours)
        listed = _per_1k(getattr(prices, theirs, None))
        if configured is None and listed is None:
            continue
        yield Drift(
            model_key=model.key,
            model_id=model.model_id,
            price=ours,
            configured=configured,
            listed=listed,
            configured_on=model.settings.get("price_date"),
            listed_version=listed_version,
        )


def _listed(model_id: str, snapshot: Any) -> Any:
    try:
        _, found = snapshot.find_provider_model(model_id, None, "aws", None)
    except LookupError:
        return None
    from datetime import UTC, datetime

    return found.get_prices(datetime.now(UTC))


def _per_1k(per_million: Any) -> Decimal | None:
    """A price per million as one per thousand; the base price where there are length tiers."""
    if per_million is None:
        return None
    base = getattr(per_million, "base", per_million)
    return Decimal(str(base)) / 1000

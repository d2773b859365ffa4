"""Cells, models and queries as JSON rows, and back: what a ledger remembers of a plan.

Enters: the words of ``domain``. Leaves: values for columns, and equal words again (a model's
``where`` and its secrets aside).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from decimal import Decimal
from typing import Any

from finrag_eval.domain import LengthTier, ModelConfig, Prices, Query
from finrag_eval.record.ledger.texts import strict_json

_SECRET_NAME = re.compile(
    r"secret|password|passwd|credential|api_?key|access_?key|(^|_)(auth|session|bearer)?_?token$",
    re.IGNORECASE,
)
_TUPLES = frozenset({"alt_values", "tickers", "years", "evidence_ids", "tags"})
_DEFAULTS = {
    item.name: item.default if item.default is not MISSING else None for item in fields(Query)
}


def usd_text(amount: Decimal) -> str:
    """The exact amount in plain digits, never in exponent form."""
    return format(amount, "f")


def model_json(model: ModelConfig) -> str:
    """The entry used, prices included; settings whose names speak of secrets are left out."""
    return strict_json(
        {
            "key": model.key,
            "provider": model.provider,
            "model_id": model.model_id,
            "display_name": model.display_name,
            "max_tokens": model.max_tokens,
            "temperature": model.temperature,
            "top_p": model.top_p,
            "context_window": model.context_window,
            "price_as": model.price_as,
            "prices": _prices_object(model.prices),
            "length_tiers": [
                {"above_tokens": tier.above_tokens, "prices": _prices_object(tier.prices)}
                for tier in model.length_tiers
            ],
            "tier_prices": {
                name: _prices_object(prices) for name, prices in model.tier_prices.items()
            },
            "settings": without_secrets(model.settings),
        }
    )


def model_of(text: str) -> ModelConfig:
    """The model of ``model_json``; its ``where`` is not known any more."""
    known = json.loads(text)
    known["prices"] = _prices_of(known["prices"])
    known["length_tiers"] = tuple(
        LengthTier(above_tokens=tier["above_tokens"], prices=_prices_of(tier["prices"]))
        for tier in known["length_tiers"]
    )
    known["tier_prices"] = {
        name: _prices_of(prices) for name, prices in known["tier_prices"].items()
    }
    return ModelConfig(**known)


def query_json(query: Query) -> str:
    """All fields but the question's own context, those with their default value left out."""
    values = {name: getattr(query, name) for name in _DEFAULTS if name != "context"}
    return strict_json(
        {
            name: value
            for name, value in values.items()
            if value != _DEFAULTS[name] and not (name == "metadata" and not value)
        }
    )


def query_of(text: str, context: str | None) -> Query:
    """The query of ``query_json`` with its own context put back."""
    known = json.loads(text)
    for name in _TUPLES & known.keys():
        known[name] = tuple(known[name])
    if isinstance(known.get("expected_answer"), list):
        known["expected_answer"] = tuple(known["expected_answer"])
    return Query(**known, context=context)


def without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings less those that are named like secrets, at any depth."""
    return {
        key: without_secrets(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if not _SECRET_NAME.search(str(key))
    }


def _prices_object(prices: Prices) -> dict[str, str]:
    amounts = {item.name: getattr(prices, item.name) for item in fields(Prices)}
    return {name: usd_text(amount) for name, amount in amounts.items() if amount is not None}


def _prices_of(known: Mapping[str, str]) -> Prices:
    return Prices(**{name: Decimal(amount) for name, amount in known.items()})

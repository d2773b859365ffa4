"""Contexts as text and back: between the sending of a batch job and its collection lie hours.

What a result tells of its context is kept; the passages by themselves, whose text is in the
context already, are not.
"""

from __future__ import annotations

import json
from dataclasses import fields
from decimal import Decimal
from typing import Any

from finrag_eval.synthesis_pipeline.supply_lines import Context

_NOT_KEPT = frozenset({"passages", "kpi_lines"})
_TUPLES = frozenset({"tickers", "years", "sections"})


def context_to_text(context: Context) -> str:
    """The context as JSON."""
    kept: dict[str, Any] = {
        field.name: getattr(context, field.name)
        for field in fields(Context)
        if field.name not in _NOT_KEPT
    }
    return json.dumps({**kept, "cost_usd": str(context.cost_usd)})


def context_of_text(text: str) -> Context:
    """The context that ``context_to_text`` wrote."""
    kept: dict[str, Any] = json.loads(text)
    tuples = {name: tuple(kept[name]) for name in _TUPLES}
    return Context(**{**kept, **tuples, "cost_usd": Decimal(kept["cost_usd"])})

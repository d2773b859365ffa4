"""Listings for the terminal: sweeps, models with their prices, price checks.

Enters: plain objects. Leaves: text that fits the width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from finrag_eval.report.figures import MISSING, count, money, plural, seconds
from finrag_eval.report.grid import Column, Paint, grid

if TYPE_CHECKING:
    from finrag_eval.domain import ModelConfig
    from finrag_eval.price_check import Drift
    from finrag_eval.record.ledger import SweepListing

_STATUS_STYLES = {
    "completed": "good",
    "partial": "warn",
    "failed": "bad",
    "budget_stopped": "warn",
    "interrupted": "warn",
}


def sweeps_table(
    found: Sequence[SweepListing], *, now: float, width: int = 80, colour: bool = False
) -> str:
    """Sweeps, newest first: id, status, trials done, USD and age."""
    columns = [
        Column(title="sweep", is_name=True),
        Column(title="status", is_left=True),
        Column(title="done"),
        Column(title="failed"),
        Column(title="USD"),
        Column(title="age"),
    ]
    rows = [
        [
            one.sweep_id,
            one.status,
            f"{count(one.succeeded + one.failed)}/{count(one.trials_planned)}",
            count(one.failed),
            money(one.spent_usd),
            _age(now, one.started_at),
        ]
        for one in found
    ]
    styles = {(at, 1): _STATUS_STYLES.get(one.status, "dim") for at, one in enumerate(found)}
    return "\n".join(grid(columns, rows, width, Paint(on=colour), styles))


def models_table(
    models: Iterable[ModelConfig], *, default: str | None, broken: Iterable[str], width: int = 80
) -> str:
    """Model keys with provider, limits and USD per 1,000 tokens; what cannot be used last."""
    columns = [
        Column(title="model key", is_name=True),
        Column(title="provider", is_left=True),
        Column(title="max out"),
        Column(title="in /1k"),
        Column(title="out /1k"),
        Column(title="prices of", is_left=True),
    ]
    rows = [
        [
            f"{model.key} *" if model.key == default else model.key,
            model.provider,
            count(model.max_tokens),
            _price(model.prices.cost_per_1k_input),
            _price(model.prices.cost_per_1k_output),
            model.price_as or str(model.settings.get("price_date") or MISSING),
        ]
        for model in models
    ]
    lines = grid(columns, rows, width, Paint())
    lines += ["", "* is the default; a rehearsal model's costs are those of the model it names"]
    lines += [f"not usable: {key} (see `finrag-eval validate`)" for key in broken]
    return "\n".join(lines)


def prices_table(drifts: Sequence[Drift], *, width: int = 80) -> str:
    """Configured beside listed prices, and how many differ."""
    if not drifts:
        return "no model has a price to compare"
    columns = [
        Column(title="model key", is_name=True),
        Column(title="price", is_left=True),
        Column(title="configured"),
        Column(title="listed"),
        Column(title="on", is_left=True),
        Column(title="", is_left=True),
    ]
    rows = [
        [
            drift.model_key,
            _price_name(drift),
            _price(drift.configured),
            _price(drift.listed),
            str(drift.configured_on or MISSING),
            drift.verdict,
        ]
        for drift in drifts
    ]
    differing = sum(drift.verdict == "differs" for drift in drifts)
    differ = "differs" if differing == 1 else "differ"
    lines = grid(columns, rows, width, Paint())
    lines += [
        "",
        f"{differing} of {plural(len(drifts), 'price')} {differ} from {drifts[0].listed_version} "
        f"(its prices of {drifts[0].listed_on}); USD per 1,000 tokens",
    ]
    return "\n".join(lines)


def _price_name(drift: Drift) -> str:
    name = drift.price.removeprefix("cost_per_1k_")
    return name if drift.above_tokens is None else f"{name} above {drift.above_tokens:,}"


def _price(amount: Decimal | None) -> str:
    return MISSING if amount is None else f"{amount.normalize():f}"


def _age(now: float, started_at: float | None) -> str:
    if started_at is None:
        return MISSING
    passed = max(0.0, now - started_at)
    return f"{passed / 86_400:.0f} d" if passed > 2 * 86_400 else seconds(passed)

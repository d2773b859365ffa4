"""What a sweep may still take of the budgets in BUDGET.yaml, before it starts.

Enters: a budget file, a sweep's spec and models, a tracking store and an instant. Leaves: caps,
and a ``BudgetSpec`` lowered to them; from then on METHODS' bound holds for the period, too.

Counted as taken is all that the store has of the period, what ledgers of the output folder know
beyond it (a sweep that died, a store that was away), and the whole rest of the caps of other
sweeps that are under way: two sweeps that start together cannot take the same dollar.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finrag_eval.costs.budget_file import read_budgets
from finrag_eval.costs.budgets import SMALLEST_USD, PeriodBudget, spent_in_period
from finrag_eval.costs.spend import SPENT, no_spend, read_spend
from finrag_eval.domain import BudgetSpec, ModelConfig, SweepSpec
from finrag_eval.record.ledger import LedgerReader, Spent, SweepListing, list_sweeps
from finrag_eval.record.store_uri import sqlite_path
from finrag_eval.record.tracked import TrackedRun, TrackedStore

if TYPE_CHECKING:
    import pandas as pd

#: A sweep of another machine that has shown nothing for so long is taken for dead.
SILENT_AFTER = timedelta(days=1)

#: Caps are rounded down to this part of a dollar.
_STEP = Decimal("0.000001")

#: How a parent run's params name the caps of single models.
_PER_MODEL = "budget.per_model."


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """What one budget leaves to a sweep, in USD; for one model where ``model_key`` is set."""

    budget: str
    limit_usd: Decimal
    left_usd: Decimal
    model_key: str | None = None

    def __str__(self) -> str:
        whose = f" for {self.model_key}" if self.model_key else ""
        return f"budget {self.budget!r}{whose}: ${self.left_usd:f} of ${self.limit_usd:f} is left"


def budget_caps(
    path: Path,
    spec: SweepSpec,
    models: Mapping[str, ModelConfig],
    *,
    tracking_uri: str,
    now: datetime,
    output_dir: Path | None = None,
    sweep_id: str | None = None,
) -> list[Cap]:
    """What is left of every budget that the sweep falls under; none for rehearsals alone.

    ``models`` are all that may be called, judges included; ``sweep_id`` is set where a sweep is
    gone on with. Raises InvalidInput for a wrong file and StoreUnreachable: what cannot be looked
    up is not spent.
    """
    billed = [key for key, model in models.items() if model.cost_basis == "billed"]
    budgets = [one for one in read_budgets(path) if billed and _applies(one, spec, billed)]
    if not budgets:
        return []
    since = min(one.bounds(now)[0] for one in budgets).timestamp()
    spend, under_way = _recorded(tracking_uri, since)
    ledgers = [] if output_dir is None else _ledgers_since(output_dir, since)
    claims = [*_unrecorded(ledgers, spend), *_promised(under_way, ledgers, spend, sweep_id, now)]
    return [_cap(budget, spend, claims, now) for budget in budgets]


def lowered(budget: BudgetSpec, caps: Iterable[Cap], *, spent: Spent | None = None) -> BudgetSpec:
    """The sweep's budget with no cap above what is left; ``spent`` is its own so far.

    A sweep's caps bound all that it ever spends, so its own spending is added to what is left.
    """
    max_usd, per_model = budget.max_usd, dict(budget.per_model)
    for cap in caps:
        if cap.model_key is None:
            own = Decimal(0) if spent is None else spent.total
            max_usd = _lower(max_usd, own + cap.left_usd)
        else:
            own = Decimal(0) if spent is None else spent.per_model.get(cap.model_key, Decimal(0))
            per_model[cap.model_key] = _lower(per_model.get(cap.model_key), own + cap.left_usd)
    return replace(budget, max_usd=max_usd, per_model=per_model)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """USD that another sweep took or may take, and what the scope of a budget is matched with."""

    usd: float
    usd_per_model: Mapping[str, float]
    experiment: str
    environment: str
    models: Sequence[str]
    tags: Mapping[str, str]

    def against(self, budget: PeriodBudget) -> float:
        """What of it counts against a budget."""
        scope = budget.scope
        if scope.experiment not in (None, self.experiment):
            return 0.0
        if scope.environment not in (None, self.environment):
            return 0.0
        if scope.tag is not None and self.tags.get(scope.tag[0]) != scope.tag[1]:
            return 0.0
        if scope.model_key is None:
            return self.usd
        if scope.model_key not in self.models:
            return 0.0
        return min(self.usd, self.usd_per_model.get(scope.model_key, self.usd))


def _applies(budget: PeriodBudget, spec: SweepSpec, billed: Sequence[str]) -> bool:
    claim = _Claim(
        usd=1.0,
        usd_per_model={},
        experiment=spec.experiment,
        environment=spec.environment,
        models=billed,
        tags=spec.tags,
    )
    return claim.against(budget) > 0


def _cap(budget: PeriodBudget, spend: pd.DataFrame, claims: Iterable[_Claim], now: datetime) -> Cap:
    taken = [spent_in_period(budget, spend, now), *(claim.against(budget) for claim in claims)]
    left = budget.limit_usd - Decimal(repr(math.fsum(taken)))
    return Cap(
        budget=budget.name,
        limit_usd=budget.limit_usd,
        left_usd=max(Decimal(0), left.quantize(_STEP, ROUND_FLOOR)),
        model_key=budget.scope.model_key,
    )


def _recorded(uri: str, since: float) -> tuple[pd.DataFrame, list[TrackedRun]]:
    """Whole sweeps and single queries since then, and the sweeps that are under way."""
    path = sqlite_path(uri)
    if path is not None and not path.is_file():
        return no_spend(), []
    store = TrackedStore(uri=uri)
    spend = read_spend(store, since=since, whole_sweeps=True)
    return spend, [run for run in store.sweeps(since=since) if run.is_running]


def _ledgers_since(output_dir: Path, since: float) -> list[SweepListing]:
    return [
        one
        for one in list_sweeps(output_dir)
        if one.problem is None and not one.is_pruned and (one.last_active_at or 0) >= since
    ]


def _unrecorded(ledgers: Iterable[SweepListing], spend: pd.DataFrame) -> Iterator[_Claim]:
    """What ledgers know of real money and the store does not."""
    for listing in ledgers:
        missing = float(listing.spent_usd) - _shown(spend, listing.sweep_id)
        if missing <= SMALLEST_USD:
            continue
        with LedgerReader.open(listing.folder) as reader:
            spec, cells = reader.spec(), reader.cells()
        keys = [cell.model.key for cell in cells if cell.model.cost_basis == "billed"]
        if spec is not None and keys:
            yield _Claim(
                usd=missing,
                usd_per_model={},
                experiment=str(spec.get("experiment", "")),
                environment=str(spec.get("environment", "")),
                models=keys,
                tags={str(key): str(value) for key, value in (spec.get("tags") or {}).items()},
            )


def _promised(
    under_way: Iterable[TrackedRun],
    ledgers: Sequence[SweepListing],
    spend: pd.DataFrame,
    own_id: str | None,
    now: datetime,
) -> Iterator[_Claim]:
    """What other sweeps that are under way may still take under their own caps."""
    here = {listing.sweep_id: listing for listing in ledgers}
    for run in under_way:
        sweep_id = run.tags.get("finrag_eval.sweep_id", "")
        max_usd = _usd_of(run.params.get("budget.max_usd"))
        is_free = run.tags.get("finrag_eval.cost_basis") == "rehearsal" and (
            run.tags.get("finrag_eval.judge_cost_basis") != "billed"
        )
        if sweep_id == own_id or max_usd is None or is_free:
            continue
        listing = here.get(sweep_id)
        if not _is_alive(run, listing, spend, now):
            continue
        spent = _shown(spend, sweep_id) if listing is None else float(listing.spent_usd)
        yield _Claim(
            usd=max(0.0, max_usd - spent),
            usd_per_model={
                key.removeprefix(_PER_MODEL): usd
                for key, text in run.params.items()
                if key.startswith(_PER_MODEL) and (usd := _usd_of(text)) is not None
            },
            experiment=run.experiment,
            environment=run.tags.get("environment", ""),
            models=_models_of(run),
            tags=run.tags,
        )


def _is_alive(
    run: TrackedRun, listing: SweepListing | None, spend: pd.DataFrame, now: datetime
) -> bool:
    """Whether somebody works on the sweep: known here, and guessed for another machine's."""
    if listing is not None:
        return listing.running_pid is not None
    started = spend["started_at"][spend["sweep_id"] == run.tags.get("finrag_eval.sweep_id", "")]
    newest = run.started_at if started.empty else started.max().timestamp()
    return now.timestamp() - newest < SILENT_AFTER.total_seconds()


def _models_of(run: TrackedRun) -> list[str]:
    named = f"{run.params.get('models', '')}, {run.tags.get('finrag_eval.judges', '')}"
    return [key for key in named.split(", ") if key]


def _shown(spend: pd.DataFrame, sweep_id: str) -> float:
    rows: Any = spend[spend["sweep_id"] == sweep_id]
    return math.fsum(amount for name in SPENT for amount in rows[name])


def _usd_of(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _lower(cap: Decimal | None, other: Decimal) -> Decimal:
    return other if cap is None else min(cap, other)

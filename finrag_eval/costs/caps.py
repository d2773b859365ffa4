"""What a sweep may still take of the budgets in BUDGET.yaml, before it starts.

Enters: a budget file, a sweep's spec and models, a tracking store and an instant. Leaves: caps,
and a ``BudgetSpec`` lowered to them; from then on METHODS' bound holds for the period, too.

Counted as taken is all that the store has of the period, and what others claim beyond it
(``claims``): money that only a ledger knows of, and the whole rest of the caps of sweeps that are
under way. Sweeps of one output folder take turns at looking, each until its own caps are in its
ledger: two that start together cannot take the same dollar.
"""

from __future__ import annotations

import fcntl
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from finrag_eval.costs.budget_file import read_budgets
from finrag_eval.costs.budgets import PeriodBudget, spent_in_period
from finrag_eval.costs.claims import Claim, claims_of
from finrag_eval.costs.spend import no_spend, read_spend
from finrag_eval.domain import BudgetSpec, ModelConfig, SweepSpec
from finrag_eval.record.ledger import Spent
from finrag_eval.record.store_uri import sqlite_path
from finrag_eval.record.tracked import TrackedRun, TrackedStore

if TYPE_CHECKING:
    import pandas as pd

#: Who holds this file's lock in the output folder looks what is left, and nobody else.
_TURN_FILE = "budgets.lock"

#: Caps are rounded down to this part of a dollar.
_STEP = Decimal("0.000001")


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
    claims = claims_of(output_dir, under_way, spend, since=since, own_id=sweep_id, now=now)
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


@contextmanager
def budget_turn(output_dir: Path) -> Iterator[None]:
    """The right to look what is left, and to say what of it is taken: one process at a time.

    The kernel lets go of it when the process ends, however it ends.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    with (output_dir / _TURN_FILE).open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _applies(budget: PeriodBudget, spec: SweepSpec, billed: Sequence[str]) -> bool:
    claim = Claim(
        usd=1.0,
        usd_per_model={},
        experiment=spec.experiment,
        environment=spec.environment,
        models=billed,
        tags=spec.tags,
    )
    return claim.against(budget) > 0


def _cap(budget: PeriodBudget, spend: pd.DataFrame, claims: Iterable[Claim], now: datetime) -> Cap:
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


def _lower(cap: Decimal | None, other: Decimal) -> Decimal:
    return other if cap is None else min(cap, other)

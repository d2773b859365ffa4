"""What other sweeps took of a period beyond what the store shows, and what they may still take.

Enters: ledgers of the output folder, runs of the tracking store, an instant. Leaves: a ``Claim``
for each sweep that has any. Of a sweep that is run here, its ledger knows the caps and the money to
the cent; of another folder's, the store has its caps as tags, from soon after its start on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finrag_eval.costs.budgets import SMALLEST_USD, PeriodBudget
from finrag_eval.costs.spend import SPENT
from finrag_eval.domain import Cell
from finrag_eval.record.ledger import LedgerReader, Spent, SweepListing, list_sweeps
from finrag_eval.record.parent import CAPS
from finrag_eval.record.tracked import TrackedRun

if TYPE_CHECKING:
    import pandas as pd

#: A sweep of another machine that has shown nothing for so long is taken for dead.
SILENT_AFTER = timedelta(days=1)

#: How a parent run's params name the caps of its spec.
_MAX_USD, _PER_MODEL = "budget.max_usd", "budget.per_model."


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """USD that another sweep took or may take, and what the scope of a budget is matched with.

    ``usd_per_model`` are smaller bounds for single models, where there are any.
    """

    usd: float
    experiment: str
    environment: str
    models: Sequence[str]
    tags: Mapping[str, str]
    usd_per_model: Mapping[str, float]

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


def claims_of(
    output_dir: Path | None,
    under_way: Iterable[TrackedRun],
    spend: pd.DataFrame,
    *,
    since: float,
    own_id: str | None,
    now: datetime,
) -> list[Claim]:
    """What all sweeps claim beside ``spend``, which has every row of theirs since then.

    ``own_id`` is the sweep that asks: it claims nothing but what only its ledger knows.
    """
    listings = [] if output_dir is None else list_sweeps(output_dir)
    here = {own_id, *(listing.sweep_id for listing in listings)}
    elsewhere = (run for run in under_way if run.tags.get("finrag_eval.sweep_id", "") not in here)
    claims = [
        *(
            _of_ledger(listing, spend, is_own=listing.sweep_id == own_id)
            for listing in listings
            if _may_matter(listing, since)
        ),
        *(_of_run(run, spend, now) for run in elsewhere),
    ]
    return [claim for claim in claims if claim is not None]


def _may_matter(listing: SweepListing, since: float) -> bool:
    """Whether somebody works on the sweep, however long it has been silent, or did so then."""
    if listing.problem is not None or listing.is_pruned:
        return False
    return listing.running_pid is not None or (listing.last_active_at or 0) >= since


def _of_ledger(listing: SweepListing, spend: pd.DataFrame, *, is_own: bool) -> Claim | None:
    """What the ledger knows and the store does not, calls that may yet be billed included, and the
    whole rest of the caps where another process works on it.
    """
    unrecorded = float(listing.spent_usd) - _shown(spend, listing.sweep_id)
    is_running = listing.running_pid is not None and not is_own
    if unrecorded <= SMALLEST_USD and not is_running and listing.is_finished:
        return None
    with LedgerReader.open(listing.folder) as reader:
        sessions, cells = reader.sessions(), reader.cells()
        spent, open_usd = reader.spent(), float(reader.open_usd())
    models = [] if not sessions else _billed(cells, sessions[-1].facts)
    if not models:
        return None
    spec = sessions[-1].spec
    caps = _caps_of(sessions[-1].facts.get(CAPS) or spec.get("budget") or {})
    rest = _rest(caps, spent) if is_running else 0.0
    return Claim(
        usd=max(0.0, unrecorded) + max(open_usd, rest),
        usd_per_model={
            key: max(cap, float(spent.per_model.get(key, 0))) for key, cap in caps.per_model.items()
        },
        experiment=str(spec.get("experiment", "")),
        environment=str(spec.get("environment", "")),
        models=models,
        tags={str(key): str(value) for key, value in (spec.get("tags") or {}).items()},
    )


def _of_run(run: TrackedRun, spend: pd.DataFrame, now: datetime) -> Claim | None:
    """The rest of the caps of another folder's sweep, as far as the store has them."""
    is_free = run.tags.get("finrag_eval.cost_basis") == "rehearsal" and (
        run.tags.get("finrag_eval.judge_cost_basis") != "billed"
    )
    if is_free or not _is_alive(run, spend, now):
        return None
    told = run.tags.get(f"finrag_eval.{CAPS}")
    caps = _caps_of(json.loads(told)) if told else _caps_in(run.params)
    if caps.max_usd is None and not caps.per_model:
        return None
    whole = sum(caps.per_model.values()) if caps.max_usd is None else caps.max_usd
    return Claim(
        usd=max(0.0, whole - _shown(spend, run.tags.get("finrag_eval.sweep_id", ""))),
        usd_per_model=caps.per_model,
        experiment=run.experiment,
        environment=run.tags.get("environment", ""),
        models=_models_of(run),
        tags=run.tags,
    )


def _is_alive(run: TrackedRun, spend: pd.DataFrame, now: datetime) -> bool:
    """Whether another machine seems to work on the sweep."""
    started = spend["started_at"][spend["sweep_id"] == run.tags.get("finrag_eval.sweep_id", "")]
    newest = run.started_at if started.empty else started.max().timestamp()
    return now.timestamp() - newest < SILENT_AFTER.total_seconds()


@dataclass(frozen=True, slots=True)
class _Caps:
    max_usd: float | None
    per_model: Mapping[str, float]


def _caps_of(told: Mapping[str, Any]) -> _Caps:
    """Caps as a session's facts, a tag or a spec's budget tell them."""
    per_model = (told.get("per_model") or {}).items()
    return _Caps(
        _usd_of(told.get("max_usd")),
        {key: usd for key, value in per_model if (usd := _usd_of(value)) is not None},
    )


def _caps_in(params: Mapping[str, str]) -> _Caps:
    """Caps of the spec, as a parent run's params have them."""
    per_model = {
        key.removeprefix(_PER_MODEL): text
        for key, text in params.items()
        if key.startswith(_PER_MODEL)
    }
    return _caps_of({"max_usd": params.get(_MAX_USD), "per_model": per_model})


def _rest(caps: _Caps, spent: Spent) -> float:
    """What the caps still leave; of a sweep without one for the whole, what those of models do."""
    if caps.max_usd is not None:
        return caps.max_usd - float(spent.total)
    return math.fsum(
        max(0.0, cap - float(spent.per_model.get(key, 0))) for key, cap in caps.per_model.items()
    )


def _billed(cells: Iterable[Cell], facts: Mapping[str, Any]) -> list[str]:
    """Model keys of a sweep that cost real money, judges included."""
    keys = [cell.model.key for cell in cells if cell.model.cost_basis == "billed"]
    judges = (facts.get("judges") or {}).items()
    return [*keys, *(key for key, entry in judges if entry.get("provider") != "rehearsal")]


def _models_of(run: TrackedRun) -> list[str]:
    named = f"{run.params.get('models', '')}, {run.tags.get('finrag_eval.judges', '')}"
    return [key for key in named.split(", ") if key]


def _shown(spend: pd.DataFrame, sweep_id: str) -> float:
    rows: Any = spend[spend["sweep_id"] == sweep_id]
    return math.fsum(amount for name in SPENT for amount in rows[name])


def _usd_of(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None

"""Where a running sweep is: counts and money for a live display."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

#: Why no more trials are handed out.
StopReason = Literal["done", "budget", "max_failed", "interrupted", "credentials", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSnapshot:
    """One model: trials under way, how many may be, calls a second (None: unpaced), refusals."""

    under_way: int
    concurrency: int
    per_second: float | None
    throttled: int
    stopped: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The whole sweep: ``held`` trials are with workers and have a place, ``in_flight`` calls."""

    finished: int
    failed: int
    in_flight: int
    held: int
    set_aside: int
    spent_usd: Decimal
    reserved_usd: Decimal
    reason: StopReason | None
    models: Mapping[str, ModelSnapshot]

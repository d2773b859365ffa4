"""What must change in a run that MLflow already has, so that it shows a newer state of its trial.

Enters: the run as it is, and the payload as it should be. Leaves: the difference, as MLflow can
take it: a metric can only get a newer value, a param cannot change at all. Knows no store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from finrag_eval.record.payload import CHANGED_PARAM, CUT_TAG, RunPayload, RunStatus

#: Tags that a newer state may no longer have: then they go, lest an old error stay in view.
_PASSING_TAGS = frozenset(
    {
        "error_message",
        "error_type",
        "stage",
        "stop_reason",
        "tickers",
        "years",
        "finrag_eval.reused",
        "finrag_eval.reused_from",
        CUT_TAG,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingRun:
    """A run as the store has it; metrics are name -> (value, timestamp in ms) of the newest."""

    run_id: str
    status: str
    artifact_uri: str
    end_ms: int | None
    is_deleted: bool
    params: Mapping[str, str]
    metrics: Mapping[str, tuple[float, int]]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What to write into an existing run; metrics are name -> (value, timestamp in ms)."""

    params: Mapping[str, str]
    metrics: Mapping[str, tuple[float, int]]
    tags: Mapping[str, str]
    stale_tags: tuple[str, ...]
    status: RunStatus
    end_ms: int | None

    @property
    def is_empty(self) -> bool:
        """True where params, metrics and tags are as they should be; status apart."""
        return not (self.params or self.metrics or self.tags or self.stale_tags)


def changes(existing: ExistingRun, wanted: RunPayload, *, now_ms: int) -> Changes:
    """The least that makes the run show ``wanted``.

    A param with another value becomes a tag. A metric that is no longer given becomes NaN, since
    MLflow cannot take one back (those of a run that goes on stay, though); each new value is later
    than the one that it replaces, and MLflow shows the latest.
    """
    new_params = {k: v for k, v in wanted.params.items() if k not in existing.params}
    tags = {k: v for k, v in wanted.tags.items() if existing.tags.get(k) != v}
    for name, value in wanted.params.items():
        tag = CHANGED_PARAM + name
        if name in existing.params and existing.params[name] != value:
            if existing.tags.get(tag) != value:
                tags[tag] = value
        elif tag in existing.tags and existing.tags[tag] != value:
            tags[tag] = value
    return Changes(
        params=new_params,
        metrics=_newer_metrics(existing.metrics, wanted, now_ms),
        tags=tags,
        stale_tags=tuple(
            sorted(k for k in existing.tags if k in _PASSING_TAGS and k not in wanted.tags)
        ),
        status=wanted.status,
        end_ms=wanted.end_ms,
    )


def _newer_metrics(
    old: Mapping[str, tuple[float, int]], wanted: RunPayload, now_ms: int
) -> dict[str, tuple[float, int]]:
    end_ms = wanted.end_ms if wanted.end_ms is not None else now_ms
    newer: dict[str, tuple[float, int]] = {}
    for name, value in wanted.metrics.items():
        if name not in old:
            newer[name] = (value, end_ms)
        elif not _same(old[name][0], value):
            newer[name] = (value, max(now_ms, old[name][1] + 1))
    retired = {} if wanted.status == "RUNNING" else old
    for name, (value, at) in retired.items():
        if name not in wanted.metrics and not math.isnan(value):
            newer[name] = (math.nan, max(now_ms, at + 1))
    return newer


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))

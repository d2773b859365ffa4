"""One run as a tracking store has it: the word that readers of a store share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """One run as the store has it; instants are epoch seconds, None while it is running."""

    run_id: str
    experiment: str
    name: str
    status: str
    started_at: float
    ended_at: float | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifact_uri: str = ""

    @property
    def is_running(self) -> bool:
        """Whether the sweep of this run has more to come, as far as the store knows."""
        return self.status == "RUNNING" or self.tags.get("status") == "running"

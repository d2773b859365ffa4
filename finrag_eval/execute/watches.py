"""What can stop a sweep beside its budget: too many failures, and credentials that ran out.

Enters: outcomes and faults as they come. Leaves: whether to go on. Knows no thread.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from finrag_eval.domain import MaxFailed

#: A share of failed trials is judged while running only from that many finished ones on.
FEWEST_TO_JUDGE = 20


class FailureWatch:
    """Counts finished and failed trials against ``on_error.max_failed``."""

    def __init__(self, allowed: MaxFailed, *, finished: int = 0, failed: int = 0) -> None:
        self._allowed = allowed
        self.finished, self.failed = finished, failed
        self._failed_of: Counter[str] = Counter()
        self._stopped: set[str] = set()

    def add(self, model_key: str, *, has_failed: bool) -> None:
        """One more trial finished."""
        self.finished += 1
        if has_failed:
            self.failed += 1
            self._failed_of[model_key] += 1

    def stop_model(self, model_key: str) -> None:
        """Its failures no longer stop other models' trials; ``verdict`` counts them still."""
        self._stopped.add(model_key)

    def is_passed(self) -> bool:
        """Whether the sweep has to stop now."""
        forgiven = sum(self._failed_of[model_key] for model_key in self._stopped)
        share_counts = self.finished >= FEWEST_TO_JUDGE
        return self._is_past(self.failed - forgiven, self.finished, share_counts=share_counts)

    def verdict(self) -> bool:
        """Whether, at the end, more trials failed than allowed."""
        return self._is_past(self.failed, self.finished, share_counts=self.finished > 0)

    def _is_past(self, failed: int, finished: int, *, share_counts: bool) -> bool:
        if self._allowed.count is not None and failed > self._allowed.count:
            return True
        return (
            self._allowed.share is not None
            and share_counts
            and failed > self._allowed.share * finished
        )


@dataclass(slots=True)
class CredentialsPause:
    """Everything of one provider waits, but one call now and then that tries fresh credentials.

    ``probe`` is that call's renewal number; None while none is out.
    """

    since: float
    next_probe_at: float
    probe: int | None = None

    def may_probe(self, now: float) -> bool:
        """Whether a call may go out to see if fresh credentials are there."""
        return self.probe is None and now >= self.next_probe_at


class Credentials:
    """The pauses of all providers. ``renewal`` is the number of the newest try to read anew."""

    def __init__(self, poll_seconds: float, patience_seconds: float) -> None:
        self._poll_seconds, self._patience_seconds = poll_seconds, patience_seconds
        self._pauses: dict[str, CredentialsPause] = {}
        self._works_from: dict[str, int] = {}
        self.renewal = 0

    def pause_of(self, provider: str) -> CredentialsPause | None:
        """The pause that holds this provider's calls; None where they may go."""
        return self._pauses.get(provider)

    def probe(self, provider: str) -> int:
        """Let one call try; the number that makes its client read credentials anew."""
        self.renewal += 1
        self._pauses[provider].probe = self.renewal
        return self.renewal

    def failed(self, provider: str, renewal: int, now: float) -> bool:
        """A call found its credentials expired; True where that begins a pause."""
        pause = self._pauses.get(provider)
        if pause is None:
            if renewal < self._works_from.get(provider, 0):
                return False
            self._pauses[provider] = CredentialsPause(now, now + self._poll_seconds)
            return True
        self.release_probe(provider, renewal, now)
        return False

    def release_probe(self, provider: str, renewal: int, now: float) -> None:
        """The call of that number brought no fresh credentials: the next may try in a while."""
        pause = self._pauses.get(provider)
        if pause is not None and pause.probe == renewal:
            pause.probe, pause.next_probe_at = None, now + self._poll_seconds

    def worked(self, provider: str, renewal: int) -> bool:
        """A call got past its credentials; True where that ends a pause."""
        pause = self._pauses.get(provider)
        if pause is None or pause.probe != renewal:
            return False
        self._works_from[provider] = renewal
        del self._pauses[provider]
        return True

    def is_exhausted(self, provider: str, now: float) -> bool:
        """Whether the pause lasted longer than anyone should wait."""
        pause = self._pauses.get(provider)
        return pause is not None and now - pause.since >= self._patience_seconds

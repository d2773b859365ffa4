"""The gates of a session, one after another: answers first, then each judge.

Enters: gates as they open, and perhaps a stop. Leaves: why the session sent no more. A stop holds
for the gate that is open and for all that are still to come, whenever it is made.
"""

from __future__ import annotations

from finrag_eval.execute.gate import Gate
from finrag_eval.execute.snapshots import StopReason


class Gates:
    """All gates that a session opened so far."""

    def __init__(self) -> None:
        self._opened: list[Gate] = []
        self.is_stopped = False

    def add(self, gate: Gate) -> None:
        """Take a gate that has just been opened; it is stopped at once where all are."""
        self._opened.append(gate)
        if self.is_stopped:
            gate.stop("interrupted")

    def stop(self) -> None:
        """Start no more calls, at this gate and at those to come."""
        self.is_stopped = True
        for gate in self._opened[-1:]:
            gate.stop("interrupted")

    @property
    def reason(self) -> StopReason | None:
        """Why the first gate that did not get through all its trials ended; ``done`` where all did.

        None before the first one, or where the last one has not ended.
        """
        reasons = [gate.reason for gate in self._opened]
        return next((one for one in reasons if one != "done"), "done") if reasons else None

    @property
    def stopped_models(self) -> dict[str, str]:
        """The model keys that any gate stopped, each with its reason."""
        return {key: reason for gate in self._opened for key, reason in gate.stopped_models.items()}

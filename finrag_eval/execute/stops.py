"""Why no more is sent: of a model, or at all.

Enters: reasons. Leaves: refusals, and one plain line each. The lock is the gate's.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition

from finrag_eval.errors import FinragEvalError
from finrag_eval.execute.doorways import Refusal
from finrag_eval.execute.snapshots import StopReason


class Stops:
    """What is stopped so far. ``changed`` wakes whoever waits for its turn to call."""

    def __init__(self, changed: Condition, on_notice: Callable[[str], None]) -> None:
        self.changed = changed
        self.notice = on_notice
        self.reason: StopReason | None = None
        self.models: dict[str, str] = {}
        self.error: str | None = None
        self.cause: FinragEvalError | None = None
        self.is_over = False
        self._on_over: list[Callable[[], None]] = []
        self._on_model: list[Callable[[str], None]] = []

    def listen(self, *, over: Callable[[], None], model: Callable[[str], None]) -> None:
        """Call ``over`` when all stops, ``model`` with the key of a model that stops."""
        self._on_over.append(over)
        self._on_model.append(model)

    def stop(self, reason: StopReason) -> None:
        """Send nothing more; the first reason is kept."""
        with self.changed:
            if self.reason is None:
                self.reason = reason
            self.is_over = True
            self.changed.notify_all()
            for tell in self._on_over:
                tell()

    def stop_model(self, model_key: str, reason: str) -> None:
        """Send nothing more of this model; says so once."""
        with self.changed:
            if model_key in self.models:
                return
            self.models[model_key] = reason
            said = reason.rstrip(".")
            self.notice(f"{model_key} stopped: {said}; its trials not sent yet are not run")
            self.changed.notify_all()
            for tell in self._on_model:
                tell(model_key)

    def fail(self, reason: str, cause: FinragEvalError | None = None) -> None:
        """Stop for something that no trial can help."""
        with self.changed:
            if self.error is None:
                self.error, self.cause = reason, cause
            self.stop("failed")

    def refusal(self, model_key: str) -> Refusal | None:
        """Why a call of this model may not start; None where it may."""
        if self.is_over:
            return Refusal.STOPPING
        return Refusal.MODEL_STOPPED if model_key in self.models else None

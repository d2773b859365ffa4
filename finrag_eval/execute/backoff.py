"""How often and how long apart a failed call is tried again, by class of fault.

Exponential backoff with full jitter and a cap (Brooker 2015, "Exponential Backoff And Jitter").
Throttled calls cost nothing and wait long; others are few, since each may be billed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from finrag_eval.errors import ModelFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """``share`` of ``max_attempts`` that may be made (at least 1), and the delays between them."""

    share: float
    base_s: float
    cap_s: float
    most: int | None = None


#: A throttled call waits for its model's pace besides: a longer cap would only leave one unlucky
#: trial behind at the end of a sweep. While the model takes other calls, throttling is contention,
#: and a trial is patient; while it takes none, ``max_attempts`` is all it gets.
_BY_CLASS: Mapping[str, Patience] = {
    "throttle": Patience(share=4.0, base_s=0.5, cap_s=8.0),
    "starved": Patience(share=1.0, base_s=1.0, cap_s=30.0),
    "transient": Patience(share=1.0, base_s=0.5, cap_s=10.0),
}
_BY_ERROR: Mapping[str, Patience] = {
    # A cold model warms up in tens of seconds; a model's own error seldom passes by itself; each
    # silent call was probably generated and billed.
    "ModelNotReadyException": Patience(share=2.0, base_s=2.0, cap_s=30.0),
    "ModelErrorException": Patience(share=1.0, base_s=0.5, cap_s=10.0, most=3),
    "ModelTimeoutException": Patience(share=1.0, base_s=0.5, cap_s=10.0, most=3),
    "ReadTimeoutError": Patience(share=1.0, base_s=0.5, cap_s=10.0, most=4),
}


class Backoff:
    """The tries of one trial: counts faults by class and says how long to wait for the next."""

    def __init__(self, max_attempts: int, seen: Mapping[str, int] | None = None) -> None:
        self._max_attempts = max_attempts
        self.seen: dict[str, int] = dict(seen or {})

    def delay_after(self, fault: ModelFault, *, is_starved: bool = False) -> float | None:
        """Seconds to wait before the next try; None where there is to be none.

        ``is_starved``: the model has taken no call of anyone since it began to throttle.
        """
        kind = fault.retry
        if kind == "throttle" and is_starved:
            kind = "starved"
        patience = _BY_CLASS.get(kind)
        if patience is not None and fault.error_type in _BY_ERROR:
            kind, patience = fault.error_type, _BY_ERROR[fault.error_type]
        if patience is None:
            return None
        seen = self.seen[kind] = self.seen.get(kind, 0) + 1
        allowed = max(1, round(self._max_attempts * patience.share))
        if patience.most is not None:
            allowed = min(allowed, patience.most)
        if seen >= allowed:
            return None
        return random.uniform(0.0, min(patience.cap_s, patience.base_s * 2.0 ** (seen - 1)))

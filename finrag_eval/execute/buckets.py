"""Token buckets: how many requests and tokens a minute may go out, and when the next may.

Enters: instants of a monotonic clock, given by the caller. Leaves: seconds to wait. Knows no
thread: ``limits`` and ``gate`` hold the lock.
"""

from __future__ import annotations

import math

from finrag_eval.domain import RateLimit

#: Share of a configured rate that is used. The rest absorbs the jitter between a permit and the
#: request's arrival: at 600 rpm one early arrival would otherwise be refused now and then.
USED_SHARE = 0.98
#: Share of one second's worth that a burst may have. What is left lets calls arrive up to half a
#: second closer together than they were let out, as they do on a busy machine, and still pass.
BURST_SHARE = 0.5


class Bucket:
    """A bucket that fills with ``rate`` a second up to ``capacity``.

    One that needs more than the capacity may go when the bucket is full; the level then goes
    below zero, so that the rate holds in the long run.
    """

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self.rate = rate
        self.capacity = capacity
        self._level = capacity
        self._at = now

    def seconds_until(self, needed: float, now: float, *, ahead: float = 0.0) -> float:
        """Seconds until ``needed`` may be taken after ``ahead``; 0 where it may be now."""
        missing = min(needed, self.capacity) + ahead - self._fill(now)
        return missing / self.rate if missing > 1e-9 else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take ``amount``, whatever is there."""
        self._level = self._fill(now) - amount

    def give_back(self, amount: float, now: float) -> None:
        """Put back what was taken and not used; a negative amount takes more."""
        self._level = min(self.capacity, self._fill(now) + amount)

    def set_rate(self, rate: float, capacity: float, now: float) -> None:
        """From ``now`` on, fill at another rate up to another capacity."""
        level = self._fill(now)
        self.rate, self.capacity = rate, capacity
        self._level = min(level, capacity)

    def _fill(self, now: float) -> float:
        if now > self._at:
            self._level = min(self.capacity, self._level + (now - self._at) * self.rate)
            self._at = now
        return self._level


class RateLimiter:
    """Configured requests and tokens a minute of one model (the contract's ``limits``).

    N/60 a second, in bursts of at most N/60 and at least one request.
    """

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._requests = _bucket(limit.rpm, now, at_least=1.0)
        self._tokens = _bucket(limit.tpm, now, at_least=0.0)

    def seconds_until(
        self, now: float, tokens: float, *, ahead: int = 0, tokens_ahead: float = 0.0
    ) -> float:
        """Seconds until a request of ``tokens`` may go, after ``ahead`` others that were let in."""
        wait = 0.0
        if self._requests is not None:
            wait = self._requests.seconds_until(1.0, now, ahead=ahead)
        if self._tokens is not None:
            wait = max(wait, self._tokens.seconds_until(tokens, now, ahead=tokens_ahead))
        return wait

    def take(self, now: float, tokens: float) -> None:
        """Count one request that reserves ``tokens``."""
        if self._requests is not None:
            self._requests.take(1.0, now)
        if self._tokens is not None:
            self._tokens.take(tokens, now)

    def settle(self, now: float, reserved_tokens: float, used_tokens: float) -> None:
        """Replace the reserved tokens by those that were used."""
        if self._tokens is not None:
            self._tokens.give_back(reserved_tokens - used_tokens, now)


def _bucket(per_minute: float | None, now: float, *, at_least: float) -> Bucket | None:
    if per_minute is None or math.isinf(per_minute):
        return None
    rate = per_minute / 60
    return Bucket(rate * USED_SHARE, max(at_least, rate * BURST_SHARE), now)

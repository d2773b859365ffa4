"""A model's own pace, found by what it refuses: no limits need be configured.

Enters: instants at which calls were sent, and whether they were refused. Leaves: how many trials
may be under way at once, and how many calls may go out a second. Knows no thread and no clock.

Works in rounds. When a round has more refusals than usual, the next one is a trial at 95% of the
rate that was accepted. If that halves the refusals, the model has a limit and this is near it;
if it does not, they come by chance (some vendors refuse a share of calls under no limit at all)
and backing off would only starve the sweep, so the pace is restored and that share is usual from
then on, for a while. Otherwise the pace grows a little after each round.
"""

from __future__ import annotations

from finrag_eval.execute.buckets import Bucket

_ROUND_CALLS = 20
_ROUND_SECONDS = 1.0
#: The first round judges a burst into a full bucket: too short a look would take that for a rate.
_FIRST_ROUND_SECONDS = 2.0
_TROUBLE_ABOVE = 0.10
_GROW_BELOW = 0.05
_FLOODED_ABOVE = 0.5
_OUTAGE_ABOVE = 0.9
_GROWTH = 1.1
_GROWTH_UNREFUSED = 1.15
_BELOW_ACCEPTED = 0.95
_SLOWEST = 0.1
_FASTEST = 10_000.0
_USUAL_HOLDS_S = 30.0


class AdaptivePace:
    """How fast one model may be asked, as its own answers tell.

    ``per_second`` is None until the first trouble: a model that never throttles is paced by
    nothing. In-flight calls count as accepted: vendors refuse at once and answer late.
    """

    def __init__(self, ceiling: int, now: float) -> None:
        self._ceiling = float(ceiling)
        self._limit = float(ceiling)
        self._pace: Bucket | None = None
        self._before_test: tuple[float, float | None] | None = None
        self._usual = 0.0
        self._usual_since = now
        self._recovering = False
        self._began = now
        self._round_seconds = _FIRST_ROUND_SECONDS
        self._cut_at = now
        self._sent = self._refused = 0
        self._is_flooded = False
        self.throttled = 0
        self.refused_since: float | None = None

    @property
    def concurrency(self) -> int:
        """Trials of this model that may be under way at once, at least 1."""
        return max(1, int(self._limit))

    @property
    def per_second(self) -> float | None:
        """Requests a second; None while nothing holds them back."""
        return None if self._pace is None else self._pace.rate

    def seconds_until(self, now: float, *, ahead: int = 0) -> float:
        """Seconds until the next request may go after ``ahead`` that were let in before it."""
        return 0.0 if self._pace is None else self._pace.seconds_until(1.0, now, ahead=ahead)

    def sent(self, now: float) -> None:
        """A request goes out."""
        if self._sent >= _ROUND_CALLS and now - self._began >= self._round_seconds:
            self._end_round(now)
        if self._pace is not None:
            self._pace.take(1.0, now)
        self._sent += 1

    def answered(self, sent_at: float, now: float) -> None:
        """The request was not refused, whatever else came of it."""
        self.refused_since = None
        if sent_at < self._cut_at:
            return
        if self._share <= self._usual + _TROUBLE_ABOVE:
            self._limit = min(self._ceiling, self._limit + 1.0)
        if self._recovering and self._pace is not None and sent_at >= self._began:
            self._set_rate(self._pace.rate * 1.5, now)

    def refused(self, sent_at: float) -> None:
        """The request was throttled; ``refused_since`` is since when nothing else was heard."""
        self.throttled += 1
        if self.refused_since is None:
            self.refused_since = sent_at
        if sent_at < self._began:
            return
        self._refused += 1
        if self._sent >= _ROUND_CALLS and self._share > _FLOODED_ABOVE and not self._is_flooded:
            self._is_flooded = True
            self._limit = max(1.0, self._limit / 2)

    @property
    def _share(self) -> float:
        return self._refused / self._sent if self._sent else 0.0

    def _end_round(self, now: float) -> None:
        share = self._share
        accepted = (self._sent - self._refused) / (now - self._began)
        if now - self._usual_since > _USUAL_HOLDS_S:
            self._usual, self._usual_since = 0.0, now
        if self._before_test is not None:
            self._judge_test(share, *self._before_test, now)
        elif share > self._usual + _TROUBLE_ABOVE:
            self._test(share, accepted, now)
        elif self._pace is not None and share <= self._usual + _GROW_BELOW:
            growth = _GROWTH if self._refused else _GROWTH_UNREFUSED
            self._set_rate(self._pace.rate * growth, now)
        self._recovering = share > _OUTAGE_ABOVE
        self._began, self._round_seconds = now, _ROUND_SECONDS
        self._sent = self._refused = 0
        self._is_flooded = False

    def _test(self, share: float, accepted: float, now: float) -> None:
        self._before_test = share, self.per_second
        self._cut_at = now
        self._set_rate(accepted * _BELOW_ACCEPTED, now)

    def _judge_test(
        self, share: float, share_before: float, rate_before: float | None, now: float
    ) -> None:
        self._before_test = None
        has_helped = share < share_before / 2
        if has_helped:
            return
        if share > _OUTAGE_ABOVE:
            assert self._pace is not None
            self._limit = max(1.0, self._limit / 2)
            self._set_rate(self._pace.rate / 2, now)
            return
        self._usual, self._usual_since = share, now
        if rate_before is None:
            self._pace = None
        else:
            self._set_rate(rate_before, now)

    def _set_rate(self, rate: float, now: float) -> None:
        rate = min(_FASTEST, max(_SLOWEST, rate))
        capacity = max(1.0, rate / 4)
        if self._pace is None:
            self._pace = Bucket(rate, capacity, now)
            self._pace.take(capacity, now)
        else:
            self._pace.set_rate(rate, capacity, now)

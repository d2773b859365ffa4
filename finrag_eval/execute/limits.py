"""All that holds one model's calls back: configured limits, its own pace, and what calls weigh.

Enters: prompt sizes before calls, usage after. Leaves: seconds to wait. Bedrock counts a call
against tokens a minute by its prompt and ``max_tokens`` when it starts, and by its prompt, cache
writes and output (times a burndown) when it ends; cache reads count nothing then. Knows no thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from finrag_eval.domain import ModelConfig, RateLimit, Usage
from finrag_eval.execute.adaptive import AdaptivePace
from finrag_eval.execute.buckets import RateLimiter

#: Prompt tokens per UTF-8 byte before any usage of the model was seen: dense figures, not prose.
_FIRST_TOKENS_PER_BYTE = 1 / 3


def output_burndown(model: ModelConfig) -> float:
    """Quota tokens that one output token takes: ``output_burndown`` of the entry, else 1."""
    configured = model.settings.get("output_burndown")
    is_number = isinstance(configured, int | float) and not isinstance(configured, bool)
    return float(configured) if is_number else 1.0  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """One request that was let out: when, and the quota tokens reserved for it."""

    sent_at: float
    tokens: float
    prompt_bytes: int


class ModelLimits:
    """The limits of one model, shared by all its cells.

    ``under_way`` counts trials that workers hold, waiting ones included; ``ahead`` those of them
    that were let in and have not taken their permit yet. Of ``spare`` trials more than may be
    under way, a share like the pace's own may be made ready.
    """

    def __init__(
        self,
        model: ModelConfig | None,
        limit: RateLimit | None,
        ceiling: int,
        now: float,
        *,
        spare: int = 0,
    ) -> None:
        self._ceiling, self._spare = ceiling, spare
        self._limiter = RateLimiter(limit or RateLimit(), now)
        self._burndown = 1.0 if model is None else output_burndown(model)
        self._tokens_per_byte = _FIRST_TOKENS_PER_BYTE
        self._typical_tokens = 0.0
        self._typical_output = 0.0
        self.pace = AdaptivePace(ceiling, now)
        self.under_way = 0
        self.ahead = 0

    def seconds_until_open(self, now: float) -> float | None:
        """Seconds until another trial may be handed out; None until one under way has ended."""
        may_be = self.pace.concurrency
        if self.under_way >= may_be + self._spare * may_be // self._ceiling:
            return None
        typical = self._typical_tokens
        return max(
            self._limiter.seconds_until(
                now, typical, ahead=self.ahead, tokens_ahead=self.ahead * typical
            ),
            self.pace.seconds_until(now, ahead=self.ahead),
        )

    def quota_tokens(self, prompt_bytes: int, max_tokens: int) -> float:
        """What a call will count at its dearest moment, as far as can be told before it.

        That is when it starts (``max_tokens``), or, with a burndown, when it ends: to count it
        only then would let calls out that the server, which knows sooner, refuses.
        """
        output = max(float(max_tokens), self._typical_output * self._burndown)
        return prompt_bytes * self._tokens_per_byte + output

    def seconds_until_sent(self, now: float, tokens: float) -> float:
        """Seconds until a call of that many quota tokens may be sent."""
        return max(self._limiter.seconds_until(now, tokens), self.pace.seconds_until(now))

    def send(self, now: float, prompt_bytes: int, max_tokens: int) -> Permit:
        """Let one call out, now."""
        tokens = self.quota_tokens(prompt_bytes, max_tokens)
        self._limiter.take(now, tokens)
        self.pace.sent(now)
        self._typical_tokens += 0.1 * (tokens - self._typical_tokens)
        return Permit(sent_at=now, tokens=tokens, prompt_bytes=prompt_bytes)

    def settle(self, permit: Permit, now: float, *, usage: Usage | None, throttled: bool) -> None:
        """What came of the call. A throttled one took nothing; one without usage all of it."""
        if throttled:
            self._limiter.settle(now, permit.tokens, 0.0)
            self.pace.refused(permit.sent_at)
            return
        self.pace.answered(permit.sent_at, now)
        if usage is not None:
            self._learn(permit, usage)
            self._limiter.settle(now, permit.tokens, self._used(usage))

    def _used(self, usage: Usage) -> float:
        return usage.input_tokens + usage.cache_write_tokens + usage.output_tokens * self._burndown

    def _learn(self, permit: Permit, usage: Usage) -> None:
        """Keep the densest recent prompt as the estimate, forgetting it slowly."""
        if permit.prompt_bytes <= 0:
            return
        prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        seen = min(1.0, prompt / permit.prompt_bytes)
        before = self._tokens_per_byte
        self._tokens_per_byte = max(seen, before + 0.05 * (seen - before))
        output, usual = float(usage.output_tokens), self._typical_output
        self._typical_output = max(output, usual + 0.05 * (output - usual))

"""What the loopback server does with each call: a programme, read from JSON.

Keys, all optional:
  seed            of every choice by chance; the same call on the same try gets the same fate
  latency_s       seconds before an answer; latency_jitter: share of it, up and down
  output_tokens   of every answer; else 20 to 83, by the prompt's hash
  output_spread   {median, sigma}: lognormal lengths instead, by the seed and the prompt's hash
  rates           {fault: share}: chances of faults, by call
  scripts         [{match, model, faults, then}]: calls whose prompt (and model id) contain these
                  texts get these fates in turn, by try of that prompt; `then` (default "ok") after
  quota           {model id or "*": {rpm, tpm, burndown}}: true quotas, bursts of one second's worth
  answers         [{match, answer, bare}]: what is said to prompts that contain a text; a bare
                  answer is said without the hash of its prompt behind it
  expired_keys    access keys of which every call is refused as expired
  drip_s          seconds between the bytes of a dripped body
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any


class Bucket:
    """A quota: fills with ``rate`` a second up to ``capacity``, and begins full."""

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self.rate, self.capacity, self.level, self.at = rate, capacity, capacity, now

    def _fill(self, now: float) -> None:
        self.level = min(self.capacity, self.level + (now - self.at) * self.rate)
        self.at = now

    def has(self, amount: float, now: float) -> bool:
        self._fill(now)
        return self.level >= min(amount, self.capacity) - 1e-9

    def take(self, amount: float) -> None:
        self.level -= amount

    def give_back(self, amount: float, now: float) -> None:
        self._fill(now)
        self.level = min(self.capacity, self.level + amount)


class Quota:
    """Requests and tokens a minute of one model, as Bedrock counts them."""

    def __init__(self, spec: dict[str, Any], now: float) -> None:
        rpm, tpm = spec.get("rpm"), spec.get("tpm")
        self.burndown = spec.get("burndown", 1)
        self.requests = Bucket(rpm / 60, max(1.0, rpm / 60), now) if rpm else None
        self.tokens = Bucket(tpm / 60, tpm / 60, now) if tpm else None

    def admit(self, reserved: float, now: float) -> str | None:
        """The fault of a call over quota; None where it is let in."""
        if self.requests is not None and not self.requests.has(1.0, now):
            return "throttle"
        if self.tokens is not None and not self.tokens.has(reserved, now):
            return "throttle_tokens"
        if self.requests is not None:
            self.requests.take(1.0)
        if self.tokens is not None:
            self.tokens.take(reserved)
        return None

    def settle(self, reserved: float, used: float, now: float) -> None:
        if self.tokens is not None:
            self.tokens.give_back(reserved - used, now)


@dataclass
class Programme:
    """A programme with its state."""

    spec: dict[str, Any] = field(default_factory=dict)
    quotas: dict[str, Quota] = field(default_factory=dict)
    tries: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def drip_s(self) -> float:
        return float(self.spec.get("drip_s", 0.2))

    def is_expired(self, signature: str) -> bool:
        """Whether a request was signed by one of the expired keys."""
        keys = self.spec.get("expired_keys", ())
        return any(f"credential={key.lower()}/" in signature for key in keys)

    def next_try(self, model: str, prompt_hash: str) -> int:
        """Which try of this prompt at this model this is, from 1."""
        key = (model, prompt_hash)
        self.tries[key] = self.tries.get(key, 0) + 1
        return self.tries[key]

    def quota(self, model: str, now: float) -> Quota | None:
        if model not in self.quotas:
            quotas = self.spec.get("quota", {})
            spec = quotas.get(model, quotas.get("*"))
            if spec is None:
                return None
            self.quotas[model] = Quota(spec, now)
        return self.quotas[model]

    def fate(self, model: str, prompt: str, prompt_hash: str, number: int) -> str:
        """What becomes of this try: ``ok``, or the name of a fault."""
        for script in self.spec.get("scripts", ()):
            if script.get("match", "") in prompt and script.get("model", "") in model:
                faults = script.get("faults", ())
                return faults[number - 1] if number <= len(faults) else script.get("then", "ok")
        chance = self._chance(model, prompt_hash, number, "fate")
        for fault, share in self.spec.get("rates", {}).items():
            if chance < share:
                return str(fault)
            chance -= share
        return "ok"

    def latency(self, model: str, prompt_hash: str, number: int) -> float:
        latency = float(self.spec.get("latency_s", 0.0))
        jitter = float(self.spec.get("latency_jitter", 0.0))
        if not jitter:
            return latency
        return latency * (1 + jitter * (2 * self._chance(model, prompt_hash, number, "lag") - 1))

    def output_tokens(self, prompt_hash: str, most: int) -> int:
        told = self.spec.get("output_tokens")
        if spread := self.spec.get("output_spread"):
            chance = random.Random(f"{self.spec.get('seed')}/{prompt_hash}")
            told = spread["median"] * math.exp(chance.gauss(0, spread["sigma"]))
        wanted = 20 + int(prompt_hash[:2], 16) % 64 if told is None else int(told)
        return max(1, min(most, wanted))

    def is_bare(self, prompt: str) -> bool:
        """Whether this prompt's answer is said without the prompt's hash."""
        return any(
            entry.get("bare") and entry["match"] in prompt for entry in self.spec.get("answers", ())
        )

    def answer(self, prompt: str) -> str:
        for entry in self.spec.get("answers", ()):
            if entry["match"] in prompt:
                return str(entry["answer"])
        return "Net sales were $1,234 million."

    def _chance(self, model: str, prompt_hash: str, number: int, what: str) -> float:
        seed = f"{self.spec.get('seed', 0)}/{model}/{prompt_hash}/{number}/{what}"
        return random.Random(seed).random()

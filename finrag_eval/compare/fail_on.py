"""Gates as the command line writes them: ``--fail-on 'score.numeric < -0.02'``.

| written | gate |
| --- | --- |
| ``score.NAME < X`` (also ``score.NAME.delta < X``) | ``min_delta: X`` |
| ``score.NAME.mean < X`` | ``min_mean: X`` |
| ``cost_usd.ratio > X``, ``latency_total_seconds.ratio > X``, ``total_tokens.ratio > X`` | \
``max_ratio: X`` |
| ``latency_total_seconds.p95 > X`` | ``max_p95_seconds: X`` |
| ``cost_usd.total > X`` | ``max_usd: X`` |

A condition says when to fail, a gate what must hold. Both are judged alike: a difference fails
already where its interval reaches the bound.
"""

from __future__ import annotations

import math
import re

from finrag_eval.compare.columns import is_score
from finrag_eval.domain import GateSpec
from finrag_eval.errors import InvalidInput, Problem

_CONDITION = re.compile(r"^\s*(?P<metric>[\w.]+?)\s*(?P<sign><=?|>=?)\s*(?P<bound>\S+?)\s*$")
_PARTS = {
    ("delta", "<"): "min_delta",
    ("mean", "<"): "min_mean",
    ("ratio", ">"): "max_ratio",
    ("p95", ">"): "max_p95_seconds",
    ("total", ">"): "max_usd",
}
_FIX = "write it like 'score.numeric < -0.02' or 'cost_usd.ratio > 1.2'"


def parse_condition(text: str) -> GateSpec:
    """The gate that a condition stands for; raises InvalidInput."""
    found = _CONDITION.match(text)
    if found is None:
        raise _invalid(text, "is no condition")
    metric, sign = found["metric"], found["sign"][0]
    base, dot, part = metric.rpartition(".")
    if not dot or part not in {name for name, _ in _PARTS} or base == "score":
        base, part = metric, "delta"
    rule = _PARTS.get((part, sign))
    if rule is None:
        other = "<" if sign == ">" else ">"
        raise _invalid(
            text,
            f"asks whether {part} is too {'high' if sign == '>' else 'low'}, "
            f"and {part} is judged with '{other}'",
        )
    if (rule in ("min_delta", "min_mean")) != is_score(base):
        kinds = "scores" if rule in ("min_delta", "min_mean") else "cost, latency and tokens"
        raise _invalid(text, f"{rule} can only be asked of {kinds}")
    if (rule == "max_usd" and base != "cost_usd") or (
        rule == "max_p95_seconds" and not base.endswith("_seconds")
    ):
        raise _invalid(text, f"{rule} cannot be asked of {base}")
    return GateSpec(metric=base, rule=rule, bound=_bound(text, found["bound"]))


def _bound(text: str, written: str) -> float:
    try:
        bound = float(written)
    except ValueError:
        bound = math.nan
    if not math.isfinite(bound):
        raise _invalid(text, f"{written!r} is no number")
    return bound


def _invalid(text: str, message: str) -> InvalidInput:
    return InvalidInput(
        [Problem(file="command line", key="--fail-on", message=f"{text!r} {message}", fix=_FIX)]
    )

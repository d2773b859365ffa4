"""What differs between two sweeps besides the candidate: said before anything is compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: Facts without which figures of two sweeps do not mean the same: what ``--strict`` refuses.
_WEIGHTY = ("query_set", "scorers", "scorer_code", "retrieval", "corpus", "kpi_facts")
_ABSENT = "absent"
_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One fact that differs. ``matters`` where the comparison itself is in doubt by it."""

    what: str
    baseline: str
    candidate: str
    matters: bool

    @property
    def sentence(self) -> str:
        return f"{self.what} differs: {self.baseline} in the baseline, {self.candidate} now"

    def as_dict(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "baseline": self.baseline,
            "candidate": self.candidate,
            "matters": self.matters,
        }


def differences(
    baseline: Mapping[str, Any], candidate: Mapping[str, Any]
) -> tuple[Difference, ...]:
    """Every fact that differs, those that matter first; nested facts are named with dots."""
    before, after = dict(_flat(baseline)), dict(_flat(candidate))
    found = [
        Difference(
            what=what,
            baseline=_told(before, what),
            candidate=_told(after, what),
            matters=what.split(".")[0] in _WEIGHTY,
        )
        for what in dict.fromkeys([*before, *after])
        if before.get(what, _ABSENT) != after.get(what, _ABSENT)
    ]
    return tuple(sorted(found, key=lambda one: not one.matters))


def _flat(facts: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, Any]]:
    for name, fact in facts.items():
        path = f"{under}{name}"
        if isinstance(fact, Mapping):
            yield from _flat(fact, f"{path}.")
        else:
            yield path, fact


def _told(facts: Mapping[str, Any], what: str) -> str:
    if what not in facts:
        return _ABSENT
    text = str(facts[what])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"

"""Comparisons and gates as GitHub-flavoured Markdown, for the page of a CI job.

Names and query ids come from files of users; nothing of theirs is markup here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from finrag_eval.compare.comparing import Comparison
from finrag_eval.compare.differences import Difference
from finrag_eval.compare.gates import GateResult

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$-])")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_LISTED = 10
_SYMBOLS = {"better": "▲ better", "worse": "▼ worse", "equivalent": "= equivalent"}


def comparison_markdown(
    comparisons: Sequence[Comparison],
    gates: Sequence[GateResult] = (),
    differences: Sequence[Difference] = (),
) -> str:
    """What differs besides the candidate, the comparisons, the queries behind them, the gates."""
    parts = [
        _differences(differences),
        _table(comparisons),
        _queries(comparisons),
        _gates(gates),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def safe(text: str) -> str:
    """The text on one line with every character of markup escaped."""
    return _MARKUP.sub(r"\\\1", _CONTROL.sub(" ", text))


def _differences(differences: Iterable[Difference]) -> str:
    lines = [
        f"- {'**' if one.matters else ''}{safe(one.sentence)}{'**' if one.matters else ''}"
        for one in differences
    ]
    return "\n".join(["### What differs besides the candidate", "", *lines]) if lines else ""


def _table(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return "Nothing was compared."
    head = ("candidate", "baseline", "metric", "pairs", "difference (95%)", "ratio (95%)", "p adj.")
    rows = [
        f"| {' | '.join((*head, 'verdict'))} |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    rows += [f"| {' | '.join(_cells(one))} |" for one in comparisons]
    warnings = {f"{one.warning}" for one in comparisons if one.warning}
    notes = [f"> {safe(warning)}" for warning in sorted(warnings)]
    return "\n".join(["### Comparisons", "", *rows, *(["", *notes] if notes else [])])


def _cells(one: Comparison) -> tuple[str, ...]:
    pairs = f"{one.n_pairs}" + (f" ({one.n_missing} missing)" if one.n_missing else "")
    ratio = _interval(one.ratio, one.ratio_ci_low, one.ratio_ci_high, "")
    return (
        safe(one.candidate),
        safe(one.baseline),
        safe(one.metric),
        pairs,
        _interval(one.delta, one.ci_low, one.ci_high, "+"),
        ratio,
        "–" if one.p_adjusted is None else f"{one.p_adjusted:.3g}",
        _SYMBOLS.get(one.verdict, one.verdict) + _settling(one),
    )


def _settling(one: Comparison) -> str:
    if one.verdict != "inconclusive" or one.queries_needed is None:
        return ""
    return f" (about {one.queries_needed:,} queries would settle it)"


def _interval(middle: float | None, low: float | None, high: float | None, sign: str) -> str:
    if middle is None:
        return "–"
    told = f"{middle:{sign}.4g}"
    return told if low is None or high is None else f"{told} [{low:{sign}.4g}, {high:{sign}.4g}]"


def _queries(comparisons: Iterable[Comparison]) -> str:
    lines = []
    for one in comparisons:
        for word, ids in (("better", one.improved), ("worse", one.worsened)):
            if ids:
                shown = ", ".join(safe(query_id) for query_id in ids[:_LISTED])
                more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
                subject = f"{safe(one.metric)} of {safe(one.candidate)}"
                lines.append(f"- {subject}: {len(ids)} {word}: {shown}{more}")
    return "\n".join(["### Queries behind it", "", *lines]) if lines else ""


def _gates(gates: Iterable[GateResult]) -> str:
    lines = [
        f"- {'✅ pass' if gate.passed else '❌ **FAIL**'}: {safe(gate.sentence)}"
        + (f" — {safe(gate.reason)}" if gate.reason else "")
        for gate in gates
    ]
    return "\n".join(["### Gates", "", *lines]) if lines else ""

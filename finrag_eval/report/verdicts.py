"""The result in words: which cell, how sure, what it costs.

Enters: a ``Sheet``. Leaves: a ``Verdict`` of plain sentences. A cell is called better or worse
only where a comparison says so after its correction for many comparisons; where nothing was
compared, nothing is said about a winner.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from finrag_eval.report.cautions import cautions, failures_by_kind
from finrag_eval.report.figures import (
    MISSING,
    change,
    count,
    is_missing,
    money,
    plural,
    probability,
    ratio,
    score,
    seconds,
)
from finrag_eval.report.sheet import CellFigures, ComparisonFigures, Sheet

Tone = Literal["better", "worse", "equivalent", "mixed", "inconclusive", "plain"]


#: What is said of a candidate besides its scores; other metrics stand in tables alone.
_RESOURCES = {"cost_usd": "cost", "latency_total_seconds": "time to an answer"}
#: Less than this is shown as nothing.
_SHOWN = 0.0005
#: So many cells are priced in words.
_MOST_PRICES = 5
#: So many better candidates are named in the headline.
_MOST_NAMED = 2
_ORDER: tuple[Tone, ...] = (
    "better",
    "mixed",
    "equivalent",
    "inconclusive",
    "plain",
    "worse",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One figure of a cell: metric, amount, verdict, its 95% interval, and what it rests on."""

    metric: str
    amount: str
    verdict: str
    interval: str
    detail: str

    @property
    def sentence(self) -> str:
        """``numeric: better, +0.153, 95% interval ...`` as one sentence."""
        interval = f"95% interval {self.interval}" if self.interval else ""
        parts = (self.verdict, self.amount, interval, self.detail)
        return f"{self.metric}: {', '.join(part for part in parts if part)}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is to be said about one cell; ``tone`` is for its mark, the words say it all."""

    cell: str
    tone: Tone
    title: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A headline, what the cells cost, a finding per candidate, and what to keep in mind."""

    headline: str
    price: str
    findings: tuple[Finding, ...]
    cautions: tuple[str, ...]


def verdict(sheet: Sheet) -> Verdict:
    """The sheet's result in words."""
    findings = _compared(sheet) if sheet.comparisons else _described(sheet)
    return Verdict(
        headline=_headline(sheet, findings),
        price=_price_sentence(sheet, findings),
        findings=findings,
        cautions=tuple(cautions(sheet)),
    )


# ---- headline


def _headline(sheet: Sheet, findings: tuple[Finding, ...]) -> str:
    if not sheet.cells:
        return "No cell has a result yet."
    if sheet.failed and not sheet.succeeded:
        kinds = failures_by_kind(sheet)
        why = f", most often with {kinds[0][0]}" if kinds else ""
        return f"Nothing was answered: {plural(sheet.failed, 'trial')} failed{why}."
    if not sheet.comparisons:
        return _headline_without_comparison(sheet)
    gates = _gate_clause(sheet)
    for tone, words in (("better", "better than"), ("mixed", "differently from")):
        chosen = [finding for finding in findings if finding.tone == tone]
        if len(chosen) == 1:
            price = _price_clause(sheet, chosen[0].cell)
            return f"{chosen[0].cell} answers {words} {sheet.baseline}{price}.{gates}"
        if chosen:
            return f"{_several(sheet, chosen, findings)} answer {words} {sheet.baseline}.{gates}"
    return _headline_without_winner(sheet, findings) + gates


def _several(sheet: Sheet, chosen: list[Finding], findings: tuple[Finding, ...]) -> str:
    """A few candidates by name with their prices, more by their number."""
    if len(chosen) > _MOST_NAMED:
        return f"{len(chosen)} of {len(findings)} candidates"
    names = [
        f"{one.cell} ({price.removeprefix(', ')})" if price else one.cell
        for one in chosen
        for price in [_price_clause(sheet, one.cell)]
    ]
    return " and ".join(names)


def _headline_without_comparison(sheet: Sheet) -> str:
    if len(sheet.cells) == 1:
        cell = sheet.cells[0]
        return f"{cell.name} answered {count(cell.succeeded)} of {count(cell.trials)} questions."
    return (
        f"{len(sheet.cells)} cells ran and none was compared: without a baseline no difference "
        "between them was tested."
    )


def _headline_without_winner(sheet: Sheet, findings: tuple[Finding, ...]) -> str:
    worse = [finding for finding in findings if finding.tone == "worse"]
    equal = [finding for finding in findings if finding.tone == "equivalent"]
    if len(equal) == 1 and len(findings) == 1:
        price = _price_clause(sheet, equal[0].cell)
        return f"{equal[0].cell} answers as well as {sheet.baseline}{price}."
    if worse and len(worse) == len(findings):
        whom = worse[0].cell if len(worse) == 1 else f"All {len(worse)} candidates"
        return f"{whom} answer{'s' if len(worse) == 1 else ''} worse than {sheet.baseline}."
    if worse or equal:
        parts = [
            f"{len(group)} {words}"
            for group, words in (
                (equal, "answer as well as the baseline"),
                (worse, "answer worse"),
            )
            if group
        ]
        rest = len(findings) - len(worse) - len(equal)
        parts += [f"{rest} could not be told from it"] if rest else []
        return (
            f"No candidate answers better than {sheet.baseline}: of {len(findings)}, "
            + ", ".join(parts)
            + "."
        )
    return f"No candidate could be told from {sheet.baseline} by the quality of its answers."


def _price_clause(sheet: Sheet, candidate: str) -> str:
    """`` at 1.13× the cost (...)``; empty where the cost was not compared or has no ratio."""
    for one in sheet.comparisons:
        if one.candidate == candidate and one.metric == "cost_usd" and not is_missing(one.ratio):
            return f", at {ratio(one.ratio)} the cost"
    return ""


def _price_sentence(sheet: Sheet, findings: tuple[Finding, ...]) -> str:
    """What 1,000 questions cost with the baseline and the candidates; empty without prices."""
    prices = {cell.name: cell.cost.get("per_1000_queries") for cell in sheet.cells}
    names = dict.fromkeys((sheet.baseline or "", *(finding.cell for finding in findings)))
    known = [name for name in names if prices.get(name) is not None]
    if len(known) < 2:
        return ""
    parts = [f"{money(prices[name])} with {name}" for name in known[:_MOST_PRICES]]
    more = len(known) - len(parts)
    tail = f"; {plural(more, 'more cell is', 'more cells are')} in the table" if more else ""
    return f"1,000 questions cost {', '.join(parts[:-1])} and {parts[-1]}{tail}."


def _gate_clause(sheet: Sheet) -> str:
    failed = sum(not gate.passed for gate in sheet.gates)
    if not sheet.gates:
        return ""
    if failed:
        return f" {plural(failed, 'gate')} of {len(sheet.gates)} failed."
    return " All gates passed." if len(sheet.gates) > 1 else " The gate passed."


# ---- findings


def _compared(sheet: Sheet) -> tuple[Finding, ...]:
    """A finding per candidate, what decides first: better, mixed, equal, undecided, worse."""
    candidates = dict.fromkeys(one.candidate for one in sheet.comparisons)
    findings = [
        _finding(sheet, name, [one for one in sheet.comparisons if one.candidate == name])
        for name in candidates
    ]
    return tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.tone)))


def _finding(sheet: Sheet, name: str, comparisons: list[ComparisonFigures]) -> Finding:
    scores = [one for one in comparisons if one.is_score]
    others = [one for one in comparisons if one.metric in _RESOURCES]
    tone = _tone(scores)
    titles = {
        "better": "answers better than the baseline",
        "worse": "answers worse than the baseline",
        "mixed": "answers better in some scores and worse in others",
        "equivalent": "answers as well as the baseline, within the margin",
        "inconclusive": "cannot be told from the baseline by its answers",
        "plain": "was compared by cost and time alone",
    }
    cells = {cell.name: cell for cell in sheet.cells}
    statements = [_score_statement(one) for one in scores]
    statements += [_resource_statement(one, cells) for one in others]
    return Finding(cell=name, tone=tone, title=titles[tone], statements=tuple(statements))


def _tone(scores: Iterable[ComparisonFigures]) -> Tone:
    verdicts = {one.verdict for one in scores}
    if {"better", "worse"} <= verdicts:
        return "mixed"
    for tone in ("better", "worse"):
        if tone in verdicts:
            return "better" if tone == "better" else "worse"
    if not verdicts:
        return "plain"
    return "equivalent" if verdicts == {"equivalent"} else "inconclusive"


def _score_statement(one: ComparisonFigures) -> Statement:
    return Statement(
        metric=one.label,
        amount=change(one.delta),
        verdict=one.verdict,
        interval="" if _is_the_same(one) else _ends(change(one.low), change(one.high)),
        detail=f"{_means(one)}{_evidence(one)}{_open_question(one)}",
    )


def _is_the_same(one: ComparisonFigures) -> bool:
    """Whether no question has another score in the candidate than in the baseline."""
    return one.n_pairs > 0 and one.low == one.high == one.delta == 0


def _means(one: ComparisonFigures) -> str:
    """Means over the pairs, and how many questions went which way, where they are known."""
    parts = []
    if not is_missing(one.baseline_mean) and not is_missing(one.candidate_mean):
        parts.append(f"{score(one.baseline_mean)} → {score(one.candidate_mean)}; ")
    if one.n_improved or one.n_worsened:
        parts.append(f"{count(one.n_improved)} better, {count(one.n_worsened)} worse; ")
    return "".join(parts)


def _resource_statement(one: ComparisonFigures, cells: dict[str, CellFigures]) -> Statement:
    has_ratio = not is_missing(one.ratio)
    ends = (one.ratio_low, one.ratio_high) if has_ratio else (one.low, one.high)
    write = ratio if has_ratio else change
    return Statement(
        metric=_RESOURCES[one.metric],
        amount=ratio(one.ratio) if has_ratio else change(one.delta),
        verdict=one.verdict,
        interval=_ends(write(ends[0]), write(ends[1])),
        detail=f"{_resource_figures(one, cells)}{_evidence(one)}",
    )


def _resource_figures(one: ComparisonFigures, cells: dict[str, CellFigures]) -> str:
    before, after = cells.get(one.baseline), cells.get(one.candidate)
    if before is None or after is None or not one.n_pairs:
        return ""
    if one.metric == "cost_usd":
        pair = [money(cell.cost.get("per_1000_queries")) for cell in (before, after)]
        return f"{pair[0]} → {pair[1]} per 1,000 questions; {_per_right(before, after)}"
    if one.metric == "latency_total_seconds":
        pair = [seconds(cell.latency.get("p50")) for cell in (before, after)]
        return f"median {pair[0]} → {pair[1]}; "
    return ""


def _per_right(before: CellFigures, after: CellFigures) -> str:
    """USD for each right answer by the first 0/1 score; empty where either has none."""
    for name, old in before.scores.items():
        new = after.scores.get(name)
        if new is None or old.usd_per_correct is None or new.usd_per_correct is None:
            continue
        pair = f"{money(old.usd_per_correct)} → {money(new.usd_per_correct)}"
        return f"{pair} per answer right by {name}; "
    return ""


def _ends(low: str, high: str) -> str:
    return "" if MISSING in (low, high) else f"{low} to {high}"


def _evidence(one: ComparisonFigures) -> str:
    missing = f", {count(one.n_missing)} left out" if one.n_missing else ""
    if not one.n_pairs:
        return f"no question has it in both cells{missing}"
    if one.is_score and _is_the_same(one):
        return f"the same on each of {plural(one.n_pairs, 'question')}{missing}"
    p = "" if is_missing(one.p_adjusted) else f", adjusted p {_equals(probability(one.p_adjusted))}"
    return f"{plural(one.n_pairs, 'question')}{missing}{p}"


def _equals(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"


def _open_question(one: ComparisonFigures) -> str:
    """What an undecided comparison could have found, and what it would take."""
    if one.verdict != "inconclusive" or one.mde is None or one.mde < _SHOWN:
        return ""
    needed = (
        f"; about {count(one.queries_needed)} questions would settle a difference of this size"
        if one.queries_needed
        else ""
    )
    return f"; true differences under {score(one.mde)} are easily missed{needed}"


def _described(sheet: Sheet) -> tuple[Finding, ...]:
    """The figures of a cell that is alone; several that were not compared are left to tables."""
    if len(sheet.cells) != 1:
        return ()
    cell = sheet.cells[0]
    title = f"answered {count(cell.succeeded)} of {count(cell.trials)}"
    return (
        Finding(
            cell=cell.name, tone="plain", title=title, statements=tuple(_cell_statements(cell))
        ),
    )


def _cell_statements(cell: CellFigures) -> Iterable[Statement]:
    for one in cell.scores.values():
        yield Statement(
            metric=one.name,
            amount=score(one.mean),
            verdict="",
            interval=_ends(score(one.low), score(one.high)),
            detail=plural(one.n, "answer"),
        )
    yield Statement(
        metric="cost",
        amount=money(cell.cost.get("per_1000_queries")),
        verdict="",
        interval="",
        detail="per 1,000 questions",
    )
    yield Statement(
        metric="time to an answer",
        amount=seconds(cell.latency.get("p50")),
        verdict="",
        interval="",
        detail=f"median; 95th percentile {seconds(cell.latency.get('p95'))}",
    )

"""What ``compare`` prints: what was compared and what differs besides, verdicts, the queries
behind them, gates, and answers side by side.

Enters: the report as plain data. Leaves: text that fits the width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finrag_eval.report.figures import change, count, plural, score, share
from finrag_eval.report.grid import wrapped
from finrag_eval.report.safe_text import one_line
from finrag_eval.report.sheet import ComparisonFigures, Sheet, read_sheet
from finrag_eval.report.terminal import comparisons_table, gates_table

_SHOWN_CHARACTERS = 600
_NAMED = 5
#: More than this many times the queries there are is no advice.
_OUT_OF_REACH = 100
_TWO_TIMES = (
    "the sweeps ran at different times: how busy the service and this machine were then is part of "
    "every difference in latency"
)


def compare_text(report: Mapping[str, Any], *, width: int = 80, colour: bool = False) -> str:
    """The comparison for people."""
    sheet = read_sheet(report)
    table = comparisons_table(report, width, colour=colour, title=compared_words(report, sheet))
    blocks = [
        "\n".join(_differences(report, width)),
        table or "Nothing was compared.",
        "\n".join(_words(report, sheet, width)),
        gates_table(report, width, colour=colour),
        "\n\n".join(_sides(report, width)),
    ]
    return "\n\n".join(block for block in blocks if block)


def compared_words(report: Mapping[str, Any], sheet: Sheet) -> str:
    """What was set against what: ``Sweep X, against CELL:``."""
    old, new = report["baseline_sweep"], report["candidate_sweep"]
    if old == new:
        return f"Sweep {new}, against {sheet.baseline}:"
    if all(one.baseline == one.candidate for one in sheet.comparisons):
        return f"Sweep {new}, each cell against the same one of {old}:"
    return f"Sweep {new}, against {sheet.baseline} of {old}:"


def evidence(one: ComparisonFigures) -> str:
    """What lies behind a score's verdict: queries that changed, and what would settle it."""
    queries = plural(one.n_improved, "query", "queries")
    better = f"{queries} better{_named(one.improved, one.n_improved)}"
    worse = f"{count(one.n_worsened)} worse{_named(one.worsened, one.n_worsened)}"
    means = f"{score(one.baseline_mean)} → {score(one.candidate_mean)}"
    return "; ".join(filter(None, (means, f"{better}, {worse}", open_question(one))))


def _named(ids: Sequence[str], number: int) -> str:
    if not ids:
        return ""
    more = f" and {count(number - _NAMED)} more" if number > _NAMED else ""
    return f" ({', '.join(ids[:_NAMED])}{more})"


def open_question(one: ComparisonFigures) -> str:
    """What an undecided comparison could have found, and what would settle it.

    Differences of cost, latency and tokens are shares of the baseline's mean.
    """
    if one.verdict != "inconclusive" or one.mde is None:
        return ""
    if one.is_score:
        least, seen = score(one.mde), change(one.delta)
    elif one.baseline_mean and one.delta is not None:
        least, seen = share(one.mde / one.baseline_mean), share(one.delta / one.baseline_mean)
    else:
        return ""
    text = f"these pairs find {least} or more in 4 of 5 sweeps"
    if not one.queries_needed or one.queries_needed > _OUT_OF_REACH * one.n_pairs:
        return text
    return f"{text}; {seen} would take {count(one.queries_needed)} queries"


def undecided(one: ComparisonFigures) -> str:
    """What would settle an undecided cost, latency or number of tokens; empty of all else."""
    told = "" if one.is_score else open_question(one)
    return f"{one.label}: {told}" if told else ""


def _differences(report: Mapping[str, Any], width: int) -> Iterator[str]:
    if report["differences"]:
        yield "Besides the candidate, these differ:"
    for one in report["differences"]:
        mark = "!" if one["matters"] else " "
        line = f"{one['what']}: {one['baseline']} -> {one['candidate']}"
        yield wrapped(line, width, indent="    ", first=f"{mark} ")


def _words(report: Mapping[str, Any], sheet: Sheet, width: int) -> Iterator[str]:
    candidates = dict.fromkeys(one.candidate for one in sheet.comparisons)
    for candidate in candidates:
        about = [one for one in sheet.comparisons if one.candidate == candidate]
        scores = [one for one in about if one.is_score]
        open_ones = list(filter(None, map(undecided, about)))
        alike = [one.label for one in scores if one.n_pairs and not _has_changed(one)]
        changed = [one for one in scores if _has_changed(one)]
        if changed or alike or open_ones:
            yield wrapped(candidate, width)
        for one in changed:
            yield wrapped(f"{one.label}: {evidence(one)}", width, indent="    ", first="  ")
        if alike:
            yield wrapped(
                f"no query scores differently in {', '.join(alike)}",
                width,
                indent="    ",
                first="  ",
            )
        for told in open_ones:
            yield wrapped(told, width, indent="    ", first="  ")
    for sentence in warnings(report):
        yield wrapped(sentence, width, indent="  ", first="! ")


def warnings(report: Mapping[str, Any]) -> list[str]:
    """Each warning once, with the metrics that it is about; and what two times make of latency."""
    found: dict[str, dict[str, None]] = {}
    for one in report["comparisons"]:
        if one["warning"]:
            found.setdefault(one["warning"], {})[one["metric"].removeprefix("score.")] = None
    told = [f"{sentence} ({', '.join(metrics)})" for sentence, metrics in sorted(found.items())]
    return [*told, *([_TWO_TIMES] if _tells_times_apart(report) else [])]


def _tells_times_apart(report: Mapping[str, Any]) -> bool:
    """Whether a verdict rests on seconds that were measured in two sweeps."""
    return report["baseline_sweep"] != report["candidate_sweep"] and any(
        "latency" in one["metric"] and one["verdict"] in ("better", "worse")
        for one in report["comparisons"]
    )


def _has_changed(one: ComparisonFigures) -> bool:
    return bool(one.n_improved or one.n_worsened)


def moves(shown: Mapping[str, Any]) -> str:
    """What became of a query's scores: ``numeric 1.000 → 0.000``."""
    return ", ".join(
        f"{one['metric'].removeprefix('score.')} {score(one['baseline'])} → "
        f"{score(one['candidate'])}"
        for one in shown["changes"]
    )


def side_words(report: Mapping[str, Any]) -> tuple[str, str]:
    """What the two answers to a query are called."""
    is_between = report["baseline_sweep"] != report["candidate_sweep"]
    return ("before", "now") if is_between else ("baseline", "candidate")


def _sides(report: Mapping[str, Any], width: int) -> Iterator[str]:
    words = side_words(report)
    for one in report["queries"]:
        lines = [
            wrapped(f"{one['query_id']}, {one['candidate']}: {moves(one)}", width),
            _line("asked", one["query"], width),
        ]
        if one["expected"]:
            lines.append(_line("expected", one["expected"], width))
        for word, side in zip(words, ("baseline", "candidate"), strict=True):
            lines.append(_line(word, one[f"{side}_answer"] or "no answer", width))
        yield "\n".join(lines)


def _line(word: str, text: Any, width: int) -> str:
    told = one_line(str(text), _SHOWN_CHARACTERS)
    return wrapped(told, width, indent=" " * 12, first=f"  {word:<10}")

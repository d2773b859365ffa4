"""The report of ``compare`` as GitHub-flavoured Markdown, for the page of a CI job.

Enters: the report as plain data. Leaves: Markdown in which nothing foreign is markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finrag_eval.report.compare_text import (
    compared_words,
    evidence,
    moves,
    side_words,
    undecided,
    warnings,
)
from finrag_eval.report.figures import plural
from finrag_eval.report.markdown import comparisons_markdown, gates_markdown
from finrag_eval.report.safe_text import markdown_safe, one_line
from finrag_eval.report.sheet import Sheet, read_sheet

_SHOWN_CHARACTERS = 1_500


def compare_markdown(report: Mapping[str, Any]) -> str:
    """What was compared and what differs besides, verdicts, queries behind them, and gates."""
    sheet = read_sheet(report)
    compared = sheet.comparisons
    blocks = [
        "# " + markdown_safe(compared_words(report, sheet).rstrip(":") if compared else "Compare"),
        _result(sheet),
        _section("What differs besides the candidate", _differences(report)),
        _section("Gates", gates_markdown(sheet)),
        _section("Comparisons", comparisons_markdown(sheet)) or "Nothing was compared.",
        "\n".join(f"> {markdown_safe(text)}  " for text in warnings(report)),
        _section("Queries behind it", "\n".join(_queries(sheet))),
        _section("Answers side by side", "\n\n".join(_sides(report))),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _result(sheet: Sheet) -> str:
    """How many comparisons went which way, and what the gates say."""
    verdicts = [one.verdict for one in sheet.comparisons if one.is_score]
    told = ", ".join(
        f"{verdicts.count(word)} {word}"
        for word in ("better", "worse", "equivalent", "inconclusive")
        if word in verdicts
    )
    parts = [f"{plural(len(verdicts), 'score')}: {told}."] if verdicts else []
    if sheet.gates:
        failed = sum(not gate.passed for gate in sheet.gates)
        gates = plural(len(sheet.gates), "gate")
        parts.append(f"{failed} of {gates} failed." if failed else f"{gates} passed.")
    return f"**{markdown_safe(' '.join(parts))}**" if parts else ""


def _differences(report: Mapping[str, Any]) -> str:
    lines = []
    for one in report["differences"]:
        words = markdown_safe(f"{one['what']}: {one['baseline']} → {one['candidate']}")
        lines.append(f"- **{words}**" if one["matters"] else f"- {words}")
    return "\n".join(lines)


def _queries(sheet: Sheet) -> Iterator[str]:
    for one in sheet.comparisons:
        if one.is_score and (one.n_improved or one.n_worsened):
            yield "- " + markdown_safe(f"{one.label}, {one.candidate}: {evidence(one)}")
        elif told := undecided(one):
            yield "- " + markdown_safe(f"{one.candidate}, {told}")


def _sides(report: Mapping[str, Any]) -> Iterator[str]:
    words = side_words(report)
    for one in report["queries"]:
        lines = [
            f"**{markdown_safe(one['query_id'])}**, {markdown_safe(one['candidate'])}: "
            f"{markdown_safe(moves(one))}",
            "",
            f"- asked: {_told(one['query'])}",
        ]
        if one["expected"]:
            lines.append(f"- expected: {_told(one['expected'])}")
        for word, side in zip(words, ("baseline", "candidate"), strict=True):
            lines.append(f"- {word}: {_told(one[f'{side}_answer'] or 'no answer')}")
        yield "\n".join(lines)


def _told(text: Any) -> str:
    return markdown_safe(one_line(str(text), _SHOWN_CHARACTERS))

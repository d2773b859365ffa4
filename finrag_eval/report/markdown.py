"""summary.md: the result for a pull request, a job's page or a run's description.

Enters: a summary. Leaves: GitHub-flavoured Markdown in which nothing foreign is markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from finrag_eval.report.cautions import status_words
from finrag_eval.report.figures import (
    MISSING,
    change,
    count,
    in_unit,
    is_missing,
    money,
    probability,
    ratio,
    score,
    seconds,
)
from finrag_eval.report.safe_text import markdown_safe
from finrag_eval.report.sheet import CellFigures, ComparisonFigures, Sheet, read_sheet
from finrag_eval.report.terminal import budget_line
from finrag_eval.report.verdicts import Finding, verdict

_NO_BREAK = 10_000


def summary_markdown(summary: Mapping[str, Any]) -> str:
    """The summary as Markdown: verdict, cells, comparisons, gates, failures, how it was made."""
    sheet = read_sheet(summary)
    said = verdict(sheet)
    blocks = [
        f"# {markdown_safe(sheet.name)}",
        f"**{markdown_safe(said.headline)}**",
        markdown_safe(said.price),
        "\n".join(_finding(finding) for finding in said.findings),
        "\n".join(f"> {markdown_safe(text)}  " for text in said.cautions),
        markdown_safe(budget_line(summary, _NO_BREAK)),
        _section("Cells", _cells(sheet)),
        _section("Comparisons", comparisons_markdown(sheet)),
        _section("Gates", gates_markdown(sheet)),
        _section("Failures", _failures(sheet)),
        _section("How it was made", _made(sheet)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _finding(finding: Finding) -> str:
    lines = [f"- **{markdown_safe(finding.cell)}** {markdown_safe(finding.title)}"]
    lines += [f"  - {markdown_safe(one.sentence)}" for one in finding.statements]
    return "\n".join(lines)


def _cells(sheet: Sheet) -> str:
    header = ["cell", "answered", "failed", "USD", "USD per 1,000", "p50", "p95"]
    rows = [
        [
            cell.name,
            f"{count(cell.succeeded)}/{count(cell.trials)}",
            count(cell.failed),
            money(cell.cost.get("total")),
            money(cell.cost.get("per_1000_queries")),
            seconds(cell.latency.get("p50")),
            seconds(cell.latency.get("p95")),
            *(_score(cell, name) for name in sheet.score_names),
        ]
        for cell in sheet.cells
    ]
    return _table([*header, *sheet.score_names], rows)


def _score(cell: CellFigures, name: str) -> str:
    one = cell.scores.get(name)
    if one is None or is_missing(one.mean):
        return MISSING
    interval = "" if is_missing(one.low) else f" ({score(one.low)} to {score(one.high)})"
    return f"{score(one.mean)}{interval}, n {count(one.n)}"


def comparisons_markdown(sheet: Sheet) -> str:
    """Every candidate against its baseline, a line per metric; empty without comparisons."""
    header = ["candidate", "baseline", "metric", "pairs", "delta", "95% interval", "p adj"]
    rows = [
        [
            one.candidate,
            one.baseline,
            one.label,
            _pairs(one),
            *_difference(one),
            probability(one.p_adjusted),
            one.verdict,
            in_unit(one.metric, one.mde),
        ]
        for one in sheet.comparisons
    ]
    return _table([*header, "verdict", "would find"], rows)


def _pairs(one: ComparisonFigures) -> str:
    missing = f" ({count(one.n_missing)} missing)" if one.n_missing else ""
    return f"{count(one.n_pairs)}{missing}"


def _difference(one: ComparisonFigures) -> tuple[str, str]:
    if not is_missing(one.ratio):
        return ratio(one.ratio), f"{ratio(one.ratio_low)} to {ratio(one.ratio_high)}"
    if is_missing(one.low) or is_missing(one.high):
        return change(one.delta), MISSING
    return change(one.delta), f"{change(one.low)} to {change(one.high)}"


def gates_markdown(sheet: Sheet) -> str:
    """Every gate with its figure, its bound and pass or fail; empty without gates."""
    rows = [["✅ pass" if gate.passed else "❌ FAIL", gate.words] for gate in sheet.gates]
    return _table(["", "gate"], rows)


def _failures(sheet: Sheet) -> str:
    kinds = dict.fromkeys(kind for cell in sheet.cells for kind in cell.errors)
    failing = [cell for cell in sheet.cells if cell.errors]
    rows = [
        [kind, *(count(cell.errors.get(kind, 0)) for cell in failing)] for kind in sorted(kinds)
    ]
    return _table(["kind", *(cell.name for cell in failing)], rows)


def _made(sheet: Sheet) -> str:
    facts = [
        ("sweep", f"{sheet.sweep_id}, {status_words(sheet)}"),
        ("started", sheet.started_at),
        ("experiment", sheet.experiment),
        ("environment", sheet.environment),
        ("parent run", sheet.parent_run_id),
        ("tracking store", sheet.tracking_uri),
        *(
            (key.replace("_", " "), str(value))
            for key, value in sheet.digests.items()
            if value is not None
        ),
    ]
    return "\n".join(f"- {word}: {markdown_safe(what)}" for word, what in facts if what)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = ["| " + " | ".join(markdown_safe(text) for text in row) + " |" for row in rows]
    if not body:
        return ""
    lines = ["| " + " | ".join(markdown_safe(text) for text in header) + " |"]
    return "\n".join([*lines, "|" + " --- |" * len(header), *body])

"""What ``compare`` prints: what differs besides, comparisons, gates, and answers side by side.

Enters: the report as plain data. Leaves: text that fits the width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finrag_eval.report.grid import wrapped
from finrag_eval.report.safe_text import one_line
from finrag_eval.report.terminal import comparisons_table, gates_table

_SHOWN_CHARACTERS = 600


def compare_text(report: Mapping[str, Any], *, width: int = 80, colour: bool = False) -> str:
    """The comparison for people."""
    comparisons = report["comparisons"]
    summary = {
        "sweep_id": "compare",
        "comparisons": comparisons,
        "gates": report["gates"],
        "cells": [],
    }
    blocks = [
        "\n".join(_differences(report, width)),
        comparisons_table(summary, width, colour=colour) or "nothing was compared",
        "\n".join(_words(report, width)),
        gates_table(summary, width, colour=colour),
        "\n\n".join(_sides(report, width)),
    ]
    return "\n\n".join(block for block in blocks if block)


def _differences(report: Mapping[str, Any], width: int) -> Iterator[str]:
    if report["differences"]:
        yield "Besides the candidate, these differ:"
    for one in report["differences"]:
        mark = "!" if one["matters"] else " "
        line = f"{one['what']}: {one['baseline']} -> {one['candidate']}"
        yield wrapped(line, width, indent="    ", first=f"{mark} ")


def _words(report: Mapping[str, Any], width: int) -> Iterator[str]:
    warned = {one["warning"] for one in report["comparisons"] if one["warning"]}
    for one in report["comparisons"]:
        if one["n_improved"] or one["n_worsened"]:
            line = (
                f"{one['metric']}, {one['candidate']}: {one['n_improved']} queries better, "
                f"{one['n_worsened']} worse, {one['n_pairs']} pairs"
            )
            if one["worsened"]:
                line += "; worse: " + ", ".join(one["worsened"][:5])
            yield wrapped(line, width, indent="  ")
    for sentence in sorted(warned):
        yield wrapped(sentence, width, indent="  ", first="! ")


def _sides(report: Mapping[str, Any], width: int) -> Iterator[str]:
    for one in report["queries"]:
        yield "\n".join(
            [
                wrapped(
                    f"{one['query_id']} ({one['metric']}, {one['direction']}): "
                    f"{one_line(str(one['query']), _SHOWN_CHARACTERS)}",
                    width,
                ),
                wrapped(_answer(one["baseline_answer"]), width, indent="    ", first="  - "),
                wrapped(_answer(one["candidate_answer"]), width, indent="    ", first="  + "),
            ]
        )


def _answer(text: Any) -> str:
    return one_line(str(text), _SHOWN_CHARACTERS) if text else "no answer"

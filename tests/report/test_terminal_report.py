"""What commands print: whole, in its width, and never steered by foreign text."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_sweep import ARMS, Arm, Sweep, make_sweep

from finrag_eval.report.grid import Column, Paint, grid, middle_cut
from finrag_eval.report.safe_text import display_width
from finrag_eval.report.terminal import (
    budget_line,
    cells_table,
    comparisons_table,
    gates_table,
    query_report,
    run_report,
    where_next,
)

LONG = Arm("a_model_key_that_somebody_made_far_too_long_for_any_table", "m", "v10", 0.7, 2, 1, 2, 0)


def widest(text: str) -> int:
    return max(display_width(line) for line in text.split("\n"))


@pytest.mark.parametrize("width", [80, 100, 200])
def test_tables_fit_the_width(sweep: Sweep, width: int) -> None:
    summary, _ = make_sweep(queries=12, arms=(*ARMS, LONG))
    for table in (cells_table, comparisons_table, gates_table, budget_line):
        assert widest(table(summary, width)) <= width


def test_a_wide_terminal_gets_one_table_and_a_narrow_one_two(sweep: Sweep) -> None:
    summary, _ = sweep
    assert len(cells_table(summary, 140).split("\n")) == 5
    narrow = cells_table(summary, 80).split("\n")
    assert len(narrow) == 11
    assert narrow[0].split() == ["cell", "answered", "failed", "USD", "USD/1k", "p50", "p95"]
    assert narrow[6].split() == ["cell", "numeric", "citation", "contains"]


def test_what_is_not_known_is_a_dash_and_never_a_zero() -> None:
    summary = _one_cell(trials=3, succeeded=0, failed=3)
    row = cells_table(summary, 80).split("\n")[1].split()
    assert row == ["m.v1-v1", "0/3", "3", "$0", "–", "–", "–"]


def test_colour_only_where_it_is_asked_for(sweep: Sweep) -> None:
    summary, _ = sweep
    plain = run_report(summary)
    assert "\x1b" not in plain
    coloured = run_report(summary, colour=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


def test_hostile_names_cannot_steer_the_terminal() -> None:
    summary = _one_cell(trials=1, succeeded=1, failed=0)
    summary["name"] = summary["sweep_id"] = "x\x1b]0;owned\x07"
    summary["cells"][0]["cell"] = "evil\x1b[2J\u202ecell\nnew line"
    summary["warnings"] = ["\x1b[31mwarned"]
    text = run_report(summary, folder="/tmp/\x1b[2Jx")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "evilcell new line" in text


def test_the_report_of_a_stopped_sweep_says_how_to_go_on(sweep: Sweep) -> None:
    summary = copy.deepcopy(sweep[0])
    summary["status"] = "budget_stopped"
    summary["sweep_id"] = "S1"
    assert "was stopped by its budget" in run_report(summary)
    assert "go on   finrag-eval resume S1\n" in where_next(summary) + "\n"
    assert "again   finrag-eval resume S1 --retry-failed" in where_next(summary)


def test_a_clean_sweep_has_nothing_to_resume(sweep: Sweep) -> None:
    summary = copy.deepcopy(sweep[0])
    summary["status"] = "completed"
    summary["totals"]["trials_failed"] = 0
    assert "resume" not in where_next(summary, "out")
    assert where_next(summary, "out").split("\n")[0] == "report  out/report.html"


def test_the_budget_line_names_cap_waste_and_savings() -> None:
    summary = _one_cell(trials=1, succeeded=1, failed=0)
    summary["budget"] = {
        "max_usd": 5.0,
        "spent_usd": 0.41,
        "left_usd": 4.59,
        "wasted_usd": 0.02,
        "saved_usd": 0.1,
    }
    summary["wall_seconds"] = 75.0
    assert budget_line(summary, 200) == (
        "Spent $0.41 of $5.00 (8.2%), $4.59 left; $0.020 wasted on attempts without an answer; "
        "$0.10 saved by reused answers. Took 1 min 15 s."
    )


def test_comparisons_and_gates_can_be_shown_without_the_rest(sweep: Sweep) -> None:
    part = {"comparisons": sweep[0]["comparisons"], "gates": sweep[0]["gates"]}
    assert comparisons_table(part) == comparisons_table(sweep[0])
    assert gates_table(part) == gates_table(sweep[0])
    assert cells_table(part) == ""


def test_failed_gates_stand_out(sweep: Sweep) -> None:
    summary = copy.deepcopy(sweep[0])
    summary["gates"][0] |= {"passed": False, "reason": "3% of pairs are missing"}
    table = gates_table(summary, 80)
    assert table.startswith("FAIL  ")
    assert "3% of pairs are missing" in " ".join(table.split())


def test_an_answer_is_printed_with_its_figures() -> None:
    result = {
        "answer": "It was \x1b[1m$10.9 billion\x1b[0m.",
        "metadata": {
            "llm": {"model_id": "m-1", "input_tokens": 1200, "output_tokens": 80, "cost": 0.0042},
            "retrieval": {"kpi_count": 2, "rag_count": 8},
            "processing_time_ms": 3210.0,
        },
    }
    assert query_report(result, run_url="http://x/1", width=100) == (
        "It was $10.9 billion.\n\n"
        "m-1 · 1,200 tokens in, 80 out · $0.0042 · 3.2 s · 2 KPI figures · 8 passages\n"
        "http://x/1"
    )


def test_a_failed_question_says_what_failed_and_where() -> None:
    result = {"error": "too many requests", "error_type": "Throttled", "stage": "llm_invocation"}
    assert query_report(result) == "No answer: Throttled in llm_invocation: too many requests"


@given(st.text(max_size=60), st.integers(min_value=3, max_value=40))
def test_a_cut_name_keeps_both_ends_and_its_width(text: str, width: int) -> None:
    cut = middle_cut(text, width)
    assert display_width(cut) <= max(width, display_width("…"))
    if display_width(text) > width:
        assert "…" in cut


@given(st.lists(st.lists(st.text(max_size=30), min_size=2, max_size=2), max_size=5))
def test_a_table_has_a_line_per_row_whatever_stands_in_it(rows: list[list[str]]) -> None:
    columns = [Column(title="name", is_name=True), Column(title="n")]
    lines = grid(columns, rows, 60, Paint())
    assert len(lines) == len(rows) + 1
    assert all("\n" not in line and "\x1b" not in line for line in lines)


def _one_cell(*, trials: int, succeeded: int, failed: int) -> dict[str, Any]:
    """The least summary that the contract allows."""
    return {
        "schema_version": 1,
        "sweep_id": "S",
        "name": "n",
        "status": "completed",
        "totals": {
            "trials_planned": trials,
            "trials_succeeded": succeeded,
            "trials_failed": failed,
        },
        "budget": {"max_usd": None, "spent_usd": 0.0},
        "cells": [
            {
                "cell": "m.v1-v1",
                "trials": trials,
                "succeeded": succeeded,
                "failed": failed,
                "cost_usd": {"total": 0.0, "per_1000_queries": None},
                "latency_total_seconds": {"p50": None, "p95": None},
                "scores": {},
                "errors": {},
            }
        ],
        "comparisons": [],
    }

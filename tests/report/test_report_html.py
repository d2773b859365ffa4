"""The HTML document as text: self-contained, escaped, the same for the same input."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sample_sweep import ARMS, Arm, Sweep, make_sweep

from finrag_eval.report.charts import front
from finrag_eval.report.html import report_html, write_report_html

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202e\x1b[31m"


@pytest.fixture(scope="module")
def page(sweep: Sweep) -> str:
    return report_html(*sweep)


def test_the_same_input_gives_the_same_page(sweep: Sweep, page: str) -> None:
    assert report_html(*sweep) == page


def test_the_page_asks_for_nothing_and_may_not(page: str) -> None:
    assert "default-src 'none'" in page
    outside = re.findall(r"(?:src|href|action)=\"(?!#)([^\"]+)\"", page)
    assert outside == []
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_only_the_pages_own_script_may_run(page: str) -> None:
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert not re.search(r"<[^>]+\son[a-z]+\s*=", page)


def test_hostile_names_are_text(sweep: Sweep) -> None:
    summary, trials = copy.deepcopy(sweep)
    summary["name"] = summary["experiment"] = EVIL
    summary["warnings"] = [EVIL]
    summary["digests"] = {EVIL: EVIL}
    summary["parent_run_url"] = "javascript:alert(1)"
    summary["gates"][0]["sentence"] = EVIL
    evil = replace(trials[0], cell=EVIL, query_id=EVIL, error_type=EVIL, status="failed")
    page = report_html(summary, [evil, *trials[1:]])
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "javascript:" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert page.count("</script>") == page.count("<script")


def test_a_hostile_score_name_cannot_leave_its_place() -> None:
    summary, trials = make_sweep(queries=3)
    for cell in summary["cells"]:
        cell["scores"] = {
            f'x" onload="alert(1)"><b>{name}': one for name, one in cell["scores"].items()
        }
    page = report_html(summary, trials)
    assert "<b>numeric" not in page
    assert not re.search(r"<[^>]+\sonload=", page.replace("&#34;", ""))


def test_all_is_shown_without_trials_and_without_extras(sweep: Sweep) -> None:
    summary = {
        key: value for key, value in sweep[0].items() if key not in ("slices", "gates", "warnings")
    }
    summary["comparisons"] = []
    page = report_html(summary, [])
    assert "All 0 trials of 0 questions" in page
    assert 'id="slices"' not in page
    assert 'id="comparisons"' not in page


def test_a_sweep_that_has_hardly_begun_has_a_page() -> None:
    assert "No cell has a result yet." in report_html({"sweep_id": "S", "cells": []}, [])


def test_a_cell_without_any_answer_is_shown_with_dashes() -> None:
    summary, trials = make_sweep(
        queries=5, arms=(*ARMS[:1], Arm("none", "m", "v1", 0, 1, 1, 1, 1.0))
    )
    page = report_html(summary, trials)
    row = page[page.index("none.v1-v1", page.index('id="cells"')) :]
    assert row[: row.index("</tr>")].count('<span class="value">–</span>') >= 5


def test_a_comparison_with_a_cell_of_another_sweep_is_shown(sweep: Sweep) -> None:
    summary, trials = copy.deepcopy(sweep)
    for one in summary["comparisons"]:
        one["baseline"] = "of_last_week.v1-v1"
    page = report_html(summary, trials)
    assert page.count("of_last_week.v1-v1") > 3


def test_many_cells_and_long_names_get_a_page() -> None:
    arms = [Arm(f"model_{at}_{'x' * at}", "m", "v1", 0.5, 1 + at, 1, 2, 0) for at in range(30)]
    page = report_html(*make_sweep(queries=2, arms=arms))
    assert 'aria-label="cell AD"' in page
    assert "6 more cells are in the table only." in page


def test_a_large_sweep_states_its_sample() -> None:
    summary, trials = make_sweep(queries=50)
    page = report_html(summary, iter(trials), max_trials=100, seed=3)
    assert "100 of 200 trials: every trial of 25 of 50 questions, drawn at random (seed 3)." in page


def test_foreign_letters_in_a_picture_raise_no_warning() -> None:
    arm = Arm("模型_$x^2$_<b>", "m", "v1", 0.5, 1, 1, 2, 0)
    page = report_html(*make_sweep(queries=3, arms=(ARMS[0], arm)))
    assert "模型_$x^2$_&lt;b&gt;.v1-v1</text>" in page


def test_a_report_replaces_an_older_one_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report_html(path, {"sweep_id": "S"}, [])
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


def test_the_front_is_what_no_other_point_beats() -> None:
    points = [("a", 1.0, 0.5), ("b", 2.0, 0.8), ("c", 2.5, 0.8), ("d", 3.0, 0.7), ("e", 4.0, 0.9)]
    assert front(points) == ("a", "b", "e")
    assert front([("a", 1.0, 0.5), ("b", 1.0, 0.5)]) == ("a", "b")
    assert front([]) == ()


def test_showing_a_summary_needs_no_heavy_library() -> None:
    code = (
        "import sys; import finrag_eval.report.terminal, finrag_eval.report.markdown, "
        "finrag_eval.report.html; "
        "heavy = ('matplotlib', 'numpy', 'jinja2', 'mlflow'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

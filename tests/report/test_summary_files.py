"""summary.csv and summary.md."""

from __future__ import annotations

import copy
import csv
import io

from sample_sweep import Sweep

from finrag_eval.report.markdown import summary_markdown
from finrag_eval.report.rows import summary_csv, summary_rows


def test_a_row_per_cell_with_the_same_columns(sweep: Sweep) -> None:
    summary, _ = sweep
    rows = list(csv.DictReader(io.StringIO(summary_csv(summary), newline="")))
    assert [row["cell"] for row in rows] == [cell["cell"] for cell in summary["cells"]]
    assert float(rows[0]["cost_usd.total"]) == summary["cells"][0]["cost_usd"]["total"]
    assert (
        float(rows[2]["score.numeric.ci_low"]) == summary["cells"][2]["scores"]["numeric"]["ci_low"]
    )
    assert {tuple(row) for row in summary_rows(summary)} == {tuple(rows[0])}


def test_what_a_cell_lacks_is_an_empty_field(sweep: Sweep) -> None:
    summary = copy.deepcopy(sweep[0])
    summary["cells"][1]["scores"] = {}
    summary["cells"][1]["latency_total_seconds"]["p95"] = None
    rows = list(csv.DictReader(io.StringIO(summary_csv(summary), newline="")))
    assert rows[1]["score.numeric.mean"] == ""
    assert rows[1]["latency_total_seconds.p95"] == ""
    assert rows[0]["score.numeric.mean"] != ""


def test_a_summary_without_cells_is_an_empty_file() -> None:
    assert summary_csv({"sweep_id": "S", "cells": []}) == ""


def test_a_model_key_cannot_be_a_formula(sweep: Sweep) -> None:
    summary = copy.deepcopy(sweep[0])
    summary["cells"][0]["model_id"] = '=HYPERLINK("http://x")'
    assert "'=HYPERLINK" in summary_csv(summary)
    assert "-0.5" in summary_csv({"sweep_id": "S", "cells": [{"cell": "c", "kpi": -0.5}]})


def test_the_markdown_has_the_result_and_every_table(sweep: Sweep) -> None:
    summary, _ = sweep
    text = summary_markdown(summary)
    for title in ("## Cells", "## Comparisons", "## Gates", "## Failures", "## How it was made"):
        assert f"\n{title}\n" in text
    assert text.count("\n| development") >= 2
    assert "git commit: 07a1d20" in text


def test_hostile_names_stay_text_in_markdown(sweep: Sweep) -> None:
    summary = copy.deepcopy(sweep[0])
    summary["name"] = "<script>alert(1)</script>"
    summary["cells"][0]["cell"] = "a|b\n| fake | row |"
    text = summary_markdown(summary)
    assert "<script" not in text
    assert "a\\|b \\| fake \\| row \\|" in text
    assert len([line for line in text.split("\n") if "fake" in line]) == 1

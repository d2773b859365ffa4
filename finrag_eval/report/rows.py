"""summary.csv: a row per cell, flat, safe to open in a spreadsheet.

Enters: a summary. Leaves: rows as mappings, or CSV text. Figures are written in full, unknown
ones as empty fields.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from finrag_eval.report.safe_text import csv_safe

_NESTED = ("cost_usd", "latency_total_seconds", "scores", "errors")


def summary_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A flat row per cell, every row with the same columns in the same order.

    Nested figures get dotted names: ``cost_usd.mean``, ``latency_total_seconds.p95``,
    ``score.numeric.mean``, ``errors.ThrottlingException``. A figure that a cell lacks is None.
    """
    rows = [_flat(cell) for cell in summary.get("cells") or ()]
    columns = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in columns} for row in rows]


def summary_csv(summary: Mapping[str, Any]) -> str:
    """The rows as CSV text (RFC 4180, ``\\r\\n`` line ends); empty without cells."""
    rows = summary_rows(summary)
    if not rows:
        return ""
    page = io.StringIO(newline="")
    writer = csv.writer(page)
    writer.writerow(csv_safe(name) for name in rows[0])
    writer.writerows([csv_safe(value) for value in row.values()] for row in rows)
    return page.getvalue()


def _flat(cell: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {
        key: value
        for key, value in cell.items()
        if key not in _NESTED and not isinstance(value, Mapping | list | tuple)
    }
    for group in ("cost_usd", "latency_total_seconds", "errors"):
        flat |= {f"{group}.{key}": value for key, value in (cell.get(group) or {}).items()}
    for name, figures in (cell.get("scores") or {}).items():
        flat |= {
            f"score.{name}.{key}": value
            for key, value in figures.items()
            if not isinstance(value, Mapping | list | tuple)
        }
    return flat

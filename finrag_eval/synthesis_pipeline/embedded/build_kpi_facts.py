"""Makes ``kpi_facts.csv`` of this folder; run by hand, never at run time.

Enters: a folder with ``embed_candidates.csv`` and ``kpi_facts.csv``. Leaves: one row per figure
with where it was read. Only figures and fact columns go over, no sentence of any filing: sources
become short labels and notes are written here.

    python finrag_eval/synthesis_pipeline/embedded/build_kpi_facts.py FOLDER
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

COLUMNS = [
    "ticker",
    "company_name",
    "fiscal_year",
    "metric_key",
    "value",
    "unit",
    "status",
    "level",
    "source",
    "accession_no",
    "gaap_tag",
    "restated_value",
    "restated_in",
    "note",
]

_SOURCE_LABELS = (
    ("statement identity", "statement identity"),
    ("FinSights", "EDGAR XBRL"),
    ("companyfacts", "EDGAR companyfacts"),
    ("net income / diluted shares", "net income / diluted shares"),
    ("10-K text sentence", "10-K, Item 7"),
    ("operating margin (EDGAR", "EDGAR margin x revenue"),
)

#: Ticker, first fiscal year on the new basis, how figures before it stand to that basis.
_SPLITS = {
    "AAPL": (2020, "before the 4-for-1 split of 2020"),
    "AMZN": (2022, "before the 20-for-1 split of 2022"),
    "GOOGL": (2022, "before the 20-for-1 split of 2022"),
    "NVDA": (2022, "before the splits of 2021 (4-for-1) and 2024 (10-for-1)"),
    "WMT": (2024, "before the 3-for-1 split of 2024"),
}
#: Companies that name the line otherwise.
_LINE_NAMES = {
    ("AMZN", "rnd"): "reported as technology and content",
    ("NFLX", "rnd"): "reported as technology and development",
}


def build(folder: Path) -> list[dict[str, str]]:
    """All rows, by ticker, year and metric: every candidate, then every other verified fact."""
    verified = {
        _key(row): row for row in _rows(folder / "kpi_facts.csv") if row["status"] == "verified"
    }
    candidates = {_key(row): row for row in _rows(folder / "embed_candidates.csv")}
    return [
        _row(key, candidates.get(key), verified.get(key))
        for key in sorted(candidates.keys() | verified.keys())
    ]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def _key(row: dict[str, str]) -> tuple[str, int, str]:
    return row["ticker"], int(row["fiscal_year"]), row["metric_key"]


def _row(
    key: tuple[str, int, str], candidate: dict[str, str] | None, verified: dict[str, str] | None
) -> dict[str, str]:
    ticker, year, metric = key
    first = candidate or verified
    assert first is not None
    level = candidate["level"] if candidate else "A"
    return {
        "ticker": ticker,
        "company_name": first["company_name"],
        "fiscal_year": str(year),
        "metric_key": metric,
        "value": _number(first["value"]),
        "unit": first["unit"],
        "status": "reconciled" if level == "B" else "verified",
        "level": level,
        "source": _source_label(first["source"]),
        "accession_no": verified["accession_no"] if verified else "",
        "gaap_tag": verified["gaap_tag"] if verified else "",
        "restated_value": _number(candidate["restated_value"]) if candidate else "",
        "restated_in": candidate["restated_in"] if candidate else "",
        "note": _note(ticker, year, metric, verified),
    }


def _number(text: str) -> str:
    if not text:
        return ""
    plain = format(Decimal(text), "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _source_label(source: str) -> str:
    for beginning, label in _SOURCE_LABELS:
        if source.startswith(beginning):
            return label
    return source.removeprefix("10-K PDF: ").split(" (")[0].replace(" iXBRL filed ", " filed ")


def _note(ticker: str, year: int, metric: str, verified: dict[str, str] | None) -> str:
    if metric.startswith(("eps_", "dividends_per_share", "shares_")) and ticker in _SPLITS:
        first_year, basis = _SPLITS[ticker]
        is_adjusted = "split" in (verified["note"] if verified else "")
        return basis if year < first_year and not is_adjusted else ""
    return _LINE_NAMES.get((ticker, metric), "")


def main(folder: str) -> None:
    """Writes the table beside this file."""
    target = Path(__file__).with_name("kpi_facts.csv")
    with target.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(build(Path(folder)))
    sys.stderr.write(f"{target}: {target.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1])

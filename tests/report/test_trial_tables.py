"""trials.parquet and trials.csv: what is written is what is read, whatever a model said."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from finrag_eval.results import TRIALS_CSV, TRIALS_PARQUET, write_trials

COLUMNS = (("answer", "text"), ("tokens", "count"), ("usd", "number"), ("include_kpi", "flag"))

#: Any text at all, lone surrogates and NUL included.
ANY_TEXT = st.text(st.characters(categories=None), max_size=40)
ROWS = st.fixed_dictionaries(
    {
        "answer": st.none() | ANY_TEXT,
        "tokens": st.none() | st.integers(-(2**63), 2**63 - 1),
        "usd": st.none() | st.floats(allow_nan=False),
        "include_kpi": st.none() | st.booleans(),
    }
)


def written(batches: list[list[dict[str, Any]]]) -> tuple[list[dict[str, Any]], list[list[str]]]:
    """The rows that the two files give back."""
    with tempfile.TemporaryDirectory() as folder:
        write_trials(Path(folder), COLUMNS, batches)
        rows = pq.read_table(Path(folder) / TRIALS_PARQUET).to_pylist()
        with (Path(folder) / TRIALS_CSV).open(encoding="utf-8", newline="") as text:
            return rows, list(csv.reader(text))


@given(st.lists(st.lists(ROWS, max_size=4), max_size=3))
def test_the_table_gives_back_every_value(batches: list[list[dict[str, Any]]]) -> None:
    wanted = [row for batch in batches for row in batch]
    rows, lines = written([batch for batch in batches if batch])
    assert len(lines) == 1 + len(wanted)
    for row in wanted:
        if row["answer"] is not None:
            row["answer"] = row["answer"].encode("utf-8", "replace").decode("utf-8")
    assert rows == wanted


def test_what_a_row_lacks_is_null_and_no_number_is_not_null() -> None:
    rows, _ = written([[{"answer": "x", "usd": float("nan")}, {}]])
    assert rows[0]["tokens"] is None
    assert rows[0]["usd"] != rows[0]["usd"]
    assert rows[1] == dict.fromkeys(name for name, _ in COLUMNS)


def test_an_answer_of_megabytes_is_one_row(tmp_path: Path) -> None:
    write_trials(tmp_path, COLUMNS, [[{"answer": "a" * 3_000_000}, {"answer": "b"}]])
    rows = pq.read_table(tmp_path / TRIALS_PARQUET).to_pylist()
    assert [len(row["answer"]) for row in rows] == [3_000_000, 1]

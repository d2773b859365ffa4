"""A sweep's files beside its ledger: written whole or not at all, and made again at any time.

Enters: a summary and the ledger's reader. Leaves: the files of the contract, section 7. Nothing
here is the truth; the ledger is.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

SUMMARY_JSON = "summary.json"
SUMMARY_CSV = "summary.csv"
SUMMARY_MD = "summary.md"
REPORT_HTML = "report.html"
TRIALS_PARQUET = "trials.parquet"
TRIALS_CSV = "trials.csv"
SPEC_YAML = "sweep.yaml"


@contextmanager
def replacing(path: Path, *, binary: bool = False) -> Iterator[IO[Any]]:
    """A file to write that takes ``path``'s place when it is whole; else nothing changes."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") if binary else part.open("w", encoding="utf-8", newline="") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write summary.json, summary.csv (a row per cell) and summary.md."""
    from finrag_eval.report.markdown import summary_markdown
    from finrag_eval.report.rows import summary_csv

    with replacing(folder / SUMMARY_JSON) as file:
        json.dump(summary, file, indent=2, allow_nan=False)
        file.write("\n")
    with replacing(folder / SUMMARY_CSV) as file:
        file.write(summary_csv(summary))
    with replacing(folder / SUMMARY_MD) as file:
        file.write(summary_markdown(summary))


def write_spec(folder: Path, resolved: Mapping[str, Any]) -> None:
    """Write the resolved spec as YAML that can be run again."""
    from finrag_eval.spec.located import dump_yaml

    with replacing(folder / SPEC_YAML) as file:
        file.write("# the resolved spec of this sweep: defaults filled in, paths absolute\n")
        file.write(dump_yaml(resolved))


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The summary of an earlier moment; None where there is none."""
    try:
        loaded: dict[str, Any] = json.loads((folder / SUMMARY_JSON).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return loaded


def write_trials(
    folder: Path,
    columns: Sequence[tuple[str, str]],
    batches: Iterable[Sequence[Mapping[str, Any]]],
) -> None:
    """Write trials.parquet and trials.csv side by side; both take their places when whole.

    ``columns`` are names with their kinds: text, number, count or flag.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from finrag_eval.report.safe_text import csv_safe

    kinds = {"text": pa.string(), "number": pa.float64(), "count": pa.int64(), "flag": pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns])
    names = [name for name, _ in columns]
    counts = {name for name, kind in columns if kind == "count"}
    with (
        _frugal_arrow(),
        replacing(folder / TRIALS_PARQUET, binary=True) as binary,
        replacing(folder / TRIALS_CSV) as text,
        pq.ParquetWriter(binary, schema, compression="zstd") as parquet,
    ):
        rows_out = csv.writer(text)
        rows_out.writerow(names)
        for rows in batches:
            whole = [
                [_whole(row.get(name)) if name in counts else row.get(name) for name in names]
                for row in rows
            ]
            parquet.write_table(_table(names, whole, schema))
            rows_out.writerows([csv_safe(value) for value in row] for row in whole)


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]], schema: Any) -> Any:
    """The rows as a table, by way of JSON: arrays from Python's values would load pandas.

    That took 45 MB and half a second (2026-11-29). Lone surrogates become question marks.
    """
    from pyarrow.json import ParseOptions, ReadOptions, read_json

    given = (
        {name: one for name, one in zip(names, row, strict=True) if one is not None} for row in rows
    )
    lines = (json.dumps(row, ensure_ascii=False) for row in given)
    body = "\n".join(lines).encode("utf-8", "replace")
    return read_json(
        io.BytesIO(body),
        read_options=ReadOptions(use_threads=False, block_size=len(body) + 1),
        parse_options=ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    )


@contextmanager
def _frugal_arrow() -> Iterator[None]:
    """Arrow with the system's allocator: its own keeps 40 MB more (measured 2026-11-23)."""
    import pyarrow as pa

    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)

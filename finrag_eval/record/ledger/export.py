"""The whole ledger as JSON lines, for jq and for whoever has no SQLite.

Enters: a sweep's folder. Leaves: one object a line with its ``type``: ``sweep``, ``session``,
``cell``, ``query``, ``attempt`` and ``trial``. Money is text, exact; missing values are null.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from finrag_eval.record.ledger.plan_rows import model_json, query_json
from finrag_eval.record.ledger.reader import LedgerReader
from finrag_eval.record.ledger.schema import FORMAT
from finrag_eval.record.ledger.texts import strict_json


def export_jsonl(folder: Path, out: IO[str]) -> int:
    """Write every line of the ledger to ``out``; returns how many there are."""
    with LedgerReader.open(folder) as reader:
        count = 0
        for line in _lines(reader):
            out.write(f"{line}\n")
            count += 1
        return count


def _lines(reader: LedgerReader) -> Iterator[str]:
    yield _line(
        "sweep",
        {
            "sweep_id": reader.sweep_id,
            "name": reader.name,
            "created_at": reader.created_at,
            "format": FORMAT,
        },
    )
    for session in reader.sessions():
        yield _line("session", asdict(session))
    for cell in reader.cells():
        model = json.loads(model_json(cell.model))
        texts = asdict(cell.prompts)
        yield _line("cell", {"cell": cell.name, "model": model, "prompts": texts})
    for query in reader.queries():
        yield _line("query", {**json.loads(query_json(query)), "context": query.context})
    for attempt in reader.attempt_rows():
        yield _line("attempt", attempt)
    for outcome_id in reader.outcome_ids():
        record = asdict(reader.record(outcome_id))
        yield _line("trial", {**record, "result": reader.result(outcome_id)})


def _line(type_of_line: str, content: Mapping[str, Any]) -> str:
    return strict_json({"type": type_of_line, **content})

"""The format is documented, numbered, brought up to date, and readable without this program."""

from __future__ import annotations

import io
import json
import re
import shutil
import sqlite3
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_parts import a_cell, a_failure, a_ledger, answer, begin, settle_all, some_queries

from finrag_eval.errors import LedgerUnreadable
from finrag_eval.record.ledger import LEDGER_FILE, Ledger, LedgerReader, export_jsonl, schema


def a_finished_ledger(root: Path) -> Path:
    with a_ledger(root) as ledger:
        first, second = begin(ledger, [a_cell()], some_queries(2))
        answer(ledger, first)
        ledger.append_outcome(a_failure(second), lambda outcome: ledger.append_scores(outcome, ()))
        settle_all(ledger)
        ledger.end_session("partial", 0)
    return ledger.folder


def change(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / LEDGER_FILE)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.fixture
def next_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """This program as its next version might be: attempts have a region."""
    monkeypatch.setattr(schema, "FORMAT", 3)
    monkeypatch.setattr(
        schema,
        "MIGRATIONS",
        {
            1: ("ALTER TABLE attempts ADD COLUMN region TEXT",),
            2: ("UPDATE attempts SET region = 'unknown'",),
        },
    )


@pytest.mark.usefixtures("next_format")
@pytest.mark.parametrize("opens", ["reader", "writer"])
def test_an_older_ledger_is_brought_up_to_date(tmp_path: Path, opens: str) -> None:
    schema.FORMAT = 1
    folder = a_finished_ledger(tmp_path)
    schema.FORMAT = 3
    if opens == "writer":
        Ledger.open(folder).close()
    with LedgerReader.open(folder) as reader:
        assert [row["region"] for row in reader.attempt_rows()] == ["unknown"]
        assert len(list(reader.final_records())) == 2
    connection = sqlite3.connect(folder / LEDGER_FILE)
    assert schema.read_format(connection) == 3
    connection.close()


@pytest.mark.usefixtures("next_format")
def test_a_migration_that_breaks_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.FORMAT = 1
    folder = a_finished_ledger(tmp_path)
    schema.FORMAT = 3
    monkeypatch.setattr(
        schema, "MIGRATIONS", {1: ("DROP TABLE scores",), 2: ("UPDATE nowhere SET x = 1",)}
    )
    with pytest.raises(LedgerUnreadable, match="no such table: nowhere"):
        Ledger.open(folder)
    schema.FORMAT = 1
    with LedgerReader.open(folder) as reader:
        assert len(list(reader.records())) == 2


@pytest.mark.usefixtures("next_format")
def test_an_older_ledger_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    schema.FORMAT = 1
    with a_ledger(tmp_path) as ledger:
        schema.FORMAT = 3
        with pytest.raises(LedgerUnreadable, match="is writing it in an older format"):
            LedgerReader.open(ledger.folder)


def test_a_format_that_nothing_leads_from_is_refused(tmp_path: Path) -> None:
    folder = a_finished_ledger(tmp_path)
    change(folder, "UPDATE meta SET value = '0' WHERE key = 'format'")
    with pytest.raises(LedgerUnreadable, match="no way leads from format 0 to 1"):
        Ledger.open(folder)


def test_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    folder = a_finished_ledger(tmp_path)
    change(folder, "UPDATE meta SET value = '99' WHERE key = 'format'")
    for opens in (Ledger.open, LedgerReader.open):
        with pytest.raises(LedgerUnreadable) as caught:
            opens(folder)
        assert str(caught.value) == (
            f"{folder / LEDGER_FILE}: not a readable ledger "
            "(its format is 99, and this program reads up to 1)"
        )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no such table: meta"),
        (b"not a database, but long enough to look like one" * 40, "file is not a database"),
    ],
)
def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / LEDGER_FILE).write_bytes(content)
    for opens in (Ledger.open, LedgerReader.open):
        with pytest.raises(LedgerUnreadable, match=reason):
            opens(tmp_path)
    assert (tmp_path / LEDGER_FILE).read_bytes() == content


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="needs the sqlite3 shell")
def test_the_sqlite3_shell_reads_answers_and_trials(tmp_path: Path) -> None:
    folder = a_finished_ledger(tmp_path)

    def ask(statement: str) -> list[str]:
        told = subprocess.run(
            ["sqlite3", "-readonly", folder / LEDGER_FILE, statement],
            capture_output=True,
            text=True,
            check=True,
        )
        return told.stdout.splitlines()

    answers = (
        "SELECT query_id, json_extract(sqlar_uncompress(data, bytes), '$.answer') "
        "FROM results JOIN outcomes USING (outcome)"
    )
    assert ask(answers) == ["q0|USD 10.9 billion", "q1|"]
    assert ask("SELECT status, error_type FROM trials") == [
        "success|",
        "failed|ThrottlingException",
    ]
    assert ask("SELECT sum(billed_usd) FROM attempts") == ["0.25"]
    assert "Be exact." in ask("SELECT sqlar_uncompress(data, bytes) FROM texts")


def test_the_export_is_json_lines_of_everything(tmp_path: Path) -> None:
    out = io.StringIO()
    folder = a_finished_ledger(tmp_path)
    count = export_jsonl(folder, out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(lines) == count
    assert [line["type"] for line in lines] == [
        "sweep",
        "session",
        "cell",
        "query",
        "query",
        "attempt",
        "trial",
        "trial",
    ]
    good, bad = lines[-2:]
    assert good["result"]["answer"] == "USD 10.9 billion"
    assert Decimal(good["cost_usd"]) == Decimal("0.25")
    assert good["scores"][0]["name"] == "numeric"
    assert (bad["cost_usd"], bad["error_type"]) == (None, "ThrottlingException")
    assert lines[2]["model"]["prices"]["cost_per_1k_input"] == "0.001"
    assert lines[2]["prompts"]["system_text"] == "Be exact."


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_jq_reads_the_export(tmp_path: Path) -> None:
    folder = a_finished_ledger(tmp_path)
    exported = tmp_path / "ledger.jsonl"
    with exported.open("w", encoding="utf-8") as out:
        export_jsonl(folder, out)
    told = subprocess.run(
        ["jq", "-r", 'select(.type == "trial") | .result.answer', exported],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "USD 10.9 billion\nnull\n"


def test_the_format_is_documented_to_the_last_column(tmp_path: Path, project: Path) -> None:
    documented = (project / "docs" / "ledger.md").read_text(encoding="utf-8")
    words = set(re.findall(r"`(\w+)`", documented))
    connection = sqlite3.connect(a_finished_ledger(tmp_path) / LEDGER_FILE)
    tables = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') "
            "AND name NOT LIKE 'sqlite_%'"
        )
    ]
    columns = {
        row[1] for table in tables for row in connection.execute(f"PRAGMA table_info({table})")
    }
    connection.close()
    assert set(tables) - words == set()
    assert columns - words == set()
    assert f"format {schema.FORMAT}" in documented

"""Which sweeps there are, which one is meant, whose answers can be used, and what may go."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_parts import (
    a_cell,
    a_failure,
    a_ledger,
    a_result,
    an_outcome,
    answer,
    begin,
    settle_all,
    some_queries,
)

from finrag_eval.cli.main import main
from finrag_eval.domain import SweepStatus
from finrag_eval.errors import InvalidInput
from finrag_eval.record.ledger import (
    LEDGER_FILE,
    Ledger,
    LedgerReader,
    find_sweep,
    list_sweeps,
    listing_of,
    prune,
    recorded_answers,
)

HOUR = 3600.0


def a_sweep(
    root: Path, name: str, *, answered: int = 2, status: SweepStatus = "completed", code: int = 0
) -> Path:
    with a_ledger(root, name) as ledger:
        for trial in begin(ledger, [a_cell()], some_queries(3))[:answered]:
            answer(ledger, trial, outcome=an_outcome(trial, result=a_result(f"of {name}")))
        settle_all(ledger)
        ledger.end_session(status, code)
    return ledger.folder


def summary_of(folder: Path, spent: float = 0.5) -> None:
    """The summary as far as a listing reads it."""
    totals = {"trials_planned": 3, "trials_succeeded": 2, "trials_failed": 0}
    (folder / "summary.json").write_text(
        json.dumps(
            {
                "name": "nightly",
                "status": "completed",
                "started_at": "2026-01-02T03:04:05Z",
                "ended_at": "2026-01-02T03:05:05Z",
                "totals": totals,
                "budget": {"spent_usd": spent},
            }
        )
    )


def test_sweeps_are_listed_newest_first(tmp_path: Path) -> None:
    a_sweep(tmp_path, "first")
    a_sweep(tmp_path, "second", answered=1, status="budget_stopped", code=3)
    newest, oldest = list_sweeps(tmp_path)
    assert (newest.sweep_id, newest.name, newest.status) == ("second", "nightly", "budget_stopped")
    assert (newest.trials_planned, newest.succeeded, newest.failed) == (3, 1, 0)
    assert newest.spent_usd == Decimal("0.25")
    assert not newest.is_finished
    assert (oldest.sweep_id, oldest.exit_code, oldest.is_finished) == ("first", 0, True)


@pytest.mark.parametrize(
    ("code", "finished"), [(0, True), (4, True), (6, True), (3, False), (5, False), (130, False)]
)
def test_a_sweep_is_finished_by_its_exit_code(tmp_path: Path, code: int, finished: bool) -> None:
    assert listing_of(a_sweep(tmp_path, "s", code=code)).is_finished is finished


def test_a_running_sweep_is_counted_as_it_stands(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        good, bad, _ = begin(ledger, [a_cell()], some_queries(3))
        answer(ledger, good)
        ledger.append_outcome(a_failure(bad))
        settle_all(ledger)
        listing = listing_of(ledger.folder)
    assert listing.status == "running"
    assert listing.running_pid is not None
    assert (listing.succeeded, listing.failed) == (1, 1)
    assert listing.spent_usd == Decimal("0.25")
    assert not listing.is_finished
    died = listing_of(ledger.folder)
    assert (died.status, died.exit_code, died.is_finished) == ("interrupted", None, False)


def test_scoring_again_changes_neither_status_nor_exit_code(tmp_path: Path) -> None:
    folder = a_sweep(tmp_path, "s", status="budget_stopped", code=3)
    with Ledger.open(folder) as ledger:
        ledger.begin_session({}, {}, kind="score")
        ledger.append_scores(1, (), Decimal("0.01"))
        ledger.end_session("completed", 0)
    listing = listing_of(folder)
    assert (listing.status, listing.exit_code) == ("budget_stopped", 3)
    with LedgerReader.open(folder) as reader:
        assert reader.spec() == {"name": "nightly"}
        assert [session.kind for session in reader.sessions()] == ["run", "score"]


def test_a_broken_ledger_is_listed_and_hides_nothing(tmp_path: Path) -> None:
    summary_of(a_sweep(tmp_path, "whole"))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / LEDGER_FILE).write_bytes(b"garbage" * 500)
    (tmp_path / "not a sweep").mkdir()
    whole, broken = list_sweeps(tmp_path)
    assert whole.problem is None
    assert (broken.sweep_id, broken.status) == ("broken", "unreadable")
    assert "file is not a database" in str(broken.problem)
    assert recorded_answers(tmp_path, ["k"]) == {}
    assert prune(tmp_path, older_than_seconds=0, now=1e12)[0].sweep_id == "whole"
    assert (tmp_path / "broken" / LEDGER_FILE).exists()


def test_no_folder_has_no_sweeps(tmp_path: Path) -> None:
    assert list_sweeps(tmp_path / "nowhere") == []
    assert recorded_answers(tmp_path / "nowhere", ["k"]) == {}


def test_a_listing_for_machines_is_json(tmp_path: Path) -> None:
    (listing,) = list_sweeps(a_sweep(tmp_path, "s").parent)
    told = json.loads(json.dumps(listing.as_json()))
    assert told["sweep_id"] == "s"
    assert told["spent_usd"] == 0.5
    assert told["started_at"].endswith("Z")
    assert told["trials_succeeded"] == 2


def test_a_sweep_is_found_by_its_id_its_beginning_or_as_the_latest(tmp_path: Path) -> None:
    for name in ("20260101-a", "20260102-b", "20260102-b-again"):
        a_sweep(tmp_path, name)
    assert find_sweep(tmp_path, "20260101").name == "20260101-a"
    assert find_sweep(tmp_path, "20260102-b").name == "20260102-b"
    assert find_sweep(tmp_path, "latest").name == "20260102-b-again"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("20260102", "2 sweeps begin with '20260102'; give more of the id: 20260102-b, 20260102-c"),
        ("nihgtly", "there is no sweep 'nihgtly'; did you mean nightly?"),
        ("zzz", "there is no sweep 'zzz'; `finrag-eval sweeps` lists them"),
        ("", "there is no sweep ''; `finrag-eval sweeps` lists them"),
    ],
)
def test_a_sweep_that_is_not_found_is_told_how(tmp_path: Path, wanted: str, message: str) -> None:
    for name in ("nightly", "20260102-b", "20260102-c"):
        a_sweep(tmp_path, name)
    with pytest.raises(InvalidInput) as caught:
        find_sweep(tmp_path, wanted)
    assert str(caught.value) == f"{tmp_path}: {message}"


def test_latest_of_nothing_says_that_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no sweep here; run one first"):
        find_sweep(tmp_path / "nowhere", "latest")


def test_the_newest_sweeps_answer_to_a_key_is_given(tmp_path: Path) -> None:
    a_sweep(tmp_path, "older", answered=3)
    a_sweep(tmp_path, "newer", answered=2)
    a_sweep(tmp_path, "asking", answered=1)
    with LedgerReader.open(tmp_path / "older") as reader:
        keys = list(reader.answers())
    found = recorded_answers(tmp_path, [*keys, "unknown"], besides="asking")
    assert sorted(found.values()) == [("newer", 1), ("newer", 2), ("older", 3)]
    for sweep_id, outcome in found.values():
        with LedgerReader.open(tmp_path / sweep_id) as reader:
            assert reader.result(outcome)["answer"] == f"of {sweep_id}"


def test_pruning_removes_trials_and_keeps_summaries(tmp_path: Path) -> None:
    folder = a_sweep(tmp_path, "old")
    summary_of(folder)
    for name in ("summary.csv", "summary.md", "report.html", "sweep.yaml"):
        (folder / name).write_text("kept")
    for name in ("trials.parquet", "trials.csv", "recording.sqlite", "ledger.sqlite-wal"):
        (folder / name).write_text("gone")
    ended = listing_of(folder).ended_at
    assert ended is not None
    assert prune(tmp_path, older_than_seconds=HOUR, now=ended + HOUR - 1) == []
    (would,) = prune(tmp_path, older_than_seconds=HOUR, now=ended + HOUR + 1, dry_run=True)
    assert (folder / LEDGER_FILE).exists()
    (pruned,) = prune(tmp_path, older_than_seconds=HOUR, now=ended + HOUR + 1)
    assert pruned == would
    assert pruned.freed_bytes > 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "report.html",
        "summary.csv",
        "summary.json",
        "summary.md",
        "sweep.yaml",
    ]
    (listing,) = list_sweeps(tmp_path)
    assert listing.is_pruned
    assert listing.is_finished
    assert (listing.status, listing.succeeded, listing.spent_usd) == (
        "completed",
        2,
        Decimal("0.5"),
    )
    assert prune(tmp_path, older_than_seconds=0, now=ended + 2 * HOUR) == []


def test_a_running_sweep_is_never_pruned(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        begin(ledger, [a_cell()], some_queries(1))
        assert prune(tmp_path, older_than_seconds=0, now=1e12) == []
        settle_all(ledger)


def test_a_sweep_without_a_summary_of_all_it_did_is_not_pruned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = a_sweep(tmp_path, "old")
    assert prune(tmp_path, older_than_seconds=0, now=1e12) == []
    summary_of(folder)
    os.utime(folder / "summary.json", (1, 1))  # a session died behind it
    assert prune(tmp_path, older_than_seconds=0, now=1e12) == []
    arguments = ["sweeps", "prune", "--older-than", "0", "--output-dir", str(tmp_path), "--yes"]
    assert main(arguments) == 0
    assert f"`finrag-eval summary {folder.name}` makes one" in capsys.readouterr().err
    assert (folder / LEDGER_FILE).exists()


def test_a_ledger_is_printed_as_json_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = a_sweep(tmp_path, "old")
    assert main(["sweeps", "export", folder.name, "--output-dir", str(tmp_path)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["sweep_id"] == folder.name
    assert {line["type"] for line in lines} >= {"session", "cell", "query", "trial"}
    assert all(line["result"]["answer"] for line in lines if line["type"] == "trial")


def test_a_pruned_sweep_with_a_broken_summary_is_listed(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "summary.json").write_text("{")
    (listing,) = list_sweeps(tmp_path)
    assert listing.status == "unreadable"
    assert "its summary is broken" in str(listing.problem)

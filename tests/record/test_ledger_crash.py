"""Killed at any moment, or cut off in the middle of a write: what was acknowledged is whole."""

from __future__ import annotations

import random
import shutil
import signal
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_parts import (
    a_cell,
    a_ledger,
    a_result,
    an_outcome,
    begin,
    child,
    settle_all,
    some_queries,
)

from finrag_eval.record.ledger import LEDGER_FILE, Ledger, LedgerReader

WRITER = """
import sys, threading
from decimal import Decimal
from pathlib import Path
from ledger_parts import a_cell, a_result, an_outcome, begin, some_queries
from finrag_eval.domain import Trial
from finrag_eval.record.ledger import Ledger

queries = some_queries(10_000)
saying = threading.Lock()

def say(*words):
    with saying:
        print(*words, flush=True)

with Ledger.open(Path(sys.argv[1])) as ledger:
    begin(ledger, [a_cell()], queries[:1])
    done = ledger.answers()
    say("begun")
    trials = iter([n for n in range(10_000) if f"key {n}" not in done])
    taking = threading.Lock()

    def work():
        while True:
            with taking:
                number = next(trials)
            trial = Trial(key=f"key {number}", cell="c", query_id="q")
            attempt = ledger.reserve(trial_key=trial.key, cell="c", model_key="m",
                                     purpose="target", usd=Decimal("0.5"))
            say("reserved", attempt)
            ledger.settle(attempt, billed_usd=Decimal("0.25"), state="kept")
            result = a_result(f"answer {number} " * (number % 300), f"c{number}" * 900)
            ledger.append_outcome(
                an_outcome(trial, result=result),
                lambda outcome, number=number: say("recorded", number, outcome),
            )

    for _ in range(8):
        threading.Thread(target=work, daemon=True).start()
    threading.Event().wait()
"""


def kill_in_the_middle(folder: Path, lines: int) -> list[list[str]]:
    """What a writing process acknowledged before it was killed, after that many lines."""
    writing = child(WRITER, str(folder))
    assert writing.stdout is not None
    said = []
    for line in writing.stdout:
        if not line.endswith("\n"):
            break  # killed while it was speaking
        said.append(line.split())
        if len(said) == lines:
            writing.send_signal(signal.SIGKILL)
    _, errors = writing.communicate()
    assert writing.returncode == -signal.SIGKILL, errors
    return said


@pytest.mark.parametrize("seed", range(6))
def test_nothing_that_was_acknowledged_is_lost_to_kill_9(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    a_ledger(tmp_path).close()
    folder = tmp_path / "sweep-1"
    reserved: set[int] = set()
    recorded: dict[str, int] = {}
    for _ in range(3):
        for word, *rest in kill_in_the_middle(folder, chance.randint(2, 250)):
            if word == "reserved":
                reserved.add(int(rest[0]))
            elif word == "recorded":
                assert f"key {rest[0]}" not in recorded, "an answer was paid for twice"
                recorded[f"key {rest[0]}"] = int(rest[1])
        with Ledger.open(folder) as ledger:
            answers = ledger.answers()
            assert {key: answers[key][0] for key in recorded} == recorded
        with LedgerReader.open(folder) as reader:
            books = {row["attempt"]: row for row in reader.attempt_rows()}
            assert reserved <= books.keys()
            assert all(row["state"] in ("kept", "wasted") for row in books.values())
            for key, outcome in recorded.items():
                number = int(key.split()[1])
                assert reader.result(outcome) == a_result(
                    f"answer {number} " * (number % 300), f"c{number}" * 900
                )
            assert reader._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def written_in_steps(root: Path, steps: int) -> tuple[Path, list[int]]:
    """A folder as a power cut finds it, and the log's length after each outcome was safe."""
    lengths = []
    with a_ledger(root) as ledger:
        trials = begin(ledger, [a_cell()], some_queries(steps))
        log = ledger.folder / f"{LEDGER_FILE}-wal"
        for trial in trials:
            ledger.append_outcome(an_outcome(trial, result=a_result(answer=trial.key * 50)))
            ledger.flush()
            lengths.append(log.stat().st_size)
        image = root / "image"
        shutil.copytree(ledger.folder, image)
        (image / f"{LEDGER_FILE}-shm").unlink()  # memory, lost with the power
    return image, lengths


@pytest.mark.parametrize("damage", ["cut off", "zeroed", "scrambled"])
def test_a_torn_end_leaves_all_before_it_whole(tmp_path: Path, damage: str) -> None:
    chance = random.Random(damage)
    image, lengths = written_in_steps(tmp_path, steps=40)
    whole = (image / f"{LEDGER_FILE}-wal").read_bytes()
    for attempt in range(25):
        cut = chance.randint(lengths[0], lengths[-1] - 1)
        torn = tmp_path / f"torn-{attempt}"
        shutil.copytree(image, torn)
        tail = {
            "cut off": b"",
            "zeroed": bytes(len(whole) - cut),
            "scrambled": chance.randbytes(len(whole) - cut),
        }[damage]
        (torn / f"{LEDGER_FILE}-wal").write_bytes(whole[:cut] + tail)
        safe = sum(length <= cut for length in lengths)
        with Ledger.open(torn) as ledger:
            answers = ledger.answers()
            assert safe <= len(answers) <= safe + 1
            begin(ledger, [a_cell()], some_queries(1))
            ledger.reserve(trial_key="k", cell="c", model_key="m", purpose="target", usd=Decimal(1))
        with LedgerReader.open(torn) as reader:
            for key, (outcome, _) in answers.items():
                assert reader.result(outcome)["answer"] == key * 50
            assert reader._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        shutil.rmtree(torn)


def test_a_ledger_that_was_being_made_is_not_there(tmp_path: Path) -> None:
    """A new ledger takes its name when it is whole: what is left of an unborn one is no ledger."""
    folder = tmp_path / "sweep-1"
    folder.mkdir()
    (folder / f".{LEDGER_FILE}.1.part").write_bytes(b"half a page")
    with a_ledger(tmp_path) as ledger:
        begin(ledger, [a_cell()], some_queries(1))
        settle_all(ledger)

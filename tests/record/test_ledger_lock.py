"""One process writes a sweep; the second one is told which."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
from ledger_parts import a_ledger, child, output_of

from finrag_eval.errors import LedgerUnreadable, SweepInUse
from finrag_eval.record.ledger import Ledger, listing_of
from finrag_eval.record.ledger.lock import LOCK_FILE, SweepLock, holder_of

HOLD = """
import sys
from pathlib import Path
from finrag_eval.record.ledger import Ledger
with Ledger.open(Path(sys.argv[1])):
    print("open", flush=True)
    sys.stdin.read()
"""

TRY = """
import sys
from pathlib import Path
from finrag_eval.errors import SweepInUse
from finrag_eval.record.ledger import Ledger
try:
    Ledger.open(Path(sys.argv[1]))
except SweepInUse as error:
    print(error.sweep_id, error.pid, error.host)
"""


def test_a_second_process_is_refused_with_the_first_ones_pid_and_host(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        told = output_of(child(TRY, str(ledger.folder)))
    assert told.split() == ["sweep-1", str(os.getpid()), socket.gethostname()]


def test_a_second_opening_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger, pytest.raises(SweepInUse) as caught:
        Ledger.open(ledger.folder)
    assert str(caught.value) == (
        f"sweep sweep-1 is being run by process {os.getpid()} on {socket.gethostname()}; "
        "wait for it to end, or stop it"
    )


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    a_ledger(tmp_path).close()
    folder = tmp_path / "sweep-1"
    holding = child(HOLD, str(folder), stdin=-1)
    assert holding.stdout is not None
    holding.stdout.readline()
    assert listing_of(folder).running_pid == holding.pid
    with pytest.raises(SweepInUse):
        Ledger.open(folder)
    holding.send_signal(signal.SIGKILL)
    holding.communicate()
    assert listing_of(folder).running_pid is None
    Ledger.open(folder).close()


FORK = """
import os, signal, sys
from pathlib import Path
from finrag_eval.record.ledger.lock import SweepLock
lock = SweepLock.acquire(Path(sys.argv[1]))
forked = os.fork()
if forked == 0:
    print("forked", flush=True)  # the hook of the fork has run
    sys.stdin.read()
    os._exit(0)
signal.pause()
"""


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    parent = child(FORK, str(tmp_path), stdin=-1)
    assert parent.stdout is not None
    parent.stdout.readline()
    holder = holder_of(tmp_path)
    assert holder is not None
    assert holder.pid == parent.pid
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert holder_of(tmp_path) is None
    SweepLock.acquire(tmp_path).release()
    parent.communicate()


def test_a_lock_whose_file_was_removed_is_not_mistaken_for_the_new_one(tmp_path: Path) -> None:
    lock = SweepLock.acquire(tmp_path)
    lock.release(remove=True)
    assert not (tmp_path / LOCK_FILE).exists()
    with_new_file = SweepLock.acquire(tmp_path)
    with pytest.raises(SweepInUse):
        SweepLock.acquire(tmp_path)
    with_new_file.release()
    with_new_file.release()


def test_a_lock_file_without_a_holder_means_nothing(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text("1 elsewhere\n")
    assert holder_of(tmp_path) is None
    lock = SweepLock.acquire(tmp_path)
    holder = holder_of(tmp_path)
    assert holder is not None
    assert (holder.pid, holder.host) == (os.getpid(), socket.gethostname())
    lock.release()


def test_a_folder_without_a_ledger_is_told_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnreadable, match="there is no such file"):
        Ledger.open(tmp_path / "nowhere")
    with pytest.raises(LedgerUnreadable, match="there is no such file"):
        Ledger.open(tmp_path)
    assert list(tmp_path.iterdir()) == []

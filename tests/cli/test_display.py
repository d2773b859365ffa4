"""What a running sweep shows: two lines on a terminal of 80 columns, plain lines in a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

_SWEEP = """
from decimal import Decimal
from finrag_eval.cli.display import Watch
from finrag_eval.execute.snapshots import Snapshot
from finrag_eval.progress import Progress
import dataclasses

known = dict(failed=14, in_flight=8, held=14, spent_usd=Decimal("2.0713"), set_aside=3)
names = [field.name for field in dataclasses.fields(Snapshot)]
now = Snapshot(**{name: known.get(name, 0) for name in names})
watch = Watch()
watch.notice("begins")
watch.start("nightly-model-comparison", total=1000, done=0)
for done in (1, 400, 1000):
    watch.progress(Progress(done=done, total=1000, snapshot=now, max_usd=Decimal("30.00")))
watch.notice("a notice")
watch.close()
"""
_STATE = "14 failed, 8 in flight, $2.0713 of $30.00, 6 waiting, 3 set aside"


def on_a_terminal(columns: int) -> list[str]:
    """Every line that was drawn, without the terminal's own codes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", _SWEEP], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 65536):
            said += piece
    except OSError:
        pass  # how Linux says that the other end is closed
    os.close(ours)
    assert process.wait() == 0, said.decode()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", said.decode())
    return [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


def test_counts_rate_time_and_money_fit_80_columns() -> None:
    lines = on_a_terminal(80)
    assert max(len(line) for line in lines) <= 80
    assert f"  {_STATE}" in lines
    bars = [line for line in lines if line.startswith("nightly-model-comparison")]
    assert any("1000/1000" in line and "ETA" in line for line in bars)
    assert "a notice" in lines


def test_the_last_line_is_the_finished_bar() -> None:
    last = on_a_terminal(80)[-1]
    assert last.startswith("nightly-model-comparison 100%")


def test_a_pipe_gets_the_notices_alone() -> None:
    ran = subprocess.run([sys.executable, "-c", _SWEEP], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("", "begins\na notice\n")

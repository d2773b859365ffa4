"""What the program says to somebody who types its name alone."""

from __future__ import annotations

import subprocess
import sys


def test_every_command_is_described_by_a_whole_sentence_on_80_columns() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "finrag_eval"], capture_output=True, text=True, check=False
    )
    text = ran.stdout + ran.stderr
    lines = text.partition("Commands:\n")[2].splitlines()
    assert len(lines) >= 15
    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []
    assert max(len(line) for line in text.splitlines()) <= 80

"""Callables that are evaluated in other processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

_LLM = {"input_tokens": 10, "output_tokens": 10}


def echo(query: str) -> dict[str, Any]:
    """Answers with the question."""
    return {"query": query, "answer": query, "context": "", "metadata": {"llm": _LLM}}


def takes_a_moment(query: str) -> dict[str, Any]:
    """Answers after 50 ms."""
    time.sleep(0.05)
    return echo(query)


def kills_its_process(query: str) -> dict[str, Any]:
    """Never answers."""
    os.kill(os.getpid(), signal.SIGKILL)
    return echo(query)


def kills_its_process_once(query: str) -> dict[str, Any]:
    """Leaves a file for each call; the tenth one is its process's last."""
    folder = Path(os.environ["FAR_TARGETS_FOLDER"])
    number = len(list(folder.glob("call-*")))
    (folder / f"call-{number}-{os.getpid()}-{time.monotonic_ns()}").touch()
    if number >= 10:
        try:
            (folder / "killed").touch(exist_ok=False)
        except FileExistsError:
            return echo(query)
        os.kill(os.getpid(), signal.SIGKILL)
    return echo(query)

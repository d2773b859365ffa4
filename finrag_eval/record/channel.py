"""The line between driver and recorder: one JSON object a line, commands in and events out.

Enters: what a pipe brings. Leaves: the same as dicts. The end of the commands means that the
driver is gone. A reader thread takes commands at once, so that a driver's write never waits.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import IO, Any

#: What stands in the queue when the driver's end of the pipe is closed.
GONE = {"command": "gone"}


class Channel:
    """The recorder's end of the line."""

    def __init__(self, commands: IO[str], events: IO[str]) -> None:
        self._commands, self._events = commands, events
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True, name="commands").start()

    @classmethod
    def of_this_process(cls) -> Channel:
        """The line on stdin and stdout; from now on, whatever is printed goes to stderr."""
        events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        return cls(sys.stdin, events)

    def first_command(self) -> dict[str, Any]:
        """The first command, or ``GONE``; waits for it."""
        return self._inbox.get()

    def command(self, wait_s: float) -> dict[str, Any] | None:
        """The next command, or ``GONE``; None where none came within that time."""
        try:
            return self._inbox.get(timeout=wait_s) if wait_s > 0 else self._inbox.get_nowait()
        except queue.Empty:
            return None

    def send(self, event: str, **facts: Any) -> None:
        """Tells the driver; says nothing where there is no driver any more."""
        try:
            self._events.write(json.dumps({"event": event, **facts}) + "\n")
            self._events.flush()
        except (OSError, ValueError):
            pass

    def _listen(self) -> None:
        for line in self._commands:
            try:
                self._inbox.put(json.loads(line))
            except ValueError:
                continue
        self._inbox.put(GONE)

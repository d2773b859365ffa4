"""The recorder: a process of its own that follows a sweep's ledger into MLflow.

Enters: commands of the driver on stdin, and the ledger, read-only. Leaves: runs in the store, and
events on stdout. It never holds up the driver: while the store is away it tries again, and says
so. When the driver dies, what is in the ledger is recorded, the sweep's run is closed, and the
process ends. It loads MLflow before it is told its sweep, beside the driver's own start.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from finrag_eval.errors import FinragEvalError
from finrag_eval.garbage import collect_seldom
from finrag_eval.record.channel import Channel
from finrag_eval.record.lanes import StoreAway, one_line
from finrag_eval.record.ledger import LedgerReader
from finrag_eval.record.mlflow_loading import load_mlflow
from finrag_eval.record.open_recording import Recording, open_recording
from finrag_eval.record.recording import LOG_FILE
from finrag_eval.record.store import mask_uri, prepare_environment

_POLL_S = 0.08
#: How long trials are gathered while the driver calls on. At 128 trials a second the recorder took
#: 6.1 s of CPU for 1,000 trials in such batches, and 7.3 s without (2026-11-28).
_GATHER_S = 0.4
#: And near the end, so that little is left to record when the last answer is there.
_GATHER_LAST_S = 0.1
_PROGRESS_S = 0.25
#: Where both want a core, the calls come first: 1,000 calls of 0.5 s at concurrency 64 were all
#: answered in 1.14 times the ideal with it, and in 1.21 without (2 cores, 2026-11-29).
_NICE = 5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0
#: How long a recorder without a driver waits for a store that is away: less long than the next
#: session's recorder waits for it, which would record nothing else.
_ORPHAN_PATIENCE_S = 40.0
_LOCK_PATIENCE_S = 60.0

_log = logging.getLogger("finrag_eval.recorder")


class FilesMaker(Protocol):
    """Who makes a sweep's files: this process has time, and most of the libraries, for it."""

    def make_ready(self, folder: Path) -> bool:
        """Does one piece of what the files will need; False where there is nothing to do now."""

    def write(self, folder: Path, ending: Mapping[str, Any], then: Callable[[], None]) -> None:
        """Makes the summary of the sweep in ``folder``, calls ``then``, and makes the report."""

    def close(self) -> None:
        """Lets go of what it holds open."""


class Recorder:
    """One session's recording, from the driver's first command to the end."""

    def __init__(
        self, folder: Path, asked: dict[str, Any], channel: Channel, files: FilesMaker
    ) -> None:
        self._folder, self._channel, self._files = folder, channel, files
        self._asked = asked
        self._recording: Recording | None = None
        self._pause_s = 0.0
        self._next_try = 0.0
        self._has_time = False
        self._makes_ready = True
        self._away_since: float | None = None
        self._gone_at: float | None = None
        self._wants_level = False
        self._end: dict[str, Any] | None = None
        self._next_progress = 0.0
        self.is_over = False

    def run(self) -> None:
        """Works until the driver says ``quit``, or is gone and nothing is left to do."""
        while not self.is_over:
            command = self._channel.command(self._idle_s())
            if command is not None:
                self._obey(command)
                continue
            if self.is_over:
                break
            if time.monotonic() >= self._next_try:
                self._try_to_work()
            elif self._has_time:
                self._make_ready()
        self._files.close()
        if self._recording is not None:
            self._recording.close()

    def _idle_s(self) -> float:
        """Seconds to wait for a command; none where there is something to do meanwhile."""
        left = max(0.0, self._next_try - time.monotonic())
        return 0.0 if self._has_time else min(_POLL_S * 5, left)

    def _obey(self, command: dict[str, Any]) -> None:
        match command.get("command"):
            case "drain":
                self._wants_level, self._next_try = True, 0.0
            case "finish":
                self._end, self._wants_level, self._next_try = command, True, 0.0
            case "files":
                self._write_files(command["ending"])
            case "quit":
                self.is_over = True
            case "gone":
                self._gone_at, self._next_try = time.time(), 0.0
                self.is_over = self._recording is not None and self._recording.is_closed

    def _try_to_work(self) -> None:
        self._has_time = False
        try:
            busy = self._work()
        except StoreAway as away:
            self._is_away(away.reason)
        except FinragEvalError as error:
            self._channel.send("fatal", reason=one_line(error))
            self.is_over = True
        except Exception as error:
            _log.exception("recording failed")
            self._is_away(one_line(error))
        else:
            if self._away_since is not None:
                self._away_since = None
                self._channel.send("back")
            self._next_try = time.monotonic() + (self._until_more() if busy else _POLL_S)
            self._has_time = self._makes_ready and self._recording is not None

    def _make_ready(self) -> None:
        """Uses the time until there is more to record."""
        try:
            self._has_time = self._files.make_ready(self._folder)
        except Exception as error:
            _log.warning("no more is made ready for the sweep's files: %s", one_line(error))
            self._makes_ready = self._has_time = False

    def _write_files(self, ending: Mapping[str, Any]) -> None:
        try:
            self._files.write(self._folder, ending, lambda: self._channel.send("summary"))
        except Exception as error:
            _log.exception("the sweep's files could not be made here")
            self._channel.send("files", reason=one_line(error))
        else:
            self._channel.send("files", reason=None)

    def _until_more(self) -> float:
        """Seconds to let trials gather before the next batch; none where somebody waits for it."""
        is_pressed = self._wants_level or self._gone_at is not None
        is_behind = self._recording is not None and self._recording.is_behind
        if is_pressed or is_behind:
            return 0.0
        is_near_end = self._recording is not None and self._recording.is_near_end
        return _GATHER_LAST_S if is_near_end else _GATHER_S

    def _is_away(self, reason: str) -> None:
        now = time.monotonic()
        if self._away_since is None:
            self._away_since, self._pause_s = now, _FIRST_PAUSE_S
        else:
            longest = _LONGEST_PAUSE_S / 5 if self._wants_level else _LONGEST_PAUSE_S
            self._pause_s = min(longest, self._pause_s * 1.6)
        self._next_try = now + self._pause_s
        self._channel.send("away", reason=reason, seconds=round(now - self._away_since, 1))
        if self._gone_at is not None and now - self._away_since > _ORPHAN_PATIENCE_S:
            self.is_over = True

    def _work(self) -> bool:
        """One piece of work; False where there is nothing to do but wait for more."""
        if self._recording is None and not self._open():
            self.is_over = self._gone_at is not None
            return False
        recording = self._recording
        if recording is None or recording.is_closed:
            return False
        if recording.step(until=self._gone_at):
            self._tell_progress()
            return True
        if self._end is not None or self._gone_at is not None:
            end = self._end or {}
            recording.end(end.get("status"), end.get("ended_at"))
            self._channel.send("finished", **recording.state())
            self.is_over = self._gone_at is not None
        elif self._wants_level:
            recording.clear_up()
            self._channel.send("level", **recording.state())
            self._wants_level = False
        return False

    def _open(self) -> bool:
        """True once everything is open; False before a session has been begun in the ledger."""
        reader = LedgerReader.open(self._folder)
        try:
            if reader.spec() is not None:
                self._recording = open_recording(self._folder, reader, self._asked, self._channel)
        finally:
            if self._recording is None:
                reader.close()
        return self._recording is not None

    def _tell_progress(self) -> None:
        """Now and then; counting 100,000 trials may take a twentieth of the time at most."""
        began = time.monotonic()
        if self._recording is not None and began >= self._next_progress:
            self._channel.send("progress", **self._recording.progress())
            took = time.monotonic() - began
            self._next_progress = began + max(_PROGRESS_S, 20 * took)


@contextlib.contextmanager
def _only_recorder(folder: Path, channel: Channel) -> Iterator[bool]:
    """True once no other recorder writes for this sweep; False where one does not end.

    A recorder whose driver died may still be bringing the store level. The lock names its process.
    """
    with (folder / "recording.lock").open("a+") as lock:
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock.truncate(0)
                lock.write(f"{os.getpid()}\n")
                lock.flush()
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    yield False
                    return
                if not told:
                    channel.send("notice", text="waiting for the recorder of the session before")
                    told = True
                time.sleep(_POLL_S)
        yield True


class _Masked:
    """Standard error without passwords: what libraries log may hold whole URIs."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return int(self._stream.write(mask_uri(text)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def main(files: FilesMaker) -> int:
    """Runs the recorder of the sweep that the driver names; 0 unless it could not even begin."""
    sys.stderr = _Masked(sys.stderr)
    channel = Channel.of_this_process()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(message)s")
    prepare_environment(recorder=True)
    os.nice(_NICE)
    collect_seldom()  # before MLflow is loaded: most objects come with it
    load_mlflow()
    asked = channel.first_command()
    if asked.get("command") != "start":
        return 0
    folder = Path(asked["folder"])
    _say_things_into(folder / LOG_FILE)
    recorder = Recorder(folder, asked, channel, files)

    def stop(_number: int, _frame: object) -> None:
        recorder.is_over = True

    signal.signal(signal.SIGTERM, stop)
    with _only_recorder(folder, channel) as is_alone:
        if not is_alone:
            channel.send("fatal", reason="another recorder is writing for this sweep")
            return 1
        channel.send("ready", pid=os.getpid())
        recorder.run()
    return 0


def _say_things_into(log: Path) -> None:
    """From now on, standard error goes there, and whatever a library prints."""
    with log.open("a") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)

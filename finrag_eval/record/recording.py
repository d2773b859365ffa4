"""The driver's side of recording: starts the recorder, hears how far it is, never waits for it.

Enters: a sweep's folder and a store. Leaves: a handle; at the end, whether the store is level with
the ledger. Imports no MLflow: that happens in the recorder, beside the first calls.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from finrag_eval.record.run_book import recorded
from finrag_eval.record.store_uri import mask_uri

LOG_FILE = "recorder.log"
#: How long the end of a sweep waits for a store that is away, and how long for one that answers
#: but gets nowhere (MLflow's import and a first store take up to 20 s on a busy machine).
PATIENCE_S = 30.0
_STUCK_S = 300.0
_AFTER_GIVING_UP_S = 1.0
_CLOSING_S = 10.0
_RESTARTS = 2
_WAIT_S = 0.2

Notice = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Whether the store has all of the ledger; ``reason`` says why not."""

    is_level: bool
    recorded: int
    behind: int
    reason: str | None = None


class EarlyRecorder:
    """A recorder's process that loads MLflow while its sweep is still being read.

    A context manager that ends the process, unless a handle has taken it over by then.
    """

    def __init__(self) -> None:
        self._errors: IO[str] = tempfile.TemporaryFile(  # noqa: SIM115  (closed with the process)
            "w+", encoding="utf-8", errors="replace"
        )
        self._process: subprocess.Popen[str] | None = subprocess.Popen(
            [sys.executable, "-m", "finrag_eval.behind"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is the driver's to hear
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()
        self._process.wait()

    @property
    def process_id(self) -> int | None:
        """The process; None once it is taken over."""
        return None if self._process is None else self._process.pid

    def take(self) -> tuple[subprocess.Popen[str], IO[str]]:
        """The process, with what it says on standard error until it has a sweep; only once."""
        process, self._process = self._process, None
        if process is None:
            raise RuntimeError("this recorder was taken over before")
        return process, self._errors


class RecorderHandle:
    """A recorder process; a context manager that closes it.

    Events are heard in a thread of their own. A recorder that dies is started again when its work
    is asked for: it goes on where the ledger and the store say.
    """

    def __init__(
        self,
        folder: Path,
        start: Mapping[str, Any],
        on_notice: Notice,
        early: EarlyRecorder | None = None,
    ) -> None:
        self._folder, self._start, self._on_notice = folder, dict(start), on_notice
        self._changed = threading.Condition()
        self._parent: dict[str, Any] = {}
        self._level: dict[str, Any] | None = None
        self._finished: dict[str, Any] | None = None
        self._summary: dict[str, Any] | None = None
        self._files: dict[str, Any] | None = None
        self._fatal: str | None = None
        self._away: str | None = None
        self._recorded, self._behind = 0, 0
        self._heard_at = self._away_at = time.monotonic()
        self._gave_up = False
        self._restarts = 0
        self._begin(early or EarlyRecorder())

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        uri: str,
        experiment: str | None = None,
        lane: str | None = None,
        artifacts: str | None = None,
        traces: bool | None = None,
        verify: bool = False,
        on_notice: Notice = lambda text: None,
        early: EarlyRecorder | None = None,
    ) -> Self:
        """A recorder for the sweep in ``folder``, at once; it opens the store by itself.

        What is None is taken from the spec in the ledger. ``verify`` compares the whole store
        with the ledger first. ``on_notice`` gets single lines, in a thread of the handle.
        ``early`` is a process that was started before, which is taken over.
        """
        asked = {
            "command": "start",
            "folder": str(folder.absolute()),
            "uri": uri,
            "experiment": experiment,
            "lane": lane,
            "artifacts": artifacts,
            "traces": traces,
            "verify": verify,
        }
        return cls(folder, asked, on_notice, early)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def parent_run_id(self) -> str | None:
        """The sweep's own run; None until the store has it."""
        return self._parent.get("run_id")

    @property
    def run_url(self) -> str | None:
        """Where a browser shows the sweep's run; None until the store has it."""
        return self._parent.get("url")

    @property
    def lane(self) -> str | None:
        """``bulk`` or ``public``; None until the store is open."""
        return self._parent.get("lane")

    @property
    def process_id(self) -> int:
        """The recorder's process."""
        return self._process.pid

    @property
    def away(self) -> str | None:
        """Why the store cannot be reached just now; None where it can."""
        return self._away

    @property
    def fatal(self) -> str | None:
        """Why nothing will ever be recorded, such as a deleted experiment; None where it may."""
        return self._fatal

    def run_ids(self) -> dict[str, str]:
        """Trial key -> run id of every trial that is recorded by now."""
        found = recorded(self._folder)
        return {} if found is None else dict(found.run_ids)

    def drain(
        self,
        *,
        meanwhile: Callable[[], None] = lambda: None,
        patience_s: float = PATIENCE_S,
        progress: Progress = lambda done, behind: None,
    ) -> Level:
        """Waits until all of the ledger is in the store; gives up on one that is away so long.

        ``meanwhile`` is called while the recorder works already. ``progress`` is told how many
        trials are recorded, and how many are not yet.
        """
        self._level = None
        return self._await({"command": "drain"}, "_level", patience_s, progress, meanwhile)

    def begin_files(self, ending: Mapping[str, Any]) -> None:
        """Has the recorder make summary and report, and does not wait for them.

        To be asked when the store is level: a recorder that waits for a store hears nothing.
        """
        self._files = self._summary = None
        self._send({"command": "files", "ending": dict(ending)})

    def has_made_summary(self) -> bool:
        """Whether the summary's files are there; waits for them."""
        self._wait_for(lambda: self._files if self._summary is None else self._summary)
        return self._summary is not None

    def has_made_files(self) -> bool:
        """Whether the report is there, too; waits for it."""
        self._wait_for(lambda: self._files)
        return self._files is not None and self._files["reason"] is None

    def _wait_for(self, event: Callable[[], object]) -> None:
        """Until the recorder has told it, or never will."""
        with self._changed:
            while event() is None and self._fatal is None and self._hearing.is_alive():
                self._changed.wait(_WAIT_S)

    def finish(
        self,
        status: str | None,
        *,
        ended_at: float | None = None,
        patience_s: float = PATIENCE_S,
        progress: Progress = lambda done, behind: None,
    ) -> Level:
        """Gives the sweep's run its final state, with the files that the folder has by now.

        Without a status, the one that the summary or the ledger's last session tells.
        """
        self._finished = None
        if self._gave_up:  # ``drain`` has waited for it already
            patience_s = min(patience_s, _AFTER_GIVING_UP_S)
        command = {"command": "finish", "status": status, "ended_at": ended_at}
        return self._await(command, "_finished", patience_s, progress)

    def dismiss(self) -> None:
        """Asks the recorder to end, and waits for nothing: ``close`` will find it gone."""
        self._send({"command": "quit"})

    def close(self) -> None:
        """Ends the recorder, whatever it is doing; what is not recorded yet stays in the ledger."""
        self.dismiss()
        self._let_go()
        log = self._folder / LOG_FILE
        if log.exists() and log.stat().st_size == 0:
            log.unlink(missing_ok=True)

    # -- inside

    def _let_go(self) -> None:
        """Waits for the process to end, and ends it where it does not."""
        with contextlib.suppress(OSError):
            self._pipe.close()
        self._hearing.join(_CLOSING_S)  # until it ends: ``wait`` looks for that only now and then
        try:
            self._process.wait(_CLOSING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._hearing.join(_CLOSING_S)
        with self._errors as errors:
            errors.seek(0)
            if said := errors.read():
                with (self._folder / LOG_FILE).open("a", encoding="utf-8") as log:
                    log.write(mask_uri(said))

    def _begin(self, early: EarlyRecorder) -> None:
        """Names the sweep to a process that has none yet, and hears what it says."""
        self._process, self._errors = early.take()
        assert self._process.stdin is not None
        self._pipe = self._process.stdin
        self._hearing = threading.Thread(
            target=self._hear, args=(self._process,), daemon=True, name="recorder"
        )
        self._hearing.start()
        self._send(self._start)

    def _send(self, command: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._pipe.write(json.dumps(command) + "\n")
            self._pipe.flush()

    def _hear(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as events:
            for line in events:
                with contextlib.suppress(ValueError):
                    self._note(json.loads(line))
        with self._changed:
            self._changed.notify_all()

    def _note(self, event: dict[str, Any]) -> None:
        said: str | None = None
        with self._changed:
            match event.pop("event", None):
                case "parent":
                    self._parent = event
                case "progress":
                    if event["recorded"] != self._recorded:
                        self._heard_at = time.monotonic()
                    self._recorded, self._behind = event["recorded"], event["behind"]
                case "level":
                    self._level = event
                case "finished":
                    self._finished = event
                case "summary":
                    self._summary = event
                case "files":
                    self._files = event
                case "fatal":
                    self._fatal = event["reason"]
                    said = f"nothing is being recorded in MLflow: {self._fatal}"
                case "notice":
                    said = event["text"]
                case "away":
                    if self._away is None:
                        said = (
                            f"the tracking store is away ({event['reason']}); "
                            "answers go into the ledger, and recording is tried again"
                        )
                        self._away_at = time.monotonic()
                    self._away = event["reason"]
                case "back":
                    self._away, self._gave_up = None, False
                    self._heard_at = time.monotonic()
                    said = "the tracking store is back"
            self._changed.notify_all()
        if said is not None:
            self._on_notice(said)

    def _await(
        self,
        command: Mapping[str, Any],
        answer: str,
        patience_s: float,
        progress: Progress,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Level:
        self._send(command)
        meanwhile()
        asked_at = self._heard_at = time.monotonic()
        while True:
            with self._changed:
                if getattr(self, answer) is None and self._fatal is None:
                    self._changed.wait(_WAIT_S)
                told = getattr(self, answer)
            progress(self._recorded, self._behind)
            if told is not None:
                self._recorded, self._behind = told["recorded"], told["behind"]
                progress(self._recorded, self._behind)
                return self._as_level(told["level"], told["reason"])
            if self._fatal is not None:
                return self._as_level(False, self._fatal)
            if self._process.poll() is not None and not self._hearing.is_alive():
                if self._restarts >= _RESTARTS:
                    code = self._process.returncode
                    why = f"the recorder ended with code {code}, see {LOG_FILE}"
                    return self._as_level(False, why)
                self._restart(command)
            reason = self._why_give_up(asked_at, patience_s)
            if reason is not None:
                self._gave_up = True
                return self._as_level(False, reason)

    def _why_give_up(self, asked_at: float, patience_s: float) -> str | None:
        """Why there is no use in waiting any longer; None while there is."""
        now, away = time.monotonic(), self._away
        if away is not None:
            return away if now - max(asked_at, self._away_at) > patience_s else None
        return None if now - self._heard_at < _STUCK_S else f"no progress within {_STUCK_S:.0f} s"

    def _restart(self, command: Mapping[str, Any]) -> None:
        self._restarts += 1
        self._on_notice("the recorder died; it is started again")
        self._let_go()
        self._heard_at = time.monotonic()
        self._begin(EarlyRecorder())
        self._send(command)

    def _as_level(self, is_level: bool, reason: str | None) -> Level:
        return Level(is_level=is_level, recorded=self._recorded, behind=self._behind, reason=reason)


def sync_sweep(
    folder: Path,
    uri: str,
    *,
    experiment: str | None = None,
    between: Callable[[RecorderHandle], None] = lambda handle: None,
    patience_s: float = PATIENCE_S,
    on_notice: Notice = lambda text: None,
    progress: Progress = lambda done, behind: None,
) -> Level:
    """Brings the store level with the ledger: one run a trial, whole, and none RUNNING.

    Compares the whole store with the ledger, so it may be run at any time and any number of
    times. ``between`` is called once all trials are recorded, to write the sweep's files again.
    """
    with RecorderHandle.start(
        folder, uri=uri, experiment=experiment, verify=True, on_notice=on_notice
    ) as handle:
        level = handle.drain(patience_s=patience_s, progress=progress)
        if not level.is_level and handle.parent_run_id is None:
            return level
        between(handle)
        ended = handle.finish(None, patience_s=patience_s, progress=progress)
        return ended if level.is_level else level

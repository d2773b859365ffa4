"""A sweep's recording with everything open: ledger, book, store, lane and the sweep's own run.

Enters: a folder, its ledger and what the driver asked for. Leaves: a ``Recording`` that takes one
step at a time. Whatever the store's client raises here means that the store is away, for now.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from finrag_eval.errors import FinragEvalError, InvalidInput, Problem
from finrag_eval.record.bulk_lane import BulkLane, why_not_bulk
from finrag_eval.record.channel import Channel
from finrag_eval.record.follower import Follower
from finrag_eval.record.jobs import JobMaker, KeepsFiles, keeps_files
from finrag_eval.record.lanes import Lane, StoreAway, is_refusal, one_line
from finrag_eval.record.ledger import LedgerReader
from finrag_eval.record.left_behind import end_runs_left_behind
from finrag_eval.record.payload import Origin
from finrag_eval.record.public_lane import PublicLane
from finrag_eval.record.reconcile import reconcile, remove_strays
from finrag_eval.record.run_book import RunBook
from finrag_eval.record.store import Store, mask_uri, open_store, why_unreachable
from finrag_eval.record.sweep_run import SweepRun
from finrag_eval.record.traces import Tracer

_log = logging.getLogger("finrag_eval.recorder")


def open_recording(
    folder: Path, reader: LedgerReader, asked: Mapping[str, Any], channel: Channel
) -> Recording:
    """The recording, with the sweep's run RUNNING in the store.

    Raises StoreAway where the store does not answer, and InvalidInput where it never will.
    """
    spec = reader.spec() or {}
    wanted = {"lane": "auto", "artifacts": "all", "traces": False, **(spec.get("tracking") or {})}
    wanted |= {key: value for key, value in asked.items() if value is not None}
    experiment, uri = str(asked.get("experiment") or spec["experiment"]), str(asked["uri"])
    keeps = _keeps_files(str(wanted["artifacts"]), reader)

    def being_made() -> None:
        channel.send("notice", text=f"making a new MLflow store, {mask_uri(uri)}: some seconds")

    if reason := why_unreachable(uri):  # MLflow itself tries a dead database for minutes
        raise StoreAway(reason)
    with contextlib.ExitStack() as undo, as_away():
        store = open_store(uri, experiment, own_process=True, on_create=being_made)
        lane, notice = choose_lane(store, str(wanted["lane"]), reader.sweep_id)
        undo.callback(lane.close)
        book = RunBook(folder, uri, experiment)
        undo.callback(book.close)
        parent = SweepRun(folder, reader, book, store)
        parent_run_id, is_new = parent.begin()
        if is_new:
            end_runs_left_behind(store, folder)
            book.doubt_all()
            book.advance(0)
        looks_closely = is_new or bool(asked.get("verify")) or not book.was_level
        if looks_closely:
            reconcile(store, book, reader.sweep_id, direct=lane.name == "bulk")
        book.set_level(False)
        maker = JobMaker(reader, _origin(spec, reader.sweep_id, parent_run_id), keeps)
        recording = Recording(
            reader=reader,
            book=book,
            store=store,
            lane=lane,
            parent=parent,
            follower=Follower(reader, book, store, lane, maker),
            tracer=Tracer(reader, book, store) if wanted["traces"] else None,
            looks_closely=looks_closely,
            notice=lambda text: channel.send("notice", text=text),
        )
        undo.pop_all()
    if notice:
        channel.send("notice", text=notice)
    channel.send(
        "parent",
        run_id=parent_run_id,
        url=store.run_url(parent_run_id),
        experiment_id=store.experiment_id,
        lane=lane.name,
    )
    return recording


class Recording:
    """A sweep on its way into a store."""

    def __init__(
        self,
        *,
        reader: LedgerReader,
        book: RunBook,
        store: Store,
        lane: Lane,
        parent: SweepRun,
        follower: Follower,
        tracer: Tracer | None,
        looks_closely: bool,
        notice: Callable[[str], None],
    ) -> None:
        self._reader, self._book, self._store, self._lane = reader, book, store, lane
        self._parent, self._follower, self._tracer = parent, follower, tracer
        self._looks_closely, self._notice = looks_closely, notice
        self._total, self._planned = 0, reader.counts().planned
        #: Whether what is left of the plan is no more than two batches like the newest one.
        self.is_near_end = False
        self._is_clear = False
        self.is_closed = False

    @property
    def is_behind(self) -> bool:
        """Whether more is waiting than one step records."""
        return self._follower.is_behind

    def step(self, *, until: float | None) -> bool:
        """Records the next few trials; False where there is nothing left. Raises StoreAway."""
        if self._follower.step(until=until):
            self._is_clear = False
            return True
        if self._tracer is not None and self._tracer.is_hopeless:
            self._notice("MLflow takes no traces; going on without them")
            self._tracer = None
        return self._tracer is not None and self._tracer.step()

    def clear_up(self) -> None:
        """Sees to it that the store has one run a trial and nothing besides. Raises StoreAway."""
        if self._is_clear:
            return
        with as_away():
            if self._store.is_server or self._looks_closely:
                direct = self._follower.is_direct
                remove_strays(self._store, self._book, self._reader.sweep_id, direct=direct)
            if self._looks_closely:
                self._follower.record_unscored()
        self._is_clear = True

    def end(self, status: str | None, ended_at: float | None) -> None:
        """Gives the sweep's run its summary and a final state. Raises StoreAway.

        Without a status the driver has died: then trials that it left unscored are recorded, too.
        """
        if status is None:
            self._looks_closely, self._is_clear = True, False
        self.clear_up()
        with as_away():
            self._parent.end(status, ended_at)
        self._book.set_level(self._book.counts()[1] == 0)
        self.is_closed = True

    def state(self) -> dict[str, Any]:
        """Whether all of the ledger is in the store, and why not."""
        done, refused = self._book.counts()
        why = self._book.why_refused()
        reason = None if why is None else f"the store refused {refused} of the trials; {why}"
        return {"level": refused == 0, "reason": reason, "recorded": done, "behind": 0}

    def progress(self) -> dict[str, Any]:
        """How many trials are recorded, and how many of the ledger are not yet."""
        done, refused = self._book.counts()
        if done + refused >= self._total:
            counts = self._reader.counts()
            self._total = counts.succeeded + counts.failed
        left = self._planned - done - refused
        self.is_near_end = self.is_near_end or left <= 2 * self._follower.batch_size
        return {"recorded": done, "behind": max(0, self._total - done - refused)}

    def close(self) -> None:
        self._lane.close()
        self._book.close()
        self._reader.close()


def choose_lane(store: Store, asked: str, sweep_id: str) -> tuple[Lane, str | None]:
    """The lane for this store, and one line where it is not the one that might be expected."""
    if asked == "public":
        return PublicLane(store), None
    why_not = why_not_bulk(store)
    if why_not is None:
        return BulkLane(store, sweep_id), None
    is_news = asked == "bulk" or store.engine is not None
    return PublicLane(store), f"recording run by run, not in bulk: {why_not}" if is_news else None


@contextlib.contextmanager
def as_away() -> Iterator[None]:
    """Turns whatever the store's client raises into StoreAway."""
    try:
        yield
    except (StoreAway, FinragEvalError):
        raise
    except Exception as error:
        if is_refusal(error):
            _log.exception("the store refused")
        raise StoreAway(one_line(error)) from error


def _keeps_files(policy: str, reader: LedgerReader) -> KeepsFiles:
    try:
        return keeps_files(policy, reader.query_ids)
    except ValueError as error:
        problem = Problem(file="sweep", key="tracking.artifacts", message=str(error), fix="")
        raise InvalidInput([problem]) from error


def _origin(spec: Mapping[str, Any], sweep_id: str, parent_run_id: str) -> Origin:
    retrieval = spec.get("retrieval") or {}
    return Origin(
        environment=str(spec.get("environment", "development")),
        include_kpi=bool(retrieval.get("include_kpi", True)),
        include_rag=bool(retrieval.get("include_rag", True)),
        repeats=int(spec.get("repeats", 1)),
        sweep_id=sweep_id,
        parent_run_id=parent_run_id,
        tags={str(key): str(value) for key, value in (spec.get("tags") or {}).items()},
    )

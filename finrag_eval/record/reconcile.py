"""The store compared with the book: one run a trial, no stray, none left half-made.

Enters: a store, and the recorder's memory of it. Leaves: the memory put right, runs that nobody
asked for removed. Needed after a crash, after a lost reply, and whenever ``sync`` is run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from finrag_eval.record.lanes import is_missing_run
from finrag_eval.record.run_book import RunBook
from finrag_eval.record.store import Store

_PAGE = 1000
_FEW = 20
#: Ids in one statement.
_FEW_IDS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRun:
    """A trial's run in the store."""

    run_id: str
    trial_key: str
    status: str
    is_deleted: bool


def find_runs(
    store: Store, sweep_id: str, keys: Sequence[str] | None = None, *, direct: bool
) -> Iterator[FoundRun]:
    """Runs of the sweep's trials, deleted ones included; of ``keys``, or of all of them.

    ``direct`` reads the tables themselves: only where the bulk lane may be used.
    """
    if direct:
        yield from _find_in_tables(store, sweep_id, keys)
    elif keys is not None and len(keys) <= _FEW:
        for key in keys:
            yield from _find(store, f"{_of_sweep(sweep_id)} and {_tag('trial_key', key)}")
    else:
        wanted = None if keys is None else set(keys)
        for run in _find(store, f"{_of_sweep(sweep_id)} and {_tag('kind', 'trial')}"):
            if wanted is None or run.trial_key in wanted:
                yield run


def reconcile(
    store: Store,
    book: RunBook,
    sweep_id: str,
    keys: Sequence[str] | None = None,
    *,
    direct: bool,
) -> None:
    """Makes the book say what the store has, of ``keys`` or of the whole sweep.

    Of several runs of one trial one is kept and the others are deleted. A run that is not whole
    is noted as begun, so that it is completed; one that is gone is forgotten, so that it is made
    again.
    """
    found: dict[str, list[FoundRun]] = defaultdict(list)
    for run in find_runs(store, sweep_id, keys, direct=direct):
        found[run.trial_key].append(run)
    known = dict(book.all_entries()) if keys is None else book.entries(list(keys))
    adopted: dict[str, str] = {}
    for key, runs in found.items():
        entry = known.get(key)
        kept = _best(runs, entry.run_id if entry else None)
        for run in runs:
            if run is not kept and not run.is_deleted:
                remove(store, run)
        is_whole = kept.status in ("FINISHED", "FAILED") and not kept.is_deleted
        if entry is None or entry.run_id != kept.run_id or not is_whole:
            adopted[key] = kept.run_id
    book.adopt(adopted)
    if keys is None:
        gone = [key for key, entry in known.items() if key not in found and entry.run_id]
        book.forget(gone)
        if adopted or gone:
            book.advance(0)


def remove_strays(store: Store, book: RunBook, sweep_id: str, *, direct: bool) -> None:
    """Removes runs that a lost reply left behind: RUNNING ones beside a trial's, second parents.

    ``direct`` as in ``find_runs``.
    """
    if direct:
        doubtful = _doubtful_in_tables(store, sweep_id)
    else:
        running = _find(store, f"{_of_sweep(sweep_id)} and attributes.status = 'RUNNING'")
        parents = _find(store, f"{_of_sweep(sweep_id)} and {_tag('kind', 'sweep')}")
        doubtful = list({run.run_id: run for run in (*running, *parents)}.values())
    keys = [run.trial_key for run in doubtful if run.trial_key]
    known = book.entries(keys) if keys else {}
    for run in doubtful:
        if run.trial_key:
            entry = known.get(run.trial_key)
            kept = None if entry is None else entry.run_id
        else:
            kept = book.parent_run_id
        if kept not in (None, run.run_id) and not run.is_deleted:
            remove(store, run)


def end_running(store: Store, sweep_id: str) -> None:
    """Ends the runs of a sweep that nobody records: KILLED, so that none is taken for whole."""
    running = f"{_of_sweep(sweep_id)} and attributes.status = 'RUNNING'"
    for run in list(_find(store, running)):
        if not run.trial_key:
            store.client.set_tag(run.run_id, "status", "interrupted")
        store.client.set_terminated(run.run_id, "KILLED")


def find_parent(store: Store, sweep_id: str) -> str | None:
    """The sweep's own run, the oldest where there are several; None where there is none."""
    where = f"{_of_sweep(sweep_id)} and {_tag('kind', 'sweep')}"
    found = store.client.search_runs(
        [store.experiment_id], where, max_results=1, order_by=["attributes.start_time ASC"]
    )
    return found[0].info.run_id if found else None


def remove(store: Store, run: FoundRun) -> None:
    """Puts a run into MLflow's trash, in a final state."""
    try:
        if run.status == "RUNNING":
            store.client.set_terminated(run.run_id, "KILLED")
        store.client.delete_run(run.run_id)
    except Exception as error:
        if not is_missing_run(error):
            raise


def _best(runs: Sequence[FoundRun], known: str | None) -> FoundRun:
    return min(
        runs,
        key=lambda run: (
            run.run_id != known,
            run.is_deleted,
            run.status not in ("FINISHED", "FAILED"),
            run.run_id,
        ),
    )


def _find(store: Store, where: str) -> Iterator[FoundRun]:
    from mlflow.entities import ViewType

    token = None
    while True:
        page = store.client.search_runs(
            [store.experiment_id],
            where,
            run_view_type=ViewType.ALL,
            max_results=_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        for run in page:
            yield FoundRun(
                run_id=run.info.run_id,
                trial_key=run.data.tags.get("finrag_eval.trial_key", ""),
                status=run.info.status,
                is_deleted=run.info.lifecycle_stage == "deleted",
            )
        token = page.token
        if not token:
            return


def _find_in_tables(store: Store, sweep_id: str, keys: Sequence[str] | None) -> Iterator[FoundRun]:
    from mlflow.store.tracking.dbmodels import models
    from sqlalchemy import select

    runs: Any = models.SqlRun.__table__
    sweep: Any = models.SqlTag.__table__.alias("sweep")
    trial: Any = models.SqlTag.__table__.alias("trial")
    statement = (
        select(runs.c.run_uuid, trial.c.value, runs.c.status, runs.c.lifecycle_stage)
        .join(sweep, sweep.c.run_uuid == runs.c.run_uuid)
        .join(trial, trial.c.run_uuid == runs.c.run_uuid)
        .where(
            runs.c.experiment_id == int(store.experiment_id),
            sweep.c.key == "finrag_eval.sweep_id",
            sweep.c.value == sweep_id,
            trial.c.key == "finrag_eval.trial_key",
        )
    )
    if keys is not None:
        statement = statement.where(trial.c.value.in_(list(keys)))
    with store.engine.connect() as connection:
        rows = connection.execute(statement).all()
    for run_id, key, status, stage in rows:
        yield FoundRun(run_id=run_id, trial_key=key, status=status, is_deleted=stage == "deleted")


def _doubtful_in_tables(store: Store, sweep_id: str) -> list[FoundRun]:
    """The sweep's runs that are RUNNING, and those with the name of its own.

    Found among all runs by status and name: to look a tag up by its value is to pass over that of
    every run in the store (42,000 runs: 60 ms through MLflow, 10 ms so, 2026-11-29).
    """
    from mlflow.store.tracking.dbmodels import models
    from sqlalchemy import or_, select

    runs: Any = models.SqlRun.__table__
    tags: Any = models.SqlTag.__table__
    chosen = (
        select(runs.c.run_uuid, runs.c.status, runs.c.lifecycle_stage)
        .where(runs.c.experiment_id == int(store.experiment_id))
        .where(or_(runs.c.status == "RUNNING", runs.c.name.startswith("sweep_", autoescape=True)))
    )
    names = ("finrag_eval.sweep_id", "finrag_eval.trial_key")
    told: dict[tuple[str, str], str] = {}
    with store.engine.connect() as connection:
        rows = connection.execute(chosen).all()
        for start in range(0, len(rows), _FEW_IDS):
            ids = [run_id for run_id, _, _ in rows[start : start + _FEW_IDS]]
            wanted = select(tags.c.run_uuid, tags.c.key, tags.c.value).where(
                tags.c.run_uuid.in_(ids), tags.c.key.in_(names)
            )
            told |= {(run_id, key): value for run_id, key, value in connection.execute(wanted)}
    return [
        FoundRun(
            run_id=run_id,
            trial_key=told.get((run_id, "finrag_eval.trial_key"), ""),
            status=status,
            is_deleted=stage == "deleted",
        )
        for run_id, status, stage in rows
        if told.get((run_id, "finrag_eval.sweep_id")) == sweep_id
    ]


def _of_sweep(sweep_id: str) -> str:
    return _tag("sweep_id", sweep_id)


def _tag(name: str, value: str) -> str:
    """One condition in MLflow's filter language; ids and keys never hold a quote."""
    return f"tags.`finrag_eval.{name}` = '{value.replace(chr(39), '')}'"

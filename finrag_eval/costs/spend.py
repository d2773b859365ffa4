"""What was spent, row by row, read back from the tracking store as a pandas frame.

Every row is one trial (or one single query), with the price then paid. A finished sweep's rows
come from its ``summary/trials.parquet``, those of a sweep that is under way from its child runs.
What a sweep was billed without any trial to show for it is a row of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from finrag_eval.record.tracked import TrackedRun, TrackedStore

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

#: Columns of a spend frame. Texts are pandas' ``str`` (``object`` before pandas 3), never missing;
#: counts and money are float64, a count that is not known is NaN, money that was not spent 0.
#: ``started_at`` is ``datetime64[us, UTC]``; ``query_tags`` is a comma-separated list, ``tags`` a
#: JSON object of the run's own tags, ``judges`` the model keys of the sweep's judges.
SPEND_COLUMNS = (
    "started_at",
    "experiment",
    "environment",
    "sweep",
    "sweep_id",
    "run_id",
    "model_key",
    "prompt_version",
    "query_tags",
    "tags",
    "judges",
    "cost_basis",
    "status",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "target_usd",
    "judge_usd",
    "retrieval_usd",
    "wasted_usd",
    "saved_usd",
)
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
MONEY = ("target_usd", "judge_usd", "retrieval_usd", "wasted_usd", "saved_usd")
#: The kinds of money that add up to what was spent.
SPENT = ("target_usd", "judge_usd", "retrieval_usd", "wasted_usd")

#: What a row is besides a trial (``success`` or ``failed``): money that no trial can show, and
#: judges' calls that are real money beside answers that are not, or the other way round.
LOST, JUDGING = "lost", "judging"

#: Names in the trials table and in child runs, and here.
_TEXTS = {
    "run_id": "run_id",
    "model_key": "model_key",
    "system_prompt_version": "system",
    "query_template_version": "query",
    "finrag_eval.query_tags": "query_tags",
    "finrag_eval.cost_basis": "cost_basis",
    "status": "status",
}
_FIGURES = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "cost_usd": "target_usd",
    "judge_cost_usd": "judge_usd",
    "retrieval_cost_usd": "retrieval_usd",
    "wasted_usd": "wasted_usd",
    "saved_usd": "saved_usd",
}
_OF_SWEEP = ("experiment", "environment", "sweep", "sweep_id", "tags", "judges")
_NEEDED = {"started_at", "run_id", "model_key", "cost_usd", "status"}
_SMALLEST_USD = 1e-9


def read_spend(
    store: TrackedStore,
    *,
    since: float | None = None,
    until: float | None = None,
    experiments: Sequence[str] = (),
    whole_sweeps: bool = False,
) -> pd.DataFrame:
    """Every row of spending between two instants (epoch seconds, the second one excluded).

    ``whole_sweeps`` gives all rows of the sweeps that were under way then.
    """
    tables: list[pa.Table] = []
    owners: list[Mapping[str, str]] = []
    for sweep in store.sweeps(experiments=experiments, since=since, until=until):
        tables.append(_sweep_rows(store, sweep))
        owners.append(_sweep_texts(sweep))
    for run in store.single_queries(experiments=experiments, since=since, until=until):
        tables.append(_table([_run_row(run)]))
        owners.append(_single_texts(run))
    if whole_sweeps:
        since = until = None
    return _frame(tables, owners, since, until)


def no_spend() -> pd.DataFrame:
    """A spend frame without rows."""
    return _frame([], [], None, None)


def _sweep_rows(store: TrackedStore, sweep: TrackedRun) -> pa.Table:
    table = None if sweep.is_running else _finished_rows(store, sweep)
    if table is None:
        table = _table([_run_row(run) for run in store.children(sweep)])
    return _with_remainder(_with_judging(table, sweep), sweep)


def _finished_rows(store: TrackedStore, sweep: TrackedRun) -> pa.Table | None:
    """The rows of the sweep's table of trials; None where it has none of all its trials."""
    wanted = ["started_at", *_TEXTS, *_FIGURES]
    found = store.trials_table(sweep, wanted)
    ended = [sweep.metrics.get(f"sweep/trials_{how}") for how in ("succeeded", "failed")]
    if found is None or None in ended or found.num_rows != sum(filter(None, ended)):
        return None
    return _shaped(found) if set(found.column_names) >= _NEEDED else None


def _with_judging(table: pa.Table, sweep: TrackedRun) -> pa.Table:
    """Judges' calls as rows of their own where they are real money and the answers are not, or
    the other way round.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    basis = sweep.tags.get("finrag_eval.judge_cost_basis")
    if basis is None:
        return table
    judged = pc.fill_null(pc.greater(table["judge_usd"], 0.0), False)
    apart = pc.and_(judged, pc.not_equal(table["cost_basis"], basis))
    if not pc.any(apart).as_py():
        return table
    calls = table.filter(apart)
    for name in (*TOKENS, *MONEY):
        if name != "judge_usd":
            calls = _put(calls, name, pa.nulls(calls.num_rows, pa.float64()))
    calls = _put(calls, "cost_basis", pa.array([basis] * calls.num_rows))
    calls = _put(calls, "status", pa.array([JUDGING] * calls.num_rows))
    answers = _put(table, "judge_usd", pc.if_else(apart, 0.0, table["judge_usd"]))
    return pa.concat_tables([answers, calls])


def _with_remainder(table: pa.Table, sweep: TrackedRun) -> pa.Table:
    """Add what the sweep was billed beyond its trials: calls that died with their process, and
    what failed trials had cost that were run again.
    """
    import pyarrow as pa

    spent = sweep.metrics.get("sweep/spent_usd")
    if spent is None or sweep.is_running:
        return table
    shown = [amount for name in SPENT for amount in table[name].to_pylist() if amount]
    rest = math.fsum([spent, *(-amount for amount in shown)])
    if rest <= _SMALLEST_USD:
        return table
    bases = set(table["cost_basis"].to_pylist())
    keys = dict.fromkeys(table["model_key"].to_pylist())
    row = {
        "started_at": sweep.started_at,
        "run_id": sweep.run_id,
        "model_key": ", ".join(keys) or sweep.params.get("models", "unknown"),
        "cost_basis": bases.pop() if len(bases) == 1 else "billed",
        "status": LOST,
        "wasted_usd": rest,
    }
    return pa.concat_tables([table, _table([row])])


def _run_row(run: TrackedRun) -> dict[str, Any]:
    row: dict[str, Any] = {"started_at": run.started_at}
    for theirs, ours in _TEXTS.items():
        row[ours] = run.params.get(theirs, run.tags.get(theirs))
    for theirs, ours in _FIGURES.items():
        row[ours] = run.metrics.get(theirs)
    row["run_id"] = run.run_id
    row["cost_basis"] = row["cost_basis"] or "billed"
    row["status"] = row["status"] or ("failed" if run.status == "FAILED" else "success")
    return row


def _sweep_texts(sweep: TrackedRun) -> dict[str, str]:
    return {
        "experiment": sweep.experiment,
        "environment": sweep.tags.get("environment", ""),
        "sweep": sweep.tags.get("finrag_eval.name", sweep.name),
        "sweep_id": sweep.tags.get("finrag_eval.sweep_id", ""),
        "tags": _own_tags(sweep),
        "judges": sweep.tags.get("finrag_eval.judges", ""),
    }


def _single_texts(run: TrackedRun) -> dict[str, str]:
    return {
        "experiment": run.experiment,
        "environment": run.tags.get("environment", ""),
        "sweep": "",
        "sweep_id": "",
        "tags": _own_tags(run),
        "judges": "",
    }


def _own_tags(run: TrackedRun) -> str:
    own = {
        key: value
        for key, value in run.tags.items()
        if not key.startswith(("mlflow.", "finrag_eval."))
    }
    return json.dumps(own, sort_keys=True)


def _schema() -> pa.Schema:
    import pyarrow as pa

    fields = [("started_at", pa.timestamp("us", tz="UTC"))]
    fields += [(name, pa.string()) for name in _TEXTS.values()]
    return pa.schema(fields + [(name, pa.float64()) for name in _FIGURES.values()])


def _table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table; instants are epoch seconds there and microseconds here."""
    import pyarrow as pa

    shown = [{**row, "started_at": round(row["started_at"] * 1e6)} for row in rows]
    return pa.Table.from_pylist(shown, schema=_schema())


def _shaped(found: pa.Table) -> pa.Table:
    """A table of trials under our names, with all columns and their types."""
    import pyarrow as pa
    import pyarrow.compute as pc

    schema, names = _schema(), {"started_at": "started_at", **_TEXTS, **_FIGURES}
    columns = []
    for theirs, ours in names.items():
        kind = schema.field(ours).type
        if theirs in found.column_names:
            columns.append(pc.cast(found[theirs], kind))
        else:
            columns.append(pa.nulls(found.num_rows, kind))
    return pa.table(columns, schema=schema)


def _put(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def _frame(
    tables: Sequence[pa.Table],
    owners: Sequence[Mapping[str, str]],
    since: float | None,
    until: float | None,
) -> pd.DataFrame:
    """All rows under one another, with the texts of their sweeps, within the time asked for."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = pa.concat_tables([_schema().empty_table(), *tables])
    owner = pa.array(np.repeat(np.arange(len(tables)), [table.num_rows for table in tables]))
    for name in _OF_SWEEP:
        texts = pa.array([texts[name] for texts in owners], pa.string())
        rows = rows.append_column(name, texts.take(owner))
    known = [pc.fill_null(rows[name], "") for name in ("system", "query")]
    version = pc.binary_join_element_wise(*known, "/")
    rows = rows.append_column("prompt_version", pc.if_else(pc.equal(version, "/"), "", version))
    for name in _TEXTS.values():
        rows = _put(rows, name, pc.fill_null(rows[name], ""))
    for name in MONEY:
        rows = _put(rows, name, pc.fill_null(rows[name], 0.0))
    frame: pd.DataFrame = _between(rows.select(SPEND_COLUMNS), since, until).to_pandas()
    return frame


def _between(rows: pa.Table, since: float | None, until: float | None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    def moment(instant: float) -> Any:
        return pa.scalar(round(instant * 1e6), pa.timestamp("us", tz="UTC"))

    if since is not None:
        rows = rows.filter(pc.greater_equal(rows["started_at"], moment(since)))
    if until is not None:
        rows = rows.filter(pc.less(rows["started_at"], moment(until)))
    return rows

"""What was spent, row by row, read back from the tracking store as a pandas frame.

Every row is one trial (or one single query), with the price then paid; what a sweep was billed
without any trial to show for it is a row of its own, so that the sums are the store's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finrag_eval.record.tracked import TrackedRun, TrackedStore

if TYPE_CHECKING:
    import pandas as pd

#: Columns of a spend frame and their dtypes. Money is USD, tokens are counts, times are UTC;
#: ``tags`` is a JSON object of the run's own tags, ``query_tags`` a comma-separated list.
SPEND_COLUMNS: Mapping[str, str] = {
    "started_at": "datetime64[us, UTC]",
    "experiment": "str",
    "environment": "str",
    "sweep": "str",
    "sweep_id": "str",
    "run_id": "str",
    "model_key": "str",
    "prompt_version": "str",
    "query_tags": "str",
    "tags": "str",
    "cost_basis": "str",
    "status": "str",
    "input_tokens": "float64",
    "output_tokens": "float64",
    "cache_read_tokens": "float64",
    "cache_write_tokens": "float64",
    "target_usd": "float64",
    "judge_usd": "float64",
    "retrieval_usd": "float64",
    "wasted_usd": "float64",
    "saved_usd": "float64",
}

_FROM_TRIALS = {
    "started_at": "started_at",
    "run_id": "run_id",
    "model_key": "model_key",
    "system_prompt_version": "system",
    "query_template_version": "query",
    "finrag_eval.query_tags": "query_tags",
    "finrag_eval.cost_basis": "cost_basis",
    "status": "status",
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
_MONEY = ("target_usd", "judge_usd", "retrieval_usd", "wasted_usd", "saved_usd")


def read_spend(
    store: TrackedStore,
    *,
    since: float | None = None,
    until: float | None = None,
    experiments: Sequence[str] = (),
) -> pd.DataFrame:
    """Every row of spending between two instants (epoch seconds, the second one excluded)."""
    import pandas as pd

    frames = [
        _sweep_rows(store, sweep)
        for sweep in store.sweeps(experiments=experiments, since=since, until=until)
    ]
    singles = store.single_queries(experiments=experiments, since=since, until=until)
    frames.append(_frame([_run_row(run) for run in singles]))
    frames = [frame for frame in frames if len(frame)]
    spend = pd.concat(frames, ignore_index=True) if frames else _frame([])
    if since is not None:
        spend = spend[spend["started_at"] >= pd.Timestamp(since, unit="s", tz="UTC")]
    if until is not None:
        spend = spend[spend["started_at"] < pd.Timestamp(until, unit="s", tz="UTC")]
    return spend.reset_index(drop=True)


def _sweep_rows(store: TrackedStore, sweep: TrackedRun) -> pd.DataFrame:
    path = store.trials_file(sweep)
    recorded = sweep.metrics.get("sweep/trials_succeeded", 0) + sweep.metrics.get(
        "sweep/trials_failed", 0
    )
    frame = None if path is None else _from_parquet(path)
    if frame is None or len(frame) != recorded:
        children = store.children(sweep.run_id, experiment=sweep.experiment)
        frame = _frame([_run_row(run) for run in children])
    frame["experiment"] = sweep.experiment
    frame["environment"] = sweep.tags.get("environment", "")
    frame["sweep"] = sweep.tags.get("finrag_eval.name", sweep.name)
    frame["sweep_id"] = sweep.tags.get("finrag_eval.sweep_id", "")
    frame["tags"] = _own_tags(sweep)
    return _with_remainder(frame, sweep)


def _with_remainder(frame: pd.DataFrame, sweep: TrackedRun) -> pd.DataFrame:
    """Add what the sweep was billed beyond its trials: calls that died with their process."""
    import pandas as pd

    spent = sweep.metrics.get("sweep/spent_usd")
    if spent is None:
        return frame
    shown = sum(float(frame[column].sum()) for column in _MONEY if column != "saved_usd")
    rest = spent - shown
    if rest <= 1e-9:
        return frame
    row = {name: "" for name, kind in SPEND_COLUMNS.items() if kind == "str"}
    bases = set(frame["cost_basis"]) or {"billed"}
    extra = _frame(
        [
            {
                **row,
                "started_at": sweep.started_at,
                "experiment": sweep.experiment,
                "environment": sweep.tags.get("environment", ""),
                "sweep": sweep.tags.get("finrag_eval.name", sweep.name),
                "sweep_id": sweep.tags.get("finrag_eval.sweep_id", ""),
                "tags": _own_tags(sweep),
                "cost_basis": bases.pop() if len(bases) == 1 else "billed",
                "status": "lost",
                "wasted_usd": rest,
            }
        ]
    )
    return pd.concat([frame, extra], ignore_index=True) if len(frame) else extra


def _from_parquet(path: Path) -> pd.DataFrame | None:
    import pandas as pd
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    held = set(file.schema_arrow.names)
    if not {"started_at", "model_key", "cost_usd"} <= held:
        return None
    table = file.read(columns=[name for name in _FROM_TRIALS if name in held])
    frame = table.to_pandas().rename(columns=_FROM_TRIALS)
    frame["started_at"] = pd.to_datetime(frame["started_at"], utc=True, format="ISO8601")
    frame["prompt_version"] = frame["system"] + "/" + frame["query"]
    return _shaped(frame)


def _run_row(run: TrackedRun) -> dict[str, Any]:
    metrics, params, tags = run.metrics, run.params, run.tags
    system, query = params.get("system_prompt_version"), params.get("query_template_version")
    return {
        "started_at": run.started_at,
        "experiment": run.experiment,
        "environment": tags.get("environment", ""),
        "sweep": "",
        "sweep_id": tags.get("finrag_eval.sweep_id", ""),
        "run_id": run.run_id,
        "model_key": params.get("model_key", "unknown"),
        "prompt_version": f"{system}/{query}" if system and query else "unknown",
        "query_tags": tags.get("finrag_eval.query_tags", ""),
        "tags": _own_tags(run),
        "cost_basis": tags.get("finrag_eval.cost_basis", "billed"),
        "status": tags.get("status", run.status.lower()),
        "input_tokens": metrics.get("input_tokens"),
        "output_tokens": metrics.get("output_tokens"),
        "cache_read_tokens": metrics.get("cache_read_tokens"),
        "cache_write_tokens": metrics.get("cache_write_tokens"),
        "target_usd": metrics.get("cost_usd"),
        "judge_usd": metrics.get("judge_cost_usd"),
        "retrieval_usd": metrics.get("retrieval_cost_usd"),
        "wasted_usd": metrics.get("wasted_usd"),
        "saved_usd": metrics.get("saved_usd"),
    }


def _own_tags(run: TrackedRun) -> str:
    own = {
        key: value
        for key, value in run.tags.items()
        if not key.startswith(("mlflow.", "finrag_eval."))
    }
    return json.dumps(own, sort_keys=True)


def _frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(list(rows), columns=list(SPEND_COLUMNS))
    frame["started_at"] = pd.to_datetime(frame["started_at"].astype("float64"), unit="s", utc=True)
    return _shaped(frame)


def _shaped(frame: pd.DataFrame) -> pd.DataFrame:
    """The documented columns in their order and dtypes; money of nothing is 0 in a sum."""
    shaped = frame.reindex(columns=list(SPEND_COLUMNS))
    texts = [name for name, kind in SPEND_COLUMNS.items() if kind == "str"]
    shaped[texts] = shaped[texts].fillna("")
    shaped = shaped.astype(dict(SPEND_COLUMNS))
    shaped[list(_MONEY)] = shaped[list(_MONEY)].fillna(0.0)
    return shaped

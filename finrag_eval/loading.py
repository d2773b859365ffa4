"""A finished sweep, read back for notebooks and other programs.

Enters: a sweep's id and the folder that sweeps are in. Leaves: plain values. Knows the names of a
sweep's files, and no MLflow: what stands beside the ledger is enough.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

#: Counts that every trial has; others may be unknown, and NaN is no integer.
_ALWAYS_KNOWN = ("repeat", "max_tokens", "query_length")


def load_summary(
    sweep_id: str = "latest", *, output_dir: str | Path = "sweep_results"
) -> dict[str, Any]:
    """A sweep's ``summary.json`` as a dictionary; ``latest`` and the beginning of an id will do.

    Raises InvalidInput where there is no such sweep, or where it has no summary yet.
    """
    from finrag_eval.errors import InvalidInput, Problem
    from finrag_eval.record.ledger import find_sweep
    from finrag_eval.results import read_summary

    folder = find_sweep(Path(output_dir), sweep_id)
    summary = read_summary(folder)
    if summary is None:
        fix = f"finish it with `finrag-eval resume {folder.name}`"
        raise InvalidInput([Problem(file=str(folder), message="no summary yet", fix=fix)])
    return summary


def load_trials(
    sweep_id: str = "latest", *, output_dir: str | Path = "sweep_results"
) -> pd.DataFrame:
    """A sweep's trials as a pandas frame, a row each; the columns of ``trials.parquet``.

    Types do not depend on what is missing: figures are float64, NaN where they are not known;
    ``repeat``, ``max_tokens`` and ``query_length`` int64, flags bool, texts pandas' ``str``
    (``object`` before pandas 3), ``started_at`` and ``ended_at`` UTC datetimes. Raises InvalidInput
    where there is no such sweep, or where it has no trials yet.
    """
    import pandas as pd

    from finrag_eval.errors import InvalidInput, Problem
    from finrag_eval.record.ledger import find_sweep
    from finrag_eval.results import TRIALS_PARQUET

    file = find_sweep(Path(output_dir), sweep_id) / TRIALS_PARQUET
    if not file.is_file():
        fix = f"`finrag-eval summary {file.parent.name}` makes it again from the ledger"
        raise InvalidInput([Problem(file=str(file), message="no table of trials", fix=fix)])
    frame = pd.read_parquet(file)
    for column in ("started_at", "ended_at"):
        frame[column] = pd.to_datetime(frame[column], utc=True, format="ISO8601")
    whole = frame.select_dtypes("integer").columns.difference(list(_ALWAYS_KNOWN))
    return frame.astype(dict.fromkeys(whole, "float64"))

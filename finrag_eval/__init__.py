"""finrag_eval: batch evaluation of question answering over SEC filings.

The house, room by room; each says in its own docstring what enters and what leaves.

- ``domain``, ``errors``, ``money``   the words, all that can go wrong, what tokens cost
- ``spec/``                 WHAT WAS ASKED: sweeps, query sets, ml_config.yaml -> ``Asked``
- ``synthesis_pipeline/``   WHAT IS EVALUATED: one question -> one result
- ``plan``, ``job``         WHAT WILL BE DONE: cells, trials and their keys
- ``estimate/``, ``planning``   what it will cost and take, before a cent is spent
- ``execute/``              DOING IT: budget, limits, retries, workers -> outcomes
- ``score/``, ``scoring``   how good is an answer
- ``record/``               WRITING IT DOWN: the ledger first, then MLflow behind it
- ``summarise``, ``statistics/``, ``compare/``   WHAT IT CAME TO, and which one is better
- ``from_ledger``, ``behind``   a sweep's files, and the process that records and makes them
- ``beforehand``, ``reading_ahead``   what of the files can be made before the last answer
- ``costs/``                spend over time, budgets, forecasts
- ``report/``               tables, charts, HTML: for the reader's eye
- ``loading``               a finished sweep, read back for notebooks
- ``sweep``                 the corridor: run_sweep, the path in one screen
- ``cli/``                  the front door: one small module a verb

The public names below are all that notebooks and other programs need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finrag_eval.costs import load_costs
    from finrag_eval.loading import load_summary, load_trials
    from finrag_eval.synthesis_pipeline.orchestrator import answer_query
    from finrag_eval.tracked_query import run_with_mlflow_tracking

__all__ = [
    "answer_query",
    "load_costs",
    "load_summary",
    "load_trials",
    "run_with_mlflow_tracking",
]

_HOMES = {
    "answer_query": "finrag_eval.synthesis_pipeline.orchestrator",
    "load_costs": "finrag_eval.costs",
    "load_summary": "finrag_eval.loading",
    "load_trials": "finrag_eval.loading",
    "run_with_mlflow_tracking": "finrag_eval.tracked_query",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: the package itself imports nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'finrag_eval' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

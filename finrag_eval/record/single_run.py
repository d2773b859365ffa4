"""One run outside a sweep: what ``query`` and ``run_with_mlflow_tracking`` record.

Enters: a payload. Leaves: the run's id and where to see it. Here alone MLflow is imported into
the caller's own process, so nothing is changed in it but MLflow's environment variables.
"""

from __future__ import annotations

from finrag_eval.errors import FinragEvalError, StoreUnreachable
from finrag_eval.record.lanes import Job, is_refusal, one_line
from finrag_eval.record.payload import RunPayload
from finrag_eval.record.public_lane import close_half_made, create_run
from finrag_eval.record.store import Store, mask_uri, open_store


def record_single_run(payload: RunPayload, *, uri: str, experiment: str) -> tuple[str, str]:
    """The run's id and URL, once the store has all of it.

    Raises InvalidInput where the experiment was deleted, StoreUnreachable where the store does
    not answer or refuses the run; then no run is left RUNNING.
    """
    store: Store | None = None
    job = Job(trial_key="", scores_id=0, payload=payload)
    try:
        store = open_store(uri, experiment)
        create_run(store, job)
    except FinragEvalError:
        raise
    except Exception as error:
        if store is not None and is_refusal(error):
            close_half_made(store, job.run_id)
        raise StoreUnreachable(mask_uri(uri), one_line(error)) from error
    assert job.run_id is not None
    return job.run_id, store.run_url(job.run_id)

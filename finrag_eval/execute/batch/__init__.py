"""Trials as batch jobs: prepared like any others, answered by the vendor in hours.

- ``doorways``  what this folder needs of others
- ``gate``      the gate of a sweep whose calls are records of jobs
- ``pantry``    contexts on disk between a job's sending and its collection
- ``target``    a trial's prompt before its job, and its outcome after
- ``drafts``    records that wait to become a job
- ``sweeping``  ``batch_out``: the whole way, from trials to outcomes
"""

from finrag_eval.execute.batch.gate import BatchGate
from finrag_eval.execute.batch.sweeping import BatchSettings, BatchWork, batch_out
from finrag_eval.execute.batch.target import BatchTarget

__all__ = ["BatchGate", "BatchSettings", "BatchTarget", "BatchWork", "batch_out"]

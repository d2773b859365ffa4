"""Doing it: trials in, outcomes out as they finish, within budget, limits and deadlines.

Workers pull trials from the driver's ``Gate``, answer them through a ``Target`` and deliver
outcomes. Every call is reserved on disk before it is sent and settled after. Knows nothing of
files, MLflow or scores; the ledger, the pipeline and the clients come in through ``doorways``.
"""

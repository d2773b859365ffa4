"""Writing it down: the ledger is the truth, and MLflow is a view of it."""

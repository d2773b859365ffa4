"""What is evaluated: one question about SEC filings in, one result out.

Two supply lines (exact figures, passages) make the context; a prompt version makes the prompt; a
client answers it. Knows nothing of sweeps, budgets or MLflow.
"""

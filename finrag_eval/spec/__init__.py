"""What was asked: sweep files, ml_config.yaml and query sets, checked once.

Enters: files and command-line overrides. Leaves: the words of ``domain``, right by construction,
or one ``InvalidInput`` with every problem found. Knows no model, no ledger and no MLflow.
"""

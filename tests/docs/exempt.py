"""Commands of README and docs that no test runs, with the reason."""

from __future__ import annotations

_SETS_UP = "sets up an environment"
_ELSEWHERE = "needs no account; plan is run for other sweeps"
_BEDROCK = "needs a Bedrock account"
_LOOPBACK = "needs an account; tests/docs/test_bedrock_page.py has one of its own"
_SERVES = "serves until it is stopped; tests/ui has it running"
_SHELL = "changes the shell's own files; its script is tested by itself"
_JQ = "jq is a program of its own; tests/record exports sweeps"
_CLUSTER = "needs a cluster; tests/docs/test_dask_page.py has one"

#: By page: how the line begins, and why it is not run.
EXEMPT: dict[str, dict[str, str]] = {
    "README.md": {
        "make ": _SETS_UP,
        "finrag-eval validate sweeps/nightly_model_comparison.yaml --online": _BEDROCK,
        "finrag-eval plan sweeps/nightly_model_comparison.yaml": _ELSEWHERE,
        "finrag-eval run sweeps/nightly_model_comparison.yaml": _BEDROCK,
    },
    "bedrock.md": {
        "finrag-eval validate sweeps/nightly_model_comparison.yaml --online": _LOOPBACK,
        "finrag-eval run sweeps/by_batch.yaml": _LOOPBACK,
        "finrag-eval resume latest": _LOOPBACK,
        "finrag-eval query --config vectors/ml_config.yaml": _LOOPBACK,
    },
    "first-sweep.md": {"finrag-eval --install-completion": _SHELL},
    "tracking-server.md": {
        "mlflow server": _SERVES,
        "finrag-eval run sweeps/nightly_model_comparison.yaml": _BEDROCK,
    },
    "ledger.md": {"finrag-eval sweeps export latest | jq": _JQ},
    "dask.md": {
        "dask ": _CLUSTER,
        "finrag-eval run sweeps/on_dask.yaml": _CLUSTER,
    },
}

"""``ui``: MLflow's own UI on the right store."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated

import typer

from finrag_eval.cli import options

#: One reader needs one worker, and none of the processes for jobs, which sweeps have none of.
#: MLflow's own defaults start 12 processes that all load MLflow: 25 s and 2.9 GB until the first
#: page against 9 s and 0.5 GB (2 cores, 2026-11-29). The environment overrides each of these.
_FOR_ONE_READER = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_WORKERS": "1",
}


def register(app: typer.Typer) -> None:
    app.command("ui")(ui)


def ui(
    tracking_uri: options.TrackingUri = None,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")
    ] = 5000,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
) -> int:
    """Open MLflow's UI on the store that sweeps are recorded in."""
    from finrag_eval.record.store_uri import check_store, resolve_tracking_uri

    uri = resolve_tracking_uri(tracking_uri)
    if uri.startswith(("http://", "https://")):
        typer.echo(f"the store is a server with a UI of its own: {uri}")
        return 0
    check_store(uri)
    typer.echo(
        f"MLflow's UI on {uri}: http://{host}:{port} (Ctrl-C stops it)\n"
        "sweeps only: tags.`finrag_eval.kind` = 'sweep'",
        err=True,
    )
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    try:
        return subprocess.call(
            [*command, "--host", host, "--port", str(port)], env={**_FOR_ONE_READER, **os.environ}
        )
    except KeyboardInterrupt:
        return 0

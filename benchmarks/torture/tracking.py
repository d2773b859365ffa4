"""A real ``mlflow server`` that can be killed and started again on its port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from finrag_eval.record.store import why_unreachable


class TrackingServer:
    """MLflow's server as processes, over a store: SQLite's ``server.db`` of a folder by default."""

    def __init__(
        self,
        folder: Path,
        template: Path | None = None,
        *,
        store_uri: str | None = None,
        workers: int = 1,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.workers = folder, workers
        self.store_uri = store_uri or f"sqlite:///{folder / 'server.db'}"
        if template is not None:
            (folder / "server.db").write_bytes(template.read_bytes())
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch()
        deadline = time.monotonic() + 120
        while why_unreachable(self.uri, timeout_s=5) is not None:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError("the tracking server ended")
            if time.monotonic() > deadline:
                raise RuntimeError("the tracking server never answered")
            time.sleep(0.2)

    def launch(self) -> None:
        """Start it, and go on."""
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--workers", str(self.workers)),
                *("--host", "127.0.0.1", "--port", str(self.port)),
                *("--backend-store-uri", self.store_uri),
                *("--artifacts-destination", str(self.folder / "artifacts")),
            ],
            env={
                **os.environ,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> None:
        """kill -9 of the server and all its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

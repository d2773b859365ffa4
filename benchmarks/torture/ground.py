"""What the campaigns share: a user's folder, the loopback Bedrock server, the real program."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

PROJECT = Path(__file__).resolve().parents[2]

MODELS = """
serving_models:
  default_serving_model: loop
  loop: {provider: bedrock, model_id: loop.model-v1, display_name: Loop, max_tokens: 200,
         cost_per_1k_input: 0.001, cost_per_1k_output: 0.005}
  other: {provider: bedrock, model_id: other.model-v1, display_name: Other, max_tokens: 200,
          cost_per_1k_input: 0.0005, cost_per_1k_output: 0.0025}
"""


class Server(Protocol):
    """The loopback server, as ``tests/loopback`` starts it."""

    env: dict[str, str]

    def programme(self, **spec: Any) -> None: ...
    def change(self, **spec: Any) -> None: ...
    def ledger(self) -> list[dict[str, Any]]: ...
    def stats(self) -> dict[str, int]: ...


@dataclass
class Ground:
    """A folder with models and questions, and a server that answers for Bedrock."""

    folder: Path
    server: Server
    store_uri: str

    def lay(self, *, questions: int, **changes: Any) -> Path:
        """Write models, questions and a sweep of 2 prompt versions; the sweep's file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "ml_config.yaml").write_text(MODELS, encoding="utf-8")
        rows = (
            {"id": f"q{number:04d}", "query": f"What was figure {number} of NVIDIA in 2020?"}
            for number in range(questions)
        )
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / "questions.jsonl").write_text(text, encoding="utf-8")
        spec = {
            "name": "torture",
            "experiment": "Torture",
            "models": ["loop"],
            "prompts": [{"system": "v1", "query": "v1"}, {"system": "v2", "query": "v1"}],
            "query_set": {"path": "questions.jsonl"},
            "retrieval": {"include_rag": False},
            "scorers": ["citation", "refusal"],
            "execution": {"concurrency": 16},
            **changes,
        }
        path = self.folder / "torture.yaml"
        path.write_text(json.dumps(spec), encoding="utf-8")
        return path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The program, started in a session of its own and not waited for."""
        environment = {
            **os.environ,
            **self.server.env,
            "MLFLOW_TRACKING_URI": self.store_uri,
            "NO_COLOR": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "finrag_eval", *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, timeout: float = 300) -> tuple[int, str, str]:
        """The program, run to its end: code, stdout, stderr."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=timeout)
        return process.returncode, out, err

    @property
    def sweep_folder(self) -> Path:
        """The newest sweep's folder."""
        return max(path for path in (self.folder / "sweep_results").iterdir() if path.is_dir())

    def clear(self) -> None:
        """Remove all results; the store stays."""
        shutil.rmtree(self.folder / "sweep_results", ignore_errors=True)


def kill(process: subprocess.Popen[str]) -> None:
    """kill -9, as a power cut for one process."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def kill_recorder(folder: Path) -> bool:
    """kill -9 of the recorder that follows a sweep; False where there is none."""
    try:
        pid = int((folder / "recording.lock").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return False
    if b"finrag_eval.behind" not in command:
        return False
    os.kill(pid, signal.SIGKILL)
    return True


def runs_in(store_uri: str, sweep_id: str) -> list[dict[str, Any]]:
    """Every run of a sweep in a SQLite store that is not deleted: kind, status, trial key, cost."""
    path = store_uri.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute(
            """SELECT r.run_uuid, r.status,
                 (SELECT value FROM tags t WHERE t.run_uuid = r.run_uuid
                  AND t.key = 'finrag_eval.kind'),
                 (SELECT value FROM tags t WHERE t.run_uuid = r.run_uuid
                  AND t.key = 'finrag_eval.trial_key'),
                 (SELECT value FROM latest_metrics m WHERE m.run_uuid = r.run_uuid
                  AND m.key = 'cost_usd')
               FROM runs r JOIN tags s ON s.run_uuid = r.run_uuid
               WHERE s.key = 'finrag_eval.sweep_id' AND s.value = ?
                 AND r.lifecycle_stage = 'active'""",
            (sweep_id,),
        ).fetchall()
    names = ("run_id", "status", "kind", "trial_key", "cost_usd")
    return [dict(zip(names, row, strict=True)) for row in rows]


def settled(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What of a summary must not depend on how often the sweep was stopped."""
    cells = [
        {
            "cell": cell["cell"],
            "trials": cell["trials"],
            "succeeded": cell["succeeded"],
            "cost_usd": cell["cost_usd"],
            "input_tokens": cell["input_tokens"],
            "output_tokens": cell["output_tokens"],
            "scores": cell["scores"],
            "errors": cell["errors"],
        }
        for cell in summary["cells"]
    ]
    totals = {key: summary["totals"][key] for key in ("trials_planned", "trials_succeeded")}
    return {"status": summary["status"], "totals": totals, "cells": cells}

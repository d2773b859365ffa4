"""A place to run sweeps in: a folder with models, questions, a store, and the real program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


@dataclass
class Ran:
    """What a finished command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Place:
    """A user's folder; ``run`` starts the real program in it, as a process."""

    folder: Path
    store_uri: str
    env: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, content: str | Mapping[str, Any]) -> Path:
        """A file of the folder; mappings become YAML."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else yaml.safe_dump(dict(content))
        path.write_text(text, encoding="utf-8")
        return path

    def sweep(self, **changes: Any) -> Path:
        """A small offline sweep; keys can be changed, and left out with None."""
        spec: dict[str, Any] = {
            "name": "small",
            "experiment": "Small",
            "models": ["rehearsal_kpi", "rehearsal_narrative"],
            "prompts": [{"system": "v1", "query": "v1"}, {"system": "v2", "query": "v1"}],
            "query_set": {"path": "questions.jsonl"},
            "scorers": ["numeric", "citation"],
            "execution": {"concurrency": 4},
        }
        spec |= changes
        return self.write(
            f"{spec['name']}.yaml", {key: value for key, value in spec.items() if value is not None}
        )

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """The program, started and not waited for."""
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": self.store_uri,
            "NO_COLOR": "1",
            **self.env,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "finrag_eval", *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, *arguments: str) -> Ran:
        """The program, run to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return Ran(process.returncode, out, err)

    @property
    def results(self) -> Path:
        return self.folder / "sweep_results"


QUESTIONS = (
    ("q1", "What was NVIDIA's revenue in fiscal 2020?", 10_918_000_000.0, "$10,918 million"),
    ("q2", "What was Apple's net income in FY2018?", 59_531_000_000.0, "$59,531 million"),
    ("q3", "What were Microsoft's total assets in 2020?", 301_311_000_000.0, "$301,311 million"),
    ("q4", "What was Oracle's revenue in 2019?", 39_506_000_000.0, "$39,506 million"),
    ("q5", "What was Netflix's revenue in 2017?", 11_692_713_000.0, "$11,693 million"),
)


def questions_text(count: int = len(QUESTIONS)) -> str:
    """The questions as JSON lines; more than five repeat with other words in front."""
    lines = []
    for number in range(count):
        name, text, value, answer = QUESTIONS[number % len(QUESTIONS)]
        turn = number // len(QUESTIONS)
        lines.append(
            json.dumps(
                {
                    "id": name if turn == 0 else f"{name}-{turn}",
                    "query": text if turn == 0 else f"Question {turn}: {text}",
                    "expected_value": value,
                    "expected_answer": answer,
                    "unit": "USD",
                    "tickers": [],
                    "tags": ["lookup"],
                    "difficulty": "easy",
                }
            )
        )
    return "\n".join(lines) + "\n"

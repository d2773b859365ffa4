"""docs/bedrock.md does what it says: its commands on servers that speak AWS's wire formats."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from loopback.aws_fixture import LoopbackAws
from pages import PROJECT, blocks, other_commands

PAGE = PROJECT / "docs" / "bedrock.md"
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
COMMANDS = list(other_commands(PAGE))


@pytest.fixture
def place(workplace: Path, tmp_path: Path) -> Path:
    """A user's folder with the page's files."""
    folder = tmp_path / "project"
    shutil.copytree(workplace, folder)
    for block in blocks(PAGE):
        if block.file is not None:
            target = folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
    return folder


@pytest.fixture
def account(aws: LoopbackAws, s3: Any, moto_process: str) -> LoopbackAws:
    """An account with the page's models, bucket and index."""
    s3.create_bucket(Bucket="my-bucket")
    passage = {"ticker": "NVDA", "fiscal_year": 2020, "text": "Demand was strong, Nvidia said."}
    aws.programme(
        s3=moto_process,
        models={
            HAIKU: {"inference": ["INFERENCE_PROFILE"]},
            "amazon.nova-pro-v1:0": {},
            "amazon.nova-micro-v1:0": {},
        },
        profiles=[{"id": f"us.{HAIKU}", "models": [HAIKU]}],
        index={"filings/passages": [{"key": "1", "metadata": passage}]},
        dimensions=1024,
    )
    return aws


def command(beginning: str) -> str:
    """The page's command that begins so."""
    (found,) = [line for line in COMMANDS if line.startswith(beginning)]
    return found


def start(line: str, place: Path, *more: str) -> subprocess.Popen[str]:
    program, *arguments = shlex.split(line)
    assert program == "finrag-eval"
    return subprocess.Popen(
        [sys.executable, "-m", "finrag_eval", *arguments, *more],
        cwd=place,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(line: str, place: Path, *more: str) -> Mapping[str, Any]:
    process = start(line, place, *more, "--format", "json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return dict(json.loads(out))


def policies() -> Iterator[dict[str, Any]]:
    for block in blocks(PAGE):
        if block.language == "json":
            yield json.loads(block.text)


def statements() -> Iterator[tuple[str | None, set[str]]]:
    """Each statement's id and the actions that it allows."""
    for policy in policies():
        for statement in policy["Statement"]:
            actions = statement["Action"]
            yield statement.get("Sid"), {actions} if isinstance(actions, str) else set(actions)


def allowed() -> set[str]:
    """Every action that the page's policies allow."""
    return {action for _, actions in statements() for action in actions}


def test_every_command_of_the_page_is_run_here() -> None:
    assert len(COMMANDS) == 4


def test_validate_online_finds_every_model_usable(place: Path, account: LoopbackAws) -> None:
    said = run(command("finrag-eval validate"), place)
    assert [finding["verdict"] for finding in said["online"]] == ["ok", "ok", "ok"]
    asked = {f"bedrock:{call['operation']}" for call in account.ledger()}
    assert asked == dict(statements())["ValidateOnline"]


def test_the_batch_sweep_runs_and_resume_collects_it(place: Path, account: LoopbackAws) -> None:
    account.change(states=["Submitted", "InProgress"])
    quick = ("--no-tracking", "--set", "execution.poll_s=0.05")
    process = start(command("finrag-eval run"), place, *quick)
    assert process.stderr is not None
    for line in process.stderr:
        if "InProgress" in line:
            break
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == 143
    account.change(states=["Completed"])
    summary = run(command("finrag-eval resume"), place, "--no-tracking")
    assert summary["totals"]["trials_succeeded"] == 120
    operations = {call["operation"] for call in account.ledger()}
    assert {f"bedrock:{operation}" for operation in operations} <= allowed()
    assert not any(call.get("again") for call in account.ledger())


def test_a_question_is_answered_from_s3_vectors(place: Path, account: LoopbackAws) -> None:
    process = start(command("finrag-eval query"), place)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "Demand was strong" in out
    operations = [call["operation"] for call in account.ledger()]
    assert operations[0] == "InvokeModel"
    assert set(operations[1:]) == {"QueryVectors"}
    assert {"s3vectors:QueryVectors", "s3vectors:GetVectors", "bedrock:InvokeModel"} <= allowed()


def test_policies_are_whole_and_name_the_same_account() -> None:
    for policy in policies():
        assert policy["Version"] == "2012-10-17"
        accounts = set(re.findall(r"\b\d{12}\b", json.dumps(policy)))
        assert accounts <= {"111122223333"}
    assert all(re.fullmatch(r"(bedrock|s3|s3vectors|iam|sts):\w+", one) for one in allowed())

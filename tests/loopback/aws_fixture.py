"""``aws`` and ``s3``: the loopback server and moto's S3 as fixtures, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loopback.fixture import FORGOTTEN, NEUTRAL

_SERVER = Path(__file__).with_name("aws_server.py")
#: moto for S3 alone: what it does not know of Bedrock and S3 Vectors would leave this machine.
_MOTO = """
import json, logging, sys
logging.getLogger("werkzeug").setLevel(logging.ERROR)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
host, port = server.get_host_and_port()
print(json.dumps({"url": f"http://{host}:{port}"}), flush=True)
sys.stdin.buffer.read()
"""


class _Process:
    """A server that says its URL on its first line and ends with its standard input."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **NEUTRAL},
        )
        assert self._process.stdout is not None
        self.url: str = json.loads(self._process.stdout.readline())["url"]

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


class LoopbackAws(_Process):
    """The server of aws_server.py; ``env`` sends boto3's calls to it."""

    def __init__(self) -> None:
        super().__init__(str(_SERVER))
        services = ("BEDROCK", "BEDROCK_RUNTIME", "S3VECTORS")
        self.env = {**NEUTRAL, **{f"AWS_ENDPOINT_URL_{name}": self.url for name in services}}

    def programme(self, **spec: Any) -> None:
        """Set what there is from now on; forgets jobs and the ledger."""
        self._post("programme", spec)

    def change(self, **spec: Any) -> None:
        """Change keys of the programme; jobs and the ledger stay."""
        self._post("change", spec)

    def ledger(self, operation: str | None = None) -> list[dict[str, Any]]:
        """Every call since the last ``programme``, or those of one operation."""
        with urllib.request.urlopen(f"{self.url}/control/ledger") as answer:
            calls = json.load(answer)
        return [call for call in calls if operation in (None, call["operation"])]

    def _post(self, what: str, body: Any) -> None:
        data = json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.url}/control/{what}", data=data) as answer:
            answer.read()


@pytest.fixture(scope="session")
def aws_process() -> Iterator[LoopbackAws]:
    """One server for all tests of a session."""
    server = LoopbackAws()
    yield server
    server.stop()


@pytest.fixture
def aws(aws_process: LoopbackAws, monkeypatch: pytest.MonkeyPatch) -> LoopbackAws:
    """The server with an empty programme, and this process's environment pointed at it."""
    for name, value in aws_process.env.items():
        monkeypatch.setenv(name, value)
    for name in FORGOTTEN:
        monkeypatch.delenv(name, raising=False)
    aws_process.programme()
    return aws_process


@pytest.fixture(scope="session")
def moto_process() -> Iterator[str]:
    """The URL of moto's server."""
    pytest.importorskip("moto")
    server = _Process("-c", _MOTO)
    yield server.url
    server.stop()


@pytest.fixture
def s3(moto_process: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of an empty S3 with the bucket ``sweeps``; this process's S3 calls go there, too."""
    import boto3

    for name, value in {**NEUTRAL, "AWS_ENDPOINT_URL_S3": moto_process}.items():
        monkeypatch.setenv(name, value)
    reset = urllib.request.Request(f"{moto_process}/moto-api/reset", method="POST")
    with urllib.request.urlopen(reset) as answer:
        answer.read()
    client = boto3.client("s3")
    client.create_bucket(Bucket="sweeps")
    return client

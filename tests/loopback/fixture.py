"""``bedrock``: the loopback server as a pytest fixture, started as a process of its own."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

_SERVER = Path(__file__).with_name("server.py")
#: Nothing of the machine's own AWS set-up may reach a test, and nothing of a test may leave it.
NEUTRAL = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "loopback-only",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent/aws/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/aws/credentials",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
FORGOTTEN = ("AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE", "AWS_SESSION_TOKEN")


class LoopbackBedrock:
    """A running server: ``url``, and the ``env`` that sends boto3 to it.

    ``tls`` is a certificate for 127.0.0.1 and its key, as files.
    """

    def __init__(self, tls: tuple[Path, Path] | None = None) -> None:
        options = [] if tls is None else ["--cert", str(tls[0]), "--key", str(tls[1])]
        self._process = subprocess.Popen(
            [sys.executable, str(_SERVER), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._trust = None if tls is None else ssl.create_default_context(cafile=tls[0])
        assert self._process.stdout is not None
        self.url: str = json.loads(self._process.stdout.readline())["url"]
        self.env = {**NEUTRAL, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.url}

    def programme(self, **spec: Any) -> None:
        """Set what the server does from now on (keys: programme.py), and empty its ledger."""
        self._post("programme", spec)
        self._post("forget", {})

    def change(self, **spec: Any) -> None:
        """Set what the server does from now on; the ledger stays."""
        self._post("programme", spec)

    def ledger(self) -> list[dict[str, Any]]:
        """Every request since the last ``programme``, in its order of arrival."""
        entries: list[dict[str, Any]] = self._get("ledger")
        return entries

    def stats(self) -> dict[str, int]:
        """``connections`` so far, ``open`` now, ``most_in_flight``, ``requests``."""
        stats: dict[str, int] = self._get("stats")
        return stats

    def stop(self) -> None:
        """End the process; safe to call twice."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _get(self, what: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/control/{what}", context=self._trust) as answer:
            return json.load(answer)

    def _post(self, what: str, body: Any) -> None:
        data = json.dumps(body).encode()
        url = f"{self.url}/control/{what}"
        with urllib.request.urlopen(url, data=data, context=self._trust) as answer:
            answer.read()


@pytest.fixture(scope="session")
def bedrock_process() -> Iterator[LoopbackBedrock]:
    """One server for all tests of a session."""
    server = LoopbackBedrock()
    yield server
    server.stop()


@pytest.fixture
def bedrock(bedrock_process: LoopbackBedrock, monkeypatch: pytest.MonkeyPatch) -> LoopbackBedrock:
    """The server with an empty programme, and this process's environment pointed at it."""
    return aimed_at(bedrock_process, monkeypatch)


def aimed_at(server: LoopbackBedrock, monkeypatch: pytest.MonkeyPatch) -> LoopbackBedrock:
    """The server, with an empty programme and this process's boto3 sent to it."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    for name in FORGOTTEN:
        monkeypatch.delenv(name, raising=False)
    server.programme()
    return server


def repeats_after_success(ledger: Sequence[dict[str, Any]]) -> list[str]:
    """The trial keys that were sent again after they had been answered."""
    answered: set[str] = set()
    again = []
    for entry in ledger:
        if entry["trial_key"] in answered:
            again.append(entry["trial_key"])
        if entry["answered"]:
            answered.add(entry["trial_key"])
    return again

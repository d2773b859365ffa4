"""The rest of AWS that finrag-eval talks to, on this machine: control plane, batch, vectors.

``python aws_server.py`` prints ``{"url": ...}`` and serves until its standard input ends: listings
of models and profiles (control_plane.py), batch inference jobs (batch_jobs.py, with their files in
an S3 endpoint), S3 Vectors and query embeddings (vectors.py). Control, on the same port:
  POST /control/programme   what there is, and what goes wrong; forgets jobs and the ledger
  POST /control/change      other keys of the programme; all else stays
  GET  /control/ledger      every call so far: [{operation, status, ...}]

Keys of the programme beside those of the three modules:
  faults   [{operation, error: [status, code, message], times, after}]: the calls of an operation
           that get this error, after so many that do not; `times` None is for good
"""

from __future__ import annotations

import json
import re
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from loopback.batch_jobs import BatchJobs
from loopback.control_plane import ControlPlane
from loopback.refusals import Refused
from loopback.vectors import Vectors

_ROUTES: tuple[tuple[str, str, str], ...] = (
    ("GET", r"/foundation-models/(?P<model_id>[^/]+)", "GetFoundationModel"),
    ("GET", r"/foundation-model-availability/(?P<model_id>.+)", "GetFoundationModelAvailability"),
    ("GET", r"/inference-profiles", "ListInferenceProfiles"),
    ("POST", r"/model-invocation-job", "CreateModelInvocationJob"),
    ("GET", r"/model-invocation-jobs", "ListModelInvocationJobs"),
    ("POST", r"/model-invocation-job/(?P<job>.+)/stop", "StopModelInvocationJob"),
    ("GET", r"/model-invocation-job/(?P<job>.+)", "GetModelInvocationJob"),
    ("POST", r"/model/(?P<model_id>.+)/invoke", "InvokeModel"),
    ("POST", r"/QueryVectors", "QueryVectors"),
)


class Aws:
    """All services with their programme and one ledger."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.programme: dict[str, Any] = {}
        self.ledger: list[dict[str, Any]] = []
        self.calls: dict[str, int] = {}
        self.reset({})

    def reset(self, programme: dict[str, Any]) -> None:
        self.programme.clear()
        self.programme.update(programme)
        self.ledger.clear()
        self.calls.clear()
        self.control_plane = ControlPlane(self.programme)
        self.batch = BatchJobs(self.programme)
        self.vectors = Vectors(self.programme)

    def handle(self, operation: str, asked: dict[str, Any], note: dict[str, Any]) -> Any:
        self.calls[operation] = self.calls.get(operation, 0) + 1
        for fault in self.programme.get("faults", ()):
            if fault["operation"] == operation:
                number = self.calls[operation] - fault.get("after", 0)
                times = fault.get("times")
                if number >= 1 and (times is None or number <= times):
                    raise Refused(*fault["error"])
        for service in (self.control_plane, self.batch, self.vectors):
            answer = getattr(service, operation, None)
            if answer is not None:
                return answer(asked, note)
        raise Refused(404, "UnknownOperationException", operation)


class Handler(BaseHTTPRequestHandler):
    """One request of boto3, or of the tests."""

    protocol_version = "HTTP/1.1"
    aws: Aws

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, format: str, *args: Any) -> None:
        """Keep silent."""

    def _answer(self, method: str) -> None:
        target = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(target.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if path.startswith("/control/"):
            self._control(path.removeprefix("/control/"), body)
            return
        for verb, pattern, operation in _ROUTES:
            found = re.fullmatch(pattern, path)
            if verb == method and found is not None:
                asked = dict(urllib.parse.parse_qsl(target.query)) | found.groupdict()
                asked |= {"body": json.loads(body)} if body else {}
                self._serve(operation, asked)
                return
        self._send(404, {"message": path}, code="UnknownOperationException")

    def _serve(self, operation: str, asked: dict[str, Any]) -> None:
        note: dict[str, Any] = {"operation": operation}
        with self.aws.lock:
            self.aws.ledger.append(note)
            try:
                answer = self.aws.handle(operation, asked, note)
            except Refused as refused:
                note["status"], note["code"] = refused.status, refused.code
                self._send(refused.status, {"message": refused.message}, code=refused.code)
                return
        note["status"] = 200
        headers = answer.pop("headers", {}) if isinstance(answer, dict) else {}
        self._send(200, answer, headers=headers)

    def _control(self, what: str, body: bytes) -> None:
        with self.aws.lock:
            if what == "programme":
                self.aws.reset(json.loads(body))
            elif what == "change":
                self.aws.programme.update(json.loads(body))
                self.aws.calls.clear()
            self._send(200, self.aws.ledger)

    def _send(
        self,
        status: int,
        answer: Any,
        *,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if code is not None:
            self.send_header("x-amzn-ErrorType", f"{code}:http://internal.amazon.com/coral/")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def serve() -> None:
    """Serve until standard input ends."""
    Handler.aws = Aws()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    serve()

"""The loopback server: one process, one event loop, Bedrock's Converse over HTTP/1.1.

``python server.py [--port N] [--cert FILE --key FILE]`` prints ``{"url": ...}`` on its first line
and serves until it is killed, or its standard input ends. Control, on the same port:
  POST /control/programme   a programme (see programme.py); forgets tries and quotas
  GET  /control/ledger      every request so far: [{n, at, model, prompt, trial_key, attempt, ...}]
  POST /control/forget      empties the ledger
  GET  /control/stats       {"connections", "open", "most_in_flight", "requests"}

Each answer says the SHA-256 of its prompt and has a usage that is known beforehand: a token is
four bytes of the prompt, rounded up.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import socket
import ssl
import struct
import sys
import time
import urllib.parse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from loopback.faults import BODIES, HTTP_ERRORS, PAGES, error_body
from loopback.programme import Programme

_REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found"}


@dataclass(slots=True)
class Entry:
    """One request as it came, and what became of it; tokens are what AWS would have billed."""

    n: int
    at: float
    model: str
    prompt: str
    sweep_id: str | None
    trial_key: str | None
    attempt: str | None
    number: int
    fate: str = "ok"
    status: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    max_tokens: int = 0
    answered: bool = False
    body: dict[str, Any] | None = None


class Bedrock:
    """The server's state: its programme, its ledger, its caches."""

    def __init__(self) -> None:
        self.programme = Programme()
        self.ledger: list[Entry] = []
        self.cached: set[str] = set()
        self.open = self.connections = 0
        self.in_flight = self.most_in_flight = 0
        self.counted = 0
        self.keeps_bodies = False

    def set_programme(self, spec: dict[str, Any]) -> None:
        self.programme = Programme(spec)
        self.keeps_bodies = bool(spec.get("keep_bodies"))

    def stats(self) -> dict[str, int]:
        return {
            "connections": self.connections,
            "open": self.open,
            "most_in_flight": self.most_in_flight,
            "requests": len(self.ledger),
            "counted": self.counted,
        }

    def note(self, model: str, body: dict[str, Any]) -> tuple[Entry, str]:
        """Put a request into the ledger; the entry, and its whole prompt."""
        system = "".join(block.get("text", "") for block in body.get("system", ()))
        blocks = [block for message in body["messages"] for block in message["content"]]
        user = "".join(block.get("text", "") for block in blocks)
        prompt = f"{system}\0{user}"
        digest = hashlib.sha256(prompt.encode()).hexdigest()
        metadata = body.get("requestMetadata", {})
        entry = Entry(
            n=len(self.ledger) + 1,
            at=time.time(),
            model=model,
            prompt=digest,
            sweep_id=metadata.get("sweep_id"),
            trial_key=metadata.get("trial_key"),
            attempt=metadata.get("attempt"),
            number=self.programme.next_try(model, digest),
            max_tokens=body.get("inferenceConfig", {}).get("maxTokens", 4096),
            body=body if self.keeps_bodies else None,
        )
        entry.input_tokens = -(-(len(prompt.encode()) - 1) // 4)
        self._use_cache(entry, model, system, blocks)
        self.ledger.append(entry)
        return entry, prompt

    def _use_cache(self, entry: Entry, model: str, system: str, blocks: list[Any]) -> None:
        marks = [number for number, block in enumerate(blocks) if "cachePoint" in block]
        if not marks:
            return
        prefix = system + "".join(block.get("text", "") for block in blocks[: marks[-1]])
        tokens = min(entry.input_tokens, len(prefix.encode()) // 4)
        key = f"{model}\0{prefix}"
        if key in self.cached:
            entry.cache_read_tokens = tokens
        else:
            entry.cache_write_tokens = tokens
            self.cached.add(key)
        entry.input_tokens -= tokens

    def answer(self, entry: Entry, prompt: str, body: dict[str, Any]) -> dict[str, Any]:
        """The right answer to a request, as JSON."""
        entry.output_tokens = self.programme.output_tokens(entry.prompt, entry.max_tokens)
        text = self.programme.answer(prompt)
        if not self.programme.is_bare(prompt):
            text = f"{text} [sha256 {entry.prompt}]"
        usage: dict[str, Any] = {
            "inputTokens": entry.input_tokens,
            "outputTokens": entry.output_tokens,
            "totalTokens": entry.input_tokens
            + entry.output_tokens
            + entry.cache_read_tokens
            + entry.cache_write_tokens,
        }
        if entry.cache_read_tokens or entry.cache_write_tokens:
            usage["cacheReadInputTokens"] = entry.cache_read_tokens
            usage["cacheWriteInputTokens"] = entry.cache_write_tokens
        answer: dict[str, Any] = {
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn",
            "usage": usage,
            "metrics": {"latencyMs": 1},
        }
        if (ttl := _cache_ttl(body)) and entry.cache_write_tokens:
            usage["cacheDetails"] = [{"ttl": ttl, "inputTokens": entry.cache_write_tokens}]
        if tier := body.get("serviceTier"):
            answer["serviceTier"] = tier
        return answer


def _cache_ttl(body: dict[str, Any]) -> str | None:
    """How long the marked prefix is to be kept, where the request says so."""
    blocks = [block for message in body["messages"] for block in message["content"]]
    points = [block["cachePoint"] for block in blocks if "cachePoint" in block]
    return points[0].get("ttl") if points else None


class Connection(asyncio.Protocol):
    """One client's connection: requests one after the other."""

    def __init__(self, bedrock: Bedrock, loop: asyncio.AbstractEventLoop) -> None:
        self._bedrock, self._loop = bedrock, loop
        self._buffer = b""
        self._transport: Any = None
        self._timers: list[asyncio.TimerHandle] = []
        self._is_busy = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._bedrock.open += 1
        self._bedrock.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._bedrock.open -= 1
        for timer in self._timers:
            timer.cancel()
        self._done()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
        length = int(headers.get("content-length", 0))
        if headers.get("expect") == "100-continue" and not rest and length:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        method, target, _ = first.split(" ", 2)
        signature = headers.get("authorization", "")
        self._handle(method, urllib.parse.unquote(target), rest[:length], signature)

    def _handle(self, method: str, path: str, body: bytes, signature: str) -> None:
        if path.startswith("/control/"):
            self._control(method, path.removeprefix("/control/"), body)
        elif method == "POST" and path.startswith("/model/") and path.endswith("/converse"):
            model = path.removeprefix("/model/").removesuffix("/converse")
            self._converse(model, json.loads(body), signature)
        elif method == "POST" and path.startswith("/model/") and path.endswith("/count-tokens"):
            model = path.removeprefix("/model/").removesuffix("/count-tokens")
            self._count_tokens(model, json.loads(body)["input"]["converse"])
        else:
            self._send(404, b'{"message": "no such path"}', error="UnknownOperationException")

    def _control(self, method: str, what: str, body: bytes) -> None:
        if what == "programme":
            self._bedrock.set_programme(json.loads(body))
        elif what == "forget":
            self._bedrock.ledger.clear()
        elif what == "ledger":
            entries = [asdict(entry) for entry in self._bedrock.ledger]
            self._send(200, json.dumps(entries).encode())
            return
        self._send(200, json.dumps(self._bedrock.stats()).encode())

    def _count_tokens(self, model: str, body: dict[str, Any]) -> None:
        """Claude's tokens, as Converse would count them; Bedrock refuses others, and profiles."""
        self._bedrock.counted += 1
        if not model.startswith("anthropic."):
            message = "The provided model doesn't support counting tokens."
            refused = json.dumps({"message": message}).encode()
            self._send(400, refused, error="ValidationException")
            return
        system = "".join(block["text"] for block in body.get("system", ()))
        blocks = [block for message in body["messages"] for block in message["content"]]
        size = len((system + "".join(block["text"] for block in blocks)).encode())
        self._send(200, json.dumps({"inputTokens": -(-size // 4)}).encode())

    def _converse(self, model: str, body: dict[str, Any], signature: str) -> None:
        bedrock, now = self._bedrock, self._loop.time()
        entry, prompt = bedrock.note(model, body)
        programme = bedrock.programme
        entry.fate = programme.fate(model, prompt, entry.prompt, entry.number)
        quota = programme.quota(model, now)
        reserved = float(
            entry.input_tokens
            + entry.cache_read_tokens
            + entry.cache_write_tokens
            + entry.max_tokens
        )
        over = None if quota is None else quota.admit(reserved, now)
        if over is not None:
            entry.fate = over
        if programme.is_expired(signature):
            entry.fate = "expired_token"
        self._is_busy = True
        bedrock.in_flight += 1
        bedrock.most_in_flight = max(bedrock.most_in_flight, bedrock.in_flight)
        if entry.fate in HTTP_ERRORS:
            self._send_error(entry)
            return

        def answer() -> None:
            message = bedrock.answer(entry, prompt, body)
            if quota is not None:
                used = entry.input_tokens + entry.cache_write_tokens
                quota.settle(
                    reserved, used + entry.output_tokens * quota.burndown, self._loop.time()
                )
            self._act(entry, message)

        wait = programme.latency(model, entry.prompt, entry.number)
        if wait > 0:
            self._timers.append(self._loop.call_later(wait, answer))
        else:
            answer()

    def _act(self, entry: Entry, message: dict[str, Any]) -> None:
        """Answer as the fate has it."""
        fate = entry.fate
        if fate in PAGES:
            entry.status, kind, page = PAGES[fate]
            self._send(entry.status, page, kind=kind)
        elif fate in BODIES:
            entry.status = 200
            self._send(200, BODIES[fate](message))
        elif fate == "ok":
            entry.status, entry.answered = 200, True
            self._send(200, json.dumps(message).encode())
        else:
            getattr(self, f"_{fate}")(json.dumps(message).encode())

    def _reset(self, body: bytes) -> None:
        linger = struct.pack("ii", 1, 0)
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()

    def _reset_in_body(self, body: bytes) -> None:
        self._transport.write(_head(200, len(body)) + body[: len(body) // 2])
        self._timers.append(self._loop.call_later(0.02, self._reset, body))

    def _close(self, body: bytes) -> None:
        self._transport.close()

    def _truncated(self, body: bytes) -> None:
        self._transport.write(_head(200, len(body)) + body[: len(body) // 2])
        self._transport.close()

    def _hang(self, body: bytes) -> None:
        """Say nothing at all, until the client leaves."""

    def _drip(self, body: bytes) -> None:
        self._transport.write(_head(200, len(body)))
        self._drip_on(body)

    def _drip_headers(self, body: bytes) -> None:
        self._drip_on(_head(200, len(body)) + body)

    def _drip_on(self, rest: bytes) -> None:
        self._transport.write(rest[:1])
        if rest[1:]:
            delay = self._bedrock.programme.drip_s
            self._timers.append(self._loop.call_later(delay, self._drip_on, rest[1:]))
        else:
            self._done()

    def _send_error(self, entry: Entry) -> None:
        status, code, _ = HTTP_ERRORS[entry.fate]
        entry.status, entry.input_tokens = status, 0
        entry.cache_read_tokens = entry.cache_write_tokens = 0
        self._send(status, json.dumps(error_body(entry.fate)).encode(), error=code)

    def _send(
        self, status: int, body: bytes, *, kind: str = "application/json", error: str | None = None
    ) -> None:
        self._transport.write(_head(status, len(body), kind, error) + body)
        self._done()

    def _done(self) -> None:
        if self._is_busy:
            self._is_busy = False
            self._bedrock.in_flight -= 1
        self._timers.clear()


def _head(
    status: int, length: int, kind: str = "application/json", error: str | None = None
) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        "x-amzn-RequestId: 00000000-0000-0000-0000-000000000000",
    ]
    if error is not None:
        where = "http://internal.amazon.com/coral/com.amazon.bedrock/"
        lines.append(f"x-amzn-ErrorType: {error}:{where}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def serve(port: int, cert: str | None, key: str | None) -> None:
    """Serve until standard input ends; over TLS where there is a certificate."""
    loop = asyncio.get_running_loop()
    bedrock = Bedrock()
    tls = None
    if cert is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(cert, key)
    server = await loop.create_server(
        lambda: Connection(bedrock, loop), "127.0.0.1", port, backlog=1024, ssl=tls
    )
    host, port = server.sockets[0].getsockname()
    scheme = "http" if tls is None else "https"
    print(json.dumps({"url": f"{scheme}://{host}:{port}"}), flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.cert, options.key))

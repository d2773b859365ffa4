"""The query log: no row lost and no file overwritten, whoever writes at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from finrag_eval.synthesis_pipeline.query_logger import COLUMNS, QueryLogger, read_query_log

ROWS_EACH = 25


def _result(query: str) -> dict[str, Any]:
    return {
        "query": query,
        "answer": "A",
        "context": "C — ünïcode",
        "metadata": {
            "llm": {"model_id": "m", "input_tokens": 10, "output_tokens": 2, "cost": 0.25},
            "context": {"context_length": 11},
            "retrieval": {"kpi_count": 1, "rag_count": 0},
            "timestamp": "2026-01-02T03:04:05.000006Z",
            "processing_time_ms": 12.5,
        },
        "exports": {},
    }


def _write_many(folder: str, writer: int) -> None:
    logger = QueryLogger(folder)
    for number in range(ROWS_EACH):
        logger.log(_result(f"{writer}-{number}"), export_response=True)


def _expected(writers: int) -> set[str]:
    return {f"{writer}-{number}" for writer in range(writers) for number in range(ROWS_EACH)}


def test_processes_at_once_lose_no_row(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_write_many, args=(str(tmp_path), n)) for n in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    rows = read_query_log(tmp_path)
    assert len(rows) == 2 * ROWS_EACH
    assert set(rows["query"]) == _expected(2)
    assert rows["response_file"].nunique() == 2 * ROWS_EACH
    assert all(Path(name).is_file() for name in rows["context_file"])


def test_threads_at_once_lose_no_row(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: _write_many(str(tmp_path), n), range(8)))
    assert set(read_query_log(tmp_path)["query"]) == _expected(8)


def test_a_row_holds_every_column_with_its_type(tmp_path: Path) -> None:
    exports = QueryLogger(tmp_path).log(_result("Q"), model_key="k", system_prompt_version="v2")
    rows = read_query_log(tmp_path)
    row = rows.iloc[0]
    assert list(rows.columns) == list(COLUMNS)
    assert (row["query"], row["model_key"], row["system_prompt_version"]) == ("Q", "k", "v2")
    assert (row["input_tokens"], row["cost"], row["processing_time_ms"]) == (10, 0.25, 12.5)
    assert row["context_file"] == exports["context_file"]
    assert rows[["response_file", "error", "stage"]].isna().all(axis=None)
    assert Path(str(exports["context_file"])).read_text("utf-8") == "C — ünïcode"


def test_half_a_character_costs_no_row(tmp_path: Path) -> None:
    result = {**_result("half \ud83d"), "context": "\ud83d"}
    exports = QueryLogger(tmp_path).log(result, export_response=True)
    assert read_query_log(tmp_path)["query"].iloc[0] == "half ?"
    assert Path(str(exports["context_file"])).read_text("utf-8") == "?"


def test_a_failure_is_logged_with_its_stage(tmp_path: Path) -> None:
    failure = {
        "query": "Q",
        "answer": None,
        "context": None,
        "metadata": None,
        "error": "gone",
        "error_type": "KeyError",
        "stage": "llm_invocation",
        "timestamp": "2026-01-02T03:04:05.000006Z",
    }
    exports = QueryLogger(tmp_path).log(failure)
    row = read_query_log(tmp_path).iloc[0]
    assert (row["error"], row["error_type"], row["stage"]) == ("gone", "KeyError", "llm_invocation")
    assert row["timestamp"] == failure["timestamp"]
    assert exports["context_file"] is None
    assert row["cost"] != row["cost"]


def test_an_empty_log_reads_as_no_rows(tmp_path: Path) -> None:
    rows = read_query_log(tmp_path / "none")
    assert len(rows) == 0
    assert list(rows.columns) == list(COLUMNS)


def test_unfinished_files_are_not_read(tmp_path: Path) -> None:
    exports = QueryLogger(tmp_path).log(_result("Q"))
    row = Path(str(exports["log_file"]))
    (row.parent / f".{row.name}.unfinished").write_bytes(b"half")
    assert len(read_query_log(tmp_path)) == 1


def test_a_place_that_cannot_be_written_raises_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("in the way")
    with pytest.raises(NotADirectoryError):
        QueryLogger(tmp_path).log(_result("Q"), export_context=False)
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A loopback server that keeps what is put and lists it, as S3 answers."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from urllib.parse import parse_qs, unquote, urlsplit

    kept: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self._body()
            kept[unquote(urlsplit(self.path).path)] = body
            self._reply(b"")

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if "list-type" in url.query:
                prefix = parse_qs(url.query)["prefix"][0]
                names = sorted(name.removeprefix("/bucket/") for name in kept)
                found = "".join(
                    f"<Contents><Key>{name}</Key><Size>1</Size></Contents>"
                    for name in names
                    if name.startswith(prefix)
                )
                self._reply(
                    f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}"
                    "</ListBucketResult>".encode()
                )
            else:
                self._reply(kept[unquote(url.path)])

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Content-Encoding", "") and not self.headers.get(
                "Transfer-Encoding"
            ):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            whole = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return whole

        def _reply(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for name, value in {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    yield kept
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_bucket_keeps_rows_contexts_and_responses(s3: dict[str, bytes]) -> None:
    logger = QueryLogger("s3://bucket/some/prefix")
    first = logger.log(_result("one"), export_response=True)
    logger.log(_result("two"), export_context=False)
    assert str(first["context_file"]).startswith("s3://bucket/some/prefix/contexts/date=")
    assert s3["/bucket/" + str(first["context_file"]).removeprefix("s3://bucket/")] == (
        "C — ünïcode".encode()
    )
    assert sorted(read_query_log("s3://bucket/some/prefix")["query"]) == ["one", "two"]
    assert len(s3) == 4

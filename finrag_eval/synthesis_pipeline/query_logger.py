"""The query log: a Parquet row a query, with contexts and responses beside it.

Enters: results (contract, section 6). Leaves: files in a folder or under ``s3://``, and their
names. Every row is a file of its own under ``date=YYYY-MM-DD/``, named by time and chance, so that
workers and machines may write at once: none waits for, or overwrites, another's.
"""

from __future__ import annotations

import io
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as arrow

ROWS, CONTEXTS, RESPONSES = "rows", "contexts", "responses"

#: Column and type (of Arrow) of a row; a value that is not known is null.
COLUMNS = {
    "timestamp": "string",
    "query": "string",
    "model_key": "string",
    "model_id": "string",
    "system_prompt_version": "string",
    "query_template_version": "string",
    "input_tokens": "int64",
    "output_tokens": "int64",
    "total_tokens": "int64",
    "cache_read_tokens": "int64",
    "cache_write_tokens": "int64",
    "cost": "float64",
    "stop_reason": "string",
    "kpi_count": "int64",
    "rag_count": "int64",
    "context_length": "int64",
    "processing_time_ms": "float64",
    "error": "string",
    "error_type": "string",
    "stage": "string",
    "context_file": "string",
    "response_file": "string",
}


class _Place(Protocol):
    """Where files go: a folder or a bucket."""

    def write(self, name: str, content: bytes) -> str:
        """The file's full name, once it is whole."""

    def read_all(self, beginning: str, ending: str) -> Iterator[bytes]:
        """The files whose names begin and end so, by name."""


class QueryLogger:
    """Writes rows, contexts and responses to ``where``, a folder or ``s3://bucket/prefix``.

    AWS region and profile are those of ``aws``, else AWS's own. Threads may share it.
    """

    def __init__(self, where: str | Path, *, aws: Mapping[str, str] | None = None) -> None:
        self._place = _place(where, aws or {})

    def log(
        self,
        result: Mapping[str, Any],
        *,
        export_context: bool = True,
        export_response: bool = False,
        **columns: str | None,
    ) -> dict[str, str | None]:
        """Log one result, failed ones too; the names of the files written.

        ``columns`` are values of columns that a result does not hold (``model_key`` and the prompt
        versions). Raises OSError, or botocore's errors, where a file cannot be written.
        """
        now = datetime.now(UTC)
        stem = f"{now:%Y%m%dT%H%M%S.%f}Z_{uuid.uuid4().hex[:12]}"
        day = f"date={now:%Y-%m-%d}"
        exports: dict[str, str | None] = {"context_file": None, "response_file": None}
        context = result.get("context")
        if export_context and context is not None:
            name = f"{CONTEXTS}/{day}/context_{stem}.txt"
            exports["context_file"] = self._place.write(name, _utf8(context))
        if export_response:
            name = f"{RESPONSES}/{day}/response_{stem}.json"
            told = {**result, "exports": exports}
            text = json.dumps(told, ensure_ascii=False, indent=2, allow_nan=False)
            exports["response_file"] = self._place.write(name, _utf8(text))
        row = _row(result) | columns | exports
        content = _parquet(row)
        return {
            "log_file": self._place.write(f"{ROWS}/{day}/row_{stem}.parquet", content),
            **exports,
        }


def read_query_log(where: str | Path, *, aws: Mapping[str, str] | None = None) -> pd.DataFrame:
    """All rows, the oldest first; no rows where nothing was logged yet."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    tables = [
        parquet.read_table(io.BytesIO(content), schema=_schema())
        for content in _place(where, aws or {}).read_all(f"{ROWS}/", ".parquet")
    ]
    table = arrow.concat_tables(tables) if tables else _schema().empty_table()
    frame: pd.DataFrame = table.sort_by("timestamp").to_pandas()
    return frame


def _row(result: Mapping[str, Any]) -> dict[str, Any]:
    metadata = result.get("metadata") or {}
    known = {
        **metadata.get("llm", {}),
        **metadata.get("retrieval", {}),
        **metadata.get("context", {}),
        **metadata,
        **result,
    }
    values = {name: known.get(name) for name in COLUMNS}
    return {
        name: _utf8(value).decode() if isinstance(value, str) else value
        for name, value in values.items()
    }


def _utf8(text: str) -> bytes:
    """The text's bytes; half a character, which a model may send, becomes a question mark."""
    return text.encode(errors="replace")


def _parquet(row: Mapping[str, Any]) -> bytes:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    sink = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist([dict(row)], schema=_schema()), sink)
    return sink.getvalue()


def _schema() -> arrow.Schema:
    import pyarrow as arrow

    return arrow.schema([(name, getattr(arrow, told)()) for name, told in COLUMNS.items()])


def _place(where: str | Path, aws: Mapping[str, str]) -> _Place:
    text = str(where)
    return _Bucket(text, aws) if text.startswith("s3://") else _Folder(Path(where))


class _Folder:
    """A local folder. A file appears whole, by rename, or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, name: str, content: bytes) -> str:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            unfinished.write_bytes(content)
            os.replace(unfinished, path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        return str(path)

    def read_all(self, beginning: str, ending: str) -> Iterator[bytes]:
        for path in sorted((self._root / beginning).glob(f"*/*{ending}")):
            if not path.name.startswith("."):
                yield path.read_bytes()


class _Bucket:
    """A prefix of an S3 bucket."""

    def __init__(self, url: str, aws: Mapping[str, str]) -> None:
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._aws = aws

    @cached_property
    def _client(self) -> Any:
        import boto3

        session = boto3.Session(
            region_name=self._aws.get("region"), profile_name=self._aws.get("profile")
        )
        return session.client("s3")

    def write(self, name: str, content: bytes) -> str:
        key = self._prefix + name
        self._client.put_object(Bucket=self._bucket, Key=key, Body=content)
        return f"s3://{self._bucket}/{key}"

    def read_all(self, beginning: str, ending: str) -> Iterator[bytes]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + beginning
        )
        keys = sorted(each["Key"] for page in pages for each in page.get("Contents", ()))
        for key in keys:
            if key.endswith(ending):
                yield self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

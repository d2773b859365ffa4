"""How the ledger's file is opened: to write it, or to read it beside a writer or after one.

Enters: a sweep's folder. Leaves: SQLite connections, or ``LedgerUnreadable`` with the reason.

In the process that writes, nothing may open ``ledger.sqlite`` by itself (to copy or hash it):
closing any descriptor of a file drops SQLite's POSIX locks on it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

from finrag_eval.errors import LedgerUnreadable
from finrag_eval.record.ledger import schema
from finrag_eval.record.ledger.lock import SweepLock, holder_of

LEDGER_FILE = "ledger.sqlite"
_BUSY_SECONDS = 30.0
_WAL_LIMIT_BYTES = 64 * 1024 * 1024
_CACHE_KIB = 16 * 1024
_CHECKPOINT_BYTES = 4 * 1024 * 1024


def make_file(folder: Path, meta: dict[str, str]) -> None:
    """Make an empty ledger in ``folder``: whole or not at all. FileExistsError where one is."""
    path = folder / LEDGER_FILE
    if path.exists():
        raise FileExistsError(path)
    part = folder / f".{LEDGER_FILE}.{os.getpid()}.part"
    part.unlink(missing_ok=True)
    try:
        connection = sqlite3.connect(part, isolation_level=None)
        try:
            connection.execute(f"PRAGMA page_size = {schema.PAGE_BYTES}")
            schema.create_tables(connection, meta)
        finally:
            connection.close()
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    for made in (folder, folder.parent):
        _sync_folder(made)


def open_to_write(folder: Path) -> sqlite3.Connection:
    """A connection whose every commit is on disk, on a ledger brought up to this format."""
    path = folder / LEDGER_FILE
    if not path.is_file():
        raise no_ledger(folder)
    try:
        connection = _connect(f"{path.absolute().as_uri()}?mode=rw")
        try:
            schema.bring_up_to_date(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_BYTES // page_bytes}")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, schema.FormatTooNew) as error:
        raise LedgerUnreadable(str(path), str(error)) from error
    return connection


class ReadOnly:
    """A connection that writes nothing, whatever state the writer left the file in.

    Beside a living writer, and after one that died, SQLite's own files for that are used. In a
    folder that cannot be written those cannot be made: then the file is read as it is, or, with a
    write-ahead log that still holds something, from a copy.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER_FILE
        self._copy: TemporaryDirectory[str] | None = None
        if not self.path.is_file():
            raise no_ledger(folder)
        try:
            self.connection = self._open()
            if schema.read_format(self.connection) < schema.FORMAT:
                self.close()
                _migrate(folder)
                self.connection = self._open()
        except (sqlite3.Error, schema.FormatTooNew) as error:
            self.close()
            raise LedgerUnreadable(str(self.path), str(error)) from error

    def close(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None

    def _open(self) -> sqlite3.Connection:
        uri = self.path.absolute().as_uri()
        try:
            return _checked(f"{uri}?mode=ro")
        except sqlite3.OperationalError:
            if os.access(self.path.parent, os.W_OK) and os.access(self.path, os.W_OK):
                raise
        log = self.path.with_name(f"{LEDGER_FILE}-wal")
        if not log.exists() or log.stat().st_size == 0:
            return _checked(f"{uri}?mode=ro&immutable=1")
        self._copy = TemporaryDirectory(prefix="finrag-eval-ledger-")
        copy = Path(self._copy.name) / LEDGER_FILE
        shutil.copyfile(self.path, copy)
        shutil.copyfile(log, copy.with_name(log.name))
        return _checked(copy.as_uri())


def no_ledger(folder: Path) -> LedgerUnreadable:
    """What is raised where ``folder`` holds no ledger."""
    return LedgerUnreadable(str(folder / LEDGER_FILE), "there is no such file")


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS, check_same_thread=False
    )


def _checked(uri: str) -> sqlite3.Connection:
    connection = _connect(uri)
    try:
        if (found := schema.read_format(connection)) > schema.FORMAT:
            raise schema.FormatTooNew(found)
        connection.execute("PRAGMA query_only = ON")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(folder: Path) -> None:
    """Bring an older ledger to this format, unless somebody is writing it."""
    path = str(folder / LEDGER_FILE)
    holder = holder_of(folder)
    if holder is not None:
        raise LedgerUnreadable(path, f"process {holder.pid} is writing it in an older format")
    try:
        lock = SweepLock.acquire(folder)
    except OSError as error:
        reason = f"its format is older, and it cannot be changed here: {error}"
        raise LedgerUnreadable(path, reason) from error
    try:
        open_to_write(folder).close()
    finally:
        lock.release()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

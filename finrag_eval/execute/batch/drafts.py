"""Records that wait to become a job: their lines on disk, not in memory.

Enters: prepared trials with their lines. Leaves: files of a job's size. A model's last two jobs
are of equal size, so that neither has too few records.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

from finrag_eval.execute.batch.target import Prepared

#: What one input file may have, with room below Bedrock's quota of 1 GB.
MOST_BYTES = 900_000_000
_CHUNK_BYTES = 1 << 20


class Draft:
    """One model's records that are in no job yet."""

    def __init__(self, path: Path, *, fewest: int, most: int, most_bytes: int = MOST_BYTES) -> None:
        self._path = path
        self._fewest, self._most, self._most_bytes = fewest, most, most_bytes
        self._records: deque[tuple[Prepared, int]] = deque()
        self._bytes = 0
        self._read_from = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w+b")

    def __len__(self) -> int:
        return len(self._records)

    def add(self, prepared: Prepared, line: bytes) -> None:
        """Put a record at the end."""
        self._file.seek(0, os.SEEK_END)
        self._file.write(line)
        self._records.append((prepared, len(line)))
        self._bytes += len(line)

    def next_count(self, *, is_whole: bool) -> int:
        """How many records the next job is to have; 0 for none yet.

        ``is_whole``: no more are coming now.
        """
        here = len(self._records)
        is_full = here >= self._most + self._fewest or self._bytes >= 2 * self._most_bytes
        if not (is_full or is_whole) or here < self._fewest:
            return 0
        if here <= self._most and self._bytes <= self._most_bytes:
            return here
        count = self._most if here >= self._most + self._fewest else here // 2
        that_fit = here * self._most_bytes // self._bytes
        return max(self._fewest, min(self._most, count, that_fit))

    def cut(self, count: int, to: Path) -> list[Prepared]:
        """The first so many records, their lines in a file of their own, on disk."""
        taken = [self._records.popleft() for _ in range(count)]
        size = sum(length for _, length in taken)
        self._file.seek(self._read_from)
        with to.open("wb") as job:
            left = size
            while left:
                chunk = self._file.read(min(left, _CHUNK_BYTES))
                job.write(chunk)
                left -= len(chunk)
            job.flush()
            os.fsync(job.fileno())
        self._read_from += size
        self._bytes -= size
        return [prepared for prepared, _ in taken]

    def empty(self) -> list[Prepared]:
        """All records, which are in no job and will not be."""
        records = [prepared for prepared, _ in self._records]
        self._records.clear()
        return records

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)

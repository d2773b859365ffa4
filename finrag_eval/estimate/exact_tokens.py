"""Prompt tokens as Bedrock counts them, for the models that have CountTokens.

Enters: cells, queries, and ways to assemble and to count a prompt. Leaves: ``Counted``: tokens by
cell, and for every model that could not be counted, why. Nothing is billed. Counts are kept on disk
by model and prompt, so that a plan made again asks only for what is new.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finrag_eval.domain import Cell, ModelRequest, Query
from finrag_eval.errors import ModelFault
from finrag_eval.results import replacing

Floats = NDArray[np.float64]

_FILE = "token_counts.json"
_THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Tokens of every measured query's prompt by cell name; ``not_counted``: model key -> why."""

    tokens: Mapping[str, Floats]
    not_counted: Mapping[str, str]


def count_prompts(
    cells: Sequence[Cell],
    queries: Sequence[Query],
    assembled: Callable[[Query, Cell], ModelRequest],
    count: Callable[[ModelRequest], int],
    *,
    cache_folder: Path | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> Counted:
    """Count all prompts of all cells; ``advance`` hears how many are done.

    The first refusal of a model ends its counting: it is estimated by its characters instead.
    """
    cache = _Cache(cache_folder)
    tokens: dict[str, Floats] = {}
    refused: dict[str, str] = {}
    done = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for cell in cells:
            key = cell.model.key
            if cell.model.provider != "bedrock":
                refused[key] = f"{cell.model.provider} has no CountTokens"
            if key not in refused:
                try:
                    first, *rest = (assembled(query, cell) for query in queries)
                    counts = [cache.counted(first, count)]
                    counts += pool.map(lambda one: cache.counted(one, count), rest)
                    tokens[cell.name] = np.array(counts, dtype=float)
                except ModelFault as fault:
                    refused[key] = str(fault)
            done += len(queries)
            advance(done)
    cache.write()
    known = {cell.name for cell in cells if cell.model.key not in refused}
    return Counted(
        tokens={name: found for name, found in tokens.items() if name in known},
        not_counted=refused,
    )


class _Cache:
    """Counts by model id and prompt; what cannot be read is counted anew."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / _FILE
        self._held: dict[str, int] = {}
        self._is_new = False
        if self._path is not None:
            with suppress(OSError, ValueError, AttributeError):
                held = json.loads(self._path.read_text(encoding="utf-8"))
                self._held = {str(key): int(value) for key, value in held.items()}

    def counted(self, request: ModelRequest, count: Callable[[ModelRequest], int]) -> int:
        text = "\0".join((request.model.model_id, request.system_text, request.user_text))
        key = hashlib.blake2b(text.encode(errors="replace"), digest_size=16).hexdigest()
        if key not in self._held:
            self._held[key] = count(request)
            self._is_new = True
        return self._held[key]

    def write(self) -> None:
        if self._path is None or not self._is_new:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self._path) as file:
            json.dump(self._held, file, separators=(",", ":"))

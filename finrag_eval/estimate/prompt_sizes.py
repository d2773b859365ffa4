"""How long the prompts of a plan are: every query is really retrieved for and assembled.

Enters: a plan and a way to gather contexts. Leaves: characters and bytes per query and prompt
version. Calls no model. Sizes are cached on disk by what decides them.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finrag_eval.domain import PromptTexts, Query
from finrag_eval.plan import query_digest
from finrag_eval.results import replacing

Counts = NDArray[np.int64]

#: Above this many queries a seeded sample of that many is measured, and the estimate says so.
SAMPLE_ABOVE = 1_000
_SEED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSizes:
    """Sizes by prompt version (rows) and measured query (columns), placeholders filled in.

    ``share`` is the share of the plan's queries that was measured: 1.0 for all of them.
    """

    versions: tuple[str, ...]
    chars: Counts
    bytes: Counts
    share: float

    def of(self, version: str) -> tuple[Counts, Counts]:
        """Characters and bytes of every measured query's prompt in that version."""
        row = self.versions.index(version)
        return self.chars[row], self.bytes[row]


def measure_prompts(
    queries: Sequence[Query],
    prompts: Sequence[PromptTexts],
    gather: Callable[[Query], str],
    *,
    retrieval_digest: str,
    cache_folder: Path | None = None,
    every_query: bool = False,
    threads: int = 4,
) -> PromptSizes:
    """The sizes of all prompts, or of a seeded sample's where there are very many queries."""
    chosen = measured_queries(queries, every_query=every_query)
    cache = _Cache(cache_folder, retrieval_digest)
    missing = [query for query in chosen if query_digest(query) not in cache.sizes]
    with ThreadPoolExecutor(threads) as pool:
        for query, context in zip(missing, pool.map(gather, missing), strict=True):
            text = context + query.query
            cache.sizes[query_digest(query)] = (len(text), len(text.encode(errors="replace")))
    if missing:
        cache.write()
    own = np.array([cache.sizes[query_digest(query)] for query in chosen], dtype=np.int64)
    fixed = [_fixed(texts) for texts in prompts]
    return PromptSizes(
        versions=tuple(texts.version.label for texts in prompts),
        chars=np.array([own[:, 0] + chars for chars, _ in fixed]),
        bytes=np.array([own[:, 1] + size for _, size in fixed]),
        share=len(chosen) / max(1, len(queries)),
    )


def measured_queries(queries: Sequence[Query], *, every_query: bool) -> list[Query]:
    """The queries whose prompts are measured: all, or a seeded sample of very many."""
    if len(queries) > SAMPLE_ABOVE and not every_query:
        return random.Random(_SEED).sample(list(queries), SAMPLE_ABOVE)
    return list(queries)


def fixed_chars(texts: PromptTexts) -> int:
    """Characters of a prompt version without context and question."""
    return _fixed(texts)[0]


def _fixed(texts: PromptTexts) -> tuple[int, int]:
    text = texts.system_text + texts.query_text.replace("{context}", "").replace("{query}", "")
    return len(text), len(text.encode(errors="replace"))


class _Cache:
    """Sizes of context and question by query digest, for one state of the retrieval."""

    def __init__(self, folder: Path | None, retrieval_digest: str) -> None:
        name = hashlib.blake2b(retrieval_digest.encode(), digest_size=12).hexdigest()
        self._path = None if folder is None else folder / f"prompt_sizes-{name}.json"
        self.sizes: dict[str, tuple[int, int]] = {}
        if self._path is not None:
            try:
                held = json.loads(self._path.read_text(encoding="utf-8"))
                self.sizes = {key: (int(one), int(two)) for key, (one, two) in held.items()}
            except (OSError, ValueError, AttributeError):
                self.sizes = {}

    def write(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self._path) as file:
            json.dump(self.sizes, file, separators=(",", ":"))

"""What will be done: the cells and trials of a sweep, and the key of each trial.

Enters: a checked spec with its models, prompt texts and queries. Leaves: a ``Plan`` that yields
its trials one at a time, so that a hundred thousand of them cost no memory.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finrag_eval.domain import Cell, ModelConfig, PromptTexts, Query, QuerySet, SweepSpec, Trial

#: Settings of a model that say what it costs, how fast it may be asked and what it is called:
#: none of them decides an answer, so none of them is part of a trial's key.
_NOT_DECIDING = frozenset(
    {
        "cache_point",
        "cache_ttl",
        "description",
        "name",
        "notes",
        "output_burndown",
        "price_date",
        "price_source",
        "profile",
        "region",
        "rpm",
        "service_tier",
        "tpm",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All trials of a sweep; equal content gives equal keys, in whatever order it is written."""

    spec: SweepSpec
    cells: tuple[Cell, ...]
    query_set: QuerySet
    retrieval_digest: str

    @property
    def trial_count(self) -> int:
        """How many trials the plan has: cells x queries x repeats."""
        return len(self.cells) * len(self.query_set.queries) * self.spec.repeats

    def cell(self, name: str) -> Cell:
        """The cell of that name; KeyError where the plan has none."""
        return next(cell for cell in self.cells if cell.name == name)

    def trials(self) -> Iterator[Trial]:
        """Every trial, query by query, so that the cells of a query share what was retrieved.

        The cells take turns in being first: who comes first finds caches cold, and no cell shall
        be slower than another for that.
        """
        numbering = _Occurrences(self.cells, self.query_set.queries)
        for place, query in enumerate(self.query_set.queries):
            first = place % max(1, len(self.cells))
            turn = (*self.cells[first:], *self.cells[:first])
            for repeat in range(1, self.spec.repeats + 1):
                for cell in turn:
                    yield Trial(
                        key=numbering.key(cell, query, repeat),
                        cell=cell.name,
                        query_id=query.id,
                        repeat=repeat,
                    )

    def without(self, done: Container[str]) -> Iterator[Trial]:
        """The trials whose keys are not in ``done``."""
        return (trial for trial in self.trials() if trial.key not in done)


def expand(
    spec: SweepSpec,
    *,
    models: Iterable[ModelConfig],
    prompts: Iterable[PromptTexts],
    query_set: QuerySet,
    retrieval_digest: str,
) -> Plan:
    """The plan of a spec: every model with every prompt version on every query."""
    texts = tuple(prompts)
    cells = tuple(
        Cell(
            model=model,
            prompts=version,
            digest=cell_digest(spec.target, model, version, retrieval_digest),
        )
        for model in models
        for version in texts
    )
    return Plan(spec=spec, cells=cells, query_set=query_set, retrieval_digest=retrieval_digest)


def cell_digest(
    target: str, model: ModelConfig, prompts: PromptTexts, retrieval_digest: str
) -> str:
    """A digest of all of a cell that decides its answers: not of names, labels or prices."""
    return _digest(
        {
            "target": target,
            "provider": model.provider,
            "model_id": model.model_id,
            "max_tokens": model.max_tokens,
            "temperature": model.temperature,
            "top_p": model.top_p,
            "settings": {
                key: value for key, value in model.settings.items() if key not in _NOT_DECIDING
            },
            "prompts": prompts.digest,
            "retrieval": retrieval_digest,
        }
    )


def query_digest(query: Query) -> str:
    """A digest of a question's text and of the context that it brings itself."""
    return _digest([query.query, query.context])


class _Occurrences:
    """Trial keys, with equal ones numbered in the order of cell name, then query id."""

    def __init__(self, cells: Sequence[Cell], queries: Sequence[Query]) -> None:
        self._queries = {query.id: query_digest(query) for query in queries}
        self._cell_rank = _ranks({cell.name: cell.digest for cell in cells})
        self._query_rank = _ranks(self._queries)
        self._twins: dict[str, int] = defaultdict(int)
        for digest in self._queries.values():
            self._twins[digest] += 1

    def key(self, cell: Cell, query: Query, repeat: int) -> str:
        digest = self._queries[query.id]
        content = f"{cell.digest}/{digest}/{repeat}".encode()
        key = hashlib.blake2b(content, digest_size=16).hexdigest()
        occurrence = self._cell_rank[cell.name] * self._twins[digest] + self._query_rank[query.id]
        return key if occurrence == 0 else f"{key}-{occurrence}"


def _ranks(digests: Mapping[str, str]) -> dict[str, int]:
    """For each name, how many names before it (sorted) have the same digest."""
    seen: dict[str, int] = defaultdict(int)
    ranks = {}
    for name in sorted(digests):
        ranks[name] = seen[digests[name]]
        seen[digests[name]] += 1
    return ranks


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()

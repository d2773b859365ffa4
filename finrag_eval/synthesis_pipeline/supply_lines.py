"""The context of a question: a snapshot of exact figures, then passages of filing text.

Enters: a question. Leaves: a ``Context``, the same one for the same question and data. Knows no
prompt and no model. Figures come from ``kpi_store``, passages from a retriever.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from finrag_eval.domain import RetrievalSettings
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.synthesis_pipeline.models import Passage

# Both lines are loaded when data is first opened: `query --help` shall not wait for them.
if TYPE_CHECKING:
    from finrag_eval.synthesis_pipeline.entities import Entities, EntityReader
    from finrag_eval.synthesis_pipeline.kpi_snapshot import Snapshot
    from finrag_eval.synthesis_pipeline.kpi_store import KpiStore

#: Raise it with any change of the text that ``gather`` makes of the same data.
FORMAT_VERSION = 1

PASSAGES_HEADER = "=== NARRATIVE PASSAGES: {kind}, each under its source ==="
NOTHING_FOUND = "No figure and no passage of the data fits this question.\n"

_TEXT, _SUMMARIES = "10-K text", "summaries of 10-K text"


class Found(Protocol):
    """What a search gave. One that cost money has ``cost_usd``, too."""

    @property
    def passages(self) -> Sequence[Passage]:
        """The passages, in reading order."""

    @property
    def relaxed(self) -> Sequence[str]:
        """The filters that were let go of to find enough."""


class Retriever(Protocol):
    """What supply line 2 needs of a source of passages.

    One whose searches cost money also has ``worst_usd(query) -> Decimal`` and, for estimates,
    ``sketch(top_k) -> Found``, which finds nothing and costs nothing.
    """

    @property
    def digest(self) -> str:
        """Names all that decides what a search finds."""

    def find(
        self,
        query: str,
        *,
        tickers: Sequence[str],
        years: Sequence[int],
        sections: Sequence[str],
        top_k: int,
    ) -> Found:
        """At most ``top_k`` passages with their neighbours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a model may know of one question.

    ``text`` goes into the prompt. ``seconds`` is what gathering took, ``cost_usd`` what it cost.
    The entity dicts and counts are those of a result (contract, section 6).
    """

    text: str
    kpi_included: bool = False
    rag_included: bool = False
    kpi_count: int = 0
    rag_count: int = 0
    tickers: tuple[str, ...] = ()
    years: tuple[int, ...] = ()
    sections: tuple[str, ...] = ()
    kpi_entities: Mapping[str, Any] = field(default_factory=dict)
    rag_entities: Mapping[str, Any] = field(default_factory=dict)
    retrieval_stats: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    cost_usd: Decimal = Decimal(0)
    passages: tuple[Passage, ...] = ()
    kpi_lines: tuple[str, ...] = ()


class SupplyLines:
    """Both supply lines over one data set; threads share it, and a pickled one opens its data anew.

    ``kpi_store`` and ``retriever`` are made from the settings where they are not given. Data that
    cannot be read raises InvalidInput when it is first needed, at the latest in ``digest``.
    """

    def __init__(
        self,
        settings: RetrievalSettings | None = None,
        *,
        kpi_store: KpiStore | None = None,
        retriever: Retriever | None = None,
        cache_folder: Path | None = None,
    ) -> None:
        self.settings = settings or RetrievalSettings()
        self.cache_folder = cache_folder
        self._given_store, self._given_retriever = kpi_store, retriever
        self._opened: _Data | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in _NOT_PICKLED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _opened=None, _lock=threading.Lock())

    @property
    def digest(self) -> str:
        """Names the facts, the corpus and the format that decide every context."""
        from finrag_eval.synthesis_pipeline.entities import ENTITIES_VERSION

        data = self._data()
        told = [
            f"format {FORMAT_VERSION}, entities {ENTITIES_VERSION}",
            f"kpi {data.store.digest if self.settings.include_kpi else None}",
            f"rag {data.retriever.digest if data.retriever else None}",
            f"top_k {self.settings.top_k if data.retriever else None}",
        ]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    def gather(self, query: str, *, own_context: str | None = None) -> Context:
        """The context of a question; ``own_context`` stands in place of all retrieval."""
        started = time.perf_counter()
        data = self._data()
        asked = data.reader.read(query)
        if own_context is not None:
            return _own(own_context, asked, started)
        figures = data.figures(asked) if self.settings.include_kpi else data.no_figures
        found = self._found(query, asked, data.retriever)
        passages = tuple(found.passages) if found else ()
        return Context(
            text=_text(figures, passages, data.kind_of_passages),
            kpi_included=self.settings.include_kpi,
            rag_included=self.settings.include_rag,
            kpi_count=len(figures.facts),
            rag_count=len(passages),
            tickers=asked.tickers or figures.tickers,
            years=asked.years.named or figures.years,
            sections=asked.sections,
            kpi_entities=_entities(asked, figures, data.reader) if figures.text else {},
            rag_entities=_entities(asked, None, data.reader) if found else {},
            retrieval_stats=self._stats(found) if found else {},
            seconds=time.perf_counter() - started,
            cost_usd=getattr(found, "cost_usd", Decimal(0)),
            passages=passages,
            kpi_lines=figures.lines,
        )

    def sketch(self, query: str, *, own_context: str | None = None) -> str:
        """The context's text as ``gather`` gives it; where that is billed, one of likely length."""
        data = self._data()
        found = getattr(data.retriever, "sketch", None)
        if own_context is not None or found is None:
            return self.gather(query, own_context=own_context).text
        wants_figures = self.settings.include_kpi
        figures = data.figures(data.reader.read(query)) if wants_figures else data.no_figures
        return _text(figures, found(self.settings.top_k).passages, data.kind_of_passages)

    def likely_usd(self, query: str) -> Decimal:
        """What gathering most likely costs in USD; 0 where nothing of it is billed."""
        likely = getattr(self._data().retriever, "likely_usd", None)
        return Decimal(0) if likely is None else Decimal(likely(query))

    def worst_usd(self, query: str) -> Decimal:
        """The most that gathering can cost in USD; 0 where nothing of it is billed."""
        worst = getattr(self._data().retriever, "worst_usd", None)
        return Decimal(0) if worst is None else Decimal(worst(query))

    def _found(self, query: str, asked: Entities, retriever: Retriever | None) -> Found | None:
        if retriever is None:
            return None
        return retriever.find(
            query,
            tickers=asked.tickers,
            years=asked.years.named,
            sections=asked.sections,
            top_k=self.settings.top_k,
        )

    def _stats(self, found: Found) -> dict[str, Any]:
        return {
            "retriever": self.settings.retriever,
            "top_k": self.settings.top_k,
            "passages": len(found.passages),
            "relaxed": list(found.relaxed),
            "chunk_ids": [passage.chunk_id for passage in found.passages],
        }

    def _data(self) -> _Data:
        opened = self._opened
        if opened is None:
            with self._lock:
                opened = self._opened = self._opened or self._open()
        return opened

    def _open(self) -> _Data:
        from finrag_eval.synthesis_pipeline.entities import EntityReader
        from finrag_eval.synthesis_pipeline.kpi_snapshot import Snapshot

        store = self._given_store or _store(self.settings)
        retriever, kind = self._given_retriever, _TEXT
        if not self.settings.include_rag:
            retriever = None
        elif retriever is None:
            retriever, kind = _retriever(self.settings, self.cache_folder)
        if retriever is not None:
            assert retriever.digest  # opens the index here, once, and not in every thread
        reader = EntityReader.of_data(store.company_names, _labels(store))
        return _Data(store, retriever, reader, kind, Snapshot())


@dataclass(frozen=True, slots=True)
class _Data:
    store: KpiStore
    retriever: Retriever | None
    reader: EntityReader
    kind_of_passages: str
    no_figures: Snapshot

    def figures(self, asked: Entities) -> Snapshot:
        from finrag_eval.synthesis_pipeline.kpi_snapshot import snapshot

        return snapshot(asked, self.store, self.reader)


_NOT_PICKLED = frozenset({"_opened", "_lock"})


def _store(settings: RetrievalSettings) -> KpiStore:
    from finrag_eval.synthesis_pipeline.kpi_store import KpiStore

    if settings.kpi_facts is None or settings.kpi_facts == "embedded":
        return KpiStore.embedded()
    return KpiStore.from_file(settings.kpi_facts)


def _labels(store: KpiStore) -> Mapping[str, str]:
    """Labels of metrics that only a user's own table can have."""
    from finrag_eval.synthesis_pipeline.kpi_store import KpiStore

    return {} if store is KpiStore.embedded() else store.metric_labels


def _bm25(settings: RetrievalSettings, cache_folder: Path | None) -> tuple[Retriever, str]:
    from finrag_eval.synthesis_pipeline.retrievers import Bm25Options, Bm25Retriever, Corpus

    options = Bm25Options.read(settings.options, "retrieval")
    if settings.corpus is None or settings.corpus == "embedded":
        return Bm25Retriever(Corpus.embedded(), cache_folder, options), _SUMMARIES
    corpus = Corpus.from_file(Path(settings.corpus))
    return Bm25Retriever(corpus, cache_folder, options), _TEXT


def _s3_vectors(settings: RetrievalSettings, cache_folder: Path | None) -> tuple[Retriever, str]:
    from finrag_eval.synthesis_pipeline.retrievers.s3_vectors import S3VectorsRetriever
    from finrag_eval.synthesis_pipeline.retrievers.vector_options import S3VectorsOptions

    del cache_folder
    return S3VectorsRetriever(S3VectorsOptions.read(settings.options, "retrieval")), _TEXT


#: By the name that settings give: opens the retriever, and says what its passages are.
_RETRIEVERS: Mapping[str, Callable[[RetrievalSettings, Path | None], tuple[Retriever, str]]] = {
    "bm25": _bm25,
    "s3vectors": _s3_vectors,
}


def _retriever(settings: RetrievalSettings, cache_folder: Path | None) -> tuple[Retriever, str]:
    opened = _RETRIEVERS.get(settings.retriever)
    if opened is None:
        raise InvalidInput([_unknown_retriever(settings.retriever)])
    return opened(settings, cache_folder)


def _unknown_retriever(name: str) -> Problem:
    near = get_close_matches(name, _RETRIEVERS, n=1)
    fix = f"did you mean {near[0]}?" if near else f"known: {', '.join(_RETRIEVERS)}"
    return Problem(file="retrieval", key="retriever", message=f"no retriever {name!r:.60}", fix=fix)


def _own(text: str, asked: Entities, started: float) -> Context:
    return Context(
        text=text,
        tickers=asked.tickers,
        years=asked.years.named,
        sections=asked.sections,
        seconds=time.perf_counter() - started,
    )


def _text(figures: Snapshot, passages: Sequence[Passage], kind: str) -> str:
    parts = [figures.text] if figures.text else []
    if passages:
        header = PASSAGES_HEADER.format(kind=kind)
        parts.append("\n".join([header, *map(_passage_text, passages)]))
    return "\n".join(parts) or NOTHING_FOUND


def _passage_text(passage: Passage) -> str:
    name = _one_line(passage.company_name)
    places = [
        f"=== [{_one_line(passage.ticker)}] {name}",
        f"FY{passage.fiscal_year}",
        _one_line(passage.section_title or passage.section),
        f"chunk {_one_line(passage.chunk_id)}",
    ]
    if passage.sentence_ids:
        ends = dict.fromkeys((passage.sentence_ids[0], passage.sentence_ids[-1]))
        places.append(f"sentences {' - '.join(map(_one_line, ends))}")
    return f"{' | '.join(place for place in places if place)} ===\n{_quoted(passage.text)}\n"


def _quoted(text: str) -> str:
    """Filing text that cannot pass for a header or for a figure of the snapshot."""
    lines = (
        f" {line}" if line.startswith(("===", "---")) else line for line in text.strip().split("\n")
    )
    return "\n".join(lines).replace("[KPI:", "(KPI:")


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("===", "=").replace("|", "/")


def _entities(asked: Entities, figures: Snapshot | None, reader: EntityReader) -> dict[str, Any]:
    tickers = figures.tickers if figures else asked.tickers
    told: dict[str, Any] = {
        "companies": {
            "tickers": list(tickers),
            "names": [reader.companies.name(ticker) for ticker in tickers],
        },
        "years": {"years": list(figures.years if figures else asked.years.named)},
        "sections": list(asked.sections),
    }
    if figures:
        told["metrics"] = {"metrics": list(figures.metrics)}
    return told

"""Retrieval from Amazon S3 Vectors: the nearest passages of the companies and years named.

Enters: a question, and what the entity step read from it. Leaves: passages in reading order, and
what finding them cost, or ``ModelFault``. The index holds each passage's text and labels as
metadata; questions are embedded with the model that embedded the passages.

Each company is searched by itself, so that one with more text does not crowd out another. Where
fewer than ``min_hits`` passages of a company come of its years, its other years are searched, too;
where no company named is in the index, all are.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from itertools import chain, islice, zip_longest
from typing import Any

from finrag_eval.errors import ModelFault
from finrag_eval.money import FRAMING_TOKENS, exact_sum
from finrag_eval.synthesis_pipeline.bedrock.accounts import AwsAccount
from finrag_eval.synthesis_pipeline.bedrock.deadline import watching
from finrag_eval.synthesis_pipeline.bedrock.embeddings import Embedding, embed_query
from finrag_eval.synthesis_pipeline.bedrock.faults import fault_of
from finrag_eval.synthesis_pipeline.models import Passage
from finrag_eval.synthesis_pipeline.retrievers.rows import Row
from finrag_eval.synthesis_pipeline.retrievers.vector_options import FIELDS, S3VectorsOptions

#: Raise it with any change of what a search gives back for the same index and options.
SEARCH_VERSION = 1

#: What one request may ask for at most.
_MOST_A_REQUEST = 100
#: How many searches may be under way at once, each on a connection of its own.
_WORKERS = 32
_EMBEDDINGS_KEPT = 1_000
#: A search takes a second; its answers may also drip, which no silence on a socket shows.
_LONGEST_SEARCH_S = 120.0
#: The length of a passage that an estimate assumes.
_LIKELY_CHARS = 1_200
_NOT_DECIDING = ("cost_per_1k_input", "cost_per_1k_queries", "profile")


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorsFound:
    """What a search gave, and what it cost: the embedding and all requests."""

    passages: tuple[Passage, ...] = ()
    #: What was let go of: ``years``, ``companies``; ``max_requests`` where searching ended early.
    relaxed: tuple[str, ...] = ()
    cost_usd: Decimal = Decimal(0)
    requests: int = 0


class S3VectorsRetriever:
    """Passages by nearness. Threads share one; its AWS clients are made once, on first use."""

    def __init__(self, options: S3VectorsOptions) -> None:
        self.options = options
        self._account = AwsAccount(options.region, options.profile, workers=_WORKERS)
        self._embeddings: OrderedDict[str, Embedding] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def digest(self) -> str:
        """Names the index, its version as told, the model and the options; asks nobody."""
        told = [SEARCH_VERSION, _deciding(self.options)]
        text = json.dumps(told, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def worst_usd(self, query: str) -> Decimal:
        """The most that one search can cost: a token a byte, and every request there may be."""
        tokens = len(query.encode()) + FRAMING_TOKENS
        return self._usd(tokens, self.options.max_requests)

    def likely_usd(self, query: str) -> Decimal:
        """What one search likely costs: a token for four bytes, and one request."""
        return self._usd(-(-len(query.encode()) // 4), 1)

    def find(
        self,
        query: str,
        *,
        tickers: Sequence[str] = (),
        years: Sequence[int] = (),
        sections: Sequence[str] = (),
        top_k: int = 8,
    ) -> VectorsFound:
        """At most ``top_k`` passages, the companies named getting equal shares. Raises ModelFault.

        A fault's ``billed_usd`` is what was paid before it. ``sections`` filter nothing: vectors
        know what a passage is about, and indexes name sections as they like.
        """
        del sections
        spent = [Decimal(0)]
        with watching(time.monotonic() + _LONGEST_SEARCH_S) as watched:
            try:
                embedding = self._embedded(query, spent)
                search = _Search(self, embedding.vector, spent)
                return search.run(tuple(dict.fromkeys(tickers)), tuple(years), top_k)
            except ModelFault as fault:
                if watched.is_cut:
                    raise _too_long() from fault
                if fault.retry == "credentials":
                    self._account.renew()
                if fault.billed_usd is None and not fault.may_be_billed:
                    fault.billed_usd = exact_sum(spent)
                raise

    def sketch(self, top_k: int) -> VectorsFound:
        """Passages of no sense and likely length, for estimates: nothing is asked or billed."""
        blank = Passage(
            chunk_id="-",
            ticker="-",
            company_name="-",
            fiscal_year=2000,
            section="-",
            section_title="-",
            text="x" * _LIKELY_CHARS,
        )
        return VectorsFound(passages=tuple(_within([blank] * top_k, self.options.max_chars)))

    def ask(
        self, vector: Sequence[float], top_k: int, rule: Mapping[str, Any] | None, page: str | None
    ) -> Mapping[str, Any]:
        """One QueryVectors request. Raises ModelFault."""
        options = self.options
        asked: dict[str, Any] = {
            "topK": top_k,
            "queryVector": {"float32": list(vector)},
            "returnMetadata": True,
            "returnDistance": True,
        }
        if options.index_arn is not None:
            asked["indexArn"] = options.index_arn
        else:
            asked |= {"vectorBucketName": options.bucket, "indexName": options.index}
        if rule is not None:
            asked["filter"] = rule
        if page is not None:
            asked["nextToken"] = page
        try:
            answer: Mapping[str, Any] = self._account.client("s3vectors", attempts=1).query_vectors(
                **asked
            )
        except Exception as error:
            raise _in_vectors(fault_of(error)) from error
        if not isinstance(answer.get("vectors"), list):
            raise ModelFault(
                "MalformedVectors",
                "S3 Vectors: the answer has no vectors",
                retry="transient",
                may_be_billed=True,
                http_status=200,
            )
        return answer

    def request_usd(self) -> Decimal:
        """USD of one QueryVectors request."""
        return self._usd(0, 1)

    def _usd(self, tokens: int, requests: int) -> Decimal:
        options = self.options
        thousandths = tokens * options.cost_per_1k_input + requests * options.cost_per_1k_queries
        return thousandths / 1000

    def _embedded(self, query: str, spent: list[Decimal]) -> Embedding:
        """The question's vector; one that was paid for before is kept for another try."""
        with self._lock:
            known = self._embeddings.get(query)
        if known is not None:
            return known
        options = self.options
        try:
            made = embed_query(self._account, options.embedding_model, query, options.dimensions)
        except ModelFault as fault:
            if fault.usage is not None:
                fault.billed_usd = self._usd(fault.usage.input_tokens, 0)
            raise
        at_most = len(query.encode()) + FRAMING_TOKENS
        spent.append(self._usd(at_most if made.tokens is None else made.tokens, 0))
        with self._lock:
            self._embeddings[query] = made
            if len(self._embeddings) > _EMBEDDINGS_KEPT:
                self._embeddings.popitem(last=False)
        return made


class _Search:
    """One search: its requests, what was found, and what was spent so far."""

    def __init__(
        self, retriever: S3VectorsRetriever, vector: Sequence[float], spent: list[Decimal]
    ) -> None:
        self._retriever, self._vector, self._spent = retriever, vector, spent
        self._options = retriever.options
        self._requests = 0
        self._seen = 0
        self._taken: set[str] = set()
        self._relaxed: dict[str, None] = {}

    def run(self, tickers: Sequence[str], years: Sequence[int], top_k: int) -> VectorsFound:
        hits = self._of_companies(tickers or (None,), years, top_k)
        if tickers and not hits:
            self._relaxed["companies"] = None
            hits = self._of_companies((None,), years, top_k)
        if self._seen and not hits:
            raise self._useless()
        chosen = _within(hits[:top_k], self._options.max_chars)
        rank = {ticker: position for position, ticker in enumerate(tickers)}
        chosen.sort(key=lambda passage: (rank.get(passage.ticker, 0), *_reading_order(passage)))
        return VectorsFound(
            passages=tuple(chosen),
            relaxed=tuple(self._relaxed),
            cost_usd=exact_sum(self._spent),
            requests=self._requests,
        )

    def _of_companies(
        self, companies: Sequence[str | None], years: Sequence[int], top_k: int
    ) -> list[Passage]:
        """The companies' hits in turn: every company in its years first, then the relaxed pass."""
        share = -(-top_k // len(companies))
        found = {company: self._ask_all(company, years, top_k) for company in companies}
        for company, hits in found.items():
            if years and len(hits) < min(self._options.min_hits, share):
                more = self._ask_all(company, (), share)[: share - len(hits)]
                if more:
                    self._relaxed["years"] = None
                hits += more
        turns = zip_longest(*found.values())
        return list(islice((hit for hit in chain.from_iterable(turns) if hit), top_k))

    def _ask_all(self, company: str | None, years: Sequence[int], top_k: int) -> list[Passage]:
        """Up to ``top_k`` new passages that pass the filter, page by page."""
        rule = self._filter(company, years)
        wanted, page = min(top_k, _MOST_A_REQUEST), None
        hits: list[Passage] = []
        while len(hits) < wanted:
            if self._requests >= self._options.max_requests:
                self._relaxed["max_requests"] = None
                break
            self._requests += 1
            answer = self._retriever.ask(self._vector, wanted, rule, page)
            self._spent.append(self._retriever.request_usd())
            hits += self._new(answer)
            page = answer.get("nextToken")
            if not page:
                break
        return hits[:top_k]

    def _filter(self, company: str | None, years: Sequence[int]) -> dict[str, Any] | None:
        options = self._options
        rules: list[dict[str, Any]] = []
        if company is not None:
            rules.append({options.key_of("ticker"): {"$eq": company}})
        if years:
            told = [str(year) if options.year_is_text else year for year in years]
            rules.append({options.key_of("fiscal_year"): {"$in": told}})
        if len(rules) > 1:
            return {"$and": rules}
        return rules[0] if rules else None

    def _new(self, answer: Mapping[str, Any]) -> Iterator[Passage]:
        is_cosine = answer.get("distanceMetric") == "cosine"
        for vector in answer["vectors"]:
            self._seen += 1
            passage = _passage(vector, self._options, is_cosine)
            if passage is not None and passage.chunk_id not in self._taken:
                self._taken.add(passage.chunk_id)
                yield passage

    def _useless(self) -> ModelFault:
        keys = ", ".join(self._options.key_of(name) for name in ("ticker", "fiscal_year", "text"))
        return ModelFault(
            "UnusableMetadata",
            f"S3 Vectors: none of {self._seen} vectors has {keys} as metadata; name its keys in "
            "retriever_options.fields",
            retry="never",
            may_be_billed=False,
        )


def _passage(
    vector: Mapping[str, Any], options: S3VectorsOptions, is_cosine: bool
) -> Passage | None:
    """A vector's passage; None where its metadata lacks what a passage needs."""
    metadata = vector.get("metadata")
    if not isinstance(metadata, Mapping):
        return None
    told = {name: metadata.get(options.key_of(name)) for name in FIELDS}
    if isinstance(told["fiscal_year"], str) and told["fiscal_year"].strip().isdecimal():
        told["fiscal_year"] = int(told["fiscal_year"])
    row = Row(told, options.index or "index", 0, [])
    ticker = row.label("ticker").upper()
    passage = Passage(
        chunk_id=" ".join(str(vector.get("key", "")).split()),
        ticker=ticker,
        company_name=row.label("company_name", default=ticker),
        fiscal_year=row.year("fiscal_year"),
        section=row.label("section", default=""),
        section_title=row.label("section_title", default=""),
        text=row.text("text"),
        sentence_ids=row.labels("sentence_ids"),
        score=_nearness(vector.get("distance"), is_cosine),
    )
    return None if row.is_wrong else passage


def _nearness(distance: Any, is_cosine: bool) -> float:
    """Greater is nearer: the cosine, or the negative distance."""
    if not isinstance(distance, int | float):
        return 0.0
    return 1.0 - distance if is_cosine else -float(distance)


def _within(hits: Sequence[Passage], max_chars: int) -> list[Passage]:
    """The hits, best first, while they fit; the first one cut where it alone does not."""
    chosen: list[Passage] = []
    room = max_chars
    for hit in hits:
        if not chosen and len(hit.text) > room:
            return [replace(hit, text=hit.text[:room])]
        if len(hit.text) <= room:
            chosen.append(hit)
            room -= len(hit.text)
    return chosen


def _reading_order(passage: Passage) -> tuple[Any, ...]:
    """Company, year, section and place as filings have them."""
    return (
        passage.ticker,
        passage.fiscal_year,
        _natural(passage.section),
        _natural(passage.chunk_id),
    )


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _deciding(options: S3VectorsOptions) -> dict[str, Any]:
    return {key: value for key, value in asdict(options).items() if key not in _NOT_DECIDING}


def _too_long() -> ModelFault:
    message = f"the search was not done within {_LONGEST_SEARCH_S:g} s"
    return ModelFault("SearchTimeout", message, retry="transient", may_be_billed=True)


def _in_vectors(fault: ModelFault) -> ModelFault:
    """The fault as one of S3 Vectors: what it refuses of one query, it refuses of all."""
    is_for_good = fault.retry == "never" and 400 <= (fault.http_status or 0) < 500
    return ModelFault(
        fault.error_type,
        f"S3 Vectors: {fault.message}",
        retry="stop_model" if is_for_good else fault.retry,
        may_be_billed=fault.may_be_billed,
        http_status=fault.http_status,
    )

"""The options of the ``s3vectors`` retriever, as written under ``retriever_options``.

Enters: plain data. Leaves: checked options, or every problem at once. Prices have no default: a
search that costs money is never priced at 0 unsaid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from decimal import Decimal
from typing import Any

from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.synthesis_pipeline.bedrock.embeddings import DIMENSIONS, family_of
from finrag_eval.synthesis_pipeline.retrievers.suggestions import unknown_option

#: What a passage needs, and the metadata keys under which an index has it by default.
FIELDS = (
    "ticker",
    "company_name",
    "fiscal_year",
    "section",
    "section_title",
    "text",
    "sentence_ids",
)
_PRICES = ("cost_per_1k_input", "cost_per_1k_queries")
_COUNTS = ("dimensions", "min_hits", "max_chars", "max_requests")
_TEXTS = ("embedding_model", "bucket", "index", "index_arn", "region", "profile", "index_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3VectorsOptions:
    """Where the vectors are, how a question is embedded, and what both cost."""

    #: Cohere Embed v4 or Titan Text Embeddings v2: a model id or an inference profile's id.
    embedding_model: str
    #: The length of the index's vectors.
    dimensions: int
    #: USD per 1,000 tokens embedded.
    cost_per_1k_input: Decimal
    #: USD per 1,000 QueryVectors requests, what they process of the index included.
    cost_per_1k_queries: Decimal
    #: The index: bucket and name, or its ARN.
    bucket: str | None = None
    index: str | None = None
    index_arn: str | None = None
    region: str | None = None
    profile: str | None = None
    #: The metadata keys of an index that names them differently.
    fields: Mapping[str, str] = field(default_factory=dict)
    #: Whether the index has fiscal years as text: a filter tells "2020" from 2020.
    year_is_text: bool = False
    #: With fewer hits of a company than this, its other years are searched, too.
    min_hits: int = 2
    #: All passages together stay below this many characters.
    max_chars: int = 16_000
    #: QueryVectors requests of one question at most, pages counted: what bounds its cost.
    max_requests: int = 12
    #: Changed by hand when the index is filled anew: answers from another index are others.
    index_version: str = ""

    @classmethod
    def read(cls, options: Mapping[str, Any], file: str) -> S3VectorsOptions:
        """The options as written. Raises InvalidInput with all that is wrong with them."""
        problems = [
            Problem(file=file, key=f"retriever_options.{key}", message=message, fix=fix)
            for key, message, fix in _faults(options)
        ]
        if problems:
            raise InvalidInput(problems)
        prices = {key: Decimal(str(options[key])) for key in _PRICES}
        return cls(**{**options, **prices})

    def key_of(self, name: str) -> str:
        """The metadata key under which the index has a field."""
        return self.fields.get(name, name)


def _faults(options: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Key, message and fix of everything that is wrong."""
    known = [option.name for option in fields(S3VectorsOptions)]
    for key in options:
        if key not in known:
            yield key, "the s3vectors retriever has no such option", unknown_option(key, known)
    for option in fields(S3VectorsOptions):
        has_default = option.default is not MISSING or option.default_factory is not MISSING
        if not has_default and options.get(option.name) is None:
            yield option.name, "is missing", _HOW[option.name]
    yield from _wrong_values(options)
    yield from _wrong_index(options)
    yield from _wrong_model(options)


def _wrong_values(options: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key, value in options.items():
        if value is None:
            continue
        if key in _PRICES and not _is_price(value):
            yield key, f"is no price: {value!r:.40}", "write USD per 1,000 (0 is a price)"
        elif key in _COUNTS and not _is_count(value):
            yield key, f"is not a count: {value!r:.40}", "write a whole number, 1 or more"
        elif key in _TEXTS and not (isinstance(value, str) and value.strip()):
            yield key, f"is not a text: {value!r:.40}", "write it as text, in quotes"
        elif key == "year_is_text" and not isinstance(value, bool):
            yield key, f"is neither true nor false: {value!r:.40}", "write true or false"
        elif key == "fields":
            yield from _wrong_fields(value)


def _wrong_fields(value: Any) -> Iterator[tuple[str, str, str]]:
    if not isinstance(value, Mapping):
        yield "fields", "is not a mapping", "write {text: KEY, ...}"
        return
    for name, key in value.items():
        if name not in FIELDS:
            yield f"fields.{name}", "passages have no such field", unknown_option(name, FIELDS)
        elif not (isinstance(key, str) and key):
            yield f"fields.{name}", f"is no metadata key: {key!r:.40}", "write the key's name"


def _wrong_index(options: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    has_names = bool(options.get("bucket")) and bool(options.get("index"))
    if options.get("index_arn"):
        if options.get("bucket") or options.get("index"):
            yield "index_arn", "stands beside bucket or index", "keep one of the two ways"
    elif not has_names:
        yield "index", "no index is named", "write bucket and index, or index_arn"


def _wrong_model(options: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    model_id, dimensions = options.get("embedding_model"), options.get("dimensions")
    if not isinstance(model_id, str) or not model_id.strip():
        return
    family = family_of(model_id)
    if family is None:
        message = f"{model_id!r:.80} is no embedding model that is known here"
        yield "embedding_model", message, _HOW["embedding_model"]
    elif _is_count(dimensions) and dimensions not in DIMENSIONS[family]:
        lengths = ", ".join(map(str, DIMENSIONS[family]))
        yield "dimensions", f"{model_id} gives no vectors of {dimensions}", f"known: {lengths}"


_HOW = {
    "embedding_model": "write cohere.embed-v4:0 or amazon.titan-embed-text-v2:0, or a profile's id",
    "dimensions": "write the length of the index's vectors",
    "cost_per_1k_input": "write USD per 1,000 tokens embedded (0 is a price)",
    "cost_per_1k_queries": "write USD per 1,000 queries of the index (0 is a price)",
}


def _is_price(value: Any) -> bool:
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return is_number and Decimal(str(value)).is_finite() and value >= 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1

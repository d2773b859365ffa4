"""What a question is about: companies, fiscal years, metrics, sections, and what it asks.

Enters: a question. Leaves: ``Entities``. Pure and fast; knows no figure and no passage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache

from finrag_eval.synthesis_pipeline.entities.asks import Ask, read_asks
from finrag_eval.synthesis_pipeline.entities.companies import CompanyFinder, known_companies
from finrag_eval.synthesis_pipeline.entities.filing_sections import read_sections
from finrag_eval.synthesis_pipeline.entities.fiscal_years import Years, read_years
from finrag_eval.synthesis_pipeline.entities.metrics import (
    MetricFinder,
    Metrics,
    known_metrics,
    label,
)

__all__ = ["Ask", "Entities", "EntityReader", "Metrics", "Years", "label", "read_entities"]

#: Raise it with any change of what is read from a question.
ENTITIES_VERSION = 1

_LONGEST_QUESTION = 8_000
#: Stands for each letter of a company's name once it is read: no letter, no space, no stop.
_COMPANY_MARK = "§"
_NOT_NAMES = (
    r"(?!(?:FY|U\.S|Fiscal|Item|Form|Risk|MD|AI|IT|EPS|GAAP|SEC|US|USA|EU|UK|CEO|CFO|COVID|GPU|IP|ESG"
    r"|10|January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Please|What|Which|Who|How|Did|Does|Do|Is|Was|Were|Are|Has|The|In|For|Of|By|And|Or|From|To"
    r"|Compare|List|Show|Give|Tell|Between|Across|Over|Its|Their|It|Management|Company|Inc|Corp"
    r"|Platforms|Financial|Group|Factors|Year|Annual|Net|Total|Question|Q[1-4]|Section|Business"
    r"|Board|Directors|Congress|China|Europe|America|Since|If|Can|Should|Could|Would|Will|An?)\b)"
)
_NAME = rf"{_NOT_NAMES}(?P<name>[A-Z][\w&.-]*(?:[ ](?:&[ ])?[A-Z][\w&.-]*)*)"
#: A name that stands where a company would, once the known companies are blanked out.
_OWNER = rf"(?<![\w']){_NAME}['’]s?(?=\s)"
_ACTOR = (
    rf"\b(?:did|does|do|has|had|will|should)\s+{_NAME}\s+(?:report|earn|have|spend|make|generate"
    r"|post|record|hold|pay|grow|achieve|book|lose|own|employ|invest|describe|explain|say)"
)
_LISTED = (
    rf"(?:,\s+|\b(?:or|than|versus|vs\.?|and|of|for|at|[Cc]ompare|between)\s+){_NAME}(?=\s*(?:[?,.]|$|(?:in|for|or"
    r"|and|combined|vs|versus|over|from|between|report\w*)\b))"
)
_FIRST_WORD = rf"^\s*{_NAME}(?:\s+$|\s\s|['’])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entities:
    """What was read from one question; all in the order of the question, years ascending.

    ``strangers`` are names that stand where a company would and are none of the data.
    """

    tickers: tuple[str, ...] = ()
    years: Years = field(default_factory=Years)
    metrics: Metrics = field(default_factory=Metrics)
    sections: tuple[str, ...] = ()
    asks: frozenset[Ask] = frozenset()
    strangers: tuple[str, ...] = ()


@dataclass(frozen=True)
class EntityReader:
    """Reads questions over one data set, whose companies and metrics may add to those known."""

    companies: CompanyFinder = field(default_factory=known_companies)
    metrics: MetricFinder = field(default_factory=known_metrics)

    @classmethod
    def of_data(
        cls, company_names: Mapping[str, str], metric_labels: Mapping[str, str]
    ) -> EntityReader:
        """A reader that also knows the companies and metrics of a user's own data."""
        return cls(CompanyFinder.of_data(company_names), MetricFinder(metric_labels))

    def read(self, question: str) -> Entities:
        """The entities of a question; of a very long one, of its first 8,000 characters."""
        text = question[:_LONGEST_QUESTION]
        spans = self.companies.spans(text)
        for start, end, _ in spans:
            text = text[:start] + _COMPANY_MARK * (end - start) + text[end:]
        years, text = read_years(text)
        metrics, rest = self.metrics.read(text)
        return Entities(
            tickers=tuple(dict.fromkeys(ticker for _, _, ticker in spans)),
            years=years,
            metrics=metrics,
            sections=read_sections(question),
            asks=read_asks(question),
            strangers=_strangers(rest, metrics, has_others=bool(spans)),
        )


@lru_cache(maxsize=2048)
def read_entities(question: str) -> Entities:
    """The entities by the companies and metrics that the package knows."""
    return EntityReader().read(question)


def _strangers(text: str, metrics: Metrics, *, has_others: bool) -> tuple[str, ...]:
    owner, actor, listed, first_word = _compiled()
    patterns = [owner, actor]
    patterns += [listed] if metrics.keys else []
    patterns += [] if has_others else [first_word]
    found = dict.fromkeys(
        match["name"].rstrip(".-") for pattern in patterns for match in pattern.finditer(text)
    )
    part = metrics.part or ""
    return tuple(name for name in found if len(name) > 1 and not part.startswith(name))


@cache
def _compiled() -> tuple[re.Pattern[str], ...]:
    return tuple(map(re.compile, (_OWNER, _ACTOR, _LISTED, _FIRST_WORD)))

"""Companies that a question names: by name, ticker or nickname.

Enters: text. Leaves: tickers with the places where they stand. A name that is also a plain word
counts only where it is used as a name: ``COST`` and ``V`` in capitals, not a travel visa.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A company of the data; ``aliases`` count in any case, ``symbols`` as written alone."""

    ticker: str
    name: str
    aliases: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()


def _company(ticker: str, name: str, *aliases: str, symbols: str = "") -> Company:
    return Company(ticker=ticker, name=name, aliases=aliases, symbols=tuple(symbols.split()))


COMPANIES = (
    _company("AAPL", "Apple", "Apple", "AAPL"),
    _company("AGO", "Assured Guaranty", "Assured Guaranty", symbols="AGO"),
    _company("AMZN", "Amazon", "Amazon.com", "Amazon", "AMZN"),
    _company("COST", "Costco", "Costco Wholesale", "Costco", symbols="COST"),
    _company("GNW", "Genworth", "Genworth Financial", "Genworth", "GNW"),
    _company("GOOGL", "Alphabet", "Alphabet", "Google", "GOOGL", "GOOG"),
    _company("IEP", "Icahn Enterprises", "Icahn Enterprises", "Icahn", "IEP"),
    _company(
        "JNJ",
        "Johnson & Johnson",
        *("Johnson & Johnson", "Johnson and Johnson", "Johnson&Johnson", "J & J", "J&J", "JNJ"),
    ),
    _company("LLY", "Eli Lilly", "Eli Lilly & Co", "Eli Lilly", "LLY", symbols="Lilly"),
    _company("MA", "Mastercard", "Mastercard", "Master Card", symbols="MA"),
    _company("MBI", "MBIA", "MBIA", symbols="MBI"),
    _company("META", "Meta Platforms", "Meta Platforms", "Meta", "Facebook", symbols="FB"),
    _company("MSFT", "Microsoft", "Microsoft", "MSFT"),
    _company("NFLX", "Netflix", "Netflix", "NFLX"),
    _company("NVDA", "NVIDIA", "NVIDIA", "NVDA"),
    _company("ORCL", "Oracle", "Oracle", "ORCL"),
    _company("RDN", "Radian", "Radian Group", symbols="RDN Radian RADIAN"),
    _company("TSLA", "Tesla", "Tesla Motors", "Tesla", "TSLA"),
    _company("V", "Visa", "Visa", symbols="V"),
    _company("WMT", "Walmart", "Wal-Mart Stores", "Wal-Mart", "Wal Mart", "Walmart", "WMT"),
    _company("XOM", "Exxon Mobil", "Exxon Mobil", "ExxonMobil", "Exxon-Mobil", "Exxon", "XOM"),
)

_LEGAL = r"(?:[\s,/]+(?:inc|corp|corporation|company|co|ltd|llc|plc|l\.p|lp|nv|sa|holdings)\b\.?)+"
_LEGAL_ENDINGS = re.compile(_LEGAL + "$", re.IGNORECASE)
_TRAVEL = (
    r"(?:h-?1b|work|travel|student|tourist|entry|transit|residence|immigrant)\s+$",
    r"\s+(?:applica|requirement|restriction|holder|sponsor|polic|status|categor|waiver)",
)
#: What makes such a word, in just this case, a plain one again: before it, and after it.
_PLAIN: Mapping[str, tuple[str, str]] = {
    "visa": _TRAVEL,
    "Visa": _TRAVEL,
    "V": ("", r"-\w"),
    "alphabet": (r"\b(?:the|latin|greek|phonetic|english)\s+$", r"\s+(?:soup|letters?)\b"),
    "meta": (r"\ba\s+$", r"\s*-|\s+(?:data|stud|analy|review)"),
    "oracle": (r"\b(?:an|the)\s+$", r"\s+of\s+omaha"),
    "Oracle": ("", r"\s+of\s+omaha"),
    "amazon": (r"\bthe\s+$", r"\s+(?:rain|river|basin|forest|jungle)"),
    "apple": (r"\ban\s+$", r"\s+(?:pies?|juice|trees?|orchards?)\b"),
    "COST": (r"\b(?:the|total|unit|low|at|labor|fixed|lower)\s+$", r"\s+(?:of|per)\b|-"),
    "MA": (r"(?-i:[A-Z][a-z]+),\s+$", r"\s+\d{5}\b"),
    "AGO": (r"\b(?:long|years?|months?|days?)\s+$", ""),
}


class CompanyFinder:
    """Finds the companies of one data set in text; compiled once, shared by threads."""

    def __init__(self, companies: Iterable[Company] = COMPANIES) -> None:
        self.companies: Mapping[str, Company] = {each.ticker: each for each in companies}
        self._by_alias: dict[str, str] = {}
        self._by_symbol: dict[str, str] = {}
        for company in self.companies.values():
            for alias in company.aliases:
                self._by_alias.setdefault(_folded(alias), company.ticker)
            for symbol in company.symbols:
                self._by_symbol.setdefault(symbol, company.ticker)
        self._pattern = _pattern(self._by_alias, self._by_symbol)

    @classmethod
    def of_data(cls, names: Mapping[str, str]) -> CompanyFinder:
        """A finder for the known companies and for those of ``names`` (ticker -> company name)."""
        known = {company.ticker for company in COMPANIES}
        added = [_stranger(ticker, name) for ticker, name in names.items() if ticker not in known]
        return cls((*COMPANIES, *added)) if added else known_companies()

    def spans(self, text: str) -> list[tuple[int, int, str]]:
        """Places of all mentions, in order: start, end and ticker."""
        found: list[tuple[int, int, str]] = []
        for match in self._pattern.finditer(text):
            word = match["word"]
            ticker = self._by_symbol.get(word) or self._by_alias.get(_folded(word))
            is_listed = bool(found) and text[found[-1][1] : match.start()].strip() == ","
            if ticker is not None and (is_listed or not _is_plain_word(word, text, match)):
                found.append((match.start(), match.end(), ticker))
        return found

    def name(self, ticker: str) -> str:
        """What to call the company; its ticker where no name is known."""
        company = self.companies.get(ticker)
        return company.name if company else ticker


def _stranger(ticker: str, name: str) -> Company:
    plain = _LEGAL_ENDINGS.sub("", name.strip())
    # As written alone: the name may be a plain word ("Target", "Gap").
    written = tuple(dict.fromkeys((ticker, plain, name.strip())))
    return Company(ticker=ticker, name=plain or ticker, symbols=tuple(filter(None, written)))


def _pattern(aliases: Iterable[str], symbols: Iterable[str]) -> re.Pattern[str]:
    names = "|".join(_flexible(name) for name in sorted(aliases, key=len, reverse=True))
    codes = "|".join(re.escape(code) for code in sorted(symbols, key=len, reverse=True))
    either = "|".join(part for part in (f"(?i:{names})" if names else "", codes) if part)
    legal = rf"(?P<legal>(?i:{_LEGAL}))?"
    return re.compile(rf"(?<![\w&$.@-])(?P<word>{either or '(?!)'}){legal}(?![\w&@]|\.\w)")


def _flexible(alias: str) -> str:
    return r"\s+".join(re.escape(word) for word in alias.split())


def _folded(alias: str) -> str:
    return " ".join(alias.lower().split())


def _is_plain_word(word: str, text: str, match: re.Match[str]) -> bool:
    before, after = _PLAIN.get(word, ("", ""))
    lead = text[max(0, match.start() - 24) : match.start()]
    return bool(before and re.search(before, lead, re.IGNORECASE)) or bool(
        after and re.match(after, text[match.end("word") :], re.IGNORECASE)
    )


@cache
def known_companies() -> CompanyFinder:
    """The finder for ``COMPANIES``, compiled when first needed."""
    return CompanyFinder()

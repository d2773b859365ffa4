"""Reads an assembled prompt: figures, derived figures, gaps, passages, and the form asked for.

Enters: a ``ModelRequest``. Leaves: a ``Reading``. Text that only looks like the context's own marks
has been defused where the context was made (``supply_lines``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from finrag_eval.domain import ModelRequest

_SNAPSHOT = re.compile(r"^=== KPI SNAPSHOT\b.*$", re.MULTILINE)
_SOURCE = re.compile(
    r"^=== \[(?P<ticker>[^\]\n]+)\] (?P<company>[^|\n]*) \| FY(?P<year>\d{4}) \| (?P<rest>.*) ===$",
    re.MULTILINE,
)
_ANY_HEADER = re.compile(r"^=== ", re.MULTILINE)
_END_OF_CONTEXT = re.compile(r"^</context>|^Question: ", re.MULTILINE)
_FIGURE = re.compile(
    r"^(?P<ticker>\S+) FY(?P<year>\d{4}) (?P<name>[^\n]+?): (?P<value>[^\[\n]+) "
    r"\[KPI:(?P<id>[^\]\n]+)\](?P<notes>[^\n]*)$"
)
_DERIVED = re.compile(
    r"^(?P<subject>[^\n]+?): (?P<value>.+?) = (?P<formula>.*?) (?P<ids>\[KPI:.*)$"
)
_CITED = re.compile(r"\[(KPI:[^\]]+)\]")
_AMOUNT = re.compile(r"(?P<sign>-?)\$?(?P<digits>[\d,]*\.?\d+)(?P<million> million)?")
_CHUNK = re.compile(r"\bchunk (?P<id>[^|]+?)(?: \||$)")

_ANSWER_FIRST = re.compile(r"\banswer first\b|\bbegin with one sentence\b", re.IGNORECASE)
_CITATION_IDS = re.compile(r"\bcitation id", re.IGNORECASE)
_ARITHMETIC = re.compile(r"\bshow (?:the|your) (?:calculation|arithmetic|working)", re.IGNORECASE)
_FIXED_REFUSAL = re.compile(r"\bexactly this sentence:\s*[\"“](?P<sentence>[^\"”]+)[\"”]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure line of the snapshot; ``value`` None where its text is no number."""

    ticker: str
    year: int
    name: str
    text: str
    value: Decimal | None
    cite: str
    notes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedFigure:
    """One derived line: what it is of, its value as written, its formula and its sources."""

    subject: str
    text: str
    formula: str
    cites: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One passage with what its header says."""

    ticker: str
    company: str
    year: int
    section: str
    chunk: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """All that the context holds; ``loose`` is text without any of the context's own headers."""

    companies: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    years: tuple[int, ...] = ()
    figures: tuple[Figure, ...] = ()
    derived: tuple[DerivedFigure, ...] = ()
    gaps: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    loose: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The form that the instructions ask for."""

    answer_first: bool = False
    cite_ids: bool = False
    show_arithmetic: bool = False
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A prompt, read."""

    question: str
    material: Material
    form: Form


def read_prompt(request: ModelRequest) -> Reading:
    """What the prompt holds and asks."""
    user, question = request.user_text, request.question_text
    first_header = _ANY_HEADER.search(user)
    instructions = user[: first_header.start()] if first_header else ""
    if own := _ANY_HEADER.search(question):
        question = question[: own.start()]
    return Reading(
        question=question.strip(),
        material=read_material(user if first_header else request.prefix_text),
        form=_form(request.system_text, instructions or request.prefix_text[:2_000]),
    )


@lru_cache(maxsize=512)
def read_material(text: str) -> Material:
    """The context's content; kept for the next prompts over the same context."""
    header = _SNAPSHOT.search(text)
    sources = tuple(_sources(text))
    if header is None:
        return Material(sources=sources, loose="" if sources else _between_tags(text))
    following = _ANY_HEADER.search(text, header.end())
    stop = following.start() if following else len(text)
    if ended := _END_OF_CONTEXT.search(text, header.end(), stop):
        stop = ended.start()
    return _snapshot(text[header.end() : stop].strip().split("\n"), sources)


def _snapshot(lines: list[str], sources: tuple[Source, ...]) -> Material:
    scope: dict[str, str] = {}
    figures: list[Figure] = []
    derived: list[DerivedFigure] = []
    gaps: list[str] = []
    part = "figures"
    for line in lines:
        if line.startswith("--- "):
            part = "gaps" if "not in the data" in line else "derived"
        elif part == "gaps":
            gaps += [line] if line.strip() else []
        elif part == "derived":
            derived += _derived(line)
        elif found := _FIGURE.match(line):
            figures.append(_figure(found))
        else:
            key, _, value = line.partition(": ")
            scope[key] = value
    return Material(
        companies=dict(_pairs(scope.get("Companies", ""))),
        metrics=tuple(scope.get("Metrics", "").split("; ")),
        years=tuple(int(year) for year in re.findall(r"\d{4}", scope.get("Fiscal years", ""))),
        figures=tuple(figures),
        derived=tuple(derived),
        gaps=tuple(gaps),
        sources=sources,
    )


def _pairs(told: str) -> list[tuple[str, str]]:
    return [(ticker, name) for ticker, _, name in (p.partition(" = ") for p in told.split("; "))]


def _figure(found: re.Match[str]) -> Figure:
    return Figure(
        ticker=found["ticker"],
        year=int(found["year"]),
        name=found["name"],
        text=found["value"],
        value=amount(found["value"]),
        cite=f"KPI:{found['id']}",
        notes=found["notes"].strip(),
    )


def _derived(line: str) -> list[DerivedFigure]:
    found = _DERIVED.match(line)
    if found is None:
        return []
    return [
        DerivedFigure(
            subject=found["subject"],
            text=found["value"],
            formula=found["formula"],
            cites=tuple(_CITED.findall(found["ids"])),
        )
    ]


def amount(text: str) -> Decimal | None:
    """The first number of the text with its scale; None where there is none."""
    found = _AMOUNT.search(text)
    if found is None:
        return None
    try:
        value = Decimal(found["digits"].replace(",", ""))
    except InvalidOperation:
        return None
    return (-value if found["sign"] else value) * (1_000_000 if found["million"] else 1)


def _sources(text: str) -> list[Source]:
    found = list(_SOURCE.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    sources = []
    for match, end in zip(found, ends, strict=False):
        if stop := _END_OF_CONTEXT.search(text, match.end(), end):
            end = stop.start()
        section, chunk = match["rest"].split(" | ")[0], _CHUNK.search(match["rest"])
        sources.append(
            Source(
                ticker=match["ticker"],
                company=match["company"],
                year=int(match["year"]),
                section=section,
                chunk=chunk["id"] if chunk else "",
                text=text[match.end() : end].strip(),
            )
        )
    return sources


def _between_tags(text: str) -> str:
    _, opened, rest = text.partition("<context>\n")
    inside = rest.partition("\n</context>")[0] if opened else text
    ended = _END_OF_CONTEXT.search(inside)
    return inside[: ended.start()] if ended else inside


@lru_cache(maxsize=256)
def _form(system: str, instructions: str) -> Form:
    told = f"{system}\n{instructions}"
    refusal = _FIXED_REFUSAL.search(told)
    return Form(
        answer_first=_ANSWER_FIRST.search(told) is not None,
        cite_ids=_CITATION_IDS.search(told) is not None,
        show_arithmetic=_ARITHMETIC.search(told) is not None,
        refusal=" ".join(refusal["sentence"].split()) if refusal else None,
    )

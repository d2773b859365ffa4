"""What an answer is made of, and how it is written in the form that was asked for.

Enters: clauses, evidence and gaps. Leaves: text. Knows neither prompt nor data.
"""

from __future__ import annotations

from dataclasses import dataclass

from finrag_eval.synthesis_pipeline.rehearsal.reading import Form, Source

NOT_THERE = "The provided context does not contain the answer to this question."


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One figure that an answer rests on: as a line, its formula if computed, its citation ids."""

    line: str
    cites: tuple[str, ...] = ()
    formula: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """One sentence of a passage; ``source`` None where the context has no headers."""

    sentence: str
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Clauses that answer the question, what they rest on, and what stays open.

    An answer without clauses and quotes declines; ``missing`` then says why.
    """

    clauses: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    quotes: tuple[Quote, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def declines(self) -> bool:
        return not (self.clauses or self.quotes)


def written_answer(answer: Answer, form: Form) -> str:
    """The answer's text."""
    if answer.declines:
        return _refusal(answer, form)
    return _answer_first(answer, form) if form.answer_first else _figures_first(answer, form)


def _refusal(answer: Answer, form: Form) -> str:
    first = form.refusal or NOT_THERE
    return f"{first}\n\n{_missing(answer)}" if answer.missing else first


def _answer_first(answer: Answer, form: Form) -> str:
    lead = "; ".join(answer.clauses) if answer.clauses else _told(answer.quotes[0])
    bullets = [_bullet(evidence, form) for evidence in answer.evidence]
    bullets += [_quote_bullet(quote, form) for quote in answer.quotes]
    parts = [_sentence(lead), "\n".join(["Evidence:", *bullets])]
    return "\n\n".join([*parts, *([_missing(answer)] if answer.missing else [])])


def _figures_first(answer: Answer, form: Form) -> str:
    parts = []
    if answer.evidence:
        parts.append("\n".join(_bullet(evidence, form) for evidence in answer.evidence))
    if answer.clauses:
        parts.append(" ".join(_sentence(clause) for clause in answer.clauses))
    parts += [_sentence(_told(quote)) for quote in answer.quotes]
    return "\n\n".join([*parts, *([_missing(answer)] if answer.missing else [])])


def _bullet(evidence: Evidence, form: Form) -> str:
    formula = f" = {evidence.formula}" if evidence.formula and form.show_arithmetic else ""
    return f"- {evidence.line}{formula}{_cited(evidence.cites, form)}"


def _quote_bullet(quote: Quote, form: Form) -> str:
    source = quote.source
    if source is None:
        return f"- {quote.sentence}"
    cites = (f"chunk {source.chunk}",) if source.chunk else ()
    place = f"{source.company}, FY{source.year}, {source.section}"
    return f"- {place}: {quote.sentence}{_cited(cites, form)}"


def _cited(cites: tuple[str, ...], form: Form) -> str:
    return "".join(f" [{cite}]" for cite in cites) if form.cite_ids else ""


def _told(quote: Quote) -> str:
    if quote.source is None:
        return quote.sentence
    return f"{quote.source.company}, FY{quote.source.year}: {quote.sentence}"


def _missing(answer: Answer) -> str:
    return f"Not in the context: {'; '.join(answer.missing)}"


def _sentence(clause: str) -> str:
    return clause if clause.endswith((".", "!", "?")) else f"{clause}."

"""Which of several figures answers the question: sieves, each of which leaves at least one.

Enters: the figures of an answer that could be meant, and what was asked. Leaves: those that the
answer gives as its answer. The order of the sieves and the reason for each is in
``docs/numeric.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from finrag_eval.score.quantities import Quantity, Reading
from finrag_eval.score.questions import Question, content_words, years_in
from finrag_eval.score.signs import statement_start

Figures = Sequence[Quantity]

#: What may stand between a figure and the year that it is of.
_BEFORE_ITS_YEAR = re.compile(
    r"[ \u00a0]?\(?(?:,? ?(?:in|for|during|at|as of|at the end of|of|by|on) )?(?:the )?"
    r"(?:fiscal(?: year)? |year |calendar(?: year)? )?(?:ended )?(?:[A-Z][a-z]+ \d{1,2}, )?"
)
_BASE = re.compile(
    r"\b(?:from|compared (?:to|with)|versus|vs\.?|against|than|relative to|offset by)"
    r"(?: (?:the )?(?:[\w'-]+ ){0,4}?)?(?:of )?(?:about |approximately )?$",
    re.IGNORECASE,
)
_BASE_WORDS = frozenset(
    {"from", "compared", "versus", "vs", "vs.", "against", "than", "relative", "offset"}
)
_BASE_REACH = 9
_STEP = re.compile(
    r"\b(?:by|difference(?: of| is| was)?|change of|minus[^.;\n]{0,30}:)"
    r"(?: (?:about|approximately|roughly|nearly|some))? ?$",
    re.IGNORECASE,
)
_LEVEL = re.compile(r"\b(?:to|at|reached|reaching|totall?ed|totall?ing)(?: about| nearly)? $", re.I)
_OPERATOR_BEFORE = re.compile(r"(?:[/×*÷+]|[ \u00a0)][-–])[ \u00a0]?\(?$")
_OPERATOR_AFTER = re.compile(r"[ \u00a0]?\)?(?:[ \u00a0]?[/×*÷+]|[ \u00a0][-–])[ \u00a0]?\(?[$\d]")
_RESULT = re.compile(r"[=≈][ \u00a0]?(?:about |approximately |~)?$")
_CONCLUSION = re.compile(
    r"\b(?:final answer|answer(?: is| was|:)|(?:therefore|thus|hence|in conclusion|in summary)\b)",
    re.IGNORECASE,
)
_CONCLUDING = ("nswer", "herefore", "hus", "ence", "conclusion", "summary")
_STOP = re.compile(r"[.!?;] ")
_ANSWER_LABEL = re.compile(r"^[#\s]*(?:final |direct |short )?answer\b[: ]*$", re.IGNORECASE)
_OTHER_NAME = re.compile(
    r"\b(?P<name>[A-Z][A-Za-z0-9&.-]*(?: [A-Z][A-Za-z0-9&.-]*)*)"
    r"(?:'s\b| \([A-Z]{1,5}\)| (?:reported|had|posted|recorded|generated|earned|saw|achieved))"
)
_NAME_WORD = re.compile(r"[\w&.-]+")
_CLAUSE_END = re.compile(
    r"[,;|\n]| (?:and|while|whereas|but|versus|vs\.?|compared|against|on|from|offset) "
)

#: Names that share so many first letters are one: "Amazon" and "Amazon.com".
_STEM = 5
#: Of the words between two figures, those that still belong to the second after an "of".
_WORDS_LEFT = 4


def answering(
    figures: Figures, reading: Reading, asked: Question, tickers: Sequence[str] = ()
) -> Figures:
    """The figure that the answer gives as its answer; ``tickers`` name the asked companies, too."""
    if asked.years:
        years = years_by_figure(reading)
        figures = _keep(figures, lambda figure: _is_of(figure, years, asked.years))
    names = asked.names | {ticker.lower() for ticker in tickers}
    if names and len(figures) > 1:
        others = _other_names(reading.text, names)
        figures = _keep(figures, lambda figure: not _is_of_another(figure, reading.text, others))
    figures = _keep(figures, lambda figure: not _is_operand(figure, reading))
    figures = _keep(figures, lambda figure: not _is_base(figure, reading, asked))
    if len(figures) > 1:
        figures = _of_the_statement(figures, reading, asked)
    if asked.asks_change or asked.asks_difference:
        figures = _keep(figures, lambda figure: _is_step(figure, reading.text))
    if len(figures) > 1:
        figures = _of_the_clause(figures, reading, asked)
    results = [figure for figure in figures if _is_result(figure, reading)]
    return results[-1:] or figures[:1]


def _keep(figures: Figures, passes: Callable[[Quantity], bool]) -> Figures:
    if len(figures) < 2:
        return figures
    return [figure for figure in figures if passes(figure)] or figures


def _is_of(figure: Quantity, years: Mapping[int, frozenset[int]], asked: frozenset[int]) -> bool:
    """Whether the figure is of a year that was asked for, or of none that is named."""
    if figure.form == "year":
        return True
    own = years.get(figure.start)
    return not own or not own.isdisjoint(asked)


def years_by_figure(reading: Reading) -> dict[int, frozenset[int]]:
    """The years that each figure belongs to, by where the figure starts.

    A year right behind a figure is its own; else the years above it in a table's header; else the
    last ones named before it in its statement.
    """
    text = reading.text
    found: dict[int, frozenset[int]] = {}
    named, pending = frozenset[int](), set[int]()
    start = -1
    last: Quantity | None = None
    for quantity in reading.quantities:
        if (current := statement_start(text, quantity.start)) != start:
            start, named, pending, last = current, frozenset(), set(), None
        if quantity.form == "year":
            if last is not None and _BEFORE_ITS_YEAR.fullmatch(text, last.end, quantity.start):
                found[last.start] = frozenset({int(quantity.face)})
            else:
                pending.add(int(quantity.face))
            last = None
            continue
        named = frozenset(pending) or named
        pending = set()
        found[quantity.start] = _years_above(text, quantity) or named
        last = quantity
    return found


def _years_above(text: str, figure: Quantity) -> frozenset[int]:
    """The years in the figure's column of the table's header, else in its row's label."""
    line_start = text.rfind("\n", 0, figure.start) + 1
    column = text.count("|", line_start, figure.start)
    if not column:
        return frozenset()
    block_start = max(text.rfind("\n\n", 0, line_start) + 2, 0)
    for line in text[block_start:line_start].splitlines():
        cells = line.strip().split("|")
        if line.strip().startswith("|") and column < len(cells):
            years = years_in(cells[column])
            if years:
                return years
    row = text[line_start : figure.start].split("|")
    return years_in(row[1]) if len(row) > 2 else frozenset()


def _other_names(text: str, asked: frozenset[str]) -> list[tuple[int, bool]]:
    """Where companies are named, and whether each is another than the one asked about.

    Empty where the text never uses a name of the question: then nothing can be told apart.
    """
    if not any(name in text.lower() for name in asked):
        return []
    return [
        (found.end(), not _is_named(asked, _NAME_WORD.findall(found.group().lower())))
        for found in _OTHER_NAME.finditer(text)
    ]


def _is_named(asked: frozenset[str], words: Sequence[str]) -> bool:
    """Whether one of the words is a name that was asked about, or the beginning of one."""
    return any(
        word == name or (min(len(word), len(name)) >= _STEM and word[:_STEM] == name[:_STEM])
        for word in words
        for name in asked
    )


def _is_of_another(figure: Quantity, text: str, names: list[tuple[int, bool]]) -> bool:
    """Whether the last company named before the figure in its statement is another one."""
    start = statement_start(text, figure.start)
    within = [other for end, other in names if start < end <= figure.start]
    return bool(within) and within[-1]


def _is_operand(figure: Quantity, reading: Reading) -> bool:
    before = reading.text[max(0, figure.start - 4) : figure.start]
    if _OPERATOR_AFTER.match(reading.text, figure.end):
        return True
    return _OPERATOR_BEFORE.search(before) is not None and figure.sign != "minus"


def _is_base(figure: Quantity, reading: Reading, asked: Question) -> bool:
    """Whether the figure is what another is compared with, or the level that a change leads to."""
    before = reading.text[max(0, figure.start - 60) : figure.start]
    if not _BASE_WORDS.isdisjoint(before.lower().split()[-_BASE_REACH:]) and _BASE.search(before):
        return True
    return (asked.asks_change or asked.asks_difference) and _LEVEL.search(before) is not None


def _is_step(figure: Quantity, text: str) -> bool:
    """Whether the figure is said to be how far two others lie apart: "by $5 million"."""
    return _STEP.search(text, max(0, figure.start - 40), figure.start) is not None


def _is_result(figure: Quantity, reading: Reading) -> bool:
    return _RESULT.search(reading.text[max(0, figure.start - 16) : figure.start]) is not None


def _of_the_statement(figures: Figures, reading: Reading, asked: Question) -> Figures:
    """The figures of the one statement that answers.

    Statements that name the computation asked for come first; then those that share at least half
    as many words with the question as the best one does; of these a conclusion, else the first.
    """
    statements: dict[int, list[Quantity]] = {}
    for figure in figures:
        statements.setdefault(statement_start(reading.text, figure.start), []).append(figure)
    if len(statements) < 2:
        return figures
    texts = {start: _statement_text(reading.text, start) for start in statements}
    starts = list(statements)
    if asked.operation:
        named = [start for start in starts if asked.operation.search(texts[start])]
        starts = named or starts
    shared = {start: len(content_words(texts[start]) & asked.words) for start in starts}
    least = max(shared.values()) / 2
    starts = [start for start in starts if shared[start] >= least]
    if len(starts) > 1 and any(word in reading.text for word in _CONCLUDING):
        starts = [start for start in starts if _CONCLUSION.search(texts[start])][-1:] or starts
    return statements[starts[0]]


def _statement_text(text: str, start: int) -> str:
    """The statement from ``start``, with the label line above a list or a heading before it."""
    end = text.find("\n", start + 1)
    end = len(text) if end < 0 else end
    stop = _STOP.search(text, start + 1, end)
    end = stop.end() if stop else end
    above = text[:start].rstrip().rpartition("\n")[2].strip()
    if above.endswith(":") or above.startswith("#"):
        label = "answer: " if _ANSWER_LABEL.match(above) else f"{above} "
        return label + text[start:end]
    return text[start:end]


def _of_the_clause(figures: Figures, reading: Reading, asked: Question) -> Figures:
    """The figures whose own words, since the figure before, fit the question best."""
    scores = [_clause_fit(figure, reading, asked) for figure in figures]
    best = max(scores)
    return [figure for figure, score in zip(figures, scores, strict=True) if score == best]


def _clause_fit(figure: Quantity, reading: Reading, asked: Question) -> float:
    """How well the words before or behind the figure fit, up to the figures beside it.

    Words after "of" describe the figure before them: "$2 million of revenue and $3 million of ...".
    """
    text = reading.text
    start, following = statement_start(text, figure.start), len(text)
    for other in reading.quantities:
        if other.form == "year" or other is figure:
            continue
        if other.start < figure.start:
            start = max(start, other.end)
        else:
            following = other.start
            break
    before = text[start : figure.start]
    if before.startswith(" of "):
        before = " ".join(before.split()[-_WORDS_LEFT:])
    after = _CLAUSE_END.split(text[figure.end : min(following, figure.end + 80)])[0]
    return max(_fit(before, asked), _fit(after, asked))


def _fit(text: str, asked: Question) -> float:
    words = content_words(text)
    computed = asked.operation is not None and asked.operation.search(text) is not None
    shared = len(words & asked.words)
    return shared + 2 * computed - 0.05 * len(words - asked.words) if shared or computed else 0.0

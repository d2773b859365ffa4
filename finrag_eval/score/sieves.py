"""Which of several figures answers the question: sieves, each of which leaves at least one.

Enters: the figures of an answer that could be meant, and what was asked. Leaves: those that the
answer gives as its answer. The order of the sieves and the reason for each is in
``docs/numeric.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from finrag_eval.score.periods import headers_above, quarters_by_figure, years_by_figure
from finrag_eval.score.quantities import Quantity, Reading
from finrag_eval.score.questions import Question, content_words
from finrag_eval.score.signs import statement_start
from finrag_eval.score.writing import MOVE_BEFORE

Figures = Sequence[Quantity]

_BASE = re.compile(
    r"\b(?:from|compared (?:to|with)|versus|vs\.?|against|than|relative to|offset by)"
    r"(?: (?:the )?(?:[\w'-]+ ){0,4}?)?(?:of )?(?:about |approximately )?$"
    r"|\b(?:not|instead of) (?:about |approximately )?$",
    re.IGNORECASE,
)
_BASE_WORDS = frozenset(
    {
        *("from", "compared", "versus", "vs", "vs.", "against", "than", "relative", "offset"),
        *("not", "instead"),
    }
)
_BASE_REACH = 9
_STEP = re.compile(
    r"\b(?:by|difference(?: of| is| was)?|change of|minus[^.;\n]{0,30}:)"
    r"(?: (?:about|approximately|roughly|nearly|some))? ?$",
    re.IGNORECASE,
)
_LEVEL = re.compile(r"\b(?:to|at|reached|reaching|totall?ed|totall?ing)(?: about| nearly)? $", re.I)
_SUM = re.compile(
    r"\b(?:summing to|add(?:s|ing)? up to|for a total of|totall?ing) $", re.IGNORECASE
)
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
    quarters = quarters_by_figure(reading)
    if quarters:
        figures = _keep(figures, lambda figure: _is_of_quarter(figure, quarters, asked.quarters))
    names = asked.names | {ticker.lower() for ticker in tickers}
    if names and len(figures) > 1:
        others = _other_names(reading.text, names)
        figures = _keep(figures, lambda figure: not _is_of_another(figure, reading.text, others))
    figures = _keep(figures, lambda figure: not _is_operand(figure, reading))
    figures = _keep(figures, lambda figure: not _is_base(figure, reading.text))
    asks_step = asked.asks_change or asked.asks_difference
    if asks_step:
        figures = _keep(figures, lambda figure: not _is_level(figure, reading.text))
    elif not asked.asks_effect:
        figures = _keep(figures, lambda figure: not _is_move(figure, reading.text))
    if len(figures) > 1:
        figures = _of_the_statement(figures, reading, asked)
    figures = _keep(figures, lambda figure: _is_sum(figure, reading.text))
    if asks_step:
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


def _is_of_quarter(
    figure: Quantity, quarters: Mapping[int, frozenset[int]], asked: frozenset[int]
) -> bool:
    """Whether the figure is of a quarter that was asked for; of none, where none was."""
    own = quarters.get(figure.start, frozenset())
    return not own.isdisjoint(asked) if asked else not own


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


def _is_base(figure: Quantity, text: str) -> bool:
    """Whether the figure is what another is compared with, or said not to be the one."""
    before = text[max(0, figure.start - 60) : figure.start]
    if _BASE_WORDS.isdisjoint(before.lower().split()[-_BASE_REACH:]):
        return False
    return _BASE.search(before) is not None


def _is_level(figure: Quantity, text: str) -> bool:
    """Whether the figure is the level that a change leads to: "to $668 million"."""
    return _LEVEL.search(text, max(0, figure.start - 40), figure.start) is not None


def _is_move(figure: Quantity, text: str) -> bool:
    """Whether the figure is how far something moved: "increased $5 million", "up 80 bps"."""
    return MOVE_BEFORE.search(text, max(0, figure.start - 40), figure.start) is not None


def _is_sum(figure: Quantity, text: str) -> bool:
    """Whether the figure is said to be the sum of those before it."""
    return _SUM.search(text, max(0, figure.start - 40), figure.start) is not None


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
    before = " ".join([*headers_above(text, figure), before])
    after = _CLAUSE_END.split(text[figure.end : min(following, figure.end + 80)])[0]
    return max(_fit(before, asked), _fit(after, asked))


def _fit(text: str, asked: Question) -> float:
    words = content_words(text)
    computed = asked.operation is not None and asked.operation.search(text) is not None
    shared = len(words & asked.words)
    return shared + 2 * computed - 0.05 * len(words - asked.words) if shared or computed else 0.0

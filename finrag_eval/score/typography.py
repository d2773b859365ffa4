"""One spelling for what typography spells in many ways: dashes, spaces, digits, emphasis.

Enters: text of a model or a filing. Leaves: the same text, in plain hyphens for minus signs, en
dashes for every longer dash, no-break spaces for every special space, ASCII digits, and without
Markdown emphasis, LaTeX commands and HTML entities.
"""

from __future__ import annotations

import html
import re

NO_BREAK = "\u00a0"

_SPACES = "\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_SPELLINGS: dict[str, str] = {
    **dict.fromkeys(_SPACES, NO_BREAK),
    **dict.fromkeys(_INVISIBLE, ""),
    **dict.fromkeys("\u2010\u2011\u2212\ufe63\uff0d", "-"),
    **dict.fromkeys("\u2012\u2013\u2014\u2015", "–"),
    **dict.fromkeys("\u2018\u2019\u02bc\uff07", "'"),
    **dict.fromkeys("\u201c\u201d", '"'),
    **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
    "\uff05": "%",
    "\ufe6a": "%",
    "\uff04": "$",
    "\ufe69": "$",
    "\uffe5": "¥",
    "\uffe1": "£",
    "\uff0c": ",",
    "\uff0e": ".",
    "\uff08": "(",
    "\uff09": ")",
    "\u2044": "/",
    "\u2215": "/",
    "\u2243": "≈",
    "\u2245": "≈",
}
_SPECIAL = re.compile("[" + "".join(_SPELLINGS) + "]")
_FRACTIONS = {"½": ".5", "¼": ".25", "¾": ".75", "⅓": ".333", "⅔": ".667", "⅛": ".125"}
_FRACTION = re.compile(r"(?<![\d.,])(\d{1,3})?[ \u00a0]?([½¼¾⅓⅔⅛])")
#: "2 1/2 billion"; what is no share of a scale or of a hundred stays a division.
_MIXED = re.compile(r"(?<![\d.,/])(\d{1,3}) (1/2|1/4|3/4)(?= ?(?:[a-z]+illion|thousand|percent|%))")
_MIXED_SHARES = {"1/2": ".5", "1/4": ".25", "3/4": ".75"}
#: "7.67 to 1", the ratio; a range or a fall to 1 of something stays as it is.
_TO_ONE = re.compile(
    r"(?<![\d.,])(?<!from )(?<!between )([\d,]+(?:\.\d+)?) to (?:1(?:\.0)?|one)"
    r"(?![.,]?\d|[ -]?(?:%|percent|[a-z]*illion|thousand|hundred|year|month|week|day|quarter)|/)\b"
)
_BLANKS = re.compile(" {2,}")
_LATEX_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf|operatorname)\s?\{([^{}]*)\}")
_LATEX_BOX = re.compile(r"\\boxed\s?\{([^{}]*)\}")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s?\{([^{}]*)\}\s?\{([^{}]*)\}")
_LATEX_MATH = re.compile(r"\$([-+(]?[\d.,{}%\s=/×≈()+-]{1,60}?)\$(?![\d(])")
_LATEX_SIGNS = (
    ("\\times", " × "),
    ("\\div", " / "),
    ("\\approx", " ≈ "),
    ("\\left", ""),
    ("\\right", ""),
    ("\\,", ""),
    ("\\!", ""),
    ("\\;", " "),
    ("\\(", " "),
    ("\\)", " "),
    ("\\[", " "),
    ("\\]", " "),
)


def plain(text: str) -> str:
    """The text in one spelling; its numbers mean what they meant."""
    if "&" in text and ";" in text:
        text = html.unescape(text)
    if "\\" in text:
        text = _without_latex(text)
    if not text.isascii():
        text = _FRACTION.sub(_in_decimals, text)
        text = _SPECIAL.sub(lambda found: _SPELLINGS[found.group()], text)
    if "  " in text:
        text = _BLANKS.sub(" ", text)
    if text.count("$") > 1:
        text = _LATEX_MATH.sub(r"\1", text)
    if " to 1" in text or " to one" in text:
        text = _TO_ONE.sub(r"\1:1", text)
    if "/2 " in text or "/4 " in text:
        text = _MIXED.sub(lambda found: found[1] + _MIXED_SHARES[found[2]], text)
    return text.replace("{,}", ",").replace("**", "").replace("__", "").replace("`", "")


def _in_decimals(found: re.Match[str]) -> str:
    return (found[1] or "0") + _FRACTIONS[found[2]]


def _without_latex(text: str) -> str:
    text = _LATEX_TEXT.sub(r"\1", text)
    text = _LATEX_FRACTION.sub(r"\1 / \2", text)
    text = _LATEX_BOX.sub(r" answer: \1 ", text)
    for command, sign in _LATEX_SIGNS:
        text = text.replace(command, sign)
    return text.replace("\\$", "$").replace("\\%", "%").replace("\\", "")

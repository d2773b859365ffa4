"""How numbers are written: scales, currencies, units, and the patterns around digits.

Tables and regular expressions alone; ``quantities`` says what they mean. All patterns expect the
spelling that ``typography.plain`` makes.
"""

from __future__ import annotations

import re
from typing import Literal

Form = Literal["plain", "percent", "points", "bps", "multiple", "time", "year"]

#: What one unit of a relative form is worth as a share.
FACTORS: dict[str, float] = {"percent": 0.01, "points": 0.01, "bps": 0.0001}

SCALES: dict[str, float] = {
    "hundred": 1e2,
    "thousand": 1e3,
    "k": 1e3,
    "lakh": 1e5,
    "million": 1e6,
    "mln": 1e6,
    "mio": 1e6,
    "mn": 1e6,
    "mm": 1e6,
    "m": 1e6,
    "crore": 1e7,
    "billion": 1e9,
    "bln": 1e9,
    "bn": 1e9,
    "b": 1e9,
    "trillion": 1e12,
    "trn": 1e12,
    "tn": 1e12,
    "t": 1e12,
}

#: Currency signs, codes and names, in lower case, with the code they stand for.
CURRENCIES: dict[str, str] = {
    "$": "USD",
    "us$": "USD",
    "dollar": "USD",
    "dollars": "USD",
    "us dollar": "USD",
    "us dollars": "USD",
    "cent": "USD",
    "cents": "USD",
    "¢": "USD",
    "€": "EUR",
    "euro": "EUR",
    "euros": "EUR",
    "£": "GBP",
    "pound": "GBP",
    "pounds": "GBP",
    "¥": "JPY",
    "yen": "JPY",
    "rmb": "CNY",
    "yuan": "CNY",
    "francs": "CHF",
    "₹": "INR",
    "rs": "INR",
    "rs.": "INR",
    "₩": "KRW",
    "c$": "CAD",
    "ca$": "CAD",
    "a$": "AUD",
    "au$": "AUD",
    "hk$": "HKD",
    "s$": "SGD",
    "nz$": "NZD",
    "nt$": "TWD",
    "r$": "BRL",
}
_CODES = "USD|EUR|GBP|JPY|CNY|RMB|CHF|INR|KRW|CAD|AUD|HKD|SGD|NZD|TWD|BRL|SEK|NOK|DKK"

CENTS = frozenset({"cent", "cents", "¢"})

#: Digits with thousands groups (comma, apostrophe, special space, or at least two dots), decimals,
#: and an exponent.
NUMBER = re.compile(
    r"[0-9](?:[0-9]{0,2}(?:[,'\u00a0][0-9]{3})+(?![0-9])"
    r"|[0-9]{0,2}(?:\.[0-9]{3}){2,}(?:,[0-9]{1,2})?(?![0-9])"
    r"|[0-9]?(?:,[0-9]{2})+,[0-9]{3}(?![0-9])"
    r"|[0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2}(?!\w))?"
)
#: Groups after plain spaces: read as thousands only where a currency or a scale says money.
SPACED_GROUPS = re.compile(r"(?: [0-9]{3})+(?![0-9,]|\.[0-9]{3})(?:\.[0-9]+)?")

#: Signs that may stand between a currency, a minus, a bracket and the digits.
LEADS = frozenset("-–($€£¥₹₩")
MONEY_SIGNS = frozenset("$€£¥₹₩")
CODE_BEFORE = re.compile(rf"\b(?:{_CODES}|Rs\.?)[ \u00a0]?$")
DOLLAR_LETTERS = re.compile(r"\b(?:US|CA|AU|HK|NZ|NT|[CASR])$")
_SCALE = (
    r"(?:[ \u00a0-]?(?P<hundred>(?i:hundred))\b)?"
    r"(?:(?:[ \u00a0-]?(?P<scale>(?i:thousand|million|billion|trillion|lakh|crore))(?i:s)?"
    r"|[ \u00a0]?(?P<short>(?i:mln|mio|mn|mm|bln|bn|trn|tn))\.?"
    r"|(?P<letter>[kKmMbBT])|[ \u00a0](?P<capital>[KMBT]))(?![A-Za-z0-9&]))?"
    r"(?:[ \u00a0](?P<scale2>(?i:million|billion|trillion))(?i:s)?\b)?"
)
_UNIT = (
    r"(?:[ \u00a0-]?(?P<unit>(?i:%[ -]?(?:points?|pts)\b|%"
    r"|percentage[ -]points?\b|percent\b|per[ ]cent\b|pct\b|ppts?\b|pp\b|p\.p\."
    r"|basis[ -]points?\b|bps?\b|times\b|-?fold\b)"
    r"|[x×](?!\w|[ ]?[\d(])|:1\b))?"
)
_MONEY = (
    r"(?:[ \u00a0]?(?P<after>(?i:U\.?S\.?[ ]dollars?|dollars?|euros?|pounds?|yen|yuan"
    r"|francs|cents?)"
    rf"|{_CODES}|[€£¢])(?!\w))?"
    r"(?P<share>(?:[ ](?:per|a)|[ ]?/)[ ]?(?:\w+[ ]){0,2}[Ss]hare\b)?"
)
RIGHT = re.compile(_SCALE + _UNIT + _MONEY)
RIGHT_IN_BRACKETS = re.compile(
    rf"(?P<close>[ \u00a0]?\))?{_SCALE}(?P<close2>[ ]?\))?{_UNIT}(?P<close3>[ ]?\))?"
    rf"{_MONEY}(?P<close4>[ ]?\))?"
)
#: The plainest ends of a quantity: punctuation, or a word that can be no part of it.
COMMON_RIGHT = re.compile(
    r"(?:[ ](?P<scale>thousand|million|billion|trillion)|(?P<unit>%|[ ]percent))?"
    r"(?=[,.;:](?![0-9])|\n|[ ](?:in|for|from|of|to|and|on|at|as|by|with|up|down|was|were|is|during"
    r"|compared|while|after|over|or|than|due|versus)[ ])"
)
#: Two letters that a unit behind a number may begin with: what stands before them is no year.
UNIT_STARTS = frozenset(
    {
        *("mi", "bi", "th", "tr", "pe", "pc", "pp", "pt", "ba", "bp", "do", "us", "eu", "gb", "jp"),
        *("cn", "ch", "po", "ye", "yu", "fr", "ce", "ti", "hu", "cr", "la", "mn", "bn", "ml", "mm"),
        *("tn", "x ", "k ", "m ", "b ", "t ", "% ", "%.", "%,", "€ ", "£ "),
    }
)
TIME = re.compile(
    r"[ \u00a0-](?:fiscal |calendar |full )?"
    r"(?:years?|months?|weeks?|days?|hours?|minutes?|quarters?)\b"
)
NEGATIVE_WORD = re.compile(
    r"\b(?:negative|minus)[ \u00a0]+(?:of |about |approximately |roughly )?$"
)

#: What stands before the size of a move: "increased by", "a decrease of about", "down".
MOVE_BEFORE = re.compile(
    r"\b(?:increas(?:e[sd]?|ing)|decreas(?:e[sd]?|ing)|declin(?:e[sd]?|ing)|gr(?:ew|ow[sn]?|owing)"
    r"|growth|r(?:ose|ise[sn]?|ising)|f(?:ell|all(?:s|en|ing)?)|drop(?:s|ped|ping)?|climb(?:s|ed|ing)?"
    r"|jump(?:s|ed|ing)?|improv(?:e[sd]?|ing|ement)|expan(?:d(?:s|ed|ing)?|sion)"
    r"|contract(?:s|ed|ing|ion)|narrow(?:s|ed|ing)|widen(?:s|ed|ing)|up|down)"
    r"[ \u00a0](?:by |of )?(?:an? (?:additional )?)?"
    r"(?:about |approximately |roughly |nearly |some )?$",
    re.IGNORECASE,
)


def form_of(unit: str | None) -> Form:
    """The form that a unit behind a number gives it; plain without one."""
    if unit is None:
        return "plain"
    unit = unit.lower()
    if unit.startswith(("basis", "bp")):
        return "bps"
    if "point" in unit or "pts" in unit or unit.startswith(("pp", "p.p")):
        return "points"
    return "percent" if unit[0] in "%p" else "multiple"


def scale_of(right: re.Match[str]) -> float:
    """The product of the scale words behind a number; 1 without any."""
    scale = 100.0 if right["hundred"] else 1.0
    named = right["scale"] or right["short"] or right["letter"] or right["capital"]
    if named:
        scale *= SCALES[named.lower()]
    if right["scale2"]:
        scale *= SCALES[right["scale2"].lower()]
    return scale


def currency_of(written: str) -> str:
    """The code of a currency sign, code or name."""
    name = written.lower().replace("u.s.", "us").replace("u.s", "us")
    return CURRENCIES.get(name, name.upper())


def value_of(digits: str) -> tuple[float, int]:
    """What the digits say, and how many of them are decimals."""
    if digits.isdigit():
        return float(digits), 0
    if digits.count(".") > 1:
        digits = digits.replace(".", "").replace(",", ".")
    for separator in ",'\u00a0 ":
        digits = digits.replace(separator, "")
    mantissa, _, exponent = digits.lower().partition("e")
    decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return float(digits), decimals

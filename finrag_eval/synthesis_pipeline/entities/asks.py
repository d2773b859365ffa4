"""What a question wants done with the figures: look up, compare, follow over time, explain.

Enters: text. Leaves: a set of asks. More than one may hold.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

Ask = Literal[
    "advice",
    "average",
    "boolean",
    "cagr",
    "change",
    "compare",
    "difference",
    "each_year",
    "explain",
    "forecast",
    "lower",
    "overview",
    "part_year",
    "sum",
    "when",
    "which",
]

_PATTERNS: dict[Ask, str] = {
    "advice": r"\bshould\s+(?:i|we|one|investors?|someone|my)\b"
    r"|\b(?:buy|sell|hold|short)\s+(?:the\s+|its\s+|their\s+|some\s+|more\s+)*(?:shares?|stocks?)\b"
    r"|\b(?:good|better|best|safe|wise|sound|attractive)\s+(?:long[\s-]term\s+)?(?:investment|buy"
    r"|stock)\b|\b(?:over|under)valued\b|\brecommend|\binvest(?:ing)?\s+(?:my|our|in)\b"
    r"|\bprice\s+target|\bportfolio\s+allocat|\bworth\s+(?:buying|investing)"
    r"|\b(?:is|are|was)\b.{0,40}\b(?:a|an)\s+(?:strong\s+)?(?:buy|sell|hold)\b"
    r"|\bwhich\s+(?:stock|share)s?\b",
    "forecast": r"\bwould\b.{0,80}\bif\b|\b(?:forecast|predict|extrapolate)\b(?!\s+accura)"
    r"|^(?:please\s+)?(?:project|estimate)\b|\b(?:what|when|which|who|how)\s+will\b"
    r"|\bwill\b.{0,80}?\b(?:be|become|reach|exceed"
    r"|grow|earn|rise|fall|increase|decline|hit|report|overtake|outperform|double)\b"
    r"|\bnext\s+(?:fiscal\s+)?(?:year|quarter|decade|five|ten|three|few)\b|\bis\s+(?:expected|likely"
    r"|going)\s+to\b|\bare\s+likely\s+to\b|\bwould\s+you\s+expect\b|\bcan\s+we\s+expect\b"
    r"|\bhow\s+(?:much|fast)\s+(?:will|would)\b|\bin\s+the\s+(?:future|coming\s+years?)\b"
    r"|\bgoing\s+to\s+(?:be|grow|reach|rise|fall)\b|\bprojected\b",
    "explain": r"\bwhy\b|\bexplain|\bdescrib|\bdiscuss|\breasons?\b|\bdrivers?\b|\bdrove\b"
    r"|\brisks?\b|\bstrateg|\bfactors?\b|\battribut|\bhow\s+(?:does|do|did|has|have|is|are|was|were)\b"
    r"|\bwhat\s+(?:does|do|did)\b.{0,60}?\b(?:say|note|warn|disclose|state|cite|mention|identify)"
    r"|\bmain\b|\bcompet(?:e|it)|\bpolic(?:y|ies)\b|\bhighlight|\bcite[sd]?\b|\bdefine|\bimpact"
    r"|\bwhat\s+(?:made|helped|reduced|lifted|hurt|pushed|weighed|led)\b|\blifted\b"
    r"|\bcaus(?:e|ed|es)\b|\bdue\s+to\b|\bbusiness\s+model\b|\bwhat\s+kinds?\b|\bsummar",
    "change": r"\bgr[oe]w(?:th|n|ing|s)?\b|\bincreas|\bdecreas|\bdeclin|\bchang|\brose\b"
    r"|\brise[sn]?\b|\brising\b|\bf[ae]ll(?:s|en|ing)?\b|\bdrop|\btrend|\bdevelop(?:ed|ment)?\b|\bevol|\bimprov"
    r"|\bworsen|\byear[\s-]o[nv](?:er)?[\s-]year\b|\byoy\b|\by/y\b|\bshr[iau]nk|\bexpan|\bdoubl"
    r"|\bhigher\s+than\s+in\b|\blower\s+than\s+in\b|\bcompared\s+(?:to|with)\s+(?:the\s+)?(?:prior"
    r"|previous|fiscal|FY|\d)|\bexpand|\bcontract(?:ed|ion)\b|\bmove[ds]?\b",
    "cagr": r"\bCAGR\b|\bcompound(?:ed)?\s+(?:annual\s+)?(?:average\s+)?(?:growth|rate)"
    r"|\bannuali[sz]ed\s+growth",
    "compare": r"\bwhich\b.{0,60}?\b(?:company|companies|firm|of\s+(?:the|these)|one|had|has|have"
    r"|was|reported|earned|generated|spent|held|made)\b|\bcompar|\bversus\b|\bvs\b|\bthan\b|\brank"
    r"|\b(?:who|whose)\b|\bhigher\b|\blarger\b|\bgreater\b|\bbigger\b|\blower\b|\bsmaller\b",
    "difference": r"\bdifferen(?:ce|t\s+by)|\bgap\s+between\b|\bexceed(?:ed|s)?\b.{0,60}?\bby\s+how"
    r"|\bhow\s+much\s+(?:more|higher|larger|greater|bigger|less|lower|smaller)\b"
    r"|\bby\s+how\s+much\b|\bhow\s+many\s+times\b",
    "lower": r"\blower\b|\blowest\b|\bsmaller\b|\bsmallest\b|\bless\b|\bleast\b|\bweakest\b"
    r"|\bminimum\b|\bfewer\b",
    "which": r"\bwhich\b|\bhighest\b|\blowest\b|\blargest\b|\bsmallest\b|\bmost\b|\bleast\b"
    r"|\bwho\b|\bwhose\b|\bhigher\b|\blower\b|\blarger\b|\bgreater\b|\bsmaller\b|\bbigger\b"
    r"|\brank|\btop\s+(?:company|\d|two|three|five)",
    "when": r"\b(?:which|what)\s+(?:of\s+the\s+|of\s+these\s+)?(?:fiscal\s+)?years?\b"
    r"(?!.{0,12}\bend)|\bwhen\s+(?:was|were|did)\b|\bpeak(?:ed)?\b",
    "average": r"(?<!weighted\s)(?<!weighted-)\baverage\b(?!\s+(?:assets|equity|shares|diluted))"
    r"|\bmean\b",
    "sum": r"\bcombined\b|\bcumulative|\bsum\s+of\b|\btotal\s+of\b|\badded\s+(?:up|together)\b"
    r"|\btogether\b|\baggregate\b|\bin\s+total\s+(?:over|from|between|for)\b|\bsummed\b",
    "each_year": r"\b(?:each|every|by|per)\s+(?:fiscal\s+)?year\b|\blist\b|\bannually\b"
    r"|\bover\s+time\b|\btrends?\b|\bdevelop(?:ed|ment)?\b|\bevol(?:ve|ution)|\byear[\s-]by[\s-]year\b|\ball\s+years\b|\btable\b",
    "overview": r"\bperform(?:ed|ance|ing|s)?\b|\bprofitab|\bfinancial(?:s|ly|\s+(?:results?"
    r"|position|health|condition|performance|highlights?|figures?|overview|profile))\b|\bkey\s+figures\b"
    r"|\bresults\s+of\s+operations\b|\bKPIs?\b|\bkey\s+metrics\b",
    "part_year": r"\bQ[1-4]\b|\b(?:first|second|third|fourth|last|1st|2nd|3rd|4th)[\s-]quarter\b"
    r"|\bquarter(?:ly|s|\s+ended)?\b|\bH[12]\b|\b(?:first|second)\s+half\b|\bmonthly\b"
    r"|\bsix\s+months\b|\bnine\s+months\b|\b[1-4]Q\d*\b|\beach\s+month\b|\btoday\b|\bcurrently\b"
    r"|\bright\s+now\b|\bas\s+of\s+now\b",
    "boolean": r"^\s*(?:did|was|were|is|are|has|have|had|does|do|can)\b",
}


def read_asks(text: str) -> frozenset[Ask]:
    """All asks that the wording shows."""
    return frozenset(ask for ask, pattern in _compiled() if pattern.search(text))


@cache
def _compiled() -> tuple[tuple[Ask, re.Pattern[str]], ...]:
    return tuple((ask, re.compile(text, re.IGNORECASE)) for ask, text in _PATTERNS.items())

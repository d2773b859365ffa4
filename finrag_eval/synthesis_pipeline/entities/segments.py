"""Whether a metric is asked of a part of the company: "data center revenue", "sales in China".

Enters: text without companies and years, and where a metric stands in it. Leaves: the part's name.
The facts hold company totals alone, so that such a question must not be answered with one.
"""

from __future__ import annotations

import re
from functools import cache

#: Metrics that filings also report by part.
REPORTED_BY_PART = frozenset(
    {"revenue", "operating_income", "net_income", "gross_profit", "gross_margin", "capex"}
)

_PARTS = (
    r"data[\s-]?center|gaming|services?|products?|cloud|advertising|ads?|subscriptions?|licensing"
    r"|licenses?|hardware|software|streaming|DVD|international|domestic|foreign|overseas"
    r"|pharmaceutical|consumer|vaccine|medical devices?|devices?|automotive|energy|e-?commerce"
    r"|online|stores?|comparable|same-store|wearables?|mobile|search|retail|grocery|fuel"
    r"|membership|segments?|rental|leasing|regulatory credits?|credits?|insurance|upstream"
    r"|downstream|chemicals?|professional visualization|intelligent cloud|family of apps"
    r"|reality labs|north america|north american|U\.S\.|US|european?|asian?|chinese|third-party"
    r"|first-party|iphone|ipad|mac|azure|aws|xbox|windows|office|linkedin|youtube|surface|geforce"
    r"|prime|kindle|instagram|whatsapp|oculus|sam's club|immunology|oncology|baby care|covid-19"
    r"|cryptocurrency|semiconductor"
)
_NO_PART = (
    r"(?!(?:FY|Fiscal|Annual|Total|Net|GAAP|And|Or|The|Its|In|Of|For|What|Was|Were|How|Which|Did"
    r"|Show|List|Give|Compare|Full|Year|Yearly|Reported|Is|Does|I|Inc|Corp|Company|Consolidated"
    r"|Diluted|Basic|January|February|March|April|May|June|July|August|September|October|November"
    r"|December|Q[1-4]|USD|GAAP|Form)\b)"
)
_NAMED_BEFORE = rf"(?i:\b(?P<part>{_PARTS})(?:\s+(?:segment|business|division|unit))?(?:'s)?\s+$)"
#: A name in capitals that is no company of the data and does not begin the sentence.
_CAPITALS_BEFORE = (
    rf"(?<=[^.?!:\s])\s+{_NO_PART}(?P<part>(?:[A-Z]|i[A-Z])[\w&-]*)(?:\s+segment)?\s+$"
)
_AFTER = (
    r"\s+(?:from|in|by|per|to|within|across|of|did|does)\s+(?:(?:the|its|their|each|every)\s+)?"
    rf"(?P<part>(?i:{_PARTS}|user|region|geography|country|quarter|employee|product line)s?\b"
    r"(?!\s+dollars))"
)
_PLACE_AFTER = (
    rf"\s+(?:from|in|within|across)\s+{_NO_PART}(?P<part>[A-Z][a-z]\w+(?:\s+[A-Z][a-z]\w+)*)"
    r"(?!'s|\s+dollars)"
)


def part_of_company(text: str, start: int, end: int) -> str | None:
    """The part that the metric at ``start``..``end`` is asked for; None for the whole company."""
    before = text[max(0, start - 40) : start]
    named_before, capitals_before, after, place_after = _compiled()
    match = (
        named_before.search(before)
        or capitals_before.search(before)
        or after.match(text, end)
        or place_after.match(text, end)
    )
    return " ".join(match["part"].split()) if match else None


@cache
def _compiled() -> tuple[re.Pattern[str], ...]:
    return tuple(map(re.compile, (_NAMED_BEFORE, _CAPITALS_BEFORE, _AFTER, _PLACE_AFTER)))

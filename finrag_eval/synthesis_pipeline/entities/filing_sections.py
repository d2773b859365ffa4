"""Sections of a 10-K that a question names.

Enters: text. Leaves: section codes as the passages carry them (``ITEM_1A``).
"""

from __future__ import annotations

import re
from functools import cache

_NUMBERED = r"\bitems?[\s_]*(?P<number>1[0-5]|[1-9])\s?(?P<letter>[ABC])?\b"
_NAMED = (
    (
        "ITEM_7A",
        r"\bmarket\s+risk\s+(?:section|disclosures?)\b|\bdisclosures?\s+about\s+market\s+risk",
    ),
    ("ITEM_1A", r"\brisk[\s-]factors?\b|\brisk\s+disclosures?\b"),
    (
        "ITEM_7",
        r"\bMD\s?&\s?A\b|\bmanagement['’]?s?['’]?\s+discussion|\bmanagement\s+discussion"
        r"|\bresults\s+of\s+operations\b",
    ),
    (
        "ITEM_1",
        r"\bbusiness\s+(?:section|description|overview|segment\s+description)\b"
        r"|\bdescription\s+of\s+(?:its|the|their)\s+business\b|\b(?:in|under)\s+(?:the\s+)?Business\b",
    ),
    ("ITEM_2", r"\bproperties\s+section\b"),
    ("ITEM_3", r"\blegal\s+proceedings\b"),
    ("ITEM_8", r"\bfinancial\s+statements?\b|\bnotes\s+to\s+the\s+(?:consolidated|financial)"),
    ("ITEM_9A", r"\bcontrols\s+and\s+procedures\b|\binternal\s+controls?\s+over\s+financial"),
)


def read_sections(text: str) -> tuple[str, ...]:
    """Section codes, numbered mentions first; empty where none is named."""
    numbered, named = _compiled()
    found = dict.fromkeys(
        f"ITEM_{match['number']}{(match['letter'] or '').upper()}"
        for match in numbered.finditer(text)
    )
    found.update(dict.fromkeys(section for section, pattern in named if pattern.search(text)))
    return tuple(found)


@cache
def _compiled() -> tuple[re.Pattern[str], tuple[tuple[str, re.Pattern[str]], ...]]:
    named = tuple((section, re.compile(pattern, re.IGNORECASE)) for section, pattern in _NAMED)
    return re.compile(_NUMBERED, re.IGNORECASE), named

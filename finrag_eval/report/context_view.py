"""An assembled context taken apart for reading: the KPI snapshot and the passages.

Enters: the text that the model was given. Leaves: its parts. Knows the headings that assembled
contexts carry; a context in any other form stays whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PASSAGE = re.compile(r"^=== (.+?) ===[ \t]*$", re.MULTILINE)
_RULE = re.compile(r"^[═─━=_*-]{5,}[ \t]*$\n?", re.MULTILINE)
_SNAPSHOT = re.compile(r"^.*KPI SNAPSHOT.*$\n?", re.MULTILINE)
_NARRATIVE = re.compile(r"^.*NARRATIVE CONTEXT.*$\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextView:
    """A context's parts: ``kpi`` and ``other`` may be empty; a passage is (heading, text)."""

    kpi: str
    passages: tuple[tuple[str, str], ...]
    other: str


def split_context(context: str) -> ContextView:
    """The parts of an assembled context; all of it under ``other`` where it has no headings.

    A passage runs from its ``=== heading ===`` line to the next one. What stands before the first
    is the KPI snapshot if it calls itself one.
    """
    headings = list(_PASSAGE.finditer(context))
    head = context[: headings[0].start()] if headings else context
    passages = tuple(
        (
            this[1],
            context[this.end() : headings[at + 1].start() if at + 1 < len(headings) else None],
        )
        for at, this in enumerate(headings)
    )
    has_snapshot = _SNAPSHOT.search(head) is not None
    if not has_snapshot and not headings:
        return ContextView(kpi="", passages=(), other=context.strip("\n"))
    clean = _NARRATIVE.sub("", _SNAPSHOT.sub("", _RULE.sub("", head))).strip("\n")
    return ContextView(
        kpi=clean if has_snapshot else "",
        passages=tuple((heading, _RULE.sub("", text).strip("\n")) for heading, text in passages),
        other="" if has_snapshot else clean,
    )

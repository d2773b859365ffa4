"""What the user may have meant: the nearest known name, and the names there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LISTED = 15


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name most like ``name``; None where none is like it by ``cutoff`` (difflib).

    A name that differs in case alone comes first, then the one name that this is the beginning of.
    """
    names = sorted(known)
    folded = {other.casefold(): other for other in reversed(names)}
    if name.casefold() in folded:
        return folded[name.casefold()]
    longer = [other for other in names if len(name) > 2 and other.startswith(name)]
    if len(longer) == 1:
        return longer[0]
    close = difflib.get_close_matches(name, names, n=1, cutoff=cutoff)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A fix for an unknown name: the nearest one where there is one, and all that are known."""
    names = sorted(known)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    listed = f"known: {', '.join(names[:_LISTED])}{more}" if names else "there are none"
    close = nearest(name, names)
    return listed if close is None else f"did you mean '{close}'? {listed}"

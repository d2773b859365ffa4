"""What a user may have meant by an option that there is not."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


def unknown_option(name: str, known: Sequence[str]) -> str:
    """The nearest known name, else all of them."""
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"

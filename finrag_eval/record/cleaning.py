"""Values that every MLflow store takes: what is too long, illegal or endless is cut, and said.

Enters: params, metrics, tags and a run name, whatever is in them. Leaves: the same, clean, and a
list of what was changed. Knows MLflow's limits (3.17.2) and no MLflow.

Stores differ in what they refuse: SQLite keeps over-long tags that PostgreSQL rejects, PostgreSQL
rejects NUL, and a lone surrogate fails everywhere. So nothing is left to them.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

MAX_PARAM_CHARS = 6000
MAX_TAG_CHARS = 8000
MAX_NAME_CHARS = 250

_ILLEGAL_IN_NAMES = re.compile(r"[^\w.\- :/]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean_text(text: str) -> str:
    """The text as UTF-8 can hold it: NUL and lone surrogates become U+FFFD."""
    if text.isascii():
        return text.replace("\0", _REPLACEMENT) if "\0" in text else text
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", _REPLACEMENT)


def clean_document(value: Any) -> Any:
    """The same document without NaN, infinity, NUL and lone surrogates."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean_text(str(key)): clean_document(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean_document(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def cut_text(text: str, limit: int) -> str:
    """At most ``limit`` characters; a cut text ends by saying how long the whole was."""
    if len(text) <= limit:
        return text
    ending = f" … [cut, {len(text)} characters in all]"
    return text[: limit - len(ending)] + ending


@lru_cache(maxsize=4096)
def clean_name(name: str) -> str:
    """A key of a param, metric or tag as MLflow takes it; other characters become ``_``."""
    clean = _ILLEGAL_IN_NAMES.sub("_", name)[:MAX_NAME_CHARS]
    if clean.startswith(("/", "..")) or posixpath.normpath(clean) != clean or clean == ".":
        clean = re.sub(r"^\.+|/", lambda found: "_" * len(found[0]), clean)
    return clean or "_"


def clean_params(params: Mapping[str, str], changed: list[str]) -> dict[str, str]:
    """Params with legal keys and values; each change is added to ``changed``."""
    return _clean_items("param", params, lambda value: _short(value, MAX_PARAM_CHARS), changed)


def clean_tags(tags: Mapping[str, str], changed: list[str]) -> dict[str, str]:
    """Tags with legal keys and values; each change is added to ``changed``."""
    return _clean_items("tag", tags, lambda value: _short(value, MAX_TAG_CHARS), changed)


def clean_metrics(metrics: Mapping[str, Any], changed: list[str]) -> dict[str, float]:
    """Metrics as floats with legal keys; None is left out, since missing is not zero.

    An infinity is left out, too, and said so: a store would show it as 1.8e308. NaN stays.
    """
    finite: dict[str, float] = {}
    for name, value in metrics.items():
        if value is None:
            continue
        number = _as_float(value)
        if math.isinf(number):
            changed.append(f"metric {name[:60]}: infinite, left out")
        else:
            finite[name] = number
    return _clean_items("metric", finite, lambda value: value, changed)


def clean_run_name(name: str, changed: list[str]) -> str:
    """A run's name: one line of at most 250 characters."""
    clean = _short(" ".join(name.split()), MAX_NAME_CHARS)
    if clean != name:
        changed.append("run name")
    return clean


def cut_note(changed: list[str]) -> str:
    """One line that names what was changed; short enough for a tag."""
    return cut_text("; ".join(clean_text(item) for item in changed), MAX_TAG_CHARS)


def _short(text: str, limit: int) -> str:
    return cut_text(clean_text(text), limit)


def _as_float(value: float | int | Decimal) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _clean_items(
    kind: str, items: Mapping[str, Any], clean: Callable[[Any], Any], changed: list[str]
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in items.items():
        legal = _unused(clean_name(name), kept)
        tidy = clean(value)
        if legal != name:
            changed.append(f"{kind} {name[:60]}: name")
        if tidy != value and not (isinstance(value, float) and math.isnan(value)):
            changed.append(f"{kind} {legal}: {_change(value, tidy)}")
        kept[legal] = tidy
    return kept


def _change(before: str, after: str) -> str:
    if len(before) > len(after):
        return f"cut from {len(before)} characters"
    return "characters that no store takes"


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    """The name, or with a number where cleaning made two names alike."""
    if name not in taken:
        return name
    number = 2
    while (candidate := f"{name[: MAX_NAME_CHARS - 8]}_{number}") in taken:
        number += 1
    return candidate

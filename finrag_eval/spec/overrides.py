"""``--set key.path=value``, laid over a sweep file.

Enters: the located mapping of a file and overrides. Leaves: the mapping as if it had been written
so. What was typed on the command line needs no quotes to be text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from finrag_eval.errors import Problem
from finrag_eval.spec.located import Fault, Source, Value, load

_PART = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^.\[\]"']+))\s*""")


def apply_overrides(root: Value, overrides: Sequence[str], problems: list[Problem]) -> Value:
    """The mapping with all overrides laid over it in their order, so that later ones win.

    One that cannot be applied is a problem, and is left out.
    """
    for written in overrides:
        root = _apply(root, written, problems)
    return root


def _apply(root: Value, written: str, problems: list[Problem]) -> Value:
    path_text, equals, value_text = written.partition("=")
    source = Source(f"--set {path_text.strip()}", Path.cwd(), typed=True)
    path = _split(path_text)
    if not equals or path is None:
        fix = "write key.path=value, as in budget.max_usd=2"
        problems.append(Problem(file=f"--set {written}", message="is not key.path=value", fix=fix))
        return root
    faults: list[Fault] = []
    value = load(value_text, source, faults)
    if value is None or faults:
        problems.extend(replace(fault.problem, line=None) for fault in faults)
        return root
    try:
        return _set(root, _joined(root, path), _without_lines(value))
    except _NoSuchPlace as reason:
        fix = "name a key, or the number of a list's item counted from 0"
        problems.append(Problem(file=source.shown, message=str(reason), fix=fix))
        return root


class _NoSuchPlace(Exception):
    """An override's path leads nowhere."""


def _split(path: str) -> tuple[str, ...] | None:
    """``prompts[0].system`` and ``gate."score.x".min_delta`` as keys; None where it is no path."""
    parts = []
    position = 0
    text = re.sub(r"\[(\d+)\]", r".\1", path)
    while position <= len(text):
        found = _PART.match(text, position)
        if found is None:
            return None
        part = next(group for group in found.groups() if group is not None).strip()
        if not part:
            return None
        parts.append(part)
        position = found.end()
        if position < len(text) and text[position] != ".":
            return None
        position += 1
    return tuple(parts)


def _joined(root: Value, path: tuple[str, ...]) -> tuple[str, ...]:
    """The path with keys that hold dots put together: ``gate score numeric`` -> ``score.numeric``.

    The longest run of parts that is a key there already is one key; ``score`` is never alone.
    """
    joined: list[str] = []
    place: Value | None = root
    rest = list(path)
    while rest:
        keys = place.content if place is not None and place.kind == "mapping" else {}
        length = next((n for n in range(len(rest), 1, -1) if ".".join(rest[:n]) in keys), 1)
        if length == 1 and rest[0] == "score" and len(rest) > 1 and joined:
            length = 2
        key = ".".join(rest[:length])
        joined.append(key)
        rest = rest[length:]
        place = keys.get(key)
    return tuple(joined)


def _set(root: Value, path: tuple[str, ...], value: Value) -> Value:
    if not path:
        return value
    key, rest = path[0], path[1:]
    if root.kind == "list":
        position = int(key) if key.isdigit() else -1
        if not 0 <= position < len(root.content):
            raise _NoSuchPlace(f"there is no item {key} in a list of {len(root.content)}")
        items = list(root.content)
        items[position] = _set(items[position], rest, value)
        return root._replace(content=tuple(items))
    if root.kind != "mapping":
        # A short form: `query_set: path` is what `query_set: {path: path}` says.
        written = {} if root.kind == "null" else {"path": root}
        root = root._replace(kind="mapping", content=written)
    below = root.content.get(key, Value("null", "", None, value.source))
    return root._replace(content={**root.content, key: _set(below, rest, value)})


def _without_lines(value: Value) -> Value:
    content = value.content
    if value.kind == "list":
        content = tuple(_without_lines(item) for item in content)
    elif value.kind == "mapping":
        content = {key: _without_lines(item) for key, item in content.items()}
    return value._replace(content=content, line=None)

"""YAML in; values that remember their file and line out.

Enters: YAML text. Leaves: a tree of ``Value`` and a list of ``Fault``: what PyYAML lets through
(a repeated key, of which the last would win) and what it refuses (tabs, half a document). Scalars
keep the text they were written in, so that ``2.10`` is not yet a number and a price is never a
float. Knows nothing of what the values are for.

Built on libyaml's events, not on composed nodes: half the time, no recursion, and aliases can be
bounded before they are expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import yaml

from finrag_eval.errors import Problem
from finrag_eval.spec.files import read_text, shown

Kind = Literal["text", "word", "number", "boolean", "null", "date", "list", "mapping"]

#: How deep values may nest, and how many values aliases may copy: far above any real file.
_DEEPEST = 60
_MOST_COPIED = 100_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9_]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_TRUE = frozenset({"true", "yes", "on"})
_KINDS: dict[str, Kind] = {
    "tag:yaml.org,2002:str": "word",
    "tag:yaml.org,2002:value": "word",
    "tag:yaml.org,2002:int": "number",
    "tag:yaml.org,2002:float": "number",
    "tag:yaml.org,2002:bool": "boolean",
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:timestamp": "date",
    "tag:yaml.org,2002:merge": "word",
}
_CONTAINERS = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "!"})


class Source(NamedTuple):
    """Where values come from. ``typed`` ones (on a command line) need no quotes to be text."""

    shown: str
    folder: Path
    typed: bool = False


class Value(NamedTuple):
    """A value as it was written.

    ``content`` is the text of a scalar, a tuple of values of a list, a dict of values of a
    mapping. ``text`` was quoted, a ``word`` was not. An entry of a mapping has the line of its key.
    """

    kind: Kind
    content: Any
    line: int | None
    source: Source

    @property
    def number(self) -> Decimal | None:
        """The number that was written, exactly; None where it is none, or is open to doubt.

        ``1e-6`` is a number here (YAML 1.1 reads it as text); ``010`` (eight or ten?), ``1:30``
        and ``.inf`` are none.
        """
        if self.kind not in ("number", "word") or not _NUMBER.fullmatch(self.content):
            return None
        return Decimal(self.content.replace("_", ""))

    @property
    def truth(self) -> bool | None:
        """The truth value that was written; None where it is none."""
        return self.content.lower() in _TRUE if self.kind == "boolean" else None


class Fault(NamedTuple):
    """A problem and the path of keys to the value that has it."""

    path: tuple[str, ...]
    problem: Problem


def read_yaml(path: Path, what: str, problems: list[Problem]) -> Value | None:
    """The mapping that a YAML file holds; None and problems where it holds none."""
    text = read_text(path, what, problems)
    if text is None:
        return None
    faults: list[Fault] = []
    value = load(text, Source(shown(path), path.absolute().parent), faults)
    problems.extend(fault.problem for fault in faults)
    return None if value is None else as_mapping(value, what, problems)


def dump_yaml(data: Any) -> str:
    """Plain data as YAML text, keys in their order."""
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return text


def as_mapping(value: Value, what: str, problems: list[Problem]) -> Value | None:
    """The value where it is a mapping; else None and a problem."""
    if value.kind == "mapping":
        return value
    said = "empty" if value.kind == "null" else f"{describe(value)}, not a mapping"
    fix = f"a {what} is a mapping of keys, each as 'key: value'"
    problems.append(Problem(file=value.source.shown, line=value.line, message=said, fix=fix))
    return None


def load(text: str, source: Source, faults: list[Fault]) -> Value | None:
    """The value of a YAML document; None and a fault where it cannot be read.

    An empty document is a null. Faults that leave a value readable (repeated keys) are added,
    too, and the first one written wins.
    """
    builder = _Builder(source, faults)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except _Unreadable as unreadable:
        faults.append(unreadable.fault)
        return None
    except yaml.MarkedYAMLError as error:
        faults.append(Fault(builder.path, _syntax_problem(error, text, source.shown)))
        return None
    except yaml.YAMLError as error:
        line = _line_at(text, getattr(error, "position", None))
        message = "holds a control character that YAML does not allow"
        faults.append(
            Fault((), Problem(file=source.shown, line=line, message=message, fix="remove it"))
        )
        return None
    return builder.root or Value("null", "", 1, source)


def of_plain(data: Any, source: Source) -> Value:
    """Plain data (as from JSON) as a value without lines. Text counts as quoted."""
    if isinstance(data, dict):
        entries = {str(key): of_plain(item, source) for key, item in data.items()}
        return Value("mapping", entries, None, source)
    if isinstance(data, list | tuple):
        return Value("list", tuple(of_plain(item, source) for item in data), None, source)
    if data is None:
        return Value("null", "", None, source)
    if isinstance(data, bool):
        return Value("boolean", str(data).lower(), None, source)
    if isinstance(data, int | float | Decimal):
        return Value("number", str(data), None, source)
    return Value("text", str(data), None, source)


def plain(value: Value) -> Any:
    """The value as plain data. Dates stay as written, and so do numbers open to doubt."""
    if value.kind == "mapping":
        return {key: plain(item) for key, item in value.content.items()}
    if value.kind == "list":
        return [plain(item) for item in value.content]
    if value.kind == "null":
        return None
    if value.kind == "boolean":
        return value.truth
    if value.number is not None:
        return plain_number(value.number)
    return value.content


def plain_number(number: Decimal) -> int | float:
    """The number as an int where it is whole and was written so, else as a float."""
    is_whole = number.as_tuple().exponent == 0
    return int(number) if is_whole else float(number)


def describe(value: Value) -> str:
    """What the value is, for a message: ``2.10 is read as the number 2.1``, less the verb."""
    if value.kind in ("list", "mapping"):
        return f"a {value.kind}"
    if value.kind == "null":
        return "empty"
    if value.kind == "boolean":
        return f"the boolean {str(value.truth).lower()}"
    if value.kind == "number":
        exact = value.number
        return f"the number {value.content if exact is None else plain_number(exact)}"
    return f"the text {_short(value.content)!r}"


def walk(value: Value, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Value]]:
    """Every value under this one with its path of keys, list positions as ``[0]``."""
    yield path, value
    if value.kind == "mapping":
        for key, item in value.content.items():
            yield from walk(item, (*path, key))
    elif value.kind == "list":
        for position, item in enumerate(value.content):
            yield from walk(item, (*path, f"[{position}]"))


def dotted(path: tuple[str, ...]) -> str:
    """A path of keys as messages show it: ``prompts[0].system``."""
    return "".join(part if part.startswith("[") else f".{part}" for part in path).lstrip(".")


class _Unreadable(Exception):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault


class _Frame:
    """A list or mapping that is still being read."""

    __slots__ = ("anchor", "items", "key", "key_line", "line", "merged", "size")

    def __init__(self, items: list[Value] | dict[str, Value], line: int, anchor: str | None):
        self.items = items
        self.line = line
        self.anchor = anchor
        self.key: str | None = None
        self.key_line = line
        self.merged: list[Value] = []
        self.size = 1


class _Builder:
    """Builds the value of a document from the parser's events."""

    def __init__(self, source: Source, faults: list[Fault]) -> None:
        self.root: Value | None = None
        self._source = source
        self._faults = faults
        self._frames: list[_Frame] = []
        self._anchors: dict[str, tuple[Value, int]] = {}
        self._copied = 0
        self._documents = 0

    @property
    def path(self) -> tuple[str, ...]:
        parts = []
        for frame in self._frames:
            if isinstance(frame.items, list):
                parts.append(f"[{len(frame.items)}]")
            elif frame.key is not None:
                parts.append(frame.key)
        return tuple(parts)

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            self._open(event, {})
        elif isinstance(event, yaml.SequenceStartEvent):
            self._open(event, [])
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._stop(event, "a second YAML document starts here", "keep one document a file")

    def _scalar(self, event: Any) -> None:
        line = event.start_mark.line + 1
        frame = self._frames[-1] if self._frames else None
        if frame is not None and isinstance(frame.items, dict) and frame.key is None:
            self._take_key(frame, event.value, line, event.anchor)
            return
        value = Value(self._kind(event), event.value, line, self._source)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        self._put(value, 1)

    def _kind(self, event: Any) -> Kind:
        if event.tag is None or event.tag == "!":
            return "text" if event.style else _implicit_kind(event.value)
        if event.tag not in _KINDS:
            self._stop(event, f"the tag {event.tag} is not supported", "write the plain value")
        kind = _KINDS[event.tag]
        return "text" if kind == "word" else kind

    def _take_key(self, frame: _Frame, key: str, line: int, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = (Value("text", key, line, self._source), 1)
        frame.key, frame.key_line = key, line

    def _open(self, event: Any, items: list[Value] | dict[str, Value]) -> None:
        line = event.start_mark.line + 1
        if event.tag is not None and event.tag not in _CONTAINERS:
            self._stop(event, f"the tag {event.tag} is not supported", "write the plain value")
        if len(self._frames) >= _DEEPEST:
            self._stop(event, f"nested deeper than {_DEEPEST} levels", "flatten it")
        if self._frames and isinstance(self._frames[-1].items, dict):
            if self._frames[-1].key is None:
                self._stop(event, "a key is a list or a mapping", "keys are text")
            line = self._frames[-1].key_line
        self._frames.append(_Frame(items, line, event.anchor))

    def _close(self) -> None:
        frame = self._frames.pop()
        if isinstance(frame.items, list):
            value = Value("list", tuple(frame.items), frame.line, self._source)
        else:
            for merged in frame.merged:
                for key, item in merged.content.items():
                    frame.items.setdefault(key, item)
            value = Value("mapping", frame.items, frame.line, self._source)
        if frame.anchor:
            self._anchors[frame.anchor] = (value, frame.size)
        self._put(value, frame.size)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            said = f"the alias *{event.anchor} names nothing that is complete before it"
            self._stop(event, said, f"write &{event.anchor} at an earlier value")
        value, size = self._anchors[event.anchor]
        frame = self._frames[-1]
        if isinstance(frame.items, dict) and frame.key is None:
            self._take_key(frame, str(value.content), event.start_mark.line + 1, None)
            return
        self._copied += size
        if self._copied > _MOST_COPIED:
            self._stop(event, f"aliases expand to over {_MOST_COPIED:,} values", "write fewer")
        self._put(value._replace(line=event.start_mark.line + 1), size)

    def _put(self, value: Value, size: int) -> None:
        if not self._frames:
            self.root = value
            return
        frame = self._frames[-1]
        frame.size += size
        if isinstance(frame.items, list):
            frame.items.append(value)
            return
        key, frame_key_line = frame.key, frame.key_line
        assert key is not None
        if key == "<<":
            frame.merged.extend(self._mergeable(value))
        elif key in frame.items:
            self._repeated(key, frame.items[key], frame_key_line)
        elif value.line == frame_key_line:
            frame.items[key] = value
        else:
            frame.items[key] = value._replace(line=frame_key_line)
        frame.key = None

    def _repeated(self, key: str, first: Value, line: int) -> None:
        said = f"the key '{key}' stands here a second time; the first is in line {first.line}"
        path = self.path
        problem = Problem(
            file=self._source.shown, line=line, key=dotted(path), message=said, fix="keep one"
        )
        self._faults.append(Fault(path, problem))

    def _mergeable(self, value: Value) -> list[Value]:
        parts = list(value.content) if value.kind == "list" else [value]
        if all(part.kind == "mapping" for part in parts):
            return parts
        self._faults.append(
            Fault(
                self.path,
                Problem(
                    file=self._source.shown,
                    line=value.line,
                    key=dotted(self.path),
                    message=f"<< merges mappings; this is {describe(value)}",
                    fix="name an anchored mapping: '<<: *name'",
                ),
            )
        )
        return []

    def _stop(self, event: Any, message: str, fix: str) -> NoReturn:
        line = event.start_mark.line + 1
        problem = Problem(
            file=self._source.shown,
            line=line,
            key=dotted(self.path[:6]) or None,
            message=message,
            fix=fix,
        )
        raise _Unreadable(Fault(self.path, problem))


_RESOLVERS: Any = yaml.SafeLoader.yaml_implicit_resolvers


def _implicit_kind(text: str) -> Kind:
    """What PyYAML would make of a word without quotes."""
    for tag, pattern in _RESOLVERS.get(text[:1], ()):
        if pattern.match(text):
            return _KINDS[tag]
    return "word"


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = None if mark is None else mark.line + 1
    written = text.splitlines()[mark.line] if mark and mark.line < text.count("\n") + 1 else ""
    said = error.problem or "unreadable"
    if "\t" in written[: len(written) - len(written.lstrip())] or "\\t" in said:
        message, fix = "a tab stands where YAML wants spaces", "indent with spaces"
    elif "mapping values are not allowed" in said:
        message, fix = "a second ': ' in one line", "quote the text that contains it"
    elif "cannot start any token" in said:
        message, fix = "text may not start with @, ` or %", "quote it"
    elif "alias" in said:
        message, fix = said, "define it with & first"
    else:
        message, fix = f"not readable as YAML: {said}", "check indentation, brackets and quotes"
    return Problem(file=file, line=line, message=message, fix=fix)


def _line_at(text: str, position: int | None) -> int | None:
    return None if position is None else text.count("\n", 0, position) + 1


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"

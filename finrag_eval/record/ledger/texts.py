"""Texts as the ledger keeps them: once per digest, compressed, or replaced by a marker.

Enters: Python text and JSON values. Leaves: bytes and digests, and the same text again.

zlib, because Python and the sqlite3 shell (``sqlar_uncompress``) both read it. Level 2: of passages
of 22 KB that follow each other in a filing it leaves 28.5 % of the bytes for 0.26 ms of CPU; level
4 leaves 26.3 % for 0.42 ms, level 6 25.5 % for 0.53 ms, and zstd, which the shell cannot read,
27.6 % for 0.10 ms; measured on 2 cores, 2026-11-28.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

_LEVEL = 2
#: Less memory than by default: that is mapped anew for each text, which takes 55 of the 75
#: microseconds of a result of 1.2 KB. No text of up to 22 KB grew by it (2026-11-29).
_MEMORY_LEVEL = 6
_KNOWN_DIGESTS = 65_536
_LONG_ENOUGH_TO_QUOTE = 16


def encoded(text: str) -> bytes:
    """UTF-8; lone surrogates, which hostile text may hold, survive."""
    return text.encode("utf-8", "surrogatepass")


def digest(raw: bytes) -> str:
    """The name of a text: BLAKE2b with 16 bytes, in hex."""
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


@lru_cache(maxsize=64)
def digest_and_size(text: str) -> tuple[str, int]:
    """The digest of a text and its bytes in UTF-8; the cells of a query share one context."""
    raw = encoded(text)
    return digest(raw), len(raw)


def pack(raw: bytes) -> bytes:
    """The bytes compressed, or as they are where that is not shorter (as in SQLite archives)."""
    packer = zlib.compressobj(_LEVEL, memLevel=_MEMORY_LEVEL)
    data = packer.compress(raw) + packer.flush()
    return data if len(data) < len(raw) else raw


def unpack(data: bytes, size: int) -> str:
    """The text that ``pack`` was given, whose UTF-8 had ``size`` bytes."""
    raw = data if len(data) == size else zlib.decompress(data)
    return raw.decode("utf-8", "surrogatepass")


class KnownTexts:
    """Digests of texts that are on disk or on their way there before whatever comes next.

    Bounded: a forgotten digest costs a compression and an insert that changes nothing.
    """

    def __init__(self, limit: int = _KNOWN_DIGESTS) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._known: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        with self._lock:
            if name not in self._known:
                return False
            self._known.move_to_end(name)
            return True

    def add(self, name: str) -> None:
        with self._lock:
            self._known[name] = None
            if len(self._known) > self.limit:
                self._known.popitem(last=False)


def column_text(text: str | None) -> str | None:
    """The text as an SQLite column takes it: lone surrogates are written as ``\\udc80``."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def strict_json(value: Any) -> str:
    """JSON that every reader takes: non-finite numbers become null, strangers their text."""
    try:
        return _STRICT.encode(value)
    except (ValueError, TypeError):
        return _STRICT.encode(_finite(value))


def exact_json(value: Any) -> str:
    """JSON that Python reads back exactly: NaN, infinities and any text included."""
    try:
        return _EXACT.encode(value)
    except (ValueError, TypeError):
        return _EXACT.encode(_with_text_keys(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return value.tolist()
    return str(value)


_STRICT = json.JSONEncoder(allow_nan=False, default=_plain, separators=(",", ":"))
_EXACT = json.JSONEncoder(ensure_ascii=False, default=_plain, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_text_keys(item) for item in value]
    return value


def marker(text: str) -> str:
    """What stands in the place of a text that must not stay."""
    return f"[redacted: {len(text)} characters, digest {digest(encoded(text))}]"


_MARKER = re.compile(r"\[redacted: \d+ characters, digest [0-9a-f]{32}\]")


def is_redacted(text: str) -> bool:
    """Whether this is the marker of a text that was not kept."""
    return _MARKER.fullmatch(text) is not None


def redacted(value: Any, secrets: Mapping[str, str]) -> Any:
    """``value`` with the texts under the keys of ``secrets`` replaced, at any depth.

    A text that quotes a whole secret of 16 characters or more is replaced, too.
    """
    if isinstance(value, str):
        return _without_quotes(value, secrets)
    if isinstance(value, Mapping):
        return {
            key: marker(item)
            if key in secrets and isinstance(item, str)
            else redacted(item, secrets)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(item, secrets) for item in value]
    return value


def _without_quotes(text: str, secrets: Mapping[str, str]) -> str:
    for secret in secrets.values():
        if len(secret) >= _LONG_ENOUGH_TO_QUOTE and secret in text:
            return marker(text)
    return text


def without_texts(value: Any) -> Any:
    """``value`` with every text replaced: explanations may quote what must not stay."""
    if isinstance(value, str):
        return marker(value)
    if isinstance(value, Mapping):
        return {key: without_texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_texts(item) for item in value]
    return value

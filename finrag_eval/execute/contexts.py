"""The context of each query, gathered once and shared by its cells.

Enters: query ids. Leaves: what was gathered, from memory where it can. Bounded; many threads may
ask for one query at once, and one of them gathers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from finrag_eval.turns import TURNS

T = TypeVar("T")

#: Trials come query by query, so that few contexts are live at a time; 512 of 25 KB are 13 MB.
KEPT_CONTEXTS = 512


class _Slot(Generic[T]):
    def __init__(self) -> None:
        self.lock = Lock()
        self.content: T | None = None


class SharedContexts(Generic[T]):
    """At most ``kept`` contexts, the longest unused forgotten first."""

    def __init__(self, kept: int = KEPT_CONTEXTS) -> None:
        self._kept = kept
        self._slots: OrderedDict[str, _Slot[T]] = OrderedDict()
        self._lock = Lock()

    def get(self, query_id: str, gather: Callable[[], T]) -> T:
        """The context of a query; an exception of ``gather`` is the caller's, and not kept."""
        with self._lock:
            slot = self._slots.get(query_id)
            if slot is None:
                slot = self._slots[query_id] = _Slot()
                if len(self._slots) > self._kept:
                    self._slots.popitem(last=False)
            else:
                self._slots.move_to_end(query_id)
        if not slot.lock.acquire(blocking=False):
            TURNS.give()  # whoever gathers may need it
            slot.lock.acquire()
        try:
            if slot.content is None:
                slot.content = gather()
            return slot.content
        finally:
            slot.lock.release()

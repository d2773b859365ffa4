"""Places for calls: how many trials may have a call under way, or an answer that is not safe yet.

A place is free again when the outcome is in the ledger's hands. Where trials are made ready ahead,
it is taken before the first call goes out, else when the trial is handed out. Made ready is: the
prompt assembled, the worst case reserved on disk; so a call follows at once when one is done.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, RLock

from finrag_eval.domain import ExecutionSpec

_ONE_AHEAD_OF = 8
_AHEAD_AT_MOST = 16
#: Paces change while one waits.
_LONGEST_NAP_S = 1.0


def trials_ahead(execution: ExecutionSpec) -> int:
    """How many trials may be made ready without a place: one for eight places, 16 at most."""
    return min(_AHEAD_AT_MOST, execution.concurrency // _ONE_AHEAD_OF)


@dataclass(slots=True, eq=False)
class _Waiting:
    model_key: str
    wake: Condition
    has_place: bool = False


class Places:
    """``count`` places, given in the order of asking; every method needs the gate's ``lock``.

    ``at_most`` says how many of them the trials of a model may have now.
    """

    def __init__(self, lock: RLock, count: int, at_most: Callable[[str], int]) -> None:
        self._lock, self._count, self._at_most = lock, count, at_most
        self._taken = 0
        #: How many were given back so far.
        self.freed = 0
        self._of_model: Counter[str] = Counter()
        self._line: deque[_Waiting] = deque()

    @property
    def waiting(self) -> int:
        """How many trials are ready and wait for a place."""
        return len(self._line)

    def of(self, model_key: str) -> int:
        """How many trials of a model have a place, safe and unsafe outcomes not counted."""
        return self._of_model[model_key]

    def take(self, model_key: str) -> None:
        """Take a place, whether there is one or not."""
        self._taken += 1
        self._of_model[model_key] += 1

    def wait(self, model_key: str, is_refused: Callable[[], bool]) -> bool:
        """Block until a place is taken (True), or until that is refused (False)."""
        if not self._line and self._is_open(model_key):
            self.take(model_key)
            return True
        one = _Waiting(model_key, Condition(self._lock))
        self._line.append(one)
        while True:
            self.let_in()
            if one.has_place:
                return True
            if is_refused():
                self._line.remove(one)
                return False
            one.wake.wait(_LONGEST_NAP_S)

    def let_in(self) -> None:
        """Give free places to those who wait; to be called whenever one may have become free."""
        if not self._line or self._taken >= self._count:
            return
        for one in list(self._line):
            if self._is_open(one.model_key):
                self._line.remove(one)
                self.take(one.model_key)
                one.has_place = True
                one.wake.notify()

    def leave(self, model_key: str) -> None:
        """A trial of the model is done; its place stays taken until ``free``."""
        self._of_model[model_key] -= 1

    def free(self) -> None:
        """What held a place is safe, or was given back."""
        self._taken -= 1
        self.freed += 1

    def wake_all(self) -> None:
        """Have everyone who waits ask again whether it is refused."""
        for one in self._line:
            one.wake.notify()

    def _is_open(self, model_key: str) -> bool:
        return self._taken < self._count and self._of_model[model_key] < self._at_most(model_key)

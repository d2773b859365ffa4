"""May the next call start? Caps in USD that hold at every moment, whatever is in flight.

Enters: worst cases before calls, true costs after. Leaves: permission, or none. Source: METHODS,
"The budget is a bound, not a wish". Knows no clock, no disk and no vendor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from threading import Lock

from finrag_eval.domain import BudgetSpec

_EXACT = Context(prec=60)
_NOTHING = Decimal(0)


@dataclass(slots=True)
class _Account:
    """What one cap has to bear: ``cap`` None is no cap."""

    cap: Decimal | None
    spent: Decimal = _NOTHING
    reserved: Decimal = _NOTHING

    def bears(self, usd: Decimal) -> bool:
        if self.cap is None:
            return True
        taken = _EXACT.add(self.spent, self.reserved)
        return _EXACT.add(taken, usd) <= self.cap

    def could_bear(self, usd: Decimal) -> bool:
        """Whether it would fit if every reservation came back free."""
        return self.cap is None or _EXACT.add(self.spent, usd) <= self.cap


class Budget:
    """Reservations of worst cases against a total cap, caps per model and caps per cell.

    ``spent + reserved <= cap`` holds for every cap after every call, provided that no call costs
    more than its reservation; ``settle`` says so where one does. ``on_warning(spent, cap)`` is
    called once, when ``warn_at`` of the total cap is spent. All methods are thread-safe.
    """

    def __init__(
        self,
        spec: BudgetSpec,
        *,
        spent: Decimal = _NOTHING,
        spent_per_model: Mapping[str, Decimal] | None = None,
        spent_per_cell: Mapping[str, Decimal] | None = None,
        on_warning: Callable[[Decimal, Decimal], None] | None = None,
    ) -> None:
        self._lock = Lock()
        self._total = _Account(spec.max_usd, spent)
        self._models = _accounts(spec.per_model, spent_per_model or {})
        self._cells = _accounts(spec.per_cell, spent_per_cell or {})
        self._open: dict[int, tuple[tuple[_Account, ...], Decimal]] = {}
        self._last = 0
        self._warn_usd = None if spec.max_usd is None else spec.max_usd * Decimal(str(spec.warn_at))
        self._on_warning = on_warning

    @property
    def spent(self) -> Decimal:
        """USD billed so far, wasted attempts included."""
        return self._total.spent

    @property
    def reserved(self) -> Decimal:
        """USD that calls in flight may still cost."""
        return self._total.reserved

    @property
    def left(self) -> Decimal | None:
        """USD neither spent nor reserved under the total cap; None without one."""
        total = self._total
        if total.cap is None:
            return None
        with self._lock:
            return _EXACT.subtract(total.cap, _EXACT.add(total.spent, total.reserved))

    @property
    def in_flight(self) -> int:
        """How many reservations are not settled yet."""
        return len(self._open)

    def reserve(self, model_key: str, cell: str, usd: Decimal) -> int | None:
        """The number of a new reservation; None where it would pass a cap."""
        with self._lock:
            accounts = self._accounts(model_key, cell)
            if not all(account.bears(usd) for account in accounts):
                return None
            return self._take(accounts, usd)

    def adopt(self, model_key: str, cell: str, usd: Decimal) -> int:
        """The number of a reservation of an earlier session: it counts, whether it fits or not."""
        with self._lock:
            return self._take(self._accounts(model_key, cell), usd)

    def settle(self, reservation: int, billed: Decimal) -> bool:
        """Put the true cost in the reservation's place; False where it was more than reserved.

        The truth is counted either way: what was billed is spent.
        """
        with self._lock:
            accounts, usd = self._open.pop(reservation)
            for account in accounts:
                account.reserved = _EXACT.subtract(account.reserved, usd)
                account.spent = _EXACT.add(account.spent, billed)
            warning = self._due_warning()
        if warning is not None and self._on_warning is not None:
            self._on_warning(*warning)
        return billed <= usd

    def fits(self, model_key: str, cell: str, usd: Decimal) -> bool:
        """Whether a reservation of that size would be granted now."""
        with self._lock:
            return all(account.bears(usd) for account in self._accounts(model_key, cell))

    def could_fit(self, model_key: str, cell: str, usd: Decimal) -> bool:
        """Whether it would be granted if all calls in flight turned out free: False is for good."""
        with self._lock:
            return all(account.could_bear(usd) for account in self._accounts(model_key, cell))

    def _take(self, accounts: tuple[_Account, ...], usd: Decimal) -> int:
        for account in accounts:
            account.reserved = _EXACT.add(account.reserved, usd)
        self._last += 1
        self._open[self._last] = (accounts, usd)
        return self._last

    def _accounts(self, model_key: str, cell: str) -> tuple[_Account, ...]:
        model = self._models.setdefault(model_key, _Account(None))
        return self._total, model, self._cells.setdefault(cell, _Account(None))

    def _due_warning(self) -> tuple[Decimal, Decimal] | None:
        cap = self._total.cap
        if cap is None or self._warn_usd is None or self._total.spent < self._warn_usd:
            return None
        self._warn_usd = None
        return self._total.spent, cap


def _accounts(caps: Mapping[str, Decimal], spent: Mapping[str, Decimal]) -> dict[str, _Account]:
    names: Iterable[str] = {*caps, *spent}
    return {name: _Account(caps.get(name), spent.get(name, _NOTHING)) for name in names}

"""Caps hold at every moment, in any order."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from finrag_eval.domain import BudgetSpec
from finrag_eval.execute.budget import Budget

usd = st.decimals(min_value=0, max_value=3, places=9)
names = st.sampled_from(["a", "b", "c"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), names, names, usd),
        st.tuples(st.just("settle"), st.integers(0, 50), st.fractions(0, 1)),
    ),
    max_size=60,
)


@given(
    steps=steps,
    cap=usd,
    per_model=st.dictionaries(names, usd),
    per_cell=st.dictionaries(names, usd),
    before=usd,
)
def test_no_cap_is_ever_passed(
    steps: list[tuple[object, ...]],
    cap: Decimal,
    per_model: dict[str, Decimal],
    per_cell: dict[str, Decimal],
    before: Decimal,
) -> None:
    spent_before = min(cap, before)
    budget = Budget(
        BudgetSpec(max_usd=cap, per_model=per_model, per_cell=per_cell), spent=spent_before
    )
    open_calls: list[tuple[int, str, str, Decimal]] = []
    spent: list[tuple[str, str, Decimal]] = []

    def total(model: str | None = None, cell: str | None = None) -> Decimal:
        amounts = [(m, c, u) for _, m, c, u in open_calls] + spent
        return sum(
            (u for m, c, u in amounts if model in (None, m) and cell in (None, c)), Decimal(0)
        )

    for step in steps:
        if step[0] == "reserve":
            _, model, cell, amount = step
            could, fits = budget.could_fit(model, cell, amount), budget.fits(model, cell, amount)
            number = budget.reserve(model, cell, amount)
            assert fits == (number is not None)
            assert could or not fits
            if number is not None:
                open_calls.append((number, model, cell, amount))
        elif open_calls:
            number, model, cell, amount = open_calls.pop(int(step[1]) % len(open_calls))
            share = step[2]
            billed = amount * Decimal(share.numerator) / Decimal(share.denominator)
            billed = billed.quantize(Decimal("1e-12"), rounding="ROUND_DOWN")
            assert budget.settle(number, billed)
            spent.append((model, cell, billed))
        assert spent_before + total() == budget.spent + budget.reserved <= cap
        assert all(total(model=name) <= most for name, most in per_model.items())
        assert all(total(cell=name) <= most for name, most in per_cell.items())
        assert budget.in_flight == len(open_calls)


@given(amounts=st.lists(usd, min_size=1, max_size=30), cap=usd)
def test_what_does_not_fit_now_fits_when_calls_turn_out_cheap(
    amounts: list[Decimal], cap: Decimal
) -> None:
    budget = Budget(BudgetSpec(max_usd=cap))
    numbers = [budget.reserve("m", "c", amount) for amount in amounts]
    for number in numbers:
        if number is not None:
            budget.settle(number, Decimal(0))
    assert budget.left == cap
    assert all(budget.fits("m", "c", amount) == (amount <= cap) for amount in amounts)


def test_the_warning_comes_once_when_its_share_is_spent() -> None:
    told: list[tuple[Decimal, Decimal]] = []
    budget = Budget(
        BudgetSpec(max_usd=Decimal(10), warn_at=0.8), on_warning=lambda *said: told.append(said)
    )
    for billed in ("7.9", "0.1", "1"):
        number = budget.reserve("m", "c", Decimal(billed))
        assert number is not None
        budget.settle(number, Decimal(billed))
    assert told == [(Decimal("8.0"), Decimal(10))]


def test_a_call_that_costs_more_than_its_worst_case_is_counted_and_said() -> None:
    budget = Budget(BudgetSpec(max_usd=Decimal(1)))
    number = budget.reserve("m", "c", Decimal("0.5"))
    assert number is not None
    assert not budget.settle(number, Decimal("0.75"))
    assert budget.spent == Decimal("0.75")


def test_without_a_cap_everything_fits() -> None:
    budget = Budget(BudgetSpec())
    assert budget.reserve("m", "c", Decimal(10) ** 9) is not None
    assert budget.left is None


def test_sums_are_exact() -> None:
    budget = Budget(BudgetSpec(max_usd=Decimal(1)))
    for _ in range(1000):
        number = budget.reserve("m", "c", Decimal("0.001"))
        assert number is not None
        budget.settle(number, Decimal("0.001"))
    assert budget.spent == 1
    assert budget.reserve("m", "c", Decimal("1e-12")) is None

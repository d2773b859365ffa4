"""Every cent that was billed is in the books once, whatever died in between."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_parts import (
    NUMERIC,
    a_cell,
    a_failure,
    a_ledger,
    an_outcome,
    answer,
    begin,
    settle_all,
    some_queries,
)

from finrag_eval.domain import Purpose, Trial
from finrag_eval.money import exact_sum
from finrag_eval.record.ledger import NEVER_SETTLED, Ledger, LedgerReader

CELL = a_cell().name


def reserve(ledger: Ledger, trial: Trial | None, usd: str, purpose: Purpose = "target") -> int:
    return ledger.reserve(
        trial_key=trial.key if trial else None,
        cell=trial.cell if trial else None,
        model_key="fast",
        purpose=purpose,
        usd=Decimal(usd),
    )


def paid_in_records(folder: Path) -> Decimal:
    """The sum of a sweep's four kinds of cost over its final records."""
    with LedgerReader.open(folder) as reader:
        return exact_sum(
            amount
            for record in reader.final_records()
            for amount in (
                record.cost_usd or Decimal(0),
                record.wasted_usd,
                record.judge_cost_usd,
                record.retrieval_cost_usd,
            )
        )


def test_spent_is_what_was_settled_by_model_and_by_cell(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        first, second = begin(ledger, [a_cell()], some_queries(2))
        ledger.settle(reserve(ledger, first, "1"), billed_usd=Decimal("0.1"), state="kept")
        ledger.settle(
            reserve(ledger, second, "1"),
            billed_usd=Decimal("0.2"),
            state="wasted",
            error_type="ReadTimeout",
        )
        ledger.settle(reserve(ledger, second, "1"), billed_usd=Decimal(0), state="free")
        ledger.settle(
            reserve(ledger, None, "1", "retrieval"), billed_usd=Decimal("0.003"), state="kept"
        )
        reserve(ledger, first, "5")
        spent = ledger.spent()
    assert spent.total == Decimal("0.303")
    assert spent.per_model == {"fast": Decimal("0.303")}
    assert spent.per_cell == {CELL: Decimal("0.3")}
    assert spent.wasted == Decimal("0.2")


def test_calls_that_a_dead_session_left_open_count_at_their_worst_case(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        first, second = begin(ledger, [a_cell()], some_queries(2))
        reserve(ledger, first, "0.7")
        answer(ledger, second)
        settle_all(ledger)
    with Ledger.open(ledger.folder) as again:
        assert again.spent().total == Decimal("0.95")
        assert again.spent().wasted == Decimal("0.7")
    with LedgerReader.open(ledger.folder) as reader:
        (session,) = reader.sessions()
        open_once = next(total for total in reader.attempts() if total.state == "wasted")
    assert (session.status, session.ended_at, session.exit_code) == ("interrupted", None, None)
    assert (open_once.error_type, open_once.attempts) == (NEVER_SETTLED, 1)


def test_opening_again_and_again_counts_nothing_twice(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        reserve(ledger, trial, "0.7")
    for _ in range(3):
        with Ledger.open(ledger.folder) as again:
            assert again.spent().total == Decimal("0.7")


def test_a_call_left_open_by_a_session_that_ended_counts_too(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        reserve(ledger, trial, "0.7")
        ledger.end_session("interrupted", 130)
        assert ledger.spent().wasted == Decimal("0.7")


def test_what_a_killed_call_cost_is_added_to_its_trial(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        reserve(ledger, trial, "0.7")
    with Ledger.open(ledger.folder) as again:
        begin(again, [a_cell()], some_queries(1))
        answer(again, trial)
        again.flush()
        again.end_session("completed", 0)
        assert again.spent().total == Decimal("0.95")
    with LedgerReader.open(ledger.folder) as reader:
        (record,) = reader.records()
    assert (record.cost_usd, record.wasted_usd) == (Decimal("0.25"), Decimal("0.7"))


def test_an_answer_that_died_before_it_was_written_is_wasted(tmp_path: Path) -> None:
    """Settled as kept, then killed: it is paid again, and the first one came to nothing."""
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        ledger.settle(reserve(ledger, trial, "0.7"), billed_usd=Decimal("0.3"), state="kept")
    with Ledger.open(ledger.folder) as again:
        begin(again, [a_cell()], some_queries(1))
        assert again.spent().wasted == Decimal("0.3")
        answer(again, trial)
        settle_all(again)
        assert again.spent().total == Decimal("0.55") == paid_in_records(again.folder)


def test_a_judge_whose_verdict_died_is_wasted_by_its_trial(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        attempt = reserve(ledger, trial, "0.5")
        ledger.settle(attempt, billed_usd=Decimal("0.25"), state="kept")
        ledger.append_outcome(an_outcome(trial))
        judge = reserve(ledger, trial, "0.1", "judge")
        ledger.settle(judge, billed_usd=Decimal("0.04"), state="kept")
    with Ledger.open(ledger.folder) as again:
        begin(again, [a_cell()], some_queries(1))
        judge = reserve(again, trial, "0.1", "judge")
        again.settle(judge, billed_usd=Decimal("0.05"), state="kept")
        again.append_scores(1, NUMERIC, Decimal("0.05"))
        again.flush()
        assert again.spent().total == Decimal("0.34") == paid_in_records(again.folder)
    with LedgerReader.open(ledger.folder) as reader:
        (record,) = reader.final_records()
    assert (record.judge_cost_usd, record.wasted_usd) == (Decimal("0.05"), Decimal("0.04"))


def test_a_failed_trial_that_is_run_again_carries_its_first_cost(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        ledger.settle(reserve(ledger, trial, "0.5"), billed_usd=Decimal("0.5"), state="wasted")
        ledger.append_outcome(
            a_failure(trial, wasted="0.5"), lambda outcome: ledger.append_scores(outcome, ())
        )
        settle_all(ledger)
        ledger.end_session("partial", 0)
    with Ledger.open(ledger.folder) as again:
        begin(again, [a_cell()], some_queries(1))
        answer(again, trial)
        settle_all(again)
        assert again.spent().total == Decimal("0.75") == paid_in_records(again.folder)
    with LedgerReader.open(ledger.folder) as reader:
        assert reader.columns()["wasted_usd"] == [Decimal("0.5")]


def test_judges_of_every_scoring_add_up(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        ledger.append_outcome(an_outcome(trial))
        ledger.append_scores(1, NUMERIC, Decimal("0.01"))
        ledger.append_scores(1, NUMERIC, Decimal("0.02"))
        ledger.flush()
        with LedgerReader.open(ledger.folder) as reader:
            (record,) = reader.final_records()
            assert reader.columns()["judge_cost_usd"] == [Decimal("0.03")]
    assert (record.judge_cost_usd, record.scores_id) == (Decimal("0.03"), 2)


def test_prices_of_a_record_are_those_of_its_session(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        old, new = begin(ledger, [a_cell()], some_queries(2))
        answer(ledger, old)
        settle_all(ledger)
        ledger.end_session("interrupted", 130)
    dearer = a_cell(input_price="0.002")
    with Ledger.open(ledger.folder) as again:
        begin(again, [dearer], some_queries(2))
        answer(again, new)
        settle_all(again)
    with LedgerReader.open(ledger.folder) as reader:
        prices = [record.prices for record in reader.final_records()]
        assert reader.cells() == (dearer,)
        assert reader.cell_of(1) == a_cell()
        assert reader.cell_of(2) == dearer
    assert prices == [a_cell().model.prices, dearer.model.prices]


class Sweeping:
    """A sweep's sessions as they go in life: a trial is answered and scored once in each."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "sweep-1"
        self.ledger = a_ledger(root)
        self.outcome_ids: dict[str, int] = {}
        self.begin()

    def begin(self) -> None:
        self.trials = begin(self.ledger, [a_cell()], some_queries(4))
        self.paid: dict[tuple[str, Purpose], list[Decimal]] = defaultdict(list)
        self.ended: set[tuple[str, Purpose]] = set()

    def die(self) -> None:
        self.ledger.close()
        self.ledger = Ledger.open(self.folder)
        self.begin()

    def call(self, trial: Trial, purpose: Purpose, usd: Decimal, *, settled: bool) -> None:
        if (trial.key, purpose) in self.ended:
            return
        attempt = reserve(self.ledger, trial, f"{usd:f}", purpose)
        if settled:
            self.ledger.settle(attempt, billed_usd=usd, state="kept")
            self.paid[trial.key, purpose].append(usd)

    def end(self, trial: Trial, *, failed: bool) -> None:
        if (trial.key, "target") in self.ended:
            return
        self.ended.add((trial.key, "target"))
        *lost, kept = self.paid[trial.key, "target"] or [Decimal(0)]
        wasted = exact_sum(lost)
        outcome = (
            a_failure(trial, wasted=f"{wasted + kept:f}")
            if failed
            else an_outcome(trial, cost=f"{kept:f}", wasted=f"{wasted:f}")
        )
        ids = self.outcome_ids
        self.ledger.append_outcome(outcome, lambda found: ids.update({trial.key: found}))
        self.ledger.flush()

    def score(self, trial: Trial) -> None:
        if trial.key in self.outcome_ids and (trial.key, "judge") not in self.ended:
            self.ended.add((trial.key, "judge"))
            judged = exact_sum(self.paid[trial.key, "judge"])
            self.ledger.append_scores(self.outcome_ids[trial.key], NUMERIC, judged)


STEPS = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=3),
        st.sampled_from(["call", "open", "answer", "fail", "judge", "open judge", "score", "die"]),
        st.decimals(min_value="0.000001", max_value=5, places=9),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(steps=STEPS)
def test_spent_equals_the_records_after_any_mixture_of_deaths(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str, Decimal]]
) -> None:
    """Once every trial has been answered, its records hold every cent that the books hold."""
    sweeping = Sweeping(tmp_path_factory.mktemp("books"))
    for number, kind, usd in steps:
        trial = sweeping.trials[number]
        match kind:
            case "die":
                sweeping.die()
            case "call" | "open":
                sweeping.call(trial, "target", usd, settled=kind == "call")
            case "judge" | "open judge":
                sweeping.call(trial, "judge", usd, settled=kind == "judge")
            case "answer" | "fail":
                sweeping.end(trial, failed=kind == "fail")
            case "score":
                sweeping.score(trial)
    sweeping.die()
    for trial in sweeping.trials:
        sweeping.call(trial, "target", Decimal(1), settled=True)
        sweeping.end(trial, failed=False)
    sweeping.ledger.end_session("completed", 0)
    sweeping.ledger.close()
    with LedgerReader.open(sweeping.folder) as reader:
        assert reader.spent().total == paid_in_records(sweeping.folder)

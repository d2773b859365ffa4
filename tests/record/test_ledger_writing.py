"""What is written is there, exactly, and in the order it was written."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_parts import (
    NUMERIC,
    a_cell,
    a_failure,
    a_ledger,
    a_query_set,
    a_result,
    an_outcome,
    answer,
    begin,
    settle_all,
    some_queries,
)

from finrag_eval.domain import Score, Trial
from finrag_eval.errors import LedgerUnwritable
from finrag_eval.record.ledger import Ledger, LedgerReader

ANY_TEXT = st.text(st.characters(codec=None), max_size=60)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
AMOUNTS = st.decimals(min_value=0, max_value=1000, places=12)


def test_an_outcome_comes_back_with_every_figure(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        answer(ledger, trial)
        settle_all(ledger)
    with LedgerReader.open(ledger.folder) as reader:
        (record,) = reader.records()
    assert record.trial == trial
    assert record.status == "success"
    assert (record.input_tokens, record.output_tokens, record.cache_read_tokens) == (10, 5, 3)
    assert record.cost_usd == Decimal("0.25")
    assert (record.kpi_matches_count, record.rag_chunks_count) == (2, 8)
    assert (record.tickers, record.years) == (("NVDA", "MSFT"), (2019, 2020))
    assert record.context_length_chars == len("Revenue was 10,918.")
    assert record.answer_length_chars == len("USD 10.9 billion")
    assert record.latency_retrieval_seconds is None
    assert record.scores == NUMERIC
    assert record.prices == a_cell().model.prices


def test_a_failure_keeps_its_reason_and_knows_no_cost(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        ledger.append_outcome(a_failure(trial, wasted="0.5"))
        ledger.flush()
    with LedgerReader.open(ledger.folder) as reader:
        (record,) = reader.final_records()
        assert reader.traceback(record.outcome_id) == "Traceback: here"
    assert record.status == "failed"
    assert (record.error_type, record.error_message) == ("ThrottlingException", "slow down")
    assert (record.stage, record.retries) == ("llm_invocation", 5)
    assert record.cost_usd is None
    assert record.input_tokens is None
    assert record.kpi_matches_count is None
    assert record.wasted_usd == Decimal("0.5")


@given(answer_text=ANY_TEXT, context=ANY_TEXT, extra=ANY_JSON, message=ANY_TEXT, cost=AMOUNTS)
def test_any_result_is_restored_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    answer_text: str,
    context: str,
    extra: object,
    message: str,
    cost: Decimal,
) -> None:
    result = {**a_result(answer_text, context), "extra": extra}
    with a_ledger(tmp_path_factory.mktemp("any")) as ledger:
        first, second = begin(ledger, [a_cell()], some_queries(2))
        ledger.append_outcome(an_outcome(first, result=result, cost=str(cost)))
        ledger.append_outcome(a_failure(second, message=message))
        ledger.flush()
        with LedgerReader.open(ledger.folder) as reader:
            assert reader.result(1) == result
            assert list(reader.result(1)) == list(result)
            assert reader.record(1).cost_usd == cost
            assert reader.result(2)["error"] == message


def test_a_result_of_nonsense_is_kept_and_gives_no_figures(tmp_path: Path) -> None:
    result = {
        "answer": 42,
        "context": ["not", "text"],
        "metadata": {"retrieval": {"kpi_count": 10**30, "tickers": "NVDA", "years": [True]}},
        7: {1, 2},
    }
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        ledger.append_outcome(an_outcome(trial, result=result))
        ledger.flush()
        with LedgerReader.open(ledger.folder) as reader:
            record = reader.record(1)
            assert reader.result(1)["7"] == [1, 2]
            assert reader.result(1)["context"] == ["not", "text"]
    assert record.answer_length_chars is None
    assert record.kpi_matches_count is None
    assert record.tickers == ()
    assert record.years == ()


def test_a_context_that_cells_share_is_stored_once(tmp_path: Path) -> None:
    context = "the same words for every cell " * 500
    cells = [a_cell(f"model{number}") for number in range(8)]
    with a_ledger(tmp_path) as ledger:
        for trial in begin(ledger, cells, some_queries(1)):
            ledger.append_outcome(an_outcome(trial, result=a_result(context=context)))
        ledger.flush()
        with LedgerReader.open(ledger.folder) as reader:
            stored = reader._connection.execute(
                "SELECT count(*) FROM texts WHERE bytes = ?", (len(context),)
            ).fetchone()
            assert {reader.result(outcome)["context"] for outcome in range(1, 9)} == {context}
    assert stored == (1,)


def test_a_text_stored_by_an_earlier_session_is_not_compressed_again(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        ledger.append_outcome(an_outcome(trial))
        ledger.flush()
    with Ledger.open(ledger.folder) as again:
        begin(again, [a_cell()], some_queries(1))
        again.append_outcome(an_outcome(trial))
        again.flush()
        with LedgerReader.open(again.folder) as reader:
            assert reader.result(1) == reader.result(2) == a_result()


def test_a_reservation_is_on_disk_when_it_returns(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger, LedgerReader.open(ledger.folder) as reader:
        begin(ledger, [a_cell()], some_queries(1))
        attempt = ledger.reserve(
            trial_key="k", cell="c", model_key="fast", purpose="judge", usd=Decimal("0.123")
        )
        (row,) = reader.attempt_rows()
    assert (row["attempt"], row["state"], row["reserved_usd"]) == (attempt, "open", "0.123")
    assert (row["purpose"], row["billed_usd"]) == ("judge", None)


def test_a_settlement_is_on_disk_before_any_later_reservation(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger, LedgerReader.open(ledger.folder) as reader:
        begin(ledger, [a_cell()], some_queries(1))
        for number in range(20):
            first = ledger.reserve(
                trial_key=f"{number}", cell=None, model_key="m", purpose="target", usd=Decimal(1)
            )
            ledger.settle(first, billed_usd=Decimal("0.5"), state="kept")
            ledger.reserve(
                trial_key=None, cell=None, model_key="m", purpose="retrieval", usd=Decimal(1)
            )
            states = {row["attempt"]: row["state"] for row in reader.attempt_rows()}
            assert states[first] == "kept"


def test_callbacks_run_in_the_order_of_the_outcomes(tmp_path: Path) -> None:
    seen: list[int] = []
    with a_ledger(tmp_path) as ledger:
        for trial in begin(ledger, [a_cell()], some_queries(200)):
            ledger.append_outcome(an_outcome(trial), seen.append)
        ledger.flush()
        assert seen == list(range(1, 201))


def test_threads_share_transactions(tmp_path: Path) -> None:
    """Sixteen threads that wait for the disk need far fewer commits than one for each write."""
    commits: list[str] = []
    with a_ledger(tmp_path) as ledger:
        trials: Iterator[Trial] = iter(begin(ledger, [a_cell()], some_queries(320)))
        ledger._writer._connection.set_trace_callback(
            lambda statement: commits.append(statement) if statement == "COMMIT" else None
        )
        taking = threading.Lock()

        def work() -> None:
            while True:
                with taking:
                    trial = next(trials, None)
                if trial is None:
                    return
                answer(ledger, trial)

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        settle_all(ledger)
        assert ledger.spent().total == Decimal("0.25") * 320
    assert len(commits) < 320 * 4 / 2


def test_a_callback_that_breaks_is_told_and_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: int) -> None:
        raise ZeroDivisionError

    with a_ledger(tmp_path) as ledger, caplog.at_level(logging.ERROR):
        first, second = begin(ledger, [a_cell()], some_queries(2))
        ledger.append_outcome(an_outcome(first), broken)
        answer(ledger, second)
        settle_all(ledger)
        assert len(ledger.answers()) == 2
    assert "what follows a write" in caplog.text


def test_a_callback_cannot_wait_for_its_own_thread(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        ledger.append_outcome(an_outcome(trial), lambda _: ledger.flush())
        ledger.flush()
    assert "the ledger's own thread cannot wait for itself" in caplog.text


def test_a_plan_that_breaks_while_it_is_read_changes_nothing(tmp_path: Path) -> None:
    def trials() -> Iterator[Trial]:
        yield Trial(key="new", cell="fast.v1-v1", query_id="q0")
        raise ValueError("no more")

    with a_ledger(tmp_path) as ledger:
        begin(ledger, [a_cell()], some_queries(3))
        with pytest.raises(ValueError, match="no more"):
            ledger.store_plan(
                cells=[a_cell("other")], query_set=a_query_set(some_queries(1)), trials=trials()
            )
        with LedgerReader.open(ledger.folder) as reader:
            assert reader.counts().planned == 3
            assert [cell.model.key for cell in reader.cells()] == ["fast"]
        answer(ledger, Trial(key="k", cell="fast.v1-v1", query_id="q0"))
        ledger.flush()


def test_a_plan_with_a_key_twice_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        with pytest.raises(sqlite3.IntegrityError, match=r"planned\.trial_key"):
            ledger.store_plan(
                cells=[a_cell()], query_set=a_query_set(some_queries(1)), trials=[trial, trial]
            )
        answer(ledger, trial)
        settle_all(ledger)


def test_nothing_is_written_without_a_session(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger, pytest.raises(RuntimeError, match="no session was begun"):
        ledger.append_scores(1, NUMERIC)


def test_a_closed_ledger_takes_nothing(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    begin(ledger, [a_cell()], some_queries(1))
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerUnwritable, match="it was closed"):
        ledger.flush()


def test_closing_writes_what_is_queued(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        for trial in begin(ledger, [a_cell()], some_queries(50)):
            answer(ledger, trial)
    with LedgerReader.open(ledger.folder) as reader:
        assert len(list(reader.records())) == 50


def test_a_folder_that_has_a_ledger_gets_no_second_one(tmp_path: Path) -> None:
    a_ledger(tmp_path).close()
    with pytest.raises(FileExistsError):
        a_ledger(tmp_path)
    Ledger.open(tmp_path / "sweep-1").close()


def test_a_score_that_is_no_number_is_an_error_of_its_scorer(tmp_path: Path) -> None:
    scores = (
        Score(name="nan", value=float("nan")),
        Score(name="told", unscored="no reference answer"),
        Score(name="broke", error="KeyError"),
        Score(
            name="judge",
            value=0.5,
            explanation={"reason": "half", "raw": float("inf")},
            cost_usd=Decimal("0.001"),
        ),
    )
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        answer(ledger, trial, scores=scores)
        settle_all(ledger)
        with LedgerReader.open(ledger.folder) as reader:
            (record,) = reader.records()
    assert record.scores == (
        Score(name="nan", error="the scorer gave nan"),
        scores[1],
        scores[2],
        Score(
            name="judge",
            value=0.5,
            explanation={"reason": "half", "raw": None},
            cost_usd=Decimal("0.001"),
        ),
    )

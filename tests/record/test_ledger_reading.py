"""A reader sees whole records in their order, whatever the writer is doing or has done."""

from __future__ import annotations

import os
import shutil
import stat
import tracemalloc
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_parts import (
    NUMERIC,
    a_cell,
    a_failure,
    a_ledger,
    a_query_set,
    a_result,
    all_trials,
    an_outcome,
    answer,
    begin,
    child,
    output_of,
    settle_all,
    some_queries,
)

from finrag_eval.domain import PromptVersion, Query, Score, Trial
from finrag_eval.record.ledger import LEDGER_FILE, Ledger, LedgerReader

FOLLOW = """
import sys
from pathlib import Path
from finrag_eval.record.ledger import LedgerReader

wanted, last = int(sys.argv[2]), 0
with LedgerReader.open(Path(sys.argv[1])) as reader:
    print("following", flush=True)
    while last < wanted:
        for record in reader.records(last, limit=7):
            assert record.scores_id == last + 1
            assert reader.result(record.outcome_id)["answer"] == record.trial.query_id
            last = record.scores_id
print("saw all", last)
"""

READ_AS_NOBODY = """
import os, sys
from pathlib import Path
from finrag_eval.record.ledger import LedgerReader
os.setgid(65534), os.setuid(65534)
with LedgerReader.open(Path(sys.argv[1])) as reader:
    print(len(list(reader.records())), reader.result(1)["answer"])
"""


def readable_by_all(folder: Path) -> None:
    for path in (folder, *folder.parents):
        if path.name.startswith(("pytest-", "test_", "sweep", "image")):
            path.chmod(path.stat().st_mode | stat.S_IROTH | stat.S_IXOTH)


def test_another_process_follows_while_the_writer_writes(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        trials = begin(ledger, [a_cell()], some_queries(300))
        following = child(FOLLOW, str(ledger.folder), "300")
        assert following.stdout is not None
        assert following.stdout.readline() == "following\n"
        for trial in trials:
            answer(ledger, trial, outcome=an_outcome(trial, result=a_result(trial.query_id)))
        settle_all(ledger)
        assert output_of(following) == "saw all 300\n"


def test_a_page_in_the_middle_of_reading_does_not_hold_up_the_writer(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        for trial in begin(ledger, [a_cell()], some_queries(1_500)):
            ledger.append_outcome(
                an_outcome(trial), lambda found: ledger.append_scores(found, NUMERIC)
            )
        settle_all(ledger)
        with LedgerReader.open(ledger.folder) as reader:
            reading = reader.records()
            next(reading)
            busy, _, _ = ledger._writer._connection.execute(
                "PRAGMA wal_checkpoint(TRUNCATE)"
            ).fetchone()
            assert busy == 0
            assert sum(1 for _ in reading) == 1_499


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root's rights to be refused")
@pytest.mark.parametrize("state", ["closed", "being written", "died", "died, memory lost"])
def test_a_folder_that_cannot_be_written_can_be_read(tmp_path: Path, state: str) -> None:
    with a_ledger(tmp_path) as ledger:
        (trial,) = begin(ledger, [a_cell()], some_queries(1))
        answer(ledger, trial)
        settle_all(ledger)
        folder = ledger.folder
        if state != "closed":
            ledger._writer._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            answer(ledger, trial)
            settle_all(ledger)
        if state.startswith("died"):
            folder = tmp_path / "image"
            shutil.copytree(ledger.folder, folder)
        if state == "died, memory lost":
            (folder / f"{LEDGER_FILE}-shm").unlink()
        readable_by_all(folder)
        if state == "being written":
            assert output_of(child(READ_AS_NOBODY, str(folder))) == "2 USD 10.9 billion\n"
    if state != "being written":
        count = 1 if state == "closed" else 2
        assert output_of(child(READ_AS_NOBODY, str(folder))) == f"{count} USD 10.9 billion\n"


def test_records_page_limit_and_go_on(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        for trial in begin(ledger, [a_cell()], some_queries(2_345)):
            ledger.append_outcome(
                an_outcome(trial), lambda found: ledger.append_scores(found, NUMERIC)
            )
        settle_all(ledger)
        with LedgerReader.open(ledger.folder) as reader:
            assert [record.scores_id for record in reader.records()] == list(range(1, 2_346))
            assert [r.scores_id for r in reader.records(2_000, limit=3)] == [2_001, 2_002, 2_003]
            assert len(list(reader.records(limit=1_500))) == 1_500
            assert list(reader.records(2_345)) == []
            assert list(reader.records(limit=0)) == []


def test_a_later_record_of_a_trial_replaces_the_earlier_one(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        first, second = begin(ledger, [a_cell()], some_queries(2))
        ledger.append_outcome(a_failure(first), lambda outcome: ledger.append_scores(outcome, ()))
        answer(ledger, second)
        settle_all(ledger)
        answer(ledger, first)
        settle_all(ledger)
        ledger.append_scores(2, [Score(name="rouge_l", value=0.5)])
        ledger.flush()
        with LedgerReader.open(ledger.folder) as reader:
            every = list(reader.records())
            newest = list(reader.records(newest_only=True))
            final = list(reader.final_records())
    assert [(r.trial, r.status) for r in every] == [
        (first, "failed"),
        (second, "success"),
        (first, "success"),
        (second, "success"),
    ]
    assert [(r.trial, r.scores_id) for r in newest] == [(first, 3), (second, 4)]
    assert [(r.trial, r.scores_id) for r in final] == [(first, 3), (second, 4)]
    assert final[1].scores == (Score(name="rouge_l", value=0.5),)


def test_outcomes_that_died_before_their_scores_are_found(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        scored, unscored, _ = begin(ledger, [a_cell()], some_queries(3))
        answer(ledger, scored)
        ledger.append_outcome(an_outcome(unscored))
        ledger.append_outcome(an_outcome(Trial(key="elsewhere", cell="c", query_id="q")))
        settle_all(ledger)
        with LedgerReader.open(ledger.folder) as reader:
            assert reader.unscored() == (2,)
            record = reader.record(2)
            assert (record.scores_id, record.scores) == (0, ())
            assert [record.scores_id for record in reader.final_records()] == [1, 0]


def test_final_records_are_those_of_the_plan_of_today_in_its_order(tmp_path: Path) -> None:
    queries = some_queries(4)
    fast, slow = a_cell("fast"), a_cell("slow")
    with a_ledger(tmp_path) as ledger:
        for trial in reversed(begin(ledger, [fast, slow], queries)):
            answer(ledger, trial)
        settle_all(ledger)
        ledger.end_session("completed", 0)
    fewer = [queries[2], queries[0]]
    with Ledger.open(ledger.folder) as again:
        trials = begin(again, [slow], fewer)
    with LedgerReader.open(ledger.folder) as reader:
        assert [record.trial for record in reader.final_records()] == trials
        assert reader.queries() == tuple(fewer)
        assert [cell.name for cell in reader.cells()] == ["slow.v1-v1"]
        assert reader.columns()["query_id"] == ["q2", "q0"]
        assert (reader.counts().planned, reader.counts().succeeded) == (2, 2)
        assert len(list(reader.records())) == 8


def test_a_record_wears_todays_labels_and_knows_its_own_past(tmp_path: Path) -> None:
    """The key of a trial holds no names: after a renaming, old answers have new names."""
    old_cell, old_query = a_cell(version="v1"), Query(id="old", query="Why?", cluster="10-K")
    new_cell, new_query = a_cell(version="v9"), Query(id="new", query="Why?", context="Own.")
    with a_ledger(tmp_path) as ledger:
        (old,) = begin(ledger, [old_cell], [old_query])
        answer(ledger, old)
        settle_all(ledger)
    with Ledger.open(ledger.folder) as again:
        (new,) = begin(again, [new_cell], [new_query])
    assert (new.key, new.cell) == (old.key, "fast.v9-v1")
    with LedgerReader.open(ledger.folder) as reader:
        (record,) = reader.records()
        assert record.trial == new
        assert reader.cell_of(record.outcome_id) == old_cell
        assert reader.query_of(record.outcome_id) == old_query
        assert reader.cells() == (new_cell,)
        assert reader.queries() == (new_query,)


def test_the_plan_comes_back_as_the_same_words(tmp_path: Path) -> None:
    cells = [
        a_cell("fast", settings={"region": "us-east-1", "api_key": "sk-1", "max_tokens": 5}),
        a_cell("fast", version="v2", system_text="Be brief.", settings={"region": "us-east-1"}),
        a_cell("slow", system_text="Slow \ud83d and \udc00.", temperature=0.1, context_window=9),
    ]
    queries = (
        Query(
            id="é \ud800",
            query="What \udfff?",
            expected_answer=("a", "b"),
            expected_value=10918.0,
            alt_values=(1.0, 2.0),
            unit="USD",
            tolerance=0.01,
            should_refuse=True,
            answer_type="list",
            tickers=("NVDA",),
            years=(2020,),
            evidence_ids=("e1",),
            context="Table.\n" * 50,
            cluster="NVDA:2020",
            difficulty="easy",
            tags=("t",),
            metadata={"scope": "x", "n": [1, None]},
        ),
        Query(id="plain", query="Who?", context="Table.\n" * 50),
    )
    with a_ledger(tmp_path) as ledger:
        ledger.begin_session({"name": "nightly", "path": Path("a/b")}, {"usd": Decimal("0.10")})
        trials = all_trials(cells, queries, repeats=2)
        count = ledger.store_plan(cells=cells, query_set=a_query_set(queries), trials=trials)
    assert count == 12
    with LedgerReader.open(ledger.folder) as reader:
        first, second, third = reader.cells()
        assert dict(first.model.settings) == {"region": "us-east-1", "max_tokens": 5}
        assert (second.prompts, third) == (cells[1].prompts, cells[2])
        assert reader.query_set() == a_query_set(queries)
        assert [texts.version for texts in reader.prompt_texts()] == [
            PromptVersion(system="v1", query="v1"),
            PromptVersion(system="v2", query="v1"),
        ]
        assert reader.spec() == {"name": "nightly", "path": "a/b"}
        assert reader.sessions()[0].facts == {"usd": "0.10"}
        assert (reader.sweep_id, reader.name) == ("sweep-1", "nightly")


def test_the_spec_is_the_one_that_the_plan_is_of(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        ledger.begin_session({"name": "planned"}, {})
        ledger.store_plan(cells=[a_cell()], query_set=a_query_set([]), trials=[])
        ledger.begin_session({"name": "died before its plan"}, {})
    with LedgerReader.open(ledger.folder) as reader:
        assert reader.spec() == {"name": "planned"}


def test_a_ledger_without_a_plan_has_none(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger, LedgerReader.open(ledger.folder) as reader:
        assert reader.spec() is None
        assert reader.query_set() is None
        assert reader.cells() == reader.queries() == reader.sessions() == ()
        assert list(reader.final_records()) == []
        assert set(map(len, reader.columns().values())) == {0}


def test_what_is_not_there_is_a_key_error(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger, LedgerReader.open(ledger.folder) as reader:
        for ask in (reader.result, reader.record, reader.cell_of, reader.query_of):
            with pytest.raises(KeyError):
                ask(7)


def test_an_answer_is_found_by_its_key(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger, LedgerReader.open(ledger.folder) as reader:
        good, bad, missing = begin(ledger, [a_cell()], some_queries(3))
        ledger.append_outcome(an_outcome(good))
        ledger.append_outcome(an_outcome(good))
        ledger.append_outcome(a_failure(good))
        ledger.append_outcome(a_failure(bad))
        ledger.flush()
        assert reader.find_answer(good.key) == 2
        assert reader.find_answer(bad.key) is None
        assert reader.find_answer(missing.key) is None
        assert reader.answers() == {good.key: (3, "failed"), bad.key: (4, "failed")}


def test_columns_say_what_the_records_say(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        trials = begin(ledger, [a_cell("fast"), a_cell("slow")], some_queries(40))
        for number, trial in enumerate(trials):
            if number % 7 == 3:
                ledger.append_outcome(
                    a_failure(trial, wasted="0.01"),
                    lambda outcome: ledger.append_scores(outcome, ()),
                )
            elif number % 7 != 5:
                scores = (
                    Score(name="numeric", value=float(number % 2)),
                    Score(name="judge", unscored="no reference"),
                    Score(name="mine", error="KeyError: 'x'"),
                )
                answer(ledger, trial, scores=scores[: 1 + number % 3])
        settle_all(ledger)
    with LedgerReader.open(ledger.folder) as reader:
        columns, records = reader.columns(), list(reader.final_records())
    assert set(map(len, columns.values())) == {len(records)}
    for position, record in enumerate(records):
        row = {name: column[position] for name, column in columns.items()}
        told = {
            **{name: getattr(record, name) for name in type(record).__slots__ if name in row},
            "trial_key": record.trial.key,
            "cell": record.trial.cell,
            "query_id": record.trial.query_id,
            "repeat": record.trial.repeat,
        }
        assert {name: row[name] for name in told} == told
        scores = {score.name: score for score in record.scores}
        for name in ("numeric", "judge", "mine"):
            score = scores.get(name, Score(name=name))
            assert row[f"score.{name}"] == score.value
            assert row[f"unscored.{name}"] == score.unscored
            assert row[f"score_error.{name}"] == score.error


def test_columns_become_numbers_with_nan_for_what_is_missing(tmp_path: Path) -> None:
    import numpy as np

    with a_ledger(tmp_path) as ledger:
        good, bad = begin(ledger, [a_cell()], some_queries(2))
        answer(ledger, good)
        ledger.append_outcome(a_failure(bad))
        settle_all(ledger)
        with LedgerReader.open(ledger.folder) as reader:
            columns = reader.columns()
    for name in ("cost_usd", "input_tokens", "latency_total_seconds", "score.numeric"):
        column = np.array(columns[name], dtype=float)
        assert np.isfinite(column).tolist() == [True, False]


def test_streaming_records_holds_one_page_of_them(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        context = "c" * 2_000
        for trial in begin(ledger, [a_cell()], some_queries(6_000)):
            ledger.append_outcome(
                an_outcome(trial, result=a_result(context=context)),
                lambda found: ledger.append_scores(found, NUMERIC),
            )
        settle_all(ledger)
    with LedgerReader.open(ledger.folder) as reader:
        next(reader.records())
        tracemalloc.start()
        count = sum(1 for _ in reader.records())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert count == 6_000
    assert peak < 6_000 * 600  # all records at once take some 2 KB each


def test_an_answer_is_read_by_itself(tmp_path: Path) -> None:
    with a_ledger(tmp_path) as ledger:
        fine, broken = begin(ledger, [a_cell()], some_queries(2))
        answer(ledger, fine, outcome=an_outcome(fine, result=a_result("It was $10.9 billion.")))
        answer(ledger, broken, outcome=a_failure(broken))
        settle_all(ledger)
        with LedgerReader.open(ledger.folder) as reader:
            ids = {one.trial.key: one.outcome_id for one in reader.final_records()}
            assert reader.answer(ids[fine.key]) == "It was $10.9 billion."
            assert reader.answer(ids[broken.key]) is None
            with pytest.raises(KeyError):
                reader.answer(99)


@pytest.mark.parametrize("kept", [10_000, 3], ids=["kept", "read anew"])
def test_records_can_be_gone_through_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr("finrag_eval.record.ledger.reader._RECORDS_KEPT", kept)
    with a_ledger(tmp_path) as ledger:
        for trial in begin(ledger, [a_cell()], some_queries(5)):
            answer(ledger, trial)
        settle_all(ledger)
        with LedgerReader.open(ledger.folder) as reader:
            records = reader.kept_records()
            assert list(records) == list(records) == list(reader.final_records())
            assert len(list(records)) == 5

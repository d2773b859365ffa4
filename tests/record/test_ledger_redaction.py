"""What must not stay is nowhere in the files, and its length and digest are."""

from __future__ import annotations

import zlib
from decimal import Decimal
from pathlib import Path

from ledger_parts import a_cell, a_failure, a_ledger, a_query_set, a_result, an_outcome, settle_all

from finrag_eval.domain import Query, Score, Trial
from finrag_eval.record.ledger import LedgerReader, is_redacted

ANSWER = "The secret margin was 41.7 percent, said the board."
CONTEXT = "Board minutes, strictly confidential: margin 41.7 percent."


def everything_in(folder: Path) -> str:
    """All texts of a ledger, uncompressed, as somebody who looks for them would have them."""
    with LedgerReader.open(folder) as reader:
        connection = reader._connection
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        cells = [
            value
            for table in tables
            for row in connection.execute(f"SELECT * FROM {table}")
            for value in row
        ]
    return "\n".join(
        (zlib.decompress(value) if value[:1] == b"\x78" else value).decode()
        if isinstance(value, bytes)
        else str(value)
        for value in cells
    )


def test_answers_and_contexts_that_must_not_stay_are_markers(tmp_path: Path) -> None:
    query = Query(id="q", query="Margin?", context=CONTEXT)
    result = {
        **a_result(ANSWER, CONTEXT),
        "raw": {"answer": ANSWER, "messages": [f"system\n{CONTEXT}\nuser"]},
    }
    cell = a_cell()
    trials = [Trial(key=key, cell=cell.name, query_id="q") for key in ("one", "two")]
    with a_ledger(tmp_path, redact=frozenset({"answer", "context"})) as ledger:
        ledger.begin_session({}, {})
        ledger.store_plan(cells=[cell], query_set=a_query_set([query]), trials=trials)
        ledger.append_outcome(an_outcome(trials[0], result=result))
        failed = {**a_result(ANSWER, CONTEXT), "error": "x"}
        outcome = a_failure(trials[1], message=f"cannot parse: {ANSWER}")
        ledger.append_outcome(an_outcome(trials[1], result=failed, failure=outcome.failure))
        explained = {"quote": ANSWER, "found": [41.7], "nested": {"reason": CONTEXT}}
        ledger.append_scores(1, [Score(name="judge", value=1.0, explanation=explained)])
        settle_all(ledger)
    kept = everything_in(ledger.folder)
    assert "41.7 percent" not in kept
    assert "strictly confidential" not in kept
    with LedgerReader.open(ledger.folder) as reader:
        record, stored = reader.record(1), reader.result(1)
        assert reader.find_answer("one") is None
        assert is_redacted(str(reader.queries()[0].context))
        assert is_redacted(str(reader.record(2).error_message))
    assert is_redacted(stored["answer"])
    assert is_redacted(stored["context"])
    assert stored["answer"].startswith(f"[redacted: {len(ANSWER)} characters, digest ")
    assert stored["query"] == result["query"]
    assert stored["metadata"] == result["metadata"]
    assert (record.answer_length_chars, record.context_length_chars) == (len(ANSWER), len(CONTEXT))
    assert record.cost_usd == Decimal("0.25")
    assert record.scores[0].value == 1.0
    assert record.scores[0].explanation["found"] == [41.7]


def test_only_what_is_named_is_replaced(tmp_path: Path) -> None:
    with a_ledger(tmp_path, redact=frozenset({"answer"})) as ledger:
        ledger.begin_session({}, {})
        trial = Trial(key="k", cell="c", query_id="q")
        ledger.append_outcome(an_outcome(trial, result=a_result("yes", CONTEXT)))
        ledger.flush()
        with LedgerReader.open(ledger.folder) as reader:
            stored = reader.result(1)
    assert stored["context"] == CONTEXT
    assert is_redacted(stored["answer"])


def test_an_answer_is_not_taken_for_a_marker() -> None:
    assert not is_redacted(ANSWER)
    assert not is_redacted("[redacted: 5 characters, digest 00] and more")

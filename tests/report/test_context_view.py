"""An assembled context is taken apart by its headings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from sample_sweep import make_sweep

from finrag_eval.report.context_view import split_context


def test_snapshot_and_passages_are_told_apart() -> None:
    _, trials = make_sweep(queries=1, passages=3)
    parts = split_context(trials[0].context or "")
    assert parts.kpi.startswith("Scope:")
    assert "═" not in parts.kpi
    assert "NARRATIVE" not in parts.kpi
    assert len(parts.passages) == trials[0].rag_chunks_count
    assert all(heading.startswith("[") for heading, _ in parts.passages)
    assert parts.other == ""


def test_a_context_of_another_form_stays_whole() -> None:
    table = "| year | revenue |\n| --- | --- |\n| 2019 | 12 |"
    parts = split_context(table)
    assert parts.other == table
    assert parts.kpi == ""
    assert parts.passages == ()


def test_passages_without_a_snapshot_keep_what_stands_before_them() -> None:
    parts = split_context("A note.\n=== [V] one ===\n\nText one.\n=== [V] two ===\nText two.")
    assert parts.other == "A note."
    assert parts.kpi == ""
    assert parts.passages == (("[V] one", "Text one."), ("[V] two", "Text two."))


@given(st.lists(st.text(alphabet="ab =\n", min_size=1)))
def test_no_letter_of_a_context_is_lost(pieces: list[str]) -> None:
    context = "=== [x] ===\n".join(pieces)
    parts = split_context(context)
    kept = parts.other + parts.kpi + "".join(text for _, text in parts.passages)
    letters = [char for char in context if char in "ab"]
    assert [char for char in kept if char in "ab"] == letters

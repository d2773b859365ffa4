"""What ``compare`` says to people and to CI: what was compared, what changed, what settles it."""

from __future__ import annotations

from typing import Any

import numpy as np

from finrag_eval.compare.columns import CellColumns
from finrag_eval.compare.comparing import Comparison, compare_pairs
from finrag_eval.compare.differences import differences
from finrag_eval.compare.gates import evaluate_gates
from finrag_eval.comparisons import Report
from finrag_eval.domain import GateSpec
from finrag_eval.report.compare_markdown import compare_markdown
from finrag_eval.report.compare_text import compare_text

SIZE = 200
RIGHT = np.r_[np.ones(150), np.zeros(50)]
HOSTILE = "x]]><b>|`*_[a](http://e.org)\x00\x1b[31m\ud800\u202e\n# y"


def cell(
    name: str,
    worse: int = 0,
    better: int = 0,
    ids: str = "q{:03}",
    seconds: Any = None,
) -> CellColumns:
    scores = RIGHT.copy()
    scores[150 - worse : 150] = 0
    scores[150 : 150 + better] = 1
    queries = np.array([ids.format(place) for place in range(SIZE)], dtype=object)
    return CellColumns(
        cell=name,
        query_ids=queries,
        clusters=queries,
        repeats=np.ones(SIZE, dtype=np.intp),
        failed=np.zeros(SIZE, dtype=bool),
        values={"score.s": scores}
        | ({} if seconds is None else {"latency_total_seconds": seconds}),
    )


def report(*pairs: tuple[CellColumns, CellColumns], **changes: Any) -> dict[str, Any]:
    found: tuple[Comparison, ...] = compare_pairs(pairs)
    gate = GateSpec(metric="score.s", rule="min_delta", bound=-0.02)
    made = Report(
        baseline_sweep="monday",
        candidate_sweep="tuesday",
        differences=differences({"query_set": "1"}, {"query_set": "2"}),
        comparisons=found,
        gates=evaluate_gates([gate], found, [candidate for _, candidate in pairs]),
    )
    return made.as_json() | changes


def test_a_comparison_says_what_was_set_against_what() -> None:
    same = report((cell("a"), cell("a", worse=16)))
    text = compare_text(same)
    assert "Sweep tuesday, each cell against the same one of monday:" in text
    assert "a vs a" not in text
    other = compare_text(report((cell("a"), cell("b"))))
    assert "Sweep tuesday, against a of monday:" in other
    within = compare_text(same | {"baseline_sweep": "tuesday"})
    assert "Sweep tuesday, against a:" in within


def test_a_comparison_names_the_queries_that_changed() -> None:
    text = compare_text(report((cell("a"), cell("b", worse=16, better=1))), width=200)
    assert (
        "s: 0.750 → 0.675; 1 query better (q150), "
        "16 worse (q134, q135, q136, q137, q138 and 11 more)"
    ) in text
    alike = compare_text(report((cell("a"), cell("b"))), width=200)
    assert "no query scores differently in s" in alike


def test_an_undecided_comparison_says_what_would_settle_it() -> None:
    found = report((cell("a"), cell("b", worse=5, better=2)))
    (one,) = found["comparisons"]
    text = compare_text(found, width=200)
    assert (
        f"; these pairs find {one['mde']:.3f} or more in 4 of 5 sweeps; "
        f"−0.015 would take {one['queries_needed']:,} queries"
    ) in text
    found["comparisons"][0]["queries_needed"] = 100 * SIZE + 1
    assert "would take" not in compare_text(found, width=200)


SECONDS = np.random.default_rng(1).lognormal(size=SIZE)
NOISE = np.random.default_rng(2).normal(0, 0.1, size=SIZE)


def test_an_undecided_latency_says_as_a_share_what_would_settle_it() -> None:
    found = report((cell("a", seconds=SECONDS), cell("b", seconds=SECONDS + NOISE)))
    one = found["comparisons"][1]
    assert one["verdict"] == "inconclusive"
    least = f"{100 * one['mde'] / one['baseline_mean']:.1f}%"
    told = f"latency_total_seconds: these pairs find {least} or more in 4 of 5 sweeps"
    assert told in compare_text(found, width=200)
    assert told.replace("_", "\\_") in compare_markdown(found)


def test_latency_of_two_sweeps_is_said_to_be_of_two_times() -> None:
    found = report((cell("a", seconds=SECONDS), cell("a", seconds=SECONDS * 2)))
    assert "the sweeps ran at different times" in compare_text(found, width=200)
    assert "the sweeps ran at different times" in compare_markdown(found)
    within = found | {"baseline_sweep": "tuesday"}
    assert "the sweeps ran at different times" not in compare_text(within, width=200)
    even = report((cell("a", seconds=SECONDS), cell("a", seconds=SECONDS)))
    assert "the sweeps ran at different times" not in compare_text(even, width=200)


def test_answers_stand_beside_each_other_with_what_was_expected() -> None:
    shown = {
        "baseline": "a",
        "candidate": "a",
        "query_id": "q1",
        "query": "How much?",
        "expected": "$5",
        "changes": [{"metric": "score.s", "direction": "worse", "baseline": 1.0, "candidate": 0.5}],
        "repeats": [2, 2],
        "baseline_answer": "Five\ndollars.",
        "candidate_answer": None,
    }
    found = report((cell("a"), cell("a")), queries=[shown])
    assert compare_text(found).endswith(
        "q1, a: s 1.000 → 0.500\n"
        "  asked     How much?\n"
        "  expected  $5\n"
        "  before    Five dollars.\n"
        "  now       no answer"
    )
    page = compare_markdown(found)
    assert "**q1**, a: s 1.000 → 0.500" in page
    assert "- expected: \\$5" in page
    assert "- now: no answer" in page


def test_markdown_shows_verdicts_queries_and_gates() -> None:
    page = compare_markdown(report((cell("a"), cell("b", worse=16))))
    assert page.startswith("# Sweep tuesday, against a of monday\n")
    assert "**1 score: 1 worse. 1 of 1 gate failed.**" in page
    assert "- **query\\_set: 1 → 2**" in page
    assert "| b | a | s | 200 | −0.080 | −0.118 to −0.042 | &lt; 0.001 | worse | 0\\.054 |" in page
    assert "- s, b: 0.750 → 0.670; 0 queries better, 16 worse (q134," in page
    assert "❌ FAIL" in page


def test_nothing_foreign_is_markup_or_an_escape_sequence() -> None:
    ids = HOSTILE.replace("{", "").replace("}", "") + "{}"
    found = report((cell(HOSTILE, ids=ids), cell(HOSTILE, worse=20, ids=ids)))
    page, text = compare_markdown(found), compare_text(found)
    for told in (page, text):
        told.encode("utf-8")
        assert "\x1b" not in told
        assert "\u202e" not in told
        assert "\x00" not in told
    assert "<b>" not in page
    assert "[a](http" not in page
    assert "\n# y" not in page


def test_nothing_compared_is_said() -> None:
    empty = report() | {"gates": [], "differences": []}
    assert compare_text(empty) == "Nothing was compared."
    assert compare_markdown(empty) == "# Compare\n\nNothing was compared.\n"

"""Which trials a page keeps, and how they are packed."""

from __future__ import annotations

import base64
import json
import random
import zlib
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sample_sweep import ARMS, make_sweep

from finrag_eval.domain import Score
from finrag_eval.report.packs import pack
from finrag_eval.report.sample import ANSWER_CHARS, gather
from finrag_eval.report.trial_view import TrialView

CELLS = tuple(arm.cell for arm in ARMS)
NO_LIMIT = 10**12


def unsealed(sealed: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(sealed)))


def keys(trials: tuple[TrialView, ...]) -> set[str]:
    return {str(one.trial_key) for one in trials}


def test_a_small_sweep_is_kept_whole() -> None:
    _, trials = make_sweep(queries=10)
    gathered = gather(trials, max_trials=40, max_chars=NO_LIMIT)
    assert not gathered.is_sample
    assert keys(gathered.kept) == keys(tuple(trials))


def test_a_sample_holds_whole_questions_whatever_the_order_of_arrival() -> None:
    _, trials = make_sweep(queries=60)
    drawn = []
    for seed in range(3):
        shuffled = random.Random(seed).sample(trials, len(trials))
        gathered = gather(shuffled, max_trials=50, max_chars=NO_LIMIT, seed=5)
        drawn.append(keys(gathered.kept))
        assert len(gathered.kept) == 48
        assert (gathered.queries_kept, gathered.queries_seen, gathered.seen) == (12, 60, 240)
    assert drawn[0] == drawn[1] == drawn[2]
    other = gather(trials, max_trials=50, max_chars=NO_LIMIT, seed=6)
    assert keys(other.kept) != drawn[0]


def test_tallies_are_over_all_trials_and_not_over_the_sample() -> None:
    _, trials = make_sweep(queries=60)
    gathered = gather(trials, max_trials=50, max_chars=NO_LIMIT)
    cost = sum((one.cost_usd or Decimal(0) for one in trials), Decimal(0))
    assert sum(parts["answers"] for parts in gathered.costs.values()) == cost
    succeeded = sum(one.status == "success" for one in trials)
    assert sum(map(len, gathered.latencies.values())) == succeeded
    assert sum(kind.cells.total() for kind in gathered.failures.values()) == 240 - succeeded


def test_text_is_limited_too_and_one_question_is_always_kept() -> None:
    _, trials = make_sweep(queries=20)
    one_query = sum(len(one.answer or "") for one in trials[:4]) + len(trials[0].context or "")
    gathered = gather(trials, max_trials=NO_LIMIT, max_chars=one_query * 6)
    assert 1 <= gathered.queries_kept <= 12
    assert gather(trials, max_trials=1, max_chars=1).queries_kept == 1


def test_a_long_answer_is_cut_and_says_so() -> None:
    _, trials = make_sweep(queries=1)
    long = replace(trials[0], answer="x" * 1_000_000)
    kept = gather([long], max_trials=5, max_chars=NO_LIMIT).kept[0].answer or ""
    assert kept.startswith("x" * ANSWER_CHARS)
    assert kept.endswith("\n[cut here: 980,000 of 1,000,000 characters are not on this page]")


def test_a_context_that_cells_share_is_packed_once() -> None:
    _, trials = make_sweep(queries=3)
    packed = pack(trials, CELLS)
    opened = unsealed(packed.packs[0])
    assert len(opened["trials"]) == 4
    assert len(opened["texts"]) == len(set(opened["texts"]))
    contexts = [one["context"] for one in opened["trials"].values()]
    assert all(context == contexts[0] for context in contexts)
    assert len(unsealed(packed.prompts)) == 2


def test_every_text_of_a_trial_is_in_its_pack() -> None:
    _, trials = make_sweep(queries=4)
    packed = pack(trials, CELLS)
    for number, row in enumerate(packed.table["trials"]):
        query_id = packed.table["queries"][row[1]]["id"]
        one = next(
            each for each in trials if each.query_id == query_id and each.cell == CELLS[row[0]]
        )
        opened = unsealed(packed.packs[row[1]])
        details = opened["trials"][str(number)]
        assert opened["texts"][details["question"]] == one.question
        answer = None if details["answer"] is None else opened["texts"][details["answer"]]
        assert answer == one.answer
        assert details["run"] == one.run_name


def test_a_score_without_a_value_keeps_its_reason() -> None:
    _, trials = make_sweep(queries=1)
    scored = replace(
        trials[0],
        scores=(
            Score(name="numeric", unscored="no reference answer"),
            Score(name="judge", error="ValueError: not JSON"),
            Score(
                name="list", value=2 / 3, explanation={"missing": ["a", "b"], "found": 12345678.5}
            ),
        ),
    )
    packed = pack([scored], CELLS)
    numeric, judge, listed = unsealed(packed.packs[0])["trials"]["0"]["scores"]
    assert (numeric["value"], numeric["note"]) == (None, "no reference answer")
    assert (judge["value"], judge["note"]) == (None, "the scorer failed: ValueError: not JSON")
    assert listed["value"] == "0.666667"
    assert listed["why"] == [["missing", "a; b"], ["found", "12,345,678.5"]]
    assert packed.table["trials"][0][4] == [None, None, 2 / 3]


def test_a_link_that_is_no_address_is_dropped() -> None:
    _, trials = make_sweep(queries=1)
    packed = pack([replace(trials[0], run_url="javascript:alert(1)")], CELLS)
    assert unsealed(packed.packs[0])["trials"]["0"]["url"] is None


def test_packs_hold_nothing_but_base64() -> None:
    _, trials = make_sweep(queries=2)
    packed = pack([replace(trials[0], answer="</script>\ud800")], CELLS)
    letters = set("".join(packed.packs) + packed.prompts)
    assert letters <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")

"""Trials packed before the last of them is there: the page is the one that it would be else."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_sweep import ARMS, make_sweep

from finrag_eval.report.ahead import PackedAhead
from finrag_eval.report.html import MAX_CHARS, MAX_TRIALS, report_html
from finrag_eval.report.packs import Packed, pack
from finrag_eval.report.sample import gather
from finrag_eval.report.trial_view import TrialView

SUMMARY, TRIALS = make_sweep(queries=6)
CELLS = tuple(arm.cell for arm in ARMS)
QUERIES = sorted({one.query_id for one in TRIALS})
#: The texts that are read when a trial is opened.
LONG = {"run_name": "", "answer": None, "context": None, "traceback": None}


class Ledger:
    """Trials as a ledger gives them: without their long texts until they are opened."""

    def __init__(self) -> None:
        self.opened = 0

    def views(self, trials: Iterable[TrialView], scoring: int = 1) -> list[TrialView]:
        return [self._closed(one, scoring) for one in trials]

    def _closed(self, one: TrialView, scoring: int) -> TrialView:
        stamp = (TRIALS.index(one), scoring, one.run_id)
        whole = replace(one, stamp=stamp)

        def open_it() -> TrialView:
            self.opened += 1
            return whole

        return replace(whole, **LONG, open=open_it)


def nothing_ahead(**changes: object) -> PackedAhead:
    facts = {
        "cells": [(arm.cell, *_prompts(arm.cell)) for arm in ARMS],
        "score_names": list(dict.fromkeys(score.name for one in TRIALS for score in one.scores)),
        "query_ids": QUERIES,
        "trials_per_query": len(ARMS),
    }
    return PackedAhead(**{**facts, **changes})  # type: ignore[arg-type]


def _prompts(cell: str) -> tuple[str | None, str | None]:
    one = next(one for one in TRIALS if one.cell == cell)
    return one.system_prompt, one.query_template


def page(trials: Sequence[TrialView], ahead: PackedAhead | None, **limits: int) -> Packed:
    """What a page holds of the trials."""
    gathered = gather(
        trials,
        **{"max_trials": MAX_TRIALS, "max_chars": MAX_CHARS, **limits},
        known={} if ahead is None else ahead.texts,
    )
    return pack(gathered.kept, CELLS, None if ahead is None else ahead.packer)


@settings(max_examples=60, deadline=None)
@given(
    order=st.permutations(range(len(TRIALS))),
    read=st.integers(0, len(TRIALS)),
    gone=st.sets(st.integers(0, len(TRIALS) - 1), max_size=2),
    changed=st.sets(st.integers(0, len(TRIALS) - 1), max_size=2),
    limits=st.sampled_from([{}, {"max_trials": 9}, {"max_chars": 20_000}]),
)
def test_the_page_is_the_same_whatever_was_read_ahead(
    order: list[int], read: int, gone: set[int], changed: set[int], limits: dict[str, int]
) -> None:
    ahead, ledger = nothing_ahead(), Ledger()
    for number in order[:read]:
        ahead.add(ledger.views([TRIALS[number]])[0])
    rest = [one for number, one in enumerate(TRIALS) if number not in gone]
    final = [
        ledger.views([one], scoring=2 if TRIALS.index(one) in changed else 1)[0] for one in rest
    ]
    assert page(final, ahead, **limits) == page(Ledger().views(rest), None, **limits)


def test_what_was_read_ahead_is_not_read_again_for_the_same_report() -> None:
    ahead, ledger = nothing_ahead(), Ledger()
    for one in ledger.views(TRIALS):
        ahead.add(one)
    assert ledger.opened == len(TRIALS)
    made = report_html(SUMMARY, ledger.views(TRIALS), ahead=ahead)
    assert ledger.opened == len(TRIALS)
    assert made == report_html(SUMMARY, Ledger().views(TRIALS))


def test_a_trial_that_was_scored_again_is_read_again_with_its_query() -> None:
    ahead, ledger = nothing_ahead(), Ledger()
    for one in ledger.views(TRIALS):
        ahead.add(one)
    again = ledger.views(TRIALS[:1], scoring=2) + ledger.views(TRIALS[1:])
    page(again, ahead)
    assert ledger.opened == len(TRIALS) + len(ARMS)


@pytest.mark.parametrize(
    "changes",
    [
        {"score_names": ["numeric"]},
        {"cells": [(arm.cell, "another prompt", None) for arm in ARMS]},
        {"cells": [(arm.cell, *_prompts(arm.cell)) for arm in reversed(ARMS)]},
    ],
    ids=["scores", "prompts", "cells"],
)
def test_what_was_packed_for_another_page_is_not_taken(changes: dict[str, object]) -> None:
    ahead = nothing_ahead(**changes)
    for one in Ledger().views(TRIALS):
        ahead.add(one)
    assert page(Ledger().views(TRIALS), ahead) == page(Ledger().views(TRIALS), None)


def test_a_prompt_that_is_cut_is_on_the_page_once() -> None:
    long = "be exact " * 20_000
    trials = [replace(one, system_prompt=long) for one in TRIALS[: len(ARMS)]]
    closed = [
        replace(
            one, stamp=(at, 1, None), open=lambda one=one, at=at: replace(one, stamp=(at, 1, None))
        )
        for at, one in enumerate(trials)
    ]
    ahead = nothing_ahead(cells=[(arm.cell, long, _prompts(arm.cell)[1]) for arm in ARMS])
    for one in closed:
        ahead.add(one)
    made = page(closed, ahead)
    assert made == page(closed, None)
    texts = json.loads(zlib.decompress(base64.b64decode(made.prompts)))
    assert [text.startswith(long[:150_000]) for text in texts].count(True) == 1
    assert "characters are not on this page" in texts[0]


def test_a_text_that_is_cut_is_cut_once() -> None:
    long = [replace(one, answer="a word " * 10_000) for one in TRIALS[: len(ARMS)]]
    whole = [replace(one, stamp=(at, 1, None)) for at, one in enumerate(long)]
    closed = [replace(one, **LONG, open=lambda one=one: one) for one in whole]
    ahead = nothing_ahead()
    for one in closed[1:]:
        ahead.add(one)
    ahead.add(replace(closed[0], stamp=(99, 1, None)))
    assert page(closed, ahead) == page(closed, None)

"""The data law: sentences made from real references score 1, changed ones 0, 99 times in 100."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from finrag_eval.domain import Query
from finrag_eval.score.numeric import numeric
from finrag_eval.score.references import reference
from finrag_eval.score.verdicts import Verdict

FILES = ("finqa_traindev_110", "tatqa_dev_100", "kpi_generated_120", "poc_nvda_9")
FRAMES = (
    "{}",
    "The answer is {}.",
    "Based on the filing, it was {}.",
    "According to the company's annual report (10-K, Item 7), {} [KPI:X:2019:y].",
)
_TUPLES = ("alt_values", "tickers", "years", "evidence_ids", "tags")
_KNOWN = {field.name for field in fields(Query)}


def queries(folder: Path, name: str) -> Iterator[Query]:
    """The queries of a file that have a usable reference with a number."""
    with (folder / "query_sets" / f"{name}.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row: dict[str, Any] = json.loads(line)
            if row["reference_status"] != "ok" or row["expected_value"] is None:
                continue
            known = {key: value for key, value in row.items() if key in _KNOWN and value}
            known["expected_value"] = row["expected_value"]
            for key in _TUPLES:
                known[key] = tuple(known.get(key, ()))
            yield Query(**known)


def money(value: float) -> str:
    for factor, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if abs(value) >= factor:
            return f"{'-' if value < 0 else ''}${abs(value) / factor:,.3f} {name}"
    return f"{'-' if value < 0 else ''}${abs(value):,.2f}"


def written(value: float, query: Query) -> str:
    """The value as an analyst would write it, in the query's unit."""
    if not isinstance(aim := reference(query), str) and aim.kind == "year":
        return str(int(value))
    match query.unit:
        case "USD" | "USD per share":
            return money(value)
        case "percent":
            return f"{value:,.4f}%"
        case "ratio":
            return f"{value * 100:,.4f}%"
        case "thousands" | "millions":
            return f"{value:,} {query.unit.removesuffix('s')}"
    return f"{value:,.6g}" if value != int(value) else f"{int(value):,}"


def changes(query: Query) -> Iterator[float]:
    """The value with another figure, another scale, and the other sign."""
    value = query.expected_value
    assert value is not None
    aim = reference(query)
    if not isinstance(aim, str) and aim.kind == "year":
        yield from (value + 1, value - 3, -value)
    elif value:
        yield from (value * 1.13, value * 0.7, value * 1000, value / 1000, -value)


def score(query: Query, answer: str) -> float:
    verdict = numeric(query, {"answer": answer})
    assert isinstance(verdict, Verdict)
    return verdict.value


@pytest.mark.parametrize("name", FILES)
def test_sentences_made_from_the_reference_are_right(shared_data: Path, name: str) -> None:
    scores = []
    for query in queries(shared_data, name):
        assert query.expected_value is not None
        forms = [written(query.expected_value, query)]
        if isinstance(query.expected_answer, str):
            forms.append(query.expected_answer)
        scores += [score(query, frame.format(form)) for form in forms for frame in FRAMES]
    assert len(scores) >= 8
    assert sum(scores) / len(scores) >= 0.99


@pytest.mark.parametrize("name", FILES)
def test_changed_figures_scales_and_signs_are_wrong(shared_data: Path, name: str) -> None:
    scores = []
    for query in queries(shared_data, name):
        assert query.expected_value is not None
        right = written(query.expected_value, query)
        for changed in changes(query):
            form = written(changed, query)
            if form != right:
                scores += [score(query, frame.format(form)) for frame in FRAMES]
    assert len(scores) >= 8
    assert sum(scores) / len(scores) <= 0.01

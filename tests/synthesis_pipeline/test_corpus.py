"""The summaries that come with the package: complete, true to the figures, nobody else's words."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from finrag_eval.synthesis_pipeline.retrievers import Corpus

EMBEDDED = Path("finrag_eval/synthesis_pipeline/embedded")
SECTIONS = {"ITEM_1", "ITEM_1A", "ITEM_7"}
SENTENCE_END = re.compile(r'(?<=[.!?])\s+(?=[A-Z0-9"])')
MONEY = re.compile(r"\$(\d[\d,]*(?:\.(\d+))?)(?: (billion|million))?")
PERCENT = re.compile(r"(\d+) percent")
#: How a sentence of the corpus names the metric whose figure it gives.
NAMED = {
    "revenue": r"revenue|sales",
    "net_income": r"net income|net earnings",
    "operating_income": r"operating income",
    "gross_profit": r"gross profit",
    "rnd": r"research and development|technology and (?:content|development)",
    "cfo": r"cash|operating activities",
    "total_assets": r"total assets",
    "eps_diluted": r"a share|per diluted share|per share",
}


@pytest.fixture(scope="module")
def rows(project: Path) -> list[dict[str, Any]]:
    text = (project / EMBEDDED / "narrative.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def facts(project: Path) -> dict[tuple[str, int, str], list[Decimal]]:
    """First reported and restated value of every fact."""
    with (project / EMBEDDED / "kpi_facts.csv").open(encoding="utf-8", newline="") as file:
        return {
            (row["ticker"], int(row["fiscal_year"]), row["metric_key"]): [
                Decimal(row[column]) for column in ("value", "restated_value") if row[column]
            ]
            for row in csv.DictReader(file)
        }


def test_corpus_covers_eleven_companies_five_years_and_three_sections(
    rows: list[dict[str, Any]],
) -> None:
    covered = {(row["ticker"], row["fiscal_year"], row["section"]) for row in rows}
    tickers = {ticker for ticker, _, _ in covered}
    assert len(rows) >= 150
    assert len(tickers) == 11
    assert covered == {(t, y, s) for t in tickers for y in range(2016, 2021) for s in SECTIONS}


def test_passages_are_short_and_labelled_as_summaries(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert 60 <= len(row["text"].split()) <= 130, row["chunk_id"]
        assert row["source"] == "summary"
        assert row["title"]
        assert row["text"].isprintable()


def test_every_sentence_has_an_id_of_its_own(rows: list[dict[str, Any]]) -> None:
    ids = Counter(sentence_id for row in rows for sentence_id in row["sentence_ids"])
    chunks = Counter(row["chunk_id"] for row in rows)
    assert max(ids.values()) == 1
    assert max(chunks.values()) == 1
    for row in rows:
        sentences = SENTENCE_END.split(row["text"])
        numbered = [f"{row['chunk_id']}:s{n}" for n in range(1, len(sentences) + 1)]
        assert row["sentence_ids"] == numbered


def test_every_figure_is_a_fact_that_its_sentence_names(
    rows: list[dict[str, Any]], facts: dict[tuple[str, int, str], list[Decimal]]
) -> None:
    checked = 0
    for row in rows:
        for sentence in SENTENCE_END.split(row["text"]):
            for match in MONEY.finditer(sentence):
                known = _values_named(sentence, row, facts)
                assert any(_is_rounded_from(value, match) for value in known), sentence
                checked += 1
    assert checked > 150


def test_every_percentage_is_a_growth_or_a_margin_of_the_facts(
    rows: list[dict[str, Any]], facts: dict[tuple[str, int, str], list[Decimal]]
) -> None:
    checked = 0
    for row in rows:
        ticker, year = row["ticker"], row["fiscal_year"]
        for match in PERCENT.finditer(row["text"]):
            revenue = facts[ticker, year, "revenue"][0]
            before = facts.get((ticker, year - 1, "revenue"), [revenue])[0]
            margin = facts.get((ticker, year, "operating_income"), [revenue])[0] / revenue
            shares = {round(abs(revenue / before - 1) * 100), round(margin * 100)}
            assert int(match[1]) in shares, row["chunk_id"]
            checked += 1
    assert checked > 30


def test_no_run_of_eight_words_is_taken_from_a_filing(
    rows: list[dict[str, Any]], shared_data: Path
) -> None:
    own = {run: row["chunk_id"] for row in rows for run in _runs(row["text"])}
    with (shared_data / "narrative_chunks.jsonl").open(encoding="utf-8") as file:
        for line in file:
            taken = own.keys() & _runs(json.loads(line)["text"])
            assert not taken, {own[run]: run for run in taken}


def test_rows_have_the_fields_of_real_passages(
    rows: list[dict[str, Any]], shared_data: Path
) -> None:
    with (shared_data / "narrative_chunks.jsonl").open(encoding="utf-8") as file:
        real = json.loads(next(file))
    for row in rows:
        assert row.keys() >= real.keys()


def test_embedded_corpus_reads_without_a_problem(rows: list[dict[str, Any]]) -> None:
    pieces = Corpus.embedded().pieces()
    assert [piece.chunk_id for piece in pieces] == [row["chunk_id"] for row in rows]
    assert [piece.text for piece in pieces] == [row["text"] for row in rows]


def _values_named(
    sentence: str, row: dict[str, Any], facts: dict[tuple[str, int, str], list[Decimal]]
) -> list[Decimal]:
    """This year's and last year's values of every metric that the sentence names."""
    named = [key for key, words in NAMED.items() if re.search(words, sentence, re.IGNORECASE)]
    keys = [(row["ticker"], row["fiscal_year"] - back, key) for key in named for back in (0, 1)]
    return [abs(value) for key in keys for value in facts.get(key, [])]


def _is_rounded_from(value: Decimal, match: re.Match[str]) -> bool:
    scale = {"billion": 9, "million": 6, None: 0}[match[3]]
    step = Decimal(10) ** (scale - len(match[2] or ""))
    return abs(Decimal(match[1].replace(",", "")).scaleb(scale) - value) <= step / 2


def _runs(text: str, length: int = 8) -> set[str]:
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {" ".join(words[at : at + length]) for at in range(len(words) - length + 1)}

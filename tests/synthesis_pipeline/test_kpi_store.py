"""Exact figures: the package's table, and a user's own."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from finrag_eval.errors import InvalidInput
from finrag_eval.synthesis_pipeline.kpi_store import EMBEDDED, KpiStore

HEADER = "ticker,fiscal_year,metric_key,value,unit\n"


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "facts.csv"
    path.write_text(text, encoding="utf-8")
    return path


def _told(path: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        KpiStore.from_file(path)
    return str(caught.value).replace(str(path), "facts.csv")


def test_the_embedded_table_is_small_and_holds_known_figures() -> None:
    store = KpiStore.embedded()
    assert EMBEDDED.stat().st_size < 300_000
    assert len(store) > 1_500
    fact = store.fact("NVDA", 2020, "revenue")
    assert fact is not None
    assert (fact.value, fact.unit, fact.fact_id) == (
        Decimal(10_918_000_000),
        "USD",
        "NVDA:2020:revenue",
    )
    assert store.fact("MSFT", 2020, "revenue").value == 143_015_000_000  # type: ignore[union-attr]
    assert store.fact("NVDA", 1999, "revenue") is None


def test_embedded_figures_carry_their_source_and_no_sentence() -> None:
    for fact in KpiStore.embedded():
        assert fact.source
        assert len(fact.source) <= 40
        assert len(fact.note) <= 60


def test_a_figure_that_was_restated_later_gives_both() -> None:
    fact = KpiStore.embedded().fact("MSFT", 2016, "revenue")
    assert fact is not None
    assert (fact.value, fact.restated_value) == (85_320_000_000, 91_154_000_000)


def test_figures_before_a_stock_split_say_so() -> None:
    store = KpiStore.embedded()
    before, after = store.fact("AAPL", 2019, "eps_diluted"), store.fact("AAPL", 2020, "eps_diluted")
    assert before is not None
    assert after is not None
    assert before.note == "before the 4-for-1 split of 2020"
    assert after.note == ""


def test_the_embedded_table_agrees_with_the_data_that_it_was_made_of(shared_data: Path) -> None:
    theirs = KpiStore.from_file(shared_data / "kpi_facts.csv")
    for fact in KpiStore.embedded():
        other = theirs.fact(fact.ticker, fact.fiscal_year, fact.metric_key)
        if other is not None:
            assert other.value == fact.value, fact.fact_id


def test_csv_and_parquet_give_the_same_facts(shared_data: Path) -> None:
    from_csv = KpiStore.from_file(shared_data / "kpi_facts.csv")
    from_parquet = KpiStore.from_file(shared_data / "kpi_facts.parquet")
    assert {fact.fact_id: fact.value for fact in from_csv} == {
        fact.fact_id: fact.value for fact in from_parquet
    }
    assert from_csv.digest != from_parquet.digest


def test_years_and_companies_are_told(tmp_path: Path) -> None:
    store = KpiStore.from_file(
        _written(tmp_path, HEADER + "zz,2020,revenue,5,USD\nAB,2019,revenue,1.50,EUR\n")
    )
    assert store.tickers == ["AB", "ZZ"]
    assert store.years("ZZ") == [2020]
    assert store.years("ZZ", "net_income") == ()
    assert store.fact("AB", 2019, "revenue").value == Decimal("1.50")  # type: ignore[union-attr]


def test_a_byte_order_mark_and_odd_newlines_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "facts.csv"
    path.write_bytes(("\ufeff" + HEADER + "AB,2019,revenue,1,USD").replace("\n", "\r\n").encode())
    assert len(KpiStore.from_file(path)) == 1


def test_every_problem_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    path = _written(
        tmp_path,
        HEADER
        + "AB,2019,revenue,ten,USD\nAB,twenty,revenue,1,USD\n,2019,revenue,1,USD\n"
        + "AB,2020,revenue,1,USD\nAB,2020,revenue,2,USD\nAB,2021,revenue,nan,USD\nAB,2022\n",
    )
    fix = "write ticker, fiscal year and metric, and the value as a plain number"
    assert _told(path).splitlines() == [
        f"facts.csv:2: kpi_facts: 'ten' is not a figure; {fix}",
        f"facts.csv:3: kpi_facts: 'twenty' is not a figure; {fix}",
        f"facts.csv:4: kpi_facts: ticker or metric_key is empty; {fix}",
        "facts.csv:6: kpi_facts: AB:2020:revenue stands in line 5 already; keep one row a figure",
        f"facts.csv:7: kpi_facts: 'nan' is not a figure; {fix}",
        f"facts.csv:8: kpi_facts: ticker or metric_key is empty; {fix}",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ticker,value\nA,1\n", "no column fiscal_year"),
        (b"", "no column ticker"),
        (HEADER.encode(), "no facts in it"),
        (b"ticker\xff", "not UTF-8: byte 6"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "facts.csv"
    path.write_bytes(content)
    assert message in _told(path)


def test_a_missing_file_and_a_false_parquet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        KpiStore.from_file(tmp_path / "none.csv")
    false = tmp_path / "facts.parquet"
    false.write_bytes(b"not parquet")
    with pytest.raises(InvalidInput, match="not a Parquet file"):
        KpiStore.from_file(false)

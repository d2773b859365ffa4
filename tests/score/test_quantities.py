"""What is read as a quantity, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finrag_eval.score import quantities
from finrag_eval.score.quantities import read


def values(text: str) -> list[float]:
    return [quantity.value for quantity in read(text).quantities if quantity.form != "year"]


@pytest.mark.parametrize(
    "text",
    [
        "Form 10-K", "the 10-Q and the 8-K/A", "a 10K filing", "Item 7", "Item 1A", "Items 7",
        "Note 17", "page 32", "Exhibit 21.1", "Level 3 inputs", "ASC 606", "ASU 2014-09",
        "Topic 606", "Tier 1", "401(k)", "S&P 500", "Russell 2000", "COVID-19", "DGX-1", "V100",
        "December 31, 2019", "31 December 2019", "Jan. 26, 2020", "2019-12-31", "12/31/2006",
        "10/28/12", "june 302008", "2018/19", "FY2020", "FY20", "F19", "Q3 2020", "H1", "the 5th",
        "version 1.2.3", "[KPI:NVDA:2020:revenue]", "[NVDA, FY 2018, Item 7: MD&A]", "[1]",
        "0000034088_10-K_2008_section_8_2", "https://example.org/2020/10918", "1. Revenue",
        "- 2) Revenue", "a 3-for-1 split", "GOOGL_10-K_2016:ITEM_7:0012", "5G", "at 10:30",
    ],
)  # fmt: skip
def test_names_and_dates_are_no_figures(text: str) -> None:
    assert values(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$25.1, $24.9 and $26.1 billion", [25.1e9, 24.9e9, 26.1e9]),
        ("5, 6 and 7 percent", [0.05, 0.06, 0.07]),
        ("between 1.2 and 1.4 billion dollars", [1.2e9, 1.4e9]),
        ("$11.2B-$17.3B", [11.2e9, 17.3e9]),
        ("5-7%", [0.05, 0.07]),
        ("rose 2% to $2.98 billion", [0.02, 2.98e9]),
        ("sold 3 plants for $5 million", [3, 5e6]),
        ("0.2487, or 24.87%", [0.2487, 0.2487]),
        ("| Revenue ($000) | 10,918 |", [10_918_000]),
        (
            "(in thousands, except per share data)\n| Revenue | 10 |\n| Loss per share | (3) |",
            [10_000, -3],
        ),
        ("millions of customers in 5 regions", [5]),
        ("a million, half a million, twenty-five million", [1e6, 0.5e6, 25e6]),
        ("3.45 cents per share", [0.0345]),
        ("12 months and 5 quarters", [12, 5]),
        ("5 lakh and 3 crore", [5e5, 3e7]),
        ("1,09,180", [109_180]),
        ("(5,679) / (22,832)", [-5679, -22_832]),
    ],
)
def test_quantities_are_read_with_their_scale(text: str, expected: list[float]) -> None:
    assert values(text) == pytest.approx(expected)


def test_years_are_marked_and_not_lost() -> None:
    assert [one.form for one in read("from 2018 to 2,020 in 2020").quantities] == [
        "year",
        "plain",
        "year",
    ]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    for quantity in read(text).quantities:
        assert quantity.start < quantity.end
        assert quantity.face >= 0


NUMERALS = st.text(alphabet="0123456789.,%$()-–€ mKbnilo/[]'\u00a0exX:*|\n", max_size=80)


@given(NUMERALS)
def test_any_jumble_of_signs_can_be_read(text: str) -> None:
    for quantity in read(text).quantities:
        assert quantity.face >= 0


@given(
    st.floats(0.001, 999, allow_nan=False),
    st.sampled_from([("", 1), (" thousand", 1e3), ("M", 1e6), (" bn", 1e9), ("%", 0.01)]),
    st.sampled_from(["{}", "-{}", "about {}.", "({})", "it was {}, up", "**{}**"]),
)
def test_a_number_is_read_as_it_was_written(
    number: float, scale: tuple[str, float], frame: str
) -> None:
    digits = f"{number:,.3f}"
    text = frame.format(digits + scale[0])
    (found,) = read(text).quantities
    sign = -1 if frame in ("-{}", "({})") else 1
    assert found.value == pytest.approx(sign * float(digits) * scale[1])


PLAIN_PIECES = st.sampled_from(
    [
        *("$5", "$10.9 billion", "7%", "12 percent", "3.4 million", "$5.19", "2019", "FY2020"),
        *("(2018)", "-5%", "($3) million", "18,100", "1,2", "10 918", "USD 7", "5-6", "0.5"),
        *("minus", "negative", "in", "to", "and", "per share", "dollars", "basis points", "from"),
        *(",", ".", ";", ":", "(", ")", "|", "\n", "of", "Item", "Note", "Dec", "x", "B", "bn"),
    ]
)


@given(st.lists(PLAIN_PIECES, max_size=14))
def test_the_quick_way_reads_as_the_whole_grammar_does(pieces: list[str]) -> None:
    text = " ".join(pieces)
    quick = read.__wrapped__(text)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(quantities, "_common", lambda text, start, end: None)
        whole = read.__wrapped__(text)
    assert quick == whole

"""YAML is read with its lines, and what PyYAML lets through is told."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from finrag_eval.spec.located import Fault, Source, Value, load, plain

SOURCE = Source("f.yaml", Path())


def loaded(text: str) -> tuple[Value | None, list[str]]:
    faults: list[Fault] = []
    value = load(text, SOURCE, faults)
    return value, [str(fault.problem) for fault in faults]


def value_of(text: str) -> Value:
    value, faults = loaded(text)
    assert value is not None
    assert faults == []
    return value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "a: 1\nb: 2\na: 3",
            "f.yaml:3: a: the key 'a' stands here a second time; the first is in line 1; keep one",
        ),
        (
            "a:\n  b: {c: 1, c: 2}",
            "f.yaml:2: a.b.c: the key 'c' stands here a second time; the first is in line 2; "
            "keep one",
        ),
        (
            "a:\n\tb: 1",
            "f.yaml:2: a tab stands where YAML wants spaces; indent with spaces",
        ),
        ("a: b: c", "f.yaml:1: a second ': ' in one line; quote the text that contains it"),
        ("a: @b", "f.yaml:1: text may not start with @, ` or %; quote it"),
        (
            "a: [1",
            "f.yaml:2: not readable as YAML: did not find expected ',' or ']'; "
            "check indentation, brackets and quotes",
        ),
        (
            "a: 1\n---\nb: 2",
            "f.yaml:2: a second YAML document starts here; keep one document a file",
        ),
        (
            "x:\n  a: *b",
            "f.yaml:2: x.a: the alias *b names nothing that is complete before it; "
            "write &b at an earlier value",
        ),
        (
            "a: &a [*a]",
            "f.yaml:1: a[0]: the alias *a names nothing that is complete before it; "
            "write &a at an earlier value",
        ),
        ("[[1]]: 2", "f.yaml:1: a key is a list or a mapping; keys are text"),
        (
            "a: !!python/name:os.system x",
            "f.yaml:1: a: the tag tag:yaml.org,2002:python/name:os.system is not supported; "
            "write the plain value",
        ),
        (
            "a: !!set {b}",
            "f.yaml:1: a: the tag tag:yaml.org,2002:set is not supported; write the plain value",
        ),
        (
            "a: 1\nb: x\x00y",
            "f.yaml:2: holds a control character that YAML does not allow; remove it",
        ),
        (
            "a: {<<: 5}",
            "f.yaml:1: a.<<: << merges mappings; this is the number 5; "
            "name an anchored mapping: '<<: *name'",
        ),
    ],
)
def test_what_is_wrong_with_yaml_is_told_with_its_line(text: str, problem: str) -> None:
    assert loaded(text)[1] == [problem]


def test_of_a_repeated_key_the_first_counts() -> None:
    value, _ = loaded("a: 1\na: 2")
    assert value is not None
    assert plain(value) == {"a": 1}


def test_every_value_remembers_its_line() -> None:
    value = value_of("a: 1\nb:\n  - x\n  - c: |\n      long\n      text\n")
    below = value.content["b"].content
    assert value.content["a"].line == 1
    assert value.content["b"].line == 2
    assert [item.line for item in below] == [3, 4]
    assert below[1].content["c"].line == 4


def test_an_entry_that_starts_below_its_key_has_the_line_of_the_key() -> None:
    assert value_of("a:\n  - 1\nb:\n\n  c: 2").content["b"].line == 3


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("1", "1"),
        ("-1.50", "-1.50"),
        ("1e-6", "0.000001"),
        ("2.5E3", "2500"),
        ("1_000.5", "1000.5"),
        (".5", "0.5"),
        ("0.1", "0.1"),
    ],
)
def test_numbers_are_the_exact_decimals_that_were_written(written: str, number: str) -> None:
    assert value_of(f"a: {written}").content["a"].number == Decimal(number)


@pytest.mark.parametrize(
    "written", ["010", "1:30", "0x1F", ".inf", ".nan", "'1'", "1e9999999", "one", "~", "true"]
)
def test_what_is_open_to_doubt_is_no_number(written: str) -> None:
    assert value_of(f"a: {written}").content["a"].number is None


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("2.10", "number"),
        ("'2.10'", "text"),
        ("!!str 2.10", "text"),
        ("no", "boolean"),
        ("'no'", "text"),
        ("2026-11-22", "date"),
        ("", "null"),
        ("~", "null"),
        ("word", "word"),
        ("1e-6", "word"),
    ],
)
def test_kinds_are_those_that_pyyaml_sees(written: str, kind: str) -> None:
    assert value_of(f"a: {written}").content["a"].kind == kind


def test_aliases_and_merge_keys_are_followed() -> None:
    value = value_of("base: &b {x: 1, y: 2}\none: *b\ntwo: {<<: *b, y: 3}\n")
    assert plain(value)["one"] == {"x": 1, "y": 2}
    assert plain(value)["two"] == {"x": 1, "y": 3}
    assert value.content["one"].line == 2


def test_aliases_that_multiply_are_refused_before_they_are_expanded() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for name, before in zip("bcdefghij", "abcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")
    value, faults = loaded("\n".join(lines))
    assert value is None
    assert faults == ["f.yaml:5: e[7]: aliases expand to over 100,000 values; write fewer"]


@pytest.mark.parametrize("opening", ["[", "- ", "{a: "])
def test_deep_nesting_is_refused_and_breaks_nothing(opening: str) -> None:
    value, faults = loaded(opening * 50_000)
    assert value is None
    assert "nested deeper than 60 levels; flatten it" in faults[0]


def test_an_empty_document_is_null() -> None:
    assert value_of("# nothing\n").kind == "null"


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcxyz_", min_size=1, max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(PLAIN)
@example("NAN")  # a number to float(), and equal to nothing
def test_what_yaml_writes_is_read_back_alike(data: object) -> None:
    dumped = yaml.safe_dump({"data": data}, allow_unicode=True)
    assert _comparable(plain(value_of(dumped))) == _comparable(yaml.safe_load(dumped))


def _comparable(data: object) -> object:
    """Text that looks like a number to us and not to YAML 1.1 (``1e5``) counts as equal."""
    if isinstance(data, dict):
        return {key: _comparable(item) for key, item in data.items()}
    if isinstance(data, list):
        return [_comparable(item) for item in data]
    if isinstance(data, str):
        try:
            number = float(data.replace("_", ""))
        except ValueError:
            return str(data)
        return str(data) if math.isnan(number) else number
    return data


@given(st.text(max_size=60))
def test_any_text_at_all_gives_a_value_or_a_fault(text: str) -> None:
    value, faults = loaded(text)
    assert value is not None or faults

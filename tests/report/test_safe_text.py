"""Foreign text is made harmless for terminals, spreadsheets, Markdown and pages."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finrag_eval.report.safe_text import (
    csv_safe,
    display_width,
    markdown_safe,
    one_line,
    safe_link,
    script_json,
    terminal_safe,
    visible,
)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone", "gone"),
        ("a\x1b(Bb", "ab"),
        ("\x1b", ""),
        ("\x1b]0;never ended, so it is text", "0;never ended, so it is text"),
        ("bell\x07 back\x08space", "bell backspace"),
        ("one\r\ntwo\rthree\n", "one\ntwo\nthree\n"),
        ("a\tb", "a b"),
        ("right\u202eto\u2066left\u200b", "righttoleft"),
        ("\ud800", "?"),
        ("NVIDIA 英伟达 – $10.9 B", "NVIDIA 英伟达 – $10.9 B"),
    ],
)
def test_nothing_printed_can_steer_a_terminal(text: str, clean: str) -> None:
    assert terminal_safe(text) == clean


@given(st.text())
def test_terminal_text_has_no_control_characters_but_line_ends(text: str) -> None:
    clean = terminal_safe(text)
    assert all(char == "\n" or (ord(char) >= 32 and not 127 <= ord(char) < 160) for char in clean)
    assert terminal_safe(clean) == clean
    assert "\n" not in terminal_safe(text, keep_lines=False)


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("  =1", "'  =1"),
        ("\uff1dcmd", "'\uff1dcmd"),
        ("-12.5", "-12.5"),
        ("+3e-6", "+3e-6"),
        ("-", "'-"),
        ("plain", "plain"),
        ("", ""),
        ("a\x00b", "ab"),
        (-12.5, -12.5),
        (None, None),
        (True, True),
    ],
)
def test_a_spreadsheet_gets_no_formula_and_keeps_its_numbers(value: object, safe: object) -> None:
    assert csv_safe(value) == safe


@given(st.text())
def test_any_text_survives_a_csv_file_but_for_what_was_taken_out(text: str) -> None:
    page = io.StringIO(newline="")
    csv.writer(page).writerow([csv_safe(text), "end"])
    read = next(csv.reader(io.StringIO(page.getvalue(), newline="")))
    assert read == [csv_safe(text), "end"]
    assert not read[0].lstrip().startswith(("=", "@"))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", "a\\|b"),
        ("**bold** _it_ `code`", "\\*\\*bold\\*\\* \\_it\\_ \\`code\\`"),
        ("[x](javascript:alert(1))", "\\[x\\](javascript:alert(1))"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("# title\nnext", "\\# title next"),
        ("1. item", "1\\. item"),
        ("- item", "\\- item"),
        ("a - b", "a - b"),
        ("&lt;", "&amp;lt;"),
    ],
)
def test_markdown_shows_foreign_text_as_it_is(text: str, escaped: str) -> None:
    assert markdown_safe(text) == escaped


def test_hidden_characters_become_visible() -> None:
    assert visible("a\u200bb\u202ec\x1b[0m\x7f") == "a⟨200B⟩b⟨202E⟩c␛[0m␡"
    assert one_line("two\n lines\tand more", 12) == "two lines a…"


@given(st.text(), st.integers(min_value=2, max_value=60))
def test_one_line_is_never_longer_than_asked(text: str, length: int) -> None:
    assert len(one_line(text, length)) <= length


@given(st.text())
def test_script_data_cannot_end_its_script_and_reads_back_whole(text: str) -> None:
    data = script_json({"text": text})
    assert "<" not in data
    assert "&" not in data
    assert data.isascii()
    assert json.loads(data) == {"text": text}


def test_script_data_refuses_what_json_has_no_word_for() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(float("nan"))


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("http://127.0.0.1:5000/#/runs/1", "http://127.0.0.1:5000/#/runs/1"),
        ("https://mlflow.example/x", "https://mlflow.example/x"),
        ("file:///tmp/mlruns", "file:///tmp/mlruns"),
        ("javascript:alert(1)", None),
        ("JaVaScRiPt:alert(1)", None),
        (" javascript:alert(1)", None),
        ("java\nscript:alert(1)", None),
        ("data:text/html,<script>1</script>", None),
        ("vbscript:x", None),
        ("//host/x", None),
        ("http://[broken", None),
        ("", None),
        (None, None),
    ],
)
def test_only_plain_addresses_become_links(url: str | None, link: str | None) -> None:
    assert safe_link(url) == link


def test_wide_characters_take_two_columns_and_combining_ones_none() -> None:
    assert display_width("ab") == 2
    assert display_width("英伟") == 4
    assert display_width("e\u0301") == 1

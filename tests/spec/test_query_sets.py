"""Query sets are the same in every format, and say what is wrong with them by line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from finrag_eval.domain import Location, Query, QuerySet
from finrag_eval.errors import Problem
from finrag_eval.spec.query_sets import digest_of, read_query_set

ROWS: list[dict[str, Any]] = [
    {
        "id": "q1",
        "query": "What was NVIDIA’s revenue,\nin FY2020?",
        "expected_answer": "$10,918 million",
        "expected_value": 10918000000.0,
        "alt_values": [10918.0, 10.918],
        "unit": "USD",
        "tolerance": 0.01,
        "should_refuse": False,
        "answer_type": "numeric",
        "tickers": ["NVDA"],
        "years": [2020],
        "evidence_ids": ["KPI:NVDA:2020:revenue"],
        "cluster": "NVDA",
        "difficulty": "easy",
        "tags": ["lookup", "value"],
        "source": 'made "by hand"',
    },
    {
        "id": "q2",
        "query": "Name two segments.",
        "expected_answer": ["Gaming", "Data Center"],
        "should_refuse": True,
        "context": "Gaming; Data Center",
        "tickers": ["NVDA", "MSFT"],
        "years": [2019, 2020],
        "source": "x",
    },
]


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()


def as_json(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows, indent=2).encode()


def as_yaml(rows: list[dict[str, Any]]) -> bytes:
    return yaml.safe_dump(rows, allow_unicode=True).encode()


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    for row in rows:
        cells = {
            name: json.dumps(cell) if isinstance(cell, list | bool) else cell
            for name, cell in row.items()
        }
        writer.writerow(cells)
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    if "expected_answer" in columns:  # a column of lists and texts alike is none in Parquet
        columns["expected_answer"] = [
            json.dumps(answer) if isinstance(answer, list) else answer
            for answer in columns["expected_answer"]
        ]
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue()


FORMATS = {
    "jsonl": as_jsonl,
    "json": as_json,
    "yaml": as_yaml,
    "csv": as_csv,
    "parquet": as_parquet,
}


def read(path: Path, **choice: Any) -> QuerySet:
    problems: list[Problem] = []
    found = read_query_set(path, problems=problems, **choice)
    assert problems == []
    assert found is not None
    return found


def problems_of(path: Path, **choice: Any) -> list[str]:
    problems: list[Problem] = []
    assert read_query_set(path, problems=problems, **choice) is None
    return [str(problem) for problem in problems]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path()


def write(name: str, content: bytes | str) -> Path:
    path = Path(name)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def five(here: Path) -> Path:
    """Five queries of two kinds."""
    rows = [
        {"id": f"q{n}", "query": f"What was figure {n}?", "difficulty": kind, "tags": [kind, "x"]}
        for n, kind in enumerate(["easy", "hard", "easy", "hard", "easy"])
    ]
    return write("five.jsonl", as_jsonl(rows))


@pytest.mark.parametrize("ending", FORMATS)
def test_every_field_is_read_from_every_format(ending: str, here: Path) -> None:
    first, second = read(write(f"q.{ending}", FORMATS[ending](ROWS))).queries
    assert first == Query(
        id="q1",
        query="What was NVIDIA’s revenue,\nin FY2020?",
        expected_answer="$10,918 million",
        expected_value=10918000000.0,
        alt_values=(10918.0, 10.918),
        unit="USD",
        tolerance=0.01,
        answer_type="numeric",
        tickers=("NVDA",),
        years=(2020,),
        evidence_ids=("KPI:NVDA:2020:revenue",),
        cluster="NVDA",
        difficulty="easy",
        tags=("lookup", "value"),
        metadata={"source": 'made "by hand"'},
    )
    assert second.expected_answer == ("Gaming", "Data Center")
    assert second.should_refuse is True
    assert second.context == "Gaming; Data Center"


def test_the_digest_is_that_of_the_content_not_of_format_or_order(here: Path) -> None:
    digests = {
        read(write(f"q.{ending}", make(rows))).digest
        for ending, make in FORMATS.items()
        for rows in (ROWS, ROWS[::-1])
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"query": "Other?"},
        {"expected_value": 0.0},
        {"context": "own"},
        {"id": "q9"},
        {"source": "other"},
        {"should_refuse": True},
    ],
)
def test_the_digest_changes_with_any_field(change: Mapping[str, Any], here: Path) -> None:
    before = read(write("a.jsonl", as_jsonl([ROWS[0]]))).digest
    assert read(write("b.jsonl", as_jsonl([{**ROWS[0], **change}]))).digest != before


def test_a_value_of_zero_is_not_a_missing_value() -> None:
    none, zero = Query(id="q", query="?"), Query(id="q", query="?", expected_value=0.0)
    assert digest_of([none]) != digest_of([zero])


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "yaml"])
def test_boms_and_newlines_of_any_style_change_nothing(
    newline: str, bom: bytes, ending: str, here: Path
) -> None:
    rows = [{"id": "a", "query": "One?"}, {"id": "b", "query": "Two?"}]
    text = FORMATS[ending](rows).decode().replace("\r\n", "\n").replace("\n", newline)
    assert read(write(f"q.{ending}", bom + text.encode())).digest == digest_of(
        [Query(id="a", query="One?"), Query(id="b", query="Two?")]
    )


def test_a_line_separator_inside_json_text_does_not_end_the_line(here: Path) -> None:
    path = write("q.jsonl", '{"query": "one\u2028two\u0085three?"}')
    assert read(path).queries[0].query == "one\u2028two\u0085three?"


def test_a_query_without_an_id_gets_a_hash_of_its_text(here: Path) -> None:
    first, second = read(write("q.jsonl", '{"query": "One?"}\n{"query": "Two?"}')).queries
    assert first.id.startswith("q-")
    assert first.id != second.id
    assert read(write("r.json", '[{"query": "One?"}]')).queries[0].id == first.id


def test_a_whole_number_may_be_an_id(here: Path) -> None:
    assert read(write("q.jsonl", '{"id": 7, "query": "One?"}')).queries[0].id == "7"


def test_empty_cells_are_missing_and_lists_have_separators(here: Path) -> None:
    path = write(
        "q.csv",
        "id,query,expected_value,alt_values,tickers,years,tags,should_refuse,note\n"
        'a,One?,,"1.5; 2","NVDA, MSFT",2019;2020,x;y,yes,n 1\n\n',
    )
    (query,) = read(path).queries
    assert query.expected_value is None
    assert query.alt_values == (1.5, 2.0)
    assert query.tickers == ("NVDA", "MSFT")
    assert query.years == (2019, 2020)
    assert query.tags == ("x", "y")
    assert query.should_refuse is True
    assert query.metadata == {"note": "n 1"}


def test_cells_longer_than_csvs_own_limit_are_read(here: Path) -> None:
    context = "x" * 200_000
    path = write("q.csv", f"query,context\nOne?,{context}\n")
    assert read(path).queries[0].context == context


def test_parquet_cells_of_other_types_become_plain_data(here: Path) -> None:
    table = pyarrow.table(
        {
            "query": ["One?"],
            "expected_value": pyarrow.array([Decimal("1.50")], pyarrow.decimal128(10, 2)),
            "tolerance": [float("nan")],
            "tickers": ["NVDA;MSFT"],
            "seen": pyarrow.array([0], pyarrow.date32()),
        }
    )
    pyarrow.parquet.write_table(table, "q.parquet")
    (query,) = read(Path("q.parquet")).queries
    assert (query.expected_value, query.tolerance) == (1.5, None)
    assert query.tickers == ("NVDA", "MSFT")
    assert query.metadata == {"seen": "1970-01-01"}


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_columns_give_fields_other_names(ending: str, here: Path) -> None:
    rows = [{"question_text": "One?", "query": "another column", "gold": "1"}]
    columns = {"query": "question_text", "expected_answer": "gold"}
    (query,) = read(write(f"q.{ending}", FORMATS[ending](rows)), columns=columns).queries
    assert (query.query, query.expected_answer) == ("One?", "1")
    assert query.metadata == {}


def test_where_keeps_any_of_the_values_of_every_field(five: Path) -> None:
    assert ids(read(five, where={"difficulty": ["easy"]})) == ["q0", "q2", "q4"]
    assert ids(read(five, where={"tags": ["hard", "none"]})) == ["q1", "q3"]
    assert ids(read(five, where={"tags": ["x"], "difficulty": ["easy", "hard"]})) == [
        f"q{n}" for n in range(5)
    ]


def test_where_works_on_metadata_and_compares_by_what_is_meant(here: Path) -> None:
    rows = [{"id": "a", "query": "One?", "year": "2020"}, {"id": "b", "query": "Two?", "year": 7}]
    path = write("q.jsonl", as_jsonl(rows))
    assert ids(read(path, where={"year": [2020.0]})) == ["a"]
    assert ids(read(path, where={"year": ["7"]})) == ["b"]


def test_ids_and_limit_keep_the_order_of_the_file(five: Path) -> None:
    assert ids(read(five, ids=["q3", "q0", "q1"])) == ["q0", "q1", "q3"]
    assert ids(read(five, ids=["q3", "q0", "q1"], limit=2)) == ["q0", "q1"]
    assert len(read(five, limit=99).queries) == 5


def test_a_sample_depends_on_the_seed_alone(five: Path) -> None:
    sample = ids(read(five, sample={"n": 3, "seed": 1}))
    assert sample == ids(read(five, sample={"n": 3, "seed": 1}))
    assert sample == sorted(sample)
    assert len({tuple(ids(read(five, sample={"n": 3, "seed": seed}))) for seed in range(9)}) > 1


@given(st.integers(1, 8), st.integers(0, 5), st.permutations(range(8)))
def test_a_sample_is_of_the_queries_wherever_they_stand(
    n: int, seed: int, order: list[int]
) -> None:
    from finrag_eval.spec.query_sets import _Choice

    queries = [Query(id=f"q{number}", query="?") for number in range(8)]
    choice = _Choice(Location(file="f"), [])
    drawn = choice.of(queries, {}, None, {"n": n, "seed": seed}, None)
    again = choice.of([queries[number] for number in order], {}, None, {"n": n, "seed": seed}, None)
    assert drawn is not None
    assert again is not None
    assert len(drawn) == n
    assert {query.id for query in drawn} == {query.id for query in again}


def ids(query_set: QuerySet) -> list[str]:
    return [query.id for query in query_set.queries]


@pytest.mark.parametrize(
    ("name", "content", "problems"),
    [
        ("q.jsonl", "", ["q.jsonl: query_set: the query set has no queries; write at least one"]),
        (
            "q.csv",
            "query\n",
            ["q.csv: query_set: the query set has no queries; write at least one"],
        ),
        ("q.yaml", "", ["q.yaml: query_set: the query set has no queries; write at least one"]),
        (
            "q.txt",
            "x",
            [
                "q.txt: the ending '.txt' names no format; "
                "use one of .jsonl, .ndjson, .json, .csv, .yaml, .yml, .parquet"
            ],
        ),
        (
            "q.jsonl",
            '{"id": "a", "query": "1?"}\n{"id": "b", "query": "2?"}\n{"id": "a", "query": "3?"}',
            ["q.jsonl:3: id: the id 'a' is that of line 1, too; give each query an id of its own"],
        ),
        (
            "q.jsonl",
            '{"query": "1?"}\n\n{"query": "1?"}',
            [
                "q.jsonl:3: id: the same question as in line 1, without an id; "
                "give each query an id of its own"
            ],
        ),
        (
            "q.jsonl",
            b'{"query": "1?"}\n{"query": "\xff"}',
            ["q.jsonl:2: not UTF-8: byte 0xff; save the file as UTF-8"],
        ),
        (
            "q.jsonl",
            '{"query": "1?"}\n{"query": }\n[1]\n{"query": "2?", "query": "3?"}\n{"a": NaN}',
            [
                "q.jsonl:2: not readable as JSON: Expecting value, at column 11; "
                "write one JSON object a line",
                'q.jsonl:3: is a list, not an object; write {"query": "..."}',
                "q.jsonl:4: not readable as JSON: the key 'query' stands twice; "
                "write one JSON object a line",
                "q.jsonl:5: not readable as JSON: NaN is not JSON; write one JSON object a line",
            ],
        ),
        (
            "q.jsonl",
            '{"query": " "}\n{"query": 5}\n{"id": "a"}\n{"query": "\\ud800"}',
            [
                "q.jsonl:1: query: is empty; write text, or leave the field out",
                "q.jsonl:2: query: is 5, not text; write it in quotes",
                "q.jsonl:3: query: has no query; every row needs its question",
                "q.jsonl:4: query: holds half a character (a lone surrogate); mend the text",
            ],
        ),
        (
            "q.jsonl",
            '{"query": "?", "expected_value": "1,000", "tickers": "NVDA", "years": ["2020"]}\n'
            '{"query": "!", "tolerance": 5, "should_refuse": "no", "expected_value": 1e999}\n'
            '{"query": "x", "note": "\\udfff"}',
            [
                'q.jsonl:1: expected_value: is "1,000", not a number; write digits: 10918000000',
                'q.jsonl:1: tickers: is "NVDA", not a list; write [NVDA]',
                'q.jsonl:1: years: is "2020", not a year; write years as numbers: [2020]',
                "q.jsonl:2: expected_value: is not a finite number; write digits: 10918000000",
                "q.jsonl:2: tolerance: 5.0 is impossible; it is relative: 0.01 is one percent",
                'q.jsonl:2: should_refuse: is "no"; write true or false',
                "q.jsonl:3: holds half a character (a lone surrogate); mend the text",
            ],
        ),
        (
            "q.json",
            '[\n {"query": "1?"},\n {"query": 2}\n',
            [
                "q.json:3: query: is 2, not text; write it in quotes",
                "q.json:4: the JSON list is not closed here; separate items by ',', end with ']'",
            ],
        ),
        (
            "q.json",
            '{"query": "1?"}',
            ["q.json:1: not a JSON list; write [{...}, {...}], or name the file .jsonl"],
        ),
        (
            "q.json",
            '[{"query": "1?"}]\n[]',
            ["q.json:1: there is more after the list; remove it"],
        ),
        (
            "q.csv",
            "id,query\na,One?\nb,Two,three?\nc,\n",
            [
                "q.csv:3: 3 cells under 2 column names; quote cells that contain a comma",
                "q.csv:4: query: has no query; every row needs its question",
            ],
        ),
        (
            "q.csv",
            "id,question\na,One?\n",
            [
                "q.csv:2: query: has no query; "
                "name its column: 'columns: {query: ...}'; there are id, question"
            ],
        ),
        (
            "q.csv",
            'id,query\na,"One\ntwo"\nb,"x" y\n',
            [
                "q.csv:4: not readable as CSV: ',' expected after '\"'; "
                "quote cells; write a quote in one as two"
            ],
        ),
        (
            "q.csv",
            "query,query\na,b\n",
            ["q.csv:1: two columns are named 'query'; rename one of them"],
        ),
        (
            "q.yaml",
            "- query: One?\n  id: 2.10\n- One?\n- query: no\n  query: yes\n",
            [
                "q.yaml:2: id: is 2.1, not text; write it in quotes",
                "q.yaml:3: is the text 'One?', not a query; write '- query: ...'",
                "q.yaml:4: query: is false, not text; write it in quotes",
                "q.yaml:5: the key 'query' stands here a second time; "
                "the first is in line 4; keep one",
            ],
        ),
        ("q.parquet", b"PAR1", ["q.parquet: not readable as Parquet: "]),
    ],
)
def test_what_is_wrong_with_a_query_set_is_told_by_line(
    name: str, content: bytes | str, problems: list[str], here: Path
) -> None:
    told = problems_of(write(name, content))
    assert len(told) == len(problems)
    for line, expected in zip(told, problems, strict=True):
        assert line == expected or (expected.endswith(": ") and line.startswith(expected))


def test_only_the_first_twenty_problems_of_a_file_are_listed(here: Path) -> None:
    told = problems_of(write("q.jsonl", '{"query": 1}\n' * 1234))
    assert len(told) == 21
    assert told[-1] == "q.jsonl: 1,214 more problems like these; mend these first"


@pytest.mark.parametrize(
    ("choice", "problem"),
    [
        (
            {"where": {"dificulty": ["easy"]}},
            "s.yaml:9: query_set.where.dificulty: no query has a field 'dificulty'; "
            "did you mean 'difficulty'? known: alt_values, answer_type, cluster, context, "
            "difficulty, evidence_ids, expected_answer, expected_value, id, query, "
            "should_refuse, tags, tickers, tolerance, unit and 1 more",
        ),
        (
            {"where": {"difficulty": ["odd"]}},
            "s.yaml:9: query_set.where: none of the 5 queries is chosen; choose less strictly",
        ),
        (
            {"ids": ["q0", "q9"]},
            "s.yaml:9: query_set.ids: no query has the id 'q9'; known: q0, q1, q2, q3, q4",
        ),
        (
            {"sample": {"n": 6, "seed": 0}},
            "s.yaml:9: query_set.sample.n: a sample of 6 cannot be drawn from 5 queries; "
            "write at most 5",
        ),
    ],
)
def test_an_impossible_choice_is_told_where_it_was_written(
    choice: dict[str, Any], problem: str, five: Path
) -> None:
    told = problems_of(five, asked_at=Location(file="s.yaml", line=9), **choice)
    assert told == [problem]


def test_a_column_that_is_not_there_is_told_once(five: Path) -> None:
    told = problems_of(five, columns={"query": "question"})
    assert told == [
        "five.jsonl: columns: there is no column 'question' for query; "
        "known: difficulty, id, query, tags"
    ]


def test_a_file_that_is_missing_says_what_is_there(five: Path) -> None:
    said = "fife.jsonl: no such query set; did you mean five.jsonl?"
    assert problems_of(Path("fife.jsonl")) == [said]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("finqa_traindev_110", 110),
        ("gold_auto_28", 28),
        ("gold_draft_templates_6", 6),
        ("gold_qtest_31", 31),
        ("gold_test_suite_31", 31),
        ("kpi_generated_120", 120),
        ("poc_nvda_9", 9),
        ("tatqa_dev_100", 100),
    ],
)
def test_real_query_sets_load(name: str, count: int, shared_data: Path) -> None:
    found = read(shared_data / "query_sets" / f"{name}.jsonl")
    assert len(found.queries) == count
    assert all(query.metadata["source"] for query in found.queries)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"query": st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)},
            optional={
                "context": st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip),
                "expected_value": st.floats(allow_nan=False, allow_infinity=False),
                "tickers": st.lists(st.sampled_from(["NVDA", "MSFT"]), min_size=1),
                "years": st.lists(st.integers(1990, 2030), min_size=1),
            },
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda row: row["query"],
    )
)
def test_json_lines_and_a_json_list_are_read_alike(rows: list[dict[str, Any]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        lines, listed = Path(folder) / "q.jsonl", Path(folder) / "q.json"
        lines.write_bytes(as_jsonl(rows))
        listed.write_bytes(as_json(rows))
        assert read(lines).queries == read(listed).queries
        assert [query.query for query in read(lines).queries] == [row["query"] for row in rows]

"""BM25 retrieval: what a search may find, in which order, and how the index is kept."""

from __future__ import annotations

import gc
import json
import pickle
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finrag_eval.errors import InvalidInput
from finrag_eval.synthesis_pipeline.models import Passage
from finrag_eval.synthesis_pipeline.retrievers import Bm25Options, Bm25Retriever, Corpus
from finrag_eval.synthesis_pipeline.retrievers.bm25_index import build_index
from finrag_eval.synthesis_pipeline.retrievers.corpus import MAX_PIECE_CHARS
from finrag_eval.synthesis_pipeline.retrievers.words import words

EMBEDDED = Bm25Retriever(Corpus.embedded())


def passage(chunk_id: str, text: str, **fields: Any) -> dict[str, Any]:
    """A row of a corpus: NVDA, fiscal 2020, risk factors, unless told otherwise."""
    return {
        "chunk_id": chunk_id,
        "ticker": "NVDA",
        "fiscal_year": 2020,
        "section": "ITEM_1A",
        "text": text,
    } | fields


def jsonl(rows: Sequence[object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def retriever_of(rows: Sequence[object], **options: int) -> Bm25Retriever:
    corpus = Corpus(name="corpus.jsonl", content=jsonl(rows))
    return Bm25Retriever(corpus, options=Bm25Options(**options))


def ids(passages: Sequence[Passage]) -> list[str]:
    return [passage.chunk_id for passage in passages]


def test_filter_decides_before_the_score() -> None:
    loud = [
        passage(f"m{n}", "supply chain " * 20 + str(n), ticker="MSFT", doc_id=f"m{n}")
        for n in range(50)
    ]
    quiet = passage("n", "A long passage about many things that names the supply only once.")
    found = retriever_of([*loud, quiet]).search("supply chain", tickers=["NVDA"], top_k=1)
    assert ids(found) == ["n"]


def test_years_filter_the_same_way() -> None:
    rows = [passage(f"y{year}", "wafer supply", fiscal_year=year) for year in range(2010, 2024)]
    found = retriever_of(rows).search("wafers", tickers=["NVDA"], years=[2015, 2012], top_k=8)
    assert ids(found) == ["y2012", "y2015"]


def test_several_years_take_turns() -> None:
    rows = [passage(f"a{n}", "wafer wafer", fiscal_year=2018, doc_id=f"a{n}") for n in range(9)]
    rows += [passage("b", "wafer and much else that dilutes it", fiscal_year=2019)]
    rows = [row | {"text": f"{row['text']} {row['chunk_id']}"} for row in rows]
    found = retriever_of(rows).search("wafer", tickers=["NVDA"], years=[2018, 2019], top_k=2)
    assert ids(found) == ["a0", "b"]


def test_named_companies_get_equal_shares_in_the_order_of_the_question() -> None:
    rows = [
        passage(f"{ticker}{n}", f"wafer {'wafer' * weight} {n}", ticker=ticker, doc_id=str(n))
        for ticker, weight in (("AAA", 9), ("BBB", 0))
        for n in range(6)
    ]
    found = retriever_of(rows).search("wafer", tickers=["BBB", "AAA"], top_k=4)
    assert [piece.ticker for piece in found] == ["BBB", "BBB", "AAA", "AAA"]


def test_a_company_without_matches_leaves_its_share_to_the_others() -> None:
    rows = [passage(f"n{n}", f"wafer {n}", doc_id=str(n)) for n in range(6)]
    rows.append(passage("m", "nothing of the kind", ticker="MSFT"))
    found = retriever_of(rows).find("wafer", tickers=["MSFT", "NVDA"], top_k=4)
    assert len(found.passages) == 4
    assert found.relaxed == ()


@pytest.mark.parametrize(
    ("asked", "expected", "relaxed"),
    [
        ({"years": [2020], "sections": ["ITEM_7"]}, ["n1a", "n7"], ("sections",)),
        ({"years": [2019]}, ["n18", "n1a", "n7"], ("years",)),
        ({"years": [2018], "sections": ["ITEM_7"]}, ["n18", "n1a", "n7"], ("sections", "years")),
        ({}, ["n18", "n1a", "n7"], ()),
    ],
)
def test_filters_are_let_go_of_one_after_the_other(
    asked: dict[str, Any], expected: list[str], relaxed: tuple[str, ...]
) -> None:
    rows = [
        passage("n18", "wafer supply of old", fiscal_year=2018),
        passage("n1a", "wafer supply is at risk"),
        passage("n7", "wafer supply was short", section="ITEM_7"),
        passage("m", "wafer supply of another company", ticker="MSFT", fiscal_year=2019),
    ]
    found = retriever_of(rows).find("wafer supply", tickers=["NVDA"], top_k=8, **asked)
    assert ids(found.passages) == expected
    assert found.relaxed == relaxed


def test_enough_hits_keep_the_filter_strict() -> None:
    rows = [passage("a", "wafer one"), passage("b", "wafer two")]
    rows.append(passage("old", "wafer wafer wafer", fiscal_year=2019))
    found = retriever_of(rows).find("wafer", tickers=["NVDA"], years=[2020], top_k=8)
    assert (ids(found.passages), found.relaxed) == (["a", "b"], ())


def test_all_companies_are_searched_only_where_none_of_the_named_is_there() -> None:
    rows = [
        passage("a", "Google ads", ticker="GOOGL"),
        passage("b", "cloud ads", ticker="MSFT"),
        passage("c", "nothing", ticker="AAPL"),
    ]
    retriever = retriever_of(rows)
    other_label = retriever.find("Google ads", tickers=["GOOG"])
    assert (ids(other_label.passages), other_label.relaxed) == (["a", "b"], ("companies",))
    assert retriever.search("Google ads", tickers=["AAPL"]) == []


def test_neighbours_come_along_in_reading_order_and_stay_in_their_section() -> None:
    rows = [
        passage("1", "before the one"),
        passage("2", "wafer shortage"),
        passage("3", "after the one"),
        passage("4", "far away"),
        passage("5", "another section", section="ITEM_7"),
        passage("6", "another filing", doc_id="other"),
    ]
    found = retriever_of(rows).find("wafer", tickers=["NVDA"])
    assert ids(found.passages) == ["1", "2", "3"]
    assert (found.hits, found.neighbours) == (1, 2)
    assert ids(retriever_of(rows, window=0).search("wafer")) == ["2"]
    assert ids(retriever_of(rows, window=2).search("wafer")) == ["1", "2", "3", "4"]


def test_neighbours_stop_where_the_room_ends() -> None:
    rows = [passage(str(n), ("wafer " if n == 2 else "text ") * 100 + str(n)) for n in range(5)]
    found = retriever_of(rows, max_chars=1_200).find("wafer", tickers=["NVDA"])
    assert ids(found.passages) == ["1", "2"]


def test_the_same_text_comes_once_for_a_company_and_year() -> None:
    rows = [
        passage("a", "Wafer supply is at risk, wafer supply.", doc_id="1"),
        passage("b", "Wafer supply is at risk", doc_id="2"),
        passage("c", "Wafer supply is at risk.", fiscal_year=2019),
        passage("d", "Wafer supply is at risk.", ticker="MSFT"),
    ]
    assert ids(retriever_of(rows, window=0).search("wafer supply")) == ["d", "c", "a"]


def test_passages_come_in_reading_order_whatever_their_place_in_the_file() -> None:
    rows = [
        passage("7", "wafer a", section="ITEM_7"),
        passage("15", "wafer b", section="ITEM_15"),
        passage("1", "wafer c", section="ITEM_1"),
        passage("1A", "wafer d", section="ITEM_1A"),
        passage("old", "wafer e", section="ITEM_15", fiscal_year=2019),
    ]
    assert ids(retriever_of(rows).search("wafer")) == ["old", "1", "1A", "7", "15"]


@pytest.mark.parametrize("query", ["", "   ", "???", "the of and", "zyzzyva", "\x00\ud800"])
def test_nothing_is_found_where_no_word_is(query: str) -> None:
    assert EMBEDDED.search(query, tickers=["NVDA"], years=[2020]) == []


def test_names_and_years_of_the_filter_do_not_count_as_matches() -> None:
    rows = [
        passage("names", "NVIDIA Corp in 2020, NVIDIA Corp", company_name="NVIDIA Corp"),
        passage("topic", "tariffs may come", doc_id="x", company_name="NVIDIA Corp"),
    ]
    retriever = retriever_of(rows)
    asked = {"tickers": ["NVDA"], "years": [2020], "top_k": 1}
    assert ids(retriever.search("NVIDIA tariffs in FY2020", **asked)) == ["topic"]
    assert ids(retriever.search("What about NVIDIA in 2020?", **asked)) == ["names"]


def test_long_passages_are_split_where_a_reader_would_and_lose_nothing() -> None:
    text = " ".join(f"Sentence number {n} speaks of wafers." for n in range(600))
    row = passage("long", text, sentence_ids=["s1"])
    pieces = Corpus(name="c.jsonl", content=jsonl([row])).pieces()
    assert ids(pieces)[:3] == ["long", "long#2", "long#3"]
    assert all(len(piece.text) <= MAX_PIECE_CHARS for piece in pieces)
    assert all(piece.text.endswith("wafers.") for piece in pieces)
    assert all(piece.sentence_ids == ("s1",) for piece in pieces)
    assert " ".join(piece.text for piece in pieces) == text


@given(st.text(alphabet="ab .\n", max_size=9_000).filter(str.strip))
def test_any_text_is_split_without_loss(text: str) -> None:
    pieces = Corpus(name="c.jsonl", content=jsonl([passage("x", text)])).pieces()
    assert all(0 < len(piece.text) <= MAX_PIECE_CHARS for piece in pieces)
    assert "".join("".join(piece.text for piece in pieces).split()) == "".join(text.split())


@given(
    question=st.lists(st.sampled_from(words(EMBEDDED.index.piece(100).text)), max_size=6),
    tickers=st.lists(st.sampled_from(["NVDA", "MSFT", "V", "XYZ"]), max_size=3),
    years=st.lists(st.integers(2014, 2021), max_size=3),
    sections=st.lists(st.sampled_from(["ITEM_1", "ITEM_7", "ITEM_9"]), max_size=2),
    top_k=st.integers(1, 12),
)
def test_what_breaks_the_filter_is_always_told(
    question: list[str], tickers: list[str], years: list[int], sections: list[str], top_k: int
) -> None:
    asked: dict[str, Any] = {"tickers": tickers, "years": years, "sections": sections}
    found = EMBEDDED.find(" ".join(question), top_k=top_k, **asked)
    assert found == EMBEDDED.find(" ".join(question), top_k=top_k, **asked)
    assert found.hits <= top_k
    assert len(set(ids(found.passages))) == len(found.passages) == found.hits + found.neighbours
    for piece in found.passages:
        assert not tickers or piece.ticker in tickers or "companies" in found.relaxed
        assert not years or piece.fiscal_year in years or "years" in found.relaxed
        assert not sections or piece.section in sections or set(found.relaxed) & {"sections"}


def test_fiscal_year_actual_wins_over_the_label() -> None:
    row = passage("jnj", "wafer", ticker="JNJ", fiscal_year=2016, fiscal_year_actual=2015)
    assert retriever_of([row]).search("wafer")[0].fiscal_year == 2015


def test_control_characters_and_line_breaks_in_labels_do_not_reach_a_prompt() -> None:
    row = passage("a\nb", "wafer\x0c\x1b[31m text\x85", section="ITEM\n1A", sentence_ids=["s\n1"])
    found = retriever_of([row | {"ticker": "nvda"}]).search("wafer")[0]
    assert (found.chunk_id, found.section, found.sentence_ids) == ("a b", "ITEM 1A", ("s 1",))
    assert found.text == "wafer  [31m text"
    assert found.ticker == "NVDA"


def test_digest_names_what_the_passages_say_and_not_how_the_file_is_written(
    tmp_path: Path,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [passage("a", "wafer", sentence_ids=["r", "s"])]
    rows.append(passage("b", "supply", ticker="MSFT", sentence_ids=[]))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    told = Corpus(name="c.jsonl", content=jsonl(rows)).digest
    assert told == "455e46c1a8fadd58edf5a4cc9490c1ad06e4e0619b8fe266afe3d67093443349"
    windows = b"\xef\xbb\xbf" + jsonl(rows).replace(b"\n", b"\r\n\r\n")
    assert Corpus(name="c.jsonl", content=windows).digest == told
    assert Corpus(name="c.jsonl", content=jsonl(rows[::-1])).digest == told
    assert Corpus.from_file(tmp_path / "c.parquet").digest == told
    assert Corpus(name="c.jsonl", content=jsonl(rows[:1])).digest != told


def test_retriever_digest_changes_with_the_options() -> None:
    rows = [passage("a", "wafer")]
    assert retriever_of(rows).digest == retriever_of(rows).digest
    assert retriever_of(rows).digest != retriever_of(rows, window=0).digest


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "c.jsonl: the corpus is empty; add passages to it"),
        (
            b'{"chunk_id": "a"\n',
            "c.jsonl:1: not JSON at character 17: Expecting ',' delimiter; "
            "write one JSON object a line, in UTF-8",
        ),
        (b"\n\n[1]\n", "c.jsonl:3: not a JSON object; write one JSON object a line, in UTF-8"),
        (
            b"\n{}\xff\n",
            "c.jsonl:2: not UTF-8 at byte 3 of the line; write one JSON object a line, in UTF-8",
        ),
        (
            b"[" * 99_999,
            "c.jsonl:1: not JSON: too large a number, or nested too deep; "
            "write one JSON object a line, in UTF-8",
        ),
        (
            jsonl([{"chunk_id": "a", "ticker": "A", "fiscal_year": 2020, "section": "ITEM_1"}]),
            "c.jsonl:1: text: is missing; give every passage one",
        ),
        (
            jsonl([passage("a", "x", fiscal_year="2020")]),
            "c.jsonl:1: fiscal_year: is not a year: '2020'; write a whole number, as in 2020",
        ),
        (
            jsonl([passage("a", "x", fiscal_year=True)]),
            "c.jsonl:1: fiscal_year: is not a year: True; write a whole number, as in 2020",
        ),
        (
            jsonl([passage("a", 7)]),  # type: ignore[arg-type]
            "c.jsonl:1: text: is not a text: 7; write it as text, in quotes",
        ),
        (
            jsonl([passage("a", "\ud83d")]),
            "c.jsonl:1: text: holds half a character; mend its \\u escapes",
        ),
        (
            jsonl([passage("a", "x", sentence_ids="s1")]),
            'c.jsonl:1: sentence_ids: is not a list; write a list of texts, as in ["a", "b"]',
        ),
        (
            jsonl([passage("a", "x"), passage("a", "y")]),
            "c.jsonl:2: chunk_id: 'a' stands on line 1, too; give every passage its own",
        ),
    ],
)
def test_a_wrong_corpus_is_refused_with_its_line(content: bytes, problem: str) -> None:
    if content.startswith(b"[["):
        gc.collect()  # so that nothing of other tests is finalised at the bottom of the recursion
    with pytest.raises(InvalidInput) as refused:
        Corpus(name="c.jsonl", content=content).pieces()
    assert str(refused.value) == problem


def test_many_problems_are_told_at_once_but_not_without_end() -> None:
    with pytest.raises(InvalidInput) as refused:
        Corpus(name="c.jsonl", content=b"{}\n" * 100).pieces()
    assert len(refused.value.problems) == 21
    assert refused.value.problems[-1].message == "480 more problems in this file"


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InvalidInput, match=r"c\.parquet: not a readable Parquet file"):
        Corpus.from_file(tmp_path / "c.parquet").pieces()
    with pytest.raises(InvalidInput, match=r"none\.jsonl: cannot be read \(No such file"):
        Corpus.from_file(tmp_path / "none.jsonl")
    with pytest.raises(InvalidInput, match=r"c\.csv: a corpus is \.jsonl or \.parquet; convert"):
        Corpus.from_file(tmp_path / "c.csv")


def test_options_are_checked() -> None:
    assert Bm25Options.read({"window": 0}, "ml_config.yaml") == Bm25Options(window=0)
    with pytest.raises(InvalidInput) as refused:
        Bm25Options.read({"windw": 1, "min_hits": -1, "max_chars": True}, "ml_config.yaml")
    assert str(refused.value).splitlines() == [
        "ml_config.yaml: retriever_options.windw: the bm25 retriever has no such option; "
        "did you mean 'window'?",
        "ml_config.yaml: retriever_options.min_hits: is not a count: -1; "
        "write a whole number, 0 or more",
        "ml_config.yaml: retriever_options.max_chars: is not a count: True; "
        "write a whole number, 0 or more",
    ]


def cached(folder: Path, rows: Sequence[object]) -> Bm25Retriever:
    return Bm25Retriever(Corpus(name="c.jsonl", content=jsonl(rows)), cache_folder=folder)


def index_folder(folder: Path) -> Path:
    (home,) = (path for path in folder.iterdir() if path.is_dir())
    return home


def test_an_index_is_kept_on_disk_and_finds_the_same(tmp_path: Path) -> None:
    rows = [passage(f"p{n}", f"wafer number {n}", doc_id=str(n)) for n in range(30)]
    first = cached(tmp_path, rows)
    expected = first.search("wafer number 7")
    kept = index_folder(tmp_path)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in kept.iterdir())
    again = cached(tmp_path, rows)
    assert again.search("wafer number 7") == expected
    assert again.digest == first.digest == retriever_of(rows).digest
    assert sorted((path.name, path.stat().st_mtime_ns) for path in kept.iterdir()) == before


@pytest.mark.parametrize("name", ["meta.json", "pieces.jsonl", "weights.npy", "year.npy"])
@pytest.mark.parametrize("fault", ["cut", "lost"])
def test_a_damaged_index_is_built_anew(tmp_path: Path, name: str, fault: str) -> None:
    rows = [passage(f"p{n}", f"wafer number {n}", doc_id=str(n)) for n in range(30)]
    expected = cached(tmp_path, rows).search("wafer number 7")
    damaged = index_folder(tmp_path) / name
    if fault == "cut":
        damaged.write_bytes(damaged.read_bytes()[:-9])
    else:
        damaged.unlink()
    assert cached(tmp_path, rows).search("wafer number 7") == expected
    assert cached(tmp_path, rows).search("wafer number 7") == expected


def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    found = cached(tmp_path / "file", [passage("a", "wafer")]).search("wafer")
    assert ids(found) == ["a"]
    assert "it is built in memory" in caplog.text


def test_processes_at_once_share_one_whole_index(tmp_path: Path) -> None:
    rows = [passage(f"p{n}", f"wafer number {n} " * 40, doc_id=str(n)) for n in range(300)]
    (tmp_path / "c.jsonl").write_bytes(jsonl(rows))
    program = (
        "import sys; from pathlib import Path\n"
        "from finrag_eval.synthesis_pipeline.retrievers import Bm25Retriever, Corpus\n"
        "folder = Path(sys.argv[1])\n"
        "found = Bm25Retriever(Corpus.from_file(folder / 'c.jsonl'), folder / 'cache')\n"
        "print([p.chunk_id for p in found.search('number 7 wafer', top_k=3)], found.digest)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert len(said) == 1
    assert "'p7'" in said.pop()
    assert index_folder(tmp_path / "cache").name.startswith("bm25-")


def test_threads_and_pickled_copies_find_the_same() -> None:
    asked = [("cloud", "MSFT"), ("gaming", "NVDA"), ("talc", "JNJ"), ("travel", "V")] * 25

    def search(question: tuple[str, str]) -> list[str]:
        return ids(EMBEDDED.search(question[0], tickers=[question[1]]))

    alone = [search(question) for question in asked]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(search, asked)) == alone
    copy = pickle.loads(pickle.dumps(EMBEDDED))
    assert ids(copy.search("talc", tickers=["JNJ"])) == search(("talc", "JNJ"))


def test_embedded_passages_answer_the_narrative_questions(project: Path) -> None:
    lines = (project / "query_sets" / "narrative.jsonl").read_text(encoding="utf-8").splitlines()
    missed = []
    for query in map(json.loads, lines):
        found = EMBEDDED.search(query["query"], tickers=query["tickers"], years=query["years"])
        seen = {sentence for piece in found for sentence in piece.sentence_ids}
        if not seen.issuperset(query["evidence_ids"]):
            missed.append(query["id"])
    assert len(missed) <= len(lines) / 20, missed


def test_eight_thousand_real_passages_work_as_a_corpus(shared_data: Path, tmp_path: Path) -> None:
    corpus = Corpus.from_file(shared_data / "narrative_chunks.jsonl")
    retriever = Bm25Retriever(corpus, cache_folder=tmp_path)
    asked = {"tickers": ["WMT"], "years": [2018, 2019, 2020], "top_k": 9}
    found = retriever.find("drivers of long-term debt and cash flows from financing", **asked)
    assert found.hits == 9
    assert {piece.ticker for piece in found.passages} == {"WMT"}
    assert {piece.fiscal_year for piece in found.passages} == {2018, 2019, 2020}
    assert len(retriever.index) > 8_261
    assert len(set(ids([retriever.index.piece(n) for n in range(len(retriever.index))]))) == len(
        retriever.index
    )


@given(
    texts=st.lists(
        st.lists(st.sampled_from("alpha beta gamma delta epsilon".split()), min_size=1, max_size=9),
        min_size=2,
        max_size=8,
    ),
    question=st.lists(st.sampled_from("alpha beta gamma delta zeta".split()), max_size=6),
)
def test_the_scores_are_those_of_bm25s(texts: list[list[str]], question: list[str]) -> None:
    rows = [passage(f"p{number}", " ".join(text)) for number, text in enumerate(texts)]
    index = build_index(Corpus(name="c.jsonl", content=jsonl(rows)))
    made = bm25s.BM25(k1=1.2, b=0.75, method="lucene", backend="numpy", csc_backend="numpy")
    pieces = [words(index.piece(position).text) for position in range(len(index))]
    made.index(pieces, show_progress=False)
    asked = made.get_tokens_ids(list(dict.fromkeys(question)))
    expected = made.get_scores_from_ids(asked) if asked else np.zeros(len(index))
    assert index.scores(question).tolist() == expected.tolist()

"""Prompt versions and how a prompt is assembled."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finrag_eval.domain import PromptTexts, PromptVersion
from finrag_eval.errors import InvalidInput
from finrag_eval.synthesis_pipeline.prompt_library import PromptLibrary, assemble, texts_digest

V1, V2 = PromptVersion(system="v1", query="v1"), PromptVersion(system="v2", query="v2")


def _texts(template: str) -> PromptTexts:
    return PromptTexts(version=V1, system_text="S", query_text=template, digest="d")


def _folder(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def _problems(folder: Path) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        PromptLibrary(folder).texts()
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_the_package_brings_two_versions_of_each_kind() -> None:
    library = PromptLibrary()
    assert library.names() == ({"v1", "v2"}, {"v1", "v2"})
    assert [(text.kind, text.version) for text in library.texts("v2")] == [
        ("system", "v2"),
        ("query", "v2"),
    ]
    assert all(text.description and text.is_packaged for text in library.texts())


def test_the_digest_names_the_texts_and_nothing_else() -> None:
    library = PromptLibrary()
    first, second = library.load(V1), library.load(V2)
    assert first.digest != second.digest
    assert first.digest == texts_digest(first.system_text, first.query_text)
    assert texts_digest("ab", "c") != texts_digest("a", "bc")


def test_a_users_folder_stands_beside_the_packaged_versions(tmp_path: Path) -> None:
    folder = _folder(
        tmp_path,
        system_brief='version: "brief"\ndescription: Short.\ntext: Answer in one word.\n',
        query_v1='version: "v1"\ntext: "{context} -- {query}"\n',
    )
    library = PromptLibrary(folder)
    assert library.names() == ({"brief", "v1", "v2"}, {"v1", "v2"})
    texts = library.load(PromptVersion(system="brief", query="v1"))
    assert texts.system_text == "Answer in one word."
    assert texts.query_text == "{context} -- {query}"


def test_an_unknown_version_names_the_nearest_one() -> None:
    with pytest.raises(InvalidInput) as caught:
        PromptLibrary().load(PromptVersion(system="v11", query="zzz"))
    assert [str(problem) for problem in caught.value.problems] == [
        "prompts: prompts.system: no system prompt version 'v11'; did you mean 'v1'? "
        "known: v1, v2; add system_v11.yaml for a new one",
        "prompts: prompts.query: no query prompt version 'zzz'; "
        "known: v1, v2; add query_zzz.yaml for a new one",
    ]


def test_every_problem_of_a_folder_is_told_at_once(tmp_path: Path) -> None:
    folder = _folder(
        tmp_path,
        query_a='version: "a"\ntext: only {query}\n',
        query_b='version: "b"\ntext: "{context}{query}"\nmodel: x\n',
        system_c="version: 2.10\ntext: x\n",
        system_d='version: "e"\ntext: x\n',
        system_e='version: "e"\n',
        system_f="text: [unclosed\n",
    )
    assert _problems(folder) == [
        "query_a.yaml: text: no {context} in the template; write {context} where it goes",
        "query_b.yaml: unknown key 'model'; known: version, description, text",
        'system_c.yaml: version: version 2.1 is not text; quote it: "c"',
        "system_d.yaml: version: version 'e', but the file's name says 'd'; make the two agree",
        "system_e.yaml: text: no text; write the prompt after 'text: |'",
        "system_f.yaml:2: expected ',' or ']', but got '<stream end>'; "
        "write the text after 'text: |'",
    ]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such folder"):
        PromptLibrary(tmp_path / "none").texts()


def test_the_question_comes_last_and_the_context_can_be_kept() -> None:
    system, prefix, question = assemble(PromptLibrary().load(V2), query="Q?", context="C")
    assert "Evidence" in system
    assert "C" in prefix
    assert "Q?" not in prefix
    assert question == "Q?"


def test_braces_in_context_and_question_survive() -> None:
    texts = _texts("<{context}> {query} {other}")
    _, prefix, question = assemble(texts, query="{context} {x}", context="{query} {0} %s")
    assert prefix == "<{query} {0} %s> "
    assert question == "{context} {x} {other}"


def test_a_template_with_the_question_first_stays_whole() -> None:
    texts = _texts("{query}\n\n{context}\nEnd")
    _, prefix, question = assemble(texts, query="Q", context="C")
    assert prefix + question == "Q\n\nC\nEnd"


@given(st.text(), st.text(), st.sampled_from(["{context}|{query}", "{query}|{context}|{query}"]))
def test_assembly_replaces_placeholders_once_and_literally(
    query: str, context: str, template: str
) -> None:
    _, prefix, question = assemble(_texts(template), query=query, context=context)
    parts = {"context": context, "query": query}
    expected = "|".join(parts[name.strip("{}")] for name in template.split("|"))
    assert (prefix + question).rstrip("\n") == expected.rstrip("\n")

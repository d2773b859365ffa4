"""README and docs do what they say: every command is run, every sweep is read, every link leads."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_pages import PAGE, commands_page
from exempt import EXEMPT
from pages import PAGES, PROJECT, Command, blocks, commands, other_commands

from finrag_eval.cli.main import main
from finrag_eval.job import known_prompts
from finrag_eval.spec.sweeps import read_everything

#: What the machine itself may have set, and a reader has not.
_UNSET = ("MLFLOW_TRACKING_URI", "GITHUB_STEP_SUMMARY", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK")

page_by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@pytest.fixture
def place(
    workplace: Path, template_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A user's folder of this test alone, and the current one; its other stores are migrated."""
    folder = tmp_path / "project"
    shutil.copytree(workplace, folder)
    for name in ("team.db", "another.db"):
        shutil.copy(template_store, folder / name)
    monkeypatch.chdir(folder)
    for name in _UNSET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    path, modules = list(sys.path), set(sys.modules)
    yield folder
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def write_files(page: Path, folder: Path) -> list[Path]:
    """The files that a page shows, as its reader would write them."""
    written = []
    for block in blocks(page):
        if block.file is not None and not block.file.startswith("."):
            target = folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
            written.append(target)
    return written


def run(command: Command, folder: Path) -> str | None:
    """What went wrong with a command; None where it ended as the page says."""
    program, *arguments = shlex.split(command.line)
    if program == "cat":
        missing = [name for name in arguments if not list(folder.glob(name))]
        return f"{command.line}: no {missing}" if missing else None
    assert program == "finrag-eval", f"the test cannot run {command.line!r}"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    if code == command.code:
        return None
    return f"{command.line}: {code}, not {command.code}\n{out.getvalue()}{err.getvalue()}"


@page_by_page
def test_every_command_ends_as_the_page_says(page: Path, place: Path) -> None:
    write_files(page, place)
    wrong = [said for command in commands(page) if (said := run(command, place))]
    assert not wrong, "\n".join(wrong)


@page_by_page
def test_commands_that_are_not_run_are_known_with_their_reason(page: Path) -> None:
    if page == PAGE:
        return
    unknown = [
        line
        for line in other_commands(page)
        if not any(line.startswith(known) for known in EXEMPT.get(page.name, {}))
    ]
    assert unknown == []


@page_by_page
def test_every_sweep_of_a_page_is_a_sweep(page: Path, place: Path) -> None:
    write_files(page, place)
    for number, block in enumerate(blocks(page)):
        if block.language == "yaml" and re.search(r"^models:", block.text, re.MULTILINE):
            file = place / (block.file or f"sweeps/of_the_page_{number}.yaml")
            file.write_text(block.text, encoding="utf-8")
            read_everything(file, known_prompts=known_prompts)


@page_by_page
def test_every_link_and_every_file_that_is_named_is_there(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for _, target in re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", text):
        if not target.startswith(("http:", "https:", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target
    for name in re.findall(r"`((?:finrag_eval|sweeps|query_sets|notebooks|docs)/[\w./]+)`", text):
        assert (PROJECT / name).exists(), name


def test_the_page_of_commands_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == commands_page(), (
        "write it again: python tests/docs/command_pages.py"
    )


def test_every_verb_is_in_the_readme_or_a_page() -> None:
    told = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page != PAGE)
    for name in re.findall(r"^## finrag-eval (.+)$", commands_page(), re.MULTILINE):
        assert f"finrag-eval {name}" in told, name


def test_no_page_names_a_place_on_somebodys_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/home/\w|/Users/|/work/", page.read_text(encoding="utf-8")), page


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered_for_the_usual_shells(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_FINRAG_EVAL_COMPLETE", f"source_{shell}")
    assert main([]) == 0
    assert "finrag-eval" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("s", ["score", "summary", "sweeps", "sync"]), ("run --ou", "--output-dir")],
)
def test_a_word_that_was_begun_is_completed(
    typed: str,
    offered: str | list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("_FINRAG_EVAL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"finrag-eval {typed}")
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split())))
    assert main([]) == 0
    assert sorted(capsys.readouterr().out.split()) == (
        [offered] if isinstance(offered, str) else offered
    )


def test_the_readme_shows_what_the_program_prints(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Line by line but for figures and for what they decide; `...` stands for what is left out."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- output of: [^>]+ -->\n```text\n(.*?)\n```", readme, re.DOTALL)
    assert shown is not None
    monkeypatch.chdir(workplace)
    assert main(["summary", "latest"]) == 0
    printed = {_first_words(line) for line in capsys.readouterr().out.splitlines()}
    decided = re.compile(r"No candidate|could not|! |  |$|\.\.\.$")
    assert [
        line
        for line in shown[1].splitlines()
        if not decided.match(line) and _first_words(line) not in printed
    ] == []


def _first_words(line: str) -> str:
    """The beginning of a line, without what differs from sweep to sweep."""
    line = re.sub(r"\d{8}-\d{6}-quickstart-\w{4}", "ID", line)
    return " ".join(re.sub(r"[\d.,$–]+|\b(ms|s)\b", "#", line).split()[:2])

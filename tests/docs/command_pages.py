"""docs/commands.md from the program itself: ``python tests/docs/command_pages.py`` writes it."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from finrag_eval.cli.main import main, program

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
_HEAD = """# Every command

Made by `python tests/docs/command_pages.py` from the program's own help.
"""


def commands_page() -> str:
    """The whole page: the help of the program and of each of its commands."""
    sections = [_HEAD]
    for words in ((), *_verbs()):
        name = " ".join(("finrag-eval", *words))
        sections.append(f"## {name}\n\n```text\n{_help_of(words)}```\n")
    return "\n".join(sections)


def _verbs() -> Iterator[tuple[str, ...]]:
    app = program()
    for command in app.registered_commands:
        yield (str(command.name),)
    for group in app.registered_groups:
        yield (str(group.name),)
        assert group.typer_instance is not None
        for command in group.typer_instance.registered_commands:
            yield (str(group.name), str(command.name))


def _help_of(words: tuple[str, ...]) -> str:
    said = io.StringIO()
    plain = {"COLUMNS": "90", "LINES": "40", "NO_COLOR": "1", "TERM": "dumb"}
    with patch.dict(os.environ, plain), contextlib.redirect_stdout(said):
        main([*words, "--help"])
    return "\n".join(line.rstrip() for line in said.getvalue().strip().splitlines()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(commands_page(), encoding="utf-8")

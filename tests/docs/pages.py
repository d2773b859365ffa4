"""README and docs as tests read them: their code blocks, commands and files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^    .+\n)+", re.MULTILINE)
_NAMED = re.compile(r"^# ([\w./-]+\.\w+)")
_EXIT = re.compile(r"^# exit code (\d+)$")


@dataclass(frozen=True)
class Block:
    """A block of code; ``language`` is ``indented`` for one without fences."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that it shows, where its first line is a comment with a file's name."""
        found = _NAMED.match(self.text)
        return found[1] if found and self.language in ("yaml", "python") else None


@dataclass(frozen=True)
class Command:
    """A command of a console block and the exit code that the page promises."""

    line: str
    code: int = 0


def blocks(page: Path) -> list[Block]:
    """The page's code blocks, fenced ones first."""
    text = page.read_text(encoding="utf-8")
    fenced = [Block(found[1], found[2]) for found in _FENCE.finditer(text)]
    rest = _FENCE.sub("", text)
    return [*fenced, *(Block("indented", found[0]) for found in _INDENTED.finditer(rest))]


def commands(page: Path) -> list[Command]:
    """The commands of the page's console blocks, in their order."""
    found: list[Command] = []
    for block in blocks(page):
        if block.language != "console":
            continue
        for line in block.text.splitlines():
            if line.startswith("$ "):
                found.append(Command(line.removeprefix("$ ")))
            elif promised := _EXIT.match(line):
                found[-1] = Command(found[-1].line, int(promised[1]))
    return found


def other_commands(page: Path) -> Iterator[str]:
    """Lines of other blocks that look like commands of ours."""
    for block in blocks(page):
        if block.language in ("text", "indented", "bash", "sh"):
            for line in block.text.splitlines():
                if re.match(r"\s*(finrag-eval|make|python -m|mlflow|dask)\b", line):
                    yield line.strip()

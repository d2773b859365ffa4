"""Prompt versions: system prompts and query templates, from the package and a user's folder.

Enters: YAML files ``system_NAME.yaml`` and ``query_NAME.yaml`` with ``version``, ``description``
and ``text``. Leaves: ``PromptTexts``, and prompts made of them. A query template holds
``{context}`` and ``{query}``; nothing else in braces has a meaning.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from finrag_eval.domain import PromptTexts, PromptVersion
from finrag_eval.errors import InvalidInput, Problem

PACKAGED = Path(__file__).parent / "prompts"

Kind = Literal["system", "query"]

_KINDS: tuple[Kind, ...] = ("system", "query")
_FILE_NAME = re.compile(r"(?P<kind>system|query)_(?P<version>.+)\.ya?ml")
_PLACEHOLDER = re.compile(r"\{(context|query)\}")
_KEYS = ("version", "description", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt text: a system prompt or a query template, and the file that it stands in."""

    kind: Kind
    version: str
    description: str
    text: str
    path: Path
    is_packaged: bool

    @property
    def digest(self) -> str:
        """SHA-256 of the text alone."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class PromptLibrary:
    """The prompts of the package and, beside them, those of ``folder``.

    A version of the folder that has a packaged one's name is used in its place. Files are read
    when they are first needed; every problem of all of them is raised at once as InvalidInput.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def texts(self, version: str | None = None) -> tuple[Prompt, ...]:
        """All prompts, system prompts first; or those of one version, of either kind.

        Raises InvalidInput for a version that neither kind has.
        """
        found = tuple(
            self._prompts[key]
            for key in sorted(self._prompts, key=_order)
            if version is None or key[1] == version
        )
        if version is not None and not found:
            raise InvalidInput([self._unknown("system", version)])
        return found

    def names(self) -> tuple[set[str], set[str]]:
        """The versions of all system prompts, and those of all query templates."""
        system, query = ({name for each, name in self._prompts if each == kind} for kind in _KINDS)
        return system, query

    def load(self, version: PromptVersion) -> PromptTexts:
        """The two texts of a prompt version. Raises InvalidInput with the nearest known one."""
        problems: list[Problem] = []
        system = self._find("system", version.system, problems)
        query = self._find("query", version.query, problems)
        if system is None or query is None:
            raise InvalidInput(problems)
        return PromptTexts(
            version=version,
            system_text=system.text,
            query_text=query.text,
            digest=texts_digest(system.text, query.text),
        )

    def _find(self, kind: Kind, version: str, problems: list[Problem]) -> Prompt | None:
        found = self._prompts.get((kind, version))
        if found is None:
            problems.append(self._unknown(kind, version))
        return found

    def _unknown(self, kind: Kind, version: str) -> Problem:
        known = sorted(name for each, name in self._prompts if each == kind)
        near = get_close_matches(version, known, n=1)
        return Problem(
            file=str(self.folder or "prompts"),
            key=f"prompts.{kind}",
            message=f"no {kind} prompt version {version!r:.60}",
            fix=(f"did you mean {near[0]!r}? " if near else "")
            + f"known: {', '.join(known)}; add {kind}_{version[:40]}.yaml for a new one",
        )

    @cached_property
    def _prompts(self) -> Mapping[tuple[Kind, str], Prompt]:
        problems: list[Problem] = []
        prompts: dict[tuple[Kind, str], Prompt] = {}
        for folder in (PACKAGED, self.folder):
            if folder is not None:
                for prompt in _of_folder(folder, problems):
                    prompts[prompt.kind, prompt.version] = prompt
        if problems:
            raise InvalidInput(problems)
        return prompts


def texts_digest(system_text: str, query_text: str) -> str:
    """Names the two texts together, and nothing but them."""
    joined = f"{len(system_text)}\n{system_text}\n{query_text}"
    return hashlib.sha256(joined.encode()).hexdigest()


def assemble(texts: PromptTexts, *, query: str, context: str) -> tuple[str, str, str]:
    """The system text, the user text before the question, and the question with what follows.

    The two user parts together are the template with its placeholders replaced. The context
    stands in the first of them wherever the template lets it, so that a cache can keep it.
    """
    values = {"context": context, "query": query}
    template = texts.query_text
    cut = _question_starts(template)
    return (
        texts.system_text,
        _filled(template[:cut], values),
        _filled(template[cut:], values).rstrip("\n"),
    )


def _question_starts(template: str) -> int:
    last_query = template.rfind("{query}")
    return last_query if last_query > template.rfind("{context}") else template.find("{query}")


def _filled(template: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


def _of_folder(folder: Path, problems: list[Problem]) -> Iterator[Prompt]:
    if not folder.is_dir():
        problems.append(_problem(folder, "no such folder", "give a folder of prompt files"))
        return
    for path in sorted(folder.iterdir()):
        named = _FILE_NAME.fullmatch(path.name)
        if named is not None:
            prompt = _read(path, _KINDS[named["kind"] == "query"], named["version"], problems)
            if prompt is not None:
                yield prompt


def _read(path: Path, kind: Kind, version: str, problems: list[Problem]) -> Prompt | None:
    values = _yaml(path, problems)
    if values is None:
        return None
    found = [*_wrong_keys(path, values), *_wrong_version(path, values, version)]
    if not found and kind == "query":
        found = list(_missing_placeholders(path, values["text"]))
    problems.extend(found)
    if found:
        return None
    return Prompt(
        kind=kind,
        version=version,
        description=" ".join(str(values.get("description", "")).split()),
        text=values["text"],
        path=path,
        is_packaged=path.parent == PACKAGED,
    )


def _yaml(path: Path, problems: list[Problem]) -> dict[str, Any] | None:
    import yaml

    try:
        values = yaml.safe_load(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        problems.append(_problem(path, error.strerror or str(error), "make the file readable"))
        return None
    except UnicodeDecodeError as error:
        problems.append(_problem(path, f"not UTF-8: byte {error.start}", "save it as UTF-8"))
        return None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        told = getattr(error, "problem", None) or "not YAML"
        problems.append(_problem(path, str(told), "write the text after 'text: |'", line=line))
        return None
    if not isinstance(values, dict):
        problems.append(_problem(path, "not a mapping", f"write {', '.join(_KEYS)}"))
        return None
    return values


def _wrong_keys(path: Path, values: Mapping[str, Any]) -> Iterator[Problem]:
    for key in values:
        if key not in _KEYS:
            yield _problem(path, f"unknown key {str(key)!r:.60}", f"known: {', '.join(_KEYS)}")
    text = values.get("text")
    if not isinstance(text, str) or not text.strip():
        yield _problem(path, "no text", "write the prompt after 'text: |'", key="text")


def _wrong_version(path: Path, values: Mapping[str, Any], version: str) -> Iterator[Problem]:
    told = values.get("version", version)
    if not isinstance(told, str):
        yield _problem(
            path, f"version {told!r:.40} is not text", f'quote it: "{version}"', key="version"
        )
    elif told != version:
        yield _problem(
            path,
            f"version {told!r:.60}, but the file's name says {version!r:.60}",
            "make the two agree",
            key="version",
        )


def _missing_placeholders(path: Path, text: str) -> Iterator[Problem]:
    for name in ("context", "query"):
        if f"{{{name}}}" not in text:
            yield _problem(
                path,
                f"no {{{name}}} in the template",
                f"write {{{name}}} where it goes",
                key="text",
            )


def _problem(
    path: Path, message: str, fix: str, *, key: str | None = None, line: int | None = None
) -> Problem:
    return Problem(file=str(path), line=line, key=key, message=message, fix=fix)


def _order(key: tuple[Kind, str]) -> tuple[int, str]:
    return _KINDS.index(key[0]), key[1]

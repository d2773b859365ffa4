"""``judge``: a model with a rubric scores the answer.

Enters: a rubric, a query and a result. Leaves: the prompt for the judge, and a verdict from its
reply. It calls no model: the call is given from outside, which knows limits, retries and budget.
The reply must be one JSON object with ``score`` and ``reason``; anything else is unscored.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from finrag_eval.domain import Query
from finrag_eval.score.verdicts import Unscored, Verdict, answer_of, context_of

#: Asks a model: (system text, user text) -> (reply, cost in USD).
JudgeCall = Callable[[str, str], tuple[str, Decimal]]

_OWN_RUBRICS = Path(__file__).parent / "rubrics"
_FIELDS = {
    "version": str,
    "description": str,
    "lowest": int,
    "highest": int,
    "needs": list,
    "system": str,
    "question": str,
}
_NEEDS = frozenset({"reference", "context"})
_PLACEHOLDER = re.compile(r"\{(query|answer|reference|context|mark)\}")
_FENCE = re.compile(r"^```(?:json)?\s*\n(.*?)\n?```$", re.DOTALL)
_REASON_CHARACTERS = 2_000


class UnreadableRubric(ValueError):
    """A rubric is missing or is not in its form; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rubric:
    """What a judge is told, and the scale that it scores on, both ends included."""

    version: str
    description: str
    lowest: int
    highest: int
    needs: frozenset[str]
    system: str
    question: str
    digest: str

    @property
    def reads_context(self) -> bool:
        """Whether the judge is shown the assembled context."""
        return "{context}" in self.system + self.question


def rubric_versions(folder: Path | None = None) -> tuple[str, ...]:
    """Every rubric there is by name: the package's own, and ``rubric_NAME.yaml`` of a folder."""
    names = {path.stem for path in _OWN_RUBRICS.glob("*.yaml")}
    own = folder.glob("rubric_*.yaml") if folder else ()
    return tuple(sorted(names | {path.stem.removeprefix("rubric_") for path in own}))


def load_rubric(name: str, folder: Path | None = None) -> Rubric:
    """The rubric of that name, the user's before the package's; raises UnreadableRubric."""
    import yaml

    own = [folder / f"rubric_{name}.yaml"] if folder else []
    for path in (*own, _OWN_RUBRICS / f"{name}.yaml"):
        if name == Path(name).name and path.is_file():
            break
    else:
        known = ", ".join(rubric_versions(folder))
        raise UnreadableRubric(f"there is no rubric '{name}'; known: {known}")
    text = path.read_text(encoding="utf-8")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UnreadableRubric(f"{path.name} is not YAML: {error}") from None
    return _rubric(content, path.name, hashlib.sha256(text.encode()).hexdigest())


def _rubric(content: Any, name: str, digest: str) -> Rubric:
    if not isinstance(content, dict) or set(content) != set(_FIELDS):
        raise UnreadableRubric(f"{name} must hold exactly: {', '.join(_FIELDS)}")
    for field, kind in _FIELDS.items():
        if not isinstance(content[field], kind) or isinstance(content[field], bool):
            raise UnreadableRubric(f"{name}: {field} must be a {kind.__name__}")
    needs = frozenset(content["needs"])
    if not needs <= _NEEDS:
        raise UnreadableRubric(f"{name}: needs may hold {', '.join(sorted(_NEEDS))}")
    if content["lowest"] >= content["highest"]:
        raise UnreadableRubric(f"{name}: lowest must be below highest")
    if "{answer}" not in content["question"]:
        raise UnreadableRubric(f"{name}: question must hold {{answer}}")
    return Rubric(**{**content, "needs": needs}, digest=digest)


def prompt(rubric: Rubric, query: Query, result: Mapping[str, Any]) -> tuple[str, str] | Unscored:
    """System text and user text for the judge; unscored where the rubric lacks what it needs.

    Answer, reference and context are material: each placeholder is filled once, so nothing in
    them is filled again, and ``{mark}`` is a word that none of them can know or hold.
    """
    reference = _reference(query)
    if "reference" in rubric.needs and not reference:
        return Unscored("the query has no expected answer for the judge")
    context = context_of(result)
    if "context" in rubric.needs and not context:
        return Unscored("the trial had no context for the judge")
    answer = answer_of(result)
    mark = hashlib.sha256("\0".join((query.query, answer, reference, context)).encode()).hexdigest()
    values = {
        "query": query.query,
        "answer": answer,
        "reference": reference,
        "context": context,
        "mark": mark[:12],
    }

    def fill(text: str) -> str:
        return _PLACEHOLDER.sub(lambda found: values[found.group(1)], text)

    return fill(rubric.system), fill(rubric.question)


def _reference(query: Query) -> str:
    if query.should_refuse:
        return "The answer should decline: the data cannot answer this question."
    expected = query.expected_answer
    if expected is None:
        if query.expected_value is None:
            return ""
        return f"{query.expected_value:,.12g} {query.unit or ''}".strip()
    return expected if isinstance(expected, str) else "\n".join(f"- {item}" for item in expected)


def read_reply(rubric: Rubric, reply: str) -> Verdict | Unscored:
    """The judge's verdict as a share of the scale, 0 to 1; unscored where the reply is unreadable.

    One JSON object, alone or in one code fence, with a whole or decimal ``score`` on the scale and
    a ``reason`` in text, and nothing else in it.
    """
    text = reply.strip()
    fenced = _FENCE.match(text)
    told = {"reply": text[:_REASON_CHARACTERS]}
    try:
        content = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return Unscored("the judge's reply is not one JSON object", told)
    if not isinstance(content, dict) or set(content) != {"score", "reason"}:
        return Unscored("the judge's reply does not hold exactly score and reason", told)
    score, reason = content["score"], content["reason"]
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
        return Unscored("the judge's score is not a number", told)
    if not rubric.lowest <= score <= rubric.highest:
        on = f"{rubric.lowest} to {rubric.highest}"
        return Unscored(f"the judge's score {score} is not on the scale of {on}", told)
    if not isinstance(reason, str):
        return Unscored("the judge's reason is not a text", told)
    value = (score - rubric.lowest) / (rubric.highest - rubric.lowest)
    explanation = {
        "reason": reason[:_REASON_CHARACTERS],
        "score": score,
        "scale": [rubric.lowest, rubric.highest],
        "rubric": rubric.version,
    }
    return Verdict(value, explanation)

"""The scorers that can be asked for, and the options of each.

Enters: an item of ``scorers:``. Leaves: ``{name, kind, option: ...}``. Knows no scorer's code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from finrag_eval.spec.located import Value
from finrag_eval.spec.shapes import (
    WRONG,
    Choice,
    Field,
    Flag,
    Number,
    Reading,
    Section,
    Text,
    name,
)
from finrag_eval.spec.suggest import did_you_mean

#: ``package.module:function``
CALLABLE = Text(
    pattern=r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*",
    pattern_says="is no function",
    fix="write package.module:function",
)

#: Options by kind of scorer. METHODS says what each kind measures.
OPTIONS: dict[str, tuple[Field, ...]] = {
    "numeric": (
        Field(
            name="tolerance",
            shape=Number(low=0, high=1),
            doc="relative tolerance where the query has none of its own, e.g. 0.01",
        ),
    ),
    "contains": (),
    "exact": (),
    "regex": (
        Field(
            name="pattern",
            shape=Text(),
            doc="a Python regular expression that is looked for in the answer; "
            "without it, the query's expected_answer is the pattern",
        ),
        Field(name="ignore_case", shape=Flag(), doc="letters match in either case", default=False),
    ),
    "boolean": (),
    "list": (),
    "rouge_l": (),
    "citation": (),
    "grounded": (),
    "refusal": (),
    "judge": (
        Field(name="model", shape=Text(), doc="the model key that judges", required=True),
        Field(
            name="rubric",
            shape=Text(),
            doc="a rubric version: v1, v2, or rubric_NAME.yaml of prompts_folder",
            default="v1",
        ),
    ),
    "python": (
        Field(
            name="function",
            shape=CALLABLE,
            doc="package.module:function, called with (query, result)",
            required=True,
        ),
    ),
}

KINDS = tuple(OPTIONS)
_NAME = name(60)
_KIND = Choice(KINDS)


@dataclass(frozen=True, slots=True)
class Scorer:
    """A scorer's name; or a mapping with ``name``, its options and, for another name, ``kind``."""

    def read(self, value: Value, at: str, reading: Reading) -> Any:
        if value.kind != "mapping":
            kind = _KIND.read(value, at, reading)
            if kind is WRONG:
                return WRONG
            return self._with_options(kind, kind, value._replace(content={}), at, reading)
        if set(value.content) == {"python"}:
            return _python_short_form(value, at, reading)
        return self._full_form(value, at, reading)

    def _full_form(self, value: Value, at: str, reading: Reading) -> Any:
        written = value.content
        if "name" not in written:
            fix = f"write 'name: ...'; kinds: {', '.join(KINDS)}"
            return reading.wrong(value, at, "a scorer without a name", fix)
        label = _NAME.read(written["name"], f"{at}.name", reading)
        if label is WRONG:
            return WRONG
        if "kind" in written:
            kind = _KIND.read(written["kind"], f"{at}.kind", reading)
        elif label in KINDS:
            kind = label
        else:
            message = f"there is no scorer '{label}'"
            fix = f"{did_you_mean(label, KINDS)}; for a name of your own add 'kind: ...'"
            kind = reading.wrong(written["name"], f"{at}.name", message, fix)
        if kind is WRONG:
            return WRONG
        options = {key: item for key, item in written.items() if key not in ("name", "kind")}
        return self._with_options(label, kind, value._replace(content=options), at, reading)

    def _with_options(
        self, label: str, kind: str, options: Value, at: str, reading: Reading
    ) -> Any:
        section = Section(fields=OPTIONS[kind], what=f"option of {kind}")
        told = len(reading.problems)
        found = section.read(options._replace(kind="mapping"), at, reading)
        _check_pattern(found, options, at, reading)
        if len(reading.problems) > told:
            return WRONG
        return {"name": label, "kind": kind, **found}

    def schema(self) -> dict[str, Any]:
        forms: list[dict[str, Any]] = [{"enum": [kind for kind in KINDS if not _needs(kind)]}]
        for kind, options in OPTIONS.items():
            own = Section(fields=options).schema()
            names = {"name": {"const": kind}, "kind": {"const": kind}}
            forms.append(_object(own, {**names}, ["name"]))
            forms.append(_object(own, {**names, "name": _NAME.schema()}, ["name", "kind"]))
        python = {"python": CALLABLE.schema()}
        forms.append(
            {
                "type": "object",
                "properties": python,
                "required": ["python"],
                "additionalProperties": False,
            }
        )
        return {"anyOf": forms}


def _needs(kind: str) -> bool:
    return any(option.required for option in OPTIONS[kind])


def _object(own: dict[str, Any], names: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        **own,
        "properties": {**names, **own["properties"]},
        "required": [*required, *own.get("required", [])],
    }


def _python_short_form(value: Value, at: str, reading: Reading) -> Any:
    function = CALLABLE.read(value.content["python"], f"{at}.python", reading)
    if function is WRONG:
        return WRONG
    label = function.rpartition(":")[2].rpartition(".")[2]
    return {"name": label, "kind": "python", "function": function}


def _check_pattern(options: dict[str, Any], value: Value, at: str, reading: Reading) -> None:
    pattern = options.get("pattern")
    if pattern is None:
        return
    try:
        re.compile(pattern)
    except re.error as error:
        message = f"not a regular expression: {error}"
        reading.wrong(value.content["pattern"], f"{at}.pattern", message, "mend the pattern")

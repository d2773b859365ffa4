"""BUDGET.yaml in, checked budgets out; every problem at once, each with its line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from finrag_eval.costs.budgets import PeriodBudget, Scope
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.spec.located import Value, read_yaml
from finrag_eval.spec.shapes import (
    Choice,
    Field,
    ListOf,
    MapOf,
    Money,
    Reading,
    Section,
    Text,
)

_SCOPE = Section(
    fields=(
        Field(name="experiment", shape=Text(), doc="an MLflow experiment"),
        Field(name="environment", shape=Choice(("development", "production")), doc="of the runs"),
        Field(name="model_key", shape=Text(), doc="a model key of ml_config.yaml"),
        Field(
            name="tag", shape=MapOf(item=Text()), doc="one tag of the runs, as in {team: research}"
        ),
    )
)
_BUDGET = Section(
    fields=(
        Field(name="name", shape=Text(), doc="what to call it", required=True),
        Field(
            name="period",
            shape=Choice(("day", "week", "month")),
            doc="how often it starts anew",
            required=True,
        ),
        Field(name="limit_usd", shape=Money(zero=False), doc="USD a period", required=True),
        Field(name="scope", shape=_SCOPE, doc="what it counts; everything by default"),
        Field(name="tz", shape=Text(), doc="where days begin", default="UTC"),
    )
)
_FILE = Section(
    fields=(Field(name="budgets", shape=ListOf(item=_BUDGET), doc="the budgets", required=True),)
)


def read_budgets(path: Path) -> tuple[PeriodBudget, ...]:
    """The budgets of a file; raises InvalidInput with every problem of it."""
    problems: list[Problem] = []
    root = read_yaml(path, "budget file", problems)
    content: Mapping[str, Any] = {}
    if root is not None:
        content = _FILE.read(root, "", Reading(problems))
        _check(root, content, problems)
    if problems:
        raise InvalidInput(problems)
    return tuple(_budget(entry) for entry in content["budgets"])


def _check(root: Value, content: Mapping[str, Any], problems: list[Problem]) -> None:
    """What no single field can tell: zones that exist, one tag, names that differ."""
    written = root.content.get("budgets")
    if problems or written is None:
        return
    seen: dict[str, int | None] = {}
    for index, (value, entry) in enumerate(zip(written.content, content["budgets"], strict=True)):

        def tell(key: str, message: str, fix: str, at: int = index, of: Value = value) -> None:
            line = (of.content.get(key) or of).line
            problems.append(
                Problem(
                    file=root.source.shown,
                    line=line,
                    key=f"budgets[{at}].{key}",
                    message=message,
                    fix=fix,
                )
            )

        try:
            ZoneInfo(entry["tz"])
        except (ZoneInfoNotFoundError, ValueError):
            tell("tz", f"there is no time zone {entry['tz']!r}", "write it like Europe/Berlin")
        if len(entry.get("scope", {}).get("tag", {"one": "tag"})) != 1:
            tell("scope", "tag names several tags", "name one tag a budget")
        if entry["name"] in seen:
            tell("name", f"{entry['name']!r} is used twice", f"see line {seen[entry['name']]}")
        seen[entry["name"]] = value.line


def _budget(entry: Mapping[str, Any]) -> PeriodBudget:
    scope = dict(entry.get("scope", {}))
    tag = scope.pop("tag", None)
    return PeriodBudget(
        name=entry["name"],
        period=entry["period"],
        limit_usd=entry["limit_usd"],
        scope=Scope(**scope, tag=next(iter(tag.items())) if tag else None),
        zone=entry["tz"],
    )

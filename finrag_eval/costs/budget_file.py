"""BUDGET.yaml in, checked budgets out; every problem at once, each with its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    entries: Sequence[Any] = ()
    if root is not None:
        reading = Reading(problems)
        content = _FILE.read(root, "", reading)
        entries = content.get("budgets", ()) if isinstance(content, Mapping) else ()
        for index, entry in enumerate(entries):
            if isinstance(entry, Mapping):
                written = root.content["budgets"].content[index]
                _check(entry, written, f"budgets[{index}]", reading)
                _check_name(entry, written, entries[:index], f"budgets[{index}].name", reading)
    if problems:
        raise InvalidInput(sorted(problems, key=lambda problem: problem.line or 0))
    return tuple(_budget(entry) for entry in entries)


def _check(entry: Mapping[str, Any], written: Value, at: str, reading: Reading) -> None:
    """What no single field can tell: zones that exist, and one tag."""
    try:
        ZoneInfo(entry.get("tz", "UTC"))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"there is no time zone {entry['tz']!r}"
        reading.wrong(written.content["tz"], f"{at}.tz", message, "write it like Europe/Berlin")
    tags = (entry.get("scope") or {}).get("tag")
    if tags is not None and len(tags) != 1:
        value = written.content["scope"].content["tag"]
        fix = "name one tag a budget"
        reading.wrong(value, f"{at}.scope.tag", f"names {len(tags)} tags", fix)


def _check_name(
    entry: Mapping[str, Any], written: Value, before: Sequence[Any], at: str, reading: Reading
) -> None:
    names = [one.get("name") for one in before if isinstance(one, Mapping)]
    if entry.get("name") is not None and entry["name"] in names:
        message, fix = f"{entry['name']!r} is used twice", "give each budget a name of its own"
        reading.wrong(written.content["name"], at, message, fix)


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

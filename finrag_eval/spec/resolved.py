"""A sweep as plain data, and the ``SweepSpec`` that it says.

The resolved form is a sweep file with all defaults filled in and all paths absolute: it can be
written as YAML and read again, and is all that a resumed sweep needs to know of its spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from finrag_eval.domain import (
    BudgetSpec,
    CellRef,
    ExecutionSpec,
    GateSpec,
    MaxFailed,
    PromptVersion,
    RateLimit,
    RetrievalSettings,
    ScorerSpec,
    SweepSpec,
    TrackingSpec,
)
from finrag_eval.spec.fields import EMBEDDED
from finrag_eval.spec.sweep_shapes import share_of

_BACKEND_SETTINGS = (
    "address",
    "s3_uri",
    "role_arn",
    "min_records",
    "max_records",
    "job_hours",
    "poll_s",
)


def spec_from_resolved(resolved: Mapping[str, Any]) -> SweepSpec:
    """The spec that resolved data says. The data was checked when it was made; KeyError else."""
    return SweepSpec(
        name=resolved["name"],
        experiment=resolved["experiment"],
        models=tuple(resolved["models"]),
        prompts=tuple(PromptVersion(**pair) for pair in resolved["prompts"]),
        query_set=resolved["query_set"]["path"],
        environment=resolved["environment"],
        retrieval=_retrieval(resolved["retrieval"]),
        repeats=resolved["repeats"],
        scorers=tuple(scorer_of(scorer) for scorer in resolved["scorers"]),
        budget=_budget(resolved["budget"]),
        execution=_execution(resolved["execution"]),
        limits={key: RateLimit(**limit) for key, limit in resolved["limits"].items()},
        on_error=_most_failed(resolved["on_error"].get("max_failed")),
        baseline=_baseline(resolved.get("baseline")),
        gate=tuple(
            GateSpec(metric=metric, rule=rule, bound=bound)
            for metric, rules in resolved["gate"].items()
            for rule, bound in rules.items()
        ),
        margins=dict(resolved["equivalence"]),
        target=resolved["target"],
        tags=dict(resolved["tags"]),
        tracking=TrackingSpec(**resolved["tracking"]),
        redact=tuple(resolved["redact"]),
        reuse=resolved["reuse"],
        resolved=dict(resolved),
    )


def scorer_of(content: Mapping[str, Any]) -> ScorerSpec:
    """A scorer's spec from ``{name, kind, option: ...}``."""
    options = {key: item for key, item in content.items() if key not in ("name", "kind")}
    return ScorerSpec(name=content["name"], kind=content["kind"], options=options)


def _retrieval(content: Mapping[str, Any]) -> RetrievalSettings:
    sources = {
        name: None if content[name] == EMBEDDED else content[name]
        for name in ("corpus", "kpi_facts")
    }
    return RetrievalSettings(**{**content, **sources})


def _budget(content: Mapping[str, Any]) -> BudgetSpec:
    cap = content.get("max_usd")
    return BudgetSpec(
        max_usd=None if cap is None else _usd(cap),
        warn_at=content["warn_at"],
        per_model={key: _usd(usd) for key, usd in content.get("per_model", {}).items()},
        per_cell={cell: _usd(usd) for cell, usd in content.get("per_cell", {}).items()},
    )


def _usd(number: int | float) -> Decimal:
    """The amount that was written: money in specs has no more digits than a float keeps."""
    return Decimal(repr(number))


def _execution(content: Mapping[str, Any]) -> ExecutionSpec:
    plain = {key: item for key, item in content.items() if key not in _BACKEND_SETTINGS}
    settings = {key: content[key] for key in _BACKEND_SETTINGS if key in content}
    return ExecutionSpec(**plain, settings=settings)


def _most_failed(written: int | str | None) -> MaxFailed:
    if isinstance(written, str):
        return MaxFailed(share=share_of(written))
    return MaxFailed(count=written)


def _baseline(content: Mapping[str, Any] | None) -> CellRef | None:
    if content is None:
        return None
    versions = PromptVersion(system=content["system"], query=content["query"])
    return CellRef(model_key=content["model"], prompts=versions)

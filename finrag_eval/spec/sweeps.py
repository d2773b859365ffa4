"""Sweep files: what was asked, with overrides, models, prompts and questions, checked at once.

Enters: a sweep file, the command line's overrides, and who knows the prompt versions. Leaves:
``Asked``, or one InvalidInput that carries every problem of all the files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finrag_eval.domain import BUILT_IN_TARGET, QuerySet, ScorerSpec, SweepSpec
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.spec.crosschecks import (
    Written,
    cell_names,
    check_models,
    check_prompts,
    check_sweep,
    used_model_keys,
)
from finrag_eval.spec.fields import EMBEDDED, SWEEP
from finrag_eval.spec.files import shown
from finrag_eval.spec.located import Fault, Source, load, read_yaml
from finrag_eval.spec.ml_config import MlConfig, find_ml_config, read_ml_config
from finrag_eval.spec.overrides import apply_overrides
from finrag_eval.spec.query_sets import read_query_set
from finrag_eval.spec.resolved import scorer_of, spec_from_resolved
from finrag_eval.spec.scorer_kinds import Scorer
from finrag_eval.spec.shapes import WRONG, Reading, as_json

#: Gives the names of all system prompts and of all query templates, those of a user's folder
#: included. May raise InvalidInput for what is wrong with the folder.
KnownPrompts = Callable[[Path | None], tuple[Collection[str], Collection[str]]]

#: Scorers that can say nothing without one of these fields of a query.
_REFERENCES = {
    "numeric": ("expected_value", "alt_values", "expected_answer"),
    "contains": ("expected_answer", "expected_value"),
    "exact": ("expected_answer", "expected_value"),
    "boolean": ("expected_answer",),
    "list": ("expected_answer",),
    "rouge_l": ("expected_answer",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A sweep that can be run: its spec, its models and its questions."""

    spec: SweepSpec
    ml_config: MlConfig
    query_set: QuerySet
    warnings: tuple[str, ...] = ()


def read_everything(
    path: Path,
    *,
    known_prompts: KnownPrompts,
    config: Path | None = None,
    overrides: Sequence[str] = (),
) -> Asked:
    """The sweep of a file, its model config and its query set.

    ``overrides`` are ``key.path=value``; later ones win. Raises InvalidInput with every problem of
    sweep, config, prompts and query set, in the order of files and lines.
    """
    problems: list[Problem] = []
    content, written = _read_sweep(path, overrides, problems)
    ml_config = read_ml_config(find_ml_config(config, beside=path), problems=problems)
    if written is None:
        raise InvalidInput(_in_order(problems))
    if ml_config is not None:
        problems.extend(check_models(content, written, ml_config))
        problems.extend(_prompt_problems(content, written, ml_config, known_prompts))
    query_set = _query_set(content, written, problems)
    if problems or ml_config is None or query_set is None:
        raise InvalidInput(_in_order(problems))
    _take_from_config(content, ml_config)
    spec = spec_from_resolved(as_json(content))
    gate = tuple(
        replace(gate, where=written.location(("gate", gate.metric, gate.rule)))
        for gate in spec.gate
    )
    return Asked(
        spec=replace(spec, source=path.absolute(), gate=gate),
        ml_config=ml_config,
        query_set=query_set,
        warnings=tuple(dict.fromkeys(_warnings(content, ml_config, query_set))),
    )


def read_scorers(written: Sequence[str], origin: str = "--scorers") -> tuple[ScorerSpec, ...]:
    """Scorers as written on a command line: names, or mappings such as ``{name: numeric, ...}``.

    Raises InvalidInput with every problem.
    """
    source = Source(origin, Path.cwd(), typed=True)
    faults: list[Fault] = []
    reading = Reading()
    scorers = []
    for position, text in enumerate(written):
        value = load(text, source, faults)
        found = WRONG if value is None else Scorer().read(value, f"[{position}]", reading)
        if found is not WRONG:
            scorers.append(scorer_of(as_json(found)))
    problems = [*(fault.problem for fault in faults), *reading.problems]
    if problems:
        raise InvalidInput(replace(problem, line=None) for problem in problems)
    return tuple(scorers)


def _read_sweep(
    path: Path, overrides: Sequence[str], problems: list[Problem]
) -> tuple[dict[str, Any], Written | None]:
    root = read_yaml(path, "sweep file", problems)
    if root is None:
        return {}, None
    root = apply_overrides(root, overrides, problems)
    reading = Reading(problems)
    content = SWEEP.read(root, "", reading)
    written = Written(root)
    problems.extend(check_sweep(content, written))
    return content, written


def _prompt_problems(
    content: Mapping[str, Any], written: Written, config: MlConfig, known_prompts: KnownPrompts
) -> list[Problem]:
    """Problems with prompt versions; a target of one's own knows its versions itself."""
    if content.get("target") != BUILT_IN_TARGET:
        return []
    try:
        known = known_prompts(config.pipeline.prompts_folder)
    except InvalidInput as error:
        return list(error.problems)
    return list(check_prompts(content, written, known))


def _query_set(
    content: Mapping[str, Any], written: Written, problems: list[Problem]
) -> QuerySet | None:
    asked = content.get("query_set", {})
    is_told = any((problem.key or "").startswith("query_set") for problem in problems)
    if "path" not in asked or is_told:
        return None
    path = Path(asked["path"])
    if not path.is_file():
        message = f"there is no query set {shown(path)}"
        fix = "check the path; it is relative to the file it is written in"
        problems.append(written.problem(("query_set", "path"), message, fix))
        return None
    choice = {key: item for key, item in asked.items() if key != "path"}
    place = written.location(("query_set",))
    return read_query_set(path, problems=problems, asked_at=place, **choice)


def _take_from_config(content: dict[str, Any], config: MlConfig) -> None:
    """Fills in what the sweep leaves to the config: retrieval, and rates by model."""
    pipeline = config.pipeline
    content["retrieval"] = {
        "retriever": pipeline.retriever,
        "corpus": EMBEDDED if pipeline.corpus is None else str(pipeline.corpus),
        "kpi_facts": EMBEDDED if pipeline.kpi_facts is None else str(pipeline.kpi_facts),
        "options": dict(pipeline.retriever_options),
        **content["retrieval"],
    }
    if content["retrieval"]["retriever"] == "s3vectors":
        content["retrieval"]["options"] = {**pipeline.aws, **content["retrieval"]["options"]}
    for key in used_model_keys(content):
        settings = config.models[key].settings
        of_config = {rate: settings[rate] for rate in ("rpm", "tpm") if rate in settings}
        limit = {**of_config, **content["limits"].get(key, {})}
        if limit:
            content["limits"] = {**content["limits"], key: limit}


def _warnings(content: Mapping[str, Any], config: MlConfig, query_set: QuerySet) -> Iterator[str]:
    keys = used_model_keys(content)
    for key in keys:
        yield from config.warnings.get(key, ())
    billed = [key for key in keys if config.models[key].cost_basis == "billed"]
    if billed and "max_usd" not in content["budget"]:
        yield f"no budget.max_usd: nothing bounds what {', '.join(billed)} may cost"
    for scorer in content["scorers"]:
        fields = _REFERENCES.get(scorer["kind"], ())
        if fields and not any(
            getattr(query, field) not in (None, ())
            for query in query_set.queries
            for field in fields
        ):
            yield f"scorer {scorer['name']}: no query has {' or '.join(fields)}; all is unscored"
    if content["gate"] and len(cell_names(content)) == 1 and "baseline" in content:
        yield "the only cell is the baseline: gates that compare have nothing to compare"


def _has_any(query_set: QuerySet, fields: tuple[str, ...]) -> bool:
    return any(
        getattr(query, field) not in (None, ()) for query in query_set.queries for field in fields
    )


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    """Each problem once, by file in the order of their first problem, then by line."""
    files = list(dict.fromkeys(problem.file for problem in problems))
    return sorted(
        dict.fromkeys(problems), key=lambda problem: (files.index(problem.file), problem.line or 0)
    )

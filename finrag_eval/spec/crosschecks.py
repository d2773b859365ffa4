"""What must hold between the keys of a sweep, and between it, its models and its prompts.

Enters: a sweep's content (each value of which is right by itself) and where it was written.
Leaves: problems. A key that was wrong by itself is missing here and is not told of again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finrag_eval.domain import BUILT_IN_TARGET, Location, ModelConfig
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.spec.fields import EMBEDDED, PROMPTS
from finrag_eval.spec.files import shown
from finrag_eval.spec.located import Value, dotted
from finrag_eval.spec.ml_config import MlConfig
from finrag_eval.spec.shapes import WRONG
from finrag_eval.spec.suggest import did_you_mean

PROVIDERS = ("bedrock", "rehearsal")

#: What a gate or a margin may be about, besides ``score.NAME``; lower is better for all.
_LATENCIES = ("latency_total_seconds", "latency_retrieval_seconds", "latency_llm_seconds")
_COSTS = ("cost_usd", *_LATENCIES, "input_tokens", "output_tokens", "total_tokens")

#: Tags that every run has from us or from MLflow.
_OWN_TAGS = frozenset(
    {"status", "environment", "run_date", "tickers", "years", "error_message", "error_type"}
    | {"stage", "stop_reason"}
)
_OWN_TAG_PREFIXES = ("finrag_eval.", "mlflow.")

_Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """Where the keys of a sweep were written."""

    root: Value

    def location(self, path: _Path) -> Location:
        """The place of the value at that path, or of the nearest one around it."""
        value = self.root
        for part in path:
            value = _item(value, part) or value
        return Location(file=value.source.shown, line=value.line)

    def has(self, path: _Path) -> bool:
        """Whether there is a value at that path, right or wrong."""
        value: Value | None = self.root
        for part in path:
            value = None if value is None else _item(value, part)
        return value is not None

    def problem(self, path: _Path, message: str, fix: str) -> Problem:
        """A problem told at the value of that path."""
        place = self.location(path)
        key = dotted(tuple(f"[{part}]" if isinstance(part, int) else part for part in path))
        return Problem(file=place.file, line=place.line, key=key, message=message, fix=fix)


def _item(value: Value, part: str | int) -> Value | None:
    if isinstance(part, int):
        is_there = value.kind == "list" and part < len(value.content)
        return value.content[part] if is_there else None
    found: Value | None = value.content.get(part) if value.kind == "mapping" else None
    return found


def check_sweep(content: Mapping[str, Any], written: Written) -> Iterator[Problem]:
    """Everything that can be told from the sweep file alone."""
    yield from _repeated(content, written)
    yield from _baseline(content, written)
    yield from _metrics(content, written)
    yield from _gates(content, written)
    yield from _judges_of_nothing(content, written)
    yield from _names_of_caps(content, written)
    yield from _limits(content, written)
    yield from _execution(content, written)
    yield from _tags(content, written)
    yield from _paths(content, written)


def check_models(
    content: Mapping[str, Any], written: Written, config: MlConfig
) -> Iterator[Problem]:
    """Every model key has a usable entry, of a provider that can do what is asked."""
    for path, key in _model_keys(content):
        try:
            model = config.model(key, written.location(path), _key(written, path))
        except InvalidInput as error:
            yield from error.problems
        else:
            yield from _provider(content, written, path, model)


def check_prompts(
    content: Mapping[str, Any],
    written: Written,
    known: tuple[Collection[str], Collection[str]],
) -> Iterator[Problem]:
    """Every prompt version is one there is (``known``: system prompts, query templates)."""
    for position, pair in _listed(content, "prompts"):
        for part, names in zip(("system", "query"), known, strict=True):
            if pair.get(part, "") and pair[part] not in names:
                what = "system prompt" if part == "system" else "query template"
                message = f"there is no {what} '{pair[part]}'"
                path = ("prompts", position, part)
                yield written.problem(path, message, did_you_mean(pair[part], names))


def used_model_keys(content: Mapping[str, Any]) -> list[str]:
    """The model keys of a sweep, judges included, each once."""
    return list(dict.fromkeys(key for _, key in _model_keys(content)))


def cell_names(content: Mapping[str, Any]) -> list[str]:
    """The names of a sweep's cells."""
    return [
        f"{model}.{pair['system']}-{pair['query']}"
        for _, model in _listed(content, "models")
        for _, pair in _pairs(content)
    ]


def _model_keys(content: Mapping[str, Any]) -> Iterator[tuple[_Path, str]]:
    for position, key in _listed(content, "models"):
        yield ("models", position), key
    for position, scorer in _listed(content, "scorers"):
        if scorer["kind"] == "judge":
            yield ("scorers", position, "model"), scorer["model"]


def _key(written: Written, path: _Path) -> str | None:
    return written.problem(path, "", "").key


def _provider(
    content: Mapping[str, Any], written: Written, path: _Path, model: ModelConfig
) -> Iterator[Problem]:
    is_judge = path[0] == "scorers"
    if (is_judge or _is_built_in(content)) and model.provider not in PROVIDERS:
        message = f"the provider '{model.provider}' of '{model.key}' is not one that can be asked"
        yield written.problem(path, message, did_you_mean(model.provider, PROVIDERS))
    mode = content.get("execution", {}).get("mode")
    if mode == "bedrock_batch" and not is_judge and model.provider != "bedrock":
        message = f"'{model.key}' is not a Bedrock model, and the mode is bedrock_batch"
        yield written.problem(path, message, "take it out, or use 'mode: on_demand'")


def _is_built_in(content: Mapping[str, Any]) -> bool:
    return content.get("target") == BUILT_IN_TARGET


def _repeated(content: Mapping[str, Any], written: Written) -> Iterator[Problem]:
    naming: dict[str, Callable[[Any], str]] = {
        "models": str,
        "prompts": lambda pair: f"{pair['system']}/{pair['query']}",
        "scorers": lambda scorer: str(scorer["name"]),
        "redact": str,
    }
    for key, name_of in naming.items():
        first: dict[str, int] = {}
        for position, item in _pairs(content) if key == "prompts" else _listed(content, key):
            name = name_of(item)
            if first.setdefault(name, position) == position:
                continue
            line = written.location((key, first[name])).line
            message = f"'{name}' stands here a second time; the first is in line {line}"
            fix = "give it another 'name'" if key == "scorers" else "name it once"
            yield written.problem((key, position), message, fix)


def _listed(content: Mapping[str, Any], key: str) -> Iterator[tuple[int, Any]]:
    """The items of a list that are right, with their positions."""
    for position, item in enumerate(content.get(key, ())):
        if item is not WRONG:
            yield position, item


def _pairs(content: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, str]]]:
    """The prompt versions that have both of their names."""
    for position, pair in _listed(content, "prompts"):
        if len(pair) == len(PROMPTS.fields):
            yield position, pair


def _is_whole(content: Mapping[str, Any], *keys: str) -> bool:
    """Whether these lists are there, and all of their items are right."""
    is_paired = len(list(_pairs(content))) == len(content.get("prompts", ()))
    return is_paired and all(key in content and WRONG not in content[key] for key in keys)


def _baseline(content: Mapping[str, Any], written: Written) -> Iterator[Problem]:
    baseline = content.get("baseline")
    if baseline is None or not _is_whole(content, "models", "prompts"):
        return
    cell = f"{baseline.get('model')}.{baseline.get('system')}-{baseline.get('query')}"
    cells = cell_names(content)
    if len(baseline) == 3 and cell not in cells:
        message = f"the cell {cell} is not in the matrix of this sweep"
        yield written.problem(("baseline",), message, did_you_mean(cell, cells))


def _metrics(content: Mapping[str, Any], written: Written) -> Iterator[Problem]:
    if not _is_whole(content, "scorers"):
        return
    known = _measured(content)
    for section in ("gate", "equivalence"):
        for metric in content.get(section, {}):
            if metric not in known:
                message = f"'{metric}' is not measured by this sweep"
                yield written.problem((section, metric), message, did_you_mean(metric, known))


def _measured(content: Mapping[str, Any]) -> list[str]:
    return [*(f"score.{scorer['name']}" for _, scorer in _listed(content, "scorers")), *_COSTS]


def _gates(content: Mapping[str, Any], written: Written) -> Iterator[Problem]:
    known = _measured(content)
    for metric, rules in content.get("gate", {}).items():
        if metric not in known:
            continue
        allowed = _rules_for(metric)
        if not written.root.content["gate"].content[metric].content:
            yield written.problem(("gate", metric), "has no rule", f"rules: {', '.join(allowed)}")
        for rule in rules:
            path = ("gate", metric, rule)
            if rule not in allowed:
                message = f"{rule} cannot be asked of {metric}"
                yield written.problem(path, message, f"rules: {', '.join(allowed)}")
            elif rule in ("min_delta", "max_ratio") and not written.has(("baseline",)):
                message = f"{rule} compares with a baseline, and there is none"
                yield written.problem(path, message, "write 'baseline: {model, system, query}'")


def _judges_of_nothing(content: Mapping[str, Any], written: Written) -> Iterator[Problem]:
    """Judges look at what is recorded: an answer that is not kept cannot be judged."""
    if "answer" not in content.get("redact", ()):
        return
    for position, scorer in _listed(content, "scorers"):
        if scorer["kind"] == "judge":
            message = f"the judge '{scorer['name']}' reads recorded answers, and none is kept"
            fix = "take 'answer' out of 'redact', or the judge out of 'scorers'"
            yield written.problem(("scorers", position), message, fix)


def _rules_for(metric: str) -> tuple[str, ...]:
    if metric in _LATENCIES:
        return ("max_ratio", "max_p95_seconds")
    if metric == "cost_usd":
        return ("max_ratio", "max_usd")
    return ("max_ratio",) if metric in _COSTS else ("min_delta", "min_mean")


def _names_of_caps(content: Mapping[str, Any], written: Written) -> Iterator[Problem]:
    if not _is_whole(content, "models", "prompts", "scorers"):
        return
    budget = content.get("budget", {})
    known = {"per_model": used_model_keys(content), "per_cell": cell_names(content)}
    for kind, names in known.items():
        for name in budget.get(kind, {}):
            if name not in names:
                message = f"'{name}' is not in this sweep"
                yield written.problem(("budget", kind, name), message, did_you_mean(name, names))


def _limits(content: Mapping[str, Any], written: Written) -> Iterator[Problem]:
    keys = used_model_keys(content)
    for key, limit in content.get("limits", {}).items():
        if key not in keys and _is_whole(content, "models", "scorers"):
            message = f"'{key}' is not a model of this sweep"
            yield written.problem(("limits", key), message, did_you_mean(key, keys))
        elif not limit and not written.root.content["limits"].content[key].content:
            yield written.problem(("limits", key), "limits nothing", "write rpm, tpm or both")


#: Keys of ``execution`` that belong to one backend or mode: switch, word, and whether it needs
#: them.
_OF_ONE_WAY = {
    "s3_uri": ("mode", "bedrock_batch", True),
    "role_arn": ("mode", "bedrock_batch", True),
    "min_records": ("mode", "bedrock_batch", False),
    "max_records": ("mode", "bedrock_batch", False),
    "job_hours": ("mode", "bedrock_batch", False),
    "poll_s": ("mode", "bedrock_batch", False),
    "address": ("backend", "dask", True),
}


def _execution(content: Mapping[str, Any], written: Written) -> Iterator[Problem]:
    execution = content.get("execution", {})
    for key, (switch, word, is_needed) in _OF_ONE_WAY.items():
        if switch not in execution:
            continue
        if execution[switch] == word and is_needed and not written.has(("execution", key)):
            message = f"{switch} {word} needs {key}"
            yield written.problem(("execution", switch), message, f"write '{key}: ...' beside it")
        elif execution[switch] != word and key in execution:
            message = f"{key} is for {switch} {word} alone"
            fix = f"take it out, or write '{switch}: {word}'"
            yield written.problem(("execution", key), message, fix)
    target = content.get("target", BUILT_IN_TARGET)
    if execution.get("mode") == "bedrock_batch" and target != BUILT_IN_TARGET:
        message = f"batch jobs hold the prompts of the built-in pipeline, not of {target}"
        fix = f"write 'target: {BUILT_IN_TARGET}', or 'mode: on_demand'"
        yield written.problem(("execution", "mode"), message, fix)
    fewest, most = execution.get("min_records"), execution.get("max_records")
    if fewest is not None and most is not None and fewest > most:
        message = f"a job needs {fewest} records and may have {most}"
        yield written.problem(("execution", "min_records"), message, "write at most max_records")
    attempt, trial = execution.get("attempt_timeout_s"), execution.get("timeout_s")
    if attempt is not None and trial is not None and attempt > trial:
        message = f"an attempt may take {attempt:g} s, but the whole trial only {trial:g} s"
        fix = "write a timeout_s that is no less than attempt_timeout_s"
        yield written.problem(("execution", "attempt_timeout_s"), message, fix)


def _tags(content: Mapping[str, Any], written: Written) -> Iterator[Problem]:
    for tag in content.get("tags", {}):
        if tag in _OWN_TAGS or tag.startswith(_OWN_TAG_PREFIXES):
            message = f"every run has a tag '{tag}' of its own"
            yield written.problem(("tags", tag), message, "choose another name")


def _paths(content: Mapping[str, Any], written: Written) -> Iterator[Problem]:
    retrieval = content.get("retrieval", {})
    for name in ("corpus", "kpi_facts"):
        path = retrieval.get(name, EMBEDDED)
        if path != EMBEDDED and not Path(path).exists():
            message = f"there is no {shown(Path(path))}"
            fix = "check the path; it is relative to the file it is written in"
            yield written.problem(("retrieval", name), message, fix)

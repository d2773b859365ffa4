"""ml_config.yaml: which models there are, what they cost, and where the pipeline's data is.

Enters: a file that may belong to other programs, too. Leaves: an ``MlConfig``. Sections other
than ``serving_models`` and ``finrag_eval`` are not looked at. An entry that is not usable is kept
as broken, with its problems, and is refused only when a model key asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from finrag_eval.domain import Location, ModelConfig
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.spec.fields import EMBEDDED
from finrag_eval.spec.files import read_text, shown
from finrag_eval.spec.located import Fault, Source, Value, as_mapping, describe, load
from finrag_eval.spec.model_entries import Entry, read_entry, secrets_in
from finrag_eval.spec.shapes import (
    WRONG,
    Anything,
    Choice,
    Field,
    FilePath,
    Reading,
    Section,
    Text,
)
from finrag_eval.spec.suggest import did_you_mean

FILE_NAME = "ml_config.yaml"

_WHAT = "model config"
_NO_QUERY_LOG = "none"

PIPELINE = Section(
    fields=(
        Field(name="prompts_folder", shape=FilePath(), doc="prompts and rubrics of your own"),
        Field(name="kpi_facts", shape=FilePath(words=(EMBEDDED,)), doc="facts, CSV or Parquet"),
        Field(name="corpus", shape=FilePath(words=(EMBEDDED,)), doc="passages, JSONL or Parquet"),
        Field(
            name="retriever",
            shape=Choice(("bm25", "s3vectors")),
            doc="who finds passages",
            default="bm25",
        ),
        Field(name="retriever_options", shape=Anything(), doc="its options", default={}),
        Field(
            name="query_log",
            shape=FilePath(words=(_NO_QUERY_LOG,), s3=True),
            doc="a folder, s3://bucket/prefix, or none",
        ),
        Field(name="cache_folder", shape=FilePath(), doc="where indexes are kept"),
        Field(
            name="aws",
            shape=Section(
                fields=(
                    Field(name="region", shape=Text(), doc="AWS region"),
                    Field(name="profile", shape=Text(), doc="AWS profile"),
                ),
                what="key of aws",
            ),
            doc="AWS region and profile of all models without their own",
            default={},
        ),
    ),
    what="key of finrag_eval",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineConfig:
    """The optional section ``finrag_eval``: where the built-in pipeline finds its data.

    None means the embedded facts or passages, no folder of own prompts, or no query log.
    """

    prompts_folder: Path | None = None
    kpi_facts: Path | None = None
    corpus: Path | None = None
    retriever: str = "bm25"
    retriever_options: Mapping[str, Any] = field(default_factory=dict)
    query_log: str | None = "query_logs"
    cache_folder: Path | None = None
    aws: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MlConfig:
    """The models that are usable, and those that are not with the reasons.

    ``warnings`` are by model key, and matter when the model is used.
    """

    path: Path
    models: Mapping[str, ModelConfig]
    default_model: str | None
    broken: Mapping[str, tuple[Problem, ...]]
    pipeline: PipelineConfig
    warnings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def model(
        self, key: str | None = None, where: Location | None = None, at: str | None = None
    ) -> ModelConfig:
        """The model of that key, or the default one.

        Raises InvalidInput where there is none, with the nearest key, told at ``where`` (and the
        key path ``at``); or where its entry is broken, with all that is wrong with the entry.
        """
        wanted = self.default_model if key is None else key
        if wanted is None:
            message = "no model was named, and there is no default_serving_model"
            fix = "name a model, or write 'default_serving_model: KEY' under serving_models"
            raise InvalidInput([Problem(file=shown(self.path), message=message, fix=fix)])
        if wanted in self.models:
            return self.models[wanted]
        if wanted in self.broken:
            raise InvalidInput(self.broken[wanted])
        place = where or Location(file=shown(self.path))
        raise InvalidInput(
            [
                Problem(
                    file=place.file,
                    line=place.line,
                    key=at,
                    message=f"no model key '{wanted}' in {shown(self.path)}",
                    fix=did_you_mean(wanted, {*self.models, *self.broken}),
                )
            ]
        )


def find_ml_config(config: Path | None = None, beside: Path | None = None) -> Path:
    """The config to read: the named one; else that of the working directory; else the nearest one
    in the folder of ``beside`` (a sweep's file) or above it. Where there is none, where one is
    expected.
    """
    if config is not None:
        return config
    here = Path.cwd() / FILE_NAME
    folders = [] if beside is None else list(beside.absolute().parents)
    candidates = [here, *(folder / FILE_NAME for folder in folders)]
    return next((path for path in candidates if path.is_file()), here)


def read_ml_config(path: Path, *, problems: list[Problem]) -> MlConfig | None:
    """The config of the file; None and problems where it is none.

    Only ``serving_models`` and ``finrag_eval`` are looked at, so that a file of other programs
    loads as it is.
    """
    text = read_text(path, _WHAT, problems)
    if text is None:
        return None
    faults: list[Fault] = []
    source = Source(shown(path), path.absolute().parent)
    root = load(text, source, faults)
    if root is None:
        problems.extend(fault.problem for fault in faults)
        return None
    if as_mapping(root, _WHAT, problems) is None:
        return None
    told = len(problems)
    serving = _serving_models(root, source, problems)
    pipeline = _pipeline(root, problems)
    _tell_faults(faults, problems)
    if serving is None or len(problems) > told:
        return None
    return _config(path, serving, faults, pipeline)


def _serving_models(root: Value, source: Source, problems: list[Problem]) -> Value | None:
    serving: Value | None = root.content.get("serving_models")
    if serving is not None and serving.kind == "mapping":
        return serving
    said = "has no serving_models" if serving is None else f"is {describe(serving)}"
    problems.append(
        Problem(
            file=source.shown,
            line=None if serving is None else serving.line,
            key=None if serving is None else "serving_models",
            message=said,
            fix="write 'serving_models:' with an entry for each model key",
        )
    )
    return None


def _tell_faults(faults: list[Fault], problems: list[Problem]) -> None:
    """Tells of what is repeated in our own sections; inside an entry it breaks that entry alone."""
    for fault in faults:
        in_entry = fault.path[:1] == ("serving_models",) and len(fault.path) > 1
        is_ours = fault.path[:1] in (("serving_models",), ("finrag_eval",))
        if is_ours and not in_entry:
            problems.append(fault.problem)


def _config(path: Path, serving: Value, faults: list[Fault], pipeline: PipelineConfig) -> MlConfig:
    default: str | None = None
    entries: dict[str, Entry] = {}
    for key, value in serving.content.items():
        if key == "default_serving_model":
            default = value.content if value.kind in ("text", "word") else None
        else:
            entries[key] = read_entry(key, value, f"serving_models.{key}")
    models: dict[str, ModelConfig] = {}
    broken: dict[str, tuple[Problem, ...]] = {}
    for key, entry in entries.items():
        repeated = [fault.problem for fault in faults if fault.path[:2] == ("serving_models", key)]
        told = (*repeated, *entry.problems, *_borrowing_problems(entry, entries, serving, key))
        if told or entry.model is None:
            broken[key] = told
        else:
            models[key] = _with_borrowed_prices(entry.model, entry, entries)
    return MlConfig(
        path=path,
        models=models,
        default_model=default,
        broken=broken,
        pipeline=pipeline,
        warnings={key: entry.warnings for key, entry in entries.items() if entry.warnings},
    )


def _borrowing_problems(
    entry: Entry, entries: Mapping[str, Entry], serving: Value, key: str
) -> list[Problem]:
    if entry.borrows is None:
        return []
    lender = entries.get(entry.borrows)
    if lender is not None and lender.model is not None and lender.borrows is None:
        return []
    if lender is None:
        message = f"no model key '{entry.borrows}' here"
        fix = did_you_mean(entry.borrows, set(entries) - {key})
    elif lender.model is None:
        message = f"the entry '{entry.borrows}' is not usable itself"
        fix = lender.problems[0].message
    else:
        message = f"the entry '{entry.borrows}' has no prices of its own"
        fix = f"name the entry that it takes them from: {lender.borrows}"
    place = serving.content[key].content["price_as"]
    return [
        Problem(
            file=place.source.shown,
            line=place.line,
            key=f"serving_models.{key}.price_as",
            message=message,
            fix=fix,
        )
    ]


def _with_borrowed_prices(
    model: ModelConfig, entry: Entry, entries: Mapping[str, Entry]
) -> ModelConfig:
    lender = entries[entry.borrows].model if entry.borrows is not None else None
    if lender is None:
        return model
    return replace(
        model,
        prices=lender.prices,
        length_tiers=lender.length_tiers,
        tier_prices=lender.tier_prices,
    )


def _pipeline(root: Value, problems: list[Problem]) -> PipelineConfig:
    section = root.content.get("finrag_eval")
    if section is None or section.kind == "null":
        return PipelineConfig()
    reading = Reading()
    content = PIPELINE.read(section, "finrag_eval", reading)
    problems.extend(reading.problems)
    problems.extend(secrets_in(section, "finrag_eval"))
    if content is WRONG:
        return PipelineConfig()
    paths = {
        name: None if content[name] == EMBEDDED else Path(content[name])
        for name in ("prompts_folder", "kpi_facts", "corpus", "cache_folder")
        if name in content
    }
    found = {**content, **paths}
    if found.get("query_log") == _NO_QUERY_LOG:
        found["query_log"] = None
    _check_paths_exist(paths, section, problems)
    return PipelineConfig(**found)


def _check_paths_exist(
    paths: Mapping[str, Path | None], section: Value, problems: list[Problem]
) -> None:
    for name, path in paths.items():
        if name == "cache_folder" or path is None or path.exists():
            continue
        place = section.content[name]
        problems.append(
            Problem(
                file=place.source.shown,
                line=place.line,
                key=f"finrag_eval.{name}",
                message=f"there is no {shown(path)}",
                fix="check the path; it is relative to this file",
            )
        )

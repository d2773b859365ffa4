"""What a sweep is made of: its plan, and all that is needed to answer, judge and record it.

Enters: what was asked, or what a ledger remembers. Leaves: a ``SweepJob``, the same either way, so
that a sweep can be finished with no file but its ledger.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finrag_eval.domain import (
    BUILT_IN_TARGET,
    ModelConfig,
    PromptTexts,
    RetrievalSettings,
    SweepSpec,
)
from finrag_eval.errors import LedgerUnreadable
from finrag_eval.money import at_batch_prices
from finrag_eval.plan import Plan, expand
from finrag_eval.spec.ml_config import MlConfig
from finrag_eval.spec.model_entries import entry_of, model_from_entry
from finrag_eval.spec.resolved import spec_from_resolved
from finrag_eval.spec.sweeps import Asked

if TYPE_CHECKING:
    from finrag_eval.execute.doorways import Target
    from finrag_eval.record.ledger import LedgerReader

CACHE_FOLDER = Path(".finrag_cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepJob:
    """A sweep that can be run, scored and recorded. ``judges`` are models by model key."""

    spec: SweepSpec
    plan: Plan
    judges: Mapping[str, ModelConfig]
    prompts_folder: Path | None = None
    cache_folder: Path = CACHE_FOLDER

    @property
    def models(self) -> dict[str, ModelConfig]:
        """Every model that may be called, judges included, by model key."""
        return {cell.model.key: cell.model for cell in self.plan.cells} | dict(self.judges)

    def facts(self) -> dict[str, Any]:
        """What a ledger must remember besides spec and plan to make this job again."""
        from finrag_eval.score.scorers import scorer_code

        return {
            "retrieval_digest": self.plan.retrieval_digest,
            "judges": {key: entry_of(model) for key, model in self.judges.items()},
            "prompts_folder": None if self.prompts_folder is None else str(self.prompts_folder),
            "cache_folder": str(self.cache_folder),
            "scorer_code": scorer_code(self.spec.scorers, self.prompts_folder),
        }


def known_prompts(folder: Path | None) -> tuple[set[str], set[str]]:
    """The names of all system prompts and of all query templates, a user's own included."""
    from finrag_eval.synthesis_pipeline.prompt_library import PromptLibrary

    return PromptLibrary(folder).names()


def job_of(asked: Asked) -> SweepJob:
    """The job of a checked sweep file."""
    pipeline = asked.ml_config.pipeline
    cache_folder = pipeline.cache_folder or CACHE_FOLDER
    spec = asked.spec
    return SweepJob(
        spec=spec,
        plan=expand(
            spec,
            models=[_as_billed(_model(asked.ml_config, key), spec) for key in spec.models],
            prompts=_texts(spec, pipeline.prompts_folder),
            query_set=asked.query_set,
            retrieval_digest=retrieval_digest(spec, cache_folder.absolute()),
        ),
        judges={key: _model(asked.ml_config, key) for key in judge_keys(spec)},
        prompts_folder=pipeline.prompts_folder,
        cache_folder=cache_folder.absolute(),
    )


def with_judges_of(job: SweepJob, config: MlConfig) -> SweepJob:
    """The job with the models of judges that it did not have before; raises InvalidInput."""
    new = {key: _model(config, key) for key in judge_keys(job.spec) if key not in job.judges}
    return replace(job, judges={**job.judges, **new})


def _model(config: MlConfig, key: str) -> ModelConfig:
    """The model of that key, with what the config says of AWS."""
    found = config.model(key)
    if found.provider != "bedrock":
        return found
    return replace(found, settings={**config.pipeline.aws, **found.settings})


def _as_billed(model: ModelConfig, spec: SweepSpec) -> ModelConfig:
    """The model at the prices that its answers will cost: those of batches, where it is asked so.

    Judges are asked on demand either way.
    """
    return at_batch_prices(model) if spec.execution.mode == "bedrock_batch" else model


def job_of_ledger(
    reader: LedgerReader, *, max_usd: Decimal | None = None, concurrency: int | None = None
) -> SweepJob:
    """The job as a ledger remembers it, with another cap or concurrency where one is given.

    Raises LedgerUnreadable where the sweep died before its plan was on disk.
    """
    resolved, query_set = reader.spec(), reader.query_set()
    run = next((one for one in reversed(reader.sessions()) if one.plan is not None), None)
    if resolved is None or query_set is None or run is None:
        raise LedgerUnreadable(
            reader.sweep_id, "it ended before its plan was on disk; run the sweep file again"
        )
    spec = _changed(spec_from_resolved(resolved), max_usd, concurrency)
    facts = run.facts
    models = {cell.model.key: cell.model for cell in reader.cells()}
    texts = {cell.prompts.version: cell.prompts for cell in reader.cells()}
    folder = facts.get("prompts_folder")
    return SweepJob(
        spec=spec,
        plan=expand(
            spec,
            models=[models[key] for key in spec.models],
            prompts=[texts[version] for version in spec.prompts],
            query_set=query_set,
            retrieval_digest=facts["retrieval_digest"],
        ),
        judges={key: model_from_entry(key, entry) for key, entry in facts["judges"].items()},
        prompts_folder=None if folder is None else Path(folder),
        cache_folder=Path(facts["cache_folder"]),
    )


def _changed(spec: SweepSpec, max_usd: Decimal | None, concurrency: int | None) -> SweepSpec:
    if max_usd is None and concurrency is None:
        return spec
    resolved = dict(spec.resolved)
    if max_usd is not None:
        resolved["budget"] = {**resolved["budget"], "max_usd": float(max_usd)}
    if concurrency is not None:
        resolved["execution"] = {**resolved["execution"], "concurrency": concurrency}
    return spec_from_resolved(resolved)


def judge_keys(spec: SweepSpec) -> list[str]:
    """The model keys of the sweep's judges, each once."""
    keys = (scorer.options["model"] for scorer in spec.scorers if scorer.kind == "judge")
    return list(dict.fromkeys(keys))


def retrieval_digest(spec: SweepSpec, cache_folder: Path) -> str:
    """A digest of all that decides contexts: settings, facts and corpus, or, for a target of
    one's own, the settings that it is told.
    """
    if spec.target != BUILT_IN_TARGET:
        return _digest(_plain(spec.retrieval))
    from finrag_eval.synthesis_pipeline.supply_lines import SupplyLines

    return SupplyLines(spec.retrieval, cache_folder=cache_folder).digest


def _texts(spec: SweepSpec, folder: Path | None) -> Iterator[PromptTexts]:
    if spec.target != BUILT_IN_TARGET:
        for version in spec.prompts:
            yield PromptTexts(version=version, system_text="", query_text="", digest=version.label)
        return
    from finrag_eval.synthesis_pipeline.prompt_library import PromptLibrary

    library = PromptLibrary(folder)
    for version in spec.prompts:
        yield library.load(version)


def _plain(settings: RetrievalSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__slots__}


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRecipe:
    """Makes the target that a job evaluates; pickles, so that every process can make its own."""

    job: SweepJob
    sweep_id: str

    def __call__(self) -> Target:
        spec, plan = self.job.spec, self.job.plan
        queries = {query.id: query for query in plan.query_set.queries}
        cells = {cell.name: cell for cell in plan.cells}
        if spec.target != BUILT_IN_TARGET:
            from finrag_eval.execute.callable_target import CallableTarget, load_callable

            return CallableTarget(
                load_callable(spec.target),
                queries=queries,
                cells=cells,
                execution=spec.execution,
                include_kpi=spec.retrieval.include_kpi,
                include_rag=spec.retrieval.include_rag,
            )
        from finrag_eval.execute.target import PipelineTarget
        from finrag_eval.synthesis_pipeline.clients import Clients
        from finrag_eval.synthesis_pipeline.orchestrator import Pipeline
        from finrag_eval.synthesis_pipeline.supply_lines import SupplyLines

        return PipelineTarget(
            Pipeline(SupplyLines(spec.retrieval, cache_folder=self.job.cache_folder)),
            queries=queries,
            cells=cells,
            client_for=Clients(
                workers=spec.execution.concurrency,
                attempt_timeout_s=spec.execution.attempt_timeout_s,
            ).client_for,
            execution=spec.execution,
            sweep_id=self.sweep_id,
        )


def target_builder(job: SweepJob, sweep_id: str) -> TargetRecipe:
    """How the job's target is made, here or in another process."""
    return TargetRecipe(job=job, sweep_id=sweep_id)

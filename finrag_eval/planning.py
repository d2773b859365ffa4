"""``plan``: the matrix of a sweep, what it will cost and take, and what it can find out.

Enters: what was asked, and what-if changes to it. Leaves: one plain mapping for the terminal or for
JSON. Assembles every prompt, reads ledgers and calibration, and calls no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from finrag_eval.domain import BUILT_IN_TARGET, ModelConfig, Query
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.estimate.estimating import Estimate, Todo, estimate_plan, with_price_factor
from finrag_eval.estimate.exact_tokens import Counted, count_prompts
from finrag_eval.estimate.history import History, read_history
from finrag_eval.estimate.power import power_report
from finrag_eval.estimate.prompt_sizes import PromptSizes, measure_prompts, measured_queries
from finrag_eval.execute.limits import output_burndown
from finrag_eval.job import SweepJob
from finrag_eval.money import exact_sum
from finrag_eval.plan import Plan, expand
from finrag_eval.progress import Watch
from finrag_eval.record.ledger import LedgerReader, recorded_answers


def plan_report(
    job: SweepJob,
    *,
    output_dir: Path,
    unfinished: Path | None,
    price_factors: Mapping[str, Decimal] | None = None,
    every_query: bool = False,
    detect: float | None = None,
    exact_tokens: bool = False,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """The whole plan as plain data.

    ``unfinished`` is the sweep that `run` would go on with; its answers are not paid again. With
    ``exact_tokens``, Bedrock counts the prompts of models that can be counted; ``watch`` sees how
    far that is.
    """
    job = _at_prices(job, price_factors or {})
    sizes = prompt_sizes(job, every_query=every_query)
    history = read_history(output_dir)
    recorded = _recorded_keys(job, output_dir, unfinished)
    todo = _todo(job, recorded)
    spec = job.spec
    counted = _count(job, every_query=every_query, watch=watch) if exact_tokens else None
    found = estimate_plan(
        todo,
        sizes,
        history,
        spec.execution,
        spec.limits,
        spec.budget.max_usd,
        None if counted is None else counted.tokens,
        _retrieval_usd(job, recorded),
    )
    return {
        "sweep": spec.name,
        "continues": None if unfinished is None else unfinished.name,
        "matrix": {
            "models": list(spec.models),
            "prompts": [version.label for version in spec.prompts],
            "queries": len(job.plan.query_set.queries),
            "repeats": spec.repeats,
            "cells": len(job.plan.cells),
            "trials": job.plan.trial_count,
            "recorded": sum(one.recorded for one in todo),
            "left": sum(one.trials for one in todo),
        },
        **found.as_json(),
        "not_counted": {} if counted is None else dict(counted.not_counted),
        "calibration": _calibration(history),
        "power": power_report(
            job.plan, history, detect=detect, whole=_whole(job, todo, sizes, history)
        ),
    }


def prompt_sizes(job: SweepJob, *, every_query: bool = False) -> PromptSizes:
    """The sizes of the job's prompts; for a target of one's own, of question and context alone."""
    if job.spec.target == BUILT_IN_TARGET:
        from finrag_eval.synthesis_pipeline.supply_lines import SupplyLines

        lines = SupplyLines(job.spec.retrieval, cache_folder=job.cache_folder)

        def gather(query: Query) -> str:
            return lines.sketch(query.query, own_context=query.context)
    else:

        def gather(query: Query) -> str:
            return query.context or ""

    return measure_prompts(
        job.plan.query_set.queries,
        list({cell.prompts.version: cell.prompts for cell in job.plan.cells}.values()),
        gather,
        retrieval_digest=job.plan.retrieval_digest,
        cache_folder=job.cache_folder,
        every_query=every_query,
    )


def _retrieval_usd(job: SweepJob, recorded: set[str]) -> tuple[Decimal, Decimal]:
    """What gathering costs as expected and at worst, where it is billed: once for each question."""
    if job.spec.target != BUILT_IN_TARGET:
        return Decimal(0), Decimal(0)
    from finrag_eval.synthesis_pipeline.supply_lines import SupplyLines

    lines = SupplyLines(job.spec.retrieval, cache_folder=job.cache_folder)
    left = {trial.query_id for trial in job.plan.without(recorded)}
    asked = [
        query.query
        for query in job.plan.query_set.queries
        if query.id in left and query.context is None
    ]
    return exact_sum(map(lines.likely_usd, asked)), exact_sum(map(lines.worst_usd, asked))


def _count(job: SweepJob, *, every_query: bool, watch: Watch | None) -> Counted:
    """The true tokens of the job's prompts; of a target of one's own nobody knows the prompts."""
    cells = job.plan.cells
    if job.spec.target != BUILT_IN_TARGET:
        why = "a target of your own makes its own prompts"
        return Counted(tokens={}, not_counted={cell.model.key: why for cell in cells})
    from finrag_eval.synthesis_pipeline.bedrock.token_counts import TokenCounter
    from finrag_eval.synthesis_pipeline.orchestrator import Pipeline
    from finrag_eval.synthesis_pipeline.supply_lines import SupplyLines

    lines = SupplyLines(job.spec.retrieval, cache_folder=job.cache_folder)
    queries = measured_queries(job.plan.query_set.queries, every_query=every_query)
    if watch is not None:
        watch.start("counting tokens", total=len(queries) * len(cells), done=0, unit="prompt")
    try:
        return count_prompts(
            cells,
            queries,
            Pipeline(lines).sketch,
            TokenCounter().count,
            cache_folder=job.cache_folder,
            advance=(lambda done: None) if watch is None else watch.advance,
        )
    finally:
        if watch is not None:
            watch.close()


def price_factor(text: str) -> tuple[str, Decimal]:
    """``MODEL=0.5x`` as a model key and a factor; raises InvalidInput."""
    key, _, factor = text.partition("=")
    try:
        number = Decimal(factor.removesuffix("x"))
    except ArithmeticError:
        number = Decimal(-1)
    if not key or not number.is_finite() or number < 0:
        raise InvalidInput(
            [
                Problem(
                    file="command line",
                    key="--price-change",
                    message=f"{text!r} is no price change",
                    fix="write it like production_budget=0.5x",
                )
            ]
        )
    return key, number


def _at_prices(job: SweepJob, factors: Mapping[str, Decimal]) -> SweepJob:
    """The same job with some models' prices multiplied."""
    unknown = [key for key in factors if key not in job.models]
    if unknown:
        known = ", ".join(job.models)
        raise InvalidInput(
            Problem(
                file="command line",
                key="--price-change",
                message=f"the sweep has no model {key!r}",
                fix=f"its models: {known}",
            )
            for key in unknown
        )

    def priced(model: ModelConfig) -> ModelConfig:
        factor = factors.get(model.key)
        return model if factor is None else with_price_factor(model, factor)

    cells = tuple(replace(cell, model=priced(cell.model)) for cell in job.plan.cells)
    judges = {key: priced(model) for key, model in job.judges.items()}
    return replace(job, plan=replace(job.plan, cells=cells), judges=judges)


def with_models(plan: Plan, models: Sequence[ModelConfig]) -> Plan:
    """The plan with other models in the place of its own."""
    prompts = list({cell.prompts.version: cell.prompts for cell in plan.cells}.values())
    return expand(
        replace(plan.spec, models=tuple(model.key for model in models)),
        models=models,
        prompts=prompts,
        query_set=plan.query_set,
        retrieval_digest=plan.retrieval_digest,
    )


def _recorded_keys(job: SweepJob, output_dir: Path, unfinished: Path | None) -> set[str]:
    """Keys of trials that have an answer already, here or, with ``reuse``, in earlier sweeps."""
    done: set[str] = set()
    if unfinished is not None:
        with LedgerReader.open(unfinished) as reader:
            done |= set(reader.answers())
    if job.spec.reuse:
        missing = {trial.key for trial in job.plan.without(done)}
        done |= set(recorded_answers(output_dir, missing))
    return done


def _todo(job: SweepJob, recorded: set[str]) -> list[Todo]:
    left = dict.fromkeys((cell.name for cell in job.plan.cells), 0)
    for trial in job.plan.without(recorded):
        left[trial.cell] += 1
    a_cell = job.plan.trial_count // max(1, len(job.plan.cells))
    return [
        Todo(
            cell=cell,
            target=job.spec.target,
            trials=left[cell.name],
            recorded=a_cell - left[cell.name],
            judges=tuple(job.judges.values()),
            output_burndown=output_burndown(cell.model),
            judge_burndowns={key: output_burndown(one) for key, one in job.judges.items()},
            repeats=job.spec.repeats,
        )
        for cell in job.plan.cells
    ]


def _whole(job: SweepJob, todo: Sequence[Todo], sizes: PromptSizes, history: History) -> Estimate:
    """What all trials would cost if none of them were recorded: new questions are new calls."""
    spec = job.spec
    anew = [replace(one, trials=one.trials + one.recorded, recorded=0) for one in todo]
    return estimate_plan(anew, sizes, history, spec.execution, spec.limits, None)


def _calibration(history: History) -> dict[str, Any]:
    """How earlier estimates of this folder did."""
    held = [sweep for sweep in history.sweeps if sweep.true_usd > 0]
    return {
        "sweeps": len(held),
        "inside_range": sum(sweep.inside for sweep in held),
        "last": None
        if not held
        else {
            "sweep_id": held[-1].sweep_id,
            "expected_usd": held[-1].expected_usd,
            "true_usd": held[-1].true_usd,
        },
    }

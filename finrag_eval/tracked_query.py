"""One question through the pipeline, with full tracking: one MLflow run.

Enters: a question. Leaves: its result and, where tracking is on, its run. The answer comes first:
a store that cannot be reached costs the run, never the answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finrag_eval.domain import (
    BudgetSpec,
    Cell,
    ExecutionSpec,
    ModelConfig,
    ModelReply,
    ModelRequest,
    PromptTexts,
    PromptVersion,
    Purpose,
    Query,
    Trial,
    TrialRecord,
)
from finrag_eval.errors import InvalidInput, ModelFault, Problem, StoreUnreachable
from finrag_eval.execute.budget import Budget
from finrag_eval.execute.doorways import AttemptState, CallFor
from finrag_eval.execute.gate import Gate
from finrag_eval.execute.retries import Called, ask_model
from finrag_eval.money import cost_usd

if TYPE_CHECKING:
    from finrag_eval.spec.ml_config import MlConfig

#: The question that the command asks where none is given.
SEED_QUERY_FILE = "seed_query.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedQuery:
    """A question's result and its run; ``not_tracked`` says why a wanted run is missing."""

    result: dict[str, Any]
    run_id: str | None = None
    run_url: str | None = None
    not_tracked: str | None = None


def run_with_mlflow_tracking(
    query: str,
    model_key: str | None = None,
    include_kpi: bool = True,
    include_rag: bool = True,
    export_context: bool = True,
    export_response: bool = False,
    experiment_name: str = "FinRAG-Integration",
    environment: str = "development",
    run_name: str | None = None,
    tags: Mapping[str, str] | None = None,
    *,
    system_prompt_version: str = "v1",
    query_template_version: str = "v1",
    config: str | Path | None = None,
    tracking_uri: str | None = None,
) -> tuple[dict[str, Any], str | None]:
    """The result of one question (contract, section 6) and the URL of its MLflow run.

    A failure is a result with ``error``, and a FAILED run. Raises InvalidInput for an unknown
    model, prompt version or store. Where the store does not answer, the URL is None and a warning
    says why.
    """
    asked = ask(
        query,
        model_key=model_key,
        include_kpi=include_kpi,
        include_rag=include_rag,
        export_context=export_context,
        export_response=export_response,
        experiment_name=experiment_name,
        environment=environment,
        run_name=run_name,
        tags=tags,
        system_prompt_version=system_prompt_version,
        query_template_version=query_template_version,
        config=config,
        tracking_uri=tracking_uri,
    )
    if asked.not_tracked is not None:
        import warnings

        warnings.warn(f"not tracked: {asked.not_tracked}", stacklevel=2)
    return asked.result, asked.run_url


def ask(
    query: str | None,
    *,
    model_key: str | None = None,
    include_kpi: bool = True,
    include_rag: bool = True,
    export_context: bool = True,
    export_response: bool = False,
    experiment_name: str = "FinRAG-Synthesis",
    environment: str = "development",
    run_name: str | None = None,
    tags: Mapping[str, str] | None = None,
    system_prompt_version: str = "v1",
    query_template_version: str = "v1",
    config: str | Path | None = None,
    tracking_uri: str | None = None,
    tracking: bool = True,
) -> TrackedQuery:
    """Ask one question, with the retries of a sweep, and record it. Raises InvalidInput."""
    from finrag_eval.synthesis_pipeline.orchestrator import answer_query
    from finrag_eval.synthesis_pipeline.prompt_library import PromptLibrary

    question = seed_query() if query is None else query
    ml_config = _ml_config(config)
    versions = PromptVersion(system=system_prompt_version, query=query_template_version)
    library = PromptLibrary(ml_config.pipeline.prompts_folder)
    model, texts, uri = _all_of(
        lambda: _usable(ml_config.model(model_key), ml_config),
        lambda: library.load(versions),
        lambda: _store(tracking_uri, experiment_name) if tracking else None,
    )
    caller = _Caller(model, ml_config)
    started_at = time.time()
    result = answer_query(
        question,
        model_key=model.key,
        include_kpi=include_kpi,
        include_rag=include_rag,
        export_context=export_context,
        export_response=export_response,
        config=ml_config.path,
        prompt_versions=versions,
        call=caller,
    )
    if uri is None:
        return TrackedQuery(result=result)
    record = _record(question, model, versions, result, caller, started_at)
    cell = Cell(model=model, prompts=texts, digest="")
    return _tracked(
        result,
        record,
        cell,
        question,
        uri,
        experiment_name,
        run_name,
        origin={
            "environment": environment,
            "include_kpi": include_kpi,
            "include_rag": include_rag,
            "tags": dict(tags or {}),
        },
    )


def seed_query() -> str:
    """The seed question on NVIDIA and Microsoft, 2018 to 2020."""
    return (Path(__file__).parent / SEED_QUERY_FILE).read_text(encoding="utf-8").strip()


class _Caller:
    """Asks the model with the retries of a sweep, and keeps what that took."""

    def __init__(self, model: ModelConfig, config: MlConfig) -> None:
        from finrag_eval.synthesis_pipeline.clients import Clients

        self._client = Clients(workers=1, aws=config.pipeline.aws).client_for(model)
        self._gate = Gate(
            (),
            (),
            budget=Budget(BudgetSpec()),
            reservations=_Unwritten(),
            concurrency=1,
            models=[model],
        )
        self.called: Called[ModelReply] | None = None

    def __call__(self, request: ModelRequest) -> ModelReply:
        model_key = request.model.key
        call = CallFor(trial_key="query", cell=model_key, model_key=model_key)
        self.called = ask_model(
            request, self._client, self._gate, call=call, execution=ExecutionSpec()
        )
        if self.called.answer is not None:
            return self.called.answer
        if self.called.fault is not None:
            raise self.called.fault
        raise ModelFault("Stopped", "no answer came", retry="never", may_be_billed=False)


class _Unwritten:
    """Reservations of a single question: there is no cap, and nothing to resume."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def reserve(
        self, *, trial_key: str, cell: str, model_key: str, purpose: Purpose, usd: Decimal
    ) -> int:
        return next(self._numbers)

    def settle(
        self,
        attempt_id: int,
        *,
        billed_usd: Decimal,
        state: AttemptState,
        error_type: str | None = None,
    ) -> None:
        return None

    def flush(self) -> None:
        return None


def _ml_config(config: str | Path | None) -> MlConfig:
    from finrag_eval.spec.ml_config import find_ml_config, read_ml_config

    problems: list[Problem] = []
    path = find_ml_config(None if config is None else Path(config))
    found = read_ml_config(path, problems=problems)
    if found is None:
        raise InvalidInput(problems)
    return replace(found, path=path)


def _store(tracking_uri: str | None, experiment: str) -> str:
    from finrag_eval.record.store_uri import resolve_tracking_uri, store_problems

    uri = resolve_tracking_uri(tracking_uri)
    if problems := store_problems(uri, experiment=experiment):
        raise InvalidInput(problems)
    return uri


def _all_of(
    model: Callable[[], ModelConfig],
    texts: Callable[[], PromptTexts],
    store: Callable[[], str | None],
) -> tuple[ModelConfig, PromptTexts, str | None]:
    """What each of the three gives. Raises InvalidInput with the problems of all of them."""
    problems: list[Problem] = []
    found: list[Any] = []
    for look in (model, texts, store):
        try:
            found.append(look())
        except InvalidInput as wrong:
            problems.extend(wrong.problems)
    if problems:
        raise InvalidInput(problems)
    return found[0], found[1], found[2]


def _usable(model: ModelConfig, config: MlConfig) -> ModelConfig:
    """The model. Raises InvalidInput where it is one of Bedrock's and there are no credentials."""
    if model.provider != "bedrock":
        return model
    from finrag_eval.synthesis_pipeline.bedrock import credentials_problem

    with_aws = replace(model, settings={**config.pipeline.aws, **model.settings})
    problem = credentials_problem(with_aws)
    if problem is not None:
        raise InvalidInput([problem])
    return model


def _record(
    question: str,
    model: ModelConfig,
    versions: PromptVersion,
    result: Mapping[str, Any],
    caller: _Caller,
    started_at: float,
) -> TrialRecord:
    """The question as a trial's record: the figures that a run shows."""
    called = caller.called
    reply = None if called is None else called.answer
    failed = bool(result.get("error"))
    metadata = result.get("metadata") or {}
    retrieval = metadata.get("retrieval") or {}
    processing_ms = metadata.get("processing_time_ms")
    total = None if processing_ms is None else processing_ms / 1000
    llm = None if reply is None else reply.latency_seconds
    usage = None if reply is None or failed else reply.usage
    return TrialRecord(
        outcome_id=0,
        scores_id=0,
        trial=Trial(key="", cell=f"{model.key}.{versions.label}", query_id="query"),
        status="failed" if failed else "success",
        started_at=started_at,
        ended_at=time.time(),
        input_tokens=None if usage is None else usage.input_tokens,
        output_tokens=None if usage is None else usage.output_tokens,
        cache_read_tokens=None if usage is None else usage.cache_read_tokens,
        cache_write_tokens=None if usage is None else usage.cache_write_tokens,
        cost_usd=None
        if usage is None or reply is None
        else cost_usd(usage, model, service_tier=reply.service_tier),
        wasted_usd=Decimal(0) if called is None else called.carried.wasted_usd,
        judge_cost_usd=Decimal(0),
        retrieval_cost_usd=Decimal(0),
        saved_usd=Decimal(0),
        latency_total_seconds=total,
        latency_retrieval_seconds=None if total is None or llm is None else max(0.0, total - llm),
        latency_llm_seconds=llm,
        latency_wait_seconds=0.0 if called is None else called.carried.waited_seconds,
        retries=0 if called is None else called.carried.retries,
        context_length_chars=_length(result.get("context")),
        answer_length_chars=_length(result.get("answer")),
        kpi_matches_count=retrieval.get("kpi_count"),
        rag_chunks_count=retrieval.get("rag_count"),
        tickers=tuple(retrieval.get("tickers") or ()),
        years=tuple(retrieval.get("years") or ()),
        stop_reason=_stop_reason(called),
        error_type=result.get("error_type"),
        error_message=result.get("error"),
        stage=result.get("stage"),
        reused_from=None,
        scores=(),
        prices=model.prices,
    )


def _stop_reason(called: Called[ModelReply] | None) -> str | None:
    """Why the answer ended, of use or not; None where none came."""
    ended = None if called is None else called.answer or called.fault
    return None if ended is None else ended.stop_reason


def _length(text: str | None) -> int | None:
    return None if text is None else len(text)


def _tracked(
    result: dict[str, Any],
    record: TrialRecord,
    cell: Cell,
    question: str,
    uri: str,
    experiment: str,
    run_name: str | None,
    *,
    origin: Mapping[str, Any],
) -> TrackedQuery:
    from finrag_eval.record.payload import CellForm, Origin
    from finrag_eval.record.single_run import record_single_run

    form = CellForm(cell, Origin(**origin))
    payload = form.payload(record, Query(id="query", query=question), result, name=run_name)
    try:
        run_id, url = record_single_run(payload, uri=uri, experiment=experiment)
    except StoreUnreachable as error:
        return TrackedQuery(result=result, not_tracked=str(error))
    return TrackedQuery(result=result, run_id=run_id, run_url=url)

"""One question through the pipeline: supply lines, prompt, model, result.

Enters: a question and a model. Leaves: a result (contract, section 6); what goes wrong is a result,
too, with the stage in which it did. Retries, budgets and deadlines are the caller's.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finrag_eval.domain import (
    Cell,
    ModelConfig,
    ModelReply,
    ModelRequest,
    PromptTexts,
    PromptVersion,
    Query,
    RetrievalSettings,
)
from finrag_eval.errors import FinragEvalError, InvalidInput
from finrag_eval.synthesis_pipeline.clients import Clients
from finrag_eval.synthesis_pipeline.models import Stage, failure_result, success_result
from finrag_eval.synthesis_pipeline.prompt_library import PromptLibrary, assemble
from finrag_eval.synthesis_pipeline.query_logger import QueryLogger
from finrag_eval.synthesis_pipeline.supply_lines import Context, SupplyLines

if TYPE_CHECKING:
    from finrag_eval.spec.ml_config import MlConfig, PipelineConfig

_LOG = logging.getLogger(__name__)
_ATTEMPT_TIMEOUT_S = 300.0

Call = Callable[[ModelRequest], ModelReply]


class Pipeline:
    """The steps of the pipeline over one data set; threads share it, and it pickles."""

    def __init__(self, supply_lines: SupplyLines) -> None:
        self.supply_lines = supply_lines

    def gather(self, query: Query) -> Context:
        """The query's context: its own one where it has one, else what the supply lines find."""
        return self.supply_lines.gather(query.query, own_context=query.context)

    def gather_worst_usd(self, query: Query) -> Decimal:
        """The most that ``gather`` can cost in USD."""
        return Decimal(0) if query.context is not None else self.supply_lines.worst_usd(query.query)

    def request(
        self, query: Query, context: Context, model: ModelConfig, texts: PromptTexts
    ) -> ModelRequest:
        """The prompt of a query for one model and prompt version."""
        return self._request(query, context.text, model, texts)

    def sketch(self, query: Query, cell: Cell) -> ModelRequest:
        """The prompt as it would be; where gathering is billed, with a context of likely length."""
        context = self.supply_lines.sketch(query.query, own_context=query.context)
        return self._request(query, context, cell.model, cell.prompts)

    def _request(
        self, query: Query, context: str, model: ModelConfig, texts: PromptTexts
    ) -> ModelRequest:
        system, prefix, question = assemble(texts, query=query.query, context=context)
        return ModelRequest(
            model=model,
            system_text=system,
            prefix_text=prefix,
            question_text=question,
            metadata={"cell": f"{model.key}.{texts.version.label}", "query_id": query.id},
        )

    def answer(
        self, query: Query, context: Context, model: ModelConfig, texts: PromptTexts, call: Call
    ) -> dict[str, Any]:
        """The result of one query; ``call`` asks the model. Raises nothing but what ends a program.

        Its processing time is that of retrieval, prompt and the kept call, as on an idle system.
        """
        started = time.perf_counter()
        try:
            request = self.request(query, context, model, texts)
        except Exception as error:
            return _failed(query.query, error, "prompt_formatting")
        prompt_seconds = time.perf_counter() - started
        try:
            reply = call(request)
        except Exception as error:
            return _failed(query.query, error, "llm_invocation")
        try:
            return success_result(
                query=query.query,
                context=context,
                model=model,
                reply=reply,
                seconds=context.seconds + prompt_seconds + reply.latency_seconds,
            )
        except Exception as error:
            return _failed(query.query, error, "response_packaging")


def answer_query(
    query: str,
    model_key: str | None = None,
    include_kpi: bool = True,
    include_rag: bool = True,
    model_root: str | Path | None = None,
    export_context: bool = True,
    export_response: bool = False,
    system_prompt_version: str = "v1",
    query_template_version: str = "v1",
    config: str | Path | None = None,
    *,
    model_config: ModelConfig | None = None,
    prompt_versions: PromptVersion | tuple[str, str] | Mapping[str, str] | None = None,
    context: str | None = None,
    call: Call | None = None,
) -> dict[str, Any]:
    """The answer to one question as a result dict; a failure is a result with ``error``.

    Models, prompts and data are those of ``ml_config.yaml``: ``config``, else the file in
    ``model_root``, else that of the working directory. ``context`` stands in place of retrieval,
    ``model_config`` in place of a model key; ``prompt_versions``, a pair (system, query) or the
    mapping that a target is given, before the two single versions. ``call`` asks the model;
    without it the model's client is asked, once. The query log gets a row of every result, and by
    the two ``export_`` flags its context and response.
    """
    versions = _versions(prompt_versions, system_prompt_version, query_template_version)
    job: _Job | None = None
    try:
        job = _job(model_key, model_config, versions, config, model_root, include_kpi, include_rag)
        result = _answered(job, query, context, call)
    except Exception as error:
        result = _failed(query, error, "initialization")
    if job is not None:
        exports = _logged(job, result, export_context, export_response)
        if not result.get("error"):
            result["exports"] = exports
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """All that one question needs, made and checked."""

    model: ModelConfig
    texts: PromptTexts
    pipeline: Pipeline
    clients: Clients
    logger: QueryLogger | None


def _answered(job: _Job, query: str, own_context: str | None, call: Call | None) -> dict[str, Any]:
    asked = Query(id="query", query=query, context=own_context)
    if not query.strip():
        raise ValueError("the query is empty")
    ask = call or _once(job)
    try:
        context = job.pipeline.gather(asked)
    except Exception as error:
        return _failed(query, error, "context_building")
    return job.pipeline.answer(asked, context, job.model, job.texts, ask)


def _once(job: _Job) -> Call:
    client = job.clients.client_for(job.model)
    return lambda request: client.converse(request, timeout_s=_ATTEMPT_TIMEOUT_S)


def _logged(
    job: _Job, result: Mapping[str, Any], export_context: bool, export_response: bool
) -> dict[str, str | None]:
    """The files written. An answer is not lost with its log: a log that fails is told and left."""
    if job.logger is not None:
        try:
            return job.logger.log(
                result,
                export_context=export_context,
                export_response=export_response,
                model_key=job.model.key,
                model_id=job.model.model_id,
                system_prompt_version=job.texts.version.system,
                query_template_version=job.texts.version.query,
            )
        except Exception as error:
            _LOG.warning("the query log could not be written: %s", error)
    return {"log_file": None, "context_file": None, "response_file": None}


def _failed(query: str, error: Exception, stage: Stage) -> dict[str, Any]:
    if not isinstance(error, FinragEvalError):
        _LOG.debug("failed in %s", stage, exc_info=error)
    return failure_result(query=query, error=error, stage=stage)


def _versions(
    both: PromptVersion | tuple[str, str] | Mapping[str, str] | None, system: str, query: str
) -> PromptVersion:
    if both is None:
        return PromptVersion(system=system, query=query)
    if isinstance(both, PromptVersion):
        return both
    if isinstance(both, Mapping):
        return PromptVersion(system=both["system"], query=both["query"])
    return PromptVersion(system=both[0], query=both[1])


def _job(
    model_key: str | None,
    model_config: ModelConfig | None,
    versions: PromptVersion,
    config: str | Path | None,
    model_root: str | Path | None,
    include_kpi: bool,
    include_rag: bool,
) -> _Job:
    ml_config = _ml_config(config, model_root)
    pipeline = ml_config.pipeline
    settings = RetrievalSettings(
        include_kpi=include_kpi,
        include_rag=include_rag,
        retriever=pipeline.retriever,
        corpus=None if pipeline.corpus is None else str(pipeline.corpus),
        kpi_facts=None if pipeline.kpi_facts is None else str(pipeline.kpi_facts),
        options=_retriever_options(pipeline),
    )
    model = model_config or ml_config.model(model_key)
    return _Job(
        model=_with_aws(model, pipeline),
        texts=PromptLibrary(pipeline.prompts_folder).load(versions),
        pipeline=Pipeline(_supply_lines(settings, pipeline.cache_folder)),
        clients=Clients(aws=pipeline.aws, workers=1),
        logger=None if pipeline.query_log is None else _logger(pipeline, model_root),
    )


def _retriever_options(pipeline: PipelineConfig) -> Mapping[str, Any]:
    """The retriever's options; one on AWS is where the models are, unless it says otherwise."""
    if pipeline.retriever != "s3vectors":
        return pipeline.retriever_options
    return {**pipeline.aws, **pipeline.retriever_options}


def _with_aws(model: ModelConfig, pipeline: PipelineConfig) -> ModelConfig:
    if model.provider != "bedrock" or not pipeline.aws:
        return model
    return replace(model, settings={**pipeline.aws, **model.settings})


def _ml_config(config: str | Path | None, model_root: str | Path | None) -> MlConfig:
    from finrag_eval.spec.ml_config import find_ml_config, read_ml_config

    named = Path(config) if config is not None else None
    if named is None and model_root is not None:
        named = Path(model_root) / "ml_config.yaml"
    problems: list[Any] = []
    found = read_ml_config(find_ml_config(named), problems=problems)
    if found is None:
        raise InvalidInput(problems)
    return found


def _logger(pipeline: PipelineConfig, model_root: str | Path | None) -> QueryLogger:
    where = str(pipeline.query_log)
    if not where.startswith("s3://") and model_root is not None:
        return QueryLogger(Path(model_root) / where, aws=pipeline.aws)
    return QueryLogger(where, aws=pipeline.aws)


_lines: dict[str, SupplyLines] = {}
_lines_lock = threading.Lock()


def _supply_lines(settings: RetrievalSettings, cache_folder: Path | None) -> SupplyLines:
    """Supply lines of these settings, opened once a process: an index is not read per question."""
    key = repr((settings, cache_folder))
    with _lines_lock:
        if key not in _lines:
            _lines[key] = SupplyLines(settings, cache_folder=cache_folder)
        return _lines[key]

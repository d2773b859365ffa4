"""What is evaluated, when it is someone's own Python callable: ``package.module:callable``.

Enters: a ticket. Leaves: an outcome, delivered to the gate, or the ticket, given back. The
callable gets the keyword arguments that it accepts out of the contract's list, and owns its
retries; a call of it is one attempt. It may be async. One that does not come back within
``timeout_s`` fails its trial, and its thread is left behind.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from finrag_eval.domain import Cell, ExecutionSpec, Failure, ModelConfig, Query, Usage
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.execute.doorways import (
    Admission,
    AttemptState,
    CallFor,
    CallSize,
    GateDoor,
    Refusal,
    Settlement,
    Ticket,
)
from finrag_eval.execute.outcomes import (
    LOSSES_BORNE,
    Timing,
    answered,
    failed,
    failure_in,
    failure_of,
    worker_lost,
)
from finrag_eval.money import cost_usd, worst_case_usd

#: Prompt tokens that a callable's call is taken to have at most where its model has no
#: ``context_window``.
DEFAULT_CONTEXT_WINDOW = 200_000
#: Failures in these stages come before any model is called.
_FREE_STAGES = frozenset({"initialization", "context_building", "prompt_formatting"})
_NOTHING = Decimal(0)


def load_callable(path: str) -> Callable[..., Any]:
    """The callable that ``package.module:callable`` names; raises InvalidInput.

    The current folder is importable, as with ``python -m``.
    """
    module_name, _, attribute = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
        for name in attribute.split("."):
            found = getattr(found, name)
    except Exception as error:
        raise InvalidInput([_unusable(path, f"{type(error).__name__}: {error}")]) from error
    if not callable(found):
        raise InvalidInput([_unusable(path, f"a {type(found).__name__} is no callable")])
    loaded: Callable[..., Any] = found
    return loaded


def _unusable(path: str, why: str) -> Problem:
    return Problem(
        file="target",
        key="target",
        message=f"cannot use '{path}' ({why})",
        fix="write package.module:callable, importable from the current folder",
    )


class CallableTarget:
    """Someone's own callable. Threads share it; a process loads its own.

    ``model_root`` is passed on to callables that ask for it.
    """

    def __init__(
        self,
        target: str | Callable[..., Any],
        *,
        queries: Mapping[str, Query],
        cells: Mapping[str, Cell],
        execution: ExecutionSpec,
        include_kpi: bool = True,
        include_rag: bool = True,
        model_root: Path | None = None,
    ) -> None:
        self._function = load_callable(target) if isinstance(target, str) else target
        self._accepts = _accepted_names(self._function)
        self._queries, self._cells = queries, cells
        self._timeout_s = execution.timeout_s
        self._fixed = {
            "include_kpi": include_kpi,
            "include_rag": include_rag,
            "model_root": model_root or Path.cwd(),
            "export_context": True,
            "export_response": False,
        }
        self._threads = threading.local()

    def answer(self, ticket: Ticket, gate: GateDoor) -> None:
        """Deliver the trial's outcome, or give the ticket back; raises nothing foreseen."""
        query = self._queries[ticket.trial.query_id]
        model = self._cells[ticket.trial.cell].model
        if ticket.carried.losses > LOSSES_BORNE:
            self._deliver_failure(ticket, gate, query, worker_lost(ticket.carried.losses))
            return
        size = CallSize(
            worst_usd=worst_case_usd(model, model.context_window or DEFAULT_CONTEXT_WINDOW),
            prompt_bytes=0,
            max_tokens=0,
        )
        admission = gate.admit(_call_for(ticket, model), size)
        if isinstance(admission, Refusal):
            gate.give_back(ticket.number, admission, ticket.carried, size.worst_usd)
            return
        self._answer(ticket, gate, query, admission, size)

    def _answer(
        self, ticket: Ticket, gate: GateDoor, query: Query, admission: Admission, size: CallSize
    ) -> None:
        model = self._cells[ticket.trial.cell].model
        carried = replace(
            ticket.carried,
            waited_seconds=ticket.carried.waited_seconds + admission.waited_seconds,
        )
        ticket = replace(ticket, carried=carried)
        started_at, began = time.time(), time.perf_counter()
        result: Mapping[str, Any] | None = None
        failure: Failure | None = None
        usage: Usage | None = None
        try:
            result = plain_result(self._call(self._arguments(ticket, query)))
            failure = failure_in(result) if result.get("error") else None
            usage = usage_in(result)
        except HungCallable as error:
            gate.notice(f"target: {error}; its thread is left behind")
            failure = failure_of(error, "llm_invocation")
        except Exception as error:
            failure = failure_of(error, _stage_of(error))
        seconds = time.perf_counter() - began
        cost = _cost(result, usage, model)
        billed, state = _billing(failure, cost, size.worst_usd)
        gate.settle(
            admission.attempt,
            Settlement(
                billed_usd=billed,
                state=state,
                usage=usage,
                fault=None if failure is None else "never",
                error_type=None if failure is None else failure.error_type,
            ),
        )
        timing = Timing(started_at=started_at, ended_at=time.time(), total=seconds)
        if failure is not None or result is None:
            assert failure is not None
            wasted = replace(carried, wasted_usd=carried.wasted_usd + billed)
            ticket = replace(ticket, carried=wasted)
            self._deliver_failure(ticket, gate, query, failure, result)
            return
        gate.deliver(
            ticket.number,
            answered(
                ticket.trial,
                result,
                carried,
                timing,
                usage=usage,
                cost_usd=cost,
                stop_reason=_stop_reason(result),
            ),
        )

    def _deliver_failure(
        self,
        ticket: Ticket,
        gate: GateDoor,
        query: Query,
        failure: Failure,
        result: Mapping[str, Any] | None = None,
    ) -> None:
        now = time.time()
        timing = Timing(started_at=now, ended_at=now)
        gate.deliver(
            ticket.number,
            failed(ticket.trial, query.query, failure, ticket.carried, timing, result),
        )

    def _arguments(self, ticket: Ticket, query: Query) -> dict[str, Any]:
        cell = self._cells[ticket.trial.cell]
        version = cell.prompts.version
        offered = {
            **self._fixed,
            "query": query.query,
            "model_key": cell.model.key,
            "model_config": model_entry(cell.model),
            "prompt_versions": {"system": version.system, "query": version.query},
            "context": query.context,
        }
        if self._accepts is None:
            return offered
        return {name: value for name, value in offered.items() if name in self._accepts}

    def _call(self, arguments: dict[str, Any]) -> Any:
        """What the callable returns, within ``timeout_s``; runs on this worker's own thread."""
        thread = getattr(self._threads, "own", None)
        if thread is None:
            thread = self._threads.own = _OwnThread(self._function, self._timeout_s)
        try:
            return thread.call(arguments)
        except HungCallable:
            self._threads.own = None
            raise


class HungCallable(Exception):
    """The callable did not return in time."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"the callable did not return within timeout_s = {timeout_s:g} s")


class MalformedResult(Exception):
    """The callable returned something that is no result (contract, section 6)."""


class _OwnThread:
    """One thread that runs the callable for one worker, so that a hung call can be left behind."""

    def __init__(self, function: Callable[..., Any], timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._asked: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._told: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        # The thread knows its queues and not this object, so that it ends with it.
        threading.Thread(
            target=_serve,
            args=(function, timeout_s, self._asked, self._told),
            name="finrag-eval-target",
            daemon=True,
        ).start()

    def __del__(self) -> None:
        self._asked.put(None)

    def call(self, arguments: dict[str, Any]) -> Any:
        self._asked.put(arguments)
        try:
            value, error = self._told.get(timeout=self._timeout_s)
        except Empty:
            raise HungCallable(self._timeout_s) from None
        if error is not None:
            raise error
        return value


def _serve(
    function: Callable[..., Any],
    timeout_s: float,
    asked: SimpleQueue[dict[str, Any] | None],
    told: SimpleQueue[tuple[Any, BaseException | None]],
) -> None:
    """Run the callable for what is asked, until None is."""
    while (arguments := asked.get()) is not None:
        try:
            told.put((_run(function, arguments, timeout_s), None))
        except BaseException as error:
            told.put((None, error))


def _run(function: Callable[..., Any], arguments: dict[str, Any], timeout_s: float) -> Any:
    """What the callable returns; awaited, and cancelled in time, where it is async."""
    value = function(**arguments)
    if not inspect.isawaitable(value):
        return value

    async def awaited() -> Any:
        return await value

    try:
        return asyncio.run(asyncio.wait_for(awaited(), timeout_s * 0.99))
    except TimeoutError:
        raise HungCallable(timeout_s) from None


def model_entry(model: ModelConfig) -> dict[str, Any]:
    """The model's entry as a callable gets it: the contract's keys, prices as floats."""
    prices = {
        name: None if (usd := getattr(model.prices, name)) is None else float(usd)
        for name in (
            "cost_per_1k_input",
            "cost_per_1k_output",
            "cost_per_1k_cache_read",
            "cost_per_1k_cache_write",
        )
    }
    entry = {
        **model.settings,
        "model_id": model.model_id,
        "display_name": model.display_name,
        "provider": model.provider,
        "max_tokens": model.max_tokens,
        "temperature": model.temperature,
        "top_p": model.top_p,
        "context_window": model.context_window,
        **prices,
    }
    return {name: value for name, value in entry.items() if value is not None}


def plain_result(returned: Any) -> dict[str, Any]:
    """A callable's result as plain JSON data; raises MalformedResult with what is wrong."""
    if not isinstance(returned, Mapping):
        raise MalformedResult(f"returned a {type(returned).__name__}, not a dict")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(returned), default=str))
    except (TypeError, ValueError, RecursionError) as error:
        raise MalformedResult(f"the result cannot be written as JSON ({error})") from error
    if plain.get("error"):
        return plain
    if not isinstance(plain.get("answer"), str):
        kind = type(plain.get("answer")).__name__
        raise MalformedResult(f"'answer' is a {kind}, not text, and there is no 'error'")
    metadata = plain.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise MalformedResult(f"'metadata' is a {type(metadata).__name__}, not a dict")
    return plain


def usage_in(result: Mapping[str, Any]) -> Usage | None:
    """The usage of ``metadata.llm``; None without token counts; raises MalformedResult."""
    llm = _llm(result)
    if llm.get("input_tokens") is None or llm.get("output_tokens") is None:
        return None
    counts = {
        name: llm.get(name) or 0
        for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    }
    for name, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise MalformedResult(f"metadata.llm.{name} is {count!r:.40}, not a count")
    return Usage(**counts)


def _llm(result: Mapping[str, Any]) -> Mapping[str, Any]:
    llm = (result.get("metadata") or {}).get("llm")
    return llm if isinstance(llm, dict) else {}


def _stop_reason(result: Mapping[str, Any]) -> str | None:
    reason = _llm(result).get("stop_reason")
    return reason if isinstance(reason, str) else None


def _cost(
    result: Mapping[str, Any] | None, usage: Usage | None, model: ModelConfig
) -> Decimal | None:
    """USD at the configured prices; what the callable says where it counts no tokens."""
    if usage is not None:
        return cost_usd(usage, model)
    told = None if result is None else _llm(result).get("cost")
    if isinstance(told, int | float) and not isinstance(told, bool) and told >= 0:
        return Decimal(str(told))
    return None


def _billing(
    failure: Failure | None, cost: Decimal | None, worst_usd: Decimal
) -> tuple[Decimal, AttemptState]:
    """What to count: what is known, else the worst case, else nothing where no model was called."""
    if failure is None:
        return worst_usd if cost is None else cost, "kept"
    if cost is not None:
        return cost, "wasted"
    return (_NOTHING, "free") if failure.stage in _FREE_STAGES else (worst_usd, "wasted")


def _stage_of(error: Exception) -> str:
    return "response_packaging" if isinstance(error, MalformedResult) else "llm_invocation"


def _call_for(ticket: Ticket, model: ModelConfig) -> CallFor:
    return CallFor(
        trial_key=ticket.trial.key,
        cell=ticket.trial.cell,
        model_key=model.key,
        ticket=ticket.number,
    )


def _accepted_names(function: Callable[..., Any]) -> frozenset[str] | None:
    """The keyword arguments that a callable takes; None where it takes any."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return frozenset(parameter.name for parameter in parameters if parameter.kind in kinds)

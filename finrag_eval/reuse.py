"""Answers that earlier sweeps of the results folder paid for, taken over for the same trial keys.

Enters: trials that this sweep has no answer to. Leaves: outcomes at no cost, marked with the sweep
they come from; what they would have cost at today's prices is in ``saved_usd``.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from finrag_eval.domain import ModelConfig, Outcome, Trial, TrialRecord, Usage
from finrag_eval.money import cost_usd
from finrag_eval.record.ledger import LedgerReader, recorded_answers


def reusable_outcomes(
    results_folder: Path,
    trials: Collection[Trial],
    *,
    models: Mapping[str, ModelConfig],
    asking: str,
) -> Iterator[Outcome]:
    """An outcome for every trial that another sweep of the folder has a whole answer to.

    ``models`` are by cell name; ``asking`` is the sweep that asks. Times are those of now,
    latencies those of then.
    """
    wanted = {trial.key: trial for trial in trials}
    found = recorded_answers(results_folder, wanted.keys(), besides=asking)
    for sweep_id, keys in _by_sweep(found).items():
        with LedgerReader.open(results_folder / sweep_id) as reader:
            for key in keys:
                outcome_id = found[key][1]
                trial, record = wanted[key], reader.record(outcome_id)
                result = reader.result(outcome_id)
                yield _reused(trial, record, result, models[trial.cell], sweep_id)


def _by_sweep(found: Mapping[str, tuple[str, int]]) -> dict[str, list[str]]:
    sweeps: dict[str, list[str]] = {}
    for key, (sweep_id, _) in found.items():
        sweeps.setdefault(sweep_id, []).append(key)
    return sweeps


def _reused(
    trial: Trial,
    record: TrialRecord,
    result: Mapping[str, object],
    model: ModelConfig,
    sweep_id: str,
) -> Outcome:
    usage = None
    if record.input_tokens is not None and record.output_tokens is not None:
        usage = Usage(
            input_tokens=record.input_tokens,
            output_tokens=record.output_tokens,
            cache_read_tokens=record.cache_read_tokens or 0,
            cache_write_tokens=record.cache_write_tokens or 0,
        )
    now = time.time()
    return Outcome(
        trial=trial,
        result=result,
        started_at=now,
        ended_at=now,
        usage=usage,
        cost_usd=Decimal(0),
        saved_usd=Decimal(0) if usage is None else cost_usd(usage, model),
        latency_total_seconds=record.latency_total_seconds,
        latency_retrieval_seconds=record.latency_retrieval_seconds,
        latency_llm_seconds=record.latency_llm_seconds,
        stop_reason=record.stop_reason,
        reused_from=record.reused_from or sweep_id,
    )

"""After a sweep: what its answers teach the next plan, and how this one's estimate did.

Enters: a finished sweep's plan and records. Leaves: an updated ``calibration.json``. Reads no
texts: the lengths that the ledger has beside each answer are enough.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from finrag_eval.domain import Cell, ModelConfig, TrialRecord
from finrag_eval.estimate.estimating import Todo, estimate_plan
from finrag_eval.estimate.history import Held, History, Observed, read_history, write_history
from finrag_eval.estimate.knowledge import lessons_key
from finrag_eval.estimate.prompt_sizes import PromptSizes, fixed_chars
from finrag_eval.money import exact_sum
from finrag_eval.plan import Plan


def learn(
    results_folder: Path,
    lessons: Lessons,
    *,
    sweep_id: str,
    ended_at: str,
    judges: Sequence[ModelConfig],
) -> None:
    """Keep what the sweep's own answers teach, and its estimate beside its true cost.

    A sweep without an answer changes nothing.
    """
    if not lessons.observed:
        return
    history = read_history(results_folder)
    held = lessons.held(history, sweep_id, ended_at, judges)
    write_history(results_folder, history.with_answers(lessons.by_cell()).with_sweep(held))


class Lessons:
    """The sweep's own answers: lengths, tokens and money, by cell; reused ones teach nothing new.

    ``score_names`` are the scores that any of the records has.
    """

    def __init__(self, plan: Plan, records: Iterable[TrialRecord]) -> None:
        self._plan = plan
        self.score_names: set[str] = set()
        self._cells: Mapping[str, Cell] = {cell.name: cell for cell in plan.cells}
        self._fixed = {cell.name: fixed_chars(cell.prompts) for cell in plan.cells}
        self._query_chars = {query.id: len(query.query) for query in plan.query_set.queries}
        self.observed: dict[str, list[Observed]] = defaultdict(list)
        self._own_chars: dict[str, int] = {}
        self._usd = exact_sum(())
        for record in records:
            self._add(record)

    def _add(self, record: TrialRecord) -> None:
        self.score_names.update(score.name for score in record.scores)
        if record.status != "success" or record.reused_from or record.input_tokens is None:
            return
        cell, query_id = record.trial.cell, record.trial.query_id
        own = self._query_chars[query_id] + (record.context_length_chars or 0)
        self._own_chars[query_id] = own
        self._usd = exact_sum((self._usd, record.cost_usd or Decimal(0), record.judge_cost_usd))
        read, written = record.cache_read_tokens or 0, record.cache_write_tokens or 0
        self.observed[cell].append(
            Observed(
                prompt_chars=own + self._fixed[cell],
                prompt_tokens=record.input_tokens + read + written,
                output_tokens=record.output_tokens or 0,
                latency_seconds=record.latency_total_seconds,
                cache_read_tokens=read,
                cache_write_tokens=written,
            )
        )

    def by_cell(self) -> dict[tuple[str, str], list[Observed]]:
        """The answers by the model's lessons and cell digest, as a history takes them."""
        target = self._plan.spec.target
        found: dict[tuple[str, str], list[Observed]] = defaultdict(list)
        for name, answers in self.observed.items():
            cell = self._cells[name]
            found[lessons_key(cell.model.model_id, target), cell.digest] += answers
        return found

    def held(
        self, history: History, sweep_id: str, ended_at: str, judges: Sequence[ModelConfig]
    ) -> Held:
        """What the history before this sweep would have said of it, beside what it cost."""
        todo = [
            Todo(
                cell=cell,
                target=self._plan.spec.target,
                trials=len(self.observed[name]),
                recorded=0,
                judges=tuple(judges),
                repeats=self._plan.spec.repeats,
            )
            for name, cell in self._cells.items()
            if self.observed.get(name)
        ]
        spec = self._plan.spec
        found = estimate_plan(todo, self._sizes(), history, spec.execution, {}, None)
        return Held(
            sweep_id=sweep_id,
            ended_at=ended_at,
            expected_usd=found.usd.expected,
            low_usd=found.usd.low,
            high_usd=found.usd.high,
            true_usd=float(self._usd),
            fitted_on=sum(len(lessons) for lessons in history.cells.values()),
        )

    def _sizes(self) -> PromptSizes:
        own = np.array(list(self._own_chars.values()), dtype=np.int64)
        versions = {
            cell.prompts.version.label: self._fixed[name] for name, cell in self._cells.items()
        }
        chars = np.array([own + fixed for fixed in versions.values()])
        return PromptSizes(versions=tuple(versions), chars=chars, bytes=chars, share=1.0)

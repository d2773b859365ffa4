"""Comparisons of recorded sweeps: within one against its baseline, or one sweep against another.

Enters: trials as columns, and what two sweeps were made of. Leaves: comparisons and gates for a
summary, or a report of its own for ``compare``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finrag_eval.compare.columns import USUAL_METRICS, is_score
from finrag_eval.compare.columns import CellColumns as Compared
from finrag_eval.compare.comparing import Comparison, compare_cells, compare_pairs
from finrag_eval.compare.differences import Difference, differences
from finrag_eval.compare.gates import GateResult, evaluate_gates
from finrag_eval.domain import GateSpec, Prices, Query
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.job import SweepJob, job_of_ledger
from finrag_eval.money import exact_sum
from finrag_eval.record.ledger import LedgerReader, find_sweep, list_sweeps
from finrag_eval.side_by_side import side_by_side
from finrag_eval.spec.suggest import did_you_mean
from finrag_eval.trial_columns import CellColumns, columns_by_cell

LATEST_PASSED = "latest-passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What ``compare`` found; ``sides`` are the answers behind the comparisons, query by query.

    Within a sweep, both sweeps are the same one.
    """

    baseline_sweep: str
    candidate_sweep: str
    differences: tuple[Difference, ...]
    comparisons: tuple[Comparison, ...]
    gates: tuple[GateResult, ...]
    sides: tuple[Mapping[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON document."""
        return {
            "baseline_sweep": self.baseline_sweep,
            "candidate_sweep": self.candidate_sweep,
            "differences": [one.as_dict() for one in self.differences],
            "comparisons": [one.as_dict() for one in self.comparisons],
            "gates": [gate.as_dict() for gate in self.gates],
            "queries": list(self.sides),
        }


def compared(
    summary: dict[str, Any], job: SweepJob, columns: Mapping[str, CellColumns]
) -> dict[str, Any]:
    """The summary with every cell set against the sweep's baseline, and its gates judged."""
    spec = job.spec
    cells = {name: to_compare(held) for name, held in columns.items()}
    found: tuple[Comparison, ...] = ()
    baseline = None if spec.baseline is None else cells.get(spec.baseline.name)
    if baseline is not None:
        others = [cell for name, cell in cells.items() if cell is not baseline]
        metrics = _metrics([baseline, *others], spec.gate)
        found = compare_cells(baseline, others, metrics, margins=spec.margins)
    gates = evaluate_gates(spec.gate, found, list(cells.values()), not_run=_not_run(job, cells))
    return summary | {
        "comparisons": [one.as_dict() for one in found],
        "gates": [gate.as_dict() for gate in gates],
    }


def _metrics(cells: Sequence[Compared], gates: Sequence[GateSpec]) -> list[str]:
    """Every score, cost, latency and tokens, and whatever else a gate is about."""
    scores = [name for cell in cells for name in cell.values if is_score(name)]
    return list(dict.fromkeys([*scores, *USUAL_METRICS, *(gate.metric for gate in gates)]))


def _not_run(
    job: SweepJob, cells: Mapping[str, Compared], only: Sequence[str] = ()
) -> dict[str, float]:
    """The share of each planned cell's trials that never ran; of the cells named, where any are."""
    planned = len(job.plan.query_set.queries) * job.spec.repeats
    ran = {name: cell.query_ids.size for name, cell in cells.items()}
    return {
        cell.name: max(0.0, 1 - ran.get(cell.name, 0) / planned) if planned else 0.0
        for cell in job.plan.cells
        if not only or cell.name in only
    }


def to_compare(held: CellColumns) -> Compared:
    """A cell's columns as comparisons take them: cost with what was saved, no reused latency."""
    seconds = {
        name: np.where(held.reused, np.nan, values)
        for name, values in held.figures.items()
        if name.startswith("latency_")
    }
    prompt = held.figures["input_tokens"] + held.figures["output_tokens"]
    cached = np.nan_to_num(held.figures["cache_read_tokens"]) + np.nan_to_num(
        held.figures["cache_write_tokens"]
    )
    return Compared(
        cell=held.cell,
        query_ids=held.query_ids,
        clusters=held.clusters,
        repeats=held.repeats,
        failed=~held.succeeded,
        values={
            **{f"score.{name}": values for name, values in held.scores.items()},
            "cost_usd": held.cost_usd + held.saved_usd,
            **seconds,
            "input_tokens": held.figures["input_tokens"],
            "output_tokens": held.figures["output_tokens"],
            "total_tokens": prompt + cached,
        },
        total_usd=exact_sum([held.usd["cost_usd"], held.usd["saved_usd"]]),
    )


def compare_within(
    output_dir: Path,
    sweep_id: str,
    *,
    baseline: str | None,
    candidate: str | None,
    conditions: Sequence[GateSpec] = (),
    show: int = 0,
) -> Report:
    """One cell, or all of them, against a baseline cell of the same sweep."""
    folder = find_sweep(output_dir, sweep_id)
    with LedgerReader.open(folder) as reader:
        side = _Side.of(reader)
        name = baseline or (
            side.job.spec.baseline.name
            if side.job.spec.baseline
            else side.only("--baseline", "the sweep names no baseline")
        )
        before = side.cell("--baseline", name)
        others = (
            [side.cell("--candidate", candidate)]
            if candidate
            else [cell for cell in side.cells.values() if cell is not before]
        )
        side.check(conditions)
        wanted = [*side.job.spec.gate, *conditions]
        metrics = _metrics([before, *others], wanted)
        found = compare_cells(before, others, metrics, margins=side.job.spec.margins)
        only = [candidate] if candidate else []
        not_run = _not_run(side.job, side.cells, only)
        gates = evaluate_gates(wanted, found, others, not_run=not_run)
        sides = side_by_side(reader, reader, side.queries(), found, show)
    return Report(
        baseline_sweep=folder.name,
        candidate_sweep=folder.name,
        differences=(),
        comparisons=found,
        gates=gates,
        sides=sides,
    )


def compare_sweeps(
    output_dir: Path,
    baseline_sweep: str,
    candidate_sweep: str,
    *,
    baseline: str | None,
    candidate: str | None,
    conditions: Sequence[GateSpec] = (),
    show: int = 0,
    strict: bool = False,
) -> Report:
    """Cells of one sweep against those of another, over the queries that both have.

    Cells of the same name are compared, unless two are named. ``latest-passed`` is the newest
    sweep that ended with code 0, of the candidate's name and before it. ``strict`` raises
    InvalidInput where something that matters differs besides.
    """
    after_folder = find_sweep(output_dir, candidate_sweep)
    before_folder = (
        _latest_passed(output_dir, after_folder)
        if baseline_sweep == LATEST_PASSED
        else find_sweep(output_dir, baseline_sweep)
    )
    with LedgerReader.open(before_folder) as old, LedgerReader.open(after_folder) as new:
        before, after = _Side.of(old), _Side.of(new)
        differing = differences(before.facts(), after.facts())
        if strict and any(one.matters for one in differing):
            raise InvalidInput(
                Problem(
                    file="command line",
                    key="--strict",
                    message=one.sentence,
                    fix="compare sweeps that differ in the candidate alone, or leave out --strict",
                )
                for one in differing
                if one.matters
            )
        pairs = _pairs_of(before, after, baseline, candidate)
        after.check(conditions)
        wanted = [*after.job.spec.gate, *conditions]
        cells = [cell for _, cell in pairs]
        found = compare_pairs(
            pairs, _metrics(cells, wanted), margins=after.job.spec.margins, absent="left_out"
        )
        only = [cell.cell for cell in cells] if baseline or candidate else []
        not_run = _not_run(after.job, after.cells, only)
        gates = evaluate_gates(wanted, found, cells, not_run=not_run)
        sides = side_by_side(old, new, after.queries(), found, show)
    return Report(
        baseline_sweep=before_folder.name,
        candidate_sweep=after_folder.name,
        differences=differing,
        comparisons=found,
        gates=gates,
        sides=sides,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One sweep as a side of a comparison."""

    job: SweepJob
    cells: Mapping[str, Compared]
    session_facts: Mapping[str, Any]
    scorer_code: Mapping[str, str]

    @classmethod
    def of(cls, reader: LedgerReader) -> _Side:
        job = job_of_ledger(reader)
        held = columns_by_cell(reader.final_records(), _queries_of(job))
        sessions = reader.sessions()
        run = next(one for one in reversed(sessions) if one.kind == "run")
        code: dict[str, str] = {}
        for session in sessions:  # answers scored again have their newest scorer's code
            code |= session.facts.get("scorer_code", {})
        return cls(
            job=job,
            cells={name: to_compare(columns) for name, columns in held.items()},
            session_facts=run.facts,
            scorer_code=code,
        )

    def queries(self) -> dict[str, Query]:
        return _queries_of(self.job)

    def cell(self, option: str, name: str) -> Compared:
        if name in self.cells:
            return self.cells[name]
        raise InvalidInput(
            [
                Problem(
                    file="command line",
                    key=option,
                    message=f"the sweep has no cell {name!r} with a finished trial",
                    fix=did_you_mean(name, self.cells),
                )
            ]
        )

    def check(self, conditions: Sequence[GateSpec]) -> None:
        """Raises InvalidInput for conditions on metrics that no trial of the sweep could have."""
        known = [name for cell in self.cells.values() for name in cell.values]
        known += [f"score.{one.name}" for one in self.job.spec.scorers]
        unknown = [one.metric for one in conditions if self.cells and one.metric not in known]
        if unknown:
            raise InvalidInput(
                Problem(
                    file="command line",
                    key="--fail-on",
                    message=f"the sweep has no metric {name!r}",
                    fix=did_you_mean(name, list(dict.fromkeys(known))),
                )
                for name in unknown
            )

    def only(self, option: str, why: str) -> str:
        raise InvalidInput(
            [
                Problem(
                    file="command line",
                    key=option,
                    message=why,
                    fix="name a cell: " + ", ".join(self.cells),
                )
            ]
        )

    def facts(self) -> dict[str, Any]:
        """What should be equal on both sides of a fair comparison."""
        cells = {cell.name: cell for cell in self.job.plan.cells}
        return {
            "query_set": self.session_facts["query_set_digest"],
            "retrieval": self.session_facts["retrieval_digest"],
            "scorers": {one.name: f"{one.kind} {one.options}" for one in self.job.spec.scorers},
            "scorer_code": dict(self.scorer_code),
            "prompts": {name: cell.prompts.digest for name, cell in cells.items()},
            "models": {name: cell.model.model_id for name, cell in cells.items()},
            "prices": {name: _prices(cell.model.prices) for name, cell in cells.items()},
            "versions": dict(self.session_facts.get("versions") or {}),
            "git_commit": self.session_facts.get("git_commit"),
        }


def _queries_of(job: SweepJob) -> dict[str, Query]:
    return {query.id: query for query in job.plan.query_set.queries}


def _prices(prices: Prices) -> str:
    return f"{prices.cost_per_1k_input}/{prices.cost_per_1k_output} USD per 1,000 tokens"


def _pairs_of(
    before: _Side, after: _Side, baseline: str | None, candidate: str | None
) -> list[tuple[Compared, Compared]]:
    if baseline or candidate:
        one = baseline or candidate or ""
        two = candidate or baseline or ""
        return [(before.cell("--baseline", one), after.cell("--candidate", two))]
    shared = [name for name in after.cells if name in before.cells]
    if not shared:
        after.only("--candidate", "the two sweeps have no cell in common")
    return [(before.cells[name], after.cells[name]) for name in shared]


def _latest_passed(output_dir: Path, candidate: Path) -> Path:
    listings = list_sweeps(output_dir)
    mine = next(one for one in listings if one.folder == candidate)
    for one in listings:
        earlier = (one.started_at or 0) < (mine.started_at or 0)
        if one.name == mine.name and one.exit_code == 0 and earlier and not one.is_pruned:
            return one.folder
    raise InvalidInput(
        [
            Problem(
                file=str(output_dir),
                key="--baseline-sweep",
                message=f"no earlier sweep named {mine.name!r} ended with code 0",
                fix="name a sweep by its id; `finrag-eval sweeps` lists them",
            )
        ]
    )

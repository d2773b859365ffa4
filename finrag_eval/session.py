"""One session of a sweep: from its open ledger to its summary.

Enters: a job and a ledger. Leaves: a ``SweepResult``. Answers, scores, judges, then wraps up; what
is on disk at any moment is enough to go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from finrag_eval.batching import batch_outcomes, gate_kind, is_by_batch
from finrag_eval.beforehand import ENDING, Beforehand, load
from finrag_eval.domain import BUILT_IN_TARGET, BudgetSpec, Cell, Outcome, Trial
from finrag_eval.ending import Ending, ending_of
from finrag_eval.errors import StoppedAtOnce
from finrag_eval.execute.budget import Budget
from finrag_eval.execute.fanout import fan_out
from finrag_eval.execute.gate import Gate
from finrag_eval.execute.gates import Gates
from finrag_eval.execute.one_core import on_one_core
from finrag_eval.execute.places import trials_ahead
from finrag_eval.job import SweepJob, target_builder
from finrag_eval.progress import Progress, Watch, shown_live
from finrag_eval.provenance import git_state, package_versions
from finrag_eval.record.ledger import Ledger, LedgerReader
from finrag_eval.record.parent import CAPS
from finrag_eval.record.recording import EarlyRecorder, RecorderHandle
from finrag_eval.record.store_uri import mask_uri
from finrag_eval.results import write_spec
from finrag_eval.reuse import reusable_outcomes
from finrag_eval.scoring import Scoring
from finrag_eval.stopping import StopAtOnce, Stopping, stops_on_signals

if TYPE_CHECKING:
    from finrag_eval.costs.caps import Cap


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a sweep is run, beside what its spec says."""

    output_dir: Path = Path("sweep_results")
    tracking_uri: str | None = None
    tracking: bool = True
    fresh: bool = False
    retry_failed: bool = False
    budget_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """A sweep's end: its summary, the exit code of the contract, and the folder of its files."""

    summary: Mapping[str, Any]
    exit_code: int
    folder: Path


class Session:
    """A session; ``caps`` are what budgets over time leave to it."""

    def __init__(
        self,
        job: SweepJob,
        ledger: Ledger,
        options: RunOptions,
        watch: Watch,
        uri: str | None,
        caps: Sequence[Cap],
        early: EarlyRecorder | None = None,
    ) -> None:
        self._job, self._ledger, self._options, self._watch = job, ledger, options, watch
        self._uri, self._early = uri, early
        self._folder = ledger.folder
        self._scoring = Scoring(job, ledger)
        self._budget = self._lowered_budget(caps)
        self._recorder: RecorderHandle | None = None
        self._gates = Gates()
        self._is_answered = False

    def _lowered_budget(self, caps: Sequence[Cap]) -> BudgetSpec:
        """The spec's budget, and no more than the periods of a budget file leave."""
        if not caps:
            if self._options.budget_file is not None:
                self._watch.notice(f"no budget of {self._options.budget_file} counts this sweep")
            return self._job.spec.budget
        from finrag_eval.costs.caps import lowered

        for cap in caps:
            self._watch.notice(str(cap))
        return lowered(self._job.spec.budget, caps, spent=self._ledger.spent())

    def begin(self) -> None:
        """Say in the ledger what is run, and under which caps; ``result`` does it."""
        write_spec(self._folder, self._job.spec.resolved)
        self._ledger.begin_session(self._job.spec.resolved, self._facts())

    def result(self) -> SweepResult:
        """Do all that is left to do, and say what it came to."""
        job, ledger = self._job, self._ledger
        planned = ledger.store_plan(
            cells=job.plan.cells, query_set=job.plan.query_set, trials=job.plan.trials()
        )
        if self._uri is not None:
            self._recorder = RecorderHandle.start(
                self._folder, uri=self._uri, on_notice=self._watch.notice, early=self._early
            )
        try:
            with stops_on_signals(self._stop) as stopping:
                with nullcontext() if self._recorder is not None else Beforehand():
                    self._answer(planned)
                self._is_answered = True
                ending = ending_of(
                    self._gates, self._ledger.failure, stopping, failed=self._failed()
                )
                return self._wrapped_up(ending, stopping)
        finally:
            if self._recorder is not None:
                self._recorder.close()

    def _answer(self, planned: int) -> None:
        """Answer, score and judge all that is left; a second signal ends that at once."""
        try:
            self._answer_all(planned)
            self._judge_all()
        except StopAtOnce:
            self._watch.notice("stopping at once; every answer so far is in the ledger")
        finally:
            self._watch.close()
        if self._ledger.failure is None:
            self._ledger.flush()

    def _wrapped_up(self, ending: Ending, stopping: Stopping) -> SweepResult:
        """Write every file and bring the store level; a second signal leaves that for later."""
        from finrag_eval.wrap_up import wrap_up

        try:
            summary, exit_code = wrap_up(
                self._job, self._folder, ending, recorder=self._recorder, watch=self._watch
            )
        except StopAtOnce:
            raise StoppedAtOnce(self._folder.name, stopping.exit_code or 130) from None
        # Last of all: a sweep that dies before this is gone on with, and pays for nothing.
        self._ledger.end_session(ending.status, exit_code, ended_at=ending.ended_at)
        return SweepResult(summary=summary, exit_code=exit_code, folder=self._folder)

    def _answer_all(self, planned: int) -> None:
        self._scoring.catch_up()
        done = self._take_over(self._done_before())
        gate = self._open_gate(done)
        self._gates.add(gate)
        on_disk: SimpleQueue[tuple[int, Outcome]] = SimpleQueue()
        self._watch.start(self._job.spec.name, total=planned, done=len(done))
        finished = len(done)

        def is_wanted() -> bool:
            return gate.has_outcomes and on_disk.qsize() < _UNSCORED_AT_MOST

        with (
            on_one_core() if self._computes_little else nullcontext(),
            shown_live(self._watch, lambda: self._progress(gate, finished, planned)),
        ):
            for outcome in self._outcomes(gate):
                self._append(outcome, lambda outcome_id, one: on_disk.put((outcome_id, one)))
                finished += self._score(on_disk, is_wanted)
            self._ledger.flush()
            finished += self._score(on_disk)

    def _outcomes(self, gate: Gate) -> Iterator[Outcome]:
        """Outcomes as they finish, call by call or by batch jobs."""
        if is_by_batch(self._job):
            return batch_outcomes(gate, self._job, self._ledger)
        build = target_builder(self._job, self._ledger_id())
        return fan_out(gate, build, self._job.spec.execution, self._make_ready)

    def _make_ready(self) -> None:
        """Load what is needed after the first answers, while those take their time."""
        self._scoring.make_ready()
        load(*ENDING)

    def _append(self, outcome: Outcome, on_disk: Callable[[int, Outcome], None]) -> None:
        """Into the ledger first; ``on_disk`` hears of it once it is safe there."""
        self._ledger.append_outcome(outcome, lambda outcome_id: on_disk(outcome_id, outcome))

    def _score(
        self,
        on_disk: SimpleQueue[tuple[int, Outcome]],
        is_wanted: Callable[[], bool] = lambda: False,
    ) -> int:
        """Score what is safe on disk by now, unless the driver ``is_wanted``; how many it were.

        A slow scorer keeps no answer from the disk: those come first.
        """
        count = 0
        while not on_disk.empty() and not is_wanted():
            self._scoring.take(*on_disk.get())
            count += 1
        return count

    def _done_before(self) -> set[str]:
        """Keys of trials that are not to be sent again."""
        return {
            key
            for key, (_, status) in self._ledger.answers().items()
            if status == "success" or not self._options.retry_failed
        }

    def _take_over(self, done: set[str]) -> set[str]:
        """Keys that are done, with those whose answers earlier sweeps paid for."""
        planned = {trial.key for trial in self._job.plan.trials()}
        done &= planned
        if not self._job.spec.reuse:
            return done
        taken: set[str] = set()
        for outcome in reusable_outcomes(
            self._options.output_dir,
            list(self._job.plan.without(done)),
            models={cell.name: cell.model for cell in self._job.plan.cells},
            asking=self._ledger_id(),
        ):
            self._append(outcome, self._scoring.take)
            taken.add(outcome.trial.key)
        self._ledger.flush()  # the answers
        self._ledger.flush()  # and their scores, which are written when the answers are safe
        if taken:
            self._watch.notice(f"{len(taken)} answers of earlier sweeps are reused, at no cost")
        return done | taken

    def _judge_all(self) -> None:
        """Have judges look at what was answered, where there are judges and nothing stopped."""
        if not self._job.judges or self._gates.is_stopped or self._gates.reason != "done":
            return
        from finrag_eval.judging import judge_answers

        for step in judge_answers(self._job, self._ledger, self._open_judges_gate):
            if isinstance(step, Gate):
                self._gates.add(step)
                self._watch.start("judging", total=self._job.plan.trial_count, done=0)
            else:
                self._watch.advance(step)

    def _open_gate(self, done: set[str]) -> Gate:
        answers = self._ledger.answers()
        return gate_kind(self._job)(
            self._job.plan.without(done),
            self._job.plan.cells,
            max_failed=self._job.spec.on_error,
            finished=len(done),
            failed=sum(answers[key][1] == "failed" for key in done if key in answers),
            ahead=trials_ahead(self._job.spec.execution) if self._only_waits else 0,
            **self._gate_settings(),
        )

    @property
    def _only_waits(self) -> bool:
        """Whether answering is threads of this process that wait for calls, and little else.

        That is the built-in pipeline; what somebody's own target does is not known.
        """
        spec = self._job.spec
        is_here = spec.execution.backend == "threading" and not is_by_batch(self._job)
        return is_here and spec.target == BUILT_IN_TARGET

    @property
    def _computes_little(self) -> bool:
        """Whether one core is enough; somebody's own scorers may have threads of their own."""
        return self._only_waits and all(one.kind != "python" for one in self._job.spec.scorers)

    def _open_judges_gate(self, trials: Sequence[Trial], cells: Sequence[Cell]) -> Gate:
        return Gate(trials, cells, **self._gate_settings())

    def _gate_settings(self) -> dict[str, Any]:
        return gate_settings(self._job, self._ledger, self._budget, self._watch)

    def _failed(self) -> int:
        """Planned trials whose newest outcome is a failure."""
        with LedgerReader.open(self._folder) as reader:
            return reader.counts().failed

    def _stop(self) -> None:
        if self._is_answered:
            self._watch.notice(
                "everything is answered and in the ledger; writing it down "
                "(once more leaves that to `finrag-eval resume`)"
            )
            return
        self._watch.notice(
            f"stopping: no new calls; waiting up to {self._job.spec.execution.grace_s:g} s "
            "for those in flight (once more stops at once)"
        )
        self._gates.stop()

    def _progress(self, gate: Gate, finished: int, planned: int) -> Progress:
        return Progress(
            done=finished,
            total=planned,
            snapshot=gate.snapshot(),
            max_usd=self._budget.max_usd,
        )

    def _ledger_id(self) -> str:
        return self._folder.name

    def _facts(self) -> dict[str, Any]:
        """What the ledger remembers of this session besides spec and plan."""
        state = git_state(Path.cwd())
        return {
            **self._job.facts(),
            CAPS: _caps_fact(self._budget),
            "spec_digest": digest_of(self._job.spec.resolved),
            "query_set_digest": self._job.plan.query_set.digest,
            "git_commit": state.commit,
            "git_dirty": state.dirty,
            "versions": package_versions(),
            "tracking_uri": None if self._uri is None else mask_uri(self._uri),
        }


def gate_settings(
    job: SweepJob, ledger: Ledger, budget: BudgetSpec, watch: Watch
) -> dict[str, Any]:
    """What every gate of a sweep has: one budget, one ledger, the models' limits."""

    def warn(usd: Decimal, cap: Decimal) -> None:
        watch.notice(f"${usd:.4f} of the budget of ${cap} is spent")

    spent = ledger.spent()
    return {
        "budget": Budget(
            budget,
            spent=spent.total,
            spent_per_model=spent.per_model,
            spent_per_cell=spent.per_cell,
            on_warning=warn,
        ),
        "reservations": ledger,
        "concurrency": job.spec.execution.concurrency,
        "limits": job.spec.limits,
        "models": job.models.values(),
        "on_notice": watch.notice,
    }


#: Answers on disk that wait for their scores, at most: they are in memory as well.
_UNSCORED_AT_MOST = 500


def _caps_fact(budget: BudgetSpec) -> dict[str, Any]:
    """The caps that hold, for the ledger: USD as text, None for no cap."""
    return {
        "max_usd": None if budget.max_usd is None else str(budget.max_usd),
        "per_model": {key: str(usd) for key, usd in budget.per_model.items()},
    }


def digest_of(resolved: Mapping[str, Any]) -> str:
    """A digest of a resolved spec."""
    text = json.dumps(resolved, sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=16).hexdigest()

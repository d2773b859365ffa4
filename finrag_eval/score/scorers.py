"""The scorers of a sweep, built from its spec, each run so that nothing escapes it.

Enters: scorer specs. Leaves: callables ``(query, result) -> Score`` that never raise. A failed
trial, an answer that a filter stopped, and a query without what a scorer needs are unscored, with
the reason; an answer cut off at ``max_tokens`` is scored and flagged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from finrag_eval.domain import Query, Score, ScorerSpec
from finrag_eval.errors import InvalidInput, Problem
from finrag_eval.score.judge import JudgeCall, Rubric, load_rubric, read_reply
from finrag_eval.score.judge import prompt as judge_prompt
from finrag_eval.score.own_code import load, own_code, source_digest
from finrag_eval.score.verdicts import Unscored, Verdict

#: Grows with every change of a scorer that can change a score.
CODE_VERSION = 2

FAILED = "the trial failed"

#: Stop reasons after which there is no answer of the model's own to judge.
_STOPPED = frozenset({"guardrail_intervened", "content_filtered"})
#: Stop reasons after which the answer is cut off, and may lack what it was about to say.
_CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded"})

Judging = Callable[[Query, Mapping[str, Any]], Verdict | Unscored]

#: The modules of the scorers that need no code of the user's and no model, with their functions.
#: They are loaded when they are wanted: a sweep's first calls do not wait for them.
_FUNCTIONS = {
    "numeric": "numeric:numeric",
    "contains": "matching:contains",
    "exact": "matching:exact",
    "regex": "matching:regex",
    "boolean": "matching:boolean",
    "list": "listing:listing",
    "rouge_l": "rouge:rouge_l",
    "citation": "grounding:citation",
    "grounded": "grounding:grounded",
    "refusal": "refusal:refusal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """One scorer. ``digest`` names its kind, its options and its code, not its name."""

    name: str
    kind: str
    digest: str
    judging: Judging = field(repr=False)

    def __call__(self, query: Query, result: Mapping[str, Any]) -> Score:
        """The score of one result; never raises."""
        told = _outcome_of(self.name, result)
        if isinstance(told, Score):
            return told
        try:
            found = self.judging(query, result)
        except Exception as error:  # a scorer's fault is the scorer's, not the trial's
            return _broken(self.name, error, told)
        return _score(self.name, found, told)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeScorer:
    """A scorer that asks a model; ``call`` is how, or None where others ask and call ``read``."""

    name: str
    digest: str
    model_key: str
    rubric: Rubric
    call: JudgeCall | None = field(default=None, repr=False)
    kind: str = "judge"

    def prompt(self, query: Query, result: Mapping[str, Any]) -> tuple[str, str] | Score:
        """What to ask the model, as (system text, user text); or the score that needs no model."""
        told = _outcome_of(self.name, result)
        if isinstance(told, Score):
            return told
        asked = judge_prompt(self.rubric, query, result)
        return _score(self.name, asked, told) if isinstance(asked, Unscored) else asked

    def read(self, result: Mapping[str, Any], reply: str, cost_usd: Decimal = Decimal(0)) -> Score:
        """The score that the model's reply gives, with what the reply cost."""
        told = _outcome_of(self.name, result)
        if isinstance(told, Score):
            return told
        explained = {**told, "model": self.model_key}
        return _score(self.name, read_reply(self.rubric, reply), explained, cost_usd)

    def __call__(self, query: Query, result: Mapping[str, Any]) -> Score:
        """The score of one result, by one call of the model; never raises."""
        asked = self.prompt(query, result)
        if isinstance(asked, Score):
            return asked
        if self.call is None:
            return Score(name=self.name, unscored="no judge was called")
        try:
            reply, cost_usd = self.call(*asked)
        except Exception as error:  # whatever stopped the call, the trial has its answer
            return _broken(self.name, error, {"model": self.model_key})
        return self.read(result, reply, cost_usd)


AnyScorer = Scorer | JudgeScorer


def build_scorers(
    specs: Sequence[ScorerSpec],
    *,
    judge_call: Callable[[str], JudgeCall] | None = None,
    rubrics: Path | None = None,
) -> tuple[AnyScorer, ...]:
    """The scorers that the specs ask for; raises InvalidInput with every problem found.

    ``judge_call`` gives the way to ask a model by its key; ``rubrics`` is a folder of the user's
    own rubrics (``rubric_NAME.yaml``), looked at before the package's.
    """
    built: list[AnyScorer] = []
    problems = []
    for place, spec in enumerate(specs):
        try:
            if spec.kind == "judge":
                built.append(_judge(spec, judge_call, rubrics))
            else:
                built.append(_plain(spec))
        except Exception as error:  # importing the user's module can raise anything
            problems.append(_problem(place, spec, error))
    if problems:
        raise InvalidInput(problems)
    return tuple(built)


def scorer_code(specs: Sequence[ScorerSpec], rubrics: Path | None = None) -> dict[str, str]:
    """By scorer, a short digest of its kind, options and code: two that differ may score apart."""
    return {one.name: one.digest[:12] for one in build_scorers(specs, rubrics=rubrics)}


def score_trial(
    scorers: Sequence[AnyScorer], query: Query, result: Mapping[str, Any]
) -> tuple[Score, ...]:
    """One score of each scorer, in their order."""
    return tuple(scorer(query, result) for scorer in scorers)


def make_ready(scorers: Iterable[AnyScorer]) -> None:
    """Load the code of the scorers, which their first answer would do else."""
    for scorer in scorers:
        if scorer.kind in _FUNCTIONS:
            _function(scorer.kind)


@cache
def _function(kind: str) -> Callable[..., Verdict | Unscored]:
    found: Callable[..., Verdict | Unscored] = resolve_name(f"finrag_eval.score.{_FUNCTIONS[kind]}")
    return found


def _judged(
    query: Query, result: Mapping[str, Any], *, kind: str, **options: Any
) -> Verdict | Unscored:
    return _function(kind)(query, result, **options)


def _plain(spec: ScorerSpec) -> Scorer:
    options, code = dict(spec.options), ""
    if spec.kind == "python":
        function = load(str(options["function"]))
        code = source_digest(function)
        judging: Judging = partial(own_code, function=function)
    elif spec.kind == "numeric":
        judging = partial(_judged, kind=spec.kind, tolerance=options.get("tolerance"))
    elif spec.kind == "regex":
        judging = partial(
            _judged,
            kind=spec.kind,
            pattern=options.get("pattern"),
            ignore_case=bool(options.get("ignore_case", False)),
        )
    elif spec.kind in _FUNCTIONS:
        judging = partial(_judged, kind=spec.kind)
    else:
        raise ValueError(f"there is no scorer of kind '{spec.kind}'")
    return Scorer(name=spec.name, kind=spec.kind, digest=_digest(spec, code), judging=judging)


def _judge(
    spec: ScorerSpec, judge_call: Callable[[str], JudgeCall] | None, rubrics: Path | None
) -> JudgeScorer:
    model_key = str(spec.options["model"])
    rubric = load_rubric(str(spec.options.get("rubric", "v1")), rubrics)
    return JudgeScorer(
        name=spec.name,
        digest=_digest(spec, rubric.digest),
        model_key=model_key,
        rubric=rubric,
        call=None if judge_call is None else judge_call(model_key),
    )


def _digest(spec: ScorerSpec, code: str) -> str:
    told = [spec.kind, dict(spec.options), CODE_VERSION, code]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _problem(place: int, spec: ScorerSpec, error: Exception) -> Problem:
    said = f"option {error} is missing" if isinstance(error, KeyError) else str(error)
    return Problem(
        file="scorers",
        key=f"scorers[{place}] {spec.name}",
        message=said or type(error).__name__,
        fix="see `finrag-eval validate` for the kinds of scorers and their options",
    )


def _outcome_of(name: str, result: Mapping[str, Any]) -> Score | dict[str, Any]:
    """The score of a result that cannot be judged; else what every explanation of it says first."""
    if result.get("error") or not isinstance(result.get("answer"), str):
        return Score(name=name, unscored=FAILED)
    stop_reason = _stop_reason(result)
    if stop_reason in _STOPPED:
        return Score(
            name=name,
            unscored=f"the answer was stopped ({stop_reason})",
            explanation={"flag": stop_reason},
        )
    return {"flag": stop_reason} if stop_reason in _CUT_OFF else {}


def _stop_reason(result: Mapping[str, Any]) -> str | None:
    metadata = result.get("metadata")
    llm = metadata.get("llm") if isinstance(metadata, Mapping) else None
    reason = llm.get("stop_reason") if isinstance(llm, Mapping) else None
    return reason if isinstance(reason, str) else None


def _score(
    name: str,
    found: Verdict | Unscored,
    told: Mapping[str, Any],
    cost_usd: Decimal = Decimal(0),
) -> Score:
    explanation = {**told, **found.explanation}
    if isinstance(found, Unscored):
        return Score(name=name, unscored=found.reason, explanation=explanation, cost_usd=cost_usd)
    return Score(name=name, value=found.value, explanation=explanation, cost_usd=cost_usd)


def _broken(name: str, error: Exception, told: Mapping[str, Any]) -> Score:
    return Score(name=name, error=f"{type(error).__name__}: {error}"[:500], explanation=told)

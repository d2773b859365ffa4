"""Scores as MLflow assessments of a trial's trace: the value, why, and who judged.

Enters: a trace's id, its assessments so far, and a trial's scores. Leaves: one assessment a score,
in step with the ledger: one that says the same already is left, another value takes its place. A
score that was not given is an assessment with its reason as error (``UNSCORED``, ``SCORER_BROKE``).
One takes 1 to 2 ms in SQLite (2026-11-22).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from finrag_eval.domain import Score
from finrag_eval.record.cleaning import clean_document, clean_text

if TYPE_CHECKING:
    from mlflow.entities import Assessment

_LONGEST = 4_000


def assess(trace_id: str, known: Iterable[Assessment], scores: Iterable[Score]) -> None:
    """Bring a trace's assessments level with the trial's scores; raises what MLflow raises."""
    import mlflow

    before = {one.name: one for one in known if one.valid is not False}
    for score in scores:
        told = _told(score)
        old = before.get(told["name"])
        if old is not None and _says(old) == _said(told):
            continue
        if old is not None and old.assessment_id:
            mlflow.delete_assessment(trace_id=trace_id, assessment_id=old.assessment_id)
        mlflow.log_feedback(trace_id=trace_id, **told)


def _told(score: Score) -> dict[str, Any]:
    """What ``log_feedback`` takes: a value, or the reason for none."""
    from mlflow.entities import AssessmentError, AssessmentSource

    model = score.explanation.get("model")
    source = AssessmentSource(
        source_type="CODE" if model is None else "LLM_JUDGE",
        source_id=f"finrag-eval {score.name}" if model is None else clean_text(str(model)),
    )
    error = None
    if score.value is None:
        code = "UNSCORED" if score.error is None else "SCORER_BROKE"
        error = AssessmentError(code, clean_text(score.error or score.unscored or "")[:_LONGEST])
    return {
        "name": clean_text(score.name),
        "value": score.value,
        "error": error,
        "source": source,
        "rationale": _why(score),
    }


def _why(score: Score) -> str:
    """A judge's own reason; else what the scorer found and expected, as JSON."""
    told = clean_document(dict(score.explanation))
    reason = told.get("reason") if "model" in told else None
    return str(reason or json.dumps(told, ensure_ascii=False, default=str))[:_LONGEST]


def _said(told: dict[str, Any]) -> tuple[Any, ...]:
    error = told["error"]
    return told["value"], error and error.error_message, told["rationale"]


def _says(one: Assessment) -> tuple[Any, ...]:
    error = one.error
    value = getattr(one, "value", None)
    return value, error and error.error_message, one.rationale

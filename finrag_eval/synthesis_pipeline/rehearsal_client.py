"""The offline model: deterministic, free, and honest about what the context lacks.

Enters: a ``ModelRequest``. Leaves: a ``ModelReply`` made from the prompt's text alone. Of two
variants ``kpi`` answers from the KPI snapshot and then from passages, ``narrative`` from passages
alone.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Literal, get_args

from finrag_eval.domain import ModelReply, ModelRequest, Usage
from finrag_eval.synthesis_pipeline.entities import Entities, read_entities
from finrag_eval.synthesis_pipeline.rehearsal.answers import Answer, written_answer
from finrag_eval.synthesis_pipeline.rehearsal.figures import answer_from_figures
from finrag_eval.synthesis_pipeline.rehearsal.reading import Reading, read_prompt
from finrag_eval.synthesis_pipeline.rehearsal.sentences import answer_from_sentences

Variant = Literal["kpi", "narrative"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

#: The estimate of a rehearsal's tokens: one for every four UTF-8 bytes begun.
BYTES_PER_TOKEN = 4

_BEYOND_FILINGS = {
    "forecast": "a forecast; the filings tell of past fiscal years",
    "advice": "investment advice, which no filing gives",
}


class RehearsalClient:
    """Answers from the context; threads may share it. Its usage is an estimate."""

    def __init__(self, variant: Variant = "kpi") -> None:
        self.variant = variant

    def converse(
        self, request: ModelRequest, *, timeout_s: float, deadline: float | None = None
    ) -> ModelReply:
        """The reply; it takes milliseconds, so ``timeout_s`` and ``deadline`` are never reached."""
        started = time.perf_counter()
        reading = read_prompt(request)
        text = written_answer(self._answer(reading), reading.form)
        kept = _cut(text, request.model.max_tokens)
        return ModelReply(
            text=kept,
            usage=Usage(
                input_tokens=-(-request.prompt_bytes // BYTES_PER_TOKEN),
                output_tokens=estimated_tokens(kept),
            ),
            stop_reason="end_turn" if kept == text else "max_tokens",
            latency_seconds=time.perf_counter() - started,
        )

    def _answer(self, reading: Reading) -> Answer:
        asked = read_entities(reading.question)
        for ask, what in _BEYOND_FILINGS.items():
            if ask in asked.asks:
                return Answer(missing=(what,))
        told = self._from_figures(reading, asked)
        if told.declines or "explain" in asked.asks:
            return _with_story(told, reading, asked)
        return told

    def _from_figures(self, reading: Reading, asked: Entities) -> Answer:
        if self.variant == "narrative":
            return Answer()
        return answer_from_figures(reading.material, asked, reading.question)


def estimated_tokens(text: str) -> int:
    """Tokens of a text by the rehearsal's estimate."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def _with_story(told: Answer, reading: Reading, asked: Entities) -> Answer:
    """The figures with the sentences that belong to them; sentences alone where there are none."""
    is_figure_asked = bool(asked.metrics.keys) and "explain" not in asked.asks
    story = answer_from_sentences(
        reading.material, asked, reading.question, needs_number=is_figure_asked
    )
    if story.declines and asked.strangers and not told.missing:
        return replace(
            told, missing=tuple(f"{name}: not in the passages" for name in asked.strangers)
        )
    return replace(told, quotes=story.quotes)


def _cut(text: str, max_tokens: int) -> str:
    """The text, cut where ``max_tokens`` would end it."""
    raw = text.encode()
    limit = max_tokens * BYTES_PER_TOKEN
    return text if len(raw) <= limit else raw[:limit].decode(errors="ignore")

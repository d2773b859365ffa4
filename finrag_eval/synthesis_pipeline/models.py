"""The shapes that leave the synthesis pipeline: passages, results and failures.

Enters: what the orchestrator has in hand. Leaves: plain dicts in the shape of the contract,
section 6, ready for JSON. Knows no file and no library.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from finrag_eval.domain import ModelReply, ModelRequest

Stage = Literal[
    "initialization",
    "context_building",
    "prompt_formatting",
    "llm_invocation",
    "response_packaging",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One piece of filing text that a retriever found; ``score`` is the retriever's own."""

    chunk_id: str
    ticker: str
    company_name: str
    fiscal_year: int
    section: str
    section_title: str
    text: str
    sentence_ids: tuple[str, ...] = ()
    score: float = 0.0

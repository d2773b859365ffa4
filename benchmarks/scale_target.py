"""A target that answers at once: a context of 3 KB for each question, an answer of 1.5 KB a trial.

``python benchmarks/scale.py`` names it as ``scale_target:answer``. Words are drawn by a seed of
their own, so that texts compress about as filings do, and no two trials have the same answer.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

WORDS = tuple(
    "revenue income fiscal year segment margin growth risk cash operating net gross quarter "
    "compared increase decrease primarily customers products data center gaming automotive "
    "the of and in to by for was were due higher lower offset partially".split()
)


def _text(chars: int, seed: str) -> str:
    rng = random.Random(seed)
    words = rng.choices(WORDS, k=chars // 6)
    for place in range(0, len(words), 12):
        words[place] = f"${rng.randrange(1, 90_000):,}"
    return " ".join(words)


@lru_cache(maxsize=256)
def _context(query: str) -> str:
    return f"[NVDA FY2020] {_text(3_000, query)}"


def answer(query: str, model_key: str, prompt_versions: Any) -> dict[str, Any]:
    """An answer in the shape of the contract; every tenth figure is off by one."""
    seed = f"{query} {model_key} {prompt_versions}"
    rng = random.Random(seed)
    figure = int(query.rsplit(" ", 1)[1].rstrip("?")) + (rng.random() < 0.1)
    context = _context(query)
    return {
        "query": query,
        "answer": f"It was ${figure:,} million [NVDA FY2020]. {_text(1_400, seed)}",
        "context": context,
        "metadata": {
            "llm": {"input_tokens": 900 + len(query), "output_tokens": 300 + rng.randrange(100)},
            "retrieval": {"kpi_count": 3, "rag_count": 5, "tickers": ["NVDA"], "years": [2020]},
        },
    }

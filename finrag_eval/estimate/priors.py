"""What is believed of a model before any of its trials was recorded.

Of models behind an API, from 15 answers of Claude Haiku 4.5 and Sonnet 4.5 to FinRAG questions
(November 2025): 0.21 to 0.29 prompt tokens per character of context and question, system prompt
included; 233 to 1,270 output tokens, median 418 and 402; 8.8 to 21.3 s, close to 6 s and 13 ms per
output token. Of the embedded rehearsal models, from 160 answers to core_kpi (November 2026): 0.25
tokens per character as they count, means of 21 to 72 output tokens by cell, 12 to 19 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: How wrong the prior's answer length may be: one standard deviation of its logarithm, for what
#: all models have in common (the questions) and for one model. Together they say that the mean is
#: within a factor of 2.3 in nine cases of ten.
OUTPUT_DOUBT_OF_QUESTIONS = 0.4
OUTPUT_DOUBT_OF_MODEL = 0.3
#: Seconds of one call where nothing else is known.
LATENCY_SECONDS = 6.0
#: What a judge reads besides question and answer, and what it writes, in tokens.
JUDGE_INPUT_TOKENS = 700.0
JUDGE_OUTPUT_TOKENS = 120.0
#: The shortest prefix that is cached, in tokens: most models' (Bedrock's guide, 2026-11).
FEWEST_CACHED_TOKENS = 1_024
#: What of a prompt lies before its cache point: all but the question.
CACHED_SHARE = 0.95

_SAMPLES = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Tokens per character with its doubt (one standard deviation), answer lengths, seconds.

    Answer lengths are lognormal: ``output_median`` tokens, and ``output_sigma`` the spread of the
    logarithm. A call takes ``seconds`` and ``seconds_per_output_token`` for each token.
    """

    tokens_per_char: float = 0.25
    factor_doubt: float = 0.035
    output_median: float = 550.0
    output_sigma: float = 0.55
    seconds: float = LATENCY_SECONDS
    seconds_per_output_token: float = 0.013

    def output_samples(self) -> Floats:
        """400 output lengths at even quantiles."""
        standard = NormalDist()
        spread = [standard.inv_cdf((at + 0.5) / _SAMPLES) for at in range(_SAMPLES)]
        lengths: Floats = self.output_median * np.exp(self.output_sigma * np.array(spread))
        return lengths

    def latency_seconds(self, output_tokens: float) -> float:
        """Seconds of one call that writes so many tokens."""
        return self.seconds + self.seconds_per_output_token * output_tokens


_BY_PROVIDER = {
    "rehearsal": Prior(
        factor_doubt=0.0,
        output_median=35.0,
        output_sigma=0.7,
        seconds=0.015,
        seconds_per_output_token=0.0,
    )
}


def of_provider(provider: str) -> Prior:
    """The prior of models of that provider."""
    return _BY_PROVIDER.get(provider, Prior())

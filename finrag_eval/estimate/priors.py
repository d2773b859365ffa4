"""What is believed of a model before any of its trials was recorded.

From 15 answers of Claude Haiku 4.5 and Sonnet 4.5 to FinRAG questions (November 2025): 0.21 to
0.29 prompt tokens per character of context and question, system prompt included; 233 to 1,270
output tokens, median 418 and 402; 8.8 to 21.3 s, close to 6 s and 13 ms per output token.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Prompt tokens per character of the whole prompt.
TOKENS_PER_CHAR = 0.25
#: How far the factor of a model that was never seen may lie from it: one standard deviation.
TOKENS_PER_CHAR_SPREAD = 0.035
#: Output tokens: lognormal with this median and spread of the logarithm.
OUTPUT_MEDIAN = 550.0
OUTPUT_SIGMA = 0.55
#: Seconds of one call: a constant and a part per output token.
LATENCY_SECONDS = 6.0
LATENCY_SECONDS_PER_OUTPUT_TOKEN = 0.013
#: What a judge reads besides question and answer, and what it writes, in tokens.
JUDGE_INPUT_TOKENS = 700.0
JUDGE_OUTPUT_TOKENS = 120.0

_SAMPLES = 400


def output_samples(max_tokens: int) -> Floats:
    """400 output lengths at even quantiles of the prior, cut at ``max_tokens``."""
    from scipy.special import ndtri

    shares = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    lengths: Floats = OUTPUT_MEDIAN * np.exp(OUTPUT_SIGMA * ndtri(shares))
    return np.minimum(lengths, max_tokens)

"""What a Bedrock model id says about its model: which sampling keys it takes, how quota burns.

Enters: a model id or inference-profile id. Leaves: facts about its family. An ARN of one's own
hides the family; then nothing is assumed. Source: AWS model pages and error messages as of
2026-11-22 ("`temperature` and `top_p` cannot both be specified for this model").
"""

from __future__ import annotations

import re
from typing import Literal

Sampling = Literal["both", "one", "none"]

_NEW_NAME = re.compile(r"claude-(haiku|sonnet|opus)-(\d{1,2})(?:-(\d{1,2}))?(?!\d)")
_OLD_NAME = re.compile(r"claude-(\d)(?:-(\d))?-(haiku|sonnet|opus)")

#: The first version of each Claude line that takes temperature or top_p but not both, and the
#: first that takes neither.
_ONE_FROM = {"haiku": (4, 5), "sonnet": (4, 5), "opus": (4, 1)}
_NONE_FROM = {"haiku": (4, 6), "sonnet": (4, 7), "opus": (4, 7)}


def sampling_of(model_id: str) -> Sampling:
    """Whether the model takes temperature and top_p: both, only one of them, or none."""
    if "claude-fable" in model_id:
        return "none"
    claude = _claude(model_id)
    if claude is None:
        return "both"
    line, version = claude
    if version >= _NONE_FROM[line]:
        return "none"
    return "one" if version >= _ONE_FROM[line] else "both"


def output_burndown_of(model_id: str) -> int:
    """How many tokens of quota one output token takes: 5 for Claude 3.7 and later, else 1."""
    claude = _claude(model_id)
    is_late = "claude-fable" in model_id or (claude is not None and claude[1] >= (3, 7))
    return 5 if is_late else 1


def _claude(model_id: str) -> tuple[str, tuple[int, int]] | None:
    """Line and version of a Claude model; None for others."""
    new = _NEW_NAME.search(model_id)
    if new is not None:
        return new[1], (int(new[2]), int(new[3] or 0))
    old = _OLD_NAME.search(model_id)
    return None if old is None else (old[3], (int(old[1]), int(old[2] or 0)))

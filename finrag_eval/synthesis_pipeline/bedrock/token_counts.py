"""CountTokens: how many tokens a prompt has for a model, before it is sent; AWS does not bill it.

Enters: a model and a prompt. Leaves: a count, or a ``ModelFault`` that says why there is none. The
call wants bare model ids (an inference profile's geography is left out), and only some models have
it (Claude does, Nova does not, 2026-11).
"""

from __future__ import annotations

import threading
from typing import Any

from finrag_eval.domain import ModelConfig, ModelRequest
from finrag_eval.synthesis_pipeline.bedrock.accounts import AwsAccount
from finrag_eval.synthesis_pipeline.bedrock.faults import fault_of
from finrag_eval.synthesis_pipeline.bedrock.listings import GEOGRAPHY


class TokenCounter:
    """CountTokens for models of every region and profile; threads share it."""

    def __init__(self, *, workers: int = 8) -> None:
        self._workers = workers
        self._accounts: dict[tuple[Any, Any], AwsAccount] = {}
        self._lock = threading.Lock()

    def count(self, request: ModelRequest) -> int:
        """The prompt's tokens; raises ModelFault where AWS says none."""
        conversation: dict[str, Any] = {
            "messages": [{"role": "user", "content": [{"text": request.user_text}]}]
        }
        if request.system_text.strip():
            conversation["system"] = [{"text": request.system_text}]
        try:
            client = self._account(request.model).client("bedrock-runtime")
            answer = client.count_tokens(
                modelId=GEOGRAPHY.sub("", request.model.model_id), input={"converse": conversation}
            )
        except Exception as error:
            raise fault_of(error) from error
        return int(answer["inputTokens"])

    def _account(self, model: ModelConfig) -> AwsAccount:
        place = (model.settings.get("region"), model.settings.get("profile"))
        with self._lock:
            if place not in self._accounts:
                self._accounts[place] = AwsAccount(*place, workers=self._workers)
            return self._accounts[place]

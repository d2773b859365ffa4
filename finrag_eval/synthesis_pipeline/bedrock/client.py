"""The client: one attempt of one Converse call, checked, under a deadline.

Enters: model requests. Leaves: ``ModelReply``, or ``ModelFault``. Clients are made once per region
and profile, by boto3's own core (botocore), and shared by all threads; the SDK retries nothing.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

from finrag_eval.domain import ModelConfig, ModelReply, ModelRequest
from finrag_eval.errors import ModelFault
from finrag_eval.synthesis_pipeline.bedrock.deadline import watch_connections, watching
from finrag_eval.synthesis_pipeline.bedrock.faults import fault_of
from finrag_eval.synthesis_pipeline.bedrock.reply import RawBody, read_reply
from finrag_eval.synthesis_pipeline.bedrock.request import converse_arguments
from finrag_eval.turns import TURNS

_CONNECT_TIMEOUT_S = 10.0


class BedrockClient:
    """Converse for every model of every region and profile; thread-safe, and it pickles.

    ``workers`` is how many calls there may be at once (the size of the connection pool),
    ``attempt_timeout_s`` the silence on a socket that ends an attempt. A model's own ``region``
    and ``profile`` go before these; None leaves both to AWS's usual variables and files.
    """

    def __init__(
        self,
        *,
        workers: int = 8,
        attempt_timeout_s: float = 300.0,
        region: str | None = None,
        profile: str | None = None,
    ) -> None:
        self._workers, self._attempt_timeout_s = workers, attempt_timeout_s
        self._region, self._profile = region, profile
        self._renewal = 0
        self._clients: dict[tuple[str | None, str | None], Any] = {}
        self._lock = threading.Lock()
        self._raw = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        return {
            "workers": self._workers,
            "attempt_timeout_s": self._attempt_timeout_s,
            "region": self._region,
            "profile": self._profile,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def converse(
        self, request: ModelRequest, *, timeout_s: float, deadline: float | None = None
    ) -> ModelReply:
        """The model's checked reply; raises ModelFault.

        ``timeout_s`` bounds silence where it is below the client's own; ``deadline``
        (``time.monotonic``) bounds the whole exchange.
        """
        if timeout_s < self._attempt_timeout_s:
            soonest = time.monotonic() + timeout_s
            deadline = soonest if deadline is None else min(deadline, soonest)
        self._raw.body = None
        with watching(deadline) as watched:
            began = time.perf_counter()
            try:
                client = self._client(request.model)
                response = client.converse(**converse_arguments(request))
                raw: RawBody | None = self._raw.body
                latency = (time.perf_counter() if raw is None else raw.came_at) - began
                ttl = str(request.model.settings.get("cache_ttl", "5m"))
                return read_reply(response, raw, latency, cache_ttl=ttl)
            except Exception as error:
                if watched is not None and watched.is_cut:
                    raise _cut_off(was_sent=not watched.is_unsent) from error
                fault = fault_of(error, self._raw.body)
                raise fault from fault.__cause__
            finally:
                self._raw.body = None

    def prepare(self, model: ModelConfig) -> None:
        """Make the client of this model, which takes some 0.3 s; what fails will fail again.

        Called before a call is let out, so that the first ones do not pile up behind it.
        """
        with suppress(Exception):
            self._client(model)

    def renew(self, renewal: int) -> None:
        """Read credentials anew for the calls to come, once for each greater number."""
        with self._lock:
            if renewal > self._renewal:
                self._renewal = renewal
                self._clients.clear()

    def _client(self, model: ModelConfig) -> Any:
        region = model.settings.get("region") or self._region
        profile = model.settings.get("profile") or self._profile
        client = self._clients.get((region, profile))
        if client is None:
            with self._lock:
                client = self._clients.get((region, profile))
                if client is None:
                    client = self._make(region, profile)
                    self._clients[region, profile] = client
        return client

    def _make(self, region: str | None, profile: str | None) -> Any:
        # As boto3 makes it, without loading S3's transfers first (0.05 s).
        import botocore.session
        from botocore.config import Config

        client = botocore.session.Session(profile=profile).create_client(
            "bedrock-runtime",
            region_name=region,
            config=Config(
                retries={"total_max_attempts": 1, "mode": "standard"},
                connect_timeout=_CONNECT_TIMEOUT_S,
                read_timeout=self._attempt_timeout_s,
                max_pool_connections=max(10, self._workers),
                tcp_keepalive=True,
                # Its own is composed anew for every request: 0.25 ms of CPU (2026-11-22).
                user_agent=f"finrag-eval Botocore/{botocore.__version__}",
            ),
        )
        watch_connections(client)
        client.meta.events.register("before-parse.bedrock-runtime.Converse", self._keep_body)
        return client

    def _keep_body(self, response_dict: dict[str, Any], **_: Any) -> None:
        """Keep the bytes of the answer until it is checked: boto3 forgets broken ones.

        The call has taken until here; what follows waits for its turn.
        """
        came_at = time.perf_counter()
        TURNS.take()
        announced = response_dict["headers"].get("content-length")
        content = response_dict.get("body")
        self._raw.body = RawBody(
            status=response_dict["status_code"],
            content=content if isinstance(content, bytes) else b"",
            announced=int(announced) if announced and announced.isdigit() else None,
            came_at=came_at,
        )


def _cut_off(*, was_sent: bool) -> ModelFault:
    what = "the answer was not complete" if was_sent else "nothing was sent yet"
    return ModelFault(
        "TrialTimeout",
        f"{what} when the trial's timeout_s was over",
        retry="never",
        may_be_billed=was_sent,
    )

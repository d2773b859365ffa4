"""AWS clients other than Converse's: one of each kind for a region and profile.

Enters: a service's name. Leaves: a boto3 client, made once and shared by all threads. For calls
that are free, boto3 itself tries again; for calls that are billed, ``attempts`` is 1.
"""

from __future__ import annotations

import threading
from typing import Any

from finrag_eval.synthesis_pipeline.bedrock.deadline import watch_connections

_CONNECT_TIMEOUT_S = 10.0
_READ_TIMEOUT_S = 60.0


class AwsAccount:
    """The clients of one region and profile; None leaves either to AWS's own variables and files.

    Threads share it. ``renew`` makes all clients anew, with credentials read anew.
    """

    def __init__(
        self, region: str | None = None, profile: str | None = None, *, workers: int = 8
    ) -> None:
        self.region, self.profile = region, profile
        self._workers = workers
        self._session: Any = None
        self._clients: dict[tuple[str, int], Any] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"region": self.region, "profile": self.profile, "workers": self._workers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def client(self, service: str, *, attempts: int = 4) -> Any:
        """The client of a service that makes at most so many attempts a call."""
        with self._lock:
            client = self._clients.get((service, attempts))
            if client is None:
                client = self._clients[service, attempts] = self._make(service, attempts)
            return client

    def renew(self) -> None:
        """Read credentials anew for the calls to come."""
        with self._lock:
            self._session = None
            self._clients.clear()

    def _make(self, service: str, attempts: int) -> Any:
        import boto3
        from botocore.config import Config

        if self._session is None:
            self._session = boto3.Session(region_name=self.region, profile_name=self.profile)
        client = self._session.client(
            service,
            config=Config(
                retries={"total_max_attempts": attempts, "mode": "standard"},
                connect_timeout=_CONNECT_TIMEOUT_S,
                read_timeout=_READ_TIMEOUT_S,
                max_pool_connections=max(10, self._workers),
                tcp_keepalive=True,
                user_agent=f"finrag-eval Boto3/{boto3.__version__}",
            ),
        )
        watch_connections(client)
        return client

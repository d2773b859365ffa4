"""An AWS error, raised by the services of the loopback server."""

from __future__ import annotations


class Refused(Exception):
    """An answer other than 200: HTTP status, AWS error code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message
        super().__init__(message)


def invalid(message: str) -> Refused:
    """What AWS says to a request that breaks its rules."""
    return Refused(400, "ValidationException", message)

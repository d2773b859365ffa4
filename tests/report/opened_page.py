"""A report that a browser has open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Opened:
    """A page that is open, with all that it said and asked for."""

    page: Any
    file: Path
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def wait_for_found(self, said: str) -> None:
        """Waits until the list of trials says that."""
        self.page.locator("#found", has_text=said).wait_for()

    def shown_rows(self) -> list[str]:
        return [row.inner_text() for row in self.page.query_selector_all("#trials-body tr")]


Open = Callable[..., Opened]

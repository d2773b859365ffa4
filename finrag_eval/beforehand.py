"""What the files at the end of a sweep need, made ready beside its calls.

Enters: nothing. Leaves: libraries that are loaded, the report's templates compiled and a first
picture drawn: seconds that the end of a sweep need not take. Where a recorder is behind the
sweep, it makes ready, and the files; else a thread of the driver does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from threading import Timer

#: Seconds until a thread begins: by then the first calls are on their way.
_AFTER_S = 2.0
#: What the summary and the report need; the tables are made by the driver.
_LIBRARIES = (
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
    "jinja2",
    "finrag_eval.from_ledger",
)
#: What the driver does at the end: it makes the tables, shows the result, and teaches the next plan
#: (numpy.ma comes with quantiles there).
ENDING = (
    "pyarrow.parquet",
    "pyarrow.json",
    "finrag_eval.report.terminal",
    "finrag_eval.wrap_up",
    "finrag_eval.estimate.learning",
    "finrag_eval.estimate.spreads",
    "numpy.random",
    "numpy.ma",
)


def load(*libraries: str) -> None:
    """Loads them; what fails here fails again, and is told, when the files are made."""
    for name in libraries:
        with suppress(Exception):
            import_module(name)


def made_ready() -> Iterator[bool]:
    """True after each piece of making ready, which is at most half a second of work.

    What fails here fails again, too.
    """
    for name in _LIBRARIES:
        load(name)
        yield True
    with suppress(Exception):
        _prepare_report()
    yield True


class Beforehand:
    """Makes ready in a thread of its own while this context lasts."""

    def __init__(self) -> None:
        self._timer = Timer(_AFTER_S, _make_ready)
        self._timer.daemon = True

    def __enter__(self) -> Beforehand:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Begins no more, and waits for what has begun."""
        self._timer.cancel()
        self._timer.join()


def _make_ready() -> None:
    load(*ENDING)
    for _ in made_ready():
        pass


def _prepare_report() -> None:
    from finrag_eval.report.html import make_ready

    make_ready()

"""What the end of a sweep needs, made ready beside its calls.

Enters: nothing. Leaves: libraries that are loaded, and the report's templates compiled and a first
picture drawn: seconds that the end of a sweep need not take. Calls that wait for a model leave the
time for it.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from threading import Timer

#: Seconds until it begins: by then the first calls are on their way.
_AFTER_S = 2.0
#: What the summary, the tables and the report need.
_LIBRARIES = (
    "finrag_eval.wrap_up",
    "pandas",
    "pyarrow.parquet",
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
    "jinja2",
)


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
    for name in _LIBRARIES:
        with suppress(ImportError):
            import_module(name)
    from finrag_eval.report.html import make_ready

    make_ready()

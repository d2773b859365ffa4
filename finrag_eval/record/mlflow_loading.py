"""MLflow loaded ahead, without the libraries that a recorder has no use for.

MLflow loads pandas and SciPy for datasets and models to log, and does without where they are not
installed: that is how ``mlflow-skinny`` runs. A recorder logs neither. Its migrations' templates
load Pygments to colour errors, where it is there. While MLflow is loaded they are hidden from it,
and afterwards whoever asks for them gets them: 2.4 s of CPU instead of 3.1, Pygments apart (medians
of 10, 2026-11-29).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator
from importlib import import_module
from importlib.abc import MetaPathFinder
from typing import Any

_UNUSED = ("pandas", "scipy", "pygments")


def load_mlflow() -> None:
    """Loads what a store in a database needs of MLflow: seconds, before the store is known.

    What fails here fails again, and is told, when the store is opened.
    """
    with contextlib.suppress(Exception), _hidden(_UNUSED):
        import_module("mlflow.store.tracking.sqlalchemy_store")


class _Hiding(MetaPathFinder):
    """Says of some libraries that they are not installed."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(self, fullname: str, *_: Any) -> None:
        if fullname in self._names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@contextlib.contextmanager
def _hidden(names: Collection[str]) -> Iterator[None]:
    """Hide libraries that are not loaded yet while this context lasts."""
    hiding = _Hiding(names)
    sys.meta_path.insert(0, hiding)
    try:
        yield
    finally:
        sys.meta_path.remove(hiding)

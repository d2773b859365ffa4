"""``python``: a function of the user's as a scorer."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from finrag_eval.domain import Query
from finrag_eval.score.verdicts import Unscored, Verdict

OwnFunction = Callable[[Query, Mapping[str, Any]], Any]


def load(path: str) -> OwnFunction:
    """The function behind ``package.module:function``; raises ImportError, TypeError.

    The current folder is importable, as with ``python -m``.
    """
    module_name, _, name = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found: Any = importlib.import_module(module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            raise ImportError(f"module {module_name} has no {name}")
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{path} is not callable")
    function: OwnFunction = found
    return function


def source_digest(function: OwnFunction) -> str:
    """A digest of the function's source text, so that a change of it is seen; "" without one."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        return ""
    return hashlib.sha256(source.encode()).hexdigest()


def own_code(
    query: Query, result: Mapping[str, Any], *, function: OwnFunction
) -> Verdict | Unscored:
    """What the function returns: a number, a truth value, or None for unscored.

    Raises what the function raises, and TypeError or ValueError for other values.
    """
    value = function(query, result)
    if value is None:
        return Unscored("the function gave no score")
    if hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, (bool, int, float)):
        raise TypeError(f"the function gave {type(value).__name__}, not a number, bool or None")
    if not math.isfinite(value):
        raise ValueError(f"the function gave {value}")
    return Verdict(float(value))

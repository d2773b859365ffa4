"""The end of a process: at once, without taking every loaded library apart first.

What Python does at the end of a process with MLflow or pandas in it takes some tenths of a second
and gives back memory that the system takes back anyway.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading


def leave(code: int) -> None:
    """End the process with this code, once what others asked for at its end is done.

    Where a thread still has work that must be waited for, or a profiler or a debugger looks on,
    Python's own way is taken.
    """
    waited_for = [one for one in threading.enumerate() if not one.daemon]
    is_watched = sys.getprofile() is not None or sys.gettrace() is not None
    if waited_for == [threading.main_thread()] and not is_watched:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)

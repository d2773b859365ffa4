"""How often Python looks for cycles of objects that nobody uses any more: seldom.

What is loaded at the start stays, and what a trial makes has hardly any cycles. By Python's own
measure the first process of 1,000 trials spent 0.5 of 8.4 s of CPU on looking, in pauses of up to
0.1 s for all calls (2026-11-29).
"""

from __future__ import annotations

import gc

#: Objects that are made and not given back until the newest are looked at; how many such looks
#: make one at those that survived one; and how many of these make one at everything.
_SELDOM = (100_000, 20, 100)


def collect_seldom() -> None:
    """From now on, in this process."""
    gc.set_threshold(*_SELDOM)

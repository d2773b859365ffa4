"""``python -m finrag_eval`` is ``finrag-eval``."""

import os
import sys


def _open_standard_streams() -> None:
    """Give a process that was started without stdin, stdout or stderr some that lead nowhere.

    Else its first files would take their numbers, and what is printed would end up in them.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def program() -> None:
    """Run the program as the process that it is, to its end."""
    _open_standard_streams()
    from finrag_eval.garbage import collect_seldom

    collect_seldom()
    from finrag_eval.cli.main import main
    from finrag_eval.leaving import leave

    leave(main())


if __name__ == "__main__":
    program()

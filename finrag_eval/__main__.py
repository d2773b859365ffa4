"""``python -m finrag_eval`` is ``finrag-eval``."""

from finrag_eval.cli.main import main
from finrag_eval.leaving import leave


def program() -> None:
    """Run the program as the process that it is, to its end."""
    leave(main())


if __name__ == "__main__":
    program()

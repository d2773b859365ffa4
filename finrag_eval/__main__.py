"""``python -m finrag_eval`` is ``finrag-eval``."""

from finrag_eval.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())

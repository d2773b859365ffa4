"""The JSON Schema of sweep files, for editors; made from the reader's own table.

``python -m finrag_eval.spec.schema > sweep.schema.json`` writes it anew.
"""

from __future__ import annotations

import json
from typing import Any

from finrag_eval.spec.fields import SWEEP


def sweep_schema() -> dict[str, Any]:
    """The schema of a sweep file (JSON Schema 2020-12). What holds between keys is not in it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "finrag-eval sweep",
        **SWEEP.schema(),
    }


def schema_text() -> str:
    """The schema as it stands in ``sweep.schema.json``."""
    return json.dumps(sweep_schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")

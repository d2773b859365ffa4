"""Which MLflow the test-suite has verified: versions, each with its database schema revision."""

from __future__ import annotations

#: MLflow version -> the schema revision that it makes. A line is added after the tests of the
#: bulk lane have passed with that version.
VERIFIED_SCHEMAS: dict[str, str] = {"3.17.2": "dc11669786a5"}

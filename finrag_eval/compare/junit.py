"""Gates as JUnit XML: a test case a gate, for CI servers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

#: What XML 1.0 cannot hold, even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


_PROPERTIES = (
    *("sweep_id", "status", "started_at", "parent_run_id"),
    *("baseline_sweep", "candidate_sweep"),
)


def junit_xml(summary: Mapping[str, Any]) -> str:
    """The gates of a summary as one test suite; without gates, a suite without tests."""
    gates = list(summary.get("gates") or ())
    failed = sum(not gate.get("passed") for gate in gates)
    name = _clean(summary.get("name") or "finrag-eval")
    counts = {"tests": str(len(gates)), "failures": str(failed), "errors": "0", "skipped": "0"}
    suites = ElementTree.Element("testsuites", {"name": "finrag-eval", **counts})
    seconds = summary.get("wall_seconds")
    suite = ElementTree.SubElement(
        suites, "testsuite", {"name": name, **counts, "time": f"{float(seconds or 0):.3f}"}
    )
    properties = ElementTree.SubElement(suite, "properties")
    for key in _PROPERTIES:
        if summary.get(key):
            value = {"name": key, "value": _clean(summary[key])}
            ElementTree.SubElement(properties, "property", value)
    for gate in gates:
        _add_case(suite, name, gate)
    ElementTree.indent(suites)
    body = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n'


def _add_case(suite: ElementTree.Element, name: str, gate: Mapping[str, Any]) -> None:
    rule = f"{gate.get('metric')} {gate.get('rule')} {gate.get('bound')}"
    title = _clean(f"{rule} {gate.get('cell') or ''}".strip())
    case = ElementTree.SubElement(
        suite, "testcase", {"name": title, "classname": f"finrag_eval.gates.{name}", "time": "0"}
    )
    sentence = _clean(gate.get("sentence") or title)
    if gate.get("passed"):
        ElementTree.SubElement(case, "system-out").text = sentence
        return
    message = _clean(gate.get("reason") or sentence)
    failure = ElementTree.SubElement(case, "failure", {"message": message, "type": "gate"})
    failure.text = sentence


def _clean(value: Any) -> str:
    return _FORBIDDEN.sub("\ufffd", str(value))

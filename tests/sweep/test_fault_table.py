"""Every fault of Bedrock in one sweep: what its trial says, and what the summary makes of it."""

from __future__ import annotations

import csv
from collections import Counter
from typing import Any, NamedTuple

import pytest
from loopback.fixture import LoopbackBedrock
from sweep_place import Place, Ran


class Fault(NamedTuple):
    """What the server does (once, or at every try), and what the trial then says."""

    fate: str
    is_lasting: bool = False
    error_type: str = ""
    stop_reason: str = "end_turn"
    retries: int = 1
    is_wasted: bool = False

    @property
    def query_id(self) -> str:
        return f"{'lasting' if self.is_lasting else 'passing'}-{self.fate}"


#: Faults that pass: the trial succeeds at its second try.
PASSING = [
    *map(Fault, ("throttle", "throttle_tokens", "bare_429", "not_ready", "unavailable")),
    *map(Fault, ("internal", "model_error")),
    *(
        Fault(fate, is_wasted=True)
        for fate in (
            "html_503", "html_502", "model_timeout", "reset", "close", "reset_in_body", "hang",
            "truncated", "empty_body", "bad_json", "html_200", "bad_utf8", "null_text",
            "no_usage", "half_usage", "negative_usage", "no_output", "empty_content",
            "blank_text", "tool_only", "list_body", "empty_object",
        )
    ),
]  # fmt: skip
#: Faults that stay: the trial fails, after its tries or at once.
LASTING = [
    Fault("unavailable", True, "ServiceUnavailableException", "", 2),
    Fault("internal", True, "InternalServerException", "", 2),
    Fault("model_error", True, "ModelErrorException", "", 2),
    Fault("model_timeout", True, "ModelTimeoutException", "", 2, True),
    Fault("reset", True, "ConnectionClosedError", "", 2, True),
    Fault("html_503", True, "HTTP503", "", 2, True),
    Fault("truncated", True, "TruncatedBody", "", 2, True),
    Fault("empty_body", True, "EmptyBody", "", 2, True),
    Fault("bad_json", True, "MalformedJson", "", 2, True),
    Fault("bad_utf8", True, "InvalidUtf8", "", 2, True),
    Fault("null_text", True, "NullText", "", 2, True),
    Fault("no_usage", True, "MissingUsage", "", 2, True),
    Fault("negative_usage", True, "MalformedUsage", "", 2, True),
    Fault("no_output", True, "MissingOutput", "", 2, True),
    Fault("empty_content", True, "EmptyContent", "end_turn", 2, True),
    Fault("blank_text", True, "NoText", "end_turn", 2, True),
    Fault("list_body", True, "UnexpectedShape", "", 2, True),
    Fault("thought_only", True, "NoText", "max_tokens", 0, True),
    Fault("validation", True, "ValidationException", "", 0),
    Fault("context_limit", True, "ValidationException", "", 0),
    Fault("model_error_400", True, "ModelErrorException", "", 0),
]
#: Answers that are none of the ordinary ones: they succeed, and are flagged.
FLAGGED = [
    Fault("max_tokens", stop_reason="max_tokens", retries=0),
    Fault("guardrail", stop_reason="guardrail_intervened", retries=0),
    Fault("filtered", stop_reason="content_filtered", retries=0),
]
#: Faults of a model: its own cell stops, with this error type.
STOPPING = {
    "sampling": "ValidationException",
    "profile_only": "ValidationException",
    "access_denied": "AccessDeniedException",
    "end_of_life": "ResourceNotFoundException",
    "service_quota": "ServiceQuotaExceededException",
    "daily_tokens": "ThrottlingException",
}
FAULTS = [*PASSING, *LASTING, *FLAGGED]
WORKERS = 16


@pytest.fixture(scope="module")
def swept(
    tmp_path_factory: pytest.TempPathFactory, bedrock_process: LoopbackBedrock
) -> tuple[Place, Ran]:
    """One sweep of all faults, and of a model for each fault of a model."""
    folder = tmp_path_factory.mktemp("faults")
    place = Place(folder, f"sqlite:///{folder}/none.db", dict(bedrock_process.env))
    keys = {"loop": "loop.model-v1"} | {f"of_{fate}": f"stops.{fate}" for fate in STOPPING}
    entry = {"max_tokens": 200, "cost_per_1k_input": 0.001, "cost_per_1k_output": 0.005}
    models = {key: {"model_id": model_id, **entry} for key, model_id in keys.items()}
    place.write("ml_config.yaml", {"serving_models": models})
    place.write("questions.jsonl", "".join(map(_question, FAULTS)))
    bedrock_process.programme(
        latency_s=0.01,
        scripts=[
            *({"model": f"stops.{fate}", "then": fate} for fate in STOPPING),
            *(
                {
                    "match": f"about {fault.query_id},",
                    "faults": [fault.fate],
                    "then": fault.fate if fault.is_lasting else "ok",
                }
                for fault in FAULTS
            ),
        ],
    )
    sweep = place.sweep(
        name="faults",
        models=list(keys),
        prompts=[{"system": "v1", "query": "v1"}],
        scorers=["citation"],
        execution={"concurrency": WORKERS, "attempt_timeout_s": 2, "max_attempts": 3},
    )
    arguments = ["run", str(sweep), "--no-tracking", "--format", "json"]
    return place, place.run(*arguments)


def _question(fault: Fault) -> str:
    text = f"What does NVIDIA say about {fault.query_id}, in 2020?"
    return f'{{"id": "{fault.query_id}", "query": "{text}"}}\n'


def _rows(place: Place) -> dict[tuple[str, str], dict[str, str]]:
    (file,) = place.results.glob("*/trials.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        return {(row["model_key"], row["query_id"]): row for row in csv.DictReader(lines)}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.query_id)
def test_each_fault_is_told_by_its_trial(swept: tuple[Place, Ran], fault: Fault) -> None:
    row = _rows(swept[0])["loop", fault.query_id]
    assert row["status"] == ("failed" if fault.error_type else "success")
    assert row["error_type"] == fault.error_type
    assert bool(row["error_message"]) == bool(fault.error_type)
    assert row["stage"] == ("llm_invocation" if fault.error_type else "")
    assert row["stop_reason"] == fault.stop_reason
    assert float(row["retries"]) == fault.retries
    assert (float(row["wasted_usd"] or 0) > 0) == fault.is_wasted
    assert (row["cost_usd"] == "") == bool(fault.error_type), "missing is not zero"


def test_the_summary_counts_every_fault_by_its_type(swept: tuple[Place, Ran]) -> None:
    cell = _cells(swept[1])["loop"]
    assert cell["trials"] == len(FAULTS)
    assert cell["succeeded"] == len(PASSING) + len(FLAGGED)
    assert cell["errors"] == Counter(fault.error_type for fault in LASTING)
    assert cell["retries"] == sum(fault.retries for fault in FAULTS)
    stops = {"max_tokens": 2, "guardrail_intervened": 1, "content_filtered": 1}
    assert cell["stop_reasons"] == stops
    assert sorted(cell["flags"]) == sorted(
        f"{times} of {len(FAULTS)} trials ended with {stop}" for stop, times in stops.items()
    )


def test_a_stopped_answer_is_unscored_and_a_cut_off_one_is_scored_with_a_flag(
    swept: tuple[Place, Ran],
) -> None:
    rows = _rows(swept[0])
    scored = {one.fate: rows["loop", one.query_id]["score.citation"] for one in FLAGGED}
    assert scored["guardrail"] == scored["filtered"] == ""
    assert scored["max_tokens"] != ""


@pytest.mark.parametrize(("fate", "error_type"), STOPPING.items())
def test_a_fault_of_a_model_stops_its_cell_with_one_line(
    swept: tuple[Place, Ran], fate: str, error_type: str
) -> None:
    ran, key = swept[1], f"of_{fate}"
    cell = _cells(ran)[key]
    assert 1 <= cell["failed"] <= WORKERS
    assert cell["errors"] == {error_type: cell["failed"]}
    assert cell["failed"] + cell["not_run"] == len(FAULTS)
    lines = [line for line in ran.err.splitlines() if f"{key} stopped: {error_type}: " in line]
    assert len(lines) == 1


def test_totals_are_those_of_the_cells(swept: tuple[Place, Ran]) -> None:
    summary = swept[1].json
    cells = summary["cells"]
    totals = summary["totals"]
    assert (swept[1].code, summary["status"]) == (0, "partial")
    assert totals["trials_planned"] == len(FAULTS) * (1 + len(STOPPING))
    assert totals["trials_failed"] == sum(cell["failed"] for cell in cells)
    assert totals["trials_not_run"] == sum(cell["not_run"] for cell in cells)
    assert summary["budget"]["wasted_usd"] > 0


def _cells(ran: Ran) -> dict[str, Any]:
    return {cell["model_key"]: cell for cell in ran.json["cells"]}

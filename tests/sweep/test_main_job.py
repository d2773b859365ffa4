"""The main job, end to end: a sweep run by the real program, read back from MLflow and disk."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from sweep_place import Place, questions_text

from finrag_eval import load_trials

PARAMS = """model_key model_id temperature max_tokens cost_per_1k_input cost_per_1k_output
system_prompt_version query_template_version include_kpi include_rag query_length
query_preview""".split()
METRICS = """latency_total_seconds input_tokens output_tokens total_tokens cost_usd
context_length_chars answer_length_chars kpi_matches_count rag_chunks_count
latency_retrieval_seconds latency_llm_seconds latency_wait_seconds retries cache_read_tokens
cache_write_tokens score.numeric""".split()
TAGS = """status environment run_date tickers years finrag_eval.kind finrag_eval.sweep_id
finrag_eval.trial_key finrag_eval.cell finrag_eval.query_id finrag_eval.repeat
finrag_eval.cost_basis mlflow.parentRunId""".split()
FILES = (
    "summary.json",
    "summary.csv",
    "summary.md",
    "trials.csv",
    "trials.parquet",
    "report.html",
)
ARTIFACTS = {
    "prompts/original_query.txt",
    "prompts/system_prompt.txt",
    "context/assembled_context.txt",
    "response/full_response.json",
    "response/scores.json",
}


def runs_of(place: Place) -> pd.DataFrame:
    mlflow.set_tracking_uri(place.store_uri)
    return mlflow.search_runs(search_all_experiments=True, max_results=1000)


def files_of(place: Place, run_id: str, folder: str | None = None) -> set[str]:
    client = MlflowClient(place.store_uri)
    found: set[str] = set()
    for item in client.list_artifacts(run_id, folder):
        found |= files_of(place, run_id, item.path) if item.is_dir else {item.path}
    return found


@pytest.fixture(scope="module")
def swept(
    tmp_path_factory: pytest.TempPathFactory, template_store: Path, project: Path
) -> tuple[Place, dict[str, Any]]:
    """One finished sweep that several tests look at."""
    folder = tmp_path_factory.mktemp("swept")
    shutil.copy(template_store, folder / "mlflow.db")
    place = Place(folder=folder, store_uri=f"sqlite:///{folder}/mlflow.db")
    place.write("ml_config.yaml", (project / "ml_config.yaml").read_text(encoding="utf-8"))
    place.write("questions.jsonl", questions_text())
    ran = place.run("run", str(place.sweep()), "--format", "json")
    assert ran.code == 0, ran.err
    return place, ran.json


def test_every_trial_is_one_finished_child_of_one_parent(swept: tuple[Place, Any]) -> None:
    runs = runs_of(swept[0])
    parents = runs[runs["tags.finrag_eval.kind"] == "sweep"]
    children = runs[runs["tags.finrag_eval.kind"] == "trial"]
    assert len(parents) == 1
    assert len(children) == 2 * 2 * 5
    assert set(runs["status"]) == {"FINISHED"}
    assert set(children["tags.mlflow.parentRunId"]) == {parents.iloc[0]["run_id"]}
    assert children["tags.finrag_eval.trial_key"].is_unique


def test_a_child_has_every_name_of_the_contract(swept: tuple[Place, Any]) -> None:
    place, summary = swept
    runs = runs_of(place)
    child = runs[runs["tags.finrag_eval.cell"] == "rehearsal_kpi.v1-v1"].iloc[0]
    for name in PARAMS:
        assert child[f"params.{name}"] is not None, name
    for name in METRICS:
        assert not math.isnan(child[f"metrics.{name}"]), name
    for name in TAGS:
        assert child[f"tags.{name}"], name
    assert child["tags.finrag_eval.cost_basis"] == "rehearsal"
    assert child["tags.finrag_eval.sweep_id"] == summary["sweep_id"]
    name = child["tags.mlflow.runName"]
    assert name.endswith(f"_rehearsal_kpi_v1-v1_{child['tags.finrag_eval.query_id']}")
    assert files_of(place, child["run_id"]) == ARTIFACTS


def test_the_parent_has_its_metrics_and_files(swept: tuple[Place, Any]) -> None:
    place, summary = swept
    runs = runs_of(place)
    parent = runs[runs["tags.finrag_eval.kind"] == "sweep"].iloc[0]
    for name in """sweep/cost_usd sweep/spent_usd sweep/trials_succeeded sweep/trials_failed
        sweep/input_tokens sweep/output_tokens sweep/wall_seconds
        rehearsal_kpi.v1-v1/cost_usd_total rehearsal_kpi.v1-v1/latency_p50_seconds
        rehearsal_kpi.v1-v1/latency_p95_seconds rehearsal_kpi.v1-v1/score.numeric""".split():
        assert not math.isnan(parent[f"metrics.{name}"]), name
    assert parent["tags.status"] == "completed"
    assert parent["run_id"] == summary["parent_run_id"]
    assert files_of(place, parent["run_id"]) >= {
        "summary/summary.json",
        "summary/summary.csv",
        "summary/summary.md",
        "summary/report.html",
        "summary/trials.parquet",
        "spec/sweep.yaml",
        "spec/ml_config.yaml",
    }
    inputs = MlflowClient(place.store_uri).get_run(parent["run_id"]).inputs.dataset_inputs
    assert [one.dataset.name for one in inputs] == ["questions"]


def test_mlflow_ledger_and_summary_name_one_cost(swept: tuple[Place, Any]) -> None:
    place, summary = swept
    total = summary["totals"]["cost_usd"]
    assert total > 0
    assert abs(math.fsum(runs_of(place)["metrics.cost_usd"].dropna()) - total) < 1e-9
    assert abs(math.fsum(c["cost_usd"]["total"] for c in summary["cells"]) - total) < 1e-9
    assert abs(summary["budget"]["spent_usd"] - total) < 1e-9


def test_the_folder_has_every_file_and_a_row_per_trial(swept: tuple[Place, Any]) -> None:
    place, summary = swept
    folder = place.results / summary["sweep_id"]
    trials = pd.read_parquet(folder / "trials.parquet")
    assert len(trials) == 20
    assert trials["run_id"].notna().all()
    assert set(trials["run_id"]) <= set(runs_of(place)["run_id"])
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 20
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert len((folder / "summary.csv").read_text().splitlines()) == 5


def test_the_same_sweep_twice_gives_the_same_answers_tokens_and_scores(place: Place) -> None:
    place.sweep()
    tables = []
    for _ in range(2):
        ran = place.run("run", "small.yaml", "--format", "json", "--no-tracking")
        assert ran.code == 0, ran.err
        folder = place.results / ran.json["sweep_id"]
        columns = ["finrag_eval.cell", "query_id", "answer", "input_tokens", "score.numeric"]
        tables.append(pd.read_parquet(folder / "trials.parquet")[columns])
    pd.testing.assert_frame_equal(*tables)


def test_without_tracking_nothing_of_mlflow_is_touched(place: Place) -> None:
    place.sweep()
    before = sorted(path.name for path in place.folder.iterdir())
    store = (place.folder / "mlflow.db").read_bytes()
    code = (
        "import sys; from finrag_eval.cli.main import main; "
        "code = main(['run', 'small.yaml', '--no-tracking', '--quiet']); "
        "assert 'mlflow' not in sys.modules; sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=place.folder, check=True, capture_output=True)
    assert (place.folder / "mlflow.db").read_bytes() == store
    after = sorted(path.name for path in place.folder.iterdir())
    assert set(after) - set(before) <= {"sweep_results", ".finrag_cache", "small.yaml"}


def test_results_go_to_stdout_and_talk_to_stderr(place: Place) -> None:
    place.sweep()
    ran = place.run("run", "small.yaml", "--no-tracking")
    assert ran.code == 0
    assert "rehearsal_kpi.v1-v1" in ran.out
    assert "\x1b" not in ran.out + ran.err
    quiet = place.run("run", "small.yaml", "--no-tracking", "--quiet", "--format", "json")
    assert quiet.err == ""
    assert quiet.json["status"] == "completed"


def test_loaded_trials_have_their_documented_types_whatever_is_missing(place: Place) -> None:
    place.sweep(models=["rehearsal_kpi"], prompts=[{"system": "v1", "query": "v1"}])
    assert place.run("run", "small.yaml", "--quiet", "--no-tracking").code == 0
    whole = load_trials("latest", output_dir=place.results)
    (file,) = place.results.glob("*/trials.parquet")
    table = pd.read_parquet(file)
    missing = table.assign(
        input_tokens=pd.array([None, *table["input_tokens"][1:]], dtype="Int64"),
        answer=[None] * len(table),
    )
    missing.to_parquet(file)
    holed = load_trials("latest", output_dir=place.results)
    for trials in (whole, holed):
        for name in ("cost_usd", "input_tokens", "retries", "score.numeric", "cost_per_1k_input"):
            assert trials[name].dtype == "float64", name
        for name in ("repeat", "max_tokens", "query_length"):
            assert trials[name].dtype == "int64", name
        for name in ("started_at", "ended_at"):
            assert str(trials[name].dt.tz) == "UTC", name
        assert trials["include_kpi"].dtype == "bool"
        assert pd.api.types.is_string_dtype(trials["finrag_eval.cell"].dtype)
    assert math.isnan(holed["input_tokens"].iloc[0])
    assert math.fsum(whole["cost_usd"]) == pytest.approx(math.fsum(table["cost_usd"]))


_AND_THEN_TELL = """
import sys
from finrag_eval.cli.main import main
sys.argv = ["finrag-eval", "run", "small.yaml", "--quiet"]
code = main()
print("loaded:", *sorted({"mlflow", "matplotlib"} & set(sys.modules)))
sys.exit(code)
"""


def test_the_recorder_makes_the_report_and_the_driver_loads_nothing_for_it(place: Place) -> None:
    place.sweep()
    done = subprocess.run(
        [sys.executable, "-c", _AND_THEN_TELL],
        cwd=place.folder,
        env=os.environ | {"MLFLOW_TRACKING_URI": place.store_uri},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"
    (folder,) = place.results.glob("*-small-*")
    made = {name: (folder / name).read_bytes() for name in FILES}
    assert place.run("summary", folder.name).code == 0
    assert made == {name: (folder / name).read_bytes() for name in FILES}


def test_where_the_recorder_cannot_make_the_files_the_driver_does(place: Place) -> None:
    place.sweep()
    place.write(
        "hooks/sitecustomize.py",
        "import sys\n"
        "if any('finrag_eval.behind' in word for word in sys.orig_argv):\n"
        "    import finrag_eval.from_ledger as made\n"
        "    def fails(*_, **__):\n"
        "        raise OSError('no room')\n"
        "    made.write_summary_and_report = fails\n",
    )
    place.env["PYTHONPATH"] = str(place.folder / "hooks")
    ran = place.run("run", "small.yaml", "--quiet")
    assert ran.code == 0, ran.err
    (folder,) = place.results.glob("*-small-*")
    assert all((folder / name).is_file() for name in FILES)
    assert "no room" in (folder / "recorder.log").read_text()

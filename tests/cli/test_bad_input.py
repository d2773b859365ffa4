"""What a user gets for wrong input: code 2, a line per problem, nothing sent, no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from finrag_eval.cli.main import main

SWEEP = """\
name: s
experiment: E
models: [rehearsal_kpi]
prompts:
  - {system: v1, query: v1}
query_set: {path: q.jsonl}
"""


@pytest.fixture
def here(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    config = (project / "ml_config.yaml").read_text(encoding="utf-8")
    (tmp_path / "ml_config.yaml").write_text(config, encoding="utf-8")
    (tmp_path / "q.jsonl").write_text('{"id": "a", "query": "What was it?"}\n', encoding="utf-8")
    (tmp_path / "s.yaml").write_text(SWEEP, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("models: [rehearsal_kpy]", "s.yaml:3: models[0]: no model key 'rehearsal_kpy'"),
        ("modles: [rehearsal_kpi]", "did you mean 'models'?"),
        ("models: [rehearsal_kpi]\nmodels: [rehearsal_kpi]", "s.yaml:4: models: "),
        ("models: rehearsal_kpi", "s.yaml:3: models: "),
        ("models: []", "s.yaml:3: models: "),
        ("models: [rehearsal_kpi]\nbudget: {max_usd: -1}", "s.yaml:4: budget.max_usd: "),
        ("models: [rehearsal_kpi]\nexecution: {concurrency: 0}", "execution.concurrency: "),
        ("models: [rehearsal_kpi]\nrepeats: many", "s.yaml:4: repeats: "),
        ("models: [rehearsal_kpi]\nscorers: [numerc]", "did you mean"),
    ],
)
def test_a_wrong_sweep_is_refused_with_its_line(
    here: Path, capsys: pytest.CaptureFixture[str], written: str, said: str
) -> None:
    text = SWEEP.replace("models: [rehearsal_kpi]", written)
    (here / "s.yaml").write_text(text, encoding="utf-8")
    assert main(["run", "s.yaml"]) == 2
    caught = capsys.readouterr()
    assert said in caught.err
    assert caught.out == ""
    assert "Traceback" not in caught.err
    assert not (here / "sweep_results").exists()


@pytest.mark.parametrize(
    ("questions", "said"),
    [
        (b"", "the query set has no queries"),
        (b'{"id": "a", "query": "x"}\n{"id": "a", "query": "y"}\n', "q.jsonl:2"),
        (b'{"id": "a", "query": "\xff"}\n', "q.jsonl"),
        (b'{"id": "a"}\n', "q.jsonl:1"),
        (b"not json\n", "q.jsonl:1"),
    ],
)
def test_wrong_questions_are_refused_with_their_line(
    here: Path, capsys: pytest.CaptureFixture[str], questions: bytes, said: str
) -> None:
    (here / "q.jsonl").write_bytes(questions)
    assert main(["run", "s.yaml"]) == 2
    assert said in capsys.readouterr().err
    assert not (here / "sweep_results").exists()


def test_a_model_without_prices_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "ml_config.yaml").write_text(
        "serving_models:\n  rehearsal_kpi: {provider: bedrock, model_id: m, max_tokens: 5}\n"
    )
    assert main(["run", "s.yaml"]) == 2
    assert "cost_per_1k_input" in capsys.readouterr().err


def test_missing_credentials_say_what_to_set_and_that_rehearsals_need_none(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SWEEP.replace("rehearsal_kpi", "development_CH45")
    (here / "s.yaml").write_text(text, encoding="utf-8")
    assert main(["run", "s.yaml", "--no-tracking"]) == 2
    said = capsys.readouterr().err
    assert "AWS_PROFILE" in said
    assert "AWS_REGION" in said
    assert "quickstart.yaml" in said
    assert not (here / "sweep_results").exists()


def test_a_question_is_refused_with_all_that_is_wrong_at_once(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ["-m", "rehearsal_kip", "--system-prompt-version", "v9", "--tracking-uri", "xyz://s"]
    assert main(["query", *wrong]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["ml_config.yaml", "prompts", "tracking URI"]
    assert "did you mean 'rehearsal_kpi'?" in lines[0]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://127.0.0.1:1", "does not answer"),
        ("sqlite:////nonexistent/folder/mlflow.db", "nonexistent"),
        ("gopher://somewhere", "gopher"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused_before_anything_is_sent(
    here: Path, capsys: pytest.CaptureFixture[str], uri: str, said: str
) -> None:
    assert main(["run", "s.yaml", "--tracking-uri", uri]) == 2
    assert said in capsys.readouterr().err
    assert not (here / "sweep_results").exists()


def test_errors_as_json_are_one_document_on_stdout(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "s.yaml").write_text(SWEEP.replace("rehearsal_kpi", "nobody"), encoding="utf-8")
    assert main(["run", "s.yaml", "--format", "json"]) == 2
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert set(error) == {"file", "line", "key", "message", "fix"}
    assert (error["file"], error["line"], error["key"]) == ("s.yaml", 3, "models[0]")


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["run"],
        ["run", "s.yaml", "--nope"],
        ["run", "missing.yaml"],
        ["resume", "nothing"],
        ["summary", "latest"],
        ["prompts", "show", "v99"],
        ["costs", "--by", "weekday"],
        ["costs", "--since", "yesterday"],
        ["compare", "--fail-on", "score.numeric"],
        ["plan", "s.yaml", "--price-change", "rehearsal_kpi"],
    ],
)
def test_wrong_usage_ends_with_code_2_and_no_traceback(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 2
    caught = capsys.readouterr()
    assert caught.err.strip()
    assert "Traceback" not in caught.err


def printed_by(code: str) -> str:
    """What a fresh process prints that runs this, and ends in order."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_help_teaches_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from finrag_eval.cli.main import main; main(['--help']); "
        "heavy = {'mlflow', 'boto3', 'pandas', 'numpy', 'scipy', 'matplotlib', 'pyarrow', 'rich', "
        "'sqlalchemy', 'joblib'} & set(sys.modules); assert not heavy, heavy"
    )
    assert "finrag-eval run sweeps/quickstart.yaml" in printed_by(code)


def test_a_verb_loads_itself_alone() -> None:
    code = (
        "import sys; from finrag_eval.cli.main import main; main(['sweeps', 'prune', '--help']); "
        "verbs = {name for name in sys.modules if name.startswith('finrag_eval.cli.')}; "
        "assert not verbs & {'finrag_eval.cli.costs', 'finrag_eval.cli.run'}, verbs"
    )
    assert "prune" in printed_by(code)


@pytest.mark.parametrize(
    "verb",
    """run plan validate resume sweeps query score summary compare costs runs sync models prompts
    ui""".split(),
)
def test_every_verb_of_the_contract_explains_itself(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--help"]) == 0
    assert len(capsys.readouterr().out) > 200

"""``finrag-eval costs`` and ``runs`` as users call them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from spend_parts import a_model, a_sweep, failed

from finrag_eval.cli.main import main

Recorder = Callable[..., str]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the program."""
    code = main(list(arguments))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture
def march(recording: Recorder, uri: str) -> str:
    """Two nights of March 2026: exact prices, a failure, something saved, a rehearsal."""
    for day in (3, 4):
        offline = a_model("offline", provider="rehearsal")
        sweep = a_sweep(
            day,
            at=f"2026-03-0{day}T02:00",
            models=(a_model(), a_model("nova"), offline),
            queries=2,
        )
        costs = ("0.01", "0.002", "3", "0.03", "0.004", "5")
        records = [
            replace(
                record,
                cost_usd=Decimal(cost),
                input_tokens=1_000,
                output_tokens=100,
                cache_read_tokens=0,
                cache_write_tokens=0,
                wasted_usd=Decimal(0),
                latency_total_seconds=31.5 if cost == "0.03" else 2.0,
                kpi_matches_count=0 if cost == "0.004" else 2,
                rag_chunks_count=1 if cost == "0.004" else 8,
            )
            for record, cost in zip(sweep.records, costs, strict=True)
        ]
        records[1] = failed(records[1], wasted="0.002")
        recording(replace(sweep, records=records, experiment="Nightly"))
    return uri


def test_costs_are_printed_as_a_table_of_80_columns(
    march: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = told(
        capsys, "costs", "--since", "2026-03-01", "--until", "2026-03-31", "--tracking-uri", march
    )
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split()[0] == "day"
    assert sum(line.startswith("2026-03-03") for line in lines) == 3
    assert "billed: $0.092 in 8 runs (target $0.088, wasted $0.0040)\n" in out
    assert "rehearsal, no real money: $16.00 in 4 runs\n" in out


def test_costs_as_json_csv_and_markdown_tell_the_same(
    march: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("costs", "--since", "2026-03-01", "--until", "2026-03-31", "--by", "model_key")
    documents = {}
    for form in ("json", "csv", "markdown"):
        code, documents[form], _ = told(capsys, *asked, "--format", form, "--tracking-uri", march)
        assert code == 0
    report = json.loads(documents["json"])
    assert [(row["model_key"], row["spent_usd"]) for row in report["groups"]] == [
        ("haiku", 0.08),
        ("nova", 0.012),
        ("offline", 16.0),
    ]
    assert report["groups"][1]["input_tokens"] == 2000
    assert report["groups"][1]["failed"] == 2
    assert [(row["cost_basis"], row["runs"]) for row in report["totals"]] == [
        ("billed", 8),
        ("rehearsal", 4),
    ]
    assert report["budgets"] == []
    rows = list(csv.DictReader(io.StringIO(documents["csv"])))
    assert [float(row["spent_usd"]) for row in rows] == [0.08, 0.012, 16.0]
    assert rows[0]["input_tokens"] == "4000"
    assert documents["markdown"].splitlines()[:3] == [
        "| model key | cost basis | runs | failed | tokens in | out | target | wasted "
        "| spent | a run |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| haiku | billed | 4 | 0 | 4,000 | 400 | \\$0.080 | \\$0 | \\$0.080 | \\$0.020 |",
    ]


def test_by_default_costs_are_those_of_this_month(
    march: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, "costs", "--tracking-uri", march) == (
        0,
        "nothing was spent in that time\n",
        "",
    )
    code, out, _ = told(capsys, "costs", "--until", "2026-03-03", "--tracking-uri", march)
    assert code == 0
    assert "billed: $0.046 in 4 runs" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--by", "days"],
            "command line: --by: unknown dimension 'days'; known: day, week, month, model_key, "
            "prompt_version, environment, experiment, sweep, sweep_id, query_tag",
        ),
        (
            ["--tz", "Mars"],
            "command line: --tz: no time zone 'Mars'; write it like Europe/Berlin or UTC",
        ),
        (["--since", "yesterday"], "'yesterday' is not a day; write it like 2026-01-31"),
        (["--since", "2026-03-02", "--until", "2026-03-01"], "2026-03-01 is before 2026-03-02"),
        (["-e", "Daily"], "there is no experiment 'Daily'; known: Default, Nightly, Tests"),
        (["--plot", "chart.pdf"], "cannot draw a .pdf; name a .png, .svg or .html file"),
        (["--budget", "none.yaml"], "none.yaml"),
        (["--enforce"], "there is no budget to enforce; name --budget, too"),
    ],
)
def test_wrong_options_are_told_with_what_to_write(
    march: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, out, err = told(capsys, "costs", "--tracking-uri", march, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    code, out, _ = told(capsys, "costs", "--tracking-uri", march, "--format", "json", *arguments)
    assert code == 2
    assert message.rpartition("; ")[0].rpartition(": ")[2] in json.dumps(
        json.loads(out)["errors"][0], ensure_ascii=False
    )


@pytest.mark.parametrize("kind", ["png", "svg", "html"])
def test_costs_are_drawn(
    march: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path / f"chart.{kind}"
    code, _, err = told(
        capsys, "costs", "--since", "2026-03-01", "--plot", str(path), "--tracking-uri", march
    )
    assert code == 0
    assert err == f"chart: {path}\n"
    drawn = path.read_bytes()
    if kind == "png":
        assert drawn.startswith(b"\x89PNG")
        return
    text = drawn.decode()
    assert "</svg>" in text
    assert "<script" not in text
    for label in ("haiku, billed", "nova, billed", "offline, rehearsal", "2026-03-03"):
        assert label in text


def test_nothing_spent_is_drawn_as_an_empty_chart(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "chart.svg"
    assert told(capsys, "costs", "--plot", str(path), "--tracking-uri", uri)[0] == 0
    assert "nothing was spent" in path.read_text()


def test_spending_is_set_against_budgets_and_enforced(
    recording: Recorder, uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    today = datetime.now(UTC)
    for ago in (3, 2, 1):
        at = (today - timedelta(days=ago)).strftime("%Y-%m-%dT00:00")
        sweep = a_sweep(ago, at=at, queries=1, models=(a_model(),))
        records = [replace(sweep.records[0], cost_usd=Decimal(2), wasted_usd=Decimal(0))]
        recording(replace(sweep, records=records))
    path = tmp_path / "BUDGET.yaml"
    path.write_text(
        "budgets:\n"
        "  - {name: a day, period: day, limit_usd: 5}\n"
        "  - {name: other money, period: day, limit_usd: 1, scope: {experiment: Other}}\n"
    )
    asked = ("costs", "--budget", str(path), "--tracking-uri", uri)
    code, out, _ = told(capsys, *asked, "--enforce")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert f"a day        {today:%Y-%m-%d}  $5.00     $0  $5.00  $2.00        $0\n" in out
    assert "a day: lasts; forecast $0 at the day's end ($0 to $0) of $5.00.\n" in out

    sweep = a_sweep(4, at=today.strftime("%Y-%m-%dT00:00"), queries=1, models=(a_model(),))
    recording(replace(sweep, records=[replace(sweep.records[0], cost_usd=Decimal(6))]))
    assert told(capsys, *asked)[0] == 0
    code, out, _ = told(capsys, *asked, "--enforce", "--format", "json")
    assert code == 3
    passed, other = json.loads(out)["budgets"]
    assert (passed["passed"], other["passed"]) == (True, False)
    assert passed["spent_usd"] >= 6
    assert passed["runs_out_on"] == f"{today:%Y-%m-%d}"
    code, out, _ = told(capsys, *asked, "--format", "markdown")
    assert f"- a day: passed on {today:%Y-%m-%d}, by " in out
    assert f"| a day | {today:%Y-%m-%d} | \\$5.00 | \\$6.0" in out
    code, out, err = told(capsys, *asked, "--format", "csv")
    assert out.splitlines()[0].startswith("day,model_key,cost_basis,runs,")
    assert f"a day: passed on {today:%Y-%m-%d}, by " in err


def test_a_scope_that_no_run_has_is_told(
    recording: Recorder, uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = datetime.now(UTC).strftime("%Y-%m-%dT00:00")
    recording(a_sweep(at=at, tags={"team": "research"}))
    path = tmp_path / "BUDGET.yaml"
    path.write_text(
        "budgets:\n"
        "  - {name: a, period: day, limit_usd: 5, scope: {experiment: Test, model_key: haiku}}\n"
        "  - {name: b, period: day, limit_usd: 5, scope: {tag: {team: sales}}}\n"
        "  - {name: c, period: day, limit_usd: 5, scope: {tag: {team: research}}}\n"
    )
    code, _, err = told(capsys, "costs", "--budget", str(path), "--tracking-uri", uri)
    assert code == 0
    assert err.splitlines() == [
        "warning: budget 'a': no recorded run of its time has the experiment 'Test'; "
        "did you mean 'Tests'?",
        "warning: budget 'b': no recorded run of its time has the tag 'sales'",
    ]


@pytest.mark.parametrize(
    ("view", "costs"),
    [
        ("dear", [0.03, 0.03]),
        ("slow", [0.03, 0.03]),
        ("poor-retrieval", [0.004, 0.004]),
        ("no-kpi", [0.004, 0.004]),
        ("failed", [None, None]),
    ],
)
def test_views_find_what_they_are_named_for(
    march: str, capsys: pytest.CaptureFixture[str], view: str, costs: list[float | None]
) -> None:
    asked = ("runs", "--view", view, "--tracking-uri", march)
    billed = ("--where", "tags.`finrag_eval.cost_basis` = 'billed'")
    columns = ("--columns", "metrics.cost_usd,params.model_key", "--format", "json")
    code, out, _ = told(capsys, *asked, *billed, *columns)
    assert code == 0
    rows = json.loads(out)
    assert [row["metrics.cost_usd"] for row in rows] == costs
    code, out, _ = told(capsys, *asked, *billed)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80


def test_runs_are_filtered_sorted_and_cut(march: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(
        capsys,
        "runs",
        "--where",
        "params.model_key = 'haiku' and metrics.latency_total_seconds < 40",
        "--sort",
        "-metrics.cost_usd",
        "--columns",
        "attributes.start_time, tags.finrag_eval.sweep_id, metrics.cost_usd",
        "--limit",
        "3",
        "--format",
        "csv",
        "--tracking-uri",
        march,
    )
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["attributes.start_time"], row["metrics.cost_usd"]) for row in rows] == [
        ("2026-03-04T02:01:30Z", "0.03"),
        ("2026-03-03T02:01:30Z", "0.03"),
        ("2026-03-04T02:00:00Z", "0.01"),
    ]
    assert {row["tags.finrag_eval.sweep_id"] for row in rows} == {"2026-003", "2026-004"}
    code, out, _ = told(
        capsys, "runs", "--sweep", "2026-003", "--sort", "metrics.cost_usd", "--limit", "2",
        "--tracking-uri", march,
    )  # fmt: skip
    head, first, second, _, note = out.splitlines()
    assert head.split() == ["run_id", "query_id", "model_key", "cost", "latency", "question"]
    assert first.split()[1:5] == ["q002", "nova", "$0.0040", "2.0"]
    assert second.split()[1:4] == ["q001", "haiku", "$0.010"]
    assert note == "the first 2; --limit shows more, --format csv has whole run ids"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sort", "cost_usd"], "'cost_usd' names no column of runs; write metrics.cost_usd"),
        (["--columns", ","], "'' names no column of runs; name one"),
        (["--columns", "attributes.cost"], "known attributes: run_id, run_name, status"),
        (["--where", "cost > 1"], "MLflow does not understand this search: "),
        (["--where", "a' or '"], "MLflow does not understand this search: "),
        (["--sweep", "x' or 'y"], "there is no sweep"),
        (["-e", "Daily"], "there is no experiment 'Daily'"),
        (["--view", "cheap"], "'cheap' is not one of"),
    ],
)
def test_wrong_searches_are_told_with_what_to_write(
    march: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = told(capsys, "runs", "--tracking-uri", march, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_sweep_that_nobody_has_is_refused(march: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("runs", "--tracking-uri", march, "--sweep")
    code, out, err = told(capsys, *asked, "2026-0033")
    assert (code, out) == (2, "")
    assert "--sweep: neither the output folder nor the store has a sweep '2026-0033'" in err
    assert "did you mean 2026-003?" in err
    code, out, _ = told(capsys, *asked, "2026-003", "--where", "metrics.cost_usd > 100")
    assert (code, out) == (0, "no such runs\n")


def test_a_column_that_no_run_has_is_told(march: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = told(capsys, "runs", "--sort", "-metrics.cost_uds", "--tracking-uri", march)
    assert code == 0
    assert err == (
        "note: no run that is shown has metrics.cost_uds; did you mean metrics.cost_usd?\n"
    )


def test_hostile_texts_do_nothing_in_a_table_of_runs(
    recording: Recorder, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = a_sweep(queries=1, models=(a_model(),))
    query = replace(sweep.queries[0], query="=cmd()\x1b[31m \u202e red")
    recording(replace(sweep, queries=[query]))
    asked: tuple[Any, ...] = ("runs", "--tracking-uri", uri)
    _, out, _ = told(capsys, *asked)
    assert "\x1b" not in out
    assert "\u202e" not in out
    _, out, _ = told(capsys, *asked, "--format", "csv", "--columns", "params.query_preview")
    assert "'=cmd()" in out

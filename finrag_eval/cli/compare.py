"""``compare``: candidate against baseline, paired by query; fails a build where it should."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from finrag_eval.cli import options


def register(app: typer.Typer) -> None:
    app.command("compare")(compare)


def compare(
    sweep: Annotated[
        str | None, typer.Option("--sweep", metavar="SWEEP_ID", help="Compare within this sweep.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="CELL", help="Default: the sweep's own baseline."),
    ] = None,
    candidate: Annotated[
        str | None, typer.Option("--candidate", metavar="CELL", help="Default: every other cell.")
    ] = None,
    baseline_sweep: Annotated[
        str | None,
        typer.Option(
            "--baseline-sweep",
            metavar="SWEEP_ID",
            help="Compare between sweeps; `latest-passed` is the newest that ended with code 0.",
        ),
    ] = None,
    candidate_sweep: Annotated[
        str | None,
        typer.Option(
            "--candidate-sweep", metavar="SWEEP_ID", help="The newer sweep. Default: latest."
        ),
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on", metavar="CONDITION", help="Like 'score.numeric < -0.02'. Repeatable."
        ),
    ] = None,
    show: Annotated[
        int,
        typer.Option(
            "--show", min=0, metavar="N", help="Changed answers side by side: N each way."
        ),
    ] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse where more than the candidate differs.")
    ] = False,
    output_dir: options.OutputDir = options.DEFAULT_OUTPUT_DIR,
    junit: options.JUnit = None,
    markdown: options.MarkdownPage = None,
    output: options.Output = options.Format.table,
) -> int:
    """Compare a candidate with a baseline, question by question.

    Says how large each difference is, how sure that is, and what follows.

    Exit code 4 where a gate of the sweep or a --fail-on condition is not met.
    """
    from finrag_eval.cli.display import has_colour, print_result, width, write_file, write_page
    from finrag_eval.compare.fail_on import parse_condition
    from finrag_eval.compare.junit import junit_xml
    from finrag_eval.comparisons import compare_sweeps, compare_within
    from finrag_eval.report.compare_markdown import compare_markdown
    from finrag_eval.report.compare_text import compare_text

    _check(sweep, baseline_sweep, candidate_sweep)
    conditions = [parse_condition(text) for text in fail_on or ()]
    if baseline_sweep is not None:
        report = compare_sweeps(
            output_dir,
            baseline_sweep,
            candidate_sweep or "latest",
            baseline=baseline,
            candidate=candidate,
            conditions=conditions,
            show=show,
            strict=strict,
        )
    else:
        report = compare_within(
            output_dir,
            sweep or "latest",
            baseline=baseline,
            candidate=candidate,
            conditions=conditions,
            show=show,
        )
    if output is options.Format.json:
        print_result(json.dumps(report.as_json(), indent=2))
    else:
        print_result(compare_text(report.as_json(), width=width(), colour=has_colour()))
    if junit is not None:
        write_file(junit, junit_xml({"name": "compare", **report.as_json()}))
    write_page(compare_markdown(report.as_json()), markdown)
    return 4 if any(not gate.passed for gate in report.gates) else 0


def _check(sweep: str | None, baseline_sweep: str | None, candidate_sweep: str | None) -> None:
    """Raises InvalidInput where the options ask for both kinds of comparison, or half of one."""
    from finrag_eval.errors import InvalidInput, Problem

    if sweep is not None and (baseline_sweep or candidate_sweep):
        message = "compares within a sweep, and the other options between two"
        fix = "leave it out, or give --baseline and --candidate"
        raise InvalidInput([Problem(file="command line", key="--sweep", message=message, fix=fix)])
    if candidate_sweep is not None and baseline_sweep is None:
        message = "there is no baseline to compare it with"
        fix = "add --baseline-sweep SWEEP_ID, or latest-passed"
        raise InvalidInput(
            [Problem(file="command line", key="--candidate-sweep", message=message, fix=fix)]
        )

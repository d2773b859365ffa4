"""``summary``: a sweep's summary and files again, from what was recorded."""

from __future__ import annotations

import typer

from finrag_eval.cli import options


def register(app: typer.Typer) -> None:
    app.command("summary")(summary)


def summary(
    sweep_id: options.SweepId,
    output_dir: options.OutputDir = options.DEFAULT_OUTPUT_DIR,
    junit: options.JUnit = None,
    markdown: options.MarkdownPage = None,
    output: options.Output = options.Format.table,
) -> int:
    """Make a sweep's summary and files again from its ledger. Prints the summary."""
    from finrag_eval.again import summary_again
    from finrag_eval.cli.display import show_result

    result = summary_again(sweep_id, output_dir=output_dir)
    return show_result(result, output, junit=junit, markdown=markdown)

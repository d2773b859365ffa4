"""What a running sweep shows on stderr, and how its result is printed on stdout."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from finrag_eval.cli.options import Format

if TYPE_CHECKING:
    from finrag_eval.progress import Progress
    from finrag_eval.session import SweepResult


class Watch:
    """A progress bar on a terminal, plain lines elsewhere, nothing at all when quiet.

    The bar's second line says what failed, what is under way and what was spent: beside the bar
    it would not fit 80 columns.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = not quiet and sys.stderr.isatty()
        self._bar: Any = None
        self._state: Any = None

    def notice(self, line: str) -> None:
        """Say one line without tearing the bar."""
        if self._quiet:
            return
        from finrag_eval.report.terminal import terminal_safe

        text = terminal_safe(line)
        with _unheard():
            if self._bar is not None:
                self._bar.write(text, file=sys.stderr)
            else:
                typer.echo(text, err=True)

    def start(self, what: str, *, total: int, done: int, unit: str = "trial") -> None:
        """Begin a bar of ``total`` steps of which ``done`` need not be done again."""
        self.close()
        if self._live:
            from tqdm import tqdm

            self._bar = tqdm(
                total=total,
                initial=done,
                desc=what,
                unit=f" {unit}s",
                dynamic_ncols=True,
                file=sys.stderr,
                smoothing=0.1,
                bar_format="{desc} {percentage:3.0f}% {bar:12} {n_fmt}/{total_fmt} "
                "{rate_noinv_fmt} ETA {remaining}",
            )

    def progress(self, now: Progress) -> None:
        """Show where the sweep is."""
        if self._bar is None:
            return
        with _unheard():
            self._show_state(now.line())
            self._bar.update(now.done - self._bar.n)

    def advance(self, done: int) -> None:
        """Show how many steps are done."""
        if self._bar is not None:
            with _unheard():
                self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Leave the last state of the bar on the screen."""
        for shown in (self._state, self._bar):
            if shown is not None:
                with _unheard():
                    shown.close()
        self._state = self._bar = None

    def _show_state(self, line: str) -> None:
        """Write the line under the bar."""
        if self._state is None:
            from tqdm import tqdm

            self._state = tqdm(
                position=1,
                leave=False,
                bar_format="  {desc}",
                dynamic_ncols=True,
                file=sys.stderr,
            )
        self._state.set_description_str(line, refresh=True)


def _unheard() -> suppress:
    """Talk that nobody hears: a terminal or a reader that went away stops no sweep."""
    return suppress(OSError)


def print_result(text: str) -> None:
    """Print to stdout; where its reader is gone, the exit code still tells how it went."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_result(
    result: SweepResult,
    output: Format,
    *,
    junit: Path | None = None,
    markdown: Path | None = None,
) -> int:
    """Print a sweep's summary and write what CI asked for; returns its exit code."""
    summary = result.summary
    if output is Format.json:
        print_result(json.dumps(summary, indent=2, allow_nan=False))
    else:
        from finrag_eval.report.terminal import run_report

        print_result(run_report(summary, folder=result.folder, width=width(), colour=has_colour()))
    write_for_ci(summary, junit=junit, markdown=markdown)
    return result.exit_code


def write_for_ci(summary: Mapping[str, Any], *, junit: Path | None, markdown: Path | None) -> None:
    """Write gates as JUnit XML and the summary as Markdown, also to GITHUB_STEP_SUMMARY."""
    if junit is not None:
        from finrag_eval.compare.junit import junit_xml

        write_file(junit, junit_xml(summary))
    from finrag_eval.report.markdown import summary_markdown

    write_page(summary_markdown(summary), markdown)


def write_file(path: Path, text: str) -> None:
    """Write a file that was asked for, and the folders that it lacks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_page(text: str, markdown: Path | None) -> None:
    """Write Markdown where it was asked for, and to GITHUB_STEP_SUMMARY where that is set."""
    if markdown is not None:
        write_file(markdown, text)
    if step_summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(step_summary).open("a", encoding="utf-8") as page:
            page.write(text)


def width() -> int:
    """Columns to print in: the terminal's, and 80 in a pipe."""
    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80


def has_colour() -> bool:
    """Whether stdout is a terminal that wants colour (NO_COLOR says no)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ

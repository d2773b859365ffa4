"""The program: every verb, and the one place where errors become exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from finrag_eval.errors import FinragEvalError, InvalidInput, Problem

#: The modules of the verbs, in the order of ``--help``, each with its verbs.
_MODULES = {
    "run": ("run", "resume"),
    "plan": ("plan",),
    "validate": ("validate",),
    "sweeps": ("sweeps",),
    "query": ("query",),
    "score": ("score",),
    "summary": ("summary",),
    "compare": ("compare",),
    "costs": ("costs",),
    "runs": ("runs",),
    "sync": ("sync",),
    "catalogue": ("models", "prompts"),
    "ui": ("ui",),
}

_TEACHING = """Evaluate LLM question answering over SEC filings, sweep by sweep.

First steps, offline and free:

\b
  finrag-eval run sweeps/quickstart.yaml     a whole sweep
  finrag-eval ui                             look at it in MLflow
  finrag-eval query -q "What was Apple's revenue in 2020?" -m rehearsal_kpi

A sweep of your own: copy a file of sweeps/, then `validate`, `plan` (what it will cost) and `run`.
If it stops, the same `run` goes on where it was; nothing is paid twice.
"""


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"finrag-eval {version('finrag-eval')}")
        raise typer.Exit


def program(verb: str | None = None) -> typer.Typer:
    """The program; with a verb, as much of it as that verb needs, which starts sooner."""
    app = typer.Typer(
        name="finrag-eval",
        help=_TEACHING,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_program)
    for module in [one for one, verbs in _MODULES.items() if verb in verbs] or _MODULES:
        import_module(f"finrag_eval.cli.{module}").register(app)
    return app


def _program(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an unexpected error."),
) -> None:
    if debug:
        os.environ["FINRAG_EVAL_DEBUG"] = "1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code of the contract, section 2."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        result = program(given[0])(given, standalone_mode=False, prog_name="finrag-eval")
    except typer.Exit as stop:
        return stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("interrupted", err=True)
        return 130
    except SystemExit:  # so typer says that nobody reads the output any more
        return 0
    except typer.TyperException as error:
        return _wrong_usage(error, as_json=_wants_json(given))
    except InvalidInput as error:
        return _wrong_input(error.problems, as_json=_wants_json(given))
    except FinragEvalError as error:
        if error.exit_code == 2:
            return _wrong_input([_as_problem(error)], as_json=_wants_json(given))
        typer.echo(f"finrag-eval: {error}", err=True)
        return error.exit_code
    except Exception as error:
        return _bug(error)
    return result if isinstance(result, int) else 0


def _wrong_usage(error: Exception, *, as_json: bool) -> int:
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "finrag-eval"
    problem = Problem(
        file="command line", message=message.rstrip("."), fix=f"see `{command} --help`"
    )
    return _wrong_input([problem], as_json=as_json)


def _wrong_input(problems: Sequence[Problem], *, as_json: bool) -> int:
    if as_json:
        typer.echo(json.dumps({"errors": [problem.as_json() for problem in problems]}, indent=2))
    for problem in problems:
        typer.echo(str(problem), err=True)
    return 2


def _as_problem(error: FinragEvalError) -> Problem:
    return Problem(file=str(getattr(error, "path", "sweep")), message=str(error), fix="")


def _bug(error: Exception) -> int:
    if os.environ.get("FINRAG_EVAL_DEBUG"):
        import traceback

        traceback.print_exc()
    else:
        typer.echo(
            f"finrag-eval: unexpected {type(error).__name__}: {error}\n"
            "  this is a bug; `finrag-eval --debug ...` shows where",
            err=True,
        )
    return 1


def _wants_json(arguments: Sequence[str]) -> bool:
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return any(
        one == "--format=json" or (one == "--format" and two == "json") for one, two in pairs
    )

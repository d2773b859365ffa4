"""Options that several verbs share, each written down once."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How results are printed: a table for people, one JSON document for programs."""

    table = "table"
    json = "json"


class EnvironmentName(StrEnum):
    """Where a run belongs."""

    development = "development"
    production = "production"


class Backend(StrEnum):
    """Which workers of joblib run the trials."""

    threading = "threading"
    loky = "loky"
    dask = "dask"


def can_be_written(path: Path | None) -> Path | None:
    """The path, if a file can be written there; folders that are missing are made when it is."""
    if path is None:
        return None
    folder = next(one for one in path.absolute().parents if one.exists())
    target = path if path.exists() else folder
    if path.is_dir() or not folder.is_dir() or not os.access(target, os.W_OK):
        raise typer.BadParameter(f"no file can be written at {path}")
    return path


JUnit = Annotated[
    Path | None,
    typer.Option(
        "--junit", metavar="FILE", callback=can_be_written, help="Gates as JUnit XML, for CI."
    ),
]
MarkdownPage = Annotated[
    Path | None,
    typer.Option(
        "--markdown",
        metavar="FILE",
        callback=can_be_written,
        help="The report as Markdown, for CI.",
    ),
]
SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP.yaml", help="The sweep spec.")]
SweepId = Annotated[
    str,
    typer.Argument(metavar="SWEEP_ID", help="A sweep's id, a unique beginning of it, or `latest`."),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Models and prices. Default: ml_config.yaml, found near."
    ),
]
OutputDir = Annotated[
    Path, typer.Option("--output-dir", metavar="DIR", help="Where sweeps keep their files.")
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        metavar="URI",
        help="MLflow store. Default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db.",
    ),
]
Experiment = Annotated[
    str | None, typer.Option("--experiment", "-e", metavar="NAME", help="MLflow experiment.")
]
EnvironmentOption = Annotated[
    EnvironmentName | None, typer.Option("--environment", help="Tag of every run.")
]
NoTracking = Annotated[bool, typer.Option("--no-tracking", help="Touch nothing of MLflow.")]
Output = Annotated[
    Format, typer.Option("--format", help="A table, or one JSON document on stdout.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no notices.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY.PATH=VALUE", help="Override one value of the spec. Repeatable."
    ),
]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", help="Only the first N queries of the set.")
]

DEFAULT_OUTPUT_DIR = Path("sweep_results")

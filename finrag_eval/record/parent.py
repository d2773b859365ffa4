"""What a sweep's own MLflow run will hold: the result in figures, in words and as files.

Enters: what the ledger and the sweep's folder know. Leaves: a ``RunPayload`` and the query set as
a dataset. Knows the contract, section 5; knows no store and no MLflow. A parent never carries a
child's metric name, so that summing a column over runs is right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finrag_eval.domain import Cell
from finrag_eval.provenance import user_name
from finrag_eval.record.cleaning import (
    MAX_TAG_CHARS,
    clean_metrics,
    clean_params,
    clean_run_name,
    clean_tags,
    clean_text,
    cut_note,
)
from finrag_eval.record.payload import (
    CUT_TAG,
    Content,
    RunPayload,
    RunStatus,
    name_time,
    plain_decimal,
    run_date,
)

#: MLflow's own word for how each sweep ended; the tag ``status`` has the exact one.
_STATUS: Mapping[str, RunStatus] = {
    "running": "RUNNING",
    "completed": "FINISHED",
    "partial": "FINISHED",
    "budget_stopped": "FINISHED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}
_SUMMARY_FILES = ("summary.json", "summary.csv", "summary.md", "report.html", "trials.parquet")
_NOTE = "mlflow.note.content"
_MAX_PARAMS = 100

#: The fact of a session, and the parent's tag, with the caps it runs under: those of its spec,
#: lowered to what budgets over time left. A tag, since a resumed sweep may have others.
CAPS = "caps"
_READ_FIRST = "Read `summary/report.html` under *Artifacts* first."


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepView:
    """A sweep as its ledger and its folder have it at this moment; instants in epoch seconds."""

    sweep_id: str
    name: str
    status: str
    started_at: float
    ended_at: float | None
    spec: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
    cells: Sequence[Cell] = ()
    trials_planned: int | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """A query set as MLflow shows a dataset; ``schema`` and ``profile`` are JSON."""

    name: str
    digest: str
    source: str
    schema: str
    profile: str


def parent_payload(view: SweepView) -> RunPayload:
    """The sweep's run; while it runs, and before it has a summary, what is known by then."""
    summary = _summary(view)
    changed: list[str] = []
    tags = clean_tags(_tags(view), changed)
    tags[_NOTE] = _description(view)
    params = clean_params(_params(view.spec), changed)
    metrics = clean_metrics(dict(_metrics(summary)), changed)
    name = clean_run_name(f"sweep_{name_time(view.started_at)}_{view.name}", changed)
    if changed:
        tags[CUT_TAG] = cut_note(changed)
    start_ms = int(view.started_at * 1000)
    ends = view.ended_at is not None and view.status != "running"
    return RunPayload(
        name=name,
        start_ms=start_ms,
        end_ms=max(start_ms, int((view.ended_at or 0) * 1000)) if ends else None,
        status=_STATUS[view.status],
        params=params,
        metrics=metrics,
        tags=tags,
        artifacts=_files(view),
    )


def dataset_facts(
    *, source: str, digest: str, rows: int, fields: Sequence[str] = ("id", "query")
) -> DatasetFacts:
    """The query set as a dataset: its file's name, its content's digest and how long it is."""
    columns = [{"type": "string", "name": name, "required": True} for name in fields]
    return DatasetFacts(
        name=clean_text(Path(source).stem or "query set")[:500],
        digest=digest[:36],
        source=json.dumps({"uri": clean_text(source)}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps({"num_rows": rows}),
    )


def config_yaml(cells: Iterable[Cell]) -> str:
    """``ml_config.yaml`` with the entries used, resolved prices included, as YAML in block style.

    Settings whose names speak of secrets never came into the ledger.
    """
    lines = ["serving_models:"]
    for cell in {cell.model.key: cell for cell in cells}.values():
        model = cell.model
        lines.append(f"  {json.dumps(model.key)}:")
        entry: dict[str, Any] = {
            "provider": model.provider,
            "model_id": model.model_id,
            "display_name": model.display_name,
            "max_tokens": model.max_tokens,
            "temperature": model.temperature,
            "top_p": model.top_p,
            "context_window": model.context_window,
            "price_as": model.price_as,
            **model.settings,
        }
        for name, value in entry.items():
            if value is not None:
                lines.append(f"    {json.dumps(name)}: {json.dumps(value, default=str)}")
        for name in model.prices.__dataclass_fields__:
            price = getattr(model.prices, name)
            if price is not None:
                lines.append(f"    {name}: {plain_decimal(price)}")
    return clean_text("\n".join(lines) + "\n")


def _summary(view: SweepView) -> Mapping[str, Any]:
    if view.folder is None or view.status == "running":
        return {}
    try:
        found = json.loads((view.folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _tags(view: SweepView) -> dict[str, str]:
    own = view.spec.get("tags") or {}
    tags = {str(k): str(v) for k, v in own.items() if not str(k).startswith("mlflow.")}
    bases = sorted({cell.model.cost_basis for cell in view.cells})
    tags |= {
        "status": view.status,
        "environment": str(view.spec.get("environment", "development")),
        "run_date": run_date(view.started_at),
        "finrag_eval.kind": "sweep",
        "finrag_eval.sweep_id": view.sweep_id,
        "finrag_eval.name": view.name,
        "mlflow.user": user_name(),
        "mlflow.source.name": "finrag-eval",
        "mlflow.source.type": "LOCAL",
    }
    if bases:
        tags["finrag_eval.cost_basis"] = bases[0] if len(bases) == 1 else "mixed"
    if judges := view.facts.get("judges"):
        tags["finrag_eval.judges"] = ", ".join(judges)
        is_free = all(entry.get("provider") == "rehearsal" for entry in judges.values())
        tags["finrag_eval.judge_cost_basis"] = "rehearsal" if is_free else "billed"
    if caps := view.facts.get(CAPS):
        tags[f"finrag_eval.{CAPS}"] = json.dumps(caps)
    for name, value in _plain_facts(view.facts):
        tags[f"finrag_eval.{name}"] = value
    if commit := tags.get("finrag_eval.git_commit"):
        tags["mlflow.source.git.commit"] = commit
    return tags


def _plain_facts(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Commit, dirty flag, digests and version: single values, wherever the facts have them."""
    wanted = {
        "git_commit": ("git_commit", "commit"),
        "git_dirty": ("git_dirty", "dirty"),
        "spec_digest": ("spec_digest", "spec"),
        "query_set_digest": ("query_set_digest", "query_set"),
        "retrieval_digest": ("retrieval_digest", "retrieval"),
        "version": ("version", "finrag-eval"),
    }
    places = [facts, *(value for value in facts.values() if isinstance(value, Mapping))]
    for name, keys in wanted.items():
        for place in places:
            value = next((place[key] for key in keys if place.get(key) is not None), None)
            if isinstance(value, (str, int, float)):
                yield name, str(value).lower() if isinstance(value, bool) else str(value)
                break


def _params(spec: Mapping[str, Any]) -> dict[str, str]:
    """The spec's leaves as ``budget.max_usd`` and the like; at most a hundred of them."""
    leaves = {key: value for key, value in _leaves(spec) if not key.startswith("tags.")}
    if len(leaves) <= _MAX_PARAMS:
        return leaves
    kept = dict(list(leaves.items())[: _MAX_PARAMS - 1])
    return {**kept, "more": f"{len(leaves) - len(kept)} more, in spec/sweep.yaml"}


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, (list, tuple)):
        yield key, ", ".join(_short_item(item) for item in value)
    elif value is not None:
        yield key, str(value)


def _short_item(item: Any) -> str:
    if isinstance(item, Mapping) and set(item) == {"system", "query"}:
        return f"{item['system']}/{item['query']}"
    if isinstance(item, Mapping) and len(item) == 1 and "name" in item:
        return str(item["name"])
    if isinstance(item, (Mapping, list, tuple)):
        return json.dumps(item, ensure_ascii=False, default=str)
    return str(item)


def _metrics(summary: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    """Totals first, then each cell's cost, latency and scores, so that they stand together."""
    for name, value in {
        **summary.get("totals", {}),
        **summary.get("budget", {}),
        "wall_seconds": summary.get("wall_seconds"),
    }.items():
        if _is_number(value):
            yield f"sweep/{name}", value
    for cell in summary.get("cells", ()):
        name, latency = cell["cell"], cell.get("latency_total_seconds") or {}
        yield f"{name}/cost_usd_total", (cell.get("cost_usd") or {}).get("total")
        yield f"{name}/latency_p50_seconds", latency.get("p50")
        yield f"{name}/latency_p95_seconds", latency.get("p95")
        yield f"{name}/trials_succeeded", cell.get("succeeded")
        yield f"{name}/trials_failed", cell.get("failed")
        for score, figures in (cell.get("scores") or {}).items():
            yield f"{name}/score.{score}", figures.get("mean")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _description(view: SweepView) -> str:
    """What the run's page says first: the result, where to read more, then the summary's words.

    MLflow folds a description after a few lines, so the result stands in the first of them. Its
    Markdown knows no ``\\$``, which summary.md needs elsewhere.
    """
    said = ""
    if view.folder is not None and view.status != "running":
        try:
            said = (view.folder / "summary.md").read_text(encoding="utf-8", errors="replace")
        except OSError:
            said = ""
    title, _, rest = said.strip().partition("\n\n")
    headline, _, details = (rest if title.startswith("# ") else said.strip()).partition("\n\n")
    blocks = (
        [headline, _READ_FIRST, details.replace(r"\$", "$")] if headline else [_in_progress(view)]
    )
    ending = _where_to_look(view)
    room = MAX_TAG_CHARS - len(ending) - 80
    opening = clean_text("\n\n".join(block for block in blocks if block))
    return clean_text(f"{_whole_blocks(opening, room)}\n\n{ending}")


def _whole_blocks(text: str, room: int) -> str:
    """As many whole paragraphs as there is room for, and a word where some are left out."""
    if len(text) <= room:
        return text
    kept = ""
    for block in text.split("\n\n"):
        if len(kept) + len(block) + 2 > room:
            break
        kept += block + "\n\n"
    return (kept.strip() or text[:room]) + "\n\n*The rest is in summary/summary.md.*"


def _in_progress(view: SweepView) -> str:
    cells = len(view.cells)
    planned = "" if view.trials_planned is None else f"{view.trials_planned} trials planned, "
    doing = "is running" if view.status == "running" else f"ended as {view.status}"
    return f"This sweep {doing}: {planned}{cells} {'cell' if cells == 1 else 'cells'}."


def _where_to_look(view: SweepView) -> str:
    return (
        "### Where to look\n\n"
        f"- every trial is a child run: ``tags.`finrag_eval.sweep_id` = '{view.sweep_id}'``\n"
        "- one cell: ``tags.`finrag_eval.cell` = 'MODEL.SYSTEM-QUERY'``; dear trials: "
        "``metrics.cost_usd > 0.01``; slow ones: ``metrics.latency_total_seconds > 30``; "
        "failed ones: ``tags.status = 'failed'``\n"
        "- artifacts of this run: `summary/report.html`, `summary/trials.parquet`, "
        "`spec/sweep.yaml`"
    )


def _files(view: SweepView) -> dict[str, Content]:
    files: dict[str, Content] = {}
    if view.cells:
        files["spec/ml_config.yaml"] = config_yaml(view.cells)
    if view.folder is None:
        return files
    own = {f"summary/{name}": view.folder / name for name in _SUMMARY_FILES}
    for path, source in {**own, "spec/sweep.yaml": view.folder / "sweep.yaml"}.items():
        if source.is_file() and (view.status != "running" or path.startswith("spec/")):
            files[path] = source
    return files

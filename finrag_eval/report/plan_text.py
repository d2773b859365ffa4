"""What ``plan`` prints: matrix, cells with ranges, money, time, and what can be found out.

Enters: the plan report. Leaves: text that fits the width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finrag_eval.report.figures import count, money, plural, score, seconds, share
from finrag_eval.report.grid import Column, Paint, grid, wrapped
from finrag_eval.report.safe_text import one_line

Report = Mapping[str, Any]


def plan_text(report: Report, *, width: int = 80) -> str:
    """The plan for people."""
    blocks = [
        _matrix(report, width),
        "\n".join(_cells(report, width)),
        *(wrapped(line, width) for line in _money(report)),
        *(wrapped(line, width) for line in _time(report)),
        *_power(report, width),
    ]
    return "\n".join(blocks)


def _matrix(report: Report, width: int) -> str:
    matrix = report["matrix"]
    lines = [
        f"{report['sweep']}: {plural(len(matrix['models']), 'model')} x "
        f"{plural(len(matrix['prompts']), 'prompt version')} x "
        f"{plural(matrix['queries'], 'query', 'queries')} x "
        f"{plural(matrix['repeats'], 'repeat')} = {plural(matrix['trials'], 'trial')}"
    ]
    if matrix["recorded"]:
        where = f" by {report['continues']}" if report["continues"] else ""
        lines.append(
            f"{count(matrix['recorded'])} of them are answered already{where}; "
            f"{count(matrix['left'])} are left"
        )
    if report["measured_share_of_queries"] < 1:
        lines.append(
            f"prompts of {report['measured_share_of_queries']:.0%} of the queries were measured "
            "(a seeded sample; --every-query measures all)"
        )
    return "\n".join([*(wrapped(line, width) for line in lines), ""])


def _cells(report: Report, width: int) -> Iterator[str]:
    columns = [
        Column(title="cell", is_name=True),
        Column(title="trials"),
        Column(title="tokens in"),
        Column(title="out"),
        Column(title="USD"),
        Column(title="5% to 95%"),
        Column(title="at worst"),
    ]
    rows = [
        [
            cell["cell"],
            count(cell["trials"]),
            count(round(cell["input_tokens"]["expected"])),
            count(round(cell["output_tokens"]["expected"])),
            money(cell["usd"]["expected"]),
            _range(cell["usd"]),
            money(cell["usd"]["worst"]),
        ]
        for cell in report["cells"]
    ]
    rows.append(
        [
            "all",
            count(sum(cell["trials"] for cell in report["cells"])),
            count(round(sum(cell["input_tokens"]["expected"] for cell in report["cells"]))),
            count(round(sum(cell["output_tokens"]["expected"] for cell in report["cells"]))),
            money(report["usd"]["expected"]),
            _range(report["usd"]),
            money(report["usd"]["worst"]),
        ]
    )
    yield from grid(columns, rows, width, Paint())
    yield ""
    for words in dict.fromkeys(f"{cell['fitted_on']}" for cell in report["cells"]):
        own = [cell["model_key"] for cell in report["cells"] if cell["fitted_on"] == words]
        yield wrapped(f"fitted on {words}: {', '.join(dict.fromkeys(own))}", width)
    for model_key, why in report["not_counted"].items():
        said = f"{model_key}: prompt tokens are estimated, not counted ({one_line(why, 200)})"
        yield wrapped(said, width)
    held = report["calibration"]
    if held["sweeps"]:
        yield (
            f"earlier estimates: the truth was inside the range in {held['inside_range']} of "
            f"{plural(held['sweeps'], 'sweep')}"
        )
    yield ""


def _money(report: Report) -> Iterator[str]:
    budget, gathering = report["budget"], report["retrieval_usd"]
    if gathering["worst"]:
        yield (
            f"All of it includes {money(gathering['expected'])} for retrieval "
            f"({money(gathering['worst'])} at worst)."
        )
    if any(cell["cost_basis"] == "rehearsal" for cell in report["cells"]):
        yield (
            "Rehearsal models bill nothing: their USD are what the same tokens would cost at the "
            "prices they name."
        )
    if budget["max_usd"] is None:
        yield "No budget.max_usd is set: nothing bounds the cost but the worst case."
        return
    cap = money(budget["max_usd"])
    if budget["covers_worst"]:
        yield f"The budget of {cap} covers the worst case."
    elif budget["covers_expected"]:
        yield (
            f"The budget of {cap} covers what is expected, and at worst "
            f"{count(budget['trials_covered_worst'])} trials; the sweep stops before it passes."
        )
    else:
        yield (
            f"The budget of {cap} covers about {count(budget['trials_covered_expected'])} trials "
            f"(at worst {count(budget['trials_covered_worst'])}); the sweep stops before it passes."
        )


def _time(report: Report) -> Iterator[str]:
    line = f"Time: about {seconds(report['seconds'])}, bound by {report['binds']}"
    if report["seconds"] > report["seconds_without_limits"]:
        line += f"; {seconds(report['seconds_without_limits'])} without limits"
    yield line + "."


def _power(report: Report, width: int) -> Iterator[str]:
    power = report["power"]
    if len(report["cells"]) < 2 or not power["metrics"]:
        return
    found = power.get("detect")
    yield ""
    yield wrapped(
        f"Differences between two cells that {plural(power['queries'], 'query', 'queries')} find "
        f"in 4 of 5 sweeps ({plural(power['comparisons'], 'comparison')}):",
        width,
    )
    columns = [Column(title="score", is_name=True), Column(title="finds"), Column(title="spread")]
    if found:
        columns.append(Column(title=f"queries for {found['delta']:g}"))
    columns.append(Column(title="spread from", is_left=True))
    rows = [
        [
            one["metric"].removeprefix("score."),
            score(one["mde"]),
            f"{one['spread']:.2f}",
            *([count(one["queries_needed"])] if found else []),
            one["spread_from"],
        ]
        for one in power["metrics"]
    ]
    yield from grid(columns, rows, width, Paint())
    if not all(one["is_recorded"] for one in power["metrics"]):
        yield wrapped(
            "assumed: two 0/1 scores that differ on a quarter of the queries; the first sweep that "
            "is compared with its baseline puts a recorded spread in its place",
            width,
        )
    if found:
        yield wrapped(_detected(found, power), width)
    for gate in power["tight_gates"]:
        yield wrapped(_tight(gate, power["queries"]), width, indent="  ", first="! ")


def _detected(found: Report, power: Report) -> str:
    takes = plural(found["queries_needed"], "query", "queries")
    has = f"the sweep has {count(power['queries'])}"
    which = "" if len(power["metrics"]) == 1 else " in every score"
    return (
        f"To find a difference of {found['delta']:g}{which} takes {takes} ({has}): about "
        f"{money(found['usd'])} and {seconds(found['seconds'])}."
    )


def _tight(gate: Report, queries: int) -> str:
    if gate["queries_needed"] is None:
        return (
            f"The gate '{gate['gate']}' asks for an improvement: a candidate that is as good as "
            "the baseline fails it, however many queries there are."
        )
    return (
        f"The gate '{gate['gate']}' is tighter than {plural(queries, 'query', 'queries')} can "
        f"decide: a candidate that is as good as the baseline passes it in "
        f"{share(gate['holds_if_equal'])} of sweeps; {count(gate['queries_needed'])} queries make "
        f"that 80% (spread {gate['spread']:.2f}, {gate['spread_from']})."
    )


def _range(usd: Mapping[str, Any]) -> str:
    return f"{money(usd['low'])} to {money(usd['high'])}"

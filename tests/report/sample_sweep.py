"""A made-up sweep in the contract's shape: same seed, same sweep. Figures are invented."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from finrag_eval.domain import Score
from finrag_eval.report.trial_view import TrialView

#: A summary and its trials.
Sweep = tuple[dict[str, Any], list[TrialView]]

COMPANIES = ("AAPL", "AMZN", "GOOGL", "META", "MSFT", "NFLX", "NVDA", "ORCL", "V", "WMT")
METRICS = ("revenue", "net income", "operating income", "total assets", "operating cash flow")
KINDS = ("easy", "medium", "hard")
FAULTS = (
    ("ThrottlingException", "llm_invocation", "Too many requests, please wait before trying again"),
    ("ReadTimeoutError", "llm_invocation", "no bytes for 300 s on the socket"),
    ("EmptyAnswer", "response_packaging", "the model ended its turn without any text"),
)
_SENTENCES = (
    "Revenue rose by {a} percent, mainly because volumes grew in the largest segment.",
    "Management puts the change down to currency effects and to a later start of the season.",
    "Cost of sales grew more slowly than sales, and the gross margin widened by {b} points.",
    "The company names concentration of suppliers and new rules on data as its main risks.",
    "Cash from operations paid for all capital spending and for the greater part of buybacks.",
    "Inventory provisions came to {a} million dollars, most of it for the previous generation.",
    "Deferred income grew with subscriptions, which are billed yearly and recognised monthly.",
)


@dataclass(frozen=True)
class Arm:
    """A cell of the sample: how well it answers, how fast, and at what prices per 1,000 tokens."""

    model_key: str
    model_id: str
    system: str
    right: float
    pace_s: float
    price_in: float
    price_out: float
    fails: float

    @property
    def cell(self) -> str:
        return f"{self.model_key}.{self.system}-v1"


ARMS = (
    Arm("development_CH45", "vendor.small-4-5", "v1", 0.71, 3.4, 0.001, 0.005, 0.012),
    Arm("development_CH45", "vendor.small-4-5", "v2", 0.80, 3.9, 0.001, 0.005, 0.012),
    Arm("production_balanced", "vendor.medium-4-5", "v1", 0.83, 7.9, 0.003, 0.015, 0.02),
    Arm("production_budget", "vendor.lite-1", "v1", 0.60, 1.7, 0.00006, 0.00024, 0.03),
)


def make_sweep(
    *,
    queries: int = 40,
    arms: Sequence[Arm] = ARMS,
    repeats: int = 1,
    seed: int = 7,
    passages: int = 6,
) -> Sweep:
    """A summary and its trials, query by query."""
    trials = list(make_trials(queries, arms, repeats, seed, passages))
    return make_summary(trials, arms, repeats=repeats), trials


def make_trials(
    queries: int, arms: Sequence[Arm], repeats: int, seed: int, passages: int
) -> Iterator[TrialView]:
    draw = random.Random(seed)
    for number in range(queries):
        asked = _question(number, draw, passages)
        for repeat in range(1, repeats + 1):
            for arm in arms:
                yield _trial(asked, arm, repeat, draw)


def _question(number: int, draw: random.Random, passages: int) -> TrialView:
    """A trial view that holds all that the cells share: the question and its context."""
    company, metric = draw.choice(COMPANIES), draw.choice(METRICS)
    year, kind = draw.randint(2016, 2023), draw.choices(KINDS, (5, 3, 2))[0]
    value = draw.uniform(0.4, 390)
    has_kpi = draw.random() > 0.12
    found = passages if draw.random() > 0.1 else draw.randint(0, 2)
    context = _context(company, metric, year, value if has_kpi else None, found, draw)
    return TrialView(
        run_name="",
        cell="",
        query_id=f"kpi-{number:04d}",
        question=f"What was {company}'s {metric} in fiscal {year}, and what explains its change?",
        status="success",
        expected=f"${value:,.1f} billion",
        context=context,
        system_prompt="You answer from the context alone and name the filing of every figure.",
        query_template="Context:\n{context}\n\nQuestion: {query}",
        kpi_matches_count=int(has_kpi),
        rag_chunks_count=found,
        answer_type="numeric",
        difficulty=kind,
        tickers=(company,),
        years=(year,),
        tags=("growth",) if number % 5 == 0 else (),
        more={"value": value},
    )


def _context(
    company: str,
    metric: str,
    year: int,
    value: float | None,
    passages: int,
    draw: random.Random,
) -> str:
    rule = "═" * 70
    shown = "(no values)" if value is None else f"{metric.title()}=${value:,.1f}B"
    parts = [
        f"{rule}\nKPI SNAPSHOT - METRIC PIPELINE OUTPUT\n{rule}\n\nScope:\n"
        f"  Companies (entities): {company}\n  Years (entities):     {year}\n\n"
        f"DETAILS BY COMPANY AND YEAR\n\n{company}:\n  {year}: {shown}\n",
        f"\n{rule}\nNARRATIVE CONTEXT - SEC FILINGS\n{rule}",
    ]
    for at in range(passages):
        section = draw.choice(("Item 7: Management Discussion & Analysis", "Item 1A: Risk Factors"))
        body = "\n\n".join(_sentence(draw) for _ in range(draw.randint(3, 9)))
        parts.append(
            f"=== [{company}] {company} INC | FY {year - at % 3} | Doc: {company}_10-K_{year} | "
            f"{section} | Sentences: {at * 10}-{at * 10 + 6} ===\n\n{body}\n\n"
        )
    return "\n".join(parts)


def _sentence(draw: random.Random) -> str:
    return draw.choice(_SENTENCES).format(a=draw.randint(2, 60), b=round(draw.uniform(0.1, 4), 1))


def _trial(asked: TrialView, arm: Arm, repeat: int, draw: random.Random) -> TrialView:
    name = f"query_20260301_020000_{arm.model_key}_{arm.system}-v1_{asked.query_id}"
    base = replace(
        asked,
        run_name=name,
        run_id=f"{draw.getrandbits(128):032x}",
        run_url="http://127.0.0.1:5000/#/experiments/1/runs/abc",
        trial_key=f"{draw.getrandbits(128):032x}",
        cell=arm.cell,
        repeat=repeat,
        started_at=1_772_330_400.0,
        latency_wait_seconds=max(0.0, draw.gauss(0.4, 0.8)),
        more={},
    )
    if draw.random() < arm.fails:
        kind, stage, message = draw.choice(FAULTS)
        wasted = Decimal("0.0031") if kind == "ReadTimeoutError" else Decimal(0)
        return replace(
            base,
            status="failed",
            error_type=kind,
            stage=stage,
            error_message=message,
            traceback=f"Traceback (most recent call last):\n  ...\n{kind}: {message}",
            retries=5,
            wasted_usd=wasted,
        )
    return _answered(base, asked, arm, draw)


def _answered(base: TrialView, asked: TrialView, arm: Arm, draw: random.Random) -> TrialView:
    value = asked.more["value"]
    ease = {"easy": 0.12, "medium": 0.0, "hard": -0.25}[asked.difficulty or "medium"]
    is_right = draw.random() < arm.right + ease - (0.3 if not asked.kpi_matches_count else 0)
    said = value if is_right else value * draw.uniform(0.5, 1.7)
    tokens_in = len(asked.context or "") // 4 + 300
    tokens_out = draw.randint(90, 420)
    llm = arm.pace_s * math.exp(draw.gauss(0, 0.45))
    grounded = min(1.0, max(0.0, draw.gauss(0.9 if is_right else 0.6, 0.15)))
    cost = Decimal(
        str(round(tokens_in * arm.price_in / 1000 + tokens_out * arm.price_out / 1000, 9))
    )
    return replace(
        base,
        answer=_answer(asked, said, draw),
        scores=(
            Score(
                name="numeric",
                value=float(is_right),
                explanation={"expected": value * 1e9, "found": said * 1e9, "tolerance": 0.005},
            ),
            Score(name="citation", value=round(grounded, 3)),
            Score(name="contains", unscored="the query has no key strings")
            if draw.random() < 0.1
            else Score(name="contains", value=float(draw.random() < arm.right)),
        ),
        stop_reason="end_turn",
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cache_read_tokens=0,
        cache_write_tokens=0,
        cost_usd=cost,
        latency_total_seconds=llm + 0.2,
        latency_retrieval_seconds=0.2,
        latency_llm_seconds=llm,
        retries=int(draw.random() < 0.05),
    )


def _answer(asked: TrialView, said: float, draw: random.Random) -> str:
    body = " ".join(_sentence(draw) for _ in range(draw.randint(2, 6)))
    company, year = asked.tickers[0], asked.years[0]
    return (
        f"## Direct answer\n\n{company} reported **${said:,.1f} billion** for fiscal {year} "
        f"[{company}, FY {year}, Item 7].\n\n## What explains it\n\n- {body}\n- {_sentence(draw)}"
    )


# ---- the summary, by simple formulas that are good enough to look at


def make_summary(
    trials: Sequence[TrialView], arms: Sequence[Arm], *, repeats: int = 1
) -> dict[str, Any]:
    cells = [_cell(arm, [one for one in trials if one.cell == arm.cell]) for arm in arms]
    failed = sum(one.status == "failed" for one in trials)
    cost = math.fsum(cell["cost_usd"]["total"] for cell in cells)
    wasted = float(sum((one.wasted_usd for one in trials), Decimal(0)))
    return {
        "schema_version": 1,
        "sweep_id": "20260301T020000Z-nightly-model-comparison-3f9a",
        "name": "nightly-model-comparison",
        "experiment": "FinRAG-Model-Comparison",
        "environment": "production",
        "parent_run_id": "0f" * 16,
        "tracking_uri": "sqlite:///mlflow.db",
        "status": "partial" if failed else "completed",
        "started_at": "2026-03-01T02:00:00Z",
        "ended_at": "2026-03-01T02:06:41Z",
        "wall_seconds": 401.2,
        "digests": {
            "spec": "5f0c9f7a11d2",
            "query_set": "9d4be02c77aa",
            "git_commit": "07a1d20",
            "git_dirty": False,
        },
        "totals": {
            "trials_planned": len(trials),
            "trials_succeeded": len(trials) - failed,
            "trials_failed": failed,
            "trials_not_run": 0,
            "cost_usd": cost,
            "input_tokens": sum(one.input_tokens or 0 for one in trials),
            "output_tokens": sum(one.output_tokens or 0 for one in trials),
        },
        "budget": {
            "max_usd": 5.0,
            "spent_usd": cost + wasted,
            "left_usd": 5.0 - cost - wasted,
            "wasted_usd": wasted,
            "saved_usd": 0.0,
        },
        "cells": cells,
        "comparisons": _comparisons(trials, arms),
        "gates": [
            {
                "sentence": f"score.numeric of {arms[-1].cell} against {arms[0].cell}: lower end "
                "of the difference's 95% interval 0.031, must lie above -0.02",
                "passed": True,
                "reason": "",
            },
            {
                "sentence": f"cost_usd of {arms[-1].cell} against {arms[0].cell}: upper end of the "
                "ratio's 95% interval 1.04, must lie below 1.2",
                "passed": True,
                "reason": "",
            },
        ],
        "slices": list(_slices(trials, arms)),
        "warnings": ["10 clusters only: intervals from fewer than 20 clusters are too narrow."],
    }


def _cell(arm: Arm, trials: Sequence[TrialView]) -> dict[str, Any]:
    good = [one for one in trials if one.status == "success"]
    costs = sorted(float(one.cost_usd or 0) for one in good)
    times = sorted(one.latency_total_seconds or 0 for one in good)
    return {
        "cell": arm.cell,
        "model_key": arm.model_key,
        "model_id": arm.model_id,
        "system_prompt_version": arm.system,
        "query_template_version": "v1",
        "trials": len(trials),
        "succeeded": len(good),
        "failed": len(trials) - len(good),
        "cost_usd": {
            "total": math.fsum(costs),
            "mean": _mean(costs),
            "p50": _quantile(costs, 0.5),
            "p95": _quantile(costs, 0.95),
            "per_1000_queries": None if not costs else 1000 * math.fsum(costs) / len(costs),
        },
        "latency_total_seconds": {
            "mean": _mean(times),
            **{f"p{q}": _quantile(times, q / 100) for q in (50, 90, 95, 99)},
            "max": max(times, default=None),
        },
        "input_tokens": sum(one.input_tokens or 0 for one in good),
        "output_tokens": sum(one.output_tokens or 0 for one in good),
        "kpi_matches_count": _mean([one.kpi_matches_count or 0 for one in good]),
        "rag_chunks_count": _mean([one.rag_chunks_count or 0 for one in good]),
        "scores": {name: _interval(values) for name, values in _scores(good).items()},
        "errors": dict(Counter(one.error_type for one in trials if one.error_type)),
        "flags": [],
    }


def _scores(trials: Sequence[TrialView]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for one in trials:
        for score in one.scores:
            if score.value is not None:
                found.setdefault(score.name, []).append(score.value)
    return found


def _interval(values: Sequence[float]) -> dict[str, Any]:
    mean = _mean(values)
    half = 1.96 * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {
        "mean": mean,
        "n": len(values),
        "ci_low": None if half is None or mean is None else max(0.0, mean - half),
        "ci_high": None if half is None or mean is None else min(1.0, mean + half),
    }


def _comparisons(trials: Sequence[TrialView], arms: Sequence[Arm]) -> list[dict[str, Any]]:
    found = []
    for arm in arms[1:]:
        for metric in ("score.numeric", "score.citation", "cost_usd", "latency_total_seconds"):
            before = _by_query(trials, arms[0].cell, metric)
            after = _by_query(trials, arm.cell, metric)
            both = [query for query in before if query in after]
            found.append(_comparison(metric, arms[0], arm, before, after, both))
    return found


def _comparison(
    metric: str,
    base: Arm,
    arm: Arm,
    before: Mapping[str, float],
    after: Mapping[str, float],
    both: Sequence[str],
) -> dict[str, Any]:
    gaps = [after[query] - before[query] for query in both]
    delta = _mean(gaps) or 0.0
    error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else 1.0
    p = min(1.0, 3 * math.erfc(abs(delta) / max(error, 1e-12) / math.sqrt(2)))
    is_score = metric.startswith("score.")
    ratio = (
        None
        if is_score or not both
        else math.fsum(after[q] for q in both) / math.fsum(before[q] for q in both)
    )
    verdict = "inconclusive"
    if p < 0.05:
        verdict = "better" if (delta > 0) == is_score else "worse"
    return {
        "metric": metric,
        "baseline": base.cell,
        "candidate": arm.cell,
        "n_pairs": len(both),
        "n_missing": max(len(before), len(after)) - len(both),
        "delta": delta,
        "ci_low": delta - 1.96 * error,
        "ci_high": delta + 1.96 * error,
        "ratio": ratio,
        "ratio_ci_low": None if ratio is None else ratio * 0.96,
        "ratio_ci_high": None if ratio is None else ratio * 1.04,
        "p_value": p / 3,
        "p_adjusted": p,
        "verdict": verdict,
        "mde": 3.1 * error,
        "queries_needed": 420 if verdict == "inconclusive" and is_score else None,
        "baseline_mean": _mean([before[query] for query in both]),
        "candidate_mean": _mean([after[query] for query in both]),
        "n_improved": sum(after[query] > before[query] for query in both),
        "n_worsened": sum(after[query] < before[query] for query in both),
        "improved": [query for query in both if after[query] > before[query]],
        "worsened": [query for query in both if after[query] < before[query]],
    }


def _by_query(trials: Sequence[TrialView], cell: str, metric: str) -> dict[str, float]:
    found = {}
    for one in trials:
        if one.cell != cell or one.status != "success":
            continue
        scores = {f"score.{score.name}": score.value for score in one.scores}
        value = scores.get(metric) if metric in scores else getattr(one, metric, None)
        if value is not None:
            found[one.query_id] = float(value)
    return found


def _slices(trials: Sequence[TrialView], arms: Sequence[Arm]) -> Iterator[dict[str, Any]]:
    views = {
        "difficulty": lambda one: (one.difficulty,),
        "ticker": lambda one: one.tickers,
        "tag": lambda one: one.tags,
    }
    for by, values in views.items():
        for value in sorted({value for one in trials for value in values(one)}):
            for arm in arms:
                part = [one for one in trials if one.cell == arm.cell and value in values(one)]
                for name, scores in _scores(part).items():
                    yield {
                        "by": by,
                        "value": value,
                        "cell": arm.cell,
                        "metric": f"score.{name}",
                    } | (_interval(scores))


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _quantile(values: Sequence[float], q: float) -> float | None:
    if not values:
        return None
    at = q * (len(values) - 1)
    low = math.floor(at)
    return values[low] + (values[min(low + 1, len(values) - 1)] - values[low]) * (at - low)

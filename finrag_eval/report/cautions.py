"""How a sweep ended, and what to keep in mind when reading its result.

Enters: a ``Sheet``. Leaves: plain sentences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from finrag_eval.report.figures import count, plural, share
from finrag_eval.report.sheet import Sheet

_MOST_KINDS = 3


def status_words(sheet: Sheet) -> str:
    """How the sweep ended, as a clause."""
    words = {
        "running": "is still running",
        "completed": "ran to its end",
        "partial": f"ran to its end; {plural(sheet.failed, 'trial')} failed",
        "budget_stopped": "was stopped by its budget",
        "interrupted": "was interrupted",
        "failed": "failed",
    }
    return words.get(sheet.status, sheet.status or "has no status")


def cautions(sheet: Sheet) -> Iterable[str]:
    """What the figures leave out, what failed and why, and what the statistics warn of."""
    if sheet.status not in {"completed", "partial", ""}:
        yield f"The sweep {status_words(sheet)}: these are the figures of what was done until then."
    if sheet.not_run:
        yield f"{plural(sheet.not_run, 'trial')} of {count(sheet.planned)} never ran."
    finished = sheet.succeeded + sheet.failed
    if sheet.failed and finished:
        yield (
            f"{plural(sheet.failed, 'trial')} of {count(finished)} failed "
            f"({share(sheet.failed / finished)}){_kinds(sheet)}; they count as failures, not as "
            "wrong answers."
        )
    yield from _noises(sheet)
    if sheet.is_rehearsal:
        yield (
            "Answers came from the rehearsal client: nothing was billed, and costs are what the "
            "same tokens would have cost at the configured prices."
        )
    yield from (_sentence(text) for text in dict.fromkeys(sheet.warnings))
    for cell in sheet.cells:
        yield from (f"{cell.name}: {flag}." for flag in cell.flags if flag not in sheet.warnings)


def _noises(sheet: Sheet) -> Iterable[str]:
    """For each score how much of its variance is the model's own noise, as repeats show it."""
    for name in sheet.score_names:
        told = [cell.scores[name].noise for cell in sheet.cells if name in cell.scores]
        known = [noise for noise in told if noise is not None]
        if known:
            least, most = share(min(known)), share(max(known))
            part = least if least == most else f"{least} to {most}"
            yield (
                f"{part} of the variance of {name} is the models' own noise: the same question, "
                "asked again."
            )


def _sentence(text: str) -> str:
    """A warning as a sentence: a capital first, a full stop last."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def failures_by_kind(sheet: Sheet) -> list[tuple[str, int]]:
    """Kinds of failures with their numbers, the most frequent first."""
    kinds: Counter[str] = Counter()
    for cell in sheet.cells:
        kinds.update(cell.errors)
    return sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))


def _kinds(sheet: Sheet) -> str:
    """``: 42 ThrottlingException, 24 TimeoutError``; empty where no kind is known."""
    kinds = failures_by_kind(sheet)
    parts = [f"{count(number)} {name}" for name, number in kinds[:_MOST_KINDS]]
    rest = sum(number for _, number in kinds[_MOST_KINDS:])
    parts += [f"{count(rest)} of other kinds"] if rest else []
    return f": {', '.join(parts)}" if parts else ""

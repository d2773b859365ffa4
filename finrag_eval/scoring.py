"""Scores for answers that are on disk, written behind them into the ledger.

Enters: outcomes with their ids. Leaves: one scoring an outcome. Never raises for what a scorer
does: a broken scorer is a score that says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from finrag_eval.domain import Outcome, Score, TrialRecord
from finrag_eval.job import SweepJob
from finrag_eval.record.ledger import Ledger, LedgerReader, is_redacted
from finrag_eval.score.scorers import build_scorers, make_ready, score_trial

#: Why an answer cannot be scored from the ledger.
NOT_KEPT = "its texts were not kept (redact)"


def lacks_text(result: Mapping[str, Any], *names: str) -> bool:
    """Whether one of these texts (``answer``, ``context``) was not kept when it was recorded."""
    return any(is_redacted(str(result.get(name))) for name in names)


class Scoring:
    """The job's scorers, and the ledger that their verdicts go into."""

    def __init__(self, job: SweepJob, ledger: Ledger) -> None:
        self._ledger = ledger
        self._scorers = build_scorers([one for one in job.spec.scorers if one.kind != "judge"])
        self._queries = {query.id: query for query in job.plan.query_set.queries}

    def make_ready(self) -> None:
        """Load the scorers' code, while there is nothing to score; what fails will fail again."""
        with suppress(Exception):
            make_ready(self._scorers)

    def take(self, outcome_id: int, outcome: Outcome) -> None:
        """Score one outcome, and write the scores behind it."""
        scores = self._scores(outcome.trial.query_id, outcome.result)
        self._ledger.append_scores(outcome_id, scores)

    def catch_up(self) -> None:
        """Score what an earlier session answered and had no time to score.

        Texts that were not kept cannot be scored any more: those scores say so.
        """
        with LedgerReader.open(self._ledger.folder) as reader:
            for outcome_id in reader.unscored():
                record = reader.record(outcome_id)
                scores = self._from_ledger(record, reader.result(outcome_id))
                self._ledger.append_scores(outcome_id, scores)

    def all_again(self) -> Iterator[int]:
        """Score every planned trial's newest answer again; how many are done, as they are.

        Scores that this job's scorers do not give are kept, and so are all scores of texts that
        were not kept.
        """
        own = {scorer.name for scorer in self._scorers}
        with LedgerReader.open(self._ledger.folder) as reader:
            for done, record in enumerate(reader.final_records(), 1):
                new = self._from_ledger(record, reader.result(record.outcome_id))
                kept = tuple(score for score in record.scores if score.name not in own)
                self._ledger.append_scores(record.outcome_id, kept + new)
                yield done

    def _from_ledger(self, record: TrialRecord, result: Mapping[str, Any]) -> tuple[Score, ...]:
        """The scores of a recorded result: those it has where its texts were not kept."""
        if not lacks_text(result, "answer", "context"):
            return self._scores(record.trial.query_id, result)
        given = {score.name: score for score in record.scores}
        names = [scorer.name for scorer in self._scorers]
        return tuple(given.get(name) or Score(name=name, unscored=NOT_KEPT) for name in names)

    def _scores(self, query_id: str, result: Mapping[str, Any]) -> tuple[Score, ...]:
        return score_trial(self._scorers, self._queries[query_id], result)

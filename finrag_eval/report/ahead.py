"""Trials packed for a page before the last of them is there.

Enters: finished trials, in any order. Leaves: a packer that knows the packs of all queries whose
trials were complete by then, and how much text those hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from finrag_eval.report.packs import Packer, Place, shown_prompt
from finrag_eval.report.sample import DistinctTexts, LongTexts, long_texts, opened
from finrag_eval.report.trial_view import Stamp, TrialView


class PackedAhead:
    """Packs queries whose trials are all there, while others are still being answered.

    It counts on every trial of the plan being there in the end; what turns out differently is
    packed again. ``texts`` are the long texts of each packed trial, and ``chars`` the characters
    of all.
    """

    def __init__(
        self,
        *,
        cells: Sequence[tuple[str, str | None, str | None]],
        score_names: Sequence[str],
        query_ids: Iterable[str],
        trials_per_query: int,
    ) -> None:
        """``cells`` are names with their system prompts and query templates."""
        prompts = (shown_prompt(text) for _, *texts in cells for text in texts if text is not None)
        self.packer = Packer(
            cells=tuple(name for name, *_ in cells),
            score_names=tuple(score_names),
            prompts=tuple(dict.fromkeys(prompts)),
        )
        self._places = {
            query_id: Place(query=at, first_row=at * trials_per_query)
            for at, query_id in enumerate(sorted(query_ids))
        }
        self._trials_per_query = trials_per_query
        self._waiting: dict[str, dict[tuple[str, int], TrialView]] = {}
        self.texts: dict[Stamp, LongTexts] = {}
        self.chars = 0

    def add(self, one: TrialView) -> None:
        """A trial that is finished; one that was there before is replaced."""
        asked = self._waiting.setdefault(one.query_id, {})
        asked[one.cell, one.repeat] = one
        if len(asked) == self._trials_per_query:
            self._pack(one.query_id, self._waiting.pop(one.query_id).values())

    def _pack(self, query_id: str, trials: Iterable[TrialView]) -> None:
        texts = DistinctTexts()
        asked = [opened(one) for one in self.packer.in_order(trials)]
        self.packer.packed(asked, self._places[query_id])
        for one in asked:
            if one.stamp is not None:
                self.texts[one.stamp] = long_texts(one)
                self.chars += texts.add(self.texts[one.stamp])

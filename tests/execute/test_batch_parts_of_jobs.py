"""Drafts of jobs and contexts on disk: small laws of their own."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from finrag_eval.domain import BatchRecord, Query, RetrievalSettings, Trial
from finrag_eval.execute.batch.drafts import Draft
from finrag_eval.execute.batch.pantry import Pantry
from finrag_eval.execute.batch.target import Prepared
from finrag_eval.execute.doorways import Carried, Ticket
from finrag_eval.synthesis_pipeline.kept_contexts import context_of_text, context_to_text
from finrag_eval.synthesis_pipeline.models import success_result
from finrag_eval.synthesis_pipeline.orchestrator import Pipeline
from finrag_eval.synthesis_pipeline.supply_lines import SupplyLines


def prepared(number: int) -> Prepared:
    trial = Trial(key=str(number), cell="c", query_id=str(number))
    return Prepared(
        ticket=Ticket(number=number, trial=trial, carried=Carried()),
        model_key="m",
        record=BatchRecord(trial_key=trial.key, cell="c", reserved_usd=Decimal(1)),
    )


def cuts(draft: Draft, folder: Path, *, is_whole: bool) -> list[list[str]]:
    """The keys of each job that may be made now; each file holds just its records."""
    jobs = []
    while count := draft.next_count(is_whole=is_whole):
        keys = [one.record.trial_key for one in draft.cut(count, folder / "job.jsonl")]
        lines = (folder / "job.jsonl").read_text().splitlines()
        assert [json.loads(line)["key"] for line in lines] == keys
        jobs.append(keys)
    return jobs


@settings(max_examples=20)
@given(
    count=st.integers(0, 60),
    fewest=st.integers(1, 5),
    above=st.integers(0, 20),
    most_bytes=st.sampled_from([10**9, 600]),
)
def test_jobs_are_within_their_quotas_and_hold_every_record_once(
    count: int, fewest: int, above: int, most_bytes: int
) -> None:
    most = 2 * fewest + above
    with TemporaryDirectory() as name:
        folder = Path(name)
        draft = Draft(folder / "draft", fewest=fewest, most=most, most_bytes=most_bytes)
        jobs = []
        for number in range(count):
            line = json.dumps({"key": str(number), "text": "x" * (number % 7)})
            draft.add(prepared(number), f"{line}\n".encode())
            jobs += cuts(draft, folder, is_whole=False)
        jobs += cuts(draft, folder, is_whole=True)
        left = [one.record.trial_key for one in draft.empty()]
        draft.close()
        assert [key for job in jobs for key in job] + left == [str(n) for n in range(count)]
        assert all(fewest <= len(job) <= most for job in jobs)
        assert len(left) < fewest
        if most_bytes == 10**9 and count >= fewest:
            assert left == []
        assert not (folder / "draft").exists()


def test_a_pantry_keeps_the_first_text_of_a_name_for_the_next_process(tmp_path: Path) -> None:
    first = Pantry(tmp_path / "batch" / "contexts.sqlite")
    first.put("q", "a context ≈ €\x00")
    first.put("q", "another")
    again = Pantry(tmp_path / "batch" / "contexts.sqlite")
    assert again.get("q") == "a context ≈ €\x00"
    assert again.get("other") is None
    first.close()
    again.close(remove=True)
    assert list((tmp_path / "batch").iterdir()) == []


def test_a_kept_context_makes_the_same_result() -> None:
    from execute_parts import model, reply

    lines = SupplyLines(RetrievalSettings())
    query = Query(id="q", query="What was Nvidia's revenue in 2020 and 2019?")
    context = Pipeline(lines).gather(query)
    kept = context_of_text(context_to_text(context))

    def result(of: object) -> dict[str, object]:
        made = success_result(
            query=query.query,
            context=of,  # type: ignore[arg-type]
            model=model(),
            reply=reply(),
            seconds=1.0,
        )
        del made["metadata"]["timestamp"]
        return made

    assert result(kept) == result(context)
    assert (kept.cost_usd, kept.seconds) == (context.cost_usd, context.seconds)

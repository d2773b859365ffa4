"""A report whose trials were read while the sweep went on, on a real ledger."""

from __future__ import annotations

from pathlib import Path

from sweep_place import Place, questions_text

from finrag_eval.job import job_of_ledger
from finrag_eval.reading_ahead import ReadingAhead
from finrag_eval.record.ledger import LedgerReader
from finrag_eval.record.run_book import recorded
from finrag_eval.report.ahead import PackedAhead
from finrag_eval.report.html import write_report_html
from finrag_eval.results import read_summary
from finrag_eval.trial_table import origin_of
from finrag_eval.trial_views import trial_views


def ran(place: Place) -> Path:
    (folder,) = (path for path in place.results.iterdir() if path.is_dir())
    return folder


def report(folder: Path, ahead: PackedAhead | None) -> bytes:
    """The report, made from the ledger."""
    store, summary = recorded(folder), read_summary(folder)
    assert store is not None
    assert summary is not None
    with LedgerReader.open(folder) as reader:
        origin = origin_of(job_of_ledger(reader), folder.name, store.parent_run_id)
        views = trial_views(reader, origin, store)
        write_report_html(folder / "again.html", summary, views, ahead=ahead)
    return (folder / "again.html").read_bytes()


def test_all_of_a_recorded_sweep_is_read_and_its_report_is_the_same(place: Place) -> None:
    place.write("questions.jsonl", questions_text(40))
    assert place.run("run", str(place.sweep())).code == 0
    folder = ran(place)
    ahead = ReadingAhead.begun(folder)
    assert ahead is not None
    try:
        steps = 0
        while ahead.step():
            steps += 1
        assert steps > 1
        assert len(ahead.packed.texts) == 160
        made = (folder / "report.html").read_bytes()
        assert report(folder, ahead.packed) == report(folder, None) == made
    finally:
        ahead.close()


def test_nothing_is_read_that_is_not_recorded(place: Place) -> None:
    assert place.run("run", str(place.sweep()), "--no-tracking").code == 0
    ahead = ReadingAhead.begun(ran(place))
    assert ahead is not None
    assert not ahead.step()
    assert not ahead.packed.texts
    ahead.close()


def test_a_sweep_with_judges_is_not_read_ahead(place: Place) -> None:
    judge = {"name": "judged", "kind": "judge", "model": "rehearsal_kpi", "rubric": "v1"}
    place.run("run", str(place.sweep(scorers=["numeric", judge])))
    assert ReadingAhead.begun(ran(place)) is None

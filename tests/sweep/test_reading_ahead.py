"""A report whose trials were read while the sweep went on, on a real ledger."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from finrag_eval.job import job_of_ledger
from finrag_eval.reading_ahead import ReadingAhead
from finrag_eval.record.ledger import LedgerReader
from finrag_eval.record.run_book import BOOK_FILE, recorded
from finrag_eval.report.ahead import PackedAhead
from finrag_eval.report.html import write_report_html
from finrag_eval.results import read_summary
from finrag_eval.trial_table import origin_of
from finrag_eval.trial_views import trial_views


@pytest.fixture
def folder(workplace: Path, tmp_path: Path) -> Path:
    """A finished sweep's folder, to be changed."""
    (finished,) = (one for one in (workplace / "sweep_results").iterdir() if one.is_dir())
    return Path(shutil.copytree(finished, tmp_path / finished.name))


def report(folder: Path, ahead: PackedAhead | None) -> bytes:
    """The report, made from the ledger."""
    store, summary = recorded(folder), read_summary(folder)
    assert store is not None
    assert summary is not None
    with LedgerReader.open(folder) as reader:
        origin = origin_of(job_of_ledger(reader), folder.name, store.parent_run_id)
        views = trial_views(reader, reader.final_records(), origin, store)
        write_report_html(folder / "again.html", summary, views, ahead=ahead)
    return (folder / "again.html").read_bytes()


def test_all_of_a_recorded_sweep_is_read_and_its_report_is_the_same(folder: Path) -> None:
    ahead = ReadingAhead.begun(folder)
    assert ahead is not None
    try:
        steps = 0
        while ahead.step():
            steps += 1
        assert steps > 1
        with LedgerReader.open(folder) as reader:
            assert len(ahead.packed.texts) == reader.counts().planned
        made = (folder / "report.html").read_bytes()
        assert report(folder, ahead.packed) == report(folder, None) == made
    finally:
        ahead.close()


def test_nothing_is_read_that_is_not_recorded(folder: Path) -> None:
    (folder / BOOK_FILE).unlink()
    ahead = ReadingAhead.begun(folder)
    assert ahead is not None
    assert not ahead.step()
    assert not ahead.packed.texts
    ahead.close()

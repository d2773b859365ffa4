"""What the report's tests share: a sample sweep, and a real browser that reads files from disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opened_page import Open, Opened
from sample_sweep import Sweep, make_sweep

from finrag_eval.report.html import write_report_html

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def sweep() -> Sweep:
    """A sweep of 4 cells and 40 questions."""
    return make_sweep(queries=40)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; tests are skipped where it or its driver is missing.

    For one module alone: as long as the driver runs, its event loop counts as this thread's.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install -e .[test]"
    )
    with api.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def pages(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The report of the sweep that most tests look at, written once."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    write_report_html(file, *sweep)
    return {id(sweep): file}


@pytest.fixture
def open_report(browser: Any, tmp_path: Path, pages: dict[int, Path]) -> Iterator[Open]:
    """Opens a sweep's report from disk, with the network off; ends with no complaint at all."""
    opened: list[Opened] = []

    def written(sweep: Sweep, **limits: int) -> Path:
        if id(sweep) in pages and not limits:
            return pages[id(sweep)]
        file = tmp_path / f"report-{len(opened)}.html"
        write_report_html(file, *sweep, **limits)
        return file

    def open_one(
        sweep: Sweep, *, width: int = 1280, scheme: str = "light", place: str = "", **limits: int
    ) -> Opened:
        file = written(sweep, **limits)
        context = browser.new_context(
            viewport={"width": width, "height": 860}, color_scheme=scheme, offline=True
        )
        one = Opened(page=context.new_page(), file=file)
        one.page.set_default_timeout(10_000)
        one.page.on("console", lambda said: one.complaints.append(f"{said.type}: {said.text}"))
        one.page.on("pageerror", lambda error: one.complaints.append(str(error)))
        one.page.on("dialog", lambda box: one.complaints.append(f"dialog: {box.message}"))
        one.page.on("request", lambda request: one.requests.append(request.url))
        one.page.goto(file.as_uri() + place)
        one.page.wait_for_selector("#found:not(:empty)")
        opened.append(one)
        return one

    yield open_one
    for one in opened:
        assert one.complaints == []
        assert [url for url in one.requests if not url.startswith(("file:", "blob:"))] == []
        one.page.context.close()

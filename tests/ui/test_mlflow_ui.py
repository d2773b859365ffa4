"""A finished sweep's page in MLflow's own UI, in headless Chromium, served by `finrag-eval ui`."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
_PATIENCE_MS = 180_000


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    raise AssertionError("MLflow's UI did not start")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; tests are skipped where it or its driver is missing."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    needs = "needs playwright: pip install -e .[test]"
    api = pytest.importorskip("playwright.sync_api", reason=needs)
    with api.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server(
    browser: Any, workplace: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of MLflow's UI on a workplace's store, which `finrag-eval ui` opened."""
    port = free_port()
    folder = tmp_path_factory.mktemp("ui") / "workplace"
    shutil.copytree(workplace, folder)
    env = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    with (folder.parent / "ui.log").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "finrag_eval", "ui", "--port", str(port)],
            cwd=folder,
            env=env,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def summary(workplace: Path) -> dict[str, Any]:
    (file,) = (workplace / "sweep_results").glob("*/summary.json")
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def window(browser: Any) -> Iterator[Any]:
    """One window for all tests: what it has fetched of MLflow's UI, it need not fetch again."""
    context = browser.new_context(viewport={"width": 1500, "height": 1000})
    yield context
    context.close()


@pytest.fixture
def page(window: Any, server: str, summary: dict[str, Any]) -> Iterator[Any]:
    """The sweep's page."""
    page = window.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    where = summary["parent_run_url"].partition("#")[2]
    page.goto(f"{server}/#{where}")
    page.get_by_text("Child runs", exact=True).wait_for()
    yield page
    page.close()


def test_the_page_says_first_what_came_of_the_sweep(page: Any, summary: dict[str, Any]) -> None:
    headline = page.locator("strong", has_text=summary["cells"][0]["cell"]).first
    headline.wait_for()
    place = headline.bounding_box()
    assert place is not None
    assert place["y"] < 300
    page.get_by_text("under Artifacts first").wait_for()
    assert "\\$" not in page.inner_text("body")


def test_the_page_lists_children_figures_and_the_query_set(page: Any) -> None:
    page.get_by_role("link", name="query_").first.wait_for()
    assert page.get_by_role("link", name="query_").count() >= 5
    page.get_by_text("sweep/cost_usd", exact=True).wait_for()
    page.get_by_text("core_kpi (").wait_for()


def test_a_child_opens_with_its_question_and_scores(page: Any) -> None:
    page.get_by_role("link", name="query_").first.click()
    page.get_by_text("score.numeric", exact=True).wait_for()
    page.get_by_text("query_preview", exact=True).wait_for()


def test_the_report_opens_among_the_artifacts(page: Any, summary: dict[str, Any]) -> None:
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("summary", exact=True).first.click()
    page.get_by_text("report.html", exact=True).first.click()
    report = page.frame_locator("iframe")
    report.locator("#found").wait_for()
    planned = summary["totals"]["trials_planned"]
    assert report.locator("#found").inner_text() == f"{planned} of {planned} trials"


def test_children_are_filtered_and_sorted_by_the_names_of_their_figures(
    page: Any, server: str, summary: dict[str, Any], workplace: Path
) -> None:
    with next((workplace / "sweep_results").glob("*/trials.csv")).open(encoding="utf-8") as file:
        dear = [row for row in csv.DictReader(file) if float(row["cost_usd"]) > 0.001]
    experiment = summary["parent_run_url"].partition("/experiments/")[2].partition("/")[0]
    asked = urllib.parse.urlencode(
        {
            "searchFilter": "metrics.cost_usd > 0.001 AND tags.`status` = 'success'",
            "orderByKey": "metrics.`cost_usd`",
            "orderByAsc": "false",
        }
    )
    page.goto(f"{server}/#/experiments/{experiment}/runs?{asked}")
    page.get_by_text(f"{len(dear)} matching runs").wait_for()
    dearest = max(dear, key=lambda row: float(row["cost_usd"]))
    first = page.get_by_role("link", name="query_").first
    first.wait_for()
    assert first.get_attribute("href").endswith(dearest["run_id"])

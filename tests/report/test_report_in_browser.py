"""report.html in headless Chromium, opened from disk with the network off.

``open_report`` fails any of these tests when the page says anything on the console, raises, opens
a dialog of the browser's own, or asks for anything that is not on disk.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from opened_page import Open, Opened
from sample_sweep import ARMS, Sweep, make_sweep

from finrag_eval.domain import Score

PHONE = 360


def table_column(one: Opened, selector: str, column: int) -> list[str]:
    cells = one.page.query_selector_all(f"{selector} tbody tr > :nth-child({column})")
    return [cell.inner_text().split("\n")[0] for cell in cells]


def trial_text(one: Opened) -> str:
    one.page.wait_for_selector("#trial[open] #trial-body > *")
    return str(one.page.inner_text("#trial"))


def test_the_page_opens_from_disk_and_says_what_came_of_it(open_report: Open, sweep: Sweep) -> None:
    one = open_report(sweep)
    assert "production_balanced.v1-v1" in one.page.inner_text("#result")
    assert one.page.inner_text("#found") == "160 of 160 trials"
    assert len(one.shown_rows()) == 50
    assert one.requests == [one.file.as_uri()]


def test_the_cells_table_is_sorted_by_a_click(open_report: Open, sweep: Sweep) -> None:
    one = open_report(sweep)
    one.page.click("table.cells thead button:has-text('numeric')")
    down = [float(text) for text in table_column(one, "table.cells", 3)]
    assert down == sorted(down, reverse=True)
    one.page.click("table.cells thead button:has-text('numeric')")
    assert [float(text) for text in table_column(one, "table.cells", 3)] == sorted(down)
    head = one.page.locator("table.cells thead th", has_text="numeric")
    assert head.get_attribute("aria-sort") == "ascending"


def test_trials_are_sorted_with_unknown_figures_last(open_report: Open, sweep: Sweep) -> None:
    one = open_report(sweep)
    one.page.click("#trials-head button:has-text('USD')")
    first = table_column(one, "#trials-table", 6)
    one.page.click("#trials-head button:has-text('USD')")
    cheap = table_column(one, "#trials-table", 6)
    assert first[0] == max(first, key=lambda text: float(text.strip("$")))
    assert float(cheap[0].strip("$")) < float(first[-1].strip("$"))
    while one.page.is_enabled("#page-on"):
        one.page.click("#page-on")
    assert table_column(one, "#trials-table", 6)[-1] == "–"


def test_trials_are_filtered_and_searched(open_report: Open, sweep: Sweep) -> None:
    one = open_report(sweep)
    trials = sweep[1]
    one.page.select_option("#filter-cell", label="D  production_budget.v1-v1")
    one.wait_for_found("40 of 160 trials")
    one.page.select_option("#filter-outcome", label="numeric: below 1")
    wrong = sum(
        trial.cell == ARMS[3].cell and bool(trial.scores) and trial.scores[0].value == 0
        for trial in trials
    )
    said = f"{wrong} of 160 trials"
    one.wait_for_found(said)
    one.page.click("#filters button[type=reset]")
    one.page.fill("#search", "kpi-0007 balanced")
    one.wait_for_found("1 of 160 trials")
    assert "kpi-0007" in one.shown_rows()[0]


def test_questions_on_which_cells_disagree_can_be_chosen(open_report: Open, sweep: Sweep) -> None:
    one = open_report(sweep)
    one.page.select_option("#filter-outcome", label="numeric: cells disagree")
    right: dict[str, set[float]] = {}
    for trial in sweep[1]:
        if trial.scores:
            right.setdefault(trial.query_id, set()).add(trial.scores[0].value or 0.0)
    split = sum(len(right.get(trial.query_id, ())) > 1 for trial in sweep[1])
    said = f"{split} of 160 trials"
    one.wait_for_found(said)


def test_a_failure_and_a_gap_lead_to_their_trials(open_report: Open, sweep: Sweep) -> None:
    one = open_report(sweep)
    one.page.click("#failures button.link >> nth=0")
    one.page.wait_for_selector("#trials-body tr.failed")
    assert all(
        "failed" in (row.get_attribute("class") or "")
        for row in one.page.query_selector_all("#trials-body tr")
    )
    one.page.click("#retrieval button.link >> nth=0")
    query = one.page.input_value("#search")
    assert all(query in row for row in one.shown_rows())


def test_an_opened_trial_shows_all_that_is_known_of_it(open_report: Open, sweep: Sweep) -> None:
    one = open_report(sweep)
    one.page.fill("#search", "kpi-0003 CH45.v2")
    one.wait_for_found("1 of 160 trials")
    one.page.click("#trials-body button.open")
    text = trial_text(one)
    trial = next(
        each for each in sweep[1] if each.query_id == "kpi-0003" and each.cell == ARMS[1].cell
    )
    for part in (trial.question, trial.expected, trial.run_name, trial.run_id, trial.trial_key):
        assert str(part) in text
    assert " ".join((trial.answer or "").split()) in " ".join(text.split())
    assert "DETAILS BY COMPANY AND YEAR" in text
    assert "tolerance" in text
    link = one.page.locator("#trial-body a", has_text="Open its MLflow run")
    assert link.get_attribute("href") == trial.run_url
    one.page.click("#trial summary:has-text('System prompt')")
    assert "You answer from the context alone" in one.page.inner_text("#trial")


def test_a_failed_trial_shows_its_stage_and_traceback(open_report: Open, sweep: Sweep) -> None:
    one = open_report(sweep)
    one.page.select_option("#filter-outcome", label="failed")
    one.page.wait_for_selector("#trials-body tr.failed")
    one.page.wait_for_selector("#trials-body tr:not(.failed)", state="detached")
    one.page.click("#trials-body button.open >> nth=0")
    assert " in llm_invocation" in trial_text(one) or " in response_packaging" in trial_text(one)
    one.page.click("#trial summary:has-text('Traceback')")
    assert "most recent call last" in one.page.inner_text("#trial")


def test_a_question_that_went_worse_opens_with_both_cells(open_report: Open, sweep: Sweep) -> None:
    one = open_report(sweep)
    one.page.click("#comparisons details summary >> nth=0")
    button = one.page.locator("#comparisons details[open] button").first
    query = button.inner_text()
    button.click()
    assert query in trial_text(one)
    one.page.wait_for_selector("#trial .two")
    assert one.page.locator("#trial .two .cell-line bdi").all_inner_texts() == [
        ARMS[1].cell,
        ARMS[0].cell,
    ]


def test_two_cells_stand_side_by_side_with_differences_marked(
    open_report: Open, sweep: Sweep
) -> None:
    one = open_report(sweep)
    one.page.click("#trials-body button.open >> nth=0")
    trial_text(one)
    one.page.select_option("#beside", index=1)
    one.page.wait_for_selector("#trial .two")
    boxes = one.page.query_selector_all("#trial .two .answer")
    assert len(boxes) == 2
    assert one.page.locator("#trial .two mark").count() > 0
    assert one.page.locator("#trial tr.differs").count() > 0
    assert "Both were given the same context." in one.page.inner_text("#trial")
    plain = one.page.evaluate(
        "() => [...document.querySelectorAll('.two .answer')].map(box => box.textContent)"
    )
    answers = {trial.answer for trial in sweep[1]}
    assert set(plain) <= answers


def test_equal_answers_are_said_to_be_equal_and_long_ones_are_not_marked(open_report: Open) -> None:
    summary, trials = make_sweep(queries=2)
    same = [
        replace(one, answer="The same.", status="success", error_type=None) for one in trials[:4]
    ]
    long = [
        replace(one, answer=" ".join(f"{at}{word}" for word in range(2_600)), status="success")
        for at, one in enumerate(trials[4:])
    ]
    one = open_report((summary, [*same, *long]), place="#trial=0&beside=1")
    assert "The answers are equal." in trial_text(one)
    one = open_report((summary, [*same, *long]), place="#trial=4&beside=5")
    assert "too long to mark their differences" in trial_text(one)


def test_the_keyboard_is_enough(open_report: Open, sweep: Sweep) -> None:
    one = open_report(sweep)
    one.page.focus("#trials-body button.open >> nth=0")
    one.page.keyboard.press("Enter")
    trial_text(one)
    one.page.keyboard.press("ArrowRight")
    one.page.locator("#trial .cell-line", has_text="v2-v1").wait_for()
    one.page.wait_for_url(re.compile("#trial=1$"))
    one.page.keyboard.press("Escape")
    one.page.wait_for_selector("#trial", state="hidden")
    one.page.wait_for_url(re.compile("#trials$"))  # the browser tells of the closing afterwards
    assert one.page.evaluate("document.activeElement.classList.contains('open')")


def test_a_trial_has_an_address_of_its_own(open_report: Open, sweep: Sweep) -> None:
    one = open_report(sweep, place="#trial=7")
    assert "kpi-0001" in trial_text(one)
    one = open_report(sweep, place="#trial=99999999")
    assert not one.page.is_visible("#trial")


@pytest.mark.parametrize("width", [PHONE, 1280])
def test_nothing_makes_the_page_scroll_sideways(open_report: Open, width: int) -> None:
    summary, trials = make_sweep(queries=6)
    word = "W" * 300
    long = {"question": word, "expected": word, "query_id": word[:80]}
    trials[:4] = [replace(one, **long, answer=word, status="success") for one in trials[:4]]
    one = open_report((summary, trials), width=width)
    excess = "name => ((box) => box.scrollWidth - box.clientWidth)(document.querySelector(name))"
    assert one.page.evaluate(excess, "html") <= 0
    one.page.locator("#trials-body button.open", has_text="WWW").first.click()
    trial_text(one)
    assert one.page.evaluate(excess, "html") <= 0
    assert one.page.evaluate(excess, "#trial") <= 0
    one.page.select_option("#beside", index=1)
    one.page.wait_for_selector("#trial .two")
    assert one.page.evaluate(excess, "#trial") <= 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (PHONE, "light")])
def test_axe_finds_nothing_serious(open_report: Open, width: int, scheme: str) -> None:
    needs = "needs axe-playwright-python: pip install -e .[test]"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=needs).Axe()
    one = open_report(make_sweep(queries=4), width=width, scheme=scheme)
    one.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert serious(axe.run(one.page)) == []
    one.page.click("#trials-body button.open >> nth=0")
    trial_text(one)
    one.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert serious(axe.run(one.page, context="#trial")) == []
    one.page.select_option("#beside", index=1)
    one.page.wait_for_selector("#trial .two")
    assert serious(axe.run(one.page, context="#trial")) == []


def serious(results: Any) -> list[str]:
    """The findings that matter, in a form that can be read in a failed test."""
    return [
        f"{found['id']}: {found['nodes'][0]['target']} {found['nodes'][0]['failureSummary']}"
        for found in results.response["violations"]
        if found["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_follows_the_system_until_the_reader_chooses(
    open_report: Open, sweep: Sweep, scheme: str
) -> None:
    one = open_report(sweep, scheme=scheme)
    paper = "() => getComputedStyle(document.body).backgroundColor"
    ground = {"light": "rgb(246, 245, 241)", "dark": "rgb(20, 22, 26)"}
    assert one.page.evaluate(paper) == ground[scheme]
    one.page.click("#theme")
    assert one.page.evaluate(paper) == ground["light"]
    one.page.click("#theme")
    assert one.page.evaluate(paper) == ground["dark"]
    one.page.reload()
    assert one.page.evaluate(paper) == ground["dark"]


HOSTILE = (
    "</script><script>console.error('ran')</script><img src=x onerror=\"console.error('ran')\">"
    "<svg onload=console.error('ran')><a href='javascript:console.error(1)'>x</a>"
    " \x1b[2J\x1b[31mred \u202eright to left\u202c zero\u200bwidth \u2028 \x00 {{7*7}} ${7*7}"
)


def test_hostile_text_does_nothing_and_can_be_read(open_report: Open) -> None:
    summary, trials = make_sweep(queries=2)
    summary["name"] = summary["experiment"] = summary["warnings"][0] = HOSTILE
    summary["cells"][0]["model_id"] = HOSTILE
    evil = replace(
        trials[0],
        question=HOSTILE,
        answer=HOSTILE,
        expected=HOSTILE,
        context=f"=== {HOSTILE} ===\n{HOSTILE}",
        system_prompt=HOSTILE,
        query_template=HOSTILE,
        run_name=HOSTILE,
        run_url="javascript:console.error('ran')",
        tags=(HOSTILE,),
        tickers=(HOSTILE,),
        difficulty=HOSTILE,
        status="success",
        kpi_matches_count=0,
        scores=(Score(name=HOSTILE, unscored=HOSTILE, explanation={HOSTILE: HOSTILE}),),
    )
    failed = replace(
        evil,
        cell=trials[1].cell,
        status="failed",
        error_type=HOSTILE,
        error_message=HOSTILE,
        stage=HOSTILE,
        traceback=HOSTILE,
    )
    one = open_report((summary, [evil, failed, *trials[2:]]), place="#trial=0")
    text = trial_text(one)
    assert "</script><script>console.error('ran')</script>" in text
    assert "␛[2J" in text
    assert "U+202E" in text
    assert "U+200B" in text
    assert "\u202e" not in text
    one.page.select_option("#beside", index=1)
    one.page.wait_for_selector("#trial .two")
    one.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    scripts = one.page.evaluate("() => document.querySelectorAll('script:not([id])').length")
    assert scripts == 1
    assert one.page.locator("img, a[href^='javascript' i], svg[onload]").count() == 0


def test_a_right_to_left_answer_stays_in_its_box(open_report: Open) -> None:
    summary, trials = make_sweep(queries=1)
    hebrew = "ההכנסות היו 10.9 מיליארד דולר"
    one = open_report(
        (summary, [replace(trials[0], answer=hebrew, status="success")]), place="#trial=0"
    )
    trial_text(one)
    box = "getComputedStyle(document.querySelector('#trial .answer'))"
    assert one.page.evaluate(f"() => {box}.direction") == "rtl"
    assert (
        one.page.evaluate("() => getComputedStyle(document.querySelector('#trial-body')).direction")
        == "ltr"
    )


def test_an_answer_of_a_megabyte_is_folded_and_said_to_be_cut(open_report: Open) -> None:
    summary, trials = make_sweep(queries=1)
    huge = replace(trials[0], answer="long " * 200_000, status="success")
    one = open_report((summary, [huge, *trials[1:]]), place="#trial=0")
    assert "[cut here: 980,000 of 1,000,000 characters are not on this page]" in trial_text(one)
    height = one.page.evaluate("() => document.querySelector('#trial .answer').clientHeight")
    assert height < 860
    assert one.file.stat().st_size < 2_000_000


def test_two_thousand_trials_are_listed_by_the_page_and_kept_smooth(open_report: Open) -> None:
    one = open_report(make_sweep(queries=500))
    assert one.page.inner_text("#found") == "2,000 of 2,000 trials"
    assert len(one.shown_rows()) == 50
    nodes = one.page.evaluate("() => document.querySelectorAll('*').length")
    assert nodes < 12_000
    one.page.click("#page-on")
    assert one.page.inner_text("#page-words") == "51 to 100 of 2,000"


def test_a_sample_is_stated_and_all_its_trials_open(open_report: Open) -> None:
    one = open_report(make_sweep(queries=30), max_trials=20)
    assert "20 of 120 trials: every trial of 5 of 30 questions" in one.page.inner_text("#trials")
    one.page.click("#trials-body button.open >> nth=19")
    assert "Question" in trial_text(one)


def test_a_question_has_room_beside_many_scores(open_report: Open) -> None:
    summary, trials = make_sweep(queries=3)
    more = tuple(Score(name=f"score_{at}", value=1.0) for at in range(4))
    one = open_report((summary, [replace(trial, scores=more) for trial in trials]))
    box = one.page.locator("#trials-body .question").first.bounding_box()
    assert box is not None
    assert box["width"] > 250


def test_reasons_beside_each_other_are_whole_words_on_a_phone(open_report: Open) -> None:
    one = open_report(make_sweep(queries=3), width=PHONE, place="#trial=0&beside=1")
    widths = one.page.eval_on_selector_all(
        ".both .why dd", "all => all.map(one => one.getBoundingClientRect().width)"
    )
    assert widths
    assert min(widths) > 90


def test_repeats_are_told_apart(open_report: Open) -> None:
    one = open_report(make_sweep(queries=3, repeats=2), place="#trial=0")
    assert "repeat 1" in trial_text(one)
    options = one.page.locator("#beside option").all_inner_texts()
    assert len(options) == 8
    assert any("repeat 2" in option for option in options)


def test_it_works_in_the_sandboxed_frame_of_an_artifact_viewer(
    open_report: Open, sweep: Sweep
) -> None:
    one = open_report(sweep)
    frame = (
        f'<iframe sandbox="allow-scripts" width="900" height="700" src="{one.file.name}"></iframe>'
    )
    viewer = one.file.with_name("viewer.html")
    viewer.write_text(frame, encoding="utf-8")
    one.page.goto(viewer.as_uri())
    inside = one.page.frame_locator("iframe")
    inside.locator("#trials-body button.open").first.click()
    inside.locator("#trial[open] .asked").wait_for()
    inside.locator("#trial-close").click()
    inside.locator("#theme").click()
    assert inside.locator("#theme-word").inner_text() == "light"


def test_tables_hardly_shrink_a_printed_page(open_report: Open, sweep: Sweep) -> None:
    one = open_report(sweep, width=688)
    one.page.emulate_media(media="print")
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 760


def test_it_prints_in_light_colours_without_its_controls(open_report: Open, sweep: Sweep) -> None:
    one = open_report(sweep, scheme="dark")
    one.page.emulate_media(media="print")
    assert not one.page.is_visible("#filters")
    assert not one.page.is_visible(".sections")
    assert one.page.is_visible("#trials-table")
    ink = one.page.evaluate("() => getComputedStyle(document.body).color")
    assert ink == "rgb(27, 31, 39)"
    assert one.page.pdf().startswith(b"%PDF")

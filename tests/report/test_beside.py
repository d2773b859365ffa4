"""Work in a process beside this one: its result, whatever becomes of that process."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from sample_sweep import Sweep

from finrag_eval.report.beside import Beside
from finrag_eval.report.html import report_html

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux alone")


@on_linux
def test_work_is_done_in_another_process_while_this_one_goes_on() -> None:
    with Beside(os.getpid, may_fork=True) as beside:
        assert beside.result() != os.getpid()


def test_without_leave_to_fork_it_is_done_here() -> None:
    with Beside(os.getpid, may_fork=False) as beside:
        assert beside.result() == os.getpid()


@on_linux
def test_a_long_answer_comes_whole() -> None:
    with Beside(lambda: "x" * 5_000_000, may_fork=True) as beside:
        time.sleep(0.2)  # by then the pipe is full
        assert beside.result() == "x" * 5_000_000


@on_linux
def test_a_process_that_is_killed_leaves_the_work_to_this_one() -> None:
    here = os.getpid()

    def work() -> str:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return "done here"

    with Beside(work, may_fork=True) as beside:
        assert beside.result() == "done here"


@on_linux
def test_an_answer_that_does_not_pickle_is_made_here() -> None:
    with Beside(lambda: lambda: 1, may_fork=True) as beside:
        assert beside.result()() == 1


def test_what_the_work_raises_is_raised_here() -> None:
    def work() -> None:
        raise ValueError("no such colour")

    with Beside(work, may_fork=True) as beside, pytest.raises(ValueError, match="no such colour"):
        beside.result()


@on_linux
def test_nobody_is_left_behind_where_the_result_is_not_asked_for() -> None:
    with Beside(lambda: time.sleep(60), may_fork=True) as beside:
        assert beside._child is not None
        process = beside._child[0]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_report_drawn_beside_is_the_same_report(sweep: Sweep) -> None:
    assert report_html(*sweep, may_fork=True) == report_html(*sweep)

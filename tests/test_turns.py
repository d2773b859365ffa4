"""Turns at computing: one thread at a time, the urgent ones first, and none waits for ever."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from finrag_eval.turns import Turns

_PATIENCE_S = 30.0


def in_threads(number: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(one,), daemon=True) for one in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads)


@contextmanager
def held_by_another(turns: Turns) -> Iterator[None]:
    """While this context lasts, another thread sleeps with its turn."""
    is_asleep, is_over = threading.Event(), threading.Event()

    def sleep() -> None:
        with turns.computing():
            is_asleep.set()
            is_over.wait(_PATIENCE_S)

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    assert is_asleep.wait(_PATIENCE_S)
    yield
    is_over.set()
    sleeper.join(_PATIENCE_S)


def until_waiting(turns: Turns, number: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while turns.waiting < number:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_one_thread_computes_at_a_time_wherever_they_go_between() -> None:
    turns = Turns(_PATIENCE_S)
    inside: list[int] = []
    seen: list[int] = []

    def compute(own: int, rng: random.Random) -> None:
        inside.append(own)
        seen.append(len(inside))
        time.sleep(rng.random() / 1000)
        inside.remove(own)

    def work(own: int) -> None:
        rng = random.Random(own)
        for _ in range(10):
            with turns.computing():
                compute(own, rng)
                with turns.away():
                    time.sleep(rng.random() / 1000)
                compute(own, rng)
                turns.give()
                time.sleep(rng.random() / 1000)
                turns.take()
                compute(own, rng)

    in_threads(8, work)
    assert seen == [1] * (8 * 10 * 3)


def test_who_comes_back_goes_before_those_who_begin() -> None:
    turns = Turns(_PATIENCE_S)
    order: list[str] = []
    is_away, may_come_back = threading.Event(), threading.Event()

    def goes_away() -> None:
        with turns.computing():
            with turns.away():
                is_away.set()
                may_come_back.wait(_PATIENCE_S)
            order.append("back")

    def begins() -> None:
        with turns.computing():
            order.append("new")

    threads = [threading.Thread(target=goes_away)]
    threads[0].start()
    is_away.wait(_PATIENCE_S)
    with turns.computing():
        for _ in range(3):
            threads.append(threading.Thread(target=begins))
            threads[-1].start()
        until_waiting(turns, 3)
        may_come_back.set()
        until_waiting(turns, 4)
    for thread in threads:
        thread.join(_PATIENCE_S)
    assert order == ["back", "new", "new", "new"]


def test_a_thread_that_sleeps_with_its_turn_holds_nobody_up_for_ever() -> None:
    turns = Turns(patience_s=0.05)
    with held_by_another(turns):
        done: list[int] = []

        def work(own: int) -> None:
            with turns.computing(), turns.away():
                done.append(own)

        in_threads(4, work)
        assert sorted(done) == [0, 1, 2, 3]
    # Nobody who gave up waiting was handed the turn: it is there for the next one.
    assert turns.waiting == 0
    with turns.computing():
        assert turns.give()


def test_outside_of_its_work_a_thread_waits_for_no_turn_and_has_none() -> None:
    turns = Turns(_PATIENCE_S)
    with held_by_another(turns):
        turns.take()
        with turns.away():
            pass
        assert not turns.give()

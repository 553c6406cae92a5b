"""Runs in the background: none is forgotten, whatever is thrown into whoever began it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab_storage._transport import background
from lab_storage._transport.background import Background
from lab_storage._transport.exchange import Exchange
from tests.support.labs import timeout_of
from tests.support.states import wait_for

ROUNDS = 300


class InterruptionError(Exception):
    """What a signal handler throws."""


@pytest.fixture
def _interrupting() -> Iterator[None]:
    """A signal comes again and again, and its handler raises."""

    def handle(*_: object) -> None:
        raise InterruptionError

    before = signal.signal(signal.SIGALRM, handle)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


# Of `Thread.start`, when it is interrupted.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("_interrupting")
def test_interruptions_leave_no_run_behind() -> None:
    """Later callers never wait for one that nobody runs."""
    runs = Background("lab_storage-test", 2)
    interrupted = 0
    for number in range(ROUNDS):
        try:
            signal.setitimer(signal.ITIMER_REAL, 1e-5 * (1 + number % 40))
            # CPython drops an exception that is raised while an object is being finalized.
            until = time.monotonic() + 1
            while time.monotonic() < until:
                runs.run("key", threading.get_ident, Exchange(timeout_of(10), 10), 10)
        except InterruptionError:
            interrupted += 1
    signal.setitimer(signal.ITIMER_REAL, 0)

    assert interrupted >= 0.9 * ROUNDS
    assert runs.run("key", lambda: 7, Exchange(timeout_of(5), 5), 5).value is not None
    wait_for(lambda: len(runs._places) == 2)
    assert {} == runs._runs


def test_more_than_there_are_places_all_get_done() -> None:
    """One after another, by as many threads as there may be."""
    runs, seen = Background("lab_storage-test", 3), set()

    def run(number: int) -> int:
        seen.add(threading.current_thread().ident)
        return number

    def ask(number: int) -> int:
        exchange = Exchange(timeout_of(20), 20)
        return runs.run(number % 50, lambda: run(number % 50), exchange, 20).result()

    with ThreadPoolExecutor(20) as threads:
        assert [number % 50 for number in range(500)] == list(threads.map(ask, range(500)))
    assert len(seen) <= 3 + 1
    wait_for(lambda: len(runs._places) == 3)


def test_error_without_another_thread_is_the_callers_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that waited for it try for themselves."""
    monkeypatch.setattr(background, "start_thread", lambda _: False)
    runs = Background("lab_storage-test", 3)
    entered, release, calls = threading.Event(), threading.Event(), []

    def run() -> int:
        calls.append(1)
        if len(calls) == 1:
            entered.set()
            release.wait(10)
            raise InterruptionError
        return 7

    def ask() -> background.Run[int]:
        return runs.run("key", run, Exchange(timeout_of(20), 20), 20)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(ask)
        assert entered.wait(5)
        second = threads.submit(ask)
        wait_for(lambda: len(runs._runs["key"].waiting) == 1)
        release.set()

        assert isinstance(first.result().error, InterruptionError)
        assert 7 == second.result().result()

"""Tasks side by side: results, errors, and that nobody waits for anybody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from lab_storage import KubernetesError, OperationCancelledError, OperationTimeoutError, Timeout
from lab_storage._api.call import Call
from lab_storage._api.workers import Workers
from tests.support.calls import call_of
from tests.support.labs import timeout_of
from tests.support.limits import LIMIT_SECONDS
from tests.support.states import wait_for

Task = Callable[[Call], Any]


def helpers() -> list[threading.Thread]:
    """Give the threads that help."""
    return [each for each in threading.enumerate() if each.name == "lab_storage-worker"]


@pytest.fixture(autouse=True)
def _none_is_left() -> Any:
    """After each test, all have ended."""
    wait_for(lambda: not helpers())
    yield
    wait_for(lambda: not helpers())


@pytest.fixture
def timeout() -> Timeout:
    """A far deadline."""
    return timeout_of(30)


@pytest.fixture
def call(timeout: Timeout, logger: Any) -> Call:
    """What the tasks are parts of."""
    return call_of(timeout, logger)


def giving(value: Any) -> Task:
    """Make a task that gives something."""
    return lambda _: value


def failing(error: BaseException) -> Task:
    """Make a task that raises."""

    def task(_: Call) -> None:
        raise error

    return task


def waiting(call: Call) -> None:
    """Wait until the call is over."""
    call.sleep(60)


class TestRun:
    """What comes of the tasks."""

    @pytest.mark.parametrize("most", [0, 1, 2, 32])
    def test_gives_the_results_in_order(self, most: int, call: Call) -> None:
        """With as many workers as there are."""
        assert [*range(9)] == Workers(most).run(call, [giving(n) for n in range(9)])

    def test_of_nothing_gives_nothing(self, call: Call) -> None:
        """And starts nothing."""
        assert [] == Workers().run(call, [])

    def test_runs_them_at_once(self, call: Call) -> None:
        """As many as there are workers, and one in the caller's thread."""
        gate = threading.Barrier(4)
        places = Workers(3).run(call, [lambda _: gate.wait(10)] * 4)

        assert [0, 1, 2, 3] == sorted(places)

    def test_one_task_runs_in_the_callers_thread(self, call: Call) -> None:
        """It needs no other."""
        assert [threading.get_ident()] == Workers().run(call, [lambda _: threading.get_ident()])

    def test_never_starts_more_than_the_bound(self, call: Call) -> None:
        """For all callers together; whoever finds none does it all alone."""
        workers, busy, most = Workers(2), threading.Event(), []

        def task(_: Call) -> int:
            most.append(len(helpers()))
            busy.wait(10)
            return 1

        callers = [threading.Thread(target=workers.run, args=(call, [task] * 3)) for _ in range(3)]
        for caller in callers:
            caller.start()
        wait_for(lambda: len(most) == 5)
        busy.set()
        for caller in callers:
            caller.join(10)

        assert (9, 2) == (len(most), max(most))

    def test_frees_its_workers(self, call: Call) -> None:
        """However its tasks end."""
        workers = Workers(2)
        for _ in range(20):
            with pytest.raises(KubernetesError):
                workers.run(call, [failing(KubernetesError("no"))] * 3)
        wait_for(lambda: not helpers())
        gate = threading.Barrier(3)

        assert [0, 1, 2] == sorted(workers.run(call, [lambda _: gate.wait(10)] * 3))

    def test_takes_what_structlog_has_bound_along(self, call: Call) -> None:
        """A log line of a worker tells what the caller's would."""
        with structlog.contextvars.bound_contextvars(request="4711"):
            gate = threading.Barrier(3)

            def task(_: Call) -> Any:
                gate.wait(10)
                return structlog.contextvars.get_contextvars()

            bound = Workers().run(call, [task] * 3)

        assert [{"request": "4711"}] * 3 == bound

    def test_does_without_threads_that_the_system_does_not_give(
        self, call: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It only takes longer."""

        def start(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        workers = Workers(2)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            alone = workers.run(call, [giving(n) for n in range(3)])
        gate = threading.Barrier(3)

        assert [0, 1, 2] == alone
        assert [0, 1, 2] == sorted(workers.run(call, [lambda _: gate.wait(10)] * 3))


class TestFailure:
    """One task fails."""

    @pytest.mark.parametrize("most", [0, 1, 32])
    def test_is_raised_and_ends_the_others(self, most: int, call: Call) -> None:
        """Those that run are cancelled, those that have not begun never do."""
        begun: list[int] = []

        def late(_: Call) -> None:
            begun.append(1)

        error = KubernetesError("no")
        tasks = [failing(error), *[waiting] * min(most, 5)] + [late] * 99 * (most == 0)
        started = time.monotonic()
        with pytest.raises(KubernetesError) as caught:
            Workers(most).run(call, tasks)

        assert error is caught.value
        assert time.monotonic() < started + LIMIT_SECONDS
        assert ([], []) == (begun, helpers() if most == 0 else [])

    def test_leaves_the_call_uncancelled(self, call: Call, timeout: Timeout) -> None:
        """It is the tasks that are cancelled, not what they were done for."""
        with pytest.raises(KubernetesError):
            Workers().run(call, [failing(KubernetesError("no")), waiting, waiting])

        assert not timeout.cancelled

    def test_nothing_runs_any_more_when_it_is_raised(self, call: Call) -> None:
        """Whatever a task does last, it has done."""
        done: list[int] = []

        def slow(call: Call) -> None:
            try:
                call.sleep(60)
            finally:
                threading.Event().wait(0.05)
                done.append(1)

        with pytest.raises(KubernetesError):
            Workers().run(call, [slow, slow, failing(KubernetesError("no"))])

        assert [1, 1] == done or (len(done) < 2 and not helpers())

    def test_that_is_none_of_ours_is_raised_as_it_is(self, call: Call) -> None:
        """A mistake in a worker is not lost."""
        gate = threading.Barrier(2)

        def wrong(_: Call) -> None:
            gate.wait(10)
            raise ZeroDivisionError

        def right(call: Call) -> None:
            gate.wait(10)
            call.sleep(60)

        with pytest.raises((ZeroDivisionError, OperationCancelledError)):
            Workers().run(call, [right, wrong])


class TestEnd:
    """The call is over before its tasks are."""

    def test_by_a_cancel_while_only_workers_are_busy(self, call: Call, timeout: Timeout) -> None:
        """The caller, who has nothing left to do, hears of it, and gets no half results."""
        caller = threading.get_ident()
        workers_are_busy = threading.Barrier(3)

        def task(part: Call) -> str:
            if threading.get_ident() == caller:
                workers_are_busy.wait(10)
                return "done"
            workers_are_busy.wait(10)
            part.sleep(60)
            return "never"

        def cancel() -> None:
            wait_for(lambda: workers_are_busy.n_waiting == 0 and len(helpers()) == 2)
            threading.Event().wait(0.05)
            timeout.cancel()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        with pytest.raises(OperationCancelledError):
            Workers().run(call, [task] * 3)
        canceller.join(10)

    def test_by_the_deadline_while_only_workers_are_busy(self, logger: Any) -> None:
        """It is as with a cancel."""
        caller = threading.get_ident()
        gate = threading.Barrier(3)

        def task(part: Call) -> None:
            gate.wait(10)
            if threading.get_ident() != caller:
                part.sleep(60)

        with pytest.raises(OperationTimeoutError):
            Workers().run(call_of(timeout_of(0.1), logger), [task] * 3)

    @pytest.mark.parametrize("end", ["cancel", "deadline"])
    def test_does_not_wait_for_a_worker_that_does_not_notice(self, end: str, logger: Any) -> None:
        """Not for long."""
        caller, gate, released = threading.get_ident(), threading.Barrier(2), threading.Event()
        timeout = timeout_of(0.1 if end == "deadline" else 30)

        def task(_: Call) -> None:
            gate.wait(10)
            if threading.get_ident() != caller:
                released.wait(10)
            elif end == "cancel":
                timeout.cancel()

        started = time.monotonic()
        try:
            with pytest.raises((OperationTimeoutError, OperationCancelledError)):
                Workers().run(call_of(timeout, logger), [task] * 2)
            took = time.monotonic() - started
        finally:
            released.set()

        assert took < 0.1 + LIMIT_SECONDS

    def test_by_an_exception_in_the_callers_thread(self, call: Call) -> None:
        """It leaves at once, and the workers are told to go."""
        caller, gate = threading.get_ident(), threading.Barrier(3)

        def task(part: Call) -> None:
            gate.wait(10)
            if threading.get_ident() == caller:
                raise KeyboardInterrupt
            part.sleep(60)

        with pytest.raises(KeyboardInterrupt):
            Workers().run(call, [task] * 3)

        wait_for(lambda: not helpers(), 2)

    def test_by_an_exception_while_workers_are_started(
        self, call: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those that have begun are told to go, too."""
        start, begun = threading.Thread.start, threading.Event()

        def task(part: Call) -> None:
            begun.set()
            part.sleep(60)

        def start_once(thread: threading.Thread) -> None:
            if begun.is_set():
                raise KeyboardInterrupt
            start(thread)
            begun.wait(10)

        monkeypatch.setattr(threading.Thread, "start", start_once)
        with pytest.raises(KeyboardInterrupt):
            Workers().run(call, [task] * 3)

        wait_for(lambda: not helpers(), 2)


def test_deadline_is_reported_with_what_was_missing(call: Call) -> None:
    """One task had just begun, and knows nothing; another was waiting for something."""
    both = threading.Barrier(2)

    def knowing(part: Call) -> None:
        both.wait(10)
        with pytest.raises(OperationCancelledError):
            part.sleep(60)
        raise OperationTimeoutError("Testing", None, 1.0, "503")

    def beginning(_: Call) -> None:
        both.wait(10)
        raise OperationTimeoutError("Testing", None, 1.0)

    with pytest.raises(OperationTimeoutError) as caught:
        Workers().run(call, [beginning, knowing])
    assert "503" == caught.value.last

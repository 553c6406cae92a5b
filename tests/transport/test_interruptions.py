"""An exception that somebody throws into a blocked call leaves it at once, as what it is.

So do a task queue's time limits, Ctrl-C and the like, from a signal handler or another thread.
"""

from __future__ import annotations

import ctypes
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lab_storage import LabStorage, OperationTimeoutError
from lab_storage._transport import connect as _connect
from tests.support.fixtures import StorageOf
from tests.support.interruptions import SocketTimeLimit, TimeLimit, ValueTimeLimit, alarm, ring
from tests.support.labs import timeout_of
from tests.support.limits import FAR_SECONDS, LIMIT_SECONDS
from tests.support.states import (
    PENDING,
    SYN_SENT,
    State,
    connections_to,
    each_state,
    read_phase,
    wait_for,
)
from tests.support.villain import (
    Act,
    Peer,
    Villain,
    act,
    black_hole,
    json_answer,
    reset,
    silence,
    status,
)


@each_state(tls=True)
@pytest.mark.parametrize(
    "kind",
    [TimeLimit, KeyboardInterrupt, SystemExit, TimeoutError, SocketTimeLimit, ValueTimeLimit],
)
def test_a_signal_handlers_exception_leaves_a_call(
    kind: type[BaseException],
    state: State,
    tls: bool,
    storage_of: StorageOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever the call is; nothing is tried again, and its connection is closed."""
    error = kind("too long")
    with state.stage(tls, monkeypatch) as scene, alarm(error):
        storage = storage_of(scene.villain, **scene.settings)
        scene.prepare(storage)
        rung: list[float] = []

        def interrupt() -> None:
            scene.reached()
            rung.append(time.monotonic())
            ring()

        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        with pytest.raises(kind) as caught:
            scene.call(storage, timeout_of(FAR_SECONDS))
        left = time.monotonic()
        interrupter.join()
        requests = len(scene.villain.requests)

        assert error is caught.value
        assert left < rung[0] + LIMIT_SECONDS
        scene.wait_until_left()
        assert requests == len(scene.villain.requests)


def throw(thread: threading.Thread, kind: type[BaseException]) -> None:
    """Raise an exception of that class in a thread."""
    ident = ctypes.c_ulong(thread.ident or 0)
    assert 1 == ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(kind))


@each_state(tls=True)
def test_another_threads_exception_leaves_a_call(
    state: State,
    tls: bool,
    storage_of: StorageOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is delivered between two steps of the interpreter only: no wait is a long step."""
    # The hardest to tell from the network's own, of which most states see some.
    kind = TimeoutError
    with state.stage(tls, monkeypatch) as scene:
        storage = storage_of(scene.villain, **scene.settings)
        scene.prepare(storage)
        ended: list[tuple[type[BaseException] | None, float]] = []

        def call() -> None:
            raised = None
            try:
                scene.call(storage, timeout_of(FAR_SECONDS))
            except BaseException as error:
                raised = type(error)
            ended.append((raised, time.monotonic()))

        caller = threading.Thread(target=call)
        caller.start()
        scene.reached()
        thrown = time.monotonic()
        throw(caller, kind)
        caller.join(FAR_SECONDS)
        raised, left = ended[0]

        assert kind is raised
        assert left < thrown + LIMIT_SECONDS
        scene.wait_until_left()


def test_another_threads_exception_leaves_a_long_connect(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the socket has been waited for before, and is again."""
    monkeypatch.setattr(_connect, "SLICE_SECONDS", 0.02)
    with black_hole() as port, Villain() as villain:
        others = connections_to(port, SYN_SENT)
        storage = storage_of(villain, host=f"http://127.0.0.1:{port}")
        raised: list[type[BaseException]] = []

        def call() -> None:
            try:
                read_phase(storage, timeout_of(FAR_SECONDS))
            except BaseException as error:
                raised.append(type(error))

        caller = threading.Thread(target=call)
        caller.start()
        wait_for(lambda: connections_to(port, SYN_SENT) > others)
        threading.Event().wait(0.1)
        throw(caller, TimeLimit)
        caller.join(LIMIT_SECONDS)

        assert [TimeLimit] == raised


def test_one_thrown_into_the_refresh_hook_is_no_failure_to_refresh(storage_of: StorageOf) -> None:
    """Whoever is interrupted there hears of that, and not of credentials."""
    error = TimeoutError("too long")

    def refresh(configuration: Any) -> None:
        ring()

    with Villain(json_answer(PENDING)) as villain, alarm(error):
        storage = storage_of(villain, refresh_api_key_hook=refresh)
        with pytest.raises(TimeoutError) as caught:
            read_phase(storage, timeout_of(FAR_SECONDS))

    assert error is caught.value


class TestWhatIsHandledMeanwhile:
    """A call may be made while an exception is handled: to clean up, after a time limit."""

    @pytest.mark.parametrize("handled", [TimeoutError("too long"), SocketTimeLimit(), KeyError()])
    @pytest.mark.parametrize("answer", [silence, reset, status(503)])
    def test_is_not_taken_for_what_interrupts_the_call(
        self, handled: Exception, answer: Act, storage_of: StorageOf
    ) -> None:
        """The call raises its own error, as if nothing were being handled."""
        with Villain(answer) as villain:
            storage = storage_of(villain)
            try:
                raise handled
            except Exception:
                with pytest.raises(OperationTimeoutError):
                    read_phase(storage, timeout_of(0.1))

    def test_by_the_same_handler_does_not_leave_the_next_call(self, storage_of: StorageOf) -> None:
        """The clean-up after a time limit meets its own deadline, and not the limit again."""
        error = TimeoutError("too long")

        @act
        def interrupt(peer: Peer) -> None:
            ring()
            silence(peer)

        with Villain(interrupt, silence, silence) as villain, alarm(error):
            storage = storage_of(villain)
            with pytest.raises(TimeoutError) as first:
                read_phase(storage, timeout_of(FAR_SECONDS))
            try:
                raise first.value
            except TimeoutError:
                with pytest.raises(OperationTimeoutError) as second:
                    read_phase(storage, timeout_of(0.1))

        assert error is first.value
        assert error is not second.value


def descriptors() -> int:
    """Count the open files of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_thousand_interrupted_calls_leave_nothing(logger: Any) -> None:
    """There are no more descriptors and threads after than before."""
    before = descriptors(), threading.active_count()

    @act
    def interrupt(peer: Peer) -> None:
        ring()
        silence(peer)

    with Villain(interrupt, tls=True) as villain, alarm(TimeLimit()):
        storage = LabStorage(villain.api_client(), logger)
        for _ in range(1000):
            with suppress(TimeLimit):
                read_phase(storage, timeout_of(FAR_SECONDS))
        villain.wait_until_left()

    assert 1000 == len(villain.requests)
    wait_for(lambda: descriptors() <= before[0] and threading.active_count() <= before[1])

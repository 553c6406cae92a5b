"""However a call is stuck, its deadline and a cancel end it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from lab_storage import (
    LabStorage,
    LabStorageError,
    OperationCancelledError,
    OperationTimeoutError,
    Timeout,
)
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.limits import FAR_SECONDS, LIMIT_SECONDS
from tests.support.methods import METHODS, each_method
from tests.support.states import Call, Scene, State, each_state
from tests.support.villain import Villain, silence

DEADLINE_SECONDS = 0.2


def outcome(scene: Scene, storage: LabStorage, timeout: Timeout) -> tuple[Any, float]:
    """Make the call; give the error that it ended with, and when that was."""
    scene.prepare(storage)
    error: Any = None
    try:
        scene.call(storage, timeout)
    except LabStorageError as raised:
        error = raised
    return error, time.monotonic()


@each_state(expires=True)
def test_the_deadline_ends_a_call(
    state: State, tls: bool, storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is, it raises at the deadline, and its connection is closed."""
    with state.stage(tls, monkeypatch) as scene:
        storage = storage_of(scene.villain, **scene.settings)
        timeout = timeout_of(DEADLINE_SECONDS)
        deadline = time.monotonic() + DEADLINE_SECONDS
        error, ended = outcome(scene, storage, timeout)

        assert type(error) is OperationTimeoutError
        assert deadline - 0.05 < ended < deadline + LIMIT_SECONDS
        scene.wait_until_left()


@each_state()
def test_a_cancel_ends_a_call(
    state: State, tls: bool, storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is, it raises soon after, and its connection is closed."""
    with state.stage(tls, monkeypatch) as scene:
        storage = storage_of(scene.villain, **scene.settings)
        timeout = timeout_of(FAR_SECONDS)
        cancelled: list[float] = []

        def cancel() -> None:
            with suppress(AssertionError):
                scene.reached()
            cancelled.append(time.monotonic())
            timeout.cancel()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        error, ended = outcome(scene, storage, timeout)
        canceller.join()

        assert scene.cancelled is (None if error is None else type(error))
        assert cancelled[0] < ended < cancelled[0] + LIMIT_SECONDS
        scene.wait_until_left()


def test_all_methods_are_in_the_table() -> None:
    """A new one has to be added to the tests of this module."""
    public = {
        name
        for name, method in vars(LabStorage).items()
        if isinstance(method, Callable) and not name.startswith("_")  # type: ignore[arg-type]
    }

    assert {*METHODS} == public - {"close", "live"}


@each_method
def test_the_deadline_ends_every_method(method: Call, storage_of: StorageOf) -> None:
    """On a server that says nothing, each raises what says so, and of whom that was."""
    with Villain(silence, tls=True) as villain:
        storage = storage_of(villain)
        deadline = time.monotonic() + DEADLINE_SECONDS
        with pytest.raises(OperationTimeoutError, match=f"no answer from {villain.url} to "):
            method(storage, timeout_of(DEADLINE_SECONDS))

        assert time.monotonic() < deadline + LIMIT_SECONDS
        villain.wait_until_left(0, 5)


@each_method
def test_a_cancel_ends_every_method(method: Call, storage_of: StorageOf) -> None:
    """On a server that says nothing, each raises, but for the generator, which ends."""
    with Villain(silence, tls=True) as villain:
        storage, timeout = storage_of(villain), timeout_of(FAR_SECONDS)
        expected = StopIteration if method is METHODS["watch_pod_events"] else None

        def cancel() -> None:
            with suppress(AssertionError):
                villain.wait_for_requests()
            timeout.cancel()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        with pytest.raises(expected or OperationCancelledError):
            method(storage, timeout)
        canceller.join()

        assert timeout.elapsed() < FAR_SECONDS / 3
        villain.wait_until_left(0, 5)


LIVE_METHODS: dict[str, Callable[[Any, Timeout], Any]] = {
    **METHODS,
    "changes": lambda live, timeout: next(live.changes(timeout)),
    "wait_until_synced": lambda live, timeout: live.wait_until_synced(timeout),
}


@pytest.mark.parametrize("end", ["deadline", "cancel"])
@pytest.mark.parametrize("method", LIVE_METHODS.values(), ids=LIVE_METHODS)
def test_every_method_of_a_live_storage_ends(
    method: Callable[[Any, Timeout], Any], end: str, storage_of: StorageOf
) -> None:
    """On a server that says nothing, by both ends; its watch stays, until it is closed."""
    with Villain(silence) as villain, storage_of(villain).live() as live:
        seconds = DEADLINE_SECONDS if end == "deadline" else FAR_SECONDS
        timeout, cancelled = timeout_of(seconds), [float("-inf")]
        expected: type[Exception] = OperationTimeoutError
        if end == "cancel":
            is_loop = method in (LIVE_METHODS["changes"], LIVE_METHODS["watch_pod_events"])
            expected = StopIteration if is_loop else OperationCancelledError

        def cancel() -> None:
            with suppress(AssertionError):
                villain.wait_for_requests()
            if end == "cancel":
                cancelled.append(time.monotonic())
                timeout.cancel()

        canceller = threading.Thread(target=cancel)
        began = time.monotonic()
        canceller.start()
        with pytest.raises(expected):
            method(live, timeout)
        ended = time.monotonic()
        canceller.join()

        assert ended < max(began + DEADLINE_SECONDS, cancelled[-1]) + LIMIT_SECONDS
        live.close()
        assert [] == [each for each in threading.enumerate() if each.name == "lab_storage-pods"]
        villain.wait_until_left(0, 5)


@each_method
@pytest.mark.parametrize("end", ["deadline", "cancel"])
def test_what_is_over_before_the_call_sends_nothing(
    method: Call, end: str, storage_of: StorageOf
) -> None:
    """Not even a connection is made."""
    with Villain(silence) as villain:
        timeout = timeout_of(FAR_SECONDS if end == "cancel" else 0)
        if end == "cancel":
            timeout.cancel()
        expected: type[Exception] = (
            OperationCancelledError if end == "cancel" else OperationTimeoutError
        )
        if end == "cancel" and method is METHODS["watch_pod_events"]:
            expected = StopIteration
        with pytest.raises(expected):
            method(storage_of(villain), timeout)

        assert 0 == villain.connections

"""A generator that any thread may close, at any moment, without an error in the loop over it."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

import pytest

from lab_storage import Timeout
from lab_storage._api.call import Call
from lab_storage._api.interruptible import Interruptible
from tests.support.calls import call_of
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import NAMES
from tests.support.villain import Act, Seen, Villain, stream
from tests.support.watching import line, listed, pod


class Slow:
    """A generator that takes its time to be closed."""

    def __init__(self) -> None:
        self.is_closing = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, _: Call) -> Generator[str, None, None]:
        """Make one."""
        try:
            yield "first"
            yield "second"
        finally:
            self.is_closing.set()
            self.may_end.wait(10)


@pytest.fixture
def slow() -> Slow:
    """What is closed slowly."""
    return Slow()


@pytest.fixture
def timeout() -> Timeout:
    """A far deadline."""
    return timeout_of(30)


def test_loop_ends_while_another_thread_closes(slow: Slow, timeout: Timeout, logger: Any) -> None:
    """The next step finds the generator in use, and that it is over."""
    told = Interruptible(call_of(timeout, logger), slow)
    assert "first" == next(told)
    closer = threading.Thread(target=told.close)
    closer.start()
    assert slow.is_closing.wait(10)
    assert [] == [*told]
    slow.may_end.set()
    closer.join(10)


def test_loop_that_is_about_to_go_on_ends_too(
    slow: Slow, timeout: Timeout, logger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has just seen that nobody has closed it, and then somebody does."""
    told = Interruptible(call_of(timeout, logger), slow)
    assert "first" == next(told)
    closer = threading.Thread(target=told.close)
    is_cancelled = Interruptible._is_cancelled
    seen: list[bool] = []

    def look(self: Interruptible) -> bool:
        seen.append(is_cancelled(self))
        if len(seen) == 1:
            closer.start()
            assert slow.is_closing.wait(10)
        return seen[-1]

    monkeypatch.setattr(Interruptible, "_is_cancelled", look)
    assert [] == [*told]
    assert not seen[0]
    slow.may_end.set()
    closer.join(10)


def test_error_of_the_generator_is_not_taken_for_that(timeout: Timeout, logger: Any) -> None:
    """A ValueError of its own is raised, as long as nobody has closed it."""

    def fail(_: Call) -> Generator[str, None, None]:
        yield "first"
        raise ValueError("of its own")

    told = Interruptible(call_of(timeout, logger), fail)
    assert "first" == next(told)
    with pytest.raises(ValueError, match="of its own"):
        next(told)


def test_closing_never_disturbs_the_loop(storage_of: StorageOf) -> None:
    """Another thread closes it at any moment; the loop just ends."""
    events = [
        line("ADDED", {"metadata": {"name": f"e{number}", "uid": f"e{number}",
                                    "resourceVersion": str(20 + number)},
                       "involvedObject": {"uid": "u1"}, "message": str(number)})
        for number in range(3000)
    ]  # fmt: skip

    def script(request: Seen) -> Act:
        is_event = request.path.endswith("/events")
        if not request.is_watch:
            return listed() if is_event else listed(pod())
        return stream(*events) if is_event else stream()

    with Villain(script) as villain:
        storage = storage_of(villain)
        for number in range(60):
            told = storage.watch_pod_events("lab", NAMES.namespace, timeout_of(20))
            next(told)
            failure = closed_while_read(told, number)
            assert failure is None


def closed_while_read(told: Generator[str, None, None], number: int) -> BaseException | None:
    """Read events while another thread closes the generator; give what the loop raised."""
    raised: list[BaseException] = []
    reading = threading.Event()

    def read() -> None:
        try:
            for count, _ in enumerate(told):
                if count == number:
                    reading.set()
        except BaseException as error:
            raised.append(error)
        reading.set()

    reader = threading.Thread(target=read)
    reader.start()
    reading.wait(10)
    told.close()
    reader.join(10)
    assert not reader.is_alive()
    return raised[0] if raised else None

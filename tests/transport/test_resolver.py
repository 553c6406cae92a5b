"""Names are looked up by threads that a call can leave: nothing else can be left waiting."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from structlog.testing import LogCapture

from lab_storage import (
    OperationCancelledError,
    OperationTimeoutError,
    PodPhase,
)
from lab_storage._transport import resolver
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import PENDING, read_phase, wait_for
from tests.support.villain import (
    Villain,
    json_answer,
)

getaddrinfo = socket.getaddrinfo


def helpers() -> list[threading.Thread]:
    """Give the threads that look names up."""
    return [each for each in threading.enumerate() if each.name == "lab_storage-resolver"]


@pytest.fixture
def _no_helper() -> None:
    """There is no such thread."""
    wait_for(lambda: not helpers())


@pytest.mark.usefixtures("_no_helper")
def test_an_address_needs_no_thread(storage_of: StorageOf) -> None:
    """It is read, not looked up."""
    started: list[threading.Thread] = []
    with Villain(json_answer(PENDING)) as villain:
        read_phase(storage_of(villain), timeout_of(5))
        started += helpers()

    assert [] == started


@pytest.mark.usefixtures("_no_helper")
def test_one_thread_serves_all_and_ends_when_idle(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask at once, of several storages."""
    seen: set[threading.Thread] = set()

    def look_up(*arguments: Any) -> Any:
        seen.update(helpers())
        return getaddrinfo(*arguments)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with Villain(json_answer(PENDING)) as villain:
        url = f"http://localhost:{villain.port}"
        storages = [storage_of(villain, host=url) for _ in range(4)]
        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(read_phase, each, timeout_of(5)) for each in storages * 2]
        phases = {each.result() for each in asked}

        assert {PodPhase.PENDING} == phases
        assert 1 == len(seen)
        wait_for(lambda: not helpers())


@pytest.mark.usefixtures("_no_helper")
def test_a_new_thread_begins_after_an_idle_one_has_ended(storage_of: StorageOf) -> None:
    """Nobody notices that it was gone."""
    with Villain(json_answer(PENDING)) as villain:
        for _ in range(2):
            storage = storage_of(villain, host=f"http://localhost:{villain.port}")
            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
            wait_for(lambda: not helpers())


@pytest.mark.usefixtures("_no_helper")
def test_where_there_is_no_thread_the_caller_looks_it_up(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch, log: LogCapture
) -> None:
    """As at a container's limit, or at the end of the interpreter. That is no failure."""
    start, seen = threading.Thread.start, []

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("lab_storage"):
            raise RuntimeError("can't start new thread")
        start(thread)

    def look_up(*arguments: Any) -> Any:
        seen.append(threading.current_thread())
        return getaddrinfo(*arguments)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with Villain(json_answer(PENDING)) as villain:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        storage = storage_of(villain, host=f"http://localhost:{villain.port}")

        assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
    assert [threading.current_thread()] == seen
    assert ["debug"] == [entry["log_level"] for entry in log.entries]


@pytest.mark.parametrize(
    "error",
    [socket.gaierror(socket.EAI_AGAIN, "try again later"), UnicodeError("label too long")],
)
def test_a_name_that_cannot_be_looked_up_is_tried_again(
    error: Exception, names: dict[str, Any], storage_of: StorageOf
) -> None:
    """The timeout tells which name, and what was wrong."""
    names["villain.example"] = error
    with Villain() as villain:
        storage = storage_of(villain, host="http://villain.example")
        with pytest.raises(OperationTimeoutError) as caught:
            read_phase(storage, timeout_of(0.1))

    assert "villain.example" in str(caught.value)
    assert str(error.args[-1]) in str(caught.value)


@pytest.fixture
def dead_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names that begin with ``dead`` are never found; gives those that were looked up."""
    asked: list[str] = []
    released = threading.Event()

    def look_up(host: str, *arguments: Any) -> Any:
        asked.append(host)
        if host.startswith("dead"):
            released.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "nobody is interested any more")
        return getaddrinfo(host, *arguments)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield asked
    released.set()


def test_dead_name_delays_no_other(dead_names: list[str], storage_of: StorageOf) -> None:
    """A healthy cluster is reached while calls to a dead one wait."""
    with Villain(json_answer(PENDING)) as villain, ThreadPoolExecutor(3) as threads:
        dead = storage_of(villain, host="http://dead.example")
        healthy = storage_of(villain, host=f"http://localhost:{villain.port}")
        timeout = timeout_of(20)
        asked = [threads.submit(read_phase, dead, timeout) for _ in range(3)]
        wait_for(lambda: "dead.example" in dead_names)
        phase = read_phase(healthy, timeout_of(5))
        timeout.cancel()

        assert PodPhase.PENDING is phase
        assert {OperationCancelledError} == {type(each.exception(5)) for each in asked}


def test_dead_name_keeps_one_thread_however_often_it_is_asked_for(
    dead_names: list[str], storage_of: StorageOf
) -> None:
    """Whoever asks again waits for the same look-up; the timeout says for which name."""
    with Villain() as villain:
        storage = storage_of(villain, host="http://dead.example")
        for _ in range(5):
            with pytest.raises(OperationTimeoutError, match=r"waiting for the name dead\.example"):
                read_phase(storage, timeout_of(0.05))

        assert ["dead.example"] == dead_names


def test_many_dead_names_keep_no_more_threads_than_there_are_places(
    dead_names: list[str], storage_of: StorageOf
) -> None:
    """Those that are too many wait for a place, by their own deadline."""
    count = resolver.MOST_LOOKUPS + 4
    with Villain() as villain, ThreadPoolExecutor(count) as threads:
        timeout = timeout_of(20)
        asked = [
            threads.submit(
                read_phase, storage_of(villain, host=f"http://dead{number}.example"), timeout
            )
            for number in range(count)
        ]
        wait_for(lambda: len(resolver._background._runs) == count)
        wait_for(lambda: len(dead_names) == resolver.MOST_LOOKUPS)
        threads_of_names = len(helpers())
        timeout.cancel()

        assert {OperationCancelledError} == {type(each.exception(5)) for each in asked}
        assert resolver.MOST_LOOKUPS == threads_of_names

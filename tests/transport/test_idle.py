"""Connections that nobody uses any more go by themselves after a burst of calls."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lab_storage import LabStorage, PodPhase
from lab_storage._transport import idle
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import PENDING, connections_to, read_phase, wait_for
from tests.support.villain import Act, Peer, Villain, act, json_answer

CLOSE_WAIT = "08"
CALLS = 60


class Burst:
    """Answers so many calls together, and closes their connections when it is told."""

    def __init__(self, calls: int) -> None:
        self._gate = threading.Barrier(calls)
        self.closing = threading.Event()

    def __call__(self, _: Any) -> Act:
        """Answer, and wait."""

        @act
        def run(peer: Peer) -> None:
            self._gate.wait(20)
            json_answer(PENDING)(peer)
            while not self.closing.is_set():
                peer.pause(0.02)
            peer.close()

        return run


def sweepers() -> list[threading.Thread]:
    """The threads that close connections."""
    return [each for each in threading.enumerate() if each.name == "lab_storage-idle"]


def call_at_once(storage: LabStorage, calls: int) -> set[Any]:
    """Make so many calls side by side."""
    with ThreadPoolExecutor(calls) as threads:
        asked = [threads.submit(read_phase, storage, timeout_of(20)) for _ in range(calls)]
    return {each.result() for each in asked}


@pytest.fixture(autouse=True)
def _quick_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits a second for each."""
    monkeypatch.setattr(idle, "SWEEP_SECONDS", 0.05)


def test_connections_that_the_server_has_closed_go_by_themselves(storage_of: StorageOf) -> None:
    """And so does the thread that closes them."""
    script = Burst(CALLS)
    with Villain(script) as villain:
        phases = call_at_once(storage_of(villain), CALLS)
        kept = villain.open_connections
        script.closing.set()
        wait_for(lambda: villain.open_connections == 0)
        wait_for(lambda: connections_to(villain.port, CLOSE_WAIT) == 0)

        assert ({PodPhase.PENDING}, CALLS) == (phases, kept)
        wait_for(lambda: sweepers() == [])


def test_connections_that_nobody_used_for_long_go_by_themselves(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the server keeps them."""
    monkeypatch.setattr(idle, "KEEP_SECONDS", 0.3)
    with Villain(Burst(CALLS)) as villain:
        call_at_once(storage_of(villain), CALLS)
        villain.wait_until_left()
        wait_for(lambda: sweepers() == [])


def test_thread_ends_with_the_storage(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for its next look."""
    monkeypatch.setattr(idle, "SWEEP_SECONDS", 60.0)
    with Villain(Burst(CALLS)) as villain:
        storage = storage_of(villain)
        call_at_once(storage, CALLS)
        threads = len(sweepers())
        storage.close()

        assert 1 == threads
        wait_for(lambda: sweepers() == [])


def test_few_connections_need_no_thread(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are looked at when one of them is used."""
    # However soon after the last look.
    monkeypatch.setattr(idle, "SWEEP_SECONDS", 0.0)
    calls = idle.MOST_UNWATCHED
    script = Burst(calls)
    with Villain(script) as villain:
        storage = storage_of(villain)
        call_at_once(storage, calls)
        threads = sweepers()
        script.closing.set()
        wait_for(lambda: connections_to(villain.port, CLOSE_WAIT) == calls)
        # The connection of the next call stays.
        script.closing.clear()
        script._gate = threading.Barrier(1)
        read_phase(storage, timeout_of(5))

        assert [] == threads
        assert 0 == connections_to(villain.port, CLOSE_WAIT)


def test_thread_that_cannot_be_started_fails_no_call(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call closes them then."""
    monkeypatch.setattr(idle, "start_thread", lambda _: False)
    with Villain(Burst(CALLS)) as villain:
        assert {PodPhase.PENDING} == call_at_once(storage_of(villain), CALLS)

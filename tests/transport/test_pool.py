"""Connections are kept, and given up in time."""

from __future__ import annotations

import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from structlog.testing import LogCapture

from lab_storage import (
    OperationCancelledError,
    OperationTimeoutError,
    PodPhase,
)
from lab_storage._api import client as _client
from lab_storage._transport import idle as _idle
from lab_storage._transport import pool as _pool
from lab_storage._transport import tls as _tls
from lab_storage._transport.connect import SOCKET_OPTIONS
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import PENDING, read_phase
from tests.support.villain import (
    Peer,
    Villain,
    act,
    answer,
    json_answer,
    raw,
    silence,
    status,
    truncate,
)


def timers_to(port: int) -> list[str]:
    """Give the timers of the sockets that are connected to a port of this machine.

    Those of connections that are over are left out: the port may have been another's before.
    Source: https://docs.kernel.org/networking/proc_net_tcp.html
    """
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    established = [line for line in lines if line[3] == "01"]
    return [line[5] for line in established if int(line[2].partition(":")[2], 16) == port]


def test_one_is_used_again_and_again(storage_of: StorageOf) -> None:
    """One call after another needs no more."""
    with Villain(json_answer(PENDING), tls=True) as villain:
        storage = storage_of(villain)
        for _ in range(5):
            read_phase(storage, timeout_of(5))

        assert (5, 1) == (len(villain.requests), villain.connections)


def test_one_that_nobody_used_for_long_is_not_used_again(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something on the way may have forgotten it, and would say nothing for ever."""
    monkeypatch.setattr(_idle, "KEEP_SECONDS", 0.0)
    with Villain(json_answer(PENDING), tls=True) as villain:
        storage = storage_of(villain)
        for _ in range(2):
            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))

        assert (2, 2) == (len(villain.requests), villain.connections)
        villain.wait_until_left(1)


def test_those_of_a_busy_hour_are_closed_later(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever puts one back closes those that were not used for long."""
    clock = [1000.0]
    monkeypatch.setattr(_idle, "monotonic", lambda: clock[0])
    gate = threading.Barrier(5)

    def script(_: Any) -> Any:
        gate.wait(5)
        return json_answer(PENDING)

    with Villain(script) as villain:
        storage = storage_of(villain)
        with ThreadPoolExecutor(5) as threads:
            for _ in range(5):
                threads.submit(read_phase, storage, timeout_of(5))
        gate = threading.Barrier(1)
        clock[0] += _idle.KEEP_SECONDS - 1
        read_phase(storage, timeout_of(5))
        kept = villain.open_connections
        clock[0] += 2
        read_phase(storage, timeout_of(5))

        assert (5, 5) == (kept, villain.connections)
        villain.wait_until_left(1)


def test_one_that_the_server_has_closed_is_not_used_again(
    storage_of: StorageOf, log: LogCapture
) -> None:
    """It is seen before anything is sent by it: that is no failure."""
    body = b'{"status":{"phase":"Pending"}}'
    last = raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    with Villain(last, json_answer(PENDING)) as villain:
        storage = storage_of(villain)
        read_phase(storage, timeout_of(5))
        villain.wait_until_left()
        read_phase(storage, timeout_of(5))

        assert 2 == villain.connections
        assert ["debug", "debug"] == [entry["log_level"] for entry in log.entries]


def test_one_that_says_nothing_is_given_up_for_another(
    storage_of: StorageOf, log: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a load balancer that has forgotten it, long before the deadline."""
    monkeypatch.setattr(_client, "IDLE_SECONDS", 0.1)
    with Villain(silence, json_answer(PENDING)) as villain:
        assert PodPhase.PENDING is read_phase(storage_of(villain), timeout_of(10))
        assert (2, 2) == (len(villain.requests), villain.connections)
    assert "Read timed out" in log.entries[0]["reason"]


def test_they_are_watched_over_by_tcp(storage_of: StorageOf) -> None:
    """A peer that is gone is found out while nothing is being said."""
    with Villain(json_answer(PENDING), tls=True) as villain:
        storage = storage_of(villain)
        read_phase(storage, timeout_of(5))
        (timer,) = timers_to(villain.port)

    kind, _, left = timer.partition(":")
    # 2 is the keepalive timer; the kernel counts it in hundredths of a second.
    assert 2 == int(kind, 16)
    assert int(left, 16) <= 30_00


@act
def last_words(peer: Peer) -> None:
    """Answer on a connection that is forgotten on the way."""
    peer.take_no_more()
    json_answer(PENDING)(peer)
    peer.pause(None)


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
def test_one_that_was_forgotten_on_the_way_is_left(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is not acknowledged: another connection is asked, long before the deadline."""
    option = socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT
    assert (*option, 10_000) in SOCKET_OPTIONS
    monkeypatch.setattr(_pool, "SOCKET_OPTIONS", [*SOCKET_OPTIONS, (*option, 1000)])
    with Villain(last_words, json_answer(PENDING)) as villain:
        storage = storage_of(villain)
        assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
        assert PodPhase.PENDING is read_phase(storage, timeout_of(30))
        # The question on the first connection has never arrived.
        assert (2, 2) == (len(villain.requests), villain.connections)


def test_all_have_one_tls_context(storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authorities' certificates are read once, not for each connection."""
    made = mock.Mock(wraps=_tls._new_context)
    monkeypatch.setattr(_tls, "_new_context", made)
    gate = threading.Barrier(4)

    def script(_: Any) -> Any:
        gate.wait(5)
        return json_answer(PENDING)

    with Villain(script, tls=True) as villain, ThreadPoolExecutor(4) as threads:
        storage = storage_of(villain)
        asked = [threads.submit(read_phase, storage, timeout_of(5)) for _ in range(4)]
        phases = [each.result() for each in asked]

    assert ([PodPhase.PENDING] * 4, 1, 4) == (phases, made.call_count, villain.connections)


@pytest.mark.parametrize("after", [silence, truncate(PENDING), status(503)])
def test_none_is_left_when_a_storage_is_closed(after: Any, storage_of: StorageOf) -> None:
    """At once, and not when the garbage is collected."""
    with Villain(json_answer(PENDING), after, tls=True) as villain:
        storage = storage_of(villain)
        read_phase(storage, timeout_of(5))
        with pytest.raises(OperationTimeoutError):
            read_phase(storage, timeout_of(0.1))
        storage.close()
        villain.wait_until_left(0, 1)


def test_a_closed_storage_opens_new_ones(storage_of: StorageOf) -> None:
    """It is closed for now, not for ever."""
    with Villain(json_answer(PENDING)) as villain, storage_of(villain) as storage:
        read_phase(storage, timeout_of(5))
        storage.close()

        assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
        assert 2 == villain.connections


def test_closing_disturbs_no_call(storage_of: StorageOf) -> None:
    """One that waits for its answer gets it, and closes its connection then."""
    answered = threading.Event()

    def script(_: Any) -> Any:
        answered.wait(5)
        return json_answer(PENDING)

    with Villain(script) as villain, ThreadPoolExecutor(1) as threads:
        storage = storage_of(villain)
        asked = threads.submit(read_phase, storage, timeout_of(5))
        villain.wait_for_requests()
        storage.close()
        answered.set()

        assert PodPhase.PENDING is asked.result()
        assert 1 == len(villain.requests)
        villain.wait_until_left(0, 1)


def test_endless_answers_end_with_the_deadline(storage_of: StorageOf) -> None:
    """Though the server sends as fast as it can, and is never silent."""
    with Villain(answer(200, b" " * (1 << 22), {"Content-Length": "1000000000"})) as villain:
        with pytest.raises(OperationTimeoutError):
            read_phase(storage_of(villain), timeout_of(0.2))
        villain.wait_until_left(0, 2)


def test_a_cancel_of_one_call_leaves_the_others(storage_of: StorageOf) -> None:
    """Each has its own connection."""
    answered = threading.Event()

    def script(_: Any) -> Any:
        answered.wait(5)
        return json_answer(PENDING)

    with Villain(script) as villain, ThreadPoolExecutor(2) as threads:
        storage = storage_of(villain)
        one, other = timeout_of(10), timeout_of(10)
        asked = [threads.submit(read_phase, storage, each) for each in (one, other)]
        villain.wait_for_requests(2)
        one.cancel()
        error = asked[0].exception(5)
        answered.set()

        assert OperationCancelledError is type(error)
        assert PodPhase.PENDING is asked[1].result()

"""Sockets and names: what `lab_storage._transport` does to them.

How a deadline and a cancel end each state of a socket is in ``test_deadlines.py``.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
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
from lab_storage._transport import tls as _tls
from lab_storage._transport.exchange import Exchange, ExchangeOverError, IdleError
from lab_storage._transport.sockets import socket_classes
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import PENDING, read_phase, wait_for
from tests.support.villain import (
    Villain,
    answer,
    black_hole,
    json_answer,
    raw,
    silence,
    status,
    truncate,
)

getaddrinfo = socket.getaddrinfo


def helpers() -> list[threading.Thread]:
    """Give the threads that look names up."""
    return [each for each in threading.enumerate() if each.name == "lab_storage-resolver"]


def timers_to(port: int) -> list[str]:
    """Give the timers of the sockets that are connected to a port of this machine.

    Those of connections that are over are left out: the port may have been another's before.
    Source: https://docs.kernel.org/networking/proc_net_tcp.html
    """
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    established = [line for line in lines if line[3] == "01"]
    return [line[5] for line in established if int(line[2].partition(":")[2], 16) == port]


@pytest.fixture
def _no_helper() -> None:
    """There is no such thread."""
    wait_for(lambda: not helpers())


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What names stand for: a list of addresses and ports, or an error."""
    known: dict[str, Any] = {}

    def look_up(host: str, port: int, *arguments: Any, **options: Any) -> Any:
        found = known.get(host)
        if isinstance(found, Exception):
            raise found
        if found is None:
            return getaddrinfo(host, port, *arguments, **options)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", number)) for number in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


class TestNames:
    """Names are looked up by a thread of their own, since nothing else can be left waiting."""

    @pytest.mark.usefixtures("_no_helper")
    def test_an_address_needs_no_thread(self, storage_of: StorageOf) -> None:
        """It is read, not looked up."""
        started: list[threading.Thread] = []
        with Villain(json_answer(PENDING)) as villain:
            read_phase(storage_of(villain), timeout_of(5))
            started += helpers()

        assert [] == started

    @pytest.mark.usefixtures("_no_helper")
    def test_one_thread_serves_all_and_ends_when_idle(
        self, storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
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
    def test_a_new_thread_begins_after_an_idle_one_has_ended(self, storage_of: StorageOf) -> None:
        """Nobody notices that it was gone."""
        with Villain(json_answer(PENDING)) as villain:
            for _ in range(2):
                storage = storage_of(villain, host=f"http://localhost:{villain.port}")
                assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
                wait_for(lambda: not helpers())

    @pytest.mark.usefixtures("_no_helper")
    def test_a_system_without_threads_is_asked_again(
        self, storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next try starts the thread that this one could not."""
        start, failures = threading.Thread.start, [RuntimeError("can't start new thread")]

        def start_later(thread: threading.Thread) -> None:
            if failures and thread.name == "lab_storage-resolver":
                raise failures.pop()
            start(thread)

        with Villain(json_answer(PENDING)) as villain:
            monkeypatch.setattr(threading.Thread, "start", start_later)
            storage = storage_of(villain, host=f"http://localhost:{villain.port}")

            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))

    @pytest.mark.parametrize(
        "error",
        [socket.gaierror(socket.EAI_AGAIN, "try again later"), UnicodeError("label too long")],
    )
    def test_a_name_that_cannot_be_looked_up_is_tried_again(
        self, error: Exception, names: dict[str, Any], storage_of: StorageOf
    ) -> None:
        """The timeout tells which name, and what was wrong."""
        names["villain.example"] = error
        with Villain() as villain:
            storage = storage_of(villain, host="http://villain.example")
            with pytest.raises(OperationTimeoutError) as caught:
                read_phase(storage, timeout_of(0.1))

        assert "villain.example" in str(caught.value)
        assert str(error.args[-1]) in str(caught.value)

    def test_who_asks_behind_one_that_hangs_can_leave(
        self, storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There is one thread: what waits for it is ended by its own deadline."""
        released = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: released.wait(10))
        try:
            with Villain() as villain, ThreadPoolExecutor(2) as threads:
                asked = [
                    threads.submit(
                        read_phase, storage_of(villain, host=f"http://{name}"), timeout_of(0.1)
                    )
                    for name in ("one.example", "other.example")
                ]
                errors = {type(each.exception(5)) for each in asked}
        finally:
            released.set()

        assert {OperationTimeoutError} == errors


class TestAddresses:
    """A name may stand for several, of which some may be dead."""

    def test_the_next_is_tried_after_one_that_refuses(
        self, names: dict[str, Any], storage_of: StorageOf, log: LogCapture
    ) -> None:
        """Without another try."""
        with Villain(json_answer(PENDING)) as villain, socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            names["villain.example"] = [closed.getsockname()[1], villain.port]
            storage = storage_of(villain, host="http://villain.example")

            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
            assert [] == [entry for entry in log.entries if entry["log_level"] == "warning"]

    def test_a_black_hole_leaves_time_for_the_next(
        self, names: dict[str, Any], storage_of: StorageOf
    ) -> None:
        """Half of what is left, where there are two."""
        with Villain(json_answer(PENDING)) as villain, black_hole() as port:
            names["villain.example"] = [port, villain.port]
            storage, timeout = storage_of(villain, host="http://villain.example"), timeout_of(0.8)

            assert PodPhase.PENDING is read_phase(storage, timeout)
            assert 0.3 < timeout.elapsed()

    def test_the_error_of_the_last_is_told(
        self, names: dict[str, Any], storage_of: StorageOf
    ) -> None:
        """If none answers."""
        with Villain() as villain, socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            names["villain.example"] = [closed.getsockname()[1]]
            storage = storage_of(villain, host="http://villain.example")
            with pytest.raises(OperationTimeoutError, match="Connection refused"):
                read_phase(storage, timeout_of(0.1))

    def test_a_name_without_any_is_an_error(
        self, names: dict[str, Any], storage_of: StorageOf
    ) -> None:
        """That cannot be connected to."""
        names["villain.example"] = []
        with Villain() as villain:
            storage = storage_of(villain, host="http://villain.example")
            with pytest.raises(OperationTimeoutError, match=r"villain\.example"):
                read_phase(storage, timeout_of(0.1))


class TestConnections:
    """They are kept, and given up in time."""

    def test_one_is_used_again_and_again(self, storage_of: StorageOf) -> None:
        """One call after another needs no more."""
        with Villain(json_answer(PENDING), tls=True) as villain:
            storage = storage_of(villain)
            for _ in range(5):
                read_phase(storage, timeout_of(5))

            assert (5, 1) == (len(villain.requests), villain.connections)

    def test_one_that_nobody_used_for_long_is_not_used_again(
        self, storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
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
        self, storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
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
        self, storage_of: StorageOf, log: LogCapture
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
        self, storage_of: StorageOf, log: LogCapture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As after a load balancer that has forgotten it, long before the deadline."""
        monkeypatch.setattr(_client, "IDLE_SECONDS", 0.1)
        with Villain(silence, json_answer(PENDING)) as villain:
            assert PodPhase.PENDING is read_phase(storage_of(villain), timeout_of(10))
            assert (2, 2) == (len(villain.requests), villain.connections)
        assert "Read timed out" in log.entries[0]["reason"]

    def test_they_are_watched_over_by_tcp(self, storage_of: StorageOf) -> None:
        """A peer that is gone is found out while nothing is being said."""
        with Villain(json_answer(PENDING), tls=True) as villain:
            storage = storage_of(villain)
            read_phase(storage, timeout_of(5))
            (timer,) = timers_to(villain.port)

        kind, _, left = timer.partition(":")
        # 2 is the keepalive timer; the kernel counts it in hundredths of a second.
        assert 2 == int(kind, 16)
        assert int(left, 16) <= 30_00

    def test_all_have_one_tls_context(
        self, storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
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
    def test_none_is_left_when_a_storage_is_closed(
        self, after: Any, storage_of: StorageOf
    ) -> None:
        """At once, and not when the garbage is collected."""
        with Villain(json_answer(PENDING), after, tls=True) as villain:
            storage = storage_of(villain)
            read_phase(storage, timeout_of(5))
            with pytest.raises(OperationTimeoutError):
                read_phase(storage, timeout_of(0.1))
            storage.close()
            villain.wait_until_left(0, 1)

    def test_a_closed_storage_opens_new_ones(self, storage_of: StorageOf) -> None:
        """It is closed for now, not for ever."""
        with Villain(json_answer(PENDING)) as villain, storage_of(villain) as storage:
            read_phase(storage, timeout_of(5))
            storage.close()

            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
            assert 2 == villain.connections

    def test_closing_disturbs_no_call(self, storage_of: StorageOf) -> None:
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


class TestExchange:
    """What a cancel may shut down, and what it may not."""

    @pytest.fixture
    def pair(self) -> Iterator[tuple[Any, socket.socket]]:
        """A socket of the kind that is used, and the other end of it."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours: Any = socket_classes()[0]()
            ours.connect(listener.getsockname())
            theirs, _ = listener.accept()
            with ours, theirs:
                yield ours, theirs

    def test_a_cancel_ends_a_read(self, pair: tuple[Any, socket.socket]) -> None:
        """The other end sees it too."""
        timeout = timeout_of(10)
        exchange = Exchange(timeout, 10)
        exchange.attach(pair[0])
        timeout.cancel()

        with pytest.raises(ExchangeOverError):
            pair[0].recv(1)
        assert b"" == pair[1].recv(1)

    def test_a_cancel_before_is_made_up_for(self, pair: tuple[Any, socket.socket]) -> None:
        """Whoever attaches too late is cut at once."""
        timeout = timeout_of(10)
        exchange = Exchange(timeout, 10)
        timeout.cancel()
        exchange.attach(pair[0])

        assert b"" == pair[1].recv(1)

    @pytest.mark.parametrize("leave", [Exchange.detach, Exchange.close])
    def test_a_cancel_after_does_no_harm(
        self, leave: Callable[[Exchange], None], pair: tuple[Any, socket.socket]
    ) -> None:
        """By then the socket is another's."""
        timeout = timeout_of(10)
        exchange = Exchange(timeout, 10)
        exchange.attach(pair[0])
        leave(exchange)
        timeout.cancel()
        pair[0].sendall(b"x")

        assert b"x" == pair[1].recv(1)

    def test_a_number_that_was_given_away_is_not_shut_down(
        self, pair: tuple[Any, socket.socket]
    ) -> None:
        """As to the TLS socket that took it over."""
        timeout = timeout_of(10)
        exchange = Exchange(timeout, 10)
        exchange.attach(pair[0])
        with socket.socket(fileno=pair[0].detach()) as heir:
            timeout.cancel()
            heir.sendall(b"x")

            assert b"x" == pair[1].recv(1)

    def test_silence_is_limited(self, pair: tuple[Any, socket.socket]) -> None:
        """Long before the deadline."""
        exchange = Exchange(timeout_of(10), 0.05)
        exchange.attach(pair[0])

        with pytest.raises(IdleError, match=r"nothing heard for 0\.05 s"):
            pair[0].recv(1)

    def test_a_socket_without_one_is_like_any_other(self, pair: tuple[Any, socket.socket]) -> None:
        """Its own timeout counts."""
        pair[0].settimeout(0.01)

        with pytest.raises(TimeoutError, match="timed out"):
            pair[0].recv(1)
        pair[0].sendall(b"x")
        pair[1].sendall(b"y")
        assert (b"y", b"x") == (pair[0].recv(1), pair[1].recv(1))


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

"""What the benchmarks check and make disasters by does what it says."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from benchmarks.live_checker import Read, Write, wrong_answers
from benchmarks.relay import Relay

MAX_AGE_SECONDS = 5.0
WRITES = [
    Write(1, "Pending", began=0.0, ended=1.0),
    Write(2, "Pending", began=0.0, ended=1.0),
    # It was tried from 10 on, and has certainly happened at 12.
    Write(1, "Running", began=10.0, ended=12.0),
]


@pytest.mark.parametrize(
    "read",
    [
        Read(1, "Pending", began=5.0, ended=5.1),
        Read(1, "Pending", began=16.9, ended=17.0),
        Read(1, "Running", began=9.0, ended=10.1),
        Read(1, "Running", began=99.0, ended=99.1),
        Read(2, "Pending", began=99.0, ended=99.1),
    ],
)
def test_true_answers_pass(read: Read) -> None:
    """An answer may be as old as ``max_age`` when it is asked for, and a write count at once."""
    assert [] == wrong_answers([read], WRITES, MAX_AGE_SECONDS)


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(Read(1, "Pending", began=17.1, ended=17.2), id="stale"),
        pytest.param(Read(1, "Running", began=9.0, ended=9.9), id="too early"),
        pytest.param(Read(2, "Running", began=20.0, ended=20.1), id="never written"),
        pytest.param(Read(2, None, began=20.0, ended=20.1), id="missing"),
    ],
)
def test_wrong_answers_are_found(read: Read) -> None:
    """One that was over for too long is found among others, and so is what never was."""
    right = Read(1, "Pending", began=5.0, ended=5.1)
    assert [read] == wrong_answers([right, read], WRITES, MAX_AGE_SECONDS)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def relay() -> Iterator[Relay]:
    """A relay before a server that answers each request."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with Relay(f"http://127.0.0.1:{server.server_port}") as relay:
            yield relay
        server.shutdown()
        thread.join()


def connect(relay: Relay) -> http.client.HTTPConnection:
    """Make a connection that has had an answer."""
    address = urlsplit(relay.host)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=1)
    connection.request("GET", "/")
    assert b"ok" == connection.getresponse().read()
    return connection


def test_cut_connections_end(relay: Relay) -> None:
    """Those that there are end; a new one works."""
    old = connect(relay)
    assert 1 == relay.cut()
    with suppress(ConnectionError):
        old.request("GET", "/")
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        old.getresponse()
    connect(relay).close()
    old.close()


def test_silent_connections_say_nothing(relay: Relay) -> None:
    """Those that there are neither answer nor end; a new one works."""
    old = connect(relay)
    assert 1 == relay.silence()
    old.request("GET", "/")
    with pytest.raises(TimeoutError):
        old.getresponse()
    connect(relay).close()
    old.close()

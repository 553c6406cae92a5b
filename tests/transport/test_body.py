"""Bodies are read in pieces, by the deadline, and not without end."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
import urllib3

from lab_storage import OperationTimeoutError, PodPhase
from lab_storage._transport import body as _body
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import NAMES, PENDING, read_phase
from tests.support.villain import Act, Peer, Villain, act, answer, json_answer

GZIP = {"Content-Encoding": "gzip"}
SLACK_SECONDS = 1.0


def gzip_bomb() -> bytes:
    """128 MB of spaces, in 128 kB."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    piece = b" " * (1 << 20)
    return b"".join([*(squeeze.compress(piece) for _ in range(128)), squeeze.flush()])


@act
def endless_zip(peer: Peer) -> None:
    """A compressed body that never ends."""
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    while True:
        peer.send(squeeze.compress(b" " * (1 << 16)) + squeeze.flush(zlib.Z_SYNC_FLUSH))
        peer.pause(0.001)


def long_list(length: int) -> bytes:
    """A list of objects, of so many bytes."""
    item = b'{"metadata":{"name":"x"}},'
    return b'{"items":[' + item * (length // len(item)) + b"{}]}"


LONG: dict[str, Callable[[], Act]] = {
    "gzip bomb": lambda: answer(200, gzip_bomb(), GZIP),
    "endless gzip": lambda: endless_zip,
    "60 MB of JSON": lambda: answer(200, long_list(60_000_000)),
    "30 MB of JSON": lambda: answer(200, long_list(30_000_000)),
}


@pytest.mark.parametrize("long", LONG.values(), ids=LONG)
def test_answer_that_is_too_long_ends_with_the_deadline(
    long: Callable[[], Act], storage_of: StorageOf
) -> None:
    """However it is packed."""
    with Villain(long()) as villain:
        storage = storage_of(villain)
        begin = time.monotonic()
        with pytest.raises(OperationTimeoutError):
            storage.list_namespaces("lab-", timeout_of(0.5))
        assert time.monotonic() - begin < 0.5 + SLACK_SECONDS


def test_answer_that_says_it_is_too_long_is_not_read(storage_of: StorageOf) -> None:
    """The timeout says how long one may be."""

    @act
    def announce(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 33554433\r\n\r\n")
        peer.pause(None)

    with Villain(announce) as villain:
        with pytest.raises(OperationTimeoutError, match="longer than 32 MiB"):
            read_phase(storage_of(villain), timeout_of(0.3))
        assert len(villain.requests) > 1


def test_line_of_a_watch_has_the_same_bound(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream may go on for ever, but an event may not."""
    monkeypatch.setattr("lab_storage._api.stream.MOST_BYTES", 1 << 20)

    @act
    def endless_line(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            peer.send(b"x" * (1 << 16))

    def script(request: Any) -> Act:
        listed = {"metadata": {"resourceVersion": "1"}, "items": [PENDING]}
        return endless_line if request.is_watch else json_answer(listed)

    with Villain(script) as villain:
        with pytest.raises(OperationTimeoutError, match="longer than"):
            storage_of(villain).wait_for_pod_start(NAMES.pod, NAMES.namespace, timeout_of(1))
        assert len([each for each in villain.requests if each.is_watch]) > 1


def packed(*members: bytes) -> bytes:
    """A gzip file of several members."""
    return b"".join(map(gzip.compress, members))


TEXT = json.dumps({**PENDING, "padding": "x" * 300_000}).encode()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(TEXT, {}, id="plain"),
        pytest.param(TEXT, {"Content-Encoding": "identity"}, id="identity"),
        pytest.param(packed(TEXT), GZIP, id="gzip"),
        pytest.param(packed(TEXT), {"Content-Encoding": " X-GZip "}, id="x-gzip"),
        pytest.param(packed(TEXT[:7], TEXT[7:], b""), GZIP, id="three members"),
    ],
)
def test_body_is_read_whole(body: bytes, headers: dict[str, str], storage_of: StorageOf) -> None:
    """However it comes."""
    with Villain(answer(200, body, headers)) as villain:
        storage = storage_of(villain)
        phases = [read_phase(storage, timeout_of(5)) for _ in range(2)]
        assert ([PodPhase.PENDING] * 2, 1) == (phases, villain.connections)


@pytest.mark.parametrize(
    ("body", "encoding", "text"),
    [
        (packed(TEXT)[:-9], "gzip", "not whole"),
        (packed(TEXT)[:10] + b"\xff" * 100, "gzip", "damaged"),
        (b"", "gzip", "not whole"),
        (TEXT, "br", "other means than gzip"),
        (packed(packed(TEXT)), "gzip, gzip", "other means than gzip"),
    ],
)
def test_body_that_cannot_be_decompressed_is_tried_again(
    body: bytes, encoding: str, text: str, storage_of: StorageOf
) -> None:
    """Until the deadline, which says what is wrong."""
    damaged = answer(200, body, {"Content-Encoding": encoding})
    with Villain(damaged) as villain, pytest.raises(OperationTimeoutError, match=text):
        read_phase(storage_of(villain), timeout_of(0.2))


def test_pieces_of_a_bomb_are_small() -> None:
    """No step takes the memory of all that comes out."""
    sizes = [len(piece) for piece in _body._unzipped([gzip_bomb()])]
    assert max(sizes) == _body.PIECE_BYTES
    assert sum(sizes) == 1 << 27


def response_of(file: io.BufferedReader) -> urllib3.HTTPResponse:
    """An answer that is read from a file, up to its body."""
    sock = type("Sock", (), {"makefile": lambda *_, **__: file})
    original = http.client.HTTPResponse(sock(), method="GET")
    original.begin()
    return urllib3.HTTPResponse(
        original, dict(original.headers), 200, preload_content=False, original_response=original
    )


class Segments(io.RawIOBase):
    """A file that gives no more at a time than what a socket would have got."""

    def __init__(self, *segments: bytes) -> None:
        self._segments = list(segments)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Give a segment."""
        segment = self._segments.pop(0) if self._segments else b""
        buffer[: len(segment)] = segment
        return len(segment)


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n00a;name=value\r\n, chunks\r\n\r\n0\r\nTrailer: 1\r\n\r\n"


@pytest.mark.parametrize("size", range(1, len(CHUNKS) + 1))
def test_chunks_are_read_wherever_they_are_cut(size: int) -> None:
    """Extensions and trailers are passed over, and the connection is free afterwards."""
    pieces = [CHUNKS[at : at + size] for at in range(0, len(CHUNKS), size)]
    response = response_of(io.BufferedReader(Segments(HEAD, *pieces)))
    assert b"hello, chunks\r\n" == b"".join(_body.arriving(response))
    assert response.closed


@pytest.mark.parametrize("behind", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_connection_is_not_used_again_if_something_has_come_behind(behind: bytes) -> None:
    """It would be taken for the next answer."""
    response = response_of(io.BufferedReader(Segments(HEAD, CHUNKS + behind)))
    connection, pool = Mock(), Mock()
    response._connection, response._pool = connection, pool
    assert b"hello, chunks\r\n" == b"".join(_body.arriving(response))
    assert (not behind, bool(behind)) == (pool._put_conn.called, connection.close.called)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"5",
        b"5\r\nhel",
        b"5\r\nhello\r\n",
        b"5\r\nhello\r\n0\r\n",
        b"-5\r\nhello",
        b"0x5\r\nhello",
        b"+5\r\nhello",
        b"5_0\r\nhello",
        b"\r\nhello",
        b"hello\r\n",
        b"5 5\r\nhello",
        b"5" * (1 << 17),
        b"5;" + b"x" * (1 << 17) + b"\r\n",
    ],
)
def test_body_that_is_not_in_chunks_as_it_claims_is_an_error(body: bytes) -> None:
    """Nobody takes a stream that was cut for one that has ended."""
    segments = [body[at : at + 4096] for at in range(0, len(body), 4096)]
    response = response_of(io.BufferedReader(Segments(HEAD, *segments)))
    with pytest.raises(http.client.HTTPException):
        list(_body.arriving(response))


def test_chunk_is_there_before_the_line_that_ends_it() -> None:
    """An API server sends that on its own, after the event, and nobody need wait for it."""
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as file:
        ours.settimeout(5)
        theirs.sendall(HEAD + b"5\r\nhello")
        response = response_of(file)
        pieces = _body.arriving(response)
        assert b"hello" == next(pieces)
        theirs.sendall(b"\r\n2\r\n!!")
        assert b"!!" == next(pieces)
        pieces.close()
        response.close()


def test_whoever_stands_in_between_is_asked() -> None:
    """What is read past a wrapper of an answer, such as a recorder's, would be lost to it."""

    class Wrapper:
        def __init__(self, response: urllib3.HTTPResponse) -> None:
            self._response = response
            self.seen: list[bytes] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(self._response, name)

        def stream(self, *arguments: Any, **options: Any) -> Iterator[bytes]:
            for piece in self._response.stream(*arguments, **options):
                self.seen.append(piece)
                yield piece

    wrapper = Wrapper(response_of(io.BufferedReader(Segments(HEAD, CHUNKS))))
    pieces = list(_body.arriving(wrapper))
    assert b"hello, chunks\r\n" == b"".join(pieces)
    assert pieces == wrapper.seen

"""Answers that are too large end by the deadline, and take no more memory than they may."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from lab_storage import OperationTimeoutError
from lab_storage._transport import body as body_module
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.limits import LIMIT_SECONDS
from tests.support.states import NAMES, read_phase
from tests.support.villain import Act, Peer, Villain, act, answer, json_answer, raw
from tests.support.villain import stream as stream_of
from tests.support.watching import follow_pods, line, listed, pod, take, turns

MEBIBYTE = 1 << 20


@act
def endless(peer: Peer) -> None:
    """Answer with a chunked body that never ends."""
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.send(b"100000\r\n" + b"[" * MEBIBYTE + b"\r\n")


def bomb(size: int) -> bytes:
    """Give a gzip file that grows to that size, as members of 16 MiB one after another."""
    member = gzip.compress(b" " * (16 * MEBIBYTE), 9)
    return member * (size // (16 * MEBIBYTE))


TOO_LARGE: dict[str, Callable[[], Act]] = {
    "declared": lambda: raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n[[["),
    "JSON": lambda: json_answer({"items": ["x" * 50] * 1_200_000}),
    "bomb": lambda: answer(200, bomb(2048 * MEBIBYTE), {"Content-Encoding": "gzip"}),
    "endless": lambda: endless,
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_ends_by_the_deadline(what: str, storage_of: StorageOf) -> None:
    """However it is sent."""
    timeout_seconds = 1.0
    with Villain(TOO_LARGE[what]()) as villain:
        storage = storage_of(villain)
        timeout = timeout_of(timeout_seconds)
        with pytest.raises(OperationTimeoutError) as caught:
            read_phase(storage, timeout)
        assert timeout.elapsed() < timeout_seconds + LIMIT_SECONDS
    if what != "declared":
        assert "the answer is longer than 32 MiB" == caught.value.last


def test_large_answer_that_is_allowed_is_read(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunked or compressed, up to the bound."""
    body = b'{"metadata": {}, "a": "' + b"x" * 100_000 + b'", "status": {"phase": "Pending"}}'
    monkeypatch.setattr(body_module, "MOST_BYTES", len(body))
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(part), part)
        for part in (body[start : start + 999] for start in range(0, len(body), 999))
    )
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    zipped = answer(200, gzip.compress(body), {"Content-Encoding": "gzip"})
    with Villain(answer(200, body), raw(chunked), zipped, raw(chunked)) as villain:
        storage = storage_of(villain)
        for _ in range(4):
            storage.read_pod_phase(NAMES, timeout_of(5))
        assert 4 == len(villain.requests)


def test_line_of_a_watch_is_bounded(logger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One without an end is a failure of the watch, and is not kept."""
    monkeypatch.setattr("lab_storage._api.stream.MOST_BYTES", 200_000)

    def long_line(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            peer.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")

    watches: list[Act] = [act(long_line), stream_of(line("MODIFIED", pod(11)))]
    with Villain(turns([listed(pod())], watches)) as villain:
        assert ("MODIFIED", "u1", "11") == take(follow_pods(villain, logger), 3)[-1]

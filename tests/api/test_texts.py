"""What a caller and the log are told about failures, whatever the server puts into them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import LogCapture

from lab_storage import KubernetesError, OperationTimeoutError
from lab_storage._api.answer import Answer
from lab_storage._api.redaction import safe_message
from lab_storage._api.request import Request
from lab_storage._manifests.kinds import POD, SECRET
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.pauses import SetPauses
from tests.support.states import PENDING, read_phase
from tests.support.villain import Act, Villain, answer, json_answer, raw, status

ESCAPE = "\x1b[2J\x1b]0;owned\x07"


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.mark.parametrize(
    "act",
    [
        raw(f"HTTP/1.1 999{ESCAPE} what\r\n\r\n".encode()),
        raw(f"{ESCAPE}\r\n\r\n".encode()),
        raw(f"HTTP/1.1 200 OK\r\nContent-Length: {ESCAPE}\r\n\r\n".encode()),
        raw(f"HTTP/1.1 503 {ESCAPE}\r\nContent-Length: 0\r\n\r\n".encode()),
        raw(b"HTTP/1.1 x\ry\x1b[2J\n\r\n"),
        status(503, f"a\r\nb{ESCAPE}", f"a\r\nb{ESCAPE}"),
        answer(503, f"a\r\nb{ESCAPE}".encode(), {"Content-Type": "text/plain"}),
    ],
)
def test_nothing_moves_a_cursor(
    act: Act, storage_of: StorageOf, log: LogCapture, set_pauses: SetPauses
) -> None:
    """Neither in the log nor in the error."""
    set_pauses(0.05)
    with Villain(act) as villain:
        storage = storage_of(villain)
        with pytest.raises(OperationTimeoutError) as caught:
            read_phase(storage, timeout_of(0.4))

    reasons = [entry["reason"] for entry in log.entries if "reason" in entry]
    texts = [str(caught.value), caught.value.last, *reasons]
    assert [True] * len(texts) == [str(text).isprintable() for text in texts]
    assert reasons


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect_says_where_to(code: int, storage_of: StorageOf) -> None:
    """That is mostly what is wrong with the address."""
    moved = answer(code, b"<html>", {"Location": f"https://login.example/\t{ESCAPE}"})
    with Villain(moved) as villain:
        storage = storage_of(villain)
        with pytest.raises(KubernetesError) as caught:
            read_phase(storage, timeout_of(5))

    assert (code, 1) == (caught.value.status, len(villain.requests))
    assert "(Location: https://login.example/ \\x1b[2J" in caught.value.message
    assert caught.value.message.isprintable()


def last_of(storage_of: StorageOf, villain: Villain, **settings: Any) -> str:
    """Give what a timeout reports."""
    storage = storage_of(villain, **settings)
    with pytest.raises(OperationTimeoutError) as caught:
        read_phase(storage, timeout_of(0.4))
    return str(caught.value.last)


def test_refused_connection(storage_of: StorageOf, closed_port: int) -> None:
    """No class of urllib3's, and none of ours."""
    with Villain(json_answer(PENDING)) as villain:
        last = last_of(storage_of, villain, host=f"http://127.0.0.1:{closed_port}")
    assert f"cannot connect to 127.0.0.1:{closed_port}: [Errno 111] Connection refused" == last


def test_name_that_does_not_exist(storage_of: StorageOf) -> None:
    """The name, and what the resolver says."""
    with Villain(json_answer(PENDING)) as villain:
        last = last_of(storage_of, villain, host="http://nowhere.invalid:1")
    assert last.startswith("Failed to resolve 'nowhere.invalid' ([Errno -")


@pytest.mark.parametrize("tls", [False, True])
def test_proxy_that_is_down(storage_of: StorageOf, closed_port: int, tls: bool) -> None:
    """It is the proxy that cannot be reached, and the text says so."""
    with Villain(json_answer(PENDING), tls=tls) as villain:
        last = last_of(storage_of, villain, proxy=f"http://127.0.0.1:{closed_port}")
    refused = f"cannot connect to 127.0.0.1:{closed_port}: [Errno 111] Connection refused"
    assert last.endswith(f"proxy: {refused}")
    assert "object at 0x" not in last
    assert "Connection(" not in last


def test_proxy_that_wants_a_password(storage_of: StorageOf) -> None:
    """For a tunnel, the status is the proxy's."""
    wanted = answer(407, b"", {"Proxy-Authenticate": "Basic"})
    with Villain(wanted) as proxy, Villain(json_answer(PENDING), tls=True) as villain:
        storage = storage_of(villain, proxy=proxy.url)
        with pytest.raises(KubernetesError) as caught:
            read_phase(storage, timeout_of(5))
    assert caught.value.message.endswith("proxy: Tunnel connection failed: 407 Because")


def test_proxy_that_wants_a_password_for_plain_http(storage_of: StorageOf) -> None:
    """There it is an answer like any other, and final."""
    with Villain(answer(407, b"")) as proxy, Villain(json_answer(PENDING)) as villain:
        storage = storage_of(villain, proxy=proxy.url)
        with pytest.raises(KubernetesError, match="407: Proxy Authentication Required"):
            read_phase(storage, timeout_of(5))


@pytest.mark.parametrize(
    "message",
    [
        'secrets "lab" is forbidden: exceeded quota: q, requested: ' + "x=y," * 5000,
        'secrets "lab" is forbidden: exceeded quota: q, requested: ' + "x=y" * 5000 + "!",
        'secrets "lab" is forbidden: User "' + "a:" * 30_000,
        'secrets "lab" is forbidden: status unknown for quota: q, resources: ' + "a,!" * 30_000,
        'secrets "lab" is forbidden: exceeded quota: ' + "q." * 30_000,
        " " * 60_000,
    ],
)  # fmt: skip
def test_long_message_about_a_secret_takes_no_time(message: str) -> None:
    """The pattern of what is harmless does not go back and forth."""
    content = {"kind": "Status", "message": message}
    answered = Answer(403, {}, json.dumps(content).encode())
    began = time.process_time()
    text = safe_message(answered, Request("POST", SECRET, "lab-jovyan", "lab"))
    assert time.process_time() - began < 0.5
    assert text != message


def test_message_about_anything_else_is_shown() -> None:
    """Only what is confidential is withheld."""
    answered = Answer(403, {}, b'{"kind": "Status", "message": "hunter2"}')
    assert "hunter2" == safe_message(answered, Request("GET", POD, "lab-jovyan", "lab"))

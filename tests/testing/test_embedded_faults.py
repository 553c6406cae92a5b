"""Faults on demand: each hits the requests that it names, as often as it says."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
import urllib3

from lab_storage.testing import Answer, Drip, EmbeddedServer, Expire, Reset, Silence, Truncate

from .plain import Plain, in_lab

BODY = {"metadata": {"name": "x"}}
EARLIER = urllib3.Timeout(connect=10, read=0.3)


@pytest.mark.parametrize("after_commit", [False, True])
def test_silence_is_before_or_after_the_deed(plain: Plain, after_commit: bool) -> None:
    """The client cannot tell which: it only waits."""
    plain.server.add_fault(Silence(after_commit=after_commit), verb="create", resource="secrets")
    plain.pool.connection_pool_kw["timeout"] = EARLIER

    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        plain.ask("POST", in_lab("secrets"), BODY)

    assert (200 if after_commit else 404) == plain.ask("GET", in_lab("secrets", "x"))[0]


@pytest.mark.parametrize("after_commit", [False, True])
def test_reset_is_before_or_after_the_deed(plain: Plain, after_commit: bool) -> None:
    """The lost response of a create that was carried out, or was not."""
    plain.server.add_fault(Reset(after_commit=after_commit), verb="create", resource="secrets")

    with pytest.raises(urllib3.exceptions.ProtocolError) as raised:
        plain.ask("POST", in_lab("secrets"), BODY)

    assert isinstance(raised.value.args[1], ConnectionResetError)
    assert (200 if after_commit else 404) == plain.ask("GET", in_lab("secrets", "x"))[0]


def test_drip_sends_byte_by_byte(plain: Plain) -> None:
    """Each byte is in time for a socket's timeout, and the whole takes longer than that."""
    plain.server.add_fault(Drip(timedelta(seconds=0.002)), verb="get")
    plain.pool.connection_pool_kw["timeout"] = EARLIER

    begin = time.monotonic()
    response = plain.send("GET", in_lab("serviceaccounts", "default"))

    assert 200 == response.status
    assert time.monotonic() - begin >= 0.002 * len(response.data)


@pytest.mark.parametrize(
    ("retry_after", "header", "details"),
    [
        (None, None, None),
        ("7", "7", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", None),
        (timedelta(seconds=3), "3", {"retryAfterSeconds": 3}),
    ],
)
def test_answer_is_as_asked_for(
    plain: Plain, retry_after: Any, header: str | None, details: Any
) -> None:
    """Status, message, reason, and Retry-After in each of its forms; nothing is done."""
    effect = Answer(429, "slower", "TooManyRequests", retry_after)
    plain.server.add_fault(effect, verb="create")

    response = plain.send("POST", in_lab("secrets"), BODY)

    answer = response.json()
    assert 429 == response.status
    assert header == response.headers.get("Retry-After")
    assert ("slower", "TooManyRequests", 429) == (
        answer["message"],
        answer["reason"],
        answer["code"],
    )
    assert details == answer.get("details")
    assert 404 == plain.ask("GET", in_lab("secrets", "x"))[0]


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"kind": "Pod"'])
def test_answer_can_be_any_bytes(plain: Plain, body: bytes) -> None:
    """What proxies answer, and what is not JSON."""
    plain.server.add_fault(Answer(200, body=body), verb="get")

    assert body == plain.send("GET", in_lab("pods", "x")).data


def test_truncated_answer_ends_within_its_body(plain: Plain) -> None:
    """The Content-Length promises more, and the request was carried out."""
    plain.server.add_fault(Truncate(after_bytes=12), verb="create")

    with pytest.raises(urllib3.exceptions.ProtocolError, match="12 bytes read"):
        plain.send("POST", in_lab("secrets"), BODY)

    assert 200 == plain.ask("GET", in_lab("secrets", "x"))[0]


@pytest.mark.parametrize("in_stream", [False, True])
def test_expired_watch_is_told_in_the_stream_or_by_the_status(
    plain: Plain, in_stream: bool
) -> None:
    """Real servers do both."""
    plain.server.add_fault(Expire(in_stream=in_stream), verb="watch")

    response = plain.send("GET", in_lab("pods") + "?watch=1")

    answer = response.json()
    assert (200 if in_stream else 410) == response.status
    status = answer["object"] if in_stream else answer
    assert ("Expired", 410) == (status["reason"], status["code"])


def test_expired_list_is_told_by_the_status(plain: Plain) -> None:
    """There is no stream that could carry the error."""
    plain.server.add_fault(Expire(), verb="list", resource="pods")

    assert 410 == plain.ask("GET", in_lab("pods"))[0]


# Watches


def test_silent_watch_has_headers_and_no_events(plain: Plain) -> None:
    """What a load balancer leaves of a watch that it has forgotten."""
    plain.make("secrets")
    plain.server.add_fault(Silence(after_commit=True), verb="watch")
    plain.pool.connection_pool_kw["timeout"] = EARLIER

    with (
        pytest.raises(urllib3.exceptions.ReadTimeoutError),
        plain.watch(in_lab("secrets")) as events,
    ):
        next(events)


def test_reset_watch_has_told_what_exists(plain: Plain) -> None:
    """And is then cut off."""
    plain.make("secrets")
    plain.server.add_fault(Reset(after_commit=True), verb="watch")

    with plain.watch(in_lab("secrets")) as events:
        assert "ADDED" == next(events)["type"]
        with pytest.raises(urllib3.exceptions.ProtocolError):
            next(events)


def test_open_watches_can_be_ended(plain: Plain) -> None:
    """As if their time were over; events that were sent before are not lost."""
    with plain.watch(in_lab("secrets")) as events:
        plain.make("secrets")
        assert "ADDED" == next(events)["type"]

        plain.server.end_watches()

        assert [] == list(events)


def test_open_watches_can_be_reset(plain: Plain) -> None:
    """As by a network that breaks."""
    with plain.watch(in_lab("secrets")) as events:
        plain.server.reset_watches()

        with pytest.raises(urllib3.exceptions.ProtocolError):
            next(events)


def test_open_watches_can_be_silenced(plain: Plain) -> None:
    """They stay open and hear of nothing; new ones do."""
    plain.pool.connection_pool_kw["timeout"] = EARLIER
    with plain.watch(in_lab("secrets")) as old:
        plain.server.silence_watches()
        plain.make("secrets")

        with plain.watch(in_lab("secrets")) as new:
            assert "ADDED" == next(new)["type"]
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            next(old)


# Rules


def test_fault_hits_as_often_as_asked_for(plain: Plain) -> None:
    """Once by default, and until it is removed with None."""
    once = plain.server.add_fault(Answer(503), verb="get", resource="pods")
    always = plain.server.add_fault(Answer(500), verb="get", resource="secrets", times=None)

    statuses = [plain.ask("GET", in_lab(kind, "x"))[0] for kind in ("pods", "secrets") * 3]
    always.remove()
    always.remove()

    assert [503, 500, 404, 500, 404, 500] == statuses
    assert (1, 3) == (once.hits, always.hits)
    assert 404 == plain.ask("GET", in_lab("secrets", "x"))[0]


def test_first_fault_that_fits_hits(plain: Plain) -> None:
    """So that one can be followed by another."""
    for status in (500, 502, 503):
        plain.server.add_fault(Answer(status), verb="get")

    assert [500, 502, 503, 404] == [plain.ask("GET", in_lab("pods", "x"))[0] for _ in range(4)]


@pytest.mark.parametrize(
    ("rule", "hit"),
    [
        ({"name": "x", "verb": "create"}, ["create"]),
        ({"resource": "secrets"}, ["create", "list", "get"]),
        ({"resource": "pods/status"}, ["patch"]),
        ({"namespace": "lab", "verb": "list"}, ["list"]),
        ({"namespace": "other"}, []),
        ({"user": "hub"}, []),
    ],
)
def test_fault_hits_what_it_is_about(plain: Plain, rule: dict[str, Any], hit: list[str]) -> None:
    """By verb, resource, namespace, name and user; the name of a new object is its manifest's."""
    plain.server.add_fault(Answer(418), times=None, **rule)
    requests = {
        "create": ("POST", in_lab("secrets"), BODY),
        "list": ("GET", in_lab("secrets"), None),
        "get": ("GET", in_lab("secrets", "y"), None),
        "patch": ("PATCH", in_lab("pods", "z") + "/status", {}),
    }

    statuses = {verb: plain.ask(*request)[0] for verb, request in requests.items()}

    assert hit == [verb for verb, status in statuses.items() if status == 418]


def test_hits_can_be_waited_for(embedded_server: EmbeddedServer) -> None:
    """And waiting for one that does not come ends."""
    fault = embedded_server.add_fault(Answer(503))
    with pytest.raises(TimeoutError, match="has hit 0 times instead of 1"):
        fault.wait(timedelta(0))

    Plain(embedded_server).ask("GET", in_lab("pods"))

    fault.wait()

"""What is tried again, when, and what is not."""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
import urllib3.exceptions
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.client.exceptions import ApiException
from structlog.testing import LogCapture

from lab_storage import KubernetesError, OperationTimeoutError, PodPhase
from lab_storage._api.answer import Answer, TransientError
from lab_storage._api.call import Call
from lab_storage._api.request import Request
from lab_storage._api.retry import retry_after_seconds
from lab_storage._manifests.kinds import POD
from tests.support.calls import call_of
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.pauses import SetPauses
from tests.support.states import NAMES, PENDING, read_phase
from tests.support.villain import (
    Act,
    Villain,
    answer,
    hang_up,
    json_answer,
    raw,
    reset,
    silence,
    status,
    status_content,
    truncate,
)

HTML = b"<html><body><h1>It works!</h1></body></html>"


def head(*lines: bytes) -> bytes:
    """Give the lines of an answer's head, and the blank one after."""
    return b"\r\n".join(lines) + b"\r\n\r\n"


def warnings_of(log: LogCapture) -> list[Any]:
    """Give the log lines about what is tried again."""
    return [entry for entry in log.entries if entry["log_level"] == "warning"]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would be made; none is."""
    made: list[float] = []

    def sleep(call: Call, seconds: float) -> None:
        made.append(seconds)
        call.check()

    monkeypatch.setattr(Call, "sleep", sleep)
    return made


class TestFinal:
    """What no other try would change."""

    @pytest.mark.parametrize("code", [302, 400, 402, 403, 405, 406, 409, 410, 413, 415, 418, 422])
    def test_other_refusals_are_raised_at_once(self, code: int, storage_of: StorageOf) -> None:
        """With what the server said, after one request."""
        refused = status(code, "Because", "not\nallowed", headers={"Location": "/elsewhere"})
        with Villain(refused) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError) as caught:
                read_phase(storage, timeout_of(5))

        error = caught.value
        assert 1 == len(villain.requests)
        assert (code, "Because", "not allowed") == (error.status, error.reason, error.message)
        assert ("Pod", NAMES.namespace, NAMES.pod) == (error.kind, error.namespace, error.name)
        assert ("jovyan", "Testing") == (error.user, error.operation)
        assert f"Testing: Pod lab-jovyan/lab (user jovyan): {code} Because: not allowed" == str(
            error
        )

    def test_the_cause_is_the_clients_own_exception(self, storage_of: StorageOf) -> None:
        """With status, reason, headers and body, for whoever knows it."""
        with Villain(status(403, "Forbidden", headers={"Audit-Id": "4711"})) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError) as caught:
                read_phase(storage, timeout_of(5))

        cause = caught.value.__cause__
        assert isinstance(cause, ApiException)
        assert (403, "Forbidden", "4711") == (
            cause.status,
            cause.reason,
            cause.headers["Audit-Id"],
        )
        assert caught.value.body == cause.body

    @pytest.mark.parametrize(
        ("code", "message"), [(403, "Forbidden"), (404, "Not Found"), (499, "no reason given")]
    )
    def test_a_refusal_in_html_is_told_by_its_status(
        self, code: int, message: str, storage_of: StorageOf
    ) -> None:
        """It is that of something on the way, which knows nothing of pods: no pod is missing."""
        with Villain(answer(code, HTML)) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError) as caught:
                read_phase(storage, timeout_of(5))

        error = caught.value
        assert (code, message, None) == (error.status, error.message, error.reason)
        assert HTML.decode() == error.body

    def test_a_redirect_is_not_followed(self, storage_of: StorageOf) -> None:
        """It could lead to another host, with the token."""
        with Villain() as other:
            moved = answer(301, b"", {"Location": f"{other.url}/elsewhere"})
            with Villain(moved) as villain:
                storage = storage_of(villain)
                with pytest.raises(KubernetesError) as caught:
                    read_phase(storage, timeout_of(5))

            assert (301, 0) == (caught.value.status, other.connections)


class TestAgain:
    """What may well be better the next time."""

    @pytest.mark.parametrize("code", [429, 500, 501, 502, 503, 504, 507, 599])
    @pytest.mark.parametrize("body", [None, HTML, b""])
    def test_a_server_in_trouble_is_asked_again(
        self, code: int, body: bytes | None, storage_of: StorageOf, log: LogCapture
    ) -> None:
        """By one request more, and a log line that says so."""
        first = status(code, "InTrouble", "try later") if body is None else answer(code, body)
        with Villain(first, json_answer(PENDING)) as villain:
            assert PodPhase.PENDING is read_phase(storage_of(villain), timeout_of(5))
            assert 2 == len(villain.requests)
        (entry,) = warnings_of(log)
        reason = entry.pop("reason")
        assert reason.startswith(f"{code} InTrouble: try later" if body is None else f"{code}: ")
        assert 0 <= entry.pop("wait_seconds") <= 0.1
        assert {
            "event": "Retrying Kubernetes request",
            "log_level": "warning",
            "attempt": 1,
            "status": code,
            "user": "jovyan",
            "kind": "Pod",
            "namespace": NAMES.namespace,
            "name": NAMES.pod,
        } == entry

    @pytest.mark.parametrize(
        "act",
        {
            "reset": reset,
            "closed": hang_up,
            "truncated": truncate(PENDING),
            "truncated in a chunk": truncate(PENDING, chunked=True),
            "closed in the headers": raw(b"HTTP/1.1 200 OK\r\nContent-"),
            "no HTTP": raw(b"220 mail.example ESMTP\r\n\r\n"),
            "not even text": raw(bytes(range(256))),
            "TLS alert": raw(b"\x15\x03\x01\x00\x02\x02\x46"),
            "unknown version": raw(head(b"HTTP/9.9 200 OK", b"Content-Length: 2") + b"{}"),
            "endless status line": raw(b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n"),
            "endless header": raw(head(b"HTTP/1.1 200 OK", b"X: " + b"x" * 100_000)),
            "too many headers": raw(head(b"HTTP/1.1 200 OK", *[b"X: y"] * 1000)),
            "chunk of no length": raw(
                head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n"
            ),
            "chunk of negative length": raw(
                head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked") + b"-2\r\n{}\r\n0\r\n\r\n"
            ),
            "two lengths": raw(
                head(b"HTTP/1.1 200 OK", b"Content-Length: 2", b"Content-Length: 3") + b"{}"
            ),
            "broken compression": answer(200, b"{}", {"Content-Encoding": "gzip"}),
            "truncated compression": answer(
                200, gzip.compress(b"{}" * 999)[:-9], {"Content-Encoding": "gzip"}
            ),
            "empty": answer(200, b""),
            "no content": raw(head(b"HTTP/1.1 204 No Content")),
            "HTML": answer(200, HTML),
            "half an object": answer(200, b'{"status": {"phase": "Pen'),
            "list": answer(200, b"[]"),
            "null": answer(200, b"null"),
            "text": answer(200, b'"Pending"'),
            "broken text": answer(200, b'{"status": "\xff\xfe"}'),
            "deep": answer(200, b"[" * 200_000),
            "huge number": answer(200, b'{"a": %b}' % (b"9" * 10_000)),
        }.items(),
        ids=lambda item: item[0],
    )
    def test_an_answer_that_cannot_be_used_is_asked_for_again(
        self, act: tuple[str, Act], storage_of: StorageOf, log: LogCapture
    ) -> None:
        """By one request more; whatever it was, the caller gets no error of another's."""
        with Villain(act[1], json_answer(PENDING)) as villain:
            assert PodPhase.PENDING is read_phase(storage_of(villain), timeout_of(5))
            assert 2 == len(villain.requests)
        (entry,) = warnings_of(log)
        assert (None, 1) == (entry["status"], entry["attempt"])
        assert len(entry["reason"]) < 1000

    def test_every_try_is_one_request(self, storage_of: StorageOf, log: LogCapture) -> None:
        """Whatever the caller's own client is told about retries, and whatever fails."""
        acts = (reset, status(503), truncate(PENDING), status(429), answer(200, b""))
        with Villain(*acts, json_answer(PENDING)) as villain:
            read_phase(storage_of(villain, retries=7), timeout_of(30))

            assert len(acts) + 1 == len(villain.requests)
        attempts = [(entry["attempt"], entry["status"]) for entry in warnings_of(log)]
        assert [(1, None), (2, 503), (3, None), (4, 429), (5, None)] == attempts

    @pytest.mark.parametrize(
        ("act", "last", "cause"),
        [
            (
                status(503, "ServiceUnavailable", "etcd is\naway"),
                "503 ServiceUnavailable: etcd is away",
                KubernetesError,
            ),
            (answer(502, HTML), "502: Bad Gateway", KubernetesError),
            (reset, "Connection reset by peer", urllib3.exceptions.ProtocolError),
            (hang_up, "closed connection without response", urllib3.exceptions.ProtocolError),
            (answer(200, HTML), "the answer is not a JSON object", type(None)),
        ],
    )
    def test_a_timeout_tells_what_it_was(
        self, act: Act, last: str, cause: type, storage_of: StorageOf
    ) -> None:
        """In its text, and the exception as its cause."""
        with Villain(act) as villain:
            storage = storage_of(villain)
            with pytest.raises(OperationTimeoutError) as caught:
                read_phase(storage, timeout_of(0.4))

        assert last in str(caught.value)
        assert str(caught.value).endswith(")")
        assert cause is type(caught.value.__cause__)

    def test_a_timeout_on_silence_after_trouble_tells_the_trouble(
        self, storage_of: StorageOf
    ) -> None:
        """What is known last is said last."""
        with Villain(status(503, "Overloaded"), silence) as villain:
            storage = storage_of(villain)
            with pytest.raises(OperationTimeoutError, match="503 Overloaded"):
                read_phase(storage, timeout_of(0.4))


class TestPause:
    """How long it takes until the next try."""

    def test_grows_to_a_bound(
        self, pauses: list[float], storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Doubled from time to time; here chance gives the longest."""
        monkeypatch.setattr("random.uniform", lambda _, high: high)
        with Villain(*[status(503)] * 8, json_answer(PENDING)) as villain:
            read_phase(storage_of(villain), timeout_of(5))

        assert [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0] == pauses

    def test_is_random(self, pauses: list[float], storage_of: StorageOf) -> None:
        """So that those who failed together do not come back together."""
        with Villain(*[status(503)] * 8, json_answer(PENDING)) as villain:
            read_phase(storage_of(villain), timeout_of(5))

        bounds = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
        assert 8 == len({*pauses})
        assert all(0 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))

    @pytest.mark.parametrize(
        ("code", "headers", "details"),
        [
            (429, {"Retry-After": "3"}, None),
            (503, {"Retry-After": " 3 "}, None),
            (500, {}, {"retryAfterSeconds": 3}),
            (429, {"Retry-After": "1"}, {"retryAfterSeconds": 3}),
            (429, {"Retry-After": "3"}, {"retryAfterSeconds": 1}),
        ],
    )
    def test_is_never_shorter_than_the_server_says(
        self,
        code: int,
        headers: dict[str, str],
        details: Any,
        pauses: list[float],
        storage_of: StorageOf,
    ) -> None:
        """In its header or its Status, of which the longer counts."""
        act = status(code, "Wait", details=details, headers=headers)
        with Villain(act, json_answer(PENDING)) as villain:
            read_phase(storage_of(villain), timeout_of(5))

        assert [3.0] == pauses

    def test_keeps_to_a_date(self, pauses: list[float], storage_of: StorageOf) -> None:
        """As HTTP writes one, which has no fractions."""
        date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=3), usegmt=True)
        with Villain(status(503, headers={"Retry-After": date}), json_answer(PENDING)) as villain:
            read_phase(storage_of(villain), timeout_of(5))

        assert 1.5 < pauses[0] <= 3

    def test_may_be_longer_than_the_server_says(
        self, pauses: list[float], storage_of: StorageOf, set_pauses: SetPauses
    ) -> None:
        """Our own patience counts too."""
        set_pauses(4.0)
        act = status(429, headers={"Retry-After": "1"})
        with Villain(act, json_answer(PENDING)) as villain:
            read_phase(storage_of(villain), timeout_of(5))

        assert [4.0] == pauses

    @pytest.mark.parametrize("code", [429, 500, 503])
    @pytest.mark.parametrize(
        ("headers", "details"),
        [
            ({"Retry-After": "3600"}, None),
            ({"Retry-After": "9" * 500}, None),
            ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
            ({}, {"retryAfterSeconds": 3600}),
            ({}, {"retryAfterSeconds": 10**500}),
            ({"Retry-After": "0"}, {"retryAfterSeconds": 6}),
        ],
    )
    def test_past_the_deadline_is_an_error_at_once(
        self,
        code: int,
        headers: dict[str, str],
        details: Any,
        pauses: list[float],
        storage_of: StorageOf,
    ) -> None:
        """Of that status, after one request and no pause."""
        act = status(code, "Wait", "come back tomorrow", details=details, headers=headers)
        with Villain(act) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError, match=f"{code} Wait: come back") as caught:
                read_phase(storage, timeout_of(5))

        assert (code, [], 1) == (caught.value.status, pauses, len(villain.requests))


def refused(content: Any) -> Answer:
    """Give a refusal with that content."""
    return Answer(503, {}, json.dumps(content).encode())


class TestRetryAfter:
    """What servers say about when to come back, and what they may mean."""

    @pytest.mark.parametrize(
        "header",
        [
            None, "", " ", "0", "-1", "-3600", "1.5", "1e3", "+5", "5 s", "5,6", "soon", "٣",
            "nan", "inf", "Infinity", "Wed", "Wed, 32 Foo 2026 25:61:61 GMT", ",,,", "()", "(",
            "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 24 Nov 0000 00:00:00 GMT",
            "Fri, 31 Dec 1999 23:59:59 +9999", "Fri, 31 Dec 99999 23:59:59 GMT",
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_or_is_past_is_none(self, header: str | None) -> None:
        """It does not hold anything up."""
        headers = {} if header is None else {"Retry-After": header}

        assert 0 == retry_after_seconds(Answer(503, headers, b""))

    @pytest.mark.parametrize(
        "stated", [None, 0, -1, "3", 1.5, float("inf"), True, [], {}, [3], {"seconds": 3}]
    )
    def test_a_status_that_does_not_say_a_number_says_none(self, stated: Any) -> None:
        """Seconds are whole, and some."""
        content = status_content(503, details={"retryAfterSeconds": stated})

        assert 0 == retry_after_seconds(refused(content))

    @pytest.mark.parametrize("details", [None, [], "3", 3])
    def test_details_may_be_anything(self, details: Any) -> None:
        """Also what they should not be."""
        assert 0 == retry_after_seconds(refused(status_content(503, details=details)))

    @pytest.mark.parametrize(("hours", "zone"), [(0, "GMT"), (0, "-0000"), (2, "+0200")])
    def test_a_date_counts_from_now(self, hours: int, zone: str) -> None:
        """In any zone; one that is not known is UTC."""
        then = datetime.now(timezone.utc) + timedelta(hours=hours, seconds=60)
        date = format_datetime(then, usegmt=True).replace("GMT", zone)

        assert 30 < retry_after_seconds(Answer(503, {"Retry-After": date}, b"")) <= 60

    @pytest.mark.parametrize("hours", [-7, 7])
    def test_a_date_counts_by_the_clock_of_the_answer(self, hours: int) -> None:
        """One that is wrong does no harm."""
        then = datetime.now(timezone.utc) + timedelta(hours=hours)
        headers = {
            "Date": format_datetime(then, usegmt=True),
            "Retry-After": format_datetime(then + timedelta(seconds=3), usegmt=True),
        }

        assert 3 == retry_after_seconds(Answer(503, headers, b""))

    @pytest.mark.parametrize("date", ["", "today", "Wed, 32 Foo 2026 25:61:61 GMT"])
    def test_a_clock_that_cannot_be_read_is_ours(self, date: str) -> None:
        """As if there were none."""
        then = datetime.now(timezone.utc) + timedelta(seconds=60)
        headers = {"Date": date, "Retry-After": format_datetime(then, usegmt=True)}

        assert 30 < retry_after_seconds(Answer(503, headers, b"")) <= 60

    @given(st.text() | st.from_regex(r"[\d .:,+A-Za-z-]{0,40}"))
    def test_is_never_an_error(self, header: str) -> None:
        """Whatever a header says."""
        assert 0 <= retry_after_seconds(Answer(503, {"Retry-After": header}, b""))


class TestPauseOfAWatch:
    """The pauses of what outlives a loop over attempts."""

    def test_grows_with_the_attempts(
        self, pauses: list[float], logger: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is never shorter than the server says; here chance gives the longest."""
        monkeypatch.setattr("random.uniform", lambda _, high: high)
        call, request = call_of(timeout_of(5), logger), Request("GET", POD, "lab", "lab")
        for attempt in (1, 2, 3):
            call.pause(request, TransientError("the watch broke"), attempt)
        call.pause(request, TransientError("the watch broke", 503, not_before_seconds=2.0), 1)

        assert [0.1, 0.2, 0.4, 2.0] == pauses

    def test_is_logged(self, pauses: list[float], logger: Any, log: LogCapture) -> None:
        """The line is that of a request."""
        call, request = call_of(timeout_of(5), logger), Request("GET", POD, "lab", "lab")
        call.pause(request, TransientError("the watch broke", 503), 1)

        assert 1 == len(pauses)
        assert [("the watch broke", 503, 1)] == [
            (each["reason"], each["status"], each["attempt"]) for each in warnings_of(log)
        ]

"""`follow` loses nothing, repeats nothing, and stops when told, whatever the server does."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import LogCapture

from lab_storage import KubernetesError, OperationTimeoutError
from lab_storage._api.changes import ADDED, DELETED, LISTED, MODIFIED, Change
from lab_storage._api.request import Request
from lab_storage._api.watch import LONGEST_WATCH_SECONDS, SHORTEST_WATCH_SECONDS, follow
from lab_storage._manifests.kinds import POD
from tests.support.calls import call_of
from tests.support.labs import timeout_of
from tests.support.pauses import SetPauses
from tests.support.villain import (
    Act,
    Seen,
    Villain,
    answer,
    json_answer,
    raw,
    status,
    status_content,
    stream,
)
from tests.support.watching import (
    NAMESPACE,
    Json,
    bookmark,
    brief,
    follow_pods,
    line,
    listed,
    pod,
    shapes,
    take,
    turns,
)

TOO_LARGE = "Timeout: Too large resource version: 10, current: 9"
#: A line that cannot be read makes no difference to what is told in the end.
UNREADABLE = {
    "no JSON": b"{\n",
    "half a line": b'{"type": "MODIFIED", "object": {"metadata"\n',
    "two in one": b"{}{}\n",
    "no object": b"[1]\n",
    "null": b"null\n",
    "no type": b'{"object": {"metadata": {}}}\n',
    "no content": b'{"type": "MODIFIED"}\n',
    "null content": b'{"type": "MODIFIED", "object": null}\n',
    "null metadata": b'{"type": "MODIFIED", "object": {"metadata": null}}\n',
    "unknown type": b'{"type": "PONDERED", "object": {"metadata": {"resourceVersion": "99"}}}\n',
    "type that is a list": b'{"type": [], "object": {"metadata": {}}}\n',
    "bookmark without version": b'{"type": "BOOKMARK", "object": {}}\n',
    "error without content": b'{"type": "ERROR", "object": "Expired"}\n',
    "no text": b"\xff\xfe\x00\x01\n",
    "null byte": b'{"type": "MODI\x00FIED"}\n',
    "nested too deep": b"[" * 100_000 + b"\n",
    "number too long": b'{"type": ' + b"9" * 10_000 + b"}\n",
}


@pytest.fixture
def attempts(set_pauses: SetPauses) -> list[int]:
    """Pauses are not slept; how many failures in a row each was for is written down."""
    seen: list[int] = []

    def jitter(attempt: int) -> float:
        seen.append(attempt)
        return 0.0

    set_pauses(jitter)
    return seen


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a line that cannot be read, the list is asked for a moment later."""
    monkeypatch.setattr("lab_storage._api.watch.DOUBT_SECONDS", 0.05)


def test_what_exists_comes_first_and_changes_after(logger: Any) -> None:
    """An ADDED for each object, a LISTED, and then what happens, as the server says it."""
    changed, other = pod(11, "Running"), pod(12, uid="u2")
    other["metadata"]["name"] = "another"
    watch = stream(line(MODIFIED, changed), line(ADDED, other), line(DELETED, pod(13)))
    with Villain(turns([listed(pod())], [watch])) as villain:
        changes = follow_pods(villain, logger)
        told = [next(changes) for _ in range(5)]
        changes.close()
        assert [
            Change(ADDED, pod()),
            Change(LISTED, {}),
            Change(MODIFIED, changed),
            Change(ADDED, other),
            Change(DELETED, pod(13)),
        ] == told
        assert ["list", 10] == shapes(villain.requests)


def test_server_is_asked_for_bookmarks_and_to_end_the_watch(logger: Any) -> None:
    """The server is to end the watch somewhat before its silence would be taken for death."""
    with Villain(turns([listed()], [stream()])) as villain:
        changes = follow_pods(villain, logger, 0.5)
        assert [(LISTED,)] == take(changes, 1)
        with pytest.raises(OperationTimeoutError):
            next(changes)
        _, watch = villain.requests
        assert "true" == watch.query["allowWatchBookmarks"]
        seconds = int(watch.query["timeoutSeconds"])
        assert SHORTEST_WATCH_SECONDS <= seconds <= LONGEST_WATCH_SECONDS


def test_orderly_end_is_resumed_at_once_on_the_same_connection(
    logger: Any, attempts: list[int]
) -> None:
    """A watch that the server has ended goes on from the last version that was seen."""
    watches = [
        stream(line(MODIFIED, pod(11)), end="orderly"),
        stream(line(MODIFIED, pod(12))),
    ]
    with Villain(turns([listed(pod())], watches)) as villain:
        changes = follow_pods(villain, logger)
        assert [
            (ADDED, "u1", "5"),
            (LISTED,),
            (MODIFIED, "u1", "11"),
            (MODIFIED, "u1", "12"),
        ] == take(changes, 4)
        assert ["list", 10, 11] == shapes(villain.requests)
        assert 1 == villain.connections
        assert [] == attempts
        changes.close()


def test_bookmark_moves_the_version_and_is_not_shown(logger: Any) -> None:
    """What a bookmark says counts for the next watch, and for nothing else."""
    watches = [stream(bookmark(20), end="orderly"), stream(line(MODIFIED, pod(21)))]
    with Villain(turns([listed(pod())], watches)) as villain:
        changes = follow_pods(villain, logger)
        assert [(ADDED, "u1", "5"), (LISTED,), (MODIFIED, "u1", "21")] == take(changes, 3)
        assert ["list", 10, 20] == shapes(villain.requests)
        changes.close()


@pytest.mark.parametrize("end", ["cut", "reset", "close", "orderly"])
@pytest.mark.parametrize("cut_at", [0, 1, 50, -2, -1])
def test_line_that_is_cut_comes_whole_on_the_next_watch(
    logger: Any, attempts: list[int], end: str, cut_at: int
) -> None:
    """What was said before a break is kept, and the half line is neither lost nor told twice."""
    whole = json.dumps(line(MODIFIED, pod(12))).encode() + b"\n"
    watches = [
        stream(line(MODIFIED, pod(11)), whole[:cut_at] or b" ", end=end),
        stream(line(MODIFIED, pod(12)), line(MODIFIED, pod(13))),
    ]
    with Villain(turns([listed(pod())], watches)) as villain:
        changes = follow_pods(villain, logger)
        told = take(changes, 5)
        changes.close()
        assert [(MODIFIED, "u1", "11"), (MODIFIED, "u1", "12"), (MODIFIED, "u1", "13")] == told[2:]
        # A reset may overtake what was sent before it.
        assert shapes(villain.requests) in (["list", 10, 11], ["list", 10, 10])


def test_stream_without_chunks_is_read_as_it_comes(logger: Any) -> None:
    """A body that ends with its connection serves as well (RFC 9112, section 6.3)."""
    lines = [json.dumps(line(MODIFIED, pod(version))).encode() + b"\n" for version in (11, 12)]
    watches = [raw(b"HTTP/1.1 200 OK\r\n\r\n" + b"".join(lines)), stream()]
    with Villain(turns([listed(pod())], watches)) as villain:
        changes = follow_pods(villain, logger)
        assert [(MODIFIED, "u1", "11"), (MODIFIED, "u1", "12")] == take(changes, 4)[2:]
        changes.close()


GONE = {
    "in the stream": stream(line("ERROR", status_content(410, "Expired"))),
    "in the stream, without a code": stream(
        line("ERROR", {"kind": "Status", "reason": "Expired"}),
    ),
    "as an answer": status(410, "Expired"),
    "as an answer of a proxy": answer(410, b"<html>Gone</html>"),
    "as an empty answer": answer(410, b""),
}


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
def test_version_that_is_gone_is_made_up_for_by_a_list(
    logger: Any, attempts: list[int], gone: Act
) -> None:
    """What changed between list and watch comes from the next list, as what it is."""
    others = {}
    for name in ("kept", "lost", "found"):
        others[name] = pod(3, uid=name)
        others[name]["metadata"]["name"] = name
    lists = [
        listed(pod(), others["kept"], others["lost"]),
        listed(pod(25, "Running"), others["kept"], others["found"], version=30),
    ]
    with Villain(turns(lists, [gone, stream(line(DELETED, pod(31)))])) as villain:
        changes = follow_pods(villain, logger)
        told = take(changes, 9)
        changes.close()
        assert [
            (DELETED, "lost", None),
            (MODIFIED, "u1", "25"),
            (ADDED, "found", "3"),
            (LISTED,),
            (DELETED, "u1", "31"),
        ] == told[4:]
        assert ["list", 10, "list", 30] == shapes(villain.requests)
        assert [] == attempts


def test_new_object_of_the_name_is_told_as_the_deletion_of_the_old(logger: Any) -> None:
    """Who came to be while nobody listened is not taken for who was there before."""
    lists = [listed(pod()), listed(pod(25, uid="u2"), version=30)]
    with Villain(turns(lists, [GONE["in the stream"], stream()])) as villain:
        changes = follow_pods(villain, logger)
        told = take(changes, 5)
        changes.close()
        assert [(DELETED, "u1", None), (ADDED, "u2", "25"), (LISTED,)] == told[2:]


def test_namesake_in_a_stream_ends_the_one_before(logger: Any) -> None:
    """The DELETED that the server owes is made up for, and is not told again when it comes."""
    watch = stream(
        line(ADDED, pod(12, uid="u2")),
        line(DELETED, pod(11)),
        line(MODIFIED, pod(13, uid="u2")),
    )
    with Villain(turns([listed(pod())], [watch])) as villain:
        changes = follow_pods(villain, logger)
        told = take(changes, 5)
        changes.close()
        assert [(DELETED, "u1", None), (ADDED, "u2", "12"), (MODIFIED, "u2", "13")] == told[2:]


def test_list_is_believed_that_goes_back_in_time(logger: Any) -> None:
    """After etcd was restored from a backup, versions are smaller, and true."""
    lists = [listed(pod(8, "Running")), listed(pod(4), version=6)]
    watches = [GONE["as an answer"], stream(line(MODIFIED, pod(7)))]
    with Villain(turns(lists, watches)) as villain:
        changes = follow_pods(villain, logger)
        told = take(changes, 5)
        changes.close()
        assert [(MODIFIED, "u1", "4"), (LISTED,), (MODIFIED, "u1", "7")] == told[2:]
        assert ["list", 10, "list", 6] == shapes(villain.requests)


def test_silence_is_reopened_unseen(
    logger: Any, log: LogCapture, attempts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody is any more, a new watch takes over from the last version."""
    monkeypatch.setattr("lab_storage._api.client.IDLE_SECONDS", 0.2)
    monkeypatch.setattr("lab_storage._api.watch.QUICK_SECONDS", 0.1)
    watches = [stream(line(MODIFIED, pod(11))), stream(), stream(line(MODIFIED, pod(12)))]
    with Villain(turns([listed(pod())], watches)) as villain:
        changes = follow_pods(villain, logger)
        assert [(MODIFIED, "u1", "11"), (MODIFIED, "u1", "12")] == take(changes, 4)[2:]
        assert ["list", 10, 11, 11] == shapes(villain.requests)
        assert [] == attempts
        assert [] == log.entries
        changes.close()
        villain.wait_until_left()


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("unreadable", UNREADABLE.values(), ids=UNREADABLE)
def test_line_that_cannot_be_read_is_made_up_for_by_a_list(
    logger: Any, log: LogCapture, unreadable: bytes
) -> None:
    """What follows at once is told; what was lost is in the list that is asked for soon."""
    lists = [listed(pod()), listed(pod(13, "Running"), version=14)]
    watches = [stream(unreadable, line(MODIFIED, pod(11))), stream(line(MODIFIED, pod(15)))]
    with Villain(turns(lists, watches)) as villain:
        changes = follow_pods(villain, logger)
        told = take(changes, 6)
        changes.close()
        assert [
            (MODIFIED, "u1", "11"),
            (MODIFIED, "u1", "13"),
            (LISTED,),
            (MODIFIED, "u1", "15"),
        ] == told[2:]
        assert ["list", 10, "list", 14] == shapes(villain.requests)
    assert ["Watch sent a line that is not readable"] == [entry["event"] for entry in log.entries]


def test_list_after_an_unreadable_line_does_not_wait_for_silence(
    logger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that goes on and on does not put off what was lost."""
    monkeypatch.setattr("lab_storage._api.watch.DOUBT_SECONDS", 0.3)
    chatter = (step for _ in range(1000) for step in (0.02, bookmark(11)))
    lists = [listed(pod()), listed(version=30)]
    with Villain(turns(lists, [stream(b"{\n", chatter), stream()])) as villain:
        changes = follow_pods(villain, logger)
        assert [(DELETED, "u1", None), (LISTED,)] == take(changes, 4)[2:]
        changes.close()


def megabytes(count: int) -> Json:
    """Give a pod of that size."""
    large = pod(11)
    large["metadata"]["annotations"] = {"large": "x" * (count << 20)}
    return large


def in_pieces(content: Json, size: int) -> list[bytes]:
    """Give a line as a server with a small buffer sends it."""
    data = json.dumps(content).encode() + b"\n"
    return [data[start : start + size] for start in range(0, len(data), size)]


READABLE = {
    "blank lines": [b"\n", b"  \r\n", b"\n\n", line(MODIFIED, pod(11))],
    "byte order mark": [b"\xef\xbb\xbf", line(MODIFIED, pod(11))],
    "carriage return": [json.dumps(line(MODIFIED, pod(11))).encode() + b"\r\n"],
    "no UTF-8": [
        json.dumps(line(MODIFIED, pod(11, message="?"))).encode().replace(b"?", b"\xff\xc3")
        + b"\n"
    ],
    "a byte at a time": in_pieces(line(MODIFIED, pod(11)), 1),
    "10 MB": [line(MODIFIED, megabytes(10))],
    "10 MB in small pieces": in_pieces(line(MODIFIED, megabytes(10)), 4096),
    "nulls": [line(MODIFIED, {**pod(11), "spec": None, "status": None})],
    "unknown phase": [line(MODIFIED, pod(11, "Pondering"))],
}


@pytest.mark.parametrize("steps", READABLE.values(), ids=READABLE)
def test_line_that_is_merely_odd_is_told(logger: Any, log: LogCapture, steps: list[Any]) -> None:
    """It is read as well as it can be, and nothing is listed again for it."""
    watch = stream(*steps, line(MODIFIED, pod(12)))
    with Villain(turns([listed(pod())], [watch])) as villain:
        changes = follow_pods(villain, logger)
        told = take(changes, 4)
        changes.close()
        assert [(MODIFIED, "u1", "11"), (MODIFIED, "u1", "12")] == told[2:]
        assert ["list", 10] == shapes(villain.requests)
    assert [] == log.entries


EMPTY_LISTS = {
    "null items": {"metadata": {"resourceVersion": "10"}, "items": None},
    "no items": {"metadata": {"resourceVersion": "10"}},
    "items that are none": {"metadata": {"resourceVersion": "10"}, "items": [None, 1, {}]},
    "items that are no list": {"metadata": {"resourceVersion": "10"}, "items": 7},
}


@pytest.mark.parametrize("content", EMPTY_LISTS.values(), ids=EMPTY_LISTS)
def test_list_of_nothing_may_be_said_in_any_way(logger: Any, content: Json) -> None:
    """As real servers say it: null where a list belongs."""
    with Villain(turns([json_answer(content)], [stream(line(ADDED, pod(11)))])) as villain:
        changes = follow_pods(villain, logger)
        assert [(LISTED,), (ADDED, "u1", "11")] == take(changes, 2)
        changes.close()


@pytest.mark.parametrize("metadata", [None, {}, {"resourceVersion": None}])
def test_server_without_versions_is_followed_all_the_same(logger: Any, metadata: Any) -> None:
    """A watch that cannot say where to begin begins with what exists, which is not told again."""
    lists = [json_answer({"metadata": metadata, "items": [pod(9)]})]
    # In the order of names, not of versions.
    watches = [
        stream(
            line(ADDED, pod(9)), line(MODIFIED, pod(11)), line(MODIFIED, pod(4)), end="orderly"
        ),
        stream(line(MODIFIED, pod(12))),
    ]
    with Villain(turns(lists, watches)) as villain:
        changes = follow_pods(villain, logger)
        told = take(changes, 4)
        changes.close()
        assert [(MODIFIED, "u1", "11"), (MODIFIED, "u1", "12")] == told[2:]
        versions = [request.query.get("resourceVersion") for request in villain.requests]
        assert [None, None, "11"] == versions


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422])
@pytest.mark.parametrize("where", ["list", "watch", "stream"])
def test_refusal_ends_it_with_a_typed_error(logger: Any, code: int, where: str) -> None:
    """What the server says for good reaches the caller as an error of that status."""
    refused = status(code, "Because", "no, thank you")
    in_stream = stream(line("ERROR", status_content(code, "Because", "no, thank you")))
    script = turns(
        [refused if where == "list" else listed(pod())],
        [in_stream if where == "stream" else refused],
    )
    with Villain(script) as villain:
        changes = follow_pods(villain, logger)
        with pytest.raises(KubernetesError) as caught:
            take(changes, 3)
        assert code == caught.value.status
        assert "Because" == caught.value.reason
        assert "no, thank you" == caught.value.message
        assert ("Pod", NAMESPACE) == (caught.value.kind, caught.value.namespace)
        tries = 2 if code == 401 and where != "stream" else 1
        assert (0 if where == "list" else 1) + tries == len(villain.requests)
        # New credentials have a connection of their own.
        villain.wait_until_left(tries)


FAILURES = {
    "429": status(429, "TooManyRequests"),
    "500": status(500, "InternalError"),
    "503 of a proxy": answer(503, b"<html>"),
    "504": status(504, "Timeout", "the request timed out"),
    "hang up": raw(b""),
    "429 in the stream": stream(line("ERROR", status_content(429, "TooManyRequests"))),
    "500 in the stream": stream(line("ERROR", status_content(500, "InternalError"))),
    "code that is none": stream(line("ERROR", status_content(0, "Odd"))),
    "error without a word": stream(line("ERROR", {})),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_failure_of_a_watch_is_passed_over(logger: Any, attempts: list[int], failure: Act) -> None:
    """The watch is tried again, from where it was, by the one retry policy."""
    watches = [failure, stream(line(MODIFIED, pod(11)))]
    with Villain(turns([listed(pod())], watches)) as villain:
        changes = follow_pods(villain, logger)
        assert [(MODIFIED, "u1", "11")] == take(changes, 3)[2:]
        assert ["list", 10, 10] == shapes(villain.requests)
        assert [1] == attempts
        changes.close()


@pytest.mark.parametrize(
    "lagging",
    [
        status(504, "Timeout", TOO_LARGE),
        stream(line("ERROR", status_content(504, "Timeout", TOO_LARGE))),
    ],
    ids=["as an answer", "in the stream"],
)
def test_version_that_is_too_large_is_asked_for_no_more(
    logger: Any, attempts: list[int], lagging: Act
) -> None:
    """A server that has not seen a version yet is asked without one, after a pause."""
    lists = [listed(pod()), listed(pod(8), version=9)]
    with Villain(turns(lists, [lagging, stream(line(MODIFIED, pod(11)))])) as villain:
        changes = follow_pods(villain, logger)
        assert [(MODIFIED, "u1", "8"), (LISTED,), (MODIFIED, "u1", "11")] == take(changes, 5)[2:]
        assert ["list", 10, "list", 9] == shapes(villain.requests)
        assert not any("resourceVersion" in villain.requests[place].query for place in (0, 2))
        assert [1] == attempts
        changes.close()


def test_refusal_for_longer_than_the_deadline_is_final(logger: Any) -> None:
    """An ERROR that names a time to wait is kept to as an answer's would be."""
    error = status_content(429, "TooManyRequests", details={"retryAfterSeconds": 3600})
    with Villain(turns([listed(pod())], [stream(line("ERROR", error))])) as villain:
        changes = follow_pods(villain, logger)
        with pytest.raises(KubernetesError) as caught:
            take(changes, 3)
        assert 429 == caught.value.status


AT_ONCE = {
    "without a word": stream(end="orderly"),
    "after a bookmark": stream(bookmark(11), end="orderly"),
    "after an old event": stream(line(MODIFIED, pod(11)), end="orderly"),
    "with 410": status(410, "Expired"),
    "with 410 in the stream": stream(line("ERROR", status_content(410, "Expired"))),
    "by a cut": stream(end="cut"),
    "by a reset": stream(end="reset"),
}


@pytest.mark.parametrize("watch", AT_ONCE.values(), ids=AT_ONCE)
def test_server_that_ends_every_watch_at_once_is_not_asked_in_a_loop(
    logger: Any, set_pauses: SetPauses, watch: Act
) -> None:
    """From the second end on, the pauses grow."""
    set_pauses(lambda attempt: 0.02 * 2.0 ** (attempt - 1))
    with Villain(turns([listed(pod())], [watch])) as villain:
        changes = follow_pods(villain, logger, 0.3)
        with pytest.raises(OperationTimeoutError):
            for _ in changes:
                pass
        # Pauses of 0.02, 0.04, 0.08, 0.16 and 0.32 s, and twice that many requests, where each
        # watch costs a list.
        assert len(villain.requests) <= 2 * 7


@pytest.mark.parametrize(("step", "expected"), [(True, [1, 1, 1]), (False, [1, 2, 3])])
def test_pauses_begin_anew_once_a_watch_has_worked(
    logger: Any, attempts: list[int], step: bool, expected: list[int]
) -> None:
    """A connection that breaks from time to time is not the one that never gets going."""
    versions = iter(range(11, 100))

    def script(request: Seen) -> Act:
        if not request.is_watch:
            return listed(pod())
        if len(villain.requests) == 5:
            return stream(line(DELETED, pod(100)))
        return stream(*([line(MODIFIED, pod(next(versions)))] if step else []), end="cut")

    with Villain(script) as villain:
        changes = follow_pods(villain, logger)
        assert (DELETED, "u1", "100") == [
            brief(change) for change in changes_to(changes, DELETED)
        ][-1]
        assert expected == attempts
        changes.close()


def changes_to(changes: Generator[Change, None, None], kind: str) -> list[Change]:
    """Give the changes up to the first of a type."""
    told = []
    for change in changes:
        told.append(change)
        if change.type == kind:
            break
    return told


def test_timeout_tells_what_is_waited_for_once_a_failure_is_over(
    logger: Any, attempts: list[int]
) -> None:
    """A watch that broke and goes on is not what the time was lost for."""
    watches = [stream(end="cut"), status(503), stream()]
    with Villain(turns([status(503), listed(pod())], watches)) as villain:
        call = call_of(timeout_of(0.7), logger, villain.api_client())
        request = Request("GET", POD, NAMESPACE, collection=True)
        changes = follow(call, request)
        assert [(ADDED, "u1", "5")] == take(changes, 1)
        call.wait_for(request, "the pod ponders")
        assert [(LISTED,)] == take(changes, 1)
        with pytest.raises(OperationTimeoutError) as caught:
            next(changes)
        assert "the pod ponders" == caught.value.last
        assert 3 == len(attempts)


def test_timeout_tells_the_failure_that_is_not_over(logger: Any) -> None:
    """What keeps the watch from going on is what a timeout is about."""
    with Villain(turns([listed(pod())], [status(503, "Unavailable", "etcd is away")])) as villain:
        changes = follow_pods(villain, logger, 0.5)
        with pytest.raises(OperationTimeoutError) as caught:
            take(changes, 3)
        assert "503 Unavailable: etcd is away" == caught.value.last


def by_close(changes: Generator[Any, None, None]) -> None:
    """Close it."""
    changes.close()


def by_exception(changes: Generator[Any, None, None]) -> None:
    """Throw into it."""
    with pytest.raises(KeyError, match="thrown"):
        changes.throw(KeyError("thrown"))


def by_break(changes: Generator[Any, None, None]) -> None:
    """Leave its loop."""
    for _ in changes:
        break


def by_error_in_the_loop(changes: Generator[Any, None, None]) -> None:
    """Leave its loop by an exception."""
    try:
        for _ in changes:
            raise KeyError("raised")
    except KeyError:
        pass


def by_forgetting(_changes: Generator[Any, None, None]) -> None:
    """Do nothing more with it."""


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize(
    "leave", [by_close, by_exception, by_break, by_error_in_the_loop, by_forgetting]
)
def test_connection_is_closed_as_soon_as_the_watch_is_left(
    logger: Any, tls: bool, leave: Callable[[Any], None]
) -> None:
    """Nobody has to wait for the server's next word, or for the garbage collector."""
    gc.disable()
    try:
        watch = stream(line(MODIFIED, pod(11)), line(MODIFIED, pod(12)))
        with Villain(turns([listed(pod())], [watch]), tls=tls) as villain:
            changes = follow_pods(villain, logger)
            take(changes, 3)
            assert 1 == villain.open_connections
            leave(changes)
            del changes
            villain.wait_until_left(seconds=2)
    finally:
        gc.enable()


def test_thousand_abandoned_watches_leave_nothing(
    logger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No socket, no thread, and nobody who would be told of a cancel."""
    watch = stream(line(MODIFIED, pod(11)))
    with Villain(turns([listed(pod())], [watch])) as villain:
        request = Request("GET", POD, NAMESPACE, collection=True)
        timeout = timeout_of(60)
        call = call_of(timeout, logger, villain.api_client())

        def abandon() -> None:
            changes = follow(call, request)
            take(changes, 3)

        abandon()
        villain.wait_until_left()
        before = open_files(), threading.active_count()
        for _ in range(1000):
            abandon()
        villain.wait_until_left()
        assert {} == timeout._wakers
        after = open_files(), threading.active_count()
        # The villain's last threads may still be on their way out.
        assert before[0] >= after[0]
        assert before[1] + 1 >= after[1]


def open_files() -> int:
    """Count the open files of this process, sockets among them."""
    return len(list(Path("/proc/self/fd").iterdir()))

"""A watch that says nothing never makes a wait wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from lab_storage import LabStorage, OperationTimeoutError, PodPhase, Timeout
from lab_storage._api import changes as changes_module
from lab_storage._api import watch
from lab_storage._api.changes import LISTED, MODIFIED
from lab_storage._api.request import list_of_one
from lab_storage._api.watch import follow
from lab_storage._manifests.kinds import POD
from tests.support.calls import call_of
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import NAMES
from tests.support.villain import (
    Act,
    Peer,
    Seen,
    Villain,
    act,
    json_answer,
    silence,
    status,
    stream,
)
from tests.support.watching import NAMESPACE, follow_pods, line, listed, pod, shapes, take, turns


def wait(storage: LabStorage, timeout: Timeout) -> PodPhase | None:
    """Wait for the pod's start."""
    return storage.wait_for_pod_start("lab", NAMESPACE, timeout)


def deaf(
    change_after: float, *, watch_act: Act | None = None
) -> tuple[Callable[[Seen], Act], list[float]]:
    """A server whose watches are silent, and whose pod runs some time after the first list.

    The list has when each list was asked for.
    """
    began: list[Timeout] = []
    asked: list[float] = []

    def script(request: Seen) -> Act:
        if request.path.endswith("/events"):
            return json_answer({"metadata": {}, "items": []})
        if request.is_watch:
            return watch_act or stream()
        began.append(timeout_of(1000))
        asked.append(began[0].elapsed())
        is_running = asked[-1] >= change_after
        return listed(pod(20, "Running") if is_running else pod())

    return script, asked


@act
def blank_lines(peer: Peer) -> None:
    """Keep a watch alive without saying anything."""
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.send(b"1\r\n\n\r\n")
        peer.pause(0.02)


@pytest.mark.parametrize("watch_act", [None, blank_lines], ids=["silent", "blank lines"])
def test_start_is_noticed_after_a_third_of_the_time(
    storage_of: StorageOf, watch_act: Act | None
) -> None:
    """That was left when the watch began."""
    script, asked = deaf(0.3, watch_act=watch_act)
    timeout = timeout_of(3.0)
    with Villain(script) as villain:
        assert PodPhase.RUNNING is wait(storage_of(villain), timeout)
    assert 0.9 < timeout.elapsed() < 1.0 + 0.3 + 0.5
    assert 2 == len(asked)


def test_start_is_noticed_by_the_last_look(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has happened since the silence was doubted last is not missed."""
    monkeypatch.setattr(watch, "LEAST_SILENCE_SECONDS", 0.5)
    script, asked = deaf(0.9)
    timeout = timeout_of(1.2)
    with Villain(script) as villain:
        assert PodPhase.RUNNING is wait(storage_of(villain), timeout)
    assert 3 == len(asked)


def test_end_is_noticed_too(storage_of: StorageOf) -> None:
    """A pod that is gone is not waited for to the deadline."""
    lists: list[Seen] = []

    def script(request: Seen) -> Act:
        if request.is_watch:
            return stream()
        if request.method == "DELETE" or request.path.endswith("/lab"):
            return json_answer(pod())
        lists.append(request)
        return listed(pod()) if len(lists) == 1 else listed()

    timeout = timeout_of(30)
    with Villain(script) as villain:
        storage_of(villain).delete_pod(NAMES, timeout_of(3.0))
    assert timeout.elapsed() < 2.0


def test_quiet_pod_is_looked_at_seldom(storage_of: StorageOf) -> None:
    """One doubt or two, and a last look; the watch goes on."""
    script, asked = deaf(100)
    with Villain(script) as villain:
        with pytest.raises(OperationTimeoutError, match="the pod is Pending"):
            wait(storage_of(villain), timeout_of(2.5))
        watches = [each for each in villain.requests if each.is_watch]
    assert 1 == len(watches)
    assert 3 <= len(asked) <= 4


def test_watch_whose_server_is_gone_is_opened_anew(logger: Any) -> None:
    """Where nobody answers the doubt, the connection is not the only trouble."""
    lists: list[Act] = [listed(pod()), silence, listed(pod(20, "Running"))]
    watches = [stream(), stream(line(MODIFIED, pod(11)))]
    with Villain(turns(lists, watches)) as villain:
        changes = follow_pods(villain, logger, 4.0)
        assert [("ADDED", "u1", "5"), (LISTED,), (MODIFIED, "u1", "11")] == take(changes, 3)
        changes.close()
        assert ["list", 10, "list", 10] == shapes(villain.requests)


def test_doubt_that_is_refused_does_not_end_the_wait(logger: Any) -> None:
    """The watch is opened anew, and says what it means."""
    lists: list[Act] = [listed(pod()), status(403, "Forbidden")]
    watches = [stream(), stream(line(MODIFIED, pod(11)))]
    with Villain(turns(lists, watches)) as villain:
        changes = follow_pods(villain, logger, 3.0)
        assert [("ADDED", "u1", "5"), (LISTED,), (MODIFIED, "u1", "11")] == take(changes, 3)
        changes.close()


def test_cancel_ends_a_doubt(logger: Any) -> None:
    """It is a request like any other."""
    timeout = timeout_of(30.0)
    with Villain(turns([listed(pod()), silence], [stream()])) as villain:
        request = list_of_one(POD, NAMESPACE, "lab")
        changes = follow(call_of(timeout, logger, villain.api_client()), request)
        take(changes, 2)
        timer = threading.Timer(0.5, timeout.cancel)
        timer.start()
        with pytest.raises(Exception, match="was cancelled"):
            next(changes)
        timer.join()
    assert timeout.elapsed() < 5


def test_older_list_is_no_news(logger: Any) -> None:
    """A server that lags behind does not lead back."""
    lists = [listed(pod(15)), listed(pod(7))]
    watches = [stream(1.5, line(MODIFIED, pod(16)))]
    with Villain(turns(lists, watches)) as villain:
        changes = follow_pods(villain, logger, 3.0)
        assert [("ADDED", "u1", "15"), (LISTED,), (MODIFIED, "u1", "16")] == take(changes, 3)
        changes.close()


def test_memory_of_what_is_gone_does_not_grow(
    logger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the latest objects that are gone are remembered; of these, nothing old is told."""
    monkeypatch.setattr(changes_module, "MOST_GONE", 3)
    lines = []
    for number in range(10):
        lines.append(line("ADDED", pod(20 + 2 * number, uid=f"u{number}")))
        lines.append(line("DELETED", pod(21 + 2 * number, uid=f"u{number}")))
    lines += [line("ADDED", pod(38, uid="u9")), line("ADDED", pod(50, uid="last"))]
    with Villain(turns([listed()], [stream(*lines)])) as villain:
        changes = follow_pods(villain, logger)
        told = take(changes, 22)
        state = changes.gi_yieldfrom.gi_frame.f_locals["self"]  # type: ignore[attr-defined]
        assert 3 == len(state._reported._gone)
        changes.close()
    assert [("ADDED", "u9", "38"), ("DELETED", "u9", "39"), ("ADDED", "last", "50")] == told[-3:]


def test_watch_that_lasts_too_long_is_opened_anew(
    logger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever keeps it alive; it was asked to end long before."""
    monkeypatch.setattr(watch, "SHORTEST_WATCH_SECONDS", 0)
    monkeypatch.setattr(watch, "LONGEST_WATCH_SECONDS", 0)
    monkeypatch.setattr(watch, "OVERTIME_SECONDS", 0.3)
    watches: list[Act] = [blank_lines, stream(line(MODIFIED, pod(11)))]
    with Villain(turns([listed(pod())], watches)) as villain:
        changes = follow_pods(villain, logger, 100.0)
        assert [("ADDED", "u1", "5"), (LISTED,), (MODIFIED, "u1", "11")] == take(changes, 3)
        changes.close()
        assert ["list", 10, 10] == shapes(villain.requests)

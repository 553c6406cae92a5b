"""Servers that do not do what is asked of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from lab_storage import LiveLabStorage, PodPhase, Timeout
from lab_storage._api import pod_source as _pod_source
from tests.live.conftest import PATIENCE_SECONDS, names
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.villain import Act, Seen, Villain, json_answer, status, stream


def pod(user: str, version: int, phase: str = "Pending") -> dict[str, Any]:
    """A user's pod as a server sends it."""
    metadata = {
        "name": "lab",
        "namespace": f"lab-{user}",
        "uid": user,
        "resourceVersion": str(version),
    }
    return {"kind": "Pod", "metadata": metadata, "status": {"phase": phase}}


def added(*pods: dict[str, Any]) -> list[dict[str, Any]]:
    """What a watch says of pods that exist."""
    return [{"type": "ADDED", "object": each} for each in pods]


def initial_end(version: str) -> dict[str, Any]:
    """What a watch says after all that exists."""
    annotations = {"k8s.io/initial-events-end": "true"}
    metadata = {"resourceVersion": version, "annotations": annotations}
    return {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": metadata}}


def pod_list(*pods: dict[str, Any], version: int, token: str = "") -> Act:
    """Answer a list."""
    metadata = {"resourceVersion": str(version), "continue": token}
    return json_answer({"metadata": metadata, "items": list(pods)})


def test_server_that_knows_neither_streamed_lists_nor_ends_of_watches(
    storage_of: StorageOf,
) -> None:
    """It never says that it has told all, and goes on talking: then the pods are listed."""
    versions = itertools.count(11)

    def script(request: Seen) -> Act:
        if request.is_watch:
            return stream([*added(pod("ada", each, "Running")), 0.1] for each in versions)
        return pod_list(pod("ada", next(versions), "Running"), version=next(versions))

    with (
        Villain(script) as villain,
        storage_of(villain).live("lab-", max_age=timedelta(seconds=1)) as live,
    ):
        live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
        assert PodPhase.RUNNING == live.read_pod_phase(names("ada"), timeout_of(PATIENCE_SECONDS))
        assert 1 == live.freshness.pods


def test_blank_lines_are_silence(storage_of: StorageOf) -> None:
    """What keeps the connection of a dead watch alive does not keep the watch."""

    def script(request: Seen) -> Act:
        if "sendInitialEvents" in request.query:
            blank = ([b"\n", 0.1] for _ in itertools.count())
            return stream(added(pod("ada", 5)), initial_end("10"), blank)
        if request.is_watch:
            return stream(added(pod("ada", 11, "Running")))
        return pod_list(pod("ada", 5), version=10)

    with (
        Villain(script) as villain,
        storage_of(villain).live("lab-", max_age=timedelta(seconds=1)) as live,
    ):
        changes = live.changes(timeout_of(PATIENCE_SECONDS))
        assert [PodPhase.PENDING, PodPhase.RUNNING] == [next(changes).phase for _ in range(2)]
        changes.close()


def test_half_a_line_is_silence_to_the_watch_of_events(storage_of: StorageOf) -> None:
    """Nor does it keep a dead watch of events."""
    watches = itertools.count(1)
    about = {"kind": "Pod", "namespace": "lab-ada", "name": "lab", "uid": "ada"}
    metadata = {"name": "e", "namespace": "lab-ada", "uid": "e", "resourceVersion": "11"}
    event = {"metadata": metadata, "involvedObject": about, "reason": "Odd", "message": "as it is"}

    def script(request: Seen) -> Act:
        if request.path.endswith("/events"):
            if not request.is_watch:
                return json_answer({"metadata": {"resourceVersion": "10"}, "items": []})
            if next(watches) == 1:
                return stream(b'{"type": ', ([b" ", 0.1] for _ in itertools.count()))
            return stream({"type": "ADDED", "object": event})
        if "sendInitialEvents" in request.query:
            return stream(added(pod("ada", 5)), initial_end("10"))
        return stream() if request.is_watch else pod_list(pod("ada", 5), version=10)

    with (
        Villain(script) as villain,
        storage_of(villain).live("lab-", max_age=timedelta(seconds=1)) as live,
    ):
        events = live.watch_pod_events("lab", "lab-ada", timeout_of(PATIENCE_SECONDS))
        assert "as it is" == next(events)
        events.close()


def test_streamed_list_that_names_no_version_is_not_taken(storage_of: StorageOf) -> None:
    """A watch from no version on begins with what exists, in any order: some would be missed."""
    pods = pod("ada", 10), pod("bob", 9)

    def script(request: Seen) -> Act:
        if "sendInitialEvents" in request.query:
            return stream(initial_end(""), end="orderly")
        if request.query.get("resourceVersion") == "0":
            return stream(added(*pods))
        return stream() if request.is_watch else pod_list(*pods, version=12)

    with Villain(script) as villain, storage_of(villain).live("lab-") as live:
        live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
        phases = [
            live.read_pod_phase(names(user), timeout_of(PATIENCE_SECONDS))
            for user in ("ada", "bob")
        ]
        assert [PodPhase.PENDING] * 2 == phases
        assert 2 == live.freshness.pods


@pytest.mark.parametrize("refused", [0, 1])
def test_server_that_fails_every_second_request_lists_all_pages(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """A page that fails is asked for again, and not the whole list."""
    monkeypatch.setattr(_pod_source, "PAGE_SIZE", 1)
    users, requests = ["ada", "bob", "eve"], itertools.count()

    def script(request: Seen) -> Act:
        if next(requests) % 2 == refused:
            return status(503)
        if request.path.endswith("/namespaces"):
            return pod_list(*({"metadata": {"name": f"lab-{user}"}} for user in users), version=10)
        if request.is_watch:
            return status(422) if "sendInitialEvents" in request.query else stream()
        begin = int(request.query.get("continue", 0))
        token = str(begin + 1) if begin + 1 < len(users) else ""
        return pod_list(pod(users[begin], 5), version=10, token=token)

    with Villain(script) as villain, storage_of(villain) as storage:
        labs = storage.list_labs("lab-", timeout_of(PATIENCE_SECONDS))
        assert [1, 1, 1] == [len(lab.pods) for lab in labs]
        with storage.live("lab-") as live:
            live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
            assert 3 == live.freshness.pods


CALLS: dict[str, Callable[[LiveLabStorage, Timeout], object]] = {
    "wait": lambda live, timeout: live.wait_for_pod_start("lab", "lab-ada", timeout),
    "events": lambda live, timeout: next(live.watch_pod_events("lab", "lab-ada", timeout)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_first_call_of_whom_the_watch_is_refused_has_one_of_its_own(
    storage_of: StorageOf, call: Callable[[LiveLabStorage, Timeout], object]
) -> None:
    """As all later ones: it does not look at its pod now and then."""
    pods = [pod("ada", 5)] if call is CALLS["wait"] else []
    about = {"kind": "Pod", "namespace": "lab-ada", "name": "lab", "uid": "ada"}
    event = {"metadata": {"name": "lab.1"}, "involvedObject": about, "message": "Started"}

    def script(request: Seen) -> Act:
        if "/namespaces/" not in request.path:
            return status(403, "Forbidden")
        if request.path.endswith("/events"):
            return json_answer({"metadata": {"resourceVersion": "10"}, "items": [event]})
        if request.is_watch:
            return stream(added(pod("ada", 11, "Running")))
        return pod_list(*pods, version=10)

    with Villain(script) as villain, storage_of(villain).live("lab-") as live:
        assert call(live, timeout_of(PATIENCE_SECONDS)) in (PodPhase.RUNNING, "Started")

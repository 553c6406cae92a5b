"""What an observer is told: each HTTP request, once, with its outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import pytest
from kubernetes import client
from structlog.testing import LogCapture

from lab_storage import (
    KubernetesError,
    LabStorage,
    OperationTimeoutError,
    PodPhase,
    RequestRecord,
)
from lab_storage.testing import EmbeddedServer
from tests.support.labs import lab_of, names_of, timeout_of
from tests.support.pauses import SetPauses
from tests.support.states import NAMES, PENDING, list_of, read_phase
from tests.support.villain import Act, Seen, Villain, drip, json_answer, reset, status, stream

Brief = tuple[str, str, int | None, int]


@contextmanager
def observed(villain: Villain, logger: Any, **settings: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Give a storage for the villain, and the records of its requests."""
    records: list[RequestRecord] = []
    api_client = villain.api_client(**settings)
    with LabStorage(api_client, logger, observer=records.append) as storage:
        yield storage, records


def brief(records: list[RequestRecord]) -> list[Brief]:
    """Give verb, kind, status and attempt of each."""
    return [(each.verb, each.kind, each.status, each.attempt) for each in records]


def test_each_request_is_reported_with_its_object(logger: Any) -> None:
    """The record has what metrics and spans are made of, and no content."""
    with Villain(json_answer(PENDING)) as villain, observed(villain, logger) as (storage, records):
        read_phase(storage, timeout_of(5, user="ada"))

    (record,) = records
    assert 0 < record.seconds < 5
    assert (
        RequestRecord("get", "Pod", NAMES.namespace, NAMES.pod, 200, 1, record.seconds, "ada")
        == record
    )
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        record.status = 500


def test_discovery_is_a_get(logger: Any) -> None:
    """As in Kubernetes' own words: a group's resources are not a list of objects."""
    custom = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "thing"}}
    lab = attrs.evolve(lab_of(), others=[custom])
    with (
        Villain(json_answer({"kind": "APIResourceList", "resources": None})) as villain,
        observed(villain, logger) as (storage, records),
        pytest.raises(KubernetesError, match="the server has no kind Thing"),
    ):
        storage.create(lab, timeout_of(5))

    assert {("get", "APIResourceList", 200, 1)} == {*brief(records)}


def test_each_attempt_is_reported(logger: Any, set_pauses: SetPauses) -> None:
    """Those that failed too; where no answer came, the status is None."""
    set_pauses(0)
    script = (status(503, "ServiceUnavailable"), reset, json_answer(PENDING), json_answer(PENDING))
    with Villain(*script) as villain, observed(villain, logger) as (storage, records):
        read_phase(storage, timeout_of(5))
        read_phase(storage, timeout_of(5))

    assert [503, None, 200, 200] == [record.status for record in records]
    assert [1, 2, 3, 1] == [record.attempt for record in records]


def test_attempts_of_a_call_that_is_refused_are_reported(logger: Any) -> None:
    """One with fresh credentials is another attempt."""
    with (
        Villain(status(401, "Unauthorized"), status(403, "Forbidden")) as villain,
        observed(villain, logger) as (storage, records),
        pytest.raises(KubernetesError),
    ):
        read_phase(storage, timeout_of(5))

    assert [("get", "Pod", 401, 1), ("get", "Pod", 403, 2)] == brief(records)


def test_an_answer_that_does_not_end_has_a_status(logger: Any) -> None:
    """Its headers came, and the time is that of the call."""
    with (
        Villain(drip("body")) as villain,
        observed(villain, logger) as (storage, records),
        pytest.raises(OperationTimeoutError),
    ):
        read_phase(storage, timeout_of(0.3))

    assert [("get", "Pod", 200, 1)] == brief(records)
    assert 0.2 < records[0].seconds


def test_what_is_not_sent_is_not_reported(logger: Any) -> None:
    """Without credentials nothing was asked of the server."""

    def hook(_: object) -> None:
        raise OSError("no token")

    with (
        Villain(json_answer(PENDING)) as villain,
        observed(villain, logger, refresh_api_key_hook=hook) as (storage, records),
        pytest.raises(KubernetesError),
    ):
        read_phase(storage, timeout_of(5))

    assert ([], []) == (records, villain.requests)


def test_a_watch_is_reported_when_it_ends(logger: Any, set_pauses: SetPauses) -> None:
    """A list is another verb; an attempt that failed counts."""
    set_pauses(0)
    watches: list[Act] = [
        status(503, "ServiceUnavailable"),
        stream({"type": "MODIFIED", "object": running()}),
    ]

    def script(request: Seen) -> Act:
        return watches.pop(0) if request.is_watch else json_answer(list_of(PENDING))

    with Villain(script) as villain, observed(villain, logger) as (storage, records):
        phase = storage.wait_for_pod_start(NAMES.pod, NAMES.namespace, timeout_of(5))

    assert PodPhase.RUNNING is phase
    assert [
        ("list", "Pod", 200, 1),
        ("watch", "Pod", 503, 1),
        ("watch", "Pod", 200, 2),
    ] == brief(records)
    assert {(NAMES.namespace, NAMES.pod)} == {(each.namespace, each.name) for each in records}


def running() -> dict[str, Any]:
    """Give the pod, once it runs."""
    metadata = {**PENDING["metadata"], "resourceVersion": "11"}
    return {**PENDING, "metadata": metadata, "status": {"phase": "Running"}}


def test_a_watch_that_is_closed_by_another_thread_is_reported_once(logger: Any) -> None:
    """Whoever closes it."""
    is_watched = threading.Event()

    def script(request: Seen) -> Act:
        if request.is_watch:
            is_watched.set()
            return stream()
        return json_answer(list_of())

    with Villain(script) as villain, observed(villain, logger) as (storage, records):
        events = storage.watch_pod_events(NAMES.pod, NAMES.namespace, timeout_of(30))
        reader = threading.Thread(target=list, args=(events,))
        reader.start()
        assert is_watched.wait(10)
        events.close()
        reader.join(10)

    assert not reader.is_alive()
    assert 1 == sum(record.verb == "watch" for record in records)
    assert len(villain.requests) == len(records)


def test_the_life_of_a_lab_is_reported_whole(logger: Any) -> None:
    """As many records as the server got requests, by the same verbs."""
    records: list[RequestRecord] = []
    with (
        EmbeddedServer() as server,
        LabStorage(server.api_client(), logger, observer=records.append) as storage,
    ):
        storage.create(lab_of(), timeout_of(20))
        storage.read_lab_objects(names_of(), timeout_of(10))
        storage.list_namespaces("lab-", timeout_of(10))
        storage.delete_namespace("lab-jovyan", timeout_of(20))
        seen = [(each.verb, each.name) for each in server.requests]

    # Whether anything had to be watched for is a matter of moments.
    verbs = {each.verb for each in records} - {"watch"}
    assert {"get", "list", "create", "delete"} == verbs
    assert 11 == sum(each.verb == "create" for each in records)
    assert len(seen) == len(records)
    assert {"jovyan"} == {each.user for each in records}


def test_an_observer_that_raises_changes_nothing(logger: Any, log: LogCapture) -> None:
    """It is logged, and the call goes on."""

    def observe(record: RequestRecord) -> None:
        raise RuntimeError(f"no room for {record.kind}")

    with (
        Villain(json_answer(PENDING)) as villain,
        LabStorage(villain.api_client(), logger, observer=observe) as storage,
    ):
        assert PodPhase.PENDING is read_phase(storage, timeout_of(5))

    (warning,) = [entry for entry in log.entries if entry["log_level"] == "warning"]
    assert ("Observer failed", "RuntimeError('no room for Pod')", "lab") == (
        warning["event"],
        warning["reason"],
        warning["name"],
    )


async def asynchronous(_: RequestRecord) -> None:
    """Do nothing, later."""


class Asynchronous:
    """Can be called, and gives a coroutine."""

    async def __call__(self, _: RequestRecord) -> None:
        """Do nothing, later."""


@pytest.mark.parametrize("wrong", [7, "print", [], asynchronous, Asynchronous()])
def test_what_cannot_be_called_is_refused(wrong: Any, logger: Any) -> None:
    """At once, and not after the first request."""
    with client.ApiClient() as api_client, pytest.raises(TypeError, match=r"^observer must be "):
        LabStorage(api_client, logger, observer=wrong)


@pytest.mark.parametrize("right", [None, print, [].append, lambda record: record.verb])
def test_whatever_can_be_called_is_accepted(
    right: Callable[[RequestRecord], object] | None, logger: Any
) -> None:
    """What it returns does not matter."""
    with client.ApiClient() as api_client:
        LabStorage(api_client, logger, observer=right).close()

"""Reading a diagnosis: which requests it takes, and what it does without some of their answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from lab_storage import (
    KubernetesError,
    OperationCancelledError,
    OperationTimeoutError,
    PodDiagnosis,
    PodPhase,
    PodTrouble,
)
from tests.support import diagnosing as made
from tests.support.fixtures import StorageOf
from tests.support.labs import names_of, timeout_of
from tests.support.villain import (
    Act,
    Seen,
    Villain,
    answer,
    json_answer,
    reset,
    silence,
    status,
)

NAMES = names_of()
POD_PATH = "/api/v1/namespaces/lab-jovyan/pods/lab"
EVENTS_PATH = "/api/v1/namespaces/lab-jovyan/events"
LOG_PATH = f"{POD_PATH}/log"
MOUNT = 'MountVolume.SetUp failed for volume "data" : secret "data" not found'
STUCK = made.pod("Pending", made.waiting("ContainerCreating"))
CRASHED = made.pod("Running", made.waiting("CrashLoopBackOff", last=made.end(3), restarts=2))
ENDED = made.pod("Failed", made.ended(3), policy="Never")
MISSING = status(404, "NotFound")


def cluster(pod: Any = STUCK, events: Any = (), log: Any = None) -> Callable[[Seen], Act]:
    """Answer with this pod, these events and this log; or as an act does."""
    acts = {
        POD_PATH: pod if callable(pod) else json_answer(pod),
        EVENTS_PATH: events
        if callable(events)
        else json_answer({"kind": "EventList", "metadata": {}, "items": list(events)}),
        LOG_PATH: log if callable(log) else answer(200, (log or "").encode()),
    }
    return lambda request: acts[request.path]


def read(storage: Any, seconds: float = 10, **options: Any) -> PodDiagnosis:
    """Read the diagnosis of the lab's pod."""
    diagnosis = storage.read_pod_diagnosis(NAMES, timeout_of(seconds), **options)
    assert isinstance(diagnosis, PodDiagnosis)
    return diagnosis


def paths(villain: Villain) -> list[str]:
    """What was asked for."""
    return sorted(request.path for request in villain.requests)


def test_pod_and_events_are_read_side_by_side(storage_of: StorageOf) -> None:
    """Each request is answered only once both have come."""
    both = threading.Barrier(2)

    def script(request: Seen) -> Act:
        both.wait(10)
        return cluster(STUCK, [made.event("FailedMount", MOUNT)])(request)

    with Villain(script) as villain:
        diagnosis = read(storage_of(villain))

        assert [EVENTS_PATH, POD_PATH] == paths(villain)
        selector = [each.query.get("fieldSelector") for each in villain.requests]
        assert "involvedObject.kind=Pod,involvedObject.name=lab" in selector
    assert (PodTrouble.VOLUME, "FailedMount", MOUNT) == (
        diagnosis.trouble,
        diagnosis.reason,
        diagnosis.message,
    )
    assert (f"FailedMount: {MOUNT}",) == diagnosis.events


@pytest.mark.timeout(5)
@pytest.mark.parametrize("events", [(), silence, reset], ids=["events", "silence", "reset"])
def test_there_is_none_without_a_pod(storage_of: StorageOf, events: Any) -> None:
    """That the server knows no such pod is the answer, whatever becomes of the events."""
    with Villain(cluster(MISSING, events)) as villain:
        assert storage_of(villain).read_pod_diagnosis(NAMES, timeout_of(10)) is None


@pytest.mark.parametrize(
    "events", [status(403), status(404), silence, reset], ids=["403", "404", "silence", "reset"]
)
def test_events_that_cannot_be_read_are_left_out(storage_of: StorageOf, events: Act) -> None:
    """The pod alone says as much as it can, before the deadline."""
    with Villain(cluster(CRASHED, events)) as villain:
        diagnosis = read(storage_of(villain), 2)

    assert (PodTrouble.CRASH, "Error", 3, ()) == (
        diagnosis.trouble,
        diagnosis.reason,
        diagnosis.exit_code,
        diagnosis.events,
    )


@pytest.mark.timeout(5)
@pytest.mark.parametrize("events", [(), silence], ids=["events", "silence"])
def test_a_pod_that_may_not_be_read_is_an_error(storage_of: StorageOf, events: Any) -> None:
    """And it comes at once."""
    with (
        Villain(cluster(status(403), events)) as villain,
        pytest.raises(KubernetesError) as caught,
    ):
        storage_of(villain).read_pod_diagnosis(NAMES, timeout_of(60))

    assert 403 == caught.value.status


def test_a_pod_that_is_silent_times_out(storage_of: StorageOf) -> None:
    """The deadline holds."""
    with (
        Villain(cluster(silence, silence)) as villain,
        pytest.raises(OperationTimeoutError, match=r"no answer .* GET Pod lab-jovyan/lab"),
    ):
        storage_of(villain).read_pod_diagnosis(NAMES, timeout_of(0.5))


@pytest.mark.parametrize("silent", [POD_PATH, EVENTS_PATH, LOG_PATH])
def test_a_cancel_ends_it(storage_of: StorageOf, silent: str) -> None:
    """Whichever answer is awaited."""
    answered = cluster(CRASHED)
    with Villain(lambda seen: silence if seen.path == silent else answered(seen)) as villain:
        timeout = timeout_of(60)

        def cancel() -> None:
            villain.wait_for_requests(3 if silent == LOG_PATH else 2)
            timeout.cancel()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        with pytest.raises(OperationCancelledError):
            storage_of(villain).read_pod_diagnosis(NAMES, timeout, log_lines=1)
        canceller.join()


def test_no_log_is_read_unless_asked_for(storage_of: StorageOf) -> None:
    """A log may contain secrets."""
    with Villain(cluster(CRASHED, (), "secret")) as villain:
        assert read(storage_of(villain)).log is None
        assert [EVENTS_PATH, POD_PATH] == paths(villain)


@pytest.mark.parametrize(("pod", "previous"), [(CRASHED, "true"), (ENDED, None)])
def test_the_log_is_of_the_run_that_ended(
    storage_of: StorageOf, pod: Any, previous: str | None
) -> None:
    """The previous one's if another has begun, cut by the server."""
    with Villain(cluster(pod, (), "one\ntwo\nthree\n")) as villain:
        assert "two\nthree" == read(storage_of(villain), log_lines=2).log

        [request] = [each for each in villain.requests if each.path == LOG_PATH]
        limits = request.query["tailLines"], request.query["limitBytes"]
        assert ("notebook", previous) == (
            request.query["container"],
            request.query.get("previous"),
        )
        assert ("2", str(2**20)) == limits


@pytest.mark.parametrize(
    "pod",
    [
        STUCK,
        made.pod("Running", made.running(), conditions=(made.condition("Ready"),)),
        made.pod("Pending", made.waiting("ErrImagePull")),
        made.pod("Failed", made.ended(137), reason="Evicted"),
    ],
    ids=["volume", "fine", "image", "evicted"],
)
def test_where_no_container_ended_no_log_is_read(storage_of: StorageOf, pod: Any) -> None:
    """There is nothing in it about the trouble, or no log at all."""
    with Villain(cluster(pod, [made.event("FailedMount", MOUNT)])) as villain:
        assert read(storage_of(villain), log_lines=9).log is None
        assert [EVENTS_PATH, POD_PATH] == paths(villain)


@pytest.mark.parametrize(
    "said",
    [
        status(400),
        status(403),
        status(404),
        status(500),
        reset,
        silence,
        "unable to retrieve container logs for containerd://0a1b",
    ],
    ids=["400", "403", "404", "500", "reset", "silence", "gone"],
)
def test_a_log_that_cannot_be_had_takes_nothing_away(storage_of: StorageOf, said: Any) -> None:
    """Refused, gone or silent: the rest is there, before the deadline."""
    with Villain(cluster(CRASHED, [made.event("BackOff", "…")], said)) as villain:
        diagnosis = read(storage_of(villain), 2, log_lines=9)

    assert (PodTrouble.CRASH, 3, 2) == (
        diagnosis.trouble,
        diagnosis.exit_code,
        diagnosis.restarts,
    )
    assert (("BackOff: …",), None) == (diagnosis.events, diagnosis.log)


def test_a_log_is_shown_without_control_characters(storage_of: StorageOf) -> None:
    """Its lines stay, its colours and what is not UTF-8 do not."""
    log = answer(200, b"\x1b[31mred\x1b[0m\r\n\ttab \xff\n")
    with Villain(cluster(CRASHED, (), log)) as villain:
        text = read(storage_of(villain), log_lines=9).log

    assert "\\x1b[31mred\\x1b[0m\n        tab \ufffd" == text


@pytest.mark.parametrize(
    ("log_lines", "error"),
    [(-1, ValueError), (True, TypeError), (1.5, TypeError), ("1", TypeError)],
)
def test_log_lines_is_a_count(storage_of: StorageOf, log_lines: Any, error: type) -> None:
    """Anything else is refused before a request is sent."""
    with Villain(cluster()) as villain:
        with pytest.raises(error, match="log_lines"):
            storage_of(villain).read_pod_diagnosis(NAMES, timeout_of(9), log_lines=log_lines)
        assert [] == villain.requests


def test_odd_answers_do_no_harm(storage_of: StorageOf) -> None:
    """Null lists are none, and what is no event is left out."""
    pod = {**STUCK, "status": {"phase": "Odd", "containerStatuses": None}}
    events = json_answer({"metadata": {}, "items": [None, 7, {"involvedObject": None}]})
    with Villain(cluster(pod, events)) as villain:
        diagnosis = read(storage_of(villain))

    assert (PodPhase.UNKNOWN, None) == (diagnosis.phase, diagnosis.trouble)

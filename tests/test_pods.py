"""The start of a pod, its events and its end, as a caller of the storage sees them."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lab_storage import (
    FAIL_FAST,
    KubernetesError,
    OperationTimeoutError,
    PodPhase,
    PodStartError,
    Timeout,
)
from lab_storage._pods import why_it_stays
from tests.support.fixtures import StorageOf
from tests.support.labs import names_of, timeout_of
from tests.support.pauses import SetPauses
from tests.support.villain import Act, Seen, Villain, json_answer, status, status_content, stream
from tests.support.watching import (
    NAMESPACE,
    PATIENCE_SECONDS,
    Json,
    bookmark,
    event,
    line,
    listed,
    pod,
    routes,
    shapes,
    turns,
)

GONE = stream(line("ERROR", status_content(410, "Expired")))
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available",
}


def wait(storage: Any, seconds: float = PATIENCE_SECONDS, **options: Any) -> PodPhase | None:
    """Wait for the start of the pod ``lab``."""
    phase: PodPhase | None = storage.wait_for_pod_start(
        "lab", NAMESPACE, timeout_of(seconds), **options
    )
    return phase


def waiting(reason: Any, message: Any = None, name: str = "notebook") -> Json:
    """Give the status of a container that waits."""
    return {"name": name, "state": {"waiting": {"reason": reason, "message": message}}}


# -- Its start ---------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["Running", "Succeeded", "Failed"])
def test_pod_that_has_started_is_not_watched(storage_of: StorageOf, phase: str) -> None:
    """Where the state says it all, one request is enough."""
    with Villain(turns([listed(pod(phase=phase))], [stream()])) as villain:
        assert PodPhase(phase) == wait(storage_of(villain))
        assert ["list"] == shapes(villain.requests)
        assert "metadata.name=lab" == villain.requests[0].query["fieldSelector"]


@pytest.mark.parametrize("phase", ["Running", "Succeeded", "Failed"])
@pytest.mark.parametrize("before", ["Pending", "Unknown", None, "Pondering", 7, ["Running"]])
def test_first_phase_that_says_something_is_waited_for(
    storage_of: StorageOf, before: Any, phase: str
) -> None:
    """Pending, Unknown, none at all, and what Kubernetes has not defined are waited through."""
    watch = stream(
        line("MODIFIED", {**pod(11), "status": None}),
        line("MODIFIED", pod(12, before)),
        line("MODIFIED", pod(13, phase)),
    )
    with Villain(turns([listed(pod(phase=before))], [watch])) as villain:
        assert PodPhase(phase) == wait(storage_of(villain))
        villain.wait_until_left(1)


def test_pod_that_never_was_is_none(storage_of: StorageOf) -> None:
    """That a pod may yet be made is not this method's business."""
    with Villain(turns([listed()], [stream()])) as villain:
        assert wait(storage_of(villain)) is None
        assert ["list"] == shapes(villain.requests)


GOING = {
    "in the stream": ([], [stream(line("DELETED", pod(11)))]),
    "while nobody listened": ([listed(version=20)], [GONE]),
    "for another of its name": ([listed(pod(15, "Running", "u2"), version=20)], [GONE]),
    "for another, said by the stream alone": (
        [],
        [stream(line("ADDED", pod(12, "Running", "u2")))],
    ),
}


@pytest.mark.parametrize(("lists", "watches"), GOING.values(), ids=GOING)
def test_pod_that_has_disappeared_is_none(
    storage_of: StorageOf, lists: list[Act], watches: list[Act]
) -> None:
    """It is the pod that was there at first, by UID."""
    with Villain(turns([listed(pod()), *lists], watches)) as villain:
        assert wait(storage_of(villain)) is None


STUCK = {
    "container": ({"containerStatuses": [waiting("ErrImagePull", "no")]}, "notebook", "no"),
    "second container": (
        {"containerStatuses": [waiting("ContainerCreating"), waiting("ErrImagePull", name="b")]},
        "b",
        None,
    ),
    "init container": (
        {
            "initContainerStatuses": [waiting("ErrImagePull", "no", "home")],
            "containerStatuses": [waiting("PodInitializing")],
        },
        "home",
        "no",
    ),
    "beside what is odd": (
        {
            "conditions": [None, 7, {}, {"type": "PodScheduled", "status": "True"}],
            "initContainerStatuses": None,
            "containerStatuses": [
                None,
                "odd",
                {"state": None},
                {"state": {"waiting": None}},
                {"state": {"waiting": {"reason": ["ErrImagePull"]}}},
                waiting("ErrImagePull", 7, "c"),
            ],
        },
        "c",
        None,
    ),
}


@pytest.mark.parametrize("when", ["at the start", "later", "while nobody listened"])
@pytest.mark.parametrize(("state", "container", "message"), STUCK.values(), ids=STUCK)
def test_start_that_waits_for_a_reason_to_fail_fast_fails(
    storage_of: StorageOf, state: Json, container: str, message: str | None, when: str
) -> None:
    """Whenever it comes to be, and however it is found out."""
    stuck = pod(15, **state)
    script = {
        "at the start": turns([listed(stuck)], [stream()]),
        "later": turns([listed(pod())], [stream(line("MODIFIED", stuck))]),
        "while nobody listened": turns([listed(pod()), listed(stuck)], [GONE]),
    }[when]
    with Villain(script) as villain:
        with pytest.raises(PodStartError) as caught:
            wait(storage_of(villain), fail_fast=["InvalidImageName", "ErrImagePull"])
        error = caught.value
        assert ("lab", NAMESPACE, container) == (error.name, error.namespace, error.container)
        assert ("ErrImagePull", message) == (error.reason, error.message)


def test_pod_that_no_node_can_take_fails_fast(storage_of: StorageOf) -> None:
    """Unschedulable is the pod's own reason, and no container's."""
    stuck = pod(11, conditions=[UNSCHEDULABLE])
    with Villain(turns([listed(pod())], [stream(line("MODIFIED", stuck))])) as villain:
        with pytest.raises(PodStartError) as caught:
            wait(storage_of(villain), fail_fast=FAIL_FAST)
        assert caught.value.container is None
        assert "Unschedulable" == caught.value.reason
        assert "Pod lab-jovyan/lab: Unschedulable: 0/1 nodes are available" == str(caught.value)


def test_reason_that_was_not_named_is_waited_through(storage_of: StorageOf) -> None:
    """What is not to fail fast may pass by itself."""
    stuck = pod(
        conditions=[UNSCHEDULABLE],
        initContainerStatuses=[waiting("CrashLoopBackOff")],
        containerStatuses=[waiting("ErrImagePull")],
    )
    watch = stream(line("MODIFIED", pod(11, "Running")))
    with Villain(turns([listed(stuck)], [watch])) as villain:
        assert PodPhase.RUNNING == wait(storage_of(villain), fail_fast={"InvalidImageName"})


def test_pod_that_runs_has_started_whatever_waits_in_it(storage_of: StorageOf) -> None:
    """A container that crashes in a pod that runs is not a start that fails."""
    running = pod(phase="Running", containerStatuses=[waiting("CrashLoopBackOff")])
    with Villain(turns([listed(running)], [stream()])) as villain:
        assert PodPhase.RUNNING == wait(storage_of(villain), fail_fast=FAIL_FAST)


def test_ready_made_reasons_are_those_that_seldom_pass() -> None:
    """Among them are the usual ones, and none of an ordinary start."""
    usual = {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "Unschedulable",
    }
    assert usual == usual & FAIL_FAST
    assert set() == FAIL_FAST & {"ContainerCreating", "PodInitializing", "SchedulingGated"}


def test_timeout_of_a_start_tells_what_the_pod_waits_for(storage_of: StorageOf) -> None:
    """The state, and each reason with its message."""
    stuck = pod(containerStatuses=[waiting("ContainerCreating"), waiting("X", "y")])
    with Villain(turns([listed(stuck)], [stream()])) as villain:
        with pytest.raises(OperationTimeoutError) as caught:
            wait(storage_of(villain), 0.5)
        assert "the pod is Pending; notebook: ContainerCreating; notebook: X: y" == (
            caught.value.last
        )


@pytest.mark.parametrize("ends", [True, False], ids=["server ends it", "server forgets it"])
def test_quiet_pod_costs_six_requests_a_minute(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """In a world that is a hundred times faster, where the idle limit of a minute is 0.6 s."""
    sizes = {"QUIET": 0.03, "AGAIN": 0.6, "_REST": 0.2, "LAST_LOOK": 0.02, "LONG": 0.9}
    for name, seconds in sizes.items():
        monkeypatch.setattr(f"lab_storage._starts.{name}_SECONDS", seconds)
    monkeypatch.setattr("lab_storage._transport.exchange.SLICE_SECONDS", 0.01)
    monkeypatch.setattr("lab_storage._api.client.IDLE_SECONDS", 0.6)
    monkeypatch.setattr("lab_storage._api.watch.QUICK_SECONDS", 0.01)

    def watch(request: Seen) -> Act:
        seconds = int(request.query["timeoutSeconds"]) / 100
        return stream(seconds, end="orderly") if ends else stream()

    def script(request: Seen) -> Act:
        return watch(request) if request.is_watch else listed(pod())

    minutes = 2
    with Villain(script) as villain:
        with pytest.raises(OperationTimeoutError):
            wait(storage_of(villain), 0.6 * minutes - 0.05)
        of_events = [each for each in villain.requests if each.path.endswith("/events")]
        others = [each for each in villain.requests if each not in of_events]
        assert ["list", 10, 10] == shapes(others)[:3]
        assert minutes <= len(of_events) <= minutes + 1
        assert len(villain.requests) <= 6 * minutes


# -- Its events --------------------------------------------------------------------


def events_of(storage: Any, timeout: Timeout | None = None) -> Generator[str, None, None]:
    """Watch the events of the pod ``lab``."""
    events: Generator[str, None, None] = storage.watch_pod_events(
        "lab", NAMESPACE, timeout or timeout_of(PATIENCE_SECONDS)
    )
    return events


def events_script(lists: list[Act], watches: list[Act]) -> Any:
    """There is a pod, and these answers about its events."""
    return routes(pods=turns([listed(pod())], [stream()]), events=turns(lists, watches))


def told(storage: Any, last: str) -> list[str]:
    """Give the messages up to one."""
    timeout = timeout_of(PATIENCE_SECONDS)
    messages = []
    for message in events_of(storage, timeout):
        messages.append(message)
        if message == last:
            timeout.cancel()
    return messages


def test_events_that_exist_come_oldest_first_and_new_ones_after(storage_of: StorageOf) -> None:
    """By when they first happened, as either API says it, and within a second as written."""
    existing = [
        event("fourth", 23, eventTime=None, firstTimestamp="2026-11-24T06:00:02Z"),
        event("third", 22, eventTime="2026-11-24T06:00:01.300000Z", firstTimestamp=None),
        # Written last, and for the first time before the others.
        event("first", 30, firstTimestamp="2026-11-24T06:00:00Z"),
        event("second", 9, firstTimestamp="2026-11-24T06:00:01Z"),
        event("fifth", 24),
    ]
    existing[-1]["metadata"]["creationTimestamp"] = "2026-11-24T06:00:03Z"
    watch = stream(line("ADDED", event("sixth", 101)), line("ADDED", event("last", 102)))
    with Villain(events_script([listed(*existing)], [watch])) as villain:
        expected = ["first", "second", "third", "fourth", "fifth", "sixth", "last"]
        assert expected == told(storage_of(villain), "last")
        *_, list_, _ = villain.requests
        selector = "involvedObject.kind=Pod,involvedObject.name=lab"
        assert selector == list_.query["fieldSelector"]


def test_repeated_event_comes_once_for_each_count(storage_of: StorageOf) -> None:
    """By the count of the core API, and by that of the newer events API.

    Recorders have begun a series, which is the second time, with 1 and with 2.
    """
    watch = stream(
        line("MODIFIED", event("core", 11, count=4)),
        line("MODIFIED", event("core", 12, count=4, type="Warning")),
        line("MODIFIED", event("core", 13, count=7)),
        line("ADDED", event("newer", 14, count=None, series=None)),
        line("MODIFIED", event("newer", 15, count=None, series={"count": 1})),
        line("MODIFIED", event("newer", 16, count=None, series={"count": 2})),
        line("MODIFIED", event("newer", 17, count=None, series={"count": 2})),
        line("MODIFIED", event("newer", 18, count=0, series={"count": 3})),
        line("ADDED", event("last", 19)),
    )
    with Villain(events_script([listed(event("core", 5, count=3))], [watch])) as villain:
        expected = ["core"] * 3 + ["newer"] * 4 + ["last"]
        assert expected == told(storage_of(villain), "last")


def test_event_without_a_message_is_left_out(storage_of: StorageOf) -> None:
    """Null, empty, missing, or no text."""
    odd = [event(message, uid=str(message)) for message in (None, "", 7, ["x"], "missing")]
    del odd[-1]["message"]
    watch = stream(*(line("MODIFIED", each) for each in odd), line("ADDED", event("last", 11)))
    with Villain(events_script([listed(*odd)], [watch])) as villain:
        assert ["last"] == told(storage_of(villain), "last")


def test_event_that_is_odd_is_told_all_the_same(storage_of: StorageOf) -> None:
    """Whatever is missing or null in it but its message and whose it is."""
    odd = [
        event("count that is none", count="many", series=[1]),
        event("no count", count=None, series=None),
        event("version too long", firstTimestamp=7),
        event("no version", None),
        event("no uid"),
        event("no name"),
    ]
    odd[2]["metadata"]["resourceVersion"] = "9" * 5000
    del odd[4]["metadata"]["uid"]
    del odd[5]["metadata"]["name"], odd[5]["metadata"]["namespace"]
    watch = stream(line("ADDED", event("last", 11)))
    with Villain(events_script([listed(*odd)], [watch])) as villain:
        messages = told(storage_of(villain), "last")
        assert [*sorted(each["message"] for each in odd), "last"] == [
            *sorted(messages[:-1]),
            messages[-1],
        ]


def test_events_of_others_stay_out(storage_of: StorageOf) -> None:
    """Of an earlier pod of the name, of another pod, and of what is no pod."""
    others = [
        event("earlier", pod_uid="u0"),
        event("nobody's"),
        event("nothing's"),
        event("odd"),
    ]
    others[1]["involvedObject"] = None
    del others[2]["involvedObject"]
    others[3]["involvedObject"] = ["u1"]
    watch = stream(
        line("ADDED", event("earlier, now", 11, pod_uid="u0")),
        line("ADDED", event("last", 12)),
    )
    with Villain(events_script([listed(*others)], [watch])) as villain:
        assert ["last"] == told(storage_of(villain), "last")


def of_taint_manager(message: str, version: int, **times: str) -> Any:
    """Give an event that does not say a UID."""
    told = event(message, version, **times)
    del told["involvedObject"]["uid"]
    return told


def test_events_without_a_uid_belong_to_the_pod_unless_they_are_older(
    storage_of: StorageOf,
) -> None:
    """The taint manager writes such events; an earlier pod of the name may have had some."""
    created = "2026-11-24T06:00:00Z"
    this = pod()
    this["metadata"]["creationTimestamp"] = created
    elsewhere = of_taint_manager("of another", 11, firstTimestamp="2026-11-24T07:00:00Z")
    elsewhere["involvedObject"]["name"] = "lab-2"
    a_node = of_taint_manager("of a node", 12, firstTimestamp="2026-11-24T07:00:00Z")
    a_node["involvedObject"]["kind"] = "Node"
    before = [
        of_taint_manager("older", 5, firstTimestamp="2026-11-24T05:59:59Z"),
        of_taint_manager("same second", 6, firstTimestamp=created),
        of_taint_manager("micro", 7, eventTime="2026-11-24T06:00:00.123456Z"),
        of_taint_manager(
            "again", 8, firstTimestamp="2026-11-24T05:00:00Z", lastTimestamp="2026-11-24T06:01:00Z"
        ),
    ]
    later = [elsewhere, a_node, of_taint_manager("last", 13, firstTimestamp=created)]
    watch = stream(*[line("ADDED", each) for each in later])
    pods = turns([listed(this)], [stream()])
    script = routes(pods=pods, events=turns([listed(*before)], [watch]))
    with Villain(script) as villain:
        assert ["again", "micro", "same second", "last"] == sorted(
            told(storage_of(villain), "last"), key=lambda text: (text == "last", text)
        )


def test_memory_of_events_does_not_grow(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the latest that are gone are remembered."""
    monkeypatch.setattr("lab_storage._pods.MOST_GONE", 3)
    versions = iter(range(11, 1000))
    lines = [
        line(kind, event(f"{number}", next(versions)))
        for number in range(10)
        for kind in ("ADDED", "DELETED")
    ]
    # What is gone for longer than that is new again.
    watch = stream(*lines, *[line("ADDED", event(str(n), next(versions))) for n in (9, 8, 0)])
    with Villain(events_script([listed()], [watch])) as villain:
        told_of = [*map(str, range(10)), "0"]
        events = events_of(storage_of(villain))
        assert told_of == [next(events) for _ in told_of]
        events.close()


def test_first_pod_that_appears_is_followed(storage_of: StorageOf) -> None:
    """It may be watched before it exists."""
    pods = turns([listed()], [stream(line("ADDED", pod(11, uid="u7")), line("DELETED", pod(12)))])
    events = turns([listed(event("last", pod_uid="u7"))], [stream()])
    with Villain(routes(pods=pods, events=events)) as villain:
        assert ["last"] == told(storage_of(villain), "last")
        assert "involvedObject.name=lab" in villain.requests[2].query["fieldSelector"]


def test_events_are_told_once_across_breaks_and_lists(storage_of: StorageOf) -> None:
    """No ghosts, no doubles, and what came meanwhile, once for the count that is seen."""
    first, second = event("first", 5, count=1), event("second", 6, count=2)
    lists = [
        listed(first, second),
        listed(first, event("second", 22, count=5), event("third", 25), version=30),
    ]
    watches = [
        stream(line("MODIFIED", event("second", 11, count=3)), end="cut"),
        # What is said again, and an event that has expired.
        stream(
            line("ADDED", first),
            line("MODIFIED", event("second", 11, count=3)),
            line("ADDED", event("fourth", 12)),
            line("DELETED", event("fourth", 13)),
            line("ERROR", status_content(410, "Expired")),
        ),
        stream(line("DELETED", first), line("ADDED", event("last", 31))),
    ]
    with Villain(events_script(lists, watches)) as villain:
        assert ["first", "second", "second", "fourth", "second", "third", "last"] == told(
            storage_of(villain), "last"
        )


def test_nothing_is_sent_before_the_first_step(storage_of: StorageOf) -> None:
    """A generator that nobody asks costs nothing."""
    with Villain() as villain:
        events = events_of(storage_of(villain))
        events.close()
        assert [] == list(events)
        assert 0 == villain.connections


def test_cancel_in_the_body_ends_the_loop(storage_of: StorageOf) -> None:
    """Of what has been read already, nothing more is told."""
    timeout = timeout_of(PATIENCE_SECONDS)
    existing = [event(str(number)) for number in range(3)]
    with Villain(events_script([listed(*existing)], [stream()])) as villain:
        messages = []
        for message in events_of(storage_of(villain), timeout):
            messages.append(message)
            timeout.cancel()
        assert ["0"] == messages
        villain.wait_until_left(1)


def test_deadline_in_the_body_is_raised_at_the_next_step(storage_of: StorageOf) -> None:
    """What has been read already does not put it off; after it the generator is at its end."""
    timeout = timeout_of(0.5)
    existing = [event(str(number)) for number in range(3)]
    with Villain(events_script([listed(*existing)], [stream()])) as villain:
        events = events_of(storage_of(villain), timeout)
        assert "0" == next(events)
        while not timeout.expired:
            time.sleep(0.05)
        with pytest.raises(OperationTimeoutError):
            next(events)
        assert [] == list(events)


def test_deadline_before_the_pod_exists_says_so(storage_of: StorageOf) -> None:
    """The error tells that it was the pod that did not come."""
    with Villain(routes(pods=turns([listed()], [stream()]))) as villain:
        with pytest.raises(OperationTimeoutError) as caught:
            next(events_of(storage_of(villain), timeout_of(0.5)))
        assert "there is no pod lab-jovyan/lab yet" == caught.value.last


def test_refusal_of_events_reaches_the_loop(storage_of: StorageOf) -> None:
    """Who may see pods need not be allowed to see events."""
    with Villain(events_script([status(403, "Forbidden")], [stream()])) as villain:
        with pytest.raises(KubernetesError) as caught:
            next(events_of(storage_of(villain)))
        assert (403, "Event") == (caught.value.status, caught.value.kind)


def leave_by_close(events: Generator[str, None, None]) -> None:
    """Close it."""
    events.close()
    events.close()


def leave_by_break(events: Generator[str, None, None]) -> None:
    """Leave its loop."""
    for _ in events:
        break


def leave_by_throw(events: Generator[str, None, None]) -> None:
    """Throw into it, in all ways there are."""
    with pytest.raises(KeyError, match="thrown"):
        events.throw(KeyError("thrown"))
    with pytest.raises(ValueError, match="thrown"):
        events.throw(ValueError, ValueError("thrown"))


@pytest.mark.parametrize("leave", [leave_by_close, leave_by_break, leave_by_throw])
def test_connection_is_closed_when_the_loop_is_left(
    storage_of: StorageOf, leave: Callable[[Any], None]
) -> None:
    """At once, and without the garbage collector."""
    watch = stream(line("ADDED", event("first", 11)), line("ADDED", event("second", 12)))
    with Villain(events_script([listed()], [watch])) as villain:
        storage = storage_of(villain)
        gc.disable()
        try:
            events = events_of(storage)
            assert "first" == next(events)
            leave(events)
            del events
            # Those of the lists are kept; the stream's is closed.
            villain.wait_until_left(villain.connections - 1, 2)
        finally:
            gc.enable()


def test_watch_can_be_closed_from_another_thread(storage_of: StorageOf) -> None:
    """Who is blocked in it comes to the end of the loop, and the timeout is still good."""
    timeout = timeout_of(PATIENCE_SECONDS)
    with Villain(events_script([listed()], [stream()])) as villain, ThreadPoolExecutor() as pool:
        events = events_of(storage_of(villain), timeout)
        blocked = pool.submit(list, events)
        villain.wait_for_requests(3)
        events.close()
        assert [] == blocked.result(2)
        assert not timeout.cancelled
        villain.wait_until_left(villain.connections - 1, 2)


def test_abandoned_watches_of_events_leave_nothing(storage_of: StorageOf) -> None:
    """No connection, no thread, and nobody who would be told of a cancel."""
    timeout = timeout_of(60)
    with Villain(events_script([listed()], [stream(line("ADDED", event("first")))])) as villain:
        storage = storage_of(villain)
        threads = threading.active_count()
        for _ in range(100):
            assert "first" == next(events_of(storage, timeout))
        assert {} == timeout._wakers
        villain.wait_until_left(1)
        # One serves the connection that is kept; another may be on its way out.
        assert threads + 2 >= threading.active_count()


def test_deadline_on_a_quiet_watch_names_no_failure(storage_of: StorageOf) -> None:
    """A watch on which nothing happens has not failed."""
    routed = routes(
        pods=turns([listed(pod())], [stream()]), events=turns([listed(version=5)], [stream()])
    )
    with Villain(routed) as villain:
        events = storage_of(villain).watch_pod_events("lab", NAMESPACE, timeout_of(0.4))
        with pytest.raises(OperationTimeoutError) as caught:
            list(events)
    assert caught.value.last is None


# -- Its end -----------------------------------------------------------------------


def deletion_script(found: Json, *watches: Act) -> Any:
    """There is a pod, whose deletion is accepted and seen in these watches."""

    def script(request: Seen) -> Act:
        if request.path.endswith("/lab"):
            return json_answer(found)
        return pods(request)

    pods = turns([listed(found)], list(watches))
    return script


def going(uid: str = "u1", **spec: Any) -> Json:
    """Give a pod that is being deleted."""
    found = pod(phase="Running", uid=uid)
    found["metadata"]["deletionTimestamp"] = "2026-11-24T06:00:00Z"
    return {**found, "spec": spec}


def test_deletion_is_waited_for_to_the_end(storage_of: StorageOf) -> None:
    """Through changes and breaks, until the server says that this pod is gone."""
    script = deletion_script(
        going(nodeName="node-7"),
        stream(line("MODIFIED", pod(11, "Failed")), end="cut"),
        stream(line("DELETED", pod(12, "Failed"))),
    )
    with Villain(script) as villain:
        storage_of(villain).delete_pod(names_of(), timeout_of(PATIENCE_SECONDS))
        get, delete, *watched = villain.requests
        assert ("GET", "DELETE") == (get.method, delete.method)
        assert 1 == delete.json["gracePeriodSeconds"]
        assert {"uid": "u1"} == delete.json["preconditions"]
        assert ["list", 10, 11] == shapes(watched)


STAYING = {
    "dead node": (
        going(nodeName="node-7"),
        "node node-7 has not confirmed that the pod ended; it may be dead",
    ),
    "finalizer": (
        {
            **going(nodeName="node-7"),
            "metadata": {**going()["metadata"], "finalizers": ["example.com/keep"]},
        },
        "example.com/keep",
    ),
    "no node": (going(), "the pod is being deleted"),
    "not yet": (pod(), "the pod is not being deleted yet"),
    "odd": ({**going(), "spec": ["odd"]}, "the pod is being deleted"),
}


@pytest.mark.parametrize(("found", "text"), STAYING.values(), ids=STAYING)
def test_reason_why_a_pod_stays_is_told(found: Json, text: str) -> None:
    """A pod on a dead node never goes by itself, and neither does one with a finalizer."""
    assert text in why_it_stays(found)


def test_pod_made_later_is_not_waited_for(storage_of: StorageOf) -> None:
    """The one that was there is gone when another has its name."""
    script = deletion_script(going(), GONE, stream())
    namesake = listed(pod(25, "Running", "u2"), version=30)

    def replaced(request: Seen) -> Act:
        is_second_list = "fieldSelector" in request.query and len(villain.requests) == 5
        return namesake if is_second_list else script(request)

    with Villain(replaced) as villain:
        storage_of(villain).delete_pod(names_of(), timeout_of(PATIENCE_SECONDS))
        assert ["list", 10, "list"] == shapes(villain.requests[2:])


def test_timeout_of_a_deletion_tells_what_keeps_the_pod(
    storage_of: StorageOf, set_pauses: SetPauses
) -> None:
    """Also where the watch broke meanwhile, which was made good and is not the reason."""
    set_pauses(0.0)
    found = going(nodeName="node-7")
    script = deletion_script(found, stream(bookmark(11), end="cut"), stream())
    with Villain(script) as villain:
        with pytest.raises(OperationTimeoutError) as caught:
            storage_of(villain).delete_pod(names_of(), timeout_of(0.6))
        assert str(caught.value).endswith(
            "(last: node node-7 has not confirmed that the pod ended; it may be dead)"
        )
        assert 5 == len(villain.requests)

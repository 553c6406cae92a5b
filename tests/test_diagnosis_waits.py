"""What a wait for a start finds out about a pod that does not start."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import LogCapture

from lab_storage import FAIL_FAST, OperationTimeoutError, PodPhase, PodStartError, PodTrouble
from tests.support import diagnosing as made
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.villain import Act, Seen, Villain, json_answer, reset, silence, status, stream
from tests.support.watching import line, listed

MOUNT = 'MountVolume.SetUp failed for volume "data" : secret "data" not found'
FAILED_MOUNT = made.event("FailedMount", MOUNT)
CREATING = made.waiting("ContainerCreating")
KILLING = "Container notebook failed liveness probe, will be restarted"


def pod(*arguments: Any, version: int = 5, **options: Any) -> dict[str, Any]:
    """A pod of a version."""
    content = made.pod(*arguments, **options)
    content["metadata"]["resourceVersion"] = str(version)
    return content


def cluster(
    stuck: dict[str, Any], events: Any = (FAILED_MOUNT,), watch: Act | None = None
) -> Callable[[Seen], Act]:
    """List the pod, and watch it; and these events, or what an act does."""
    of_events = json_answer({"metadata": {}, "items": list(events)}) if (
        isinstance(events, (tuple, list))
    ) else events  # fmt: skip

    def script(request: Seen) -> Act:
        if request.path.endswith("/events"):
            return of_events
        return (watch or stream()) if request.is_watch else listed(stuck)

    return script


def last_of(storage: Any, seconds: float, **options: Any) -> str:
    """What a wait that times out was waiting for."""
    with pytest.raises(OperationTimeoutError) as caught:
        storage.wait_for_pod_start("lab", "lab-jovyan", timeout_of(seconds), **options)
    assert str(caught.value).endswith(f"(last: {caught.value.last})")
    return str(caught.value.last)


def events_requests(villain: Villain) -> int:
    """How often events were read."""
    return len([each for each in villain.requests if each.path.endswith("/events")])


def test_a_timeout_ends_with_what_only_events_say(storage_of: StorageOf) -> None:
    """The state of a pod that cannot mount a volume is ContainerCreating for ever."""
    with Villain(cluster(pod("Pending", CREATING))) as villain:
        text = last_of(storage_of(villain), 1.5)

        assert f"the pod is Pending; Volume: FailedMount: {MOUNT}" == text
        assert 1 <= events_requests(villain) <= 2


def test_the_last_warning_is_told_if_it_is_no_trouble_that_we_know(storage_of: StorageOf) -> None:
    """Some say things of their own."""
    warning = made.event("MoonIsWrong", "wait for another", 20)
    normal = made.event("Pulling", "Pulling image", 25) | {"type": "Normal"}
    with Villain(cluster(pod("Pending", CREATING), (warning, normal))) as villain:
        text = last_of(storage_of(villain), 1.5)

    expected = "the pod is Pending; notebook: ContainerCreating; MoonIsWrong: wait for another"
    assert expected == text


@pytest.mark.parametrize("events", [status(403), silence, reset], ids=["403", "silence", "reset"])
def test_without_events_a_timeout_comes_in_time(storage_of: StorageOf, events: Act) -> None:
    """It says what the state says, by its deadline."""
    timeout = timeout_of(1.5)
    with Villain(cluster(pod("Pending", CREATING), events)) as villain:
        with pytest.raises(OperationTimeoutError) as caught:
            storage_of(villain).wait_for_pod_start("lab", "lab-jovyan", timeout)
        assert 1 <= events_requests(villain)

    assert "the pod is Pending; notebook: ContainerCreating" == caught.value.last
    assert timeout.elapsed() < 1.75 + 0.5


@pytest.mark.parametrize(
    ("stuck", "expected"),
    [
        (
            pod("Pending", made.waiting("ErrImagePull", "not found")),
            "the pod is Pending; Image in container notebook: ErrImagePull: not found",
        ),
        (
            pod(
                node=None,
                conditions=(
                    made.condition("PodScheduled", "False", "Unschedulable", "0/1 nodes"),
                ),
            ),
            "the pod is Pending; Unschedulable: 0/1 nodes",
        ),
    ],
    ids=["image", "unschedulable"],
)
def test_a_state_that_says_what_is_wrong_needs_no_events(
    storage_of: StorageOf, stuck: Any, expected: str
) -> None:
    """No request is made for them."""
    with Villain(cluster(stuck)) as villain:
        assert expected == last_of(storage_of(villain), 1.2)
        assert 0 == events_requests(villain)


def test_a_start_that_is_quick_reads_no_events(storage_of: StorageOf) -> None:
    """It costs a list and a watch."""
    started = stream(line("MODIFIED", pod("Running", made.running(), version=6)))
    with Villain(cluster(pod("Pending", CREATING), watch=started)) as villain:
        phase = storage_of(villain).wait_for_pod_start("lab", "lab-jovyan", timeout_of(30))

        assert PodPhase.RUNNING == phase
        assert 2 == len(villain.requests)


def test_a_message_that_changes_its_counts_alone_is_nothing_new(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a pod is quiet: its events are read although its state changes all the time."""
    for name, seconds in (("LONG", 1), ("QUIET", 0.5), ("AGAIN", 0.5), ("LAST_LOOK", 0)):
        monkeypatch.setattr(f"lab_storage._starts.{name}_SECONDS", seconds)
    lines: list[Any] = []
    for version in range(6, 14):
        said = f"waiting for pool with {version} machines"
        stuck = pod("Pending", made.waiting("Odd", said), version=version)
        lines += [line("MODIFIED", stuck), 0.3]
    watch = stream(*lines)
    first = pod("Pending", made.waiting("Odd", "waiting for pool with 1 machines"))
    with Villain(cluster(first, (made.event("MoonIsWrong", "no"),), watch)) as villain:
        assert last_of(storage_of(villain), 2.1).endswith("; MoonIsWrong: no")
        assert 1 <= events_requests(villain)


def test_a_long_wait_looks_at_events_of_a_quiet_pod_early(storage_of: StorageOf) -> None:
    """Once its state has said nothing new for some seconds, far from the deadline."""
    started = line("MODIFIED", pod("Running", made.running(), version=6))
    watch = stream(4.0, started)
    with Villain(cluster(pod("Pending", CREATING), watch=watch)) as villain:
        phase = storage_of(villain).wait_for_pod_start("lab", "lab-jovyan", timeout_of(120))

        assert PodPhase.RUNNING == phase
        assert 1 == events_requests(villain)


def test_a_change_is_heard_while_events_are_silent(storage_of: StorageOf) -> None:
    """A server that does not answer for events does not hold the wait up."""
    asked = threading.Event()
    watch = stream(asked, line("MODIFIED", pod("Running", made.running(), version=6)))

    def events(peer: Any) -> None:
        asked.set()
        silence(peer)

    with Villain(cluster(pod("Pending", CREATING), events, watch)) as villain:
        timeout = timeout_of(3)
        phase = storage_of(villain).wait_for_pod_start("lab", "lab-jovyan", timeout)

    assert PodPhase.RUNNING == phase


def test_a_failed_start_has_a_diagnosis(storage_of: StorageOf) -> None:
    """The pod alone says what it is, and no other request is made."""
    with Villain(cluster(pod("Pending", made.waiting("ErrImagePull", "not found")))) as villain:
        with pytest.raises(PodStartError) as caught:
            storage_of(villain).wait_for_pod_start(
                "lab", "lab-jovyan", timeout_of(9), fail_fast=FAIL_FAST
            )
        assert 0 == events_requests(villain)

    diagnosis = pickle.loads(pickle.dumps(caught.value)).diagnosis
    assert (PodTrouble.IMAGE, "not found") == (diagnosis.trouble, diagnosis.message)


def test_a_failed_start_knows_what_lies_behind(storage_of: StorageOf) -> None:
    """Of a container that crashes, events may say that a probe killed it."""
    crashed = pod("Pending", made.waiting("CrashLoopBackOff", "back-off", last=made.end(137)))
    killing = made.event("Killing", KILLING, container="notebook")
    with Villain(cluster(crashed, (killing,))) as villain, pytest.raises(PodStartError) as caught:
        storage_of(villain).wait_for_pod_start(
            "lab", "lab-jovyan", timeout_of(9), fail_fast=FAIL_FAST
        )

    assert ("CrashLoopBackOff", "back-off") == (caught.value.reason, caught.value.message)
    assert caught.value.diagnosis is not None
    assert PodTrouble.PROBE == caught.value.diagnosis.trouble


def unscheduled(message: str, **status: Any) -> dict[str, Any]:
    """A pod that the scheduler has refused with this message."""
    said = made.condition("PodScheduled", "False", "Unschedulable", f"0/1 nodes: {message}")
    return pod("Pending", conditions=(said,), node=None, **status)


NO_ROOM = "1 Insufficient cpu."


@pytest.mark.parametrize(
    "passing",
    [
        made.pod("Pending", made.waiting("ErrImagePull", "pull QPS exceeded")),
        made.pod(
            "Pending",
            made.waiting(
                "CreateContainerConfigError",
                "failed to sync configmap cache: timed out waiting for the condition",
            ),
        ),
        made.pod(
            "Pending",
            made.waiting(
                "CreateContainerConfigError",
                "services have not yet been read at least once, cannot construct envvars",
            ),
        ),
        unscheduled("pod has unbound immediate PersistentVolumeClaims. not found"),
        unscheduled(
            "waiting for ephemeral volume controller to create the persistentvolumeclaim "
            '"lab-scratch". not found'
        ),
        unscheduled('pod "lab-jovyan/lab": ResourceClaim not created yet. not found'),
        unscheduled(
            "resource claim lab-jovyan/gpu is in the process of being allocated. not found"
        ),
        unscheduled(NO_ROOM, nominatedNodeName="node-1"),
    ],
    ids=[
        "pulls",
        "cache",
        "services",
        "claim",
        "ephemeral claim",
        "ResourceClaim",
        "shared ResourceClaim",
        "preemption",
    ],
)
def test_what_passes_by_itself_does_not_fail_fast(
    storage_of: StorageOf, passing: dict[str, Any]
) -> None:
    """It is said of pods that start a moment later."""
    passing["metadata"]["resourceVersion"] = "5"
    started = stream(line("MODIFIED", pod("Running", made.running(), version=6)))
    with Villain(cluster(passing, watch=started)) as villain:
        assert PodPhase.RUNNING == storage_of(villain).wait_for_pod_start(
            "lab", "lab-jovyan", timeout_of(9), fail_fast=FAIL_FAST
        )


def test_a_wait_fails_fast_once_room_was_not_made(storage_of: StorageOf) -> None:
    """A nomination that is taken back leaves what the scheduler says."""
    taken_back = unscheduled(NO_ROOM, version=6)
    nominated = unscheduled(NO_ROOM, nominatedNodeName="node-1")
    watch = stream(line("MODIFIED", taken_back))
    with (
        Villain(cluster(nominated, watch=watch)) as villain,
        pytest.raises(PodStartError) as caught,
    ):
        storage_of(villain).wait_for_pod_start(
            "lab", "lab-jovyan", timeout_of(9), fail_fast=FAIL_FAST
        )

    assert ("Unschedulable", f"0/1 nodes: {NO_ROOM}") == (
        caught.value.reason,
        caught.value.message,
    )


def test_a_timeout_says_which_claim_was_waited_for(storage_of: StorageOf) -> None:
    """What was not given up is reported."""
    stuck = unscheduled("pod has unbound immediate PersistentVolumeClaims.")
    with Villain(cluster(stuck)) as villain:
        last = last_of(storage_of(villain), 0.5, fail_fast=FAIL_FAST)

    assert last.endswith(
        "Unschedulable: 0/1 nodes: pod has unbound immediate PersistentVolumeClaims."
    )


def test_a_pod_that_has_failed_is_logged_with_its_reason(
    storage_of: StorageOf, log: LogCapture
) -> None:
    """By one request, which there is anyway."""
    failed = pod("Failed", reason="OutOfcpu", message="Pod was rejected: not enough cpu")
    with Villain(cluster(failed)) as villain:
        phase = storage_of(villain).wait_for_pod_start("lab", "lab-jovyan", timeout_of(9))
        assert 1 == len(villain.requests)

    assert PodPhase.FAILED == phase
    [entry] = [each for each in log.entries if each["event"] == "Pod has failed"]
    assert ("warning", "Node", "OutOfcpu") == (
        entry["log_level"],
        entry["trouble"],
        entry["reason"],
    )

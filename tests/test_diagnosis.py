"""What is wrong with a pod, from its JSON and its events'."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab_storage import PodDiagnosis, PodPhase, PodTrouble
from lab_storage.diagnosis import diagnose
from tests.support.diagnosing import (
    condition,
    end,
    ended,
    event,
    pod,
    running,
    terminating,
    waiting,
)

T = PodTrouble
MOUNT = 'MountVolume.SetUp failed for volume "data" : secret "data" not found'
PULL = 'Failed to pull image "x:1": not found'
LIVENESS = "Liveness probe failed: HTTP probe failed with statuscode: 500"
READINESS = "Readiness probe failed: connection refused"
KILLING = "Container notebook failed liveness probe, will be restarted"
CREATING = waiting("ContainerCreating")
OOM = end(137, "OOMKilled")
READY = condition("Ready")
UNREADY = condition("Ready", "False", "ContainersNotReady")
UNSCHEDULABLE = condition("PodScheduled", "False", "Unschedulable", "0/3 nodes are available")
EVICTING = condition("DisruptionTarget", "True", "EvictionByEvictionAPI", "Eviction API: evicting")
BY_KUBELET = condition("DisruptionTarget", "True", "TerminationByKubelet", "low on memory")
REFUSED = "Pod was rejected: Node didn't have enough resource: cpu"
DELETED = terminating(25)

# What Kubernetes says; the trouble, its container, reason and exit code.
TROUBLES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], tuple[Any, ...]]] = {
    # No node.
    "unschedulable": (
        pod(node=None, conditions=(UNSCHEDULABLE,)), [],
        (T.UNSCHEDULABLE, None, "Unschedulable", None),
    ),
    "unschedulable, as only an event says yet": (
        pod(node=None), [event("FailedScheduling", "0/3 nodes are available")],
        (T.UNSCHEDULABLE, None, "FailedScheduling", None),
    ),
    "the scheduler fails": (
        pod(node=None, conditions=(condition("PodScheduled", "False", "SchedulerError"),)), [],
        (T.UNSCHEDULABLE, None, "SchedulerError", None),
    ),
    "gated": (
        pod(node=None, conditions=(condition("PodScheduled", "False", "SchedulingGated"),)), [],
        (T.GATED, None, "SchedulingGated", None),
    ),
    # No container.
    "no volume": (
        pod("Pending", CREATING), [event("FailedMount", MOUNT)],
        (T.VOLUME, None, "FailedMount", None),
    ),
    "no volume, and a missing status": (
        pod("Pending"), [event("FailedMount", MOUNT)],
        (T.VOLUME, None, "FailedMount", None),
    ),
    "no volume for the init container": (
        pod("Pending", waiting("PodInitializing"), init=(waiting("PodInitializing", name="i"),)),
        [event("FailedMount", MOUNT)],
        (T.VOLUME, None, "FailedMount", None),
    ),
    "a volume on another node": (
        pod("Pending", CREATING),
        [
            event("SuccessfulAttachVolume", 'succeeded for volume "other"', 16),
            event("FailedAttachVolume", 'Multi-Attach error for volume "pvc-1"', 15),
        ],
        (T.VOLUME, None, "FailedAttachVolume", None),
    ),
    "no volume, after it ran on a node that restarted": (
        pod("Running", waiting("ContainerCreating", last=OOM)), [event("FailedMount", MOUNT)],
        (T.VOLUME, None, "FailedMount", None),
    ),
    "no volume, and a sandbox from before": (
        pod("Pending", CREATING, conditions=(condition("PodReadyToStartContainers", since=5),)),
        [event("FailedMount", MOUNT)],
        (T.VOLUME, None, "FailedMount", None),
    ),
    "no sandbox": (
        pod("Pending", CREATING),
        [event("FailedMount", MOUNT, 10), event("FailedCreatePodSandBox", "no network", 15)],
        (T.SANDBOX, None, "FailedCreatePodSandBox", None),
    ),
    "no network": (
        pod("Pending", CREATING), [event("NetworkNotReady", "network is not ready")],
        (T.SANDBOX, None, "NetworkNotReady", None),
    ),
    "no image, as only an event says yet": (
        pod("Pending", CREATING),
        [event("Pulling", "", 14, container="notebook"),
         event("Failed", PULL, 15, container="notebook")],
        (T.IMAGE, "notebook", "Failed", None),
    ),
    "a crash, and a missing status": (
        pod("Running"),
        [event("Started", "", 14, container="notebook"),
         event("BackOff", "Back-off restarting failed container notebook", container="notebook")],
        (T.CRASH, None, "BackOff", None),
    ),
    "no config map, as only an event says yet": (
        pod("Pending", CREATING),
        [event("Pulled", "", 14, container="notebook"),
         event("Failed", 'Error: configmap "x" not found', 15, container="notebook")],
        (T.CONFIGURATION, "notebook", "Failed", None),
    ),
    # Waiting for a reason.
    "no image": (
        pod("Pending", waiting("ErrImagePull", "not found")), [],
        (T.IMAGE, "notebook", "ErrImagePull", None),
    ),
    "no image for the second": (
        pod("Pending", running(name="a"), waiting("ImagePullBackOff", "Err", name="b")), [],
        (T.IMAGE, "b", "ImagePullBackOff", None),
    ),
    "no config map": (
        pod("Pending", waiting("CreateContainerConfigError", 'configmap "x" not found')), [],
        (T.CONFIGURATION, "notebook", "CreateContainerConfigError", None),
    ),
    "no command": (
        pod("Pending", waiting("RunContainerError", "no such file", last=end(128, "StartError"))),
        [],
        (T.START, "notebook", "RunContainerError", 128),
    ),
    "no command, backing off": (
        pod("Running", waiting("CrashLoopBackOff", last=end(128, "StartError"), restarts=2)), [],
        (T.START, "notebook", "StartError", 128),
    ),
    "no command, for good": (
        pod("Failed", ended(128, "StartError"), policy="Never"), [],
        (T.START, "notebook", "StartError", 128),
    ),
    "no container": (
        pod("Pending", waiting("CreateContainerError", "name is reserved")), [],
        (T.START, "notebook", "CreateContainerError", None),
    ),
    "a failed hook": (
        pod("Running", waiting("CrashLoopBackOff", last=end(137))),
        [event("FailedPostStartHook", "PostStartHook failed", container="notebook")],
        (T.START, "notebook", "FailedPostStartHook", 137),
    ),
    # Ended.
    "a crash": (
        pod("Failed", ended(3), policy="Never"), [],
        (T.CRASH, "notebook", "Error", 3),
    ),
    "a crash behind a back-off": (
        pod("Running", waiting("CrashLoopBackOff", "back-off 10s", last=end(3), restarts=4)), [],
        (T.CRASH, "notebook", "Error", 3),
    ),
    "a back-off, and a missing status": (
        pod("Running", waiting("CrashLoopBackOff", "back-off 10s", restarts=4)), [],
        (T.CRASH, "notebook", "CrashLoopBackOff", None),
    ),
    "ends again and again": (
        pod("Running", waiting("CrashLoopBackOff", last=end(0, "Completed"), restarts=4)), [],
        (T.CRASH, "notebook", "Completed", 0),
    ),
    "has ended again": (
        pod("Running", ended(0, "Completed", restarts=2)), [],
        (T.CRASH, "notebook", "Completed", 0),
    ),
    "a crash of one of two": (
        pod("Running", running(name="a"), ended(3, name="b"), policy="Never"), [],
        (T.CRASH, "b", "Error", 3),
    ),
    "a crash, and then the others ended": (
        pod("Failed", ended(143, name="a", finished=40), ended(3, name="b"), policy="Never"), [],
        (T.CRASH, "b", "Error", 3),
    ),
    "a crash, and then the sidecar ended": (
        pod("Failed", ended(3, finished=40), init=(ended(137, name="proxy", finished=30),),
            sidecars=("proxy",), policy="Never"),
        [],
        (T.CRASH, "notebook", "Error", 3),
    ),
    "a crash of an init container": (
        pod("Pending", waiting("PodInitializing"),
            init=(waiting("CrashLoopBackOff", name="setup", last=end(1), restarts=1),)),
        [],
        (T.CRASH, "setup", "Error", 1),
    ),
    "a crash of a sidecar": (
        pod("Running", running(), init=(waiting("CrashLoopBackOff", name="proxy", last=end(1)),),
            sidecars=("proxy",)),
        [],
        (T.CRASH, "proxy", "Error", 1),
    ),
    "a crash of what is not ready again": (
        pod("Running", running(False, last=end(1), restarts=1)), [],
        (T.CRASH, "notebook", "Error", 1),
    ),
    "a crash before its deletion": (
        pod("Running", ended(1, finished=20), metadata=DELETED, policy="Never"), [],
        (T.CRASH, "notebook", "Error", 1),
    ),
    "failed without a reason": (
        pod("Failed"), [], (T.CRASH, None, "Failed", None),
    ),
    "out of memory": (
        pod("Failed", ended(137, "OOMKilled"), policy="Never"), [],
        (T.OUT_OF_MEMORY, "notebook", "OOMKilled", 137),
    ),
    "out of memory behind a back-off": (
        pod("Running", waiting("CrashLoopBackOff", last=OOM, restarts=3)), [],
        (T.OUT_OF_MEMORY, "notebook", "OOMKilled", 137),
    ),
    "out of memory, with exit code 0": (
        pod("Succeeded", ended(0, "OOMKilled"), policy="Never"), [],
        (T.OUT_OF_MEMORY, "notebook", "OOMKilled", 0),
    ),
    "out of memory and evicted": (
        pod("Failed", ended(137, "OOMKilled"), reason="Evicted", conditions=(BY_KUBELET,)), [],
        (T.OUT_OF_MEMORY, "notebook", "OOMKilled", 137),
    ),
    "out of memory and drained": (
        pod("Failed", ended(137, "OOMKilled"), metadata=DELETED, conditions=(EVICTING,)), [],
        (T.OUT_OF_MEMORY, "notebook", "OOMKilled", 137),
    ),
    "killed by its liveness probe": (
        pod("Running", waiting("CrashLoopBackOff", last=end(137), restarts=1)),
        [event("Unhealthy", LIVENESS, container="notebook"),
         event("Killing", KILLING, container="notebook")],
        (T.PROBE, "notebook", "Unhealthy", 137),
    ),
    "killed by a probe, and obeyed": (
        pod("Running", ended(0, "Completed", restarts=1)),
        [event("Killing", KILLING, container="notebook")],
        (T.PROBE, "notebook", "Killing", 0),
    ),
    "killed by its liveness probe so often that events are missing": (
        pod("Running", waiting("CrashLoopBackOff", last=end(137), restarts=9)),
        [event("Killing", KILLING, 5, container="notebook")],
        (T.PROBE, "notebook", "Killing", 137),
    ),
    "killed by its liveness probe once, and later a crash": (
        pod("Running", waiting("CrashLoopBackOff", last=end(1), restarts=9)),
        [event("Killing", KILLING, 5, container="notebook")],
        (T.CRASH, "notebook", "Error", 1),
    ),
    "a crash, and a probe that failed before it": (
        pod("Running", waiting("CrashLoopBackOff", last=end(1), restarts=1)),
        [event("Unhealthy", LIVENESS, container="notebook")],
        (T.CRASH, "notebook", "Error", 1),
    ),
    "killed, and a probe that failed in the run before": (
        pod("Running", waiting("CrashLoopBackOff", last=end(137), restarts=1)),
        [event("Unhealthy", LIVENESS, 5, container="notebook")],
        (T.CRASH, "notebook", "Error", 137),
    ),
    "out of memory, not by the probe": (
        pod("Running", waiting("CrashLoopBackOff", last=OOM, restarts=1)),
        [event("Unhealthy", LIVENESS, container="notebook")],
        (T.OUT_OF_MEMORY, "notebook", "OOMKilled", 137),
    ),
    "not ready since a probe fails": (
        pod("Running", running(False, since=10), conditions=(UNREADY,)),
        [event("Unhealthy", READINESS, container="notebook")],
        (T.PROBE, "notebook", "Unhealthy", None),
    ),
    # The pod as a whole.
    "past its deadline": (
        pod("Failed", ended(137), reason="DeadlineExceeded"), [],
        (T.DEADLINE, None, "DeadlineExceeded", None),
    ),
    "evicted by the kubelet": (
        pod("Failed", ended(137), reason="Evicted", conditions=(BY_KUBELET,)), [],
        (T.DISRUPTION, None, "Evicted", None),
    ),
    "preempted by the kubelet": (
        pod("Failed", ended(137), reason="Preempting", conditions=(BY_KUBELET,)), [],
        (T.DISRUPTION, None, "Preempting", None),
    ),
    "being evicted": (
        pod("Running", running(), metadata=DELETED, conditions=(EVICTING, READY)), [],
        (T.DISRUPTION, None, "EvictionByEvictionAPI", None),
    ),
    "evicted, and obeyed": (
        pod("Succeeded", ended(0, "Completed", finished=40), conditions=(EVICTING,),
            metadata=DELETED, policy="Never"),
        [],
        (T.DISRUPTION, None, "EvictionByEvictionAPI", None),
    ),
    "preempted, missing statuses": (
        pod("Failed", conditions=(condition("DisruptionTarget", reason="PreemptionByScheduler"),)),
        [],
        (T.DISRUPTION, None, "PreemptionByScheduler", None),
    ),
    "killed by somebody, after its readiness probe failed in many ways": (
        pod("Running", ended(137)),
        [event("Unhealthy", f"(combined from similar events): {READINESS}", 15,
               container="notebook")],
        (T.CRASH, "notebook", "Error", 137),
    ),
    "killed by a probe that failed in many ways": (
        pod("Running", ended(137)),
        [event("Unhealthy", f"(combined from similar events): {LIVENESS}", 15,
               container="notebook")],
        (T.PROBE, "notebook", "Unhealthy", 137),
    ),
    "a readiness probe fails, of which the last events are missing": (
        pod("Running", running(False, since=60),
            conditions=(condition("ContainersReady", "False", "ContainersNotReady", since=600),)),
        [event("Unhealthy", READINESS, 310, container="notebook")],
        (T.PROBE, "notebook", "Unhealthy", None),
    ),
    "its node is gone": (
        pod("Failed", running(), conditions=(
            condition("DisruptionTarget", reason="DeletionByPodGC"),)),
        [],
        (T.NODE, None, "DeletionByPodGC", None),
    ),
    "its node shuts down": (
        pod("Failed", ended(137), reason="Terminated", conditions=(BY_KUBELET,)), [],
        (T.NODE, None, "Terminated", None),
    ),
    "its node is lost": (
        pod("Running", running(), reason="NodeLost", metadata=DELETED), [],
        (T.NODE, None, "NodeLost", None),
    ),
    "its node does not answer": (
        pod("Running", running(), conditions=(condition("Ready", "False"),)),
        [event("NodeNotReady", "Node is not ready", 31)],
        (T.NODE, None, "NodeNotReady", None),
    ),
    "its node does not answer, and the event has expired": (
        pod("Running", running(), conditions=(
            condition("Ready", "False"), condition("ContainersReady"))),
        [],
        (T.NODE, None, "NodeNotReady", None),
    ),
    "its node does not answer, and it is evicted": (
        pod("Running", running(), metadata=DELETED, conditions=(
            condition("Ready", "False"), condition("ContainersReady"),
            condition("DisruptionTarget", reason="DeletionByTaintManager"))),
        [],
        (T.NODE, None, "NodeNotReady", None),
    ),
    "evicted by a taint": (
        pod("Running", running(), metadata=DELETED, conditions=(
            READY, condition("DisruptionTarget", reason="DeletionByTaintManager"))),
        [],
        (T.DISRUPTION, None, "DeletionByTaintManager", None),
    ),
    "its node lost the container": (
        pod("Failed", ended(137, "ContainerStatusUnknown"), conditions=(EVICTING,),
            metadata=DELETED),
        [],
        (T.NODE, "notebook", "ContainerStatusUnknown", 137),
    ),
    "its node was restarted": (
        pod("Failed", ended(255, "Unknown"), policy="Never"), [],
        (T.NODE, "notebook", "Unknown", 255),
    ),
    "its node was restarted, and it is to be started again": (
        pod("Running", ended(255, "Unknown"), conditions=(UNREADY,)), [],
        (T.NODE, "notebook", "Unknown", 255),
    ),
    "refused for its resources": (
        pod("Failed", reason="OutOfmemory", message=REFUSED), [],
        (T.NODE, None, "OutOfmemory", None),
    ),
    "refused for a reason of tomorrow": (
        pod("Failed", reason="WrongMoon"), [], (T.NODE, None, "WrongMoon", None),
    ),
}  # fmt: skip

# States in which nothing is wrong, or nothing any more.
FINE: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "running": (pod("Running", running(), conditions=(READY,)), []),
    "done": (pod("Succeeded", ended(0, "Completed"), policy="Never"), []),
    "new": (pod(None, node=None), []),
    "on its way": (pod("Pending", CREATING), [event("Pulling", "", container="notebook")]),
    "mounted late": (
        pod("Pending", CREATING),
        [event("FailedMount", MOUNT, 15), event("Pulling", "", 16)],
    ),
    "mounted late, within the same second": (
        pod("Pending", CREATING),
        [event("Pulling", "", 15, version=10), event("FailedMount", MOUNT, 15, version=9)],
    ),
    "mounted late, and its sandbox is made": (
        pod("Pending", CREATING, conditions=(condition("PodReadyToStartContainers", since=20),)),
        [event("FailedMount", MOUNT, 15)],
    ),
    "attached late": (
        pod("Pending", CREATING),
        [
            event("FailedAttachVolume", 'Multi-Attach error for volume "pvc-1"', 15),
            event("SuccessfulAttachVolume", 'succeeded for volume "pvc-1"', 16),
        ],
    ),
    "mounted late, and runs": (
        pod("Running", running(), conditions=(READY,)), [event("FailedMount", MOUNT)],
    ),
    "scheduled late": (
        pod("Pending", CREATING, conditions=(UNSCHEDULABLE,)),
        [event("FailedScheduling", "0/3 nodes are available")],
    ),
    "pulls are throttled": (
        pod("Pending", waiting("ErrImagePull", "pull QPS exceeded")),
        [event("Failed", 'Failed to pull image "x": pull QPS exceeded')],
    ),
    "pulls are throttled, and an old kubelet says so in an event alone": (
        pod("Pending", waiting("ImagePullBackOff", 'Back-off pulling image "x"')),
        [event("Failed", 'Failed to pull image "x": pull QPS exceeded', container="notebook")],
    ),
    "a config map is being fetched, as only an event says yet": (
        pod("Pending", CREATING),
        [event("Pulled", "", 14, container="notebook"),
         event("Failed", "Error: failed to sync configmap cache: timed out waiting for the "
               "condition", 15, container="notebook")],
    ),
    "the services are being listed, as only an event says yet": (
        pod("Pending", CREATING),
        [event("Pulled", "", 14, container="notebook"),
         event("Failed", "Error: services have not yet been read at least once, cannot "
               "construct envvars", 15, container="notebook")],
    ),
    "ready again": (
        pod("Running", running(last=OOM, restarts=1), conditions=(READY,)),
        [event("Unhealthy", LIVENESS), event("Killing", KILLING)],
    ),
    "ready again after its readiness probe failed": (
        pod("Running", running(), conditions=(READY,)), [event("Unhealthy", READINESS)],
    ),
    "a probe that failed in the run before": (
        pod("Running", running(False, since=60)),
        [event("Unhealthy", READINESS, 59, container="notebook")],
    ),
    "its kubelet has just started, and its probe failed while the program began": (
        pod("Running", running(False, since=60),
            conditions=(condition("ContainersReady", "False", "ContainersNotReady", since=600),)),
        [event("Unhealthy", READINESS, 65, container="notebook")],
    ),
    "has ended once with exit code 0": (pod("Running", ended(0, "Completed")), []),
    "all containers are restarted on purpose": (
        pod("Running", waiting("X", last=end(137, "RestartingAllContainers"))),
        [],
    ),
    "restarted for other resources, and not ready yet": (
        pod("Running", running(False, since=30, restarts=1, last=end(137)), conditions=(UNREADY,)),
        [event("Killing", "Container notebook resize requires restart", 18,
               container="notebook")],
    ),
    "to be restarted for other resources": (
        pod("Running", ended(143), policy="OnFailure"),
        [event("Killing", "Container notebook resize requires restart", 18,
               container="notebook")],
    ),
    "restarted for another image, ended well, and not ready yet": (
        pod("Running", running(False, since=30, restarts=1, last=end(0, "Completed")),
            conditions=(UNREADY,)),
        [event("Killing", "Container notebook definition changed, will be restarted", 18,
               container="notebook")],
    ),
    "an init container that failed and then succeeded": (
        pod("Running", running(), init=(ended(0, "Completed", name="i", last=OOM, restarts=1),)),
        [],
    ),
    "an init container that is done, at exit code 0 and out of memory": (
        pod("Running", running(), init=(ended(0, "OOMKilled", name="i"),)), [],
    ),
    "done, and its sidecar was killed": (
        pod("Succeeded", ended(0, "Completed"), init=(ended(137, name="proxy"),),
            sidecars=("proxy",), policy="Never"),
        [],
    ),
    "done before it was drained": (
        pod("Succeeded", ended(0, "Completed", finished=20), conditions=(EVICTING,),
            metadata=DELETED, policy="Never"),
        [],
    ),
    "ended by being deleted": (
        pod("Running", ended(137, finished=40), metadata=DELETED), [],
    ),
    "an eviction that was given up": (
        pod("Running", running(), conditions=(EVICTING, READY)), [],
    ),
    "an eviction that was given up, and reset": (
        pod("Running", running(), metadata=DELETED,
            conditions=(condition("DisruptionTarget", "False"), READY)),
        [],
    ),
    "its liveness probe failed in many ways, and it is not to be ready yet": (
        pod("Running", running(False, since=10)),
        [event("Unhealthy", f"(combined from similar events): {LIVENESS}", container="notebook")],
    ),
    "waits for a readiness gate": (
        pod("Running", running(), conditions=(
            condition("Ready", "False", "ReadinessGatesNotReady"), condition("ContainersReady"))),
        [],
    ),
}  # fmt: skip


def told(diagnosis: PodDiagnosis) -> tuple[Any, ...]:
    """What a case expects."""
    return diagnosis.trouble, diagnosis.container, diagnosis.reason, diagnosis.exit_code


@pytest.mark.parametrize("case", TROUBLES)
def test_each_trouble_is_found(case: str) -> None:
    """What is wrong is found, with its container, reason and exit code."""
    content, events, expected = TROUBLES[case]

    assert expected == told(diagnose(content, events))


@pytest.mark.parametrize("case", TROUBLES)
def test_events_of_others_change_nothing(case: str) -> None:
    """Events of an earlier pod, of another object and of another name stay out."""
    content, events, expected = TROUBLES[case]
    claim = event("FailedMount", MOUNT, 50)
    claim["involvedObject"]["kind"] = "PersistentVolumeClaim"
    other = event("FailedMount", MOUNT, 50, uid=None)
    other["involvedObject"]["name"] = "lab-2"
    foreign = [event("Pulled", "", 50, uid="another"), claim, other]

    diagnosis = diagnose(content, [*foreign, *events, *foreign])

    assert expected == told(diagnosis)
    assert len(events) == len(diagnosis.events)


@pytest.mark.parametrize("case", FINE)
def test_what_is_over_is_not_a_trouble(case: str) -> None:
    """Where nothing is wrong, or nothing any more, there is no trouble and nothing about one."""
    content, events = FINE[case]

    diagnosis = diagnose(content, events)

    assert (None, None, None, None) == told(diagnosis)
    assert (None, None) == (diagnosis.message, diagnosis.log)


@pytest.mark.parametrize(
    ("word", "trouble"),
    [
        ("ImageInspectError", T.IMAGE),
        ("RegistryUnavailable", T.IMAGE),
        ("SignatureValidationFailed", T.IMAGE),
        ("PreCreateHookError", T.START),
        ("PreStartHookError", T.START),
        ("PostStartHookError", T.START),
    ],
)
def test_words_with_which_a_container_waits(word: str, trouble: PodTrouble) -> None:
    """Those of the kubelet that no recording shows."""
    found = diagnose(pod("Pending", waiting(word, "…")))

    assert (trouble, "notebook", word) == (found.trouble, found.container, found.reason)


@pytest.mark.parametrize(
    ("word", "trouble"),
    [
        ("FailedMapVolume", T.VOLUME),
        ("FailedBinding", T.VOLUME),
        ("FailedPodSandBoxStatus", T.SANDBOX),
        ("FailedCreatePodContainer", T.SANDBOX),
        ("FailedResourceClaimCreation", T.CONFIGURATION),
        ("FailedPrepareDynamicResources", T.START),
        ("FailedPostStartHook", T.START),
        ("ErrImageNeverPull", T.IMAGE),
        ("InspectFailed", T.IMAGE),
    ],
)
def test_words_of_events(word: str, trouble: PodTrouble) -> None:
    """They say what is wrong with a pod whose state says ContainerCreating."""
    found = diagnose(pod("Pending", CREATING), [event("Scheduled", "", 1), event(word, "…")])

    assert (trouble, word) == (found.trouble, found.reason)


def test_words_with_which_a_pod_or_container_ends() -> None:
    """Those of older kubelets, and of dockershim."""
    shut_down = diagnose(pod("Failed", ended(137), reason="Shutdown"))
    cannot_run = diagnose(pod("Failed", ended(128, "ContainerCannotRun"), policy="Never"))
    no_folder = diagnose(pod(), [event("Failed", "error making pod data directories: full")])

    assert [T.NODE, T.START, T.START] == [
        each.trouble for each in (shut_down, cannot_run, no_folder)
    ]


def test_every_trouble_has_a_case() -> None:
    """The table above shows each trouble."""
    assert {*PodTrouble} == {trouble for *_, (trouble, *_) in TROUBLES.values()}


def test_restarts_are_those_of_the_container_or_of_all() -> None:
    """A container's trouble comes with its own restarts, anything else with those of all."""
    two = waiting("CrashLoopBackOff", name="b", last=end(1), restarts=4)
    init = ended(0, "Completed", name="i", restarts=1)

    assert 4 == diagnose(pod("Running", running(name="a", restarts=2), two)).restarts
    assert 3 == diagnose(pod("Running", running(restarts=2), init=(init,))).restarts


def test_the_last_20_events_come_oldest_first() -> None:
    """Events are ordered by when they were last seen, and the last 20 are kept."""
    older = [event("Old", str(n), n) for n in range(25)]
    repeated = event("Again", "and again", 59, first=0, count=9)
    newest = event("Scheduled", "done", 0)
    newest.update(eventTime="2026-11-27T10:01:00.123456Z", firstTimestamp=None, lastTimestamp=None)

    diagnosis = diagnose(pod("Running", running()), [newest, repeated, *older])

    expected = [f"Old: {n}" for n in range(7, 25)] + ["Again: and again", "Scheduled: done"]
    assert expected == [*diagnosis.events]


def test_a_series_of_events_was_last_seen_when_it_last_repeated() -> None:
    """The newer events API says in the series when an event was last seen."""
    series = event("FailedScheduling", "0/3 nodes are available", 0)
    series.update(
        eventTime="2026-11-27T10:00:01.000000Z",
        firstTimestamp=None,
        lastTimestamp=None,
        series={"count": 9, "lastObservedTime": "2026-11-27T10:05:00.000000Z"},
    )

    diagnosis = diagnose(pod(node=None), [series, event("Other", "", 60)])

    assert ("Other", "FailedScheduling: 0/3 nodes are available") == diagnosis.events


def test_an_event_without_a_uid_belongs_to_a_pod_that_is_not_younger() -> None:
    """The taint manager names no UID: an event that is older than the pod is an earlier pod's."""
    young = event("TaintManagerEviction", "Marking for deletion Pod lab-jovyan/lab", 0, uid=None)
    old = event("TaintManagerEviction", "Cancelling deletion", 0, uid=None)
    old.update(firstTimestamp="2026-11-27T09:59:59Z", lastTimestamp="2026-11-27T09:59:59Z")

    diagnosis = diagnose(pod("Running", running()), [young, old])

    expected = "TaintManagerEviction: Marking for deletion Pod lab-jovyan/lab"
    assert (expected,) == diagnosis.events


def test_what_lies_behind_an_image_back_off_is_its_message() -> None:
    """Before Kubernetes 1.31 the reason of a failed pull is in an event alone."""
    content = pod("Pending", waiting("ImagePullBackOff", 'Back-off pulling image "x:1"'))
    pulled = event("Failed", PULL, container="notebook")

    assert PULL == diagnose(content, [pulled]).message
    assert 'Back-off pulling image "x:1"' == diagnose(content).message


@pytest.mark.parametrize(
    ("content", "events", "expected"),
    [
        (pod("Running", running(), conditions=(READY,)), [], "Running, ready"),
        (pod("Running", running(), metadata=DELETED), [], "Running, not ready, terminating"),
        (pod(), [], "Pending"),
        (pod("Pending", CREATING), [event("FailedMount", MOUNT)], f"Volume: FailedMount: {MOUNT}"),
        (
            pod("Running", waiting("CrashLoopBackOff", last=OOM, restarts=1)), [],
            "OutOfMemory in container notebook: OOMKilled (exit code 137, 1 restart)",
        ),
        (
            pod("Running", waiting("CrashLoopBackOff", last=end(message="no\n\tkernel\x1b[2J"))),
            [],
            "Crash in container notebook: Error (exit code 1): no kernel\\x1b[2J",
        ),
    ],
)  # fmt: skip
def test_a_person_reads_one_line(
    content: dict[str, Any], events: list[dict[str, Any]], expected: str
) -> None:
    """``str()`` of a diagnosis is one line without control characters."""
    assert expected == str(diagnose(content, events))


def test_a_diagnosis_can_be_pickled_and_hashed() -> None:
    """It travels between processes, equal to what was sent."""
    diagnosis = diagnose(pod("Pending", CREATING), [event("FailedMount", MOUNT)])

    assert diagnosis == pickle.loads(pickle.dumps(diagnosis))
    assert 1 == len({diagnosis, diagnose(pod("Pending", CREATING), [event("FailedMount", MOUNT)])})


def mutations(content: Any, value: Any) -> list[Any]:
    """Copies of JSON, each with another of its parts replaced."""
    if isinstance(content, dict):
        places: list[Any] = [*content]
    elif isinstance(content, list):
        places = [*range(len(content))]
    else:
        return []
    found = []
    for place in places:
        for part in [value, *mutations(content[place], value)]:
            copy = content.copy()
            copy[place] = part
            found.append(copy)
    return found


@pytest.mark.parametrize("value", [None, [None], {}, "x", -(2**70)])
@pytest.mark.parametrize("case", [*TROUBLES, *FINE])
def test_no_odd_part_does_harm(case: str, value: Any) -> None:
    """Whatever stands in one place of a pod or event, there is a diagnosis in printable lines."""
    content, events, *_ = (TROUBLES | FINE)[case]
    for odd in mutations({"pod": content, "events": events}, value):
        diagnosis = diagnose(odd["pod"], odd["events"])

        assert isinstance(diagnosis.phase, PodPhase)
        assert str(diagnosis).isprintable()


WORDS = st.sampled_from(
    sorted({word for value in [*TROUBLES.values(), *FINE.values()] for word in
            json.dumps(value[:2]).split('"') if word.isalpha()})
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS,
    lambda part: st.lists(part) | st.dictionaries(st.text() | WORDS, part),
    max_leaves=60,
)


@settings(max_examples=500, deadline=None)
@given(JSON, JSON)
def test_no_json_makes_it_raise(content: Any, events: Any) -> None:
    """Any JSON gives a diagnosis in printable lines."""
    diagnosis = diagnose(content, events)

    lines = [str(diagnosis), *diagnosis.events]
    lines += [diagnosis.reason or "", diagnosis.message or "", diagnosis.container or ""]
    assert [] == [line for line in lines if not line.isprintable()]


def test_every_trouble_has_a_hint() -> None:
    """A person learns what to do about each trouble, in a line."""
    hints = [trouble.hint for trouble in PodTrouble]

    assert [] == [hint for hint in hints if not (hint.isprintable() and hint.endswith((".", "?")))]
    assert len(hints) == len({*hints})

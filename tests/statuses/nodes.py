"""Scheduling, disruptions, and nodes that are lost, full or refuse."""

from __future__ import annotations

import contextlib
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from kubernetes import client

from tests.plane.programs import NODE
from tests.support.cluster import eventually

from .case import (
    CTR,
    FOREVER,
    POLITE,
    Case,
    Json,
    Stage,
    Step,
    container,
    container_id,
    evict,
    mounting,
    spec,
)
from .conditions import (
    all_of,
    gone,
    has_condition,
    has_phase,
    is_going,
    is_ready,
    is_running,
    told,
    waits,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plane.control_plane import ControlPlane

HEARTBEAT_SECONDS = 5.0
UNSCHEDULABLE = all_of(
    has_condition("PodScheduled", "False", "Unschedulable"), told("FailedScheduling")
)


def _asking(**requests: str) -> Json:
    return container(FOREVER, resources={"requests": requests})


SCHEDULING = (
    Case(
        "unschedulable-resources",
        "No node has as many CPUs.",
        spec(_asking(cpu="1000")),
        UNSCHEDULABLE,
    ),
    Case(
        "unschedulable-selector",
        "No node has the label that it asks for.",
        spec(container(FOREVER), nodeSelector={"observatory.example/gpu": "yes"}),
        UNSCHEDULABLE,
    ),
    Case(
        "unschedulable-claim-missing",
        "The claim that it mounts does not exist.",
        mounting({"persistentVolumeClaim": {"claimName": "missing"}}),
        UNSCHEDULABLE,
    ),
    Case(
        "unschedulable-claim-unbound",
        "There is no volume for the claim that it mounts.",
        mounting({"persistentVolumeClaim": {"claimName": "home"}}),
        UNSCHEDULABLE,
        objects=(
            {
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "home"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Ti"}},
                    "storageClassName": "",
                },
            },
        ),
    ),
    Case(
        "scheduling-gated",
        "Somebody has yet to take its scheduling gate away.",
        spec(container(FOREVER), schedulingGates=[{"name": "observatory.example/quota"}]),
        has_condition("PodScheduled", "False", "SchedulingGated"),
    ),
)

REFUSED = (
    Case(
        "refused-node-affinity",
        "The node refuses it: it was put there, and does not fit its own selector.",
        spec(container(FOREVER), nodeName=NODE, nodeSelector={"observatory.example/gpu": "yes"}),
        has_phase("Failed"),
    ),
    Case(
        "refused-out-of-cpu",
        "The node refuses it: it was put there, and has not as many CPUs.",
        spec(_asking(cpu="1000"), nodeName=NODE),
        has_phase("Failed"),
    ),
    Case(
        "refused-sysctl",
        "The node refuses it: it asks for a kernel parameter that the node does not allow.",
        spec(
            container(FOREVER),
            securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]},
        ),
        has_phase("Failed"),
    ),
    Case(
        "refused-apparmor",
        "The node refuses it: it has no AppArmor.",
        spec(
            container(
                FOREVER,
                securityContext={
                    "appArmorProfile": {"type": "Localhost", "localhostProfile": "missing"}
                },
            )
        ),
        has_phase("Failed"),
    ),
)

SANDBOXES = (
    Case(
        "sandbox-runtime-missing",
        "Its sandbox cannot be made: the node does not have the runtime.",
        spec(container(FOREVER), runtimeClassName="statuses-missing"),
        all_of(waits("ContainerCreating"), told("FailedCreatePodSandBox")),
        objects=(
            {"kind": "RuntimeClass", "metadata": {"name": "statuses-missing"}, "handler": "kata"},
        ),
    ),
)


def _limited_disk(command: str) -> Json:
    limits = {"limits": {"ephemeral-storage": "2Mi"}}
    return spec(container(f"{command}; {FOREVER}", resources=limits))


EVICTIONS = (
    Case(
        "evicted-by-api",
        "Somebody has asked for its eviction, as when a node is drained.",
        spec(container(FOREVER), grace=20),
        all_of(is_going, told("Killing")),
        (Step(is_ready, then=evict),),
    ),
    Case(
        "evicted-by-api-ended",
        "It was evicted, as when a node is drained, and has ended.",
        spec(container(POLITE), grace=20),
        gone,
        (Step(is_ready, then=evict),),
    ),
    Case(
        "evicted-own-disk",
        "It wrote more than its limit of ephemeral storage.",
        _limited_disk("head -c 8000000 /dev/zero >/root/much"),
        all_of(has_phase("Failed"), told("Evicted")),
    ),
    Case(
        "evicted-empty-dir",
        "It wrote more into an emptyDir than that may hold.",
        mounting(
            {"emptyDir": {"sizeLimit": "1Mi"}},
            f"head -c 8000000 /dev/zero >/data/much; {FOREVER}",
        ),
        all_of(has_phase("Failed"), told("Evicted")),
    ),
)


# -- What needs the node for itself -----------------------------------------------------


@contextlib.contextmanager
def _tainted(plane: ControlPlane) -> Iterator[None]:
    taint = {"key": "observatory.example/maintenance", "effect": "NoSchedule"}
    with plane.api_client() as admin:
        core = client.CoreV1Api(admin)
        core.patch_node(NODE, {"spec": {"taints": [taint]}})
        try:
            yield
        finally:
            core.patch_node(NODE, {"spec": {"taints": None}})


@contextlib.contextmanager
def _without_network(plane: ControlPlane) -> Iterator[None]:
    plane.node.break_network()
    try:
        yield
    finally:
        plane.node.mend_network()


@contextlib.contextmanager
def _without_kubelet(plane: ControlPlane) -> Iterator[None]:
    """The case itself kills it, once its pod runs.

    Where no node is well nobody is evicted (the mode of full disruption), so there is
    another that looks so:
    https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction
    """
    with plane.api_client() as admin, _other_node(client.CoreV1Api(admin)):
        try:
            yield
        finally:
            plane.start_kubelet()
            eventually(lambda: _is_schedulable(plane))


@contextlib.contextmanager
def _other_node(core: client.CoreV1Api) -> Iterator[None]:
    name = "other-node"
    taint = {"key": "observatory.example/made-up", "effect": "NoSchedule"}
    done = threading.Event()

    def be_well() -> None:
        while True:
            now = datetime.now(timezone.utc).isoformat()
            ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now}
            core.patch_node_status(name, {"status": {"conditions": [ready]}})
            if done.wait(HEARTBEAT_SECONDS):
                return

    core.create_node({"metadata": {"name": name}, "spec": {"taints": [taint]}})
    heart = threading.Thread(target=be_well)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
        core.delete_node(name)


@contextlib.contextmanager
def _short_of_memory(plane: ControlPlane) -> Iterator[None]:
    """The case itself makes it so, once its pod runs."""
    try:
        yield
    finally:
        _configure(plane)
        eventually(lambda: _is_schedulable(plane))


def _take_memory(stage: Stage) -> None:
    """Let the kubelet believe that the node should have more memory free than it has."""
    _configure(stage.plane, evictionHard={"memory.available": "99%"})


def _configure(plane: ControlPlane, **changed: object) -> None:
    plane.kill_kubelet()
    plane.node.configure_kubelet(evictionPressureTransitionPeriod="5s", **changed)
    plane.start_kubelet()


@contextlib.contextmanager
def _short_of_disk(plane: ControlPlane) -> Iterator[None]:
    """The case itself fills it, once its pod runs."""
    _configure(plane)
    try:
        yield
    finally:
        plane.node.run("rm", "-f", "/run/full")
        eventually(lambda: _is_schedulable(plane))


def _fill_disk(stage: Stage) -> None:
    stage.plane.node.run("sh", "-c", "head -c 4G /dev/zero >/run/full || true")


def _is_schedulable(plane: ControlPlane) -> bool:
    with plane.api_client() as admin:
        return not client.CoreV1Api(admin).read_node(NODE).spec.taints


def _more_important(stage: Stage) -> None:
    """Make a pod that needs all the node has, and may take it from others."""
    with stage.plane.api_client() as admin:
        client.SchedulingV1Api(admin).create_priority_class(
            {"metadata": {"name": "statuses-important"}, "value": 1000}
        )
    stage.core.create_namespaced_pod(
        stage.namespace,
        {
            "metadata": {"name": "important"},
            "spec": {**spec(_asking(cpu="1500m")), "priorityClassName": "statuses-important"},
        },
    )


def _lose_container(stage: Stage) -> None:
    """Have the runtime forget the pod's container while no kubelet looks."""
    node, name = stage.plane.node, container_id(stage)
    forget = "until ctr --namespace k8s.io containers delete $1; do sleep 0.1; done"
    stage.plane.kill_kubelet()
    try:
        node.run(*CTR, "tasks", "kill", "--signal", "SIGKILL", name)
        node.run("sh", "-c", forget, "sh", name)
        # It remembers what it has no record of any more.
        stage.plane.restart_containerd()
    finally:
        stage.plane.start_kubelet()


LATER = (
    Case(
        "unschedulable-taint",
        "The only node has a taint that it does not tolerate.",
        spec(container(FOREVER)),
        UNSCHEDULABLE,
        around=_tainted,
    ),
    Case(
        "sandbox-network-missing",
        "Its sandbox cannot be made: the plugin of the node's network is not installed.",
        spec(container(FOREVER)),
        all_of(waits("ContainerCreating"), told("FailedCreatePodSandBox")),
        around=_without_network,
    ),
    Case(
        "preempted",
        "A pod of a higher priority takes its place, and it is being deleted.",
        spec(_asking(cpu="1500m"), grace=20),
        all_of(is_going, told("Preempted", "Killing")),
        (Step(is_ready, then=_more_important),),
        around=contextlib.nullcontext,
    ),
    Case(
        "evicted-memory-pressure",
        "The node is short of memory.",
        spec(container(FOREVER, resources={"requests": {"memory": "1Mi"}})),
        all_of(has_phase("Failed"), told("Evicted", "Killing")),
        (Step(is_ready, then=_take_memory),),
        around=_short_of_memory,
        seconds=180,
    ),
    Case(
        "rejected-memory-pressure",
        "The node is short of memory, and its kubelet, started again, does not take it back.",
        spec(container(FOREVER)),
        all_of(has_phase("Failed"), told("Evicted", "Killing")),
        (Step(is_ready, then=_take_memory),),
        around=_short_of_memory,
        seconds=180,
    ),
    Case(
        "evicted-disk-pressure",
        "The node is short of disk.",
        spec(container(f"head -c 8000000 /dev/zero >/root/much; {FOREVER}")),
        all_of(has_phase("Failed"), told("Evicted", "Killing")),
        (Step(is_ready, then=_fill_disk),),
        around=_short_of_disk,
        seconds=180,
    ),
    Case(
        "node-silent",
        "Its node has not been heard of, and nobody knows how it is.",
        spec(container(FOREVER)),
        has_condition("Ready", "False"),
        (Step(is_ready, then=lambda stage: stage.plane.kill_kubelet()),),
        around=_without_kubelet,
        seconds=180,
    ),
    Case(
        "node-lost",
        "Its node has not been heard of, and it is being deleted for that.",
        spec(
            container(FOREVER),
            tolerations=[
                {
                    "key": f"node.kubernetes.io/{reason}",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 1,
                }
                for reason in ("not-ready", "unreachable")
            ],
        ),
        all_of(is_going, told("TaintManagerEviction")),
        (Step(is_ready, then=lambda stage: stage.plane.kill_kubelet()),),
        around=_without_kubelet,
        seconds=180,
    ),
    Case(
        "container-status-unknown",
        "The node has lost its container, and cannot say how it ended.",
        spec(container(FOREVER), restart="Never"),
        has_phase("Failed"),
        (
            Step(
                all_of(is_running, is_ready),
                then=_lose_container,
            ),
        ),
        around=contextlib.nullcontext,
    ),
)

CASES = (*SCHEDULING, *REFUSED, *SANDBOXES, *EVICTIONS, *LATER)

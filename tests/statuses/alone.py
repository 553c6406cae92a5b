"""What needs the node for itself: taints, a broken network, pressure, and a node that is lost."""

from __future__ import annotations

import contextlib
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from kubernetes import client

from tests.plane.programs import NODE
from tests.support.cluster import eventually

from .case import CTR, FOREVER, Case, Stage, Step, asking, container, container_id, spec
from .conditions import (
    all_of,
    has_condition,
    has_phase,
    is_going,
    is_ready,
    is_running,
    told,
    waits,
)
from .nodes import UNSCHEDULABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plane.control_plane import ControlPlane

HEARTBEAT_SECONDS = 5.0


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
            "spec": {**spec(asking(cpu="1500m")), "priorityClassName": "statuses-important"},
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


# All that containerd has started, and it itself.
LOSE_POWER = """
for process in /proc/[0-9]*; do
    case $(cat $process/comm) in
        containerd | containerd-shim) others="$others ${process#/proc/}" ;;
    esac
done
kill -9 $others $(ctr --namespace k8s.io tasks list | awk 'NR > 1 { print $2 }')
"""


def _restart_node(stage: Stage) -> None:
    """Let nothing of what ran go on running, as if the node had lost its power."""
    stage.plane.kill_kubelet()
    try:
        stage.plane.node.run("sh", "-c", LOSE_POWER)
        stage.plane.restart_containerd()
    finally:
        stage.plane.start_kubelet()


CASES = (
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
        spec(asking(cpu="1500m"), grace=20),
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
    Case(
        "node-restarted",
        "Its node has lost its power, and is there again.",
        spec(container(FOREVER), restart="Never"),
        has_phase("Failed"),
        (Step(all_of(is_running, is_ready), then=_restart_node),),
        around=contextlib.nullcontext,
    ),
)

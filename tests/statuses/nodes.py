"""Pods that no node takes, that their node refuses, or that are evicted."""

from __future__ import annotations

from tests.plane.programs import NODE

from .case import FOREVER, POLITE, Case, Json, Step, asking, container, evict, mounting, spec
from .conditions import (
    all_of,
    gone,
    has_condition,
    has_phase,
    is_going,
    is_ready,
    told,
    waits,
)

UNSCHEDULABLE = all_of(
    has_condition("PodScheduled", "False", "Unschedulable"), told("FailedScheduling")
)


SCHEDULING = (
    Case(
        "unschedulable-resources",
        "No node has as many CPUs.",
        spec(asking(cpu="1000")),
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
        spec(asking(cpu="1000"), nodeName=NODE),
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


CASES = (*SCHEDULING, *REFUSED, *SANDBOXES, *EVICTIONS)

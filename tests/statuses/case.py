"""What a case is, and what the manifests of all have in common."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.plane.node_image import IDLE

from .conditions import Condition

if TYPE_CHECKING:
    from kubernetes import client

    from tests.plane.control_plane import ControlPlane

Json = dict[str, Any]

#: The name of each case's pod.
POD = "lab"
CTR = ("ctr", "--namespace", "k8s.io")
FOREVER = "sleep 100000"
#: Ends as soon as it is asked to.
POLITE = f"trap 'exit 0' TERM; {FOREVER} & wait"


@dataclass(frozen=True)
class Stage:
    """Where a case plays."""

    plane: ControlPlane
    core: client.CoreV1Api
    namespace: str


@dataclass(frozen=True)
class Step:
    """Something to wait for before the end, and what is done then."""

    until: Condition
    #: What it is, if it is to be recorded.
    note: str | None = None
    then: Callable[[Stage], object] | None = None


@dataclass(frozen=True)
class Case:
    """A pod that does not come up, or does not stay up; or one that looks like it and is well.

    Attributes
    ----------
    name
        The name of its file.
    description
        What is wrong.
    spec
        The pod's.
    until
        What is waited for: the pod is recorded as it is then.
    steps
        What comes before that, in this order.
    objects
        What is made before the pod, in its namespace unless the kind has none.
    log
        The container whose log is recorded.
    around
        What is done to the cluster meanwhile; no other case plays at that time.
    seconds
        How long it may take.
    """

    name: str
    description: str
    spec: Json
    until: Condition
    steps: tuple[Step, ...] = ()
    objects: tuple[Json, ...] = ()
    log: str | None = None
    around: Callable[[ControlPlane], AbstractContextManager[object]] | None = None
    seconds: float = 90.0


def container(command: str | None = None, name: str = "notebook", **fields: Any) -> Json:
    """A container, which runs a command of the shell."""
    made: Json = {"name": name, "image": IDLE, **fields}
    if command is not None:
        made["command"] = ["sh", "-c", command]
    return made


def spec(*containers: Json, restart: str = "Always", grace: int = 1, **fields: Any) -> Json:
    """The specification of a pod."""
    return {
        "restartPolicy": restart,
        "terminationGracePeriodSeconds": grace,
        "automountServiceAccountToken": False,
        "containers": list(containers),
        **fields,
    }


def asking(**requests: str) -> Json:
    """A container that needs so much of the node."""
    return container(FOREVER, resources={"requests": requests})


def mounting(
    volume: Json, command: str = FOREVER, mount: Json | None = None, **fields: Any
) -> Json:
    """The specification of a pod with one container that mounts a volume."""
    mounts = [{"name": "data", "mountPath": "/data", **(mount or {})}]
    volumes = [{"name": "data", **volume}]
    return spec(container(command, volumeMounts=mounts), volumes=volumes, **fields)


def delete(grace: int | None = None) -> Callable[[Stage], object]:
    """Ask for the pod to be deleted."""

    def then(stage: Stage) -> None:
        options = {} if grace is None else {"grace_period_seconds": grace}
        stage.core.delete_namespaced_pod(POD, stage.namespace, **options)

    return then


def kill_container(stage: Stage) -> None:
    """Kill the first process of the pod's container by SIGKILL, as anybody on the node may."""
    stage.plane.node.run(*CTR, "tasks", "kill", "--signal", "SIGKILL", container_id(stage))


def container_id(stage: Stage) -> str:
    """The name that the runtime has for the pod's container."""
    statuses = stage.core.read_namespaced_pod(POD, stage.namespace).status.container_statuses
    return str(statuses[0].container_id.rpartition("/")[2])


def evict(stage: Stage) -> None:
    """Ask for the pod to be evicted, as `kubectl drain` does.

    https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
    """
    stage.core.create_namespaced_pod_eviction(
        POD, stage.namespace, {"metadata": {"name": POD, "namespace": stage.namespace}}
    )

"""The requests of a kubelet: events, and the status of a pod.

Reasons and messages are those of Kubernetes 1.37 (``pkg/kubelet/events``,
``pkg/kubelet/images`` and ``pkg/kubelet/kuberuntime`` of its repository).
Times are taken when a request is made up.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .programs import NODE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"

Json = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One request to the API server."""

    method: str
    path: str
    body: Json
    content_type: str = "application/json"


class PodRequests:
    """The requests of one pod."""

    def __init__(self, pod: Json) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        self.namespace: str = metadata["namespace"]
        self.name: str = metadata["name"]
        self.uid: str = metadata["uid"]
        self.path = f"/api/v1/namespaces/{quote(self.namespace)}/pods/{quote(self.name)}"
        self.init_containers: list[Json] = spec.get("initContainers") or []
        self.containers: list[Json] = spec["containers"]

    def run_containers(self, containers: Iterable[Json]) -> Iterator[Request]:
        """Containers are started, one after another."""
        for container in containers:
            yield from self.run_container(container)

    def run_container(self, container: Json) -> Iterator[Request]:
        """One container is started."""
        yield self.pulling(container)
        yield self.pulled(container)
        yield self.event("Created", "Container created", container)
        yield self.event("Started", "Container started", container)

    def pulling(self, container: Json) -> Request:
        """An image is asked for."""
        return self.event("Pulling", f'Pulling image "{container["image"]}"', container)

    def pulled(self, container: Json) -> Request:
        """An image is there."""
        message = (
            f'Successfully pulled image "{container["image"]}" in 1ms (1ms including waiting). '
            "Image size: 1048576 bytes."
        )
        return self.event("Pulled", message, container)

    def event(
        self, reason: str, message: str, container: Json, *, count: int = 1, warning: bool = False
    ) -> Request:
        """An event in the manner of core/v1; from the second on, that it came again.

        Its name is the same however often it is written, so that a repeat
        after a lost answer makes no second one.
        """
        part = "initContainers" if container in self.init_containers else "containers"
        field_path = f"spec.{part}{{{container['name']}}}"
        digest = hashlib.sha256(f"{self.uid}\n{field_path}\n{reason}\n{message}".encode())
        name = f"{self.name}.{digest.hexdigest()[:16]}"
        events = f"/api/v1/namespaces/{quote(self.namespace)}/events"
        now = _now()
        if count > 1:
            again = {"count": count, "lastTimestamp": now}
            return Request("PATCH", f"{events}/{quote(name)}", again, STRATEGIC_MERGE_PATCH)
        return Request(
            "POST",
            events,
            {
                "metadata": {"name": name, "namespace": self.namespace},
                "involvedObject": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "namespace": self.namespace,
                    "name": self.name,
                    "uid": self.uid,
                    "fieldPath": field_path,
                },
                "type": "Warning" if warning else "Normal",
                "reason": reason,
                "message": message,
                "count": 1,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "source": {"component": "kubelet", "host": NODE},
                "reportingComponent": "kubelet",
                "reportingInstance": NODE,
            },
        )

    def waiting(self, reason: str, message: str | None = None) -> Request:
        """The first container waits for that reason, the others for their turn."""
        first, *others = self.containers
        return self.status(
            [
                waiting(first, reason, message),
                *(waiting(each, "ContainerCreating") for each in others),
            ]
        )

    def status(
        self, containers: list[Json], *, phase: str = "Pending", init: list[Json] | None = None
    ) -> Request:
        """A new status, of this pod by UID and of no later one of its name."""
        if init is None:
            init = [_initialized(container) for container in self.init_containers]
        now = _now()
        ready = all(each["ready"] for each in containers)
        conditions = {
            "PodReadyToStartContainers": phase in {"Pending", "Running"},
            "Initialized": all("waiting" not in each["state"] for each in init),
            "ContainersReady": ready,
            "Ready": ready,
        }
        return Request(
            "PATCH",
            f"{self.path}/status",
            {
                "metadata": {"uid": self.uid},
                "status": {
                    "phase": phase,
                    "hostIP": "127.0.0.1",
                    "hostIPs": [{"ip": "127.0.0.1"}],
                    "podIP": "10.1.0.1",
                    "podIPs": [{"ip": "10.1.0.1"}],
                    "startTime": now,
                    "conditions": [
                        {"type": name, "status": str(value), "lastTransitionTime": now}
                        for name, value in conditions.items()
                    ],
                    "initContainerStatuses": init,
                    "containerStatuses": containers,
                },
            },
            STRATEGIC_MERGE_PATCH,
        )


def waiting(container: Json, reason: str, message: str | None = None) -> Json:
    """The status of a container that waits."""
    state = {"reason": reason} if message is None else {"reason": reason, "message": message}
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"waiting": state},
    }


def running(container: Json) -> Json:
    """The status of a container that runs and is ready."""
    return {
        **_created(container),
        "ready": True,
        "started": True,
        "state": {"running": {"startedAt": _now()}},
    }


def terminated(container: Json, exit_code: int) -> Json:
    """The status of a container that has ended."""
    now = _now()
    created = _created(container)
    ended = {
        "exitCode": exit_code,
        "reason": "Error" if exit_code else "Completed",
        "startedAt": now,
        "finishedAt": now,
        "containerID": created["containerID"],
    }
    return {**created, "ready": False, "started": False, "state": {"terminated": ended}}


def _initialized(container: Json) -> Json:
    # One with this policy is a sidecar, which runs on beside the others:
    # https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
    if container.get("restartPolicy") == "Always":
        return running(container)
    return {**terminated(container, 0), "ready": True}


def _created(container: Json) -> Json:
    digest = hashlib.sha256(container["name"].encode()).hexdigest()
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": f"sha256:{hashlib.sha256(container['image'].encode()).hexdigest()}",
        "containerID": f"containerd://{digest}",
        "restartCount": 0,
    }


def _now() -> str:
    # Kubernetes keeps these to the second.
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

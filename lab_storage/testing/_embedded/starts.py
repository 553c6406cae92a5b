"""How a pod's containers start, or do not: what its kubelet writes, step by step.

The texts of the events are those of Kubernetes 1.37; no container runs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .errors import APIError
from .metadata import timestamp
from .resources import EVENTS, PODS, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .objects import Objects
    from .resources import Object

#: The only node there is.
NODE = "lab-node"
#: The phases of pods that do not change any more.
ENDED = ("Succeeded", "Failed")
# A kubelet begins with ten seconds and ends with five minutes.
_FIRST_BACK_OFF_SECONDS = 0.25
_LONGEST_BACK_OFF_SECONDS = 8.0


class PodWriter:
    """Writes about one pod, under the store's lock.

    How a pod starts is a generator, which pauses for as many seconds as it
    yields; who drives it sees to it that the pod is still there.
    """

    def __init__(self, objects: Objects, manifest: Object) -> None:
        self._objects = objects
        self.manifest = manifest
        self.containers: list[Object] = manifest["spec"]["containers"]
        self.init_containers: list[Object] = manifest["spec"].get("initContainers", [])
        self._back_offs: dict[str, str] = {}

    def run(self, delay_seconds: float) -> Iterator[float]:
        """Start all containers, the init containers first."""
        yield from self._run_init(delay_seconds)
        delay_seconds = 0.0 if self.init_containers else delay_seconds
        waiting = [_waiting(each, "ContainerCreating") for each in self.containers]
        self.set_status("Pending", waiting)
        for container in self.containers:
            yield from self._start(container, delay_seconds)
            delay_seconds = 0.0

    def end(self, start: str) -> None:
        """Let started containers run on, or end at once."""
        if start == "run":
            self.set_status("Running", [_running(each) for each in self.containers])
        else:
            code, phase = (0, "Succeeded") if start == "succeed" else (1, "Failed")
            self.set_status(phase, [terminated(each, code) for each in self.containers])

    def pull_for_ever(self, delay_seconds: float) -> Iterator[float]:
        """Stay Pending: the first image is pulled without end."""
        del delay_seconds
        reason = "PodInitializing" if self.init_containers else "ContainerCreating"
        self.set_status("Pending", [_waiting(each, reason) for each in self.containers])
        self._pulling((*self.init_containers, *self.containers)[0])
        yield from ()

    def fail_pull(self, delay_seconds: float) -> Iterator[float]:
        """Fail to pull the image of the first container, again and again."""
        yield from self._run_init(0.0)
        first, *others = self.containers
        image = first["image"]
        refused = f'failed to resolve reference "{image}": not found'
        waiting = [_waiting(each, "ContainerCreating") for each in others]
        self._pulling(first)
        yield delay_seconds
        self.event("Failed", f'Failed to pull image "{image}": {refused}', first, warning=True)
        self.event("Failed", "Error: ErrImagePull", first, warning=True)
        self.set_status("Pending", [_waiting(first, "ErrImagePull", refused), *waiting])
        text = f'Back-off pulling image "{image}"'
        for i, pause_seconds in _pauses():
            yield pause_seconds
            message = f"{text}: ErrImagePull: {refused}"
            self.set_status("Pending", [_waiting(first, "ImagePullBackOff", message), *waiting])
            self._back_off(text, first)
            if i == 0:
                self.event("Failed", "Error: ImagePullBackOff", first, warning=True)

    def fail_config(self, delay_seconds: float) -> Iterator[float]:
        """Fail to make the first container: what its environment needs is missing."""
        yield from self._run_init(0.0)
        first, *others = self.containers
        self._pulling(first)
        yield delay_seconds
        self._pulled(first)
        missing = 'configmap "missing" not found'
        self.event("Failed", f"Error: {missing}", first, warning=True)
        waiting = [_waiting(each, "ContainerCreating") for each in others]
        failed = _waiting(first, "CreateContainerConfigError", missing)
        self.set_status("Pending", [failed, *waiting])

    def crash(self, delay_seconds: float) -> Iterator[float]:
        """Let the first init container fail again and again.

        Raises
        ------
        ValueError
            There is none.
        """
        if not self.init_containers:
            raise ValueError(f"pod {name_of(self.manifest)} has no init container to crash")
        first, *others = self.init_containers
        place = _full_name(self.manifest)
        waiting = [_waiting(each, "PodInitializing") for each in (*others, *self.containers)]
        yield from self._start(first, delay_seconds)
        for restarts, pause_seconds in _pauses():
            message = (
                f"back-off {pause_seconds:g}s restarting failed container={first['name']} "
                f"pod={place}"
            )
            crashing = {
                **_waiting(first, "CrashLoopBackOff", message),
                "restartCount": restarts,
                "lastState": terminated(first, 1)["state"],
            }
            self.set_status(
                "Pending", waiting[len(others) :], init=[crashing, *waiting[: len(others)]]
            )
            text = f"Back-off restarting failed container {first['name']} in pod {place}"
            self._back_off(text, first, warning=True)
            yield pause_seconds

    def _run_init(self, delay_seconds: float) -> Iterator[float]:
        if self.init_containers:
            waiting = [_waiting(each, "PodInitializing") for each in self.init_containers]
            others = [_waiting(each, "PodInitializing") for each in self.containers]
            self.set_status("Pending", others, init=waiting)
        for container in self.init_containers:
            yield from self._start(container, delay_seconds)
            delay_seconds = 0.0

    def _start(self, container: Object, delay_seconds: float) -> Iterator[float]:
        self._pulling(container)
        yield delay_seconds
        self._pulled(container)
        self.event("Created", "Container created", container)
        self.event("Started", "Container started", container)

    def _pulling(self, container: Object) -> None:
        self.event("Pulling", f'Pulling image "{container["image"]}"', container)

    def _pulled(self, container: Object) -> None:
        text = (
            f'Successfully pulled image "{container["image"]}" in 1ms (1ms including waiting). '
            "Image size: 1048576 bytes."
        )
        self.event("Pulled", text, container)

    def _back_off(self, text: str, container: Object, *, warning: bool = False) -> None:
        """Tell of a back-off, or once more of the same one: its count rises."""
        store, namespace = self._objects.store, self.manifest["metadata"]["namespace"]
        before = store.get(EVENTS, namespace, self._back_offs.get(text, ""))
        if before is not None:
            again = {"count": before["count"] + 1, "lastTimestamp": timestamp()}
            store.put(EVENTS, {**before, **again})
        elif event := self.event("BackOff", text, container, warning=warning):
            self._back_offs[text] = name_of(event)

    def event(
        self, reason: str, message: str, container: Object, *, warning: bool = False
    ) -> Object | None:
        """Record an event about a container."""
        part = "initContainers" if container in self.init_containers else "containers"
        now = timestamp()
        event = {
            "reason": reason,
            "message": message,
            "type": "Warning" if warning else "Normal",
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": "kubelet", "host": NODE},
            "reportingComponent": "kubelet",
            "reportingInstance": NODE,
        }
        place = f"spec.{part}{{{container['name']}}}"
        return record(self._objects, self.manifest, event, "kubelet", place)

    def set_status(
        self, phase: str, containers: list[Object], *, init: list[Object] | None = None
    ) -> None:
        """Write the pod's status."""
        metadata = self.manifest["metadata"]
        pod = self._objects.read(PODS, metadata["namespace"], metadata["name"])
        if init is None:
            init = [{**terminated(each, 0), "ready": True} for each in self.init_containers]
        status = {
            **pod["status"],
            "phase": phase,
            "conditions": _conditions(pod, phase, init, containers),
            "hostIP": "127.0.0.1",
            "hostIPs": [{"ip": "127.0.0.1"}],
            "podIP": "10.1.0.1",
            "podIPs": [{"ip": "10.1.0.1"}],
            "startTime": pod["status"].get("startTime", timestamp()),
            "containerStatuses": containers,
        }
        if init:
            status["initContainerStatuses"] = init
        self._objects.set_status(PODS, pod, status, "kubelet")


def record(
    objects: Objects, pod: Object, event: Object, manager: str, place: str | None = None
) -> Object | None:
    """Record an event about a pod; none in a namespace that is going."""
    metadata = pod["metadata"]
    involved = {
        "kind": "Pod",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": "v1",
        "resourceVersion": metadata["resourceVersion"],
    }
    if place is not None:
        involved["fieldPath"] = place
    # Named by the time, as by client-go: lists sort them by it.
    name = f"{metadata['name']}.{time.time_ns():x}"
    manifest = {"metadata": {"name": name}, "involvedObject": involved, **event}
    try:
        return objects.create(EVENTS, metadata["namespace"], manifest, manager)[0]
    except APIError:
        return None  # As for a real kubelet, whose events are refused there as well.


def _pauses() -> Iterator[tuple[int, float]]:
    pause_seconds, count = _FIRST_BACK_OFF_SECONDS, 0
    while True:
        yield count, pause_seconds
        count += 1
        pause_seconds = min(2 * pause_seconds, _LONGEST_BACK_OFF_SECONDS)


def _conditions(
    pod: Object, phase: str, init: list[Object], containers: list[Object]
) -> list[dict[str, Any]]:
    ready = phase == "Running" and all(each["ready"] for each in containers)
    found = {
        "PodReadyToStartContainers": phase not in ENDED,
        "Initialized": all(each["ready"] for each in init),
        "Ready": ready,
        "ContainersReady": ready,
    }
    before = {each["type"]: each for each in pod["status"].get("conditions", ())}
    conditions = []
    for kind, holds in found.items():
        condition = {"type": kind, "status": str(holds), "lastProbeTime": None}
        same = before.get(kind, {}).get("status") == condition["status"]
        since = before[kind]["lastTransitionTime"] if same else timestamp()
        conditions.append({**condition, "lastTransitionTime": since})
    scheduled = before.get("PodScheduled")
    return [*conditions, scheduled] if scheduled else conditions


def _waiting(container: Object, reason: str, message: str | None = None) -> Object:
    state = {"reason": reason, **({} if message is None else {"message": message})}
    return {**_status(container), "state": {"waiting": state}, "started": False}


def _running(container: Object) -> Object:
    state = {"running": {"startedAt": timestamp()}}
    made = {**_status(container), **_made(container)}
    return {**made, "state": state, "ready": True, "started": True}


def terminated(container: Object, code: int) -> Object:
    """Give the status of a container that has ended."""
    ended = {
        "exitCode": code,
        "reason": "Error" if code else "Completed",
        "startedAt": timestamp(),
        "finishedAt": timestamp(),
        "containerID": _made(container)["containerID"],
    }
    made = {**_status(container), **_made(container)}
    return {**made, "state": {"terminated": ended}, "started": False}


def _status(container: Object) -> Object:
    return {
        "name": container["name"],
        "state": {},
        "lastState": {},
        "ready": False,
        "restartCount": 0,
        "image": container["image"],
        "imageID": "",
    }


def _made(container: Object) -> dict[str, str]:
    name = f"{container['name']}:{container['image']}"
    return {"imageID": f"embedded://{container['image']}", "containerID": f"embedded://{name}"}


def _full_name(pod: Object) -> str:
    metadata = pod["metadata"]
    return f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"

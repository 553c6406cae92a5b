"""What the kubelet of the embedded server writes about one pod: events and statuses."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lab_storage.testing._pods.courses import Course, Paused, Shown, Told
from lab_storage.testing._pods.endings import killed_status
from lab_storage.testing._pods.statuses import pod_status

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


class PodWriter:
    """Writes about one pod, under the store's lock."""

    def __init__(self, objects: Objects, manifest: Object) -> None:
        self._objects = objects
        self._manifest = manifest
        self._course = Course(manifest)
        self._names: dict[tuple[str, str, str | None], str] = {}

    def start(self, behaviour: str, pull_seconds: float) -> Iterator[float]:
        """Start the pod as the table of behaviours says.

        Pauses for as many seconds as it yields; whoever drives it sees to it that the
        pod is still there.

        Raises
        ------
        ValueError
            The behaviour does not suit the pod.
        """
        for step in self._course.start(behaviour, pull_seconds):
            if isinstance(step, Paused):
                yield step.seconds
            else:
                self._write(step)

    def stop(self) -> None:
        """Record that its containers are being stopped."""
        for event in self._course.stop():
            self._write(event)

    def end(self) -> None:
        """Show its containers killed."""
        metadata = self._manifest["metadata"]
        pod = self._objects.read(PODS, metadata["namespace"], metadata["name"])
        status = {**pod["status"], **killed_status(pod, timestamp())}
        self._objects.set_status(PODS, pod, status, "kubelet")

    def _write(self, step: Told | Shown) -> None:
        if isinstance(step, Shown):
            self._show(step)
        else:
            self._tell(step)

    def _tell(self, told: Told) -> None:
        store, namespace = self._objects.store, self._manifest["metadata"]["namespace"]
        key = (told.reason, told.message, told.field_path)
        before = store.get(EVENTS, namespace, self._names.get(key, ""))
        now = timestamp()
        if before is not None:
            store.put(EVENTS, {**before, "count": told.count, "lastTimestamp": now})
            return
        event = {
            "reason": told.reason,
            "message": told.message,
            "type": told.type,
            "count": told.count,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": "kubelet", "host": NODE},
            "reportingComponent": "kubelet",
            "reportingInstance": NODE,
        }
        made = record(self._objects, self._manifest, event, "kubelet", told.field_path)
        if made is not None:
            self._names[key] = name_of(made)

    def _show(self, shown: Shown) -> None:
        metadata = self._manifest["metadata"]
        pod = self._objects.read(PODS, metadata["namespace"], metadata["name"])
        before = pod["status"]
        known = {each["type"]: each for each in before.get("conditions", ())}
        status = pod_status(self._course, shown, timestamp())
        for condition in status["conditions"]:
            same = known.get(condition["type"], {})
            if same.get("status") == condition["status"]:
                condition["lastTransitionTime"] = same["lastTransitionTime"]
        if "PodScheduled" in known:
            status["conditions"].append(known["PodScheduled"])
        status["startTime"] = before.get("startTime", status["startTime"])
        self._objects.set_status(PODS, pod, {**before, **status}, "kubelet")


def record(
    objects: Objects, pod: Object, event: Object, manager: str, place: str | None = None
) -> Object | None:
    """Record an event about a pod; ``None`` in a namespace that is being deleted."""
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

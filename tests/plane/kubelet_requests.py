"""The requests by which a kubelet says how a pod fares, and in which order.

How pods fare is the table of `lab_storage.testing`, which the embedded server follows too
(`lab_storage.testing._pods.behaviours`). The annotation `START_ANNOTATION` of a pod names
its behaviour, and `DELAY_ANNOTATION` says how many seconds its first image is pulled.

There are fewer requests than a real kubelet makes, so that 500 pods can start at once: what
passes by itself within moments is in the events, and not in the status.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lab_storage.testing._pods.courses import Course, Paused, Shown, Told, script_of
from lab_storage.testing._pods.endings import killed_status
from lab_storage.testing._pods.statuses import pod_status

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


@dataclass(frozen=True)
class Pause:
    """Time in which nothing is written."""

    seconds: float


Step = Request | Pause


def start(pod: Json) -> Iterator[Step]:
    """How a pod that the scheduler has bound to the node starts, or does not.

    Raises
    ------
    ValueError
        If its annotations ask for what there is not.
    """
    behaviour, delay_seconds = script_of(pod)
    requests = PodRequests(pod)
    return requests.of(requests.course.start(behaviour or "run", delay_seconds or 0.0))


def stop(pod: Json) -> Iterator[Step]:
    """What is said when a pod with running containers is to go."""
    requests = PodRequests(pod)
    return requests.of(requests.course.stop())


def remove(pod: Json) -> Iterator[Step]:
    """How a pod goes whose containers have ended."""
    requests = PodRequests(pod)
    if pod["status"].get("phase") not in {"Succeeded", "Failed"}:
        yield requests.written(killed_status(pod, _now()))
    options = {"gracePeriodSeconds": 0, "preconditions": {"uid": requests.uid}}
    yield Request("DELETE", requests.path, options)


class PodRequests:
    """The requests of one pod."""

    def __init__(self, pod: Json) -> None:
        metadata = pod["metadata"]
        self.course = Course(pod)
        self.namespace: str = metadata["namespace"]
        self.name: str = metadata["name"]
        self.uid: str = metadata["uid"]
        self.path = f"/api/v1/namespaces/{quote(self.namespace)}/pods/{quote(self.name)}"

    def of(self, steps: Iterable[Told | Shown | Paused]) -> Iterator[Step]:
        """Make requests of steps, as somebody takes them."""
        for step in steps:
            if isinstance(step, Paused):
                yield Pause(step.seconds)
            elif isinstance(step, Told):
                yield self.event(step)
            elif not step.status.passing:
                yield self.status(step)

    def event(self, told: Told) -> Request:
        """An event in the manner of core/v1; from the second on, that it came again.

        Its name is the same however often it is written, so that a repeat
        after a lost answer makes no second one.
        """
        known = f"{self.uid}\n{told.field_path}\n{told.reason}\n{told.message}"
        name = f"{self.name}.{hashlib.sha256(known.encode()).hexdigest()[:16]}"
        events = f"/api/v1/namespaces/{quote(self.namespace)}/events"
        now = _now()
        if told.count > 1:
            again = {"count": told.count, "lastTimestamp": now}
            return Request("PATCH", f"{events}/{quote(name)}", again, STRATEGIC_MERGE_PATCH)
        involved = {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
        }
        if told.field_path is not None:
            involved["fieldPath"] = told.field_path
        return Request(
            "POST",
            events,
            {
                "metadata": {"name": name, "namespace": self.namespace},
                "involvedObject": involved,
                "type": told.type,
                "reason": told.reason,
                "message": told.message,
                "count": 1,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "source": {"component": "kubelet", "host": NODE},
                "reportingComponent": "kubelet",
                "reportingInstance": NODE,
            },
        )

    def status(self, shown: Shown) -> Request:
        """A new status, of this pod by UID and of no later one of its name."""
        return self.written(pod_status(self.course, shown, _now()))

    def written(self, status: Json) -> Request:
        """Fields of a status, in the place of those that were there."""
        # Of a condition, what is left out would stay.
        conditions = [{"reason": None, "message": None, **each} for each in status["conditions"]]
        status = {**status, "conditions": conditions}
        body = {"metadata": {"uid": self.uid}, "status": status}
        return Request("PATCH", f"{self.path}/status", body, STRATEGIC_MERGE_PATCH)


def _now() -> str:
    # Kubernetes keeps these to the second.
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

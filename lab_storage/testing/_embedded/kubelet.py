"""The scheduler, and the kubelet of the one node: pods that start as scripted.

What is written, and in which order, is what kube-scheduler and kubelet write:
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/. No container
runs. The texts of the events are those of Kubernetes 1.37.
"""

from __future__ import annotations

import fnmatch
from datetime import timedelta
from typing import TYPE_CHECKING

import attrs

from lab_storage.testing._pods.behaviours import BEHAVIOURS
from lab_storage.testing._pods.courses import script_of

from .deletion import DeleteOptions
from .metadata import micro_timestamp, timestamp
from .resources import PODS, is_going, name_of
from .starts import ENDED, NODE, PodWriter, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .objects import Objects
    from .resources import Object
    from .store import Change
    from .timers import Timers

_NODE_LABELS = {
    "kubernetes.io/hostname": NODE,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64",
}
_SCHEDULER = "default-scheduler"
_MISMATCH = (
    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: "
    "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
)


@attrs.frozen
class PodScript:
    """How pods of a name start.

    Attributes
    ----------
    name, namespace
        Patterns as of the shell: ``jupyter-*``.
    start
        A name in the table of behaviours.
    delay
        How long the first image is pulled.
    """

    name: str = "*"
    namespace: str = "*"
    start: str = attrs.field(default="run")
    delay: timedelta = timedelta(0)

    @start.validator
    def _check_start(self, _attribute: object, start: str) -> None:
        if start not in BEHAVIOURS:
            raise ValueError(f"start must be one of {', '.join(BEHAVIOURS)}, got {start!r}")

    def fits(self, pod: Object) -> bool:
        """Whether it is for this pod."""
        metadata = pod["metadata"]
        return fnmatch.fnmatchcase(metadata["name"], self.name) and fnmatch.fnmatchcase(
            metadata["namespace"], self.namespace
        )


class Kubelet:
    """Schedules pods, starts them as their scripts say, and removes them.

    A pod's annotations say how it starts; without them the last script that fits
    does; without one it runs. `saw` is to be subscribed to the store.
    """

    def __init__(self, objects: Objects, timers: Timers) -> None:
        self._objects = objects
        self._store = objects.store
        self._timers = timers
        self._scripts: list[PodScript] = []
        self._dead = False
        self._missed: list[Callable[[], None]] = []

    def script(self, script: PodScript) -> None:
        """Have pods that are made from now on start by this script."""
        with self._store.lock:
            self._scripts.append(script)

    def die(self, *, dead: bool) -> None:
        """Stop the node, or start it again; it then catches up on what it missed."""
        with self._store.lock:
            self._dead = dead
            missed, self._missed = self._missed, []
            for action in missed:
                self._soon(action)

    def saw(self, change: Change) -> None:
        """Plan what follows from a change of a pod."""
        if change.resource is not PODS or change.type == "DELETED":
            return
        pod, before = change.obj, change.previous
        node = pod["spec"].get("nodeName")
        if is_going(pod):
            if node == NODE and _deletion(pod) != _deletion(before):
                self._plan_removal(pod, first=before is None or not is_going(before))
        elif node is None:
            if before is None and pod["spec"]["schedulerName"] == _SCHEDULER:
                self._timers.soon(lambda: self._schedule(pod))
        elif node == NODE and (before is None or "nodeName" not in before["spec"]):
            steps = self._start(pod)
            self._soon(lambda: self._advance(pod, steps))

    # Scheduling

    def _schedule(self, seen: Object) -> None:
        with self._store.lock:
            pod = self._current(seen)
            if pod is None or is_going(pod):
                return
            selector = pod["spec"].get("nodeSelector", {})
            fits = selector.items() <= _NODE_LABELS.items()
            condition: Object = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
            if not fits:
                generation = pod["metadata"]["generation"]
                condition.update(status="False", observedGeneration=generation)
                condition.update(reason="Unschedulable", message=_MISMATCH)
            condition["lastTransitionTime"] = timestamp()
            status = {**pod["status"], "conditions": [condition]}
            if fits:
                bound = {**pod, "spec": {**pod["spec"], "nodeName": NODE}, "status": status}
                self._store.put(PODS, bound)
            else:
                self._objects.set_status(PODS, pod, status, "kube-scheduler")
            place = f"{pod['metadata']['namespace']}/{name_of(pod)}"
            self._record(
                pod,
                {
                    "reason": "Scheduled" if fits else "FailedScheduling",
                    "message": f"Successfully assigned {place} to {NODE}" if fits else _MISMATCH,
                    "type": "Normal" if fits else "Warning",
                    "action": "Binding" if fits else "Scheduling",
                },
            )

    def _record(self, pod: Object, event: Object) -> None:
        # The scheduler uses the newer API of events: they have an eventTime instead of a count.
        event["eventTime"] = micro_timestamp()
        event["reportingComponent"] = _SCHEDULER
        event["reportingInstance"] = f"{_SCHEDULER}-embedded"
        record(self._objects, pod, event, "kube-scheduler")

    # The kubelet

    def _soon(self, action: Callable[[], None]) -> None:
        self._later(0.0, action)

    def _later(self, delay_seconds: float, action: Callable[[], None]) -> None:
        def act() -> None:
            with self._store.lock:
                if self._dead:
                    self._missed.append(act)
                    return
            action()

        self._timers.after(delay_seconds, act)

    def _advance(self, seen: Object, steps: Iterator[float]) -> None:
        """Take steps up to the next pause, and the others after it."""
        with self._store.lock:
            pod = self._current(seen)
            if pod is None or is_going(pod):
                return
            pause_seconds = next(steps, None)
        if pause_seconds is not None:
            self._later(pause_seconds, lambda: self._advance(seen, steps))

    def _start(self, pod: Object) -> Iterator[float]:
        script = next((each for each in reversed(self._scripts) if each.fits(pod)), PodScript())
        behaviour, delay_seconds = script_of(pod)
        if delay_seconds is None:
            delay_seconds = script.delay.total_seconds()
        return PodWriter(self._objects, pod).start(behaviour or script.start, delay_seconds)

    def _plan_removal(self, pod: Object, *, first: bool) -> None:
        # Only containers that run take the time they are given.
        running = pod["status"].get("phase") == "Running"
        grace_seconds = pod["metadata"]["deletionGracePeriodSeconds"] if running else 0
        if first and grace_seconds:
            self._soon(lambda: self._record_killing(pod))
        self._later(float(grace_seconds), lambda: self._remove(pod))

    def _record_killing(self, pod: Object) -> None:
        with self._store.lock:
            PodWriter(self._objects, pod).stop()

    def _remove(self, seen: Object) -> None:
        with self._store.lock:
            pod = self._current(seen)
            if pod is None or not is_going(pod):
                return
            if pod["status"].get("phase") not in ENDED:
                PodWriter(self._objects, pod).end()
            options = DeleteOptions(grace_seconds=0)
            self._objects.delete(PODS, pod["metadata"]["namespace"], name_of(pod), options)

    def _current(self, seen: Object) -> Object | None:
        metadata = seen["metadata"]
        pod = self._store.get(PODS, metadata["namespace"], metadata["name"])
        return pod if pod is not None and pod["metadata"]["uid"] == metadata["uid"] else None


def _deletion(pod: Object | None) -> tuple[str, int] | None:
    if pod is None or not is_going(pod):
        return None
    metadata = pod["metadata"]
    return metadata["deletionTimestamp"], metadata["deletionGracePeriodSeconds"]

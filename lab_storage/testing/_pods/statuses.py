"""The JSON of a pod's status, as a kubelet of Kubernetes 1.37 writes it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from .behaviours import Running, State, Terminated, Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .courses import Course, Json, Shown

_ENDED = {"Failed": "PodFailed", "Succeeded": "PodCompleted"}


def pod_status(course: Course, shown: Shown, now: str) -> Json:
    """Give the fields of a status that a kubelet writes.

    Parameters
    ----------
    course
        The pod, and how it fares.
    shown
        What is to be shown.
    now
        The time, which all transitions have.
    """
    status = shown.status
    creating = "PodInitializing" if course.init_containers else "ContainerCreating"
    init, containers = _init_statuses(course, shown, now), []
    for i, container in enumerate(course.containers):
        state = status.others if i else status.first
        repeated = status.init is None and i == 0
        last = status.last if repeated else None
        restarts = shown.restarts if repeated else 0
        containers.append(_container(container, state, creating, now, last, restarts))
    fields: Json = {"phase": status.phase, "startTime": now, "hostIP": "127.0.0.1"}
    fields["hostIPs"] = [{"ip": "127.0.0.1"}]
    fields["conditions"] = _conditions(shown, init, containers, now)
    if not _is_new(init, containers):
        fields.update(podIP="10.1.0.1", podIPs=[{"ip": "10.1.0.1"}])
    if init:
        fields["initContainerStatuses"] = init
    fields["containerStatuses"] = containers
    return fields


def _init_statuses(course: Course, shown: Shown, now: str) -> list[Json]:
    status, found = shown.status, []
    for i, container in enumerate(course.init_containers):
        state, last, restarts = status.init, None, 0
        if state is None:
            # One with this policy is a sidecar, which runs on beside the others:
            # https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
            sidecar = container.get("restartPolicy") == "Always"
            runs_on = sidecar and status.phase not in _ENDED
            state = Running() if runs_on else Terminated(0, "Completed")
        elif i == 0:
            last, restarts = status.last, shown.restarts
        else:
            state = Waiting()
        made = _container(container, state, "PodInitializing", now, last, restarts)
        if isinstance(state, Terminated) and state.exit_code == 0:
            made["ready"] = True
        found.append(made)
    return found


def _container(
    container: Json,
    state: State,
    creating: str,
    now: str,
    last: Terminated | None,
    restarts: int,
) -> Json:
    made: Json = {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "lastState": {},
        "ready": isinstance(state, Running) and state.ready,
        "started": isinstance(state, Running),
        "restartCount": restarts,
    }
    if not isinstance(state, Waiting) or last is not None:
        made["imageID"] = f"sha256:{_digest(container['image'])}"
        made["containerID"] = _container_id(container, restarts)
    if last is not None:
        before = _container_id(container, restarts - 1)
        made["lastState"] = {"terminated": _ended(last, now, before)}
    if isinstance(state, Terminated):
        made["state"] = {"terminated": _ended(state, now, made["containerID"])}
    elif isinstance(state, Running):
        made["state"] = {"running": {"startedAt": now}}
    else:
        waiting = {"reason": state.reason or creating}
        made["state"] = {
            "waiting": {**waiting, **({"message": m} if (m := state.message) else {})}
        }
    return made


def _ended(state: Terminated, now: str, container_id: str) -> Json:
    return {
        "exitCode": state.exit_code,
        "reason": state.reason,
        "startedAt": now,
        "finishedAt": now,
        "containerID": container_id,
    }


def _container_id(container: Json, restarts: int) -> str:
    return f"containerd://{_digest(container['name'] + str(restarts))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_new(init: Sequence[Json], containers: Sequence[Json]) -> bool:
    """Whether all containers still wait for their turn: the pod has no address yet."""
    states = [each["state"].get("waiting", {}).get("reason") for each in (*init, *containers)]
    return set(states) <= {"ContainerCreating", "PodInitializing"}


def _conditions(
    shown: Shown, init: Sequence[Json], containers: Sequence[Json], now: str
) -> list[Json]:
    phase = shown.status.phase
    incomplete = [each["name"] for each in init if not each["ready"]]
    unready = [each["name"] for each in containers if not each["ready"]]
    ran = any("containerID" in each for each in (*init, *containers))
    sandbox = (shown.status.sandbox or ran) and phase not in _ENDED
    ended = {"reason": _ENDED[phase]} if phase in _ENDED else None
    initialized: Json = {"type": "Initialized"}
    if incomplete:
        initialized.update(_lacking("ContainersNotInitialized", "incomplete", incomplete))
    elif phase == "Succeeded" and ended:
        initialized.update(ended)
    why = ended or _lacking("ContainersNotReady", "unready", unready)
    ready_to_start: Json = {"type": "PodReadyToStartContainers"}
    if not sandbox:
        message = "pod sandbox is not ready" if ended else "no pod sandbox exists"
        ready_to_start.update(reason="PodSandboxNotReady", message=message)
    found: list[tuple[Json, bool]] = [
        (ready_to_start, sandbox),
        (initialized, not incomplete),
        ({"type": "Ready", **(why if unready else {})}, not unready),
        ({"type": "ContainersReady", **(why if unready else {})}, not unready),
    ]
    return [
        {**each, "status": str(holds), "lastProbeTime": None, "lastTransitionTime": now}
        for each, holds in found
    ]


def _lacking(reason: str, word: str, names: list[str]) -> dict[str, Any]:
    message = f"containers with {word} status: [{' '.join(names)}]"
    return {"reason": reason, "message": message}

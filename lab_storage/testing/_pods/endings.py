"""The status of a pod that is deleted, once its containers have been killed and before it goes.

From Kubernetes 1.27 on a kubelet gives it a final phase first:
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/. What becomes of containers that
never ran was recorded on a real one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .courses import Json

_UNKNOWN = {
    "exitCode": 137,
    "reason": "ContainerStatusUnknown",
    "message": "The container could not be located when the pod was terminated",
    "startedAt": None,
    "finishedAt": None,
}
_GONE = {"status": "False", "reason": "PodSandboxNotReady", "message": "pod sandbox is not ready"}


def killed_status(pod: Json, now: str) -> Json:
    """Give the fields of a status that a kubelet changes at the end.

    Parameters
    ----------
    pod
        As the API server has it.
    now
        The time at which its containers were killed.
    """
    status, spec = pod["status"], pod["spec"]
    init = [_killed(each, now) for each in status.get("initContainerStatuses", ())]
    initialized = all(each["ready"] or each["started"] for each in init)
    known = status.get("containerStatuses") or [_waiting(each) for each in spec["containers"]]
    containers = [_killed(each, now) for each in known]
    never_ran = [each for each in containers if "waiting" in each["state"]]
    if initialized:
        for each in never_ran:
            each["state"] = {"terminated": dict(_UNKNOWN)}
    codes = {each["state"].get("terminated", {}).get("exitCode") for each in containers}
    phase = "Succeeded" if codes == {0} else "Failed"
    ended = {"status": "False", "reason": "PodCompleted" if phase == "Succeeded" else "PodFailed"}
    # Where a container never ran the kubelet itself still takes the pod as Pending.
    ready = {} if never_ran else {"ContainersReady": ended, "Ready": ended}
    changes = {"PodReadyToStartContainers": _GONE, **ready}
    fields: Json = {
        "phase": phase,
        "containerStatuses": containers,
        "conditions": [
            _changed(each, changes.get(each["type"]), now) for each in status.get("conditions", ())
        ],
    }
    return {**fields, "initContainerStatuses": init} if init else fields


def _killed(container: Json, now: str) -> Json:
    state, last = container["state"], container.get("lastState", {}).get("terminated")
    ended = None
    if "running" in state:
        started = state["running"]["startedAt"]
        ended = {"exitCode": 137, "reason": "Error", "startedAt": started, "finishedAt": now}
        ended["containerID"] = container["containerID"]
    elif "waiting" in state and last:
        ended = last
    if ended is None:
        return {**container}
    return {**container, "state": {"terminated": ended}, "ready": False, "started": False}


def _waiting(container: Json) -> Json:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "state": {"waiting": {"reason": "ContainerCreating"}},
        "lastState": {},
        "ready": False,
        "started": False,
        "restartCount": 0,
    }


def _changed(condition: Json, change: Json | None, now: str) -> Json:
    same = change is not None and condition["status"] == change["status"]
    if change is None or (same and change is _GONE):
        return condition
    since = condition["lastTransitionTime"] if same else now
    kept = {"type": condition["type"], "lastProbeTime": None, "lastTransitionTime": since}
    return {**kept, **change}

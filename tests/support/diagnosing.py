"""Pods and events by hand, as the kubelet, the scheduler and the controllers write them."""

from __future__ import annotations

from typing import Any

UID = "0a1b2c3d-0000-4000-8000-000000000001"
CREATED = "2026-11-27T10:00:00Z"


def at(seconds: int) -> str:
    """A time of day some seconds after the pod was created."""
    return f"2026-11-27T10:{seconds // 60:02}:{seconds % 60:02}Z"


def pod(
    phase: str | None = "Pending",
    *containers: dict[str, Any],
    init: tuple[dict[str, Any], ...] = (),
    sidecars: tuple[str, ...] = (),
    conditions: tuple[dict[str, Any], ...] = (),
    policy: str = "Always",
    node: str | None = "node-1",
    metadata: dict[str, Any] | None = None,
    **status: Any,
) -> dict[str, Any]:
    """A pod with these container statuses."""
    names = [one["name"] for one in containers] or ["notebook"]
    return {
        "metadata": {
            "name": "lab",
            "namespace": "lab-jovyan",
            "uid": UID,
            "creationTimestamp": CREATED,
            **(metadata or {}),
        },
        "spec": {
            "nodeName": node,
            "restartPolicy": policy,
            "initContainers": [
                {"name": one["name"]}
                | ({"restartPolicy": "Always"} if one["name"] in sidecars else {})
                for one in init
            ],
            "containers": [{"name": name} for name in names],
        },
        "status": {
            "phase": phase,
            "conditions": list(conditions),
            "initContainerStatuses": list(init) or None,
            "containerStatuses": list(containers) or None,
            **status,
        },
    }


def waiting(reason: str | None, message: str | None = None, **options: Any) -> dict[str, Any]:
    """The status of a container that waits."""
    state = {"reason": reason, "message": message}
    return _container(
        {"waiting": {key: value for key, value in state.items() if value}}, **options
    )


def running(ready: bool = True, since: int = 60, **options: Any) -> dict[str, Any]:
    """The status of a container that runs."""
    return _container({"running": {"startedAt": at(since)}}, ready=ready, **options)


def ended(code: int = 1, reason: str = "Error", **options: Any) -> dict[str, Any]:
    """The status of a container that has ended."""
    at_end = {
        key: options.pop(key) for key in ("started", "finished", "message") if key in options
    }
    return _container(end(code, reason, **at_end), **options)


def end(
    code: int = 1,
    reason: str = "Error",
    started: int = 10,
    finished: int = 20,
    message: str | None = None,
) -> dict[str, Any]:
    """A state that says how a container ended."""
    state = {
        "exitCode": code,
        "reason": reason,
        "startedAt": at(started),
        "finishedAt": at(finished),
    }
    return {"terminated": state | ({"message": message} if message else {})}


def _container(
    state: dict[str, Any],
    name: str = "notebook",
    last: dict[str, Any] | None = None,
    restarts: int = 0,
    ready: bool = False,
) -> dict[str, Any]:
    return {
        "name": name,
        "state": state,
        "lastState": last or {},
        "ready": ready,
        "restartCount": restarts,
    }


def condition(
    kind: str, status: str = "True", reason: str | None = None, message: str = "", since: int = 30
) -> dict[str, Any]:
    """One of a pod's conditions."""
    said = {"reason": reason} if reason else {}
    return {
        "type": kind,
        "status": status,
        **said,
        "message": message,
        "lastTransitionTime": at(since),
    }


def event(
    reason: str,
    message: str = "",
    seconds: int = 15,
    *,
    container: str | None = None,
    count: int = 1,
    first: int | None = None,
    uid: str | None = UID,
    version: int = 1,
) -> dict[str, Any]:
    """An event as the kubelet writes it, last seen some seconds after the pod was created."""
    subject = {"kind": "Pod", "namespace": "lab-jovyan", "name": "lab"}
    subject |= {"uid": uid} if uid else {}
    subject |= {"fieldPath": f"spec.containers{{{container}}}"} if container else {}
    return {
        "metadata": {"resourceVersion": str(version)},
        "involvedObject": subject,
        "reason": reason,
        "message": message,
        "type": "Warning",
        "count": count,
        "firstTimestamp": at(seconds if first is None else first),
        "lastTimestamp": at(seconds),
        "eventTime": None,
    }


def terminating(asked: int, grace: int = 30) -> dict[str, Any]:
    """The metadata of a pod whose deletion was asked for."""
    return {"deletionTimestamp": at(asked + grace), "deletionGracePeriodSeconds": grace}

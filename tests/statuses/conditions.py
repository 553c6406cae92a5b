"""What a case waits for: conditions on a pod and its events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
#: Of a pod, and its events, oldest first.
Condition = Callable[[Json, list[Json]], bool]


def all_of(*conditions: Condition) -> Condition:
    """All of these at once."""
    return lambda pod, events: all(each(pod, events) for each in conditions)


def containers(pod: Json) -> list[Json]:
    """The statuses of all containers, in the order of their start."""
    status = pod["status"]
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def has_phase(phase: str) -> Condition:
    """The pod is in that phase."""
    return lambda pod, _: pod["status"].get("phase") == phase


def is_ready(pod: Json, events: list[Json]) -> bool:
    """The pod is ready."""
    return has_condition("Ready", "True")(pod, events)


def is_running(pod: Json, _: list[Json]) -> bool:
    """All containers run."""
    states = [each["state"] for each in pod["status"].get("containerStatuses", [])]
    return bool(states) and all("running" in each for each in states)


def waits(reason: str, restarts: int = 0) -> Condition:
    """A container waits for that reason, after so many restarts at least."""
    return lambda pod, _: any(
        each["state"].get("waiting", {}).get("reason") == reason
        and each["restartCount"] >= restarts
        for each in containers(pod)
    )


def ended(reason: str, restarts: int = 0) -> Condition:
    """A container has ended, with that reason, and was not restarted since."""
    return lambda pod, _: any(
        each["state"].get("terminated", {}).get("reason") == reason
        and each["restartCount"] >= restarts
        for each in containers(pod)
    )


def restarted(times: int = 1) -> Condition:
    """A container has been restarted as often, and runs."""
    return lambda pod, _: any(
        each["restartCount"] >= times and "running" in each["state"] for each in containers(pod)
    )


def told(*reasons: str, count: int = 1) -> Condition:
    """There are events of all these reasons, each seen as often."""

    def condition(_: Json, events: list[Json]) -> bool:
        seen = dict.fromkeys(reasons, 0)
        for each in events:
            if each["reason"] in seen:
                series = each.get("series") or {}
                seen[each["reason"]] += each.get("count") or series.get("count") or 1
        return all(number >= count for number in seen.values())

    return condition


def has_condition(kind: str, status: str = "True", reason: str | None = None) -> Condition:
    """The pod has that condition."""
    return lambda pod, _: any(
        each["type"] == kind
        and each["status"] == status
        and (reason is None or each.get("reason") == reason)
        for each in pod["status"].get("conditions", [])
    )


def is_going(pod: Json, _: list[Json]) -> bool:
    """Somebody has asked for the pod to be deleted."""
    return "deletionTimestamp" in pod["metadata"]


def gone(_: Json, __: list[Json]) -> bool:
    """The pod is no more: its last version counts (:func:`tests.statuses.record.play` looks)."""
    return False

"""Tables: the columns that the server prints of each resource.

What ``kubectl get`` shows: https://kubernetes.io/docs/reference/using-api/api-concepts/
(Receiving resources as Tables). Column descriptions are left empty, and a pod's
init containers that restart (sidecars) are counted as plain init containers.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from lab_storage._manifests.schema import parse_time

from .resources import (
    ACCOUNTS,
    CLAIMS,
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    PODS,
    POLICIES,
    QUOTAS,
    SECRETS,
    SERVICES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .resources import Object, Resource

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def age(time: str | None) -> str:
    """Give how long ago something was, as the server prints it."""
    moment = parse_time(time) if time else None
    if moment is None:
        return "<unknown>"
    seconds = max(int((datetime.now(timezone.utc) - moment).total_seconds()), 0)
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    if seconds < 10 * _MINUTE:
        rest = seconds % _MINUTE
        return f"{seconds // _MINUTE}m" + (f"{rest}s" if rest else "")
    if seconds < 3 * _HOUR:
        return f"{seconds // _MINUTE}m"
    return f"{seconds // _HOUR}h" if seconds < 2 * _DAY else f"{seconds // _DAY}d"


def columns(resource: Resource) -> list[dict[str, Any]]:
    """Give the column definitions of a resource."""
    wide = _WIDE.get(resource, frozenset())
    return [
        {
            "name": name,
            "type": "string",
            "format": "name" if name == "Name" else "",
            "description": "",
            "priority": int(name in wide),
        }
        for name in _COLUMNS[resource]
    ]


def row(resource: Resource, obj: Object, shown: Object | None) -> dict[str, Any]:
    """Give the row of an object, and beside it what is shown of the object."""
    cells: dict[str, Any] = {"cells": _CELLS[resource](obj)}
    phase = obj.get("status", {}).get("phase")
    if resource is PODS and phase in _COMPLETED:
        cells["conditions"] = [
            {
                "type": "Completed",
                "status": "True",
                "reason": phase,
                "message": _COMPLETED[phase],
            }
        ]
    return {**cells, "object": shown}


def _created(obj: Object) -> str:
    return age(obj["metadata"].get("creationTimestamp"))


def _name(obj: Object) -> str:
    return str(obj["metadata"].get("name", ""))


def _config_map(obj: Object) -> list[Any]:
    return [_name(obj), len(obj.get("data", {})) + len(obj.get("binaryData", {})), _created(obj)]


def _secret(obj: Object) -> list[Any]:
    return [_name(obj), obj.get("type", ""), len(obj.get("data", {})), _created(obj)]


def _namespace(obj: Object) -> list[Any]:
    return [_name(obj), obj.get("status", {}).get("phase", ""), _created(obj)]


def _account(obj: Object) -> list[Any]:
    return [_name(obj), _created(obj)]


def _policy(obj: Object) -> list[Any]:
    selector = obj.get("spec", {}).get("podSelector", {})
    return [_name(obj), _selector(selector.get("matchLabels", {})), _created(obj)]


def _selector(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) or "<none>"


def _service(obj: Object) -> list[Any]:
    spec = obj.get("spec", {})
    ports = ",".join(f"{each['port']}/{each['protocol']}" for each in spec.get("ports", ()))
    address = next(iter(spec.get("clusterIPs", ())), "<none>")
    outside = ",".join(spec.get("externalIPs", ())) or spec.get("externalName") or "<none>"
    kind = spec.get("type", "")
    selector = _selector(spec.get("selector", {}))
    return [_name(obj), kind, address, outside, ports or "<none>", _created(obj), selector]


def _claim(obj: Object) -> list[Any]:
    spec = obj.get("spec", {})
    phase = obj.get("status", {}).get("phase", "")
    if "deletionTimestamp" in obj["metadata"]:
        phase = "Terminating"
    return [
        _name(obj),
        phase,
        spec.get("volumeName", ""),
        "",
        "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName", "<unset>"),
        _created(obj),
        spec.get("volumeMode", "<unset>"),
    ]


def _quota(obj: Object) -> list[Any]:
    hard = obj.get("status", {}).get("hard", {})
    used = obj.get("status", {}).get("used", {})
    said = {name: f"{name}: {used.get(name, 0)}/{hard[name]}" for name in sorted(hard)}
    limits = [text for name, text in said.items() if name.startswith("limits.")]
    requests = [text for name, text in said.items() if not name.startswith("limits.")]
    return [_name(obj), ", ".join(requests), ", ".join(limits), _created(obj)]


def _event(obj: Object) -> list[Any]:
    involved = obj.get("involvedObject", {})
    source = obj.get("source", {})
    series = obj.get("series", {})
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    last = series.get("lastObservedTime") or obj.get("lastTimestamp") or first
    component = source.get("component") or obj.get("reportingComponent", "")
    instance = source.get("host") or obj.get("reportingInstance", "")
    kind, name = involved.get("kind", "").lower(), involved.get("name")
    return [
        age(last),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{name}" if name else kind,
        involved.get("fieldPath", ""),
        f"{component}, {instance}" if instance else component,
        obj.get("message", "").strip(),
        age(first),
        series.get("count") or obj.get("count") or 1,
        _name(obj),
    ]


def _pod(obj: Object) -> list[Any]:
    spec, status = obj.get("spec", {}), obj.get("status", {})
    statuses = status.get("containerStatuses", [])
    ready = sum(bool(each["ready"]) for each in statuses)
    restarts = sum(each["restartCount"] for each in statuses)
    addresses = status.get("podIPs") or [{}]
    return [
        _name(obj),
        f"{ready}/{len(spec.get('containers', ()))}",
        _pod_status(obj, spec, status),
        str(restarts),
        _created(obj),
        addresses[0].get("ip", "<none>"),
        spec.get("nodeName", "<none>"),
        status.get("nominatedNodeName", "<none>"),
        "<none>",
    ]


def _pod_status(obj: Object, spec: Object, status: Object) -> str:
    """Give the word of the Status column, which is not the phase."""
    phase = str(status.get("phase", ""))
    word = str(status.get("reason", phase))
    initial = _unfinished_init(status.get("initContainerStatuses", ()))
    if initial is not None:
        position, reason = initial
        total = len(spec.get("initContainers", ()))
        word = f"Init:{reason or f'{position}/{total}'}"
    else:
        for container in status.get("containerStatuses", ()):
            if reason := _why_not_running(container):
                word = reason
                break
    if "deletionTimestamp" in obj["metadata"] and phase not in _COMPLETED:
        return "Terminating"
    return word


def _unfinished_init(statuses: Iterable[dict[str, Any]]) -> tuple[int, str] | None:
    for position, container in enumerate(statuses):
        if container["state"].get("terminated", {}).get("exitCode") == 0:
            continue
        reason = _why_not_running(container)
        return position, "" if reason == "PodInitializing" else reason
    return None


def _why_not_running(container: dict[str, Any]) -> str:
    state = container["state"]
    ended = state.get("terminated")
    if ended is None:
        return str(state.get("waiting", {}).get("reason", ""))
    return str(ended.get("reason") or f"ExitCode:{ended['exitCode']}")


_COMPLETED = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}
_COLUMNS: dict[Resource, tuple[str, ...]] = {
    ACCOUNTS: ("Name", "Age"),
    CLAIMS: (
        "Name",
        "Status",
        "Volume",
        "Capacity",
        "Access Modes",
        "StorageClass",
        "VolumeAttributesClass",
        "Age",
        "VolumeMode",
    ),
    CONFIG_MAPS: ("Name", "Data", "Age"),
    EVENTS: (
        "Last Seen",
        "Type",
        "Reason",
        "Object",
        "Subobject",
        "Source",
        "Message",
        "First Seen",
        "Count",
        "Name",
    ),
    NAMESPACES: ("Name", "Status", "Age"),
    PODS: (
        "Name",
        "Ready",
        "Status",
        "Restarts",
        "Age",
        "IP",
        "Node",
        "Nominated Node",
        "Readiness Gates",
    ),
    POLICIES: ("Name", "Pod-Selector", "Age"),
    QUOTAS: ("Name", "Request", "Limit", "Age"),
    SECRETS: ("Name", "Type", "Data", "Age"),
    SERVICES: ("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector"),
}
_WIDE: dict[Resource, frozenset[str]] = {
    CLAIMS: frozenset({"VolumeMode"}),
    EVENTS: frozenset({"Subobject", "Source", "First Seen", "Count", "Name"}),
    PODS: frozenset({"IP", "Node", "Nominated Node", "Readiness Gates"}),
    SERVICES: frozenset({"Selector"}),
}
_CELLS: dict[Resource, Callable[[Object], list[Any]]] = {
    ACCOUNTS: _account,
    CLAIMS: _claim,
    CONFIG_MAPS: _config_map,
    EVENTS: _event,
    NAMESPACES: _namespace,
    PODS: _pod,
    POLICIES: _policy,
    QUOTAS: _quota,
    SECRETS: _secret,
    SERVICES: _service,
}

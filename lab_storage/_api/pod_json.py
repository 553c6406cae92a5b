"""The fields of pods that are needed, read from JSON: for servers that have no protobuf."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from lab_storage._api.answer import mapping_at, mappings_at
from lab_storage._api.pod_state import (
    INITIAL_END,
    POD_EVENTS,
    UNSTARTED,
    Page,
    PodEvent,
    PodState,
    Waiting,
    number_of,
)
from lab_storage._api.protobuf import DecodeError
from lab_storage.models import PodPhase


def waiting(pod: dict[str, Any]) -> Iterator[Waiting]:
    """Yield container, reason and message of all that a pod waits for.

    A container says it in ``state.waiting``, in the order of the manifest, init
    containers first; the scheduler in the condition ``PodScheduled``, where the
    container is `None`
    (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/). A pod that is nominated
    for a node waits for those that make room for it there, which is not said again
    (https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/).
    """
    is_nominated = bool(_text(mapping_at(pod, "status").get("nominatedNodeName")))
    for condition in () if is_nominated else mappings_at(pod, "status", "conditions"):
        reason = _text(condition.get("reason"))
        is_refused = condition.get("type") == "PodScheduled" and condition.get("status") == "False"
        if is_refused and reason is not None:
            yield None, reason, _text(condition.get("message"))
    for field in ("initContainerStatuses", "containerStatuses"):
        for container in mappings_at(pod, "status", field):
            state = mapping_at(container, "state", "waiting")
            reason = _text(state.get("reason"))
            if reason is not None:
                yield _text(container.get("name")), reason, _text(state.get("message"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def pod(content: Any) -> PodState:
    """Take what is needed from a pod as the API server writes it in JSON.

    Raises
    ------
    DecodeError
        If it does not say which pod it is.
    """
    metadata = mapping_at(content, "metadata")
    namespace, name = metadata.get("namespace") or "", metadata.get("name")
    if not isinstance(name, str) or not name or not isinstance(namespace, str):
        raise DecodeError("a pod without a name")
    phase = PodPhase.of(mapping_at(content, "status").get("phase"))
    conditions = mappings_at(content, "status", "conditions")
    return PodState(
        namespace=namespace,
        name=sys.intern(name),
        uid=str(metadata.get("uid") or name),
        version=number_of(metadata.get("resourceVersion")),
        created=seconds_of(metadata.get("creationTimestamp")),
        is_terminating=bool(metadata.get("deletionTimestamp")),
        phase=phase,
        is_ready=any(
            condition.get("type") == "Ready" and condition.get("status") == "True"
            for condition in conditions
        ),
        waiting=tuple(waiting(content)) if phase in UNSTARTED else (),
    )


def seconds_of(timestamp: object) -> int | None:
    """A time as Kubernetes writes it (RFC 3339, in UTC), in seconds since 1970."""
    if not isinstance(timestamp, str):
        return None
    try:
        # Python 3.10 does not read the Z.
        time = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
        return int(time.timestamp()) if time.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def event(line: Any) -> PodEvent:
    """Read a line of a watch.

    Raises
    ------
    DecodeError
        If it is not an event of a watch of pods.
    """
    kind, content = mapping_at(line).get("type"), mapping_at(line, "object")
    if not isinstance(kind, str) or not content:
        raise DecodeError("a line that is not an event")
    if kind == "ERROR":
        return PodEvent("ERROR", 0, status=content)
    metadata = mapping_at(content, "metadata")
    version = number_of(metadata.get("resourceVersion"))
    if kind in POD_EVENTS:
        found = pod(content)
        return PodEvent(kind, found.version, found)
    if kind == "BOOKMARK" and metadata:
        is_end = INITIAL_END in mapping_at(metadata, "annotations")
        return PodEvent(kind, version, is_initial_end=is_end)
    raise DecodeError("a line that is not an event")


def page(content: dict[str, Any]) -> Page:
    """Read a page of a list; what is not a pod in it is left out."""
    pods = []
    for item in mappings_at(content, "items"):
        try:
            pods.append(pod(item))
        except DecodeError:  # noqa: PERF203
            pass
    metadata = mapping_at(content, "metadata")
    token = metadata.get("continue")
    version = number_of(metadata.get("resourceVersion"))
    return Page(version, token if isinstance(token, str) else "", pods)

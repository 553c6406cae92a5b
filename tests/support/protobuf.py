"""Pods, lists, events and statuses as an API server writes them in protobuf."""

from __future__ import annotations

import datetime
from typing import Any

Json = dict[str, Any]


def varint(number: int) -> bytes:
    """A number, seven bits a byte, the least significant first."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F)
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


def field(number: int, value: bytes | str | int | None) -> bytes:
    """A field of a message; nothing where there is no value."""
    if value is None:
        return b""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def _time(text: str | None) -> bytes | None:
    if text is None:
        return None
    time = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return field(1, int(time.timestamp())) + field(2, 0)


def _metadata(metadata: Json) -> bytes:
    annotations = (metadata.get("annotations") or {}).items()
    return b"".join(
        [
            field(1, metadata.get("name")),
            field(2, ""),
            field(3, metadata.get("namespace")),
            field(4, ""),
            field(5, metadata.get("uid")),
            field(6, metadata.get("resourceVersion")),
            field(7, metadata.get("generation", 0)),
            field(8, _time(metadata.get("creationTimestamp")) or b""),
            field(9, _time(metadata.get("deletionTimestamp"))),
            *(field(12, field(1, key) + field(2, value)) for key, value in annotations),
            field(17, b"managed by somebody"),
        ]
    )


def _condition(condition: Json) -> bytes:
    names = "type", "status", None, None, "reason", "message"
    parts = [field(place, condition.get(name)) for place, name in enumerate(names, 1) if name]
    return b"".join(parts)


def _container(container: Json) -> bytes:
    wait = (container.get("state") or {}).get("waiting")
    state = (
        b""
        if wait is None
        else field(1, field(1, wait.get("reason")) + field(2, wait.get("message")))
    )
    return field(1, container.get("name")) + field(2, state) + field(4, 0)


def pod(content: Json) -> bytes:
    """A pod, as far as the tests have fields for it."""
    status = content.get("status") or {}
    parts = [field(1, status.get("phase"))]
    parts += [field(2, _condition(each)) for each in status.get("conditions") or ()]
    parts += [field(8, _container(each)) for each in status.get("containerStatuses") or ()]
    parts += [field(10, _container(each)) for each in status.get("initContainerStatuses") or ()]
    parts.append(field(11, status.get("nominatedNodeName")))
    spec = field(11, "default") + field(10, "node")
    return field(1, _metadata(content["metadata"])) + field(2, spec) + field(3, b"".join(parts))


def wrapped(kind: str, raw: bytes) -> bytes:
    """What an answer consists of."""
    type_meta = field(1, "v1") + field(2, kind)
    return b"k8s\x00" + field(1, type_meta) + field(2, raw) + field(3, "") + field(4, "")


def page(items: list[Json], version: str, token: str = "") -> bytes:
    """A page of a list of pods."""
    metadata = field(1, "") + field(2, version) + field(3, token)
    return wrapped("PodList", field(1, metadata) + b"".join(field(2, pod(each)) for each in items))


def status(content: Json) -> bytes:
    """A refusal."""
    details = content.get("details")
    raw = field(1, b"") + b"".join(
        field(number, content.get(name))
        for number, name in ((2, "status"), (3, "message"), (4, "reason"))
    )
    if details is not None:
        raw += field(
            5,
            field(1, details.get("name"))
            + field(3, details.get("kind"))
            + field(5, details.get("retryAfterSeconds")),
        )
    return wrapped("Status", raw + field(6, content.get("code")))


def event(kind: str, content: Json) -> bytes:
    """An event of a watch, without its length."""
    raw = status(content) if kind == "ERROR" else wrapped("Pod", pod(content))
    return field(1, kind) + field(2, field(1, raw))


def frame(kind: str, content: Json) -> bytes:
    """An event of a watch, as it is sent."""
    data = event(kind, content)
    return len(data).to_bytes(4, "big") + data

"""The fields of pods that are needed, read from what the API server writes in protobuf.

Of a pod's 10 kB some forty bytes are looked at; the rest is passed over by its length. Field
numbers are those of ``k8s.io/api/core/v1/generated.proto``, which never change.

Whatever the bytes are, a function of this module returns or raises `DecodeError`.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from lab_storage._api.pod_state import (
    INITIAL_END,
    LATEST_SECONDS,
    POD_EVENTS,
    UNSTARTED,
    Page,
    PodEvent,
    PodState,
    Waiting,
    number_of,
)
from lab_storage._api.protobuf import (
    F1,
    F2,
    F3,
    F5,
    F6,
    F8,
    F9,
    F10,
    F11,
    DecodeError,
    Span,
    number,
    scan,
    status_at,
    text,
    unwrapped,
)
from lab_storage.models import PodPhase

# What nearly all pods begin with, as API servers write it: each field that is set, in the order of
# the numbers. A pattern finds that ten times as fast as `scan`, which reads what is different.
# The contents have none of the bytes that follow, or else their length shows it.
_NUMBER: Final = rb"[\x80-\xff]*[\x00-\x7f]"
_LENGTH: Final = rb"([\x00-\x7f])"
# WatchEvent: type 1, object 2; runtime.RawExtension: raw 1; runtime.Unknown: typeMeta 1, raw 2.
_BEGUN_EVENT: Final = re.compile(
    rb"\x0a[\x05\x07\x08](ADDED|MODIFIED|DELETED)\x12(%b)\x0a%bk8s\x00\x0a\x09\x0a\x02v1\x12\x03Pod\x12(%b)"
    % (_NUMBER, _NUMBER, _NUMBER)
)
# Pod: metadata 1; ObjectMeta: name 1, generateName 2, namespace 3, selfLink 4, uid 5,
# resourceVersion 6, generation 7, creationTimestamp 8, deletionTimestamp 9; Time: seconds 1.
_BEGUN_POD: Final = re.compile(
    rb"\x0a(%(number)b)\x0a%(length)b([-.a-z0-9]+)(?:\x12[\x00-\x7f][-.a-z0-9]*)?"
    rb"\x1a%(length)b([-a-z0-9]*)(?:\x22\x00)?\x2a%(length)b([-a-z0-9]+)\x32%(length)b([0-9]+)"
    rb"(?:\x38%(number)b)?\x42[\x00-\x7f]\x08(%(number)b)\x10\x00(\x4a)?"
    % {b"number": _NUMBER, b"length": _LENGTH},
    re.DOTALL,
)

_PHASES: Final = {phase.value.encode(): phase for phase in PodPhase}
_INITIAL_END: Final = INITIAL_END.encode()


def page(body: bytes) -> Page:
    """Read a page of a list of pods.

    Raises
    ------
    DecodeError
        If it is not one. What is not a pod in it is left out.
    """
    start, end = unwrapped(body, 0, len(body))
    metadata: list[Span] = []
    items: list[Span] = []
    scan(body, start, end, {F1: metadata, F2: items})
    if not metadata:
        raise DecodeError("a list without metadata")
    versions: list[Span] = []
    tokens: list[Span] = []
    # ListMeta: resourceVersion 2, continue 3.
    scan(body, *metadata[-1], {F2: versions, F3: tokens})
    pods = []
    for place in items:
        try:
            pods.append(pod(body, *place))
        except DecodeError:  # noqa: PERF203
            pass
    return Page(number_of(text(body, versions)), text(body, tokens), pods)


def event(frame: bytes) -> PodEvent:
    """Read a frame of a watch of pods.

    Raises
    ------
    DecodeError
        If it is not one.
    """
    begun = _BEGUN_EVENT.match(frame)
    if begun is not None:
        kind, size, pod_size = begun.groups()
        start = begun.end()
        end = start + number(pod_size)
        if end <= len(frame) == begun.end(2) + number(size):
            found = pod(frame, start, end)
            return PodEvent(kind.decode(), found.version, found)
    types: list[Span] = []
    objects: list[Span] = []
    scan(frame, 0, len(frame), {F1: types, F2: objects})
    kind = text(frame, types)
    raw: list[Span] = []
    if objects:
        # runtime.RawExtension: raw 1.
        scan(frame, *objects[-1], {F1: raw})
    if not raw:
        raise DecodeError("an event without an object")
    start, end = unwrapped(frame, *raw[-1])
    if kind in POD_EVENTS:
        found = pod(frame, start, end)
        return PodEvent(kind, found.version, found)
    if kind == "ERROR":
        return PodEvent(kind, 0, status=status_at(frame, start, end))
    if kind != "BOOKMARK":
        raise DecodeError("an event of an unknown type")
    metadata: list[Span] = []
    scan(frame, start, end, {F1: metadata})
    versions: list[Span] = []
    if metadata:
        scan(frame, *metadata[-1], {F6: versions})
    is_end = _INITIAL_END in frame
    return PodEvent(kind, number_of(text(frame, versions)), is_initial_end=is_end)


def pod(data: bytes, start: int, end: int) -> PodState:
    """Read a pod between two places.

    Raises
    ------
    DecodeError
        If it is not one.
    """
    metadata: list[Span] = []
    states: list[Span] = []
    # Pod: metadata 1, status 3.
    begun = _BEGUN_POD.match(data, start, end)
    found = None if begun is None else _beginning(begun)
    if begun is not None and found is not None:
        scan(data, begun.end(1) + number(begun[1]), end, {F3: states})
    else:
        scan(data, start, end, {F1: metadata, F3: states})
        if not metadata:
            raise DecodeError("a pod without metadata")
        found = _metadata(data, *metadata[-1])
    phase, is_ready = PodPhase.UNKNOWN, False
    waits: tuple[Waiting, ...] = ()
    if states:
        phase, is_ready, waits = _state(data, *states[-1])
    return PodState(*found, phase, is_ready, waits)


_Metadata = tuple[str, str, str, int, int | None, bool]
"""Namespace, name, UID, version, time of creation, and whether it is being deleted."""


def _metadata(data: bytes, start: int, end: int) -> _Metadata:
    names: list[Span] = []
    namespaces: list[Span] = []
    uids: list[Span] = []
    versions: list[Span] = []
    created: list[Span] = []
    deleted: list[Span] = []
    # ObjectMeta: creationTimestamp 8, deletionTimestamp 9.
    wanted = {
        F1: names,
        F3: namespaces,
        F5: uids,
        F6: versions,
        F8: created,
        F9: deleted,
    }
    scan(data, start, end, wanted)
    name, namespace = text(data, names), text(data, namespaces)
    if not name:
        raise DecodeError("a pod without a name")
    return (
        namespace,
        # Pods of labs often have the same name; namespaces, which are read here too, never.
        sys.intern(name) if namespace else name,
        text(data, uids) or name,
        number_of(text(data, versions)),
        _seconds(data, *created[-1]) if created else None,
        bool(deleted),
    )


def _beginning(begun: re.Match[bytes]) -> _Metadata | None:
    """What the pattern found; `None` if it is something else that looks alike."""
    size, n, name, m, namespace, u, uid, v, version, created, deleted = begun.groups()
    lengths = n[0], m[0], u[0], v[0]
    if lengths != (len(name), len(namespace), len(uid), len(version)) or v[0] > 19:
        return None
    if begun.end() > begun.end(1) + number(size):
        return None
    seconds = number(created)
    return (
        namespace.decode(),
        sys.intern(name.decode()) if namespace else name.decode(),
        uid.decode(),
        int(version),
        seconds if seconds <= LATEST_SECONDS else None,
        deleted is not None,
    )


def _state(data: bytes, start: int, end: int) -> tuple[PodPhase, bool, tuple[Waiting, ...]]:
    phases: list[Span] = []
    conditions: list[Span] = []
    containers: list[Span] = []
    inits: list[Span] = []
    nominations: list[Span] = []
    # PodStatus: phase 1, conditions 2, containerStatuses 8, initContainerStatuses 10,
    # nominatedNodeName 11.
    wanted = {F1: phases, F2: conditions, F8: containers, F10: inits, F11: nominations}
    scan(data, start, end, wanted)
    phase = PodPhase.UNKNOWN
    if phases:
        at, to = phases[-1]
        phase = _PHASES.get(data[at:to], PodPhase.UNKNOWN)
    has_started = phase not in UNSTARTED
    # As `pod_json.waiting` yields it.
    hears_scheduler = not has_started and not text(data, nominations)
    is_ready = False
    waits: list[Waiting] = []
    for at, to in conditions:
        # Its type comes first, as all servers write it: then most need not be scanned.
        is_other = data.startswith(_TYPE, at) and not data.startswith(_READY, at)
        if is_other and not (hears_scheduler and data.startswith(_SCHEDULED, at)):
            continue
        kind, value, reason, message = _condition(data, at, to)
        if kind == "Ready" and value == "True":
            is_ready = True
        elif kind == "PodScheduled" and value == "False" and reason and hears_scheduler:
            waits.append((None, reason, message or None))
    if not has_started:
        for at, to in (*inits, *containers):
            wait = _waiting(data, at, to)
            if wait is not None:
                waits.append(wait)
    return phase, is_ready, tuple(waits)


_TYPE: Final = b"\x0a"
_READY: Final = b"\x0a\x05Ready"
_SCHEDULED: Final = b"\x0a\x0cPodScheduled"


def _condition(data: bytes, start: int, end: int) -> tuple[str, str, str, str]:
    """PodCondition: type 1, status 2, reason 5, message 6."""
    kinds: list[Span] = []
    values: list[Span] = []
    reasons: list[Span] = []
    messages: list[Span] = []
    scan(data, start, end, {F1: kinds, F2: values, F5: reasons, F6: messages})
    kind, value = text(data, kinds), text(data, values)
    return kind, value, text(data, reasons), text(data, messages)


def _waiting(data: bytes, start: int, end: int) -> Waiting | None:
    """ContainerStatus: name 1, state 2; ContainerState: waiting 1; in it reason 1, message 2."""
    names: list[Span] = []
    states: list[Span] = []
    scan(data, start, end, {F1: names, F2: states})
    waits: list[Span] = []
    if states:
        scan(data, *states[-1], {F1: waits})
    if not waits:
        return None
    reasons: list[Span] = []
    messages: list[Span] = []
    scan(data, *waits[-1], {F1: reasons, F2: messages})
    reason = text(data, reasons)
    if not reason:
        return None
    return text(data, names) or None, reason, text(data, messages) or None


def _seconds(data: bytes, start: int, end: int) -> int | None:
    """Time: seconds 1."""
    found: list[int] = []
    scan(data, start, end, {}, {1: found})
    return found[-1] if found and found[-1] <= LATEST_SECONDS else None

"""The events of a pod, in either of the two forms in which Kubernetes writes them."""

from __future__ import annotations

import datetime
from typing import Any

import attrs

from lab_storage._diagnosis.json import mapping, moment, number, text

# How a writer begins the message of an event in place of many whose messages differ; the rest is
# that of the newest (k8s.io/client-go/tools/record, ``EventAggregatorByReasonMessageFunc``).
_COMBINED = "(combined from similar events): "
_NEVER = datetime.datetime.min.replace(tzinfo=datetime.timezone.utc)


@attrs.frozen
class Event:
    """What somebody reported about a pod."""

    # Empty where there is none.
    reason: str
    message: str
    # Of the container that it concerns, where it names one.
    container: str | None
    is_warning: bool
    first: datetime.datetime | None
    last: datetime.datetime | None
    count: int

    @property
    def line(self) -> str:
        """``FailedMount: …``, as in a diagnosis."""
        return ": ".join(part for part in (self.reason, self.message) if part)

    @property
    def newest(self) -> str:
        """The message of the newest of those that it stands for."""
        return self.message.removeprefix(_COMBINED)


def events_of(pod: Any, events: Any) -> list[Event]:
    """The events of a pod by when they were last seen, oldest first.

    Events of other objects and of an earlier pod of the same name stay out.
    """
    metadata = mapping(pod, "metadata")
    known = []
    for content in events if isinstance(events, (list, tuple)) else ():
        if not isinstance(content, dict):
            continue
        first, last = _times(content)
        if _concerns(content, metadata, last):
            known.append((last or _NEVER, _version(content), _event(content, first, last)))
    known.sort(key=lambda item: item[:2])
    return [event for *_, event in known]


def _event(
    content: dict[str, Any], first: datetime.datetime | None, last: datetime.datetime | None
) -> Event:
    # "spec.containers{notebook}"; ``note`` is the name of the message in events.k8s.io/v1.
    path = text(_subject(content).get("fieldPath")) or ""
    counts = (content.get("count"), mapping(content, "series").get("count"))
    return Event(
        reason=text(content.get("reason")) or "",
        message=text(content.get("message")) or text(content.get("note")) or "",
        container=path.partition("{")[2].partition("}")[0] or None,
        is_warning=content.get("type") == "Warning",
        first=first,
        last=last,
        count=max(1, *(number(count) or 1 for count in counts)),
    )


def _subject(content: dict[str, Any]) -> dict[str, Any]:
    return mapping(content, "involvedObject") or mapping(content, "regarding")


def _times(
    content: dict[str, Any],
) -> tuple[datetime.datetime | None, datetime.datetime | None]:
    """When an event was seen first and last.

    The core API says so in ``firstTimestamp`` and ``lastTimestamp``; the newer events API in
    ``eventTime`` and, once it repeats, in ``series.lastObservedTime``
    (https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/).
    """
    fields = ("eventTime", "firstTimestamp", "lastTimestamp")
    times = [moment(content.get(field)) for field in fields]
    times.append(moment(mapping(content, "series").get("lastObservedTime")))
    said = [time for time in times if time is not None]
    if not said:
        created = moment(mapping(content, "metadata").get("creationTimestamp"))
        return created, created
    return min(said), max(said)


def _version(content: dict[str, Any]) -> tuple[int, str]:
    """Which event was written first within a second. Of two numbers the longer is greater."""
    version = mapping(content, "metadata").get("resourceVersion")
    return (len(version), version) if isinstance(version, str) else (0, "")


def _concerns(
    content: dict[str, Any], pod: dict[str, Any], last: datetime.datetime | None
) -> bool:
    """Whether an event is about this pod, and not about an earlier one of the same name."""
    subject = _subject(content)
    if (subject.get("kind") or "Pod") != "Pod":
        return False
    if subject.get("uid") and pod.get("uid"):
        return bool(subject["uid"] == pod["uid"])
    names = ("namespace", "name")
    if any(subject.get(key) != pod.get(key) for key in names if subject.get(key)):
        return False
    # The taint manager names no UID (pkg/controller/tainteviction): by the time then.
    created = moment(pod.get("creationTimestamp"))
    return created is None or last is None or last >= created

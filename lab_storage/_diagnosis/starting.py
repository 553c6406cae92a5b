"""What keeps a pod from its start: no node, no volume, no sandbox, no image, no configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lab_storage._diagnosis import words
from lab_storage._diagnosis.events import Event
from lab_storage._diagnosis.finding import Finding, is_before, reported
from lab_storage._diagnosis.pod import Condition, Container, Pod
from lab_storage._pod_data import PodTrouble

_VOLUME_NAME = re.compile(r'volume "([^"]+)"')


def unscheduled(pod: Pod, events: list[Event]) -> Finding | None:
    """What the scheduler says about a pod without a node."""
    if pod.is_bound or pod.has_ended or pod.phase == "Running":
        return None
    condition = pod.conditions.get("PodScheduled")
    if condition is not None and condition.status == "False" and condition.reason is not None:
        trouble = words.UNSCHEDULED.get(condition.reason, PodTrouble.UNSCHEDULABLE)
        return Finding(trouble, condition.reason, condition.message, since=condition.since)
    if pod.is_gated:
        return Finding(PodTrouble.GATED, "SchedulingGated")
    for event in reversed(events):
        if event.reason == "FailedScheduling":
            return reported(PodTrouble.UNSCHEDULABLE, event)
        if event.reason == "Scheduled":
            break
    return None


def waiting(pod: Pod, events: list[Event]) -> Finding | None:
    """A container that waits with a reason that says why."""
    if pod.has_ended:
        return None
    for container in pod.containers:
        trouble = words.WAITING.get(container.reason or "") if container.is_waiting else None
        if trouble is None:
            continue
        message = container.message
        if container.reason == "ImagePullBackOff" and "Err" not in (message or ""):
            # Until Kubernetes 1.31 only an event says what lies behind it.
            message = _why_not_pulled(container, events) or message
        if not words.passes_by_itself(message):
            return Finding(trouble, container.reason, message, container, container.last)
    return None


def _why_not_pulled(container: Container, events: list[Event]) -> str | None:
    for event in reversed(events):
        if event.container == container.name and event.newest.startswith("Failed to pull"):
            return event.message
    return None


def stuck(pod: Pod, events: list[Event]) -> Finding | None:
    """A pod of which no container has been made; only events say why.

    The newest decides, since a failure is over once the kubelet has gone on.
    """
    unfinished = [container for container in pod.containers if not container.is_done]
    is_on_its_way = all(container.is_on_its_way for container in unfinished)
    if pod.has_ended or pod.is_ready or not is_on_its_way:
        return None
    attached: set[str] = set()
    for event in reversed(events):
        if event.reason in words.PROGRESS:
            return None
        volumes = _VOLUME_NAME.findall(event.message)
        if event.reason == "SuccessfulAttachVolume":
            attached.update(volumes)
        if event.reason == "FailedAttachVolume" and attached.intersection(volumes):
            continue
        trouble = _meaning(event)
        if trouble is None:
            continue
        if event.container is None and _has_sandbox_since(pod, event):
            return None
        return reported(trouble, event, _named(event.container, unfinished))
    return None


def _meaning(event: Event) -> PodTrouble | None:
    if event.reason in words.AMBIGUOUS_EVENTS:
        if words.passes_by_itself(event.newest):
            return None
        matches = (trouble for form, trouble in words.EVENT_MESSAGE if form.match(event.newest))
        return next(matches, None)
    return words.EVENT.get(event.reason)


def _has_sandbox_since(pod: Pod, event: Event) -> bool:
    """Whether the pod's volumes are mounted and its sandbox is made, later than an event."""
    condition: Condition | None = pod.conditions.get("PodReadyToStartContainers")
    return (
        condition is not None
        and condition.status == "True"
        and not is_before(condition.since, event.last)
    )


def _named(name: str | None, containers: Iterable[Container]) -> Container | None:
    named = (container for container in containers if container.name == name)
    return None if name is None else next(named, None)

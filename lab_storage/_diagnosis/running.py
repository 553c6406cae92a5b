"""What is wrong with containers that ran: how they ended, and probes that fail."""

from __future__ import annotations

import datetime
import re

import attrs

from lab_storage._diagnosis import words
from lab_storage._diagnosis.events import Event
from lab_storage._diagnosis.finding import Finding, is_before, reported
from lab_storage._diagnosis.pod import Container, End, Pod
from lab_storage._pod_data import PodTrouble

# A probe that fails so soon after a start fails as it did before. After some dozen events about a
# pod its kubelet writes one in this time (k8s.io/client-go/tools/record,
# ``EventSourceObjectSpamFilter``), so that the last of many may be missing.
_SOON = datetime.timedelta(minutes=5)
_NO_TIME = datetime.timedelta(0)


def out_of_memory(pod: Pod, _events: list[Event]) -> Finding | None:
    """A container's lack of memory counts before what happened to its pod."""
    return _first_end(pod, PodTrouble.OUT_OF_MEMORY)


def lost_container(pod: Pod, _events: list[Event]) -> Finding | None:
    """A container that its node has lost counts before the condition that comes of it."""
    return _first_end(pod, PodTrouble.NODE)


def _first_end(pod: Pod, trouble: PodTrouble) -> Finding | None:
    """The first container that ended by that trouble and has not gone on since."""
    for container in _by_cause(pod):
        end = container.end
        # One that waits for something else has gone on to it.
        has_gone_on = container.is_waiting and not container.is_backing_off
        if end is None or has_gone_on:
            continue
        if words.ENDED.get(end.reason or "") is trouble:
            return Finding(trouble, end.reason, end.message, container, end, since=end.finished)
    return None


def ended(pod: Pod, events: list[Event]) -> Finding | None:
    """A container that ended badly, or again and again although it is to run."""
    if pod.phase == "Succeeded":
        return None
    for container in _by_cause(pod):
        if (
            not _is_bad_end(pod, container)
            or _is_by_deletion(pod, container, events)
            or _is_killed_for(words.CHANGING, container, events)
        ):
            continue
        end = container.end
        if end is None:
            return Finding(PodTrouble.CRASH, container.reason, container.message, container)
        trouble = words.ENDED.get(end.reason or "")
        cause = None if trouble else _cause_in_events(container, end, events)
        if cause is None:
            reason = end.reason or container.reason or pod.phase
            cause = Finding(trouble or PodTrouble.CRASH, reason, end.message)
        return attrs.evolve(cause, container=container, end=end, since=end.finished)
    return None


def _is_bad_end(pod: Pod, container: Container) -> bool:
    end = container.end
    if end is None:
        return container.is_backing_off
    if end.reason in words.ENDED_ON_PURPOSE:
        return False
    if end.is_good and end.reason not in words.ENDED:
        is_to_run = container.restart_policy == "Always" and not pod.has_ended
        return is_to_run and (container.restarts > 0 or container.is_backing_off)
    return (end.exit_code, end.reason) != (None, None)


def _is_by_deletion(pod: Pod, container: Container, events: list[Event]) -> bool:
    """Whether a container only ended because its pod is being deleted."""
    end = container.end
    if end is None or pod.deleted is None:
        return False
    if not is_before(end.finished, pod.deleted):
        return True
    # With its last step, a grace of 0, the kubelet overwrites when the deletion was asked for.
    return (pod.is_removed and end.exit_code in words.KILLED) or _is_killed_for(
        words.STOPPING, container, events
    )


def _is_killed_for(form: re.Pattern[str], container: Container, events: list[Event]) -> bool:
    """Whether a container ended because its kubelet killed it, and said why in that form."""
    end = container.end
    return end is not None and any(
        event.reason == "Killing"
        and event.container == container.name
        and form.match(event.newest)
        and not is_before(end.finished, event.last)
        and not is_before(event.last, end.started)
        for event in events
    )


def _cause_in_events(container: Container, end: End, events: list[Event]) -> Finding | None:
    """Who ended a container: a probe or a failed hook, which only events say."""
    own = [event for event in reversed(events) if event.container == container.name]
    in_run = [event for event in own if not is_before(event.last, end.started)]
    for event in in_run:
        if event.reason == "FailedPostStartHook":
            return reported(PodTrouble.START, event)
    was_killed = end.exit_code in words.KILLED
    # The event of the last of many kills may be missing.
    kills = [
        event
        for event in (own if was_killed else in_run)
        if event.reason == "Killing" and words.PROBE_KILL.search(event.newest)
    ]
    if not (kills or was_killed):
        return None
    # Why it was killed says more than that it was.
    for event in own if kills else in_run:
        if event.reason == "Unhealthy" and not event.newest.startswith("Readiness"):
            return reported(PodTrouble.PROBE, event)
    return reported(PodTrouble.PROBE, kills[0]) if kills else None


def not_ready(pod: Pod, events: list[Event]) -> Finding | None:
    """A container that runs and is not ready since a probe fails; only events say so."""
    if pod.is_terminating or pod.has_ended:
        return None
    for container in pod.containers:
        is_to_be_ready = container.is_sidecar or not container.is_init
        if not container.is_running or not is_to_be_ready:
            continue
        if container.is_ready:
            if (again := _is_killed_again(container, events)) is not None:
                return again
            continue
        for event in reversed(events):
            if event.reason != "Unhealthy" or event.container not in (container.name, None):
                continue
            if not event.newest.startswith("Liveness"):
                if _is_over(event, pod, container):
                    break
                return reported(PodTrouble.PROBE, event, container)
    return None


def _is_over(event: Event, pod: Pod, container: Container) -> bool:
    """Whether what a probe said has nothing to do with why a container is not ready now.

    It was said in an earlier run, or long before the pod's containers were last ready. A kubelet
    that has just started calls those with a readiness probe not ready until the probe has
    succeeded once more; up to Kubernetes 1.34 (pkg/kubelet/prober/prober_manager.go,
    ``UpdatePodStatus``).
    """
    if event.last is None:
        return False
    ready = pod.conditions.get("ContainersReady")
    since = ready.since if ready is not None and ready.status == "False" else None
    return is_before(event.last, container.running_since) or (
        since is not None and since - event.last > _SOON
    )


def _is_killed_again(container: Container, events: list[Event]) -> Finding | None:
    """A container that a probe has killed, that runs again, and whose probe fails again.

    Without a readiness probe it is ready as soon as it runs, until it is killed once more.
    """
    last, since = container.last, container.running_since
    if last is None or since is None:
        return None
    cause = _cause_in_events(container, last, events)
    if cause is None or cause.trouble is not PodTrouble.PROBE:
        return None
    for event in reversed(events):
        if event.reason != "Unhealthy" or event.container != container.name:
            continue
        if event.last is not None and _NO_TIME < event.last - since < _SOON:
            return attrs.evolve(reported(PodTrouble.PROBE, event, container), end=last)
    return None


def _by_cause(pod: Pod) -> list[Container]:
    """The containers whose end may be the trouble, the likeliest first.

    In a pod that has ended the first to end is the cause, and sidecars only follow.
    """
    containers = [one for one in pod.containers if not (one.is_init and one.is_done)]
    if not pod.has_ended:
        return containers
    return sorted((one for one in containers if not one.is_sidecar), key=_end_of_run)


def _end_of_run(container: Container) -> tuple[bool, float]:
    finished = container.ended.finished if container.ended else None
    return (finished is None, finished.timestamp() if finished else 0)

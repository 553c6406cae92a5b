"""What is wrong with a pod: rules, asked in the order of ``RULES``; the first that finds decides.

Each looks at one place where Kubernetes says what is wrong, takes its words from
`lab_storage._diagnosis.words`, and leaves out what is over.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable

import attrs

from lab_storage._diagnosis import words
from lab_storage._diagnosis.events import Event
from lab_storage._diagnosis.pod import Condition, Container, End, Pod
from lab_storage._pod_data import PodTrouble

# A probe that fails so soon after a start fails as it did before.
_NO_TIME = datetime.timedelta(0)
_SOON = datetime.timedelta(minutes=5)
_VOLUME_NAME = re.compile(r'volume "([^"]+)"')


@attrs.frozen
class Finding:
    """What a rule has found."""

    trouble: PodTrouble
    reason: str | None
    message: str | None = None
    container: Container | None = None
    # How the container ended, if that is the trouble, or lies behind it.
    end: End | None = None
    # Since when and how often, as far as the server says.
    since: datetime.datetime | None = None
    times: int | None = None


def find(pod: Pod, events: list[Event]) -> Finding | None:
    """What is wrong with a pod, if anything; events by when they were last seen."""
    for rule in RULES:
        if (finding := rule(pod, events)) is not None:
            return finding
    return None


def out_of_memory(pod: Pod, _events: list[Event]) -> Finding | None:
    """A container's lack of memory counts before what happened to its pod."""
    return _first_end(pod, "OOMKilled")


def pod_reason(pod: Pod, _events: list[Event]) -> Finding | None:
    """What is said about the pod as a whole."""
    trouble = words.POD.get(pod.reason or "")
    if trouble is None and _is_refused(pod):
        trouble = PodTrouble.NODE
    if trouble is None and pod.phase == "Unknown":
        # The node does not answer; nobody has set this phase since Kubernetes 1.22.
        trouble = PodTrouble.NODE
    return trouble and Finding(trouble, pod.reason or pod.phase, pod.message)


def _is_refused(pod: Pod) -> bool:
    """Whether a kubelet refused the pod.

    The reason is then whatever its check says: OutOfcpu, NodeAffinity, UnexpectedAdmissionError,
    TopologyAffinityError and others (pkg/kubelet/lifecycle). No container was ever started.
    """
    if pod.phase != "Failed" or pod.reason is None:
        return False
    was_started = any(container.ended or container.last for container in pod.containers)
    return not was_started or (pod.message or "").startswith(words.REFUSED)


def lost_container(pod: Pod, _events: list[Event]) -> Finding | None:
    """A container that its node has lost counts before the condition that comes of it."""
    return _first_end(pod, "ContainerStatusUnknown")


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
            return attrs.evolve(_reported(PodTrouble.PROBE, event, container), end=last)
    return None


def lost_node(pod: Pod, events: list[Event]) -> Finding | None:
    """A pod that is not ready since its node is lost; its eviction only follows.

    The node controller resets the status of the condition Ready and leaves the rest as the
    kubelet wrote it last. A kubelet that resets it gives a reason
    (pkg/controller/util/node, ``MarkPodsNotReady``).
    """
    ready = pod.conditions.get("Ready")
    if pod.phase != "Running" or ready is None or ready.status != "False" or ready.reason:
        return None
    if not all(container.is_ready for container in pod.containers if container.is_running):
        return None
    for event in reversed(events):
        if event.reason == "NodeNotReady" and not _is_before(event.last, ready.since):
            return _reported(PodTrouble.NODE, event)
    if pod.is_true("ContainersReady"):
        return Finding(PodTrouble.NODE, "NodeNotReady", since=ready.since)
    return None


def disruption(pod: Pod, _events: list[Event]) -> Finding | None:
    """The condition DisruptionTarget, which may be left over from an eviction that was given up.

    It is set just before the pod is deleted, and reset after two minutes if the pod was not
    (pkg/controller/disruption, ``nonTerminatingPodHasStaleDisruptionCondition``).
    """
    condition = pod.conditions.get("DisruptionTarget")
    if condition is None or condition.status != "True":
        return None
    if pod.phase == "Succeeded":
        # Either it was done before, or it obeyed the signal that the disruption sent.
        ends = [container.ended.finished for container in pod.containers if container.ended]
        if all(_is_before(end, condition.since) for end in ends):
            return None
    elif not (pod.is_terminating or pod.has_ended) and (
        # A kubelet's own is never reset; older ones set it before the containers end.
        condition.reason != "TerminationByKubelet" or pod.is_ready
    ):
        return None
    trouble = words.DISRUPTION.get(condition.reason or "", PodTrouble.DISRUPTION)
    reason = condition.reason or "DisruptionTarget"
    return Finding(trouble, reason, condition.message, since=condition.since)


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
            return _reported(PodTrouble.UNSCHEDULABLE, event)
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
        if words.THROTTLED not in (message or ""):
            return Finding(trouble, container.reason, message, container, container.last)
    return None


def _why_not_pulled(container: Container, events: list[Event]) -> str | None:
    for event in reversed(events):
        if event.container == container.name and event.message.startswith("Failed to pull"):
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
        return _reported(trouble, event, _named(event.container, unfinished))
    return None


def _meaning(event: Event) -> PodTrouble | None:
    if words.THROTTLED in event.message:
        return None
    if event.reason in words.AMBIGUOUS_EVENTS:
        matches = (trouble for form, trouble in words.EVENT_MESSAGE if form.match(event.message))
        return next(matches, None)
    return words.EVENT.get(event.reason)


def _has_sandbox_since(pod: Pod, event: Event) -> bool:
    """Whether the pod's volumes are mounted and its sandbox is made, later than an event."""
    condition: Condition | None = pod.conditions.get("PodReadyToStartContainers")
    return (
        condition is not None
        and condition.status == "True"
        and not _is_before(condition.since, event.last)
    )


def ended(pod: Pod, events: list[Event]) -> Finding | None:
    """A container that ended badly, or again and again although it is to run."""
    if pod.phase == "Succeeded":
        return None
    for container in _by_cause(pod):
        if not _is_bad_end(pod, container) or _is_by_deletion(pod, container, events):
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
    if not _is_before(end.finished, pod.deleted):
        return True
    # With its last step, a grace of 0, the kubelet overwrites when the deletion was asked for.
    return (pod.is_removed and end.exit_code in words.KILLED) or any(
        event.reason == "Killing"
        and event.container == container.name
        and event.message.startswith(words.STOPPING)
        and not _is_before(end.finished, event.last)
        and not _is_before(event.last, end.started)
        for event in events
    )


def _cause_in_events(container: Container, end: End, events: list[Event]) -> Finding | None:
    """Who ended a container: a probe or a failed hook, which only events say."""
    own = [event for event in reversed(events) if event.container == container.name]
    in_run = [event for event in own if not _is_before(event.last, end.started)]
    for event in in_run:
        if event.reason == "FailedPostStartHook":
            return _reported(PodTrouble.START, event)
    was_killed = end.exit_code in words.KILLED
    # After some dozen events about a pod its kubelet writes one in five minutes
    # (k8s.io/client-go/tools/record, ``EventSourceObjectSpamFilter``), so that the event of the
    # last of many kills may be missing.
    kills = [
        event
        for event in (own if was_killed else in_run)
        if event.reason == "Killing" and words.PROBE_KILL.search(event.message)
    ]
    if not (kills or was_killed):
        return None
    # Why it was killed says more than that it was.
    for event in own if kills else in_run:
        if event.reason == "Unhealthy" and not event.message.startswith("Readiness"):
            return _reported(PodTrouble.PROBE, event)
    return _reported(PodTrouble.PROBE, kills[0]) if kills else None


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
            if not event.message.startswith("Liveness"):
                if _is_before(event.last, container.running_since):
                    break
                return _reported(PodTrouble.PROBE, event, container)
    return None


def failed(pod: Pod, _events: list[Event]) -> Finding | None:
    """A pod that has failed, and nothing else says why."""
    is_deleted = pod.is_terminating and any(container.ended for container in pod.containers)
    if pod.phase != "Failed" or is_deleted:
        return None
    return Finding(PodTrouble.CRASH, pod.reason or pod.phase, pod.message)


RULES: tuple[Callable[[Pod, list[Event]], Finding | None], ...] = (
    out_of_memory,
    pod_reason,
    lost_container,
    lost_node,
    disruption,
    unscheduled,
    waiting,
    stuck,
    ended,
    not_ready,
    failed,
)


def _first_end(pod: Pod, reason: str) -> Finding | None:
    """The first container that ended for that reason and has not gone on since."""
    for container in _by_cause(pod):
        end = container.end
        # One that waits for something else has gone on to it.
        has_gone_on = container.is_waiting and not container.is_backing_off
        if end is not None and end.reason == reason and not has_gone_on:
            trouble = words.ENDED[reason]
            return Finding(trouble, reason, end.message, container, end, since=end.finished)
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


def _reported(trouble: PodTrouble, event: Event, container: Container | None = None) -> Finding:
    return Finding(
        trouble,
        event.reason,
        event.message or None,
        container,
        since=event.first,
        times=event.count,
    )


def _named(name: str | None, containers: Iterable[Container]) -> Container | None:
    named = (container for container in containers if container.name == name)
    return None if name is None else next(named, None)


def _is_before(time: datetime.datetime | None, other: datetime.datetime | None) -> bool:
    """Whether a time is known to be before another."""
    return time is not None and other is not None and time < other

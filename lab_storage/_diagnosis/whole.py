"""What is wrong with a pod as a whole: its node, its eviction, its deadline, its refusal."""

from __future__ import annotations

from lab_storage._diagnosis import words
from lab_storage._diagnosis.events import Event
from lab_storage._diagnosis.finding import Finding, is_before, reported
from lab_storage._diagnosis.pod import Pod
from lab_storage._pod_data import PodTrouble


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
        if event.reason == "NodeNotReady" and not is_before(event.last, ready.since):
            return reported(PodTrouble.NODE, event)
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
        if all(is_before(end, condition.since) for end in ends):
            return None
    elif not (pod.is_terminating or pod.has_ended) and (
        # A kubelet's own is never reset; older ones set it before the containers end.
        condition.reason != "TerminationByKubelet" or pod.is_ready
    ):
        return None
    trouble = words.DISRUPTION.get(condition.reason or "", PodTrouble.DISRUPTION)
    reason = condition.reason or "DisruptionTarget"
    return Finding(trouble, reason, condition.message, since=condition.since)


def failed(pod: Pod, _events: list[Event]) -> Finding | None:
    """A pod that has failed, and nothing else says why."""
    is_deleted = pod.is_terminating and any(container.ended for container in pod.containers)
    if pod.phase != "Failed" or is_deleted:
        return None
    return Finding(PodTrouble.CRASH, pod.reason or pod.phase, pod.message)

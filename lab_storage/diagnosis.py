"""How a pod is, and why it does not run: from its JSON and its events', without any HTTP."""

from __future__ import annotations

from typing import Any

from lab_storage._diagnosis.events import events_of
from lab_storage._diagnosis.pod import Pod
from lab_storage._diagnosis.rules import find
from lab_storage._pod_data import PodDiagnosis, PodPhase, PodTrouble

__all__ = ["PodDiagnosis", "PodTrouble", "diagnose"]

_EVENTS_SHOWN = 20


def diagnose(pod: Any, events: Any = ()) -> PodDiagnosis:
    """Say how a pod is, and what is wrong with it.

    Parameters
    ----------
    pod
        The pod as its JSON gives it.
    events
        Events as their JSON gives them, in any order; those of other pods, and of an earlier pod
        of the same name, stay out.

    Returns
    -------
    PodDiagnosis
        The diagnosis. Any JSON gives one.
    """
    view, known = Pod.of(pod), events_of(pod, events)
    finding = find(view, known)
    container = finding.container if finding else None
    all_restarts = sum(one.restarts for one in view.containers)
    return PodDiagnosis(
        phase=PodPhase.of(view.phase),
        is_ready=view.is_ready,
        is_terminating=view.is_terminating,
        trouble=finding.trouble if finding else None,
        container=container.name if container else None,
        reason=finding.reason if finding else None,
        message=finding.message if finding else None,
        exit_code=finding.end.exit_code if finding and finding.end else None,
        restarts=container.restarts if container else all_restarts,
        events=tuple(event.line for event in known if event.line)[-_EVENTS_SHOWN:],
        log=None,
    )

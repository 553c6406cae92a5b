"""How a pod is, and why it does not run: from its JSON and its events', without any HTTP."""

from __future__ import annotations

import datetime
from typing import Any

import attrs

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
    return examine(pod, events).diagnosis


@attrs.frozen
class Examination:
    """A diagnosis, and what does not fit into it."""

    diagnosis: PodDiagnosis
    # The container whose log shows more, and whether it is its previous run's; there is none
    # where the container was never started.
    log_of: str | None
    is_previous_log: bool
    # Since when it is so, and how often the container or the event has been seen, if known.
    since: datetime.datetime | None
    times: int | None
    last_warning: str | None


def examine(pod: Any, events: Any = ()) -> Examination:
    """Make a diagnosis, with all that was found out on the way."""
    view, known = Pod.of(pod), events_of(pod, events)
    finding = find(view, known)
    container = finding.container if finding else None
    end = finding.end if finding else None
    all_restarts = sum(one.restarts for one in view.containers)
    was_started = container is not None and (end is not None or container.is_running)
    ready = view.conditions.get("Ready")
    return Examination(
        diagnosis=PodDiagnosis(
            phase=PodPhase.of(view.phase),
            is_ready=view.is_ready,
            is_terminating=view.is_terminating,
            trouble=finding.trouble if finding else None,
            container=container.name if container else None,
            reason=finding.reason if finding else None,
            message=finding.message if finding else None,
            exit_code=end.exit_code if end else None,
            restarts=container.restarts if container else all_restarts,
            events=tuple(event.line for event in known if event.line)[-_EVENTS_SHOWN:],
            log=None,
        ),
        log_of=container.name if container and was_started else None,
        is_previous_log=end is not None and container is not None and end is container.last,
        since=(finding.since if finding else None) or (ready.since if ready else None),
        times=finding.times if finding else None,
        last_warning=next((one.line for one in reversed(known) if one.is_warning), None),
    )

"""How a pod is, and why it does not run: from its JSON and its events', without any HTTP."""

from __future__ import annotations

from typing import Any

import attrs

from lab_storage._diagnosis.events import events_of
from lab_storage._diagnosis.pod import Pod
from lab_storage._diagnosis.rules import find
from lab_storage._diagnosis.trouble import PodTrouble
from lab_storage.models import PodPhase

__all__ = ["PodDiagnosis", "PodTrouble", "diagnose"]

_EVENTS_SHOWN = 20


@attrs.frozen
class PodDiagnosis:
    """How a pod is, and what is wrong with it.

    Its ``str()`` is one line for a person. All text is on one line and without control
    characters, except the line ends of ``log``.

    Attributes
    ----------
    phase
        Where it is in its life.
    is_ready
        Whether it is ready to serve.
    is_terminating
        Whether it is being deleted.
    trouble
        What is wrong; `None` if nothing is: the pod runs, is done, or is still on its way.
    container
        The container concerned, which may be an init container or a sidecar; `None` where the
        pod as a whole is.
    reason
        Kubernetes' own word for it, such as ``OOMKilled`` or ``FailedMount``.
    message
        What Kubernetes says about it, if anything.
    exit_code
        The exit code of that container, if it ended.
    restarts
        How often that container was restarted; where there is none, all containers together.
    events
        The last 20 events as ``"Reason: message"``, by when they were last seen, oldest first.
    log
        The last lines of that container's log, of its previous run if that is the one that ended;
        `None` if they were not asked for or cannot be had.
    """

    phase: PodPhase
    is_ready: bool
    is_terminating: bool
    trouble: PodTrouble | None
    container: str | None
    reason: str | None
    message: str | None
    exit_code: int | None
    restarts: int
    events: tuple[str, ...]
    log: str | None

    def __str__(self) -> str:
        if self.trouble is None:
            words = [self.phase.value]
            if self.phase is PodPhase.RUNNING:
                words.append("ready" if self.is_ready else "not ready")
            if self.is_terminating:
                words.append("terminating")
            return ", ".join(words)
        where = f" in container {self.container}" if self.container else ""
        counts = []
        if self.exit_code is not None:
            counts.append(f"exit code {self.exit_code}")
        if self.restarts:
            counts.append(f"{self.restarts} restart{'' if self.restarts == 1 else 's'}")
        said = self.reason or self.phase.value
        if counts:
            said += f" ({', '.join(counts)})"
        return ": ".join(filter(None, (f"{self.trouble.value}{where}", said, self.message)))


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

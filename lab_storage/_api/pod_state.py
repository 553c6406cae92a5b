"""What is kept of a pod where thousands are followed: what reads, waits and lists need."""

from __future__ import annotations

from typing import Any, Final

import attrs

from lab_storage.models import PodPhase, PodSummary

UNSTARTED = frozenset({PodPhase.PENDING, PodPhase.UNKNOWN})

Waiting = tuple[str | None, str, str | None]


# Not frozen, which would make each three times as slow to build.
@attrs.define(eq=False)
class PodState:
    """A pod, in less than a kilobyte. Never changed.

    Attributes
    ----------
    namespace, name, uid
        Which pod.
    version
        Its resource version; 0 where that is not a number.
    created
        When it was created, in seconds since 1970, or `None`.
    is_terminating
        Whether it is being deleted.
    phase
        Its phase.
    is_ready
        Whether its condition ``Ready`` is true.
    waiting
        What it waits for, as `lab_storage._starts.waiting` yields it; only of a pod that has not
        started.
    """

    namespace: str
    name: str
    uid: str
    version: int
    created: int | None
    is_terminating: bool
    phase: PodPhase
    is_ready: bool
    waiting: tuple[Waiting, ...] = ()

    @property
    def why_it_waits(self) -> str:
        """What a timeout says of a pod that has not started."""
        reasons = "".join(
            f"; {container or 'pod'}: {reason}{f': {message}' if message else ''}"
            for container, reason, message in self.waiting
        )
        return f"the pod is {self.phase.value}{reasons}"

    def is_like(self, pod: PodSummary) -> bool:
        """Whether a summary says the same."""
        return (self.uid, self.phase, self.is_ready, self.is_terminating) == (
            pod.uid,
            pod.phase,
            pod.is_ready,
            pod.is_terminating,
        )

    @property
    def has_started(self) -> bool:
        """Whether a wait for its start is over."""
        return self.phase not in UNSTARTED


@attrs.frozen
class Page:
    """A page of a list of pods.

    Attributes
    ----------
    version
        The resource version of the list; 0 where that is not a number.
    token
        What the next page is asked for with; empty on the last.
    pods
        The pods.
    """

    version: int
    token: str
    pods: list[PodState]


@attrs.define(eq=False)
class PodEvent:
    """One event of a watch of pods.

    Attributes
    ----------
    type
        ``ADDED``, ``MODIFIED``, ``DELETED``, ``BOOKMARK`` or ``ERROR``.
    version
        The resource version of its object; 0 where that is not a number.
    pod
        The pod, of the first three.
    is_initial_end
        Whether it is the bookmark after all that existed.
    status
        Of an ``ERROR``, the Status.
    """

    type: str
    version: int
    pod: PodState | None = None
    is_initial_end: bool = False
    status: dict[str, Any] | None = None


# The annotation of that bookmark (KEP-3157).
INITIAL_END = "k8s.io/initial-events-end"
# The last second of the year 9999: what comes later, Python has no date for.
LATEST_SECONDS: Final = 253_402_300_799
POD_EVENTS = frozenset({"ADDED", "MODIFIED", "DELETED"})


def number_of(version: object) -> int:
    """A resource version as a number, which it is on all servers (KEP-5504); 0 if it is not."""
    if isinstance(version, str) and version.isascii() and version.isdigit() and len(version) < 20:
        return int(version)
    return 0

"""How a pod is: its phase, and what is wrong with it."""

from __future__ import annotations

import enum
from typing import Any

import attrs


class PodPhase(enum.Enum):
    """The phase of a pod.

    The values are Kubernetes' words
    (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase).
    """

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"

    @classmethod
    def of(cls, value: object) -> PodPhase:
        """Read a phase as the server sent it.

        Parameters
        ----------
        value
            The ``status.phase`` of a pod, of any type.

        Returns
        -------
        PodPhase
            The phase; `UNKNOWN` if there is none, or if Kubernetes has not defined it.
        """
        try:
            return cls(value)
        except ValueError:
            return cls.UNKNOWN


class PodTrouble(enum.Enum):
    """What is wrong with a pod.

    Attributes
    ----------
    UNSCHEDULABLE
        No node takes it.
    GATED
        It waits for somebody to lift its scheduling gates.
    VOLUME
        A volume cannot be attached or mounted.
    SANDBOX
        Its network or its sandbox cannot be made.
    IMAGE
        An image cannot be had.
    CONFIGURATION
        Something that it refers to is missing, or forbids it.
    START
        A container or its hook cannot be started.
    CRASH
        A container ended with an exit code other than 0, or ends again and again although it is
        to run.
    OUT_OF_MEMORY
        A container was killed because it used more memory than it may.
    PROBE
        A container was killed by its liveness or startup probe, or is running and not ready
        because a probe fails.
    DEADLINE
        It ran longer than its ``activeDeadlineSeconds``.
    DISRUPTION
        It was evicted, preempted or drained.
    NODE
        Its node is lost, was shut down, or refused it.
    """

    UNSCHEDULABLE = "Unschedulable"
    GATED = "SchedulingGated"
    VOLUME = "Volume"
    SANDBOX = "Sandbox"
    IMAGE = "Image"
    CONFIGURATION = "Configuration"
    START = "Start"
    CRASH = "Crash"
    OUT_OF_MEMORY = "OutOfMemory"
    PROBE = "Probe"
    DEADLINE = "Deadline"
    DISRUPTION = "Disruption"
    NODE = "Node"

    @property
    def hint(self) -> str:
        """What to do about it: a sentence or two for a person."""
        return _HINTS[self]


# What to do, for `PodTrouble.hint`; the page of questions shows the same.
_HINTS = {
    PodTrouble.UNSCHEDULABLE: "No node has room for it, or none that it may use: compare its "
    "requests, node selector and tolerations with the nodes. A cluster autoscaler may add one.",
    PodTrouble.GATED: "A controller holds it back until it removes the gates in "
    "spec.schedulingGates: look at that controller.",
    PodTrouble.VOLUME: "Look at the volume in the message: is its claim bound, is its secret or "
    "config map there, is its disk still attached to another node?",
    PodTrouble.SANDBOX: "The node fails, not the pod: look at its network plugin and its "
    "container runtime.",
    PodTrouble.IMAGE: "Check the image's name and tag, the pod's imagePullSecrets, and whether "
    "the node reaches the registry.",
    PodTrouble.CONFIGURATION: "Create what the message names, such as a config map, a secret or a "
    "key in it, or correct its name in the manifest.",
    PodTrouble.START: "Correct the container's command, its hook, or what the message names: the "
    "runtime could not start it as the manifest says.",
    PodTrouble.CRASH: "Read the end of the container's log: the program ended by itself.",
    PodTrouble.OUT_OF_MEMORY: "Raise the container's memory limit, or have the program use less.",
    PodTrouble.PROBE: "Find out why the probe fails, or give the program more time: a startup "
    "probe, timeoutSeconds, failureThreshold.",
    PodTrouble.DEADLINE: "Raise the pod's activeDeadlineSeconds, or leave it out.",
    PodTrouble.DISRUPTION: "Start it again: it had to leave its node for a reason outside it. "
    "Higher requests make an eviction under pressure less likely.",
    PodTrouble.NODE: "Start it again, on another node, and look at this one: is it ready, and has "
    "it room?",
}


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
        # "Unschedulable" is a trouble and Kubernetes' word for it.
        is_twice = self.reason == self.trouble.value and not where
        said = "" if is_twice else self.reason or self.phase.value
        if counts:
            said += f" ({', '.join(counts)})"
        return ": ".join(filter(None, (f"{self.trouble.value}{where}", said, self.message)))


def to_plain(diagnosis: PodDiagnosis) -> dict[str, Any]:
    """A diagnosis in JSON's types."""
    return attrs.asdict(diagnosis, value_serializer=lambda _self, _field, value: _plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def from_plain(plain: dict[str, Any]) -> PodDiagnosis:
    """The reverse of `to_plain`."""
    trouble = plain["trouble"]
    values = {
        "phase": PodPhase(plain["phase"]),
        "trouble": None if trouble is None else PodTrouble(trouble),
        "events": tuple(plain["events"]),
    }
    return PodDiagnosis(**{**plain, **values})

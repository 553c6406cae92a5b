"""A pod as a server sends it, reduced to what a diagnosis needs."""

from __future__ import annotations

import datetime
from typing import Any

import attrs

from lab_storage._diagnosis.json import mapping, mappings, moment, number, text

# A pod never leaves these phases
# (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase).
_FINAL = frozenset({"Failed", "Succeeded"})
# What a container waits with until it is started, whatever the matter is
# (pkg/kubelet/kubelet_pods.go); without a reason it was created and not started.
_ON_ITS_WAY = frozenset({None, "ContainerCreating", "PodInitializing"})


@attrs.frozen
class Condition:
    """One of a pod's conditions."""

    status: str | None
    reason: str | None
    message: str | None
    since: datetime.datetime | None

    @classmethod
    def of(cls, content: dict[str, Any]) -> Condition:
        """Read a condition."""
        return cls(
            status=text(content.get("status")),
            reason=text(content.get("reason")),
            message=text(content.get("message")),
            since=moment(content.get("lastTransitionTime")),
        )


@attrs.frozen
class End:
    """How a container's process ended."""

    reason: str | None
    message: str | None
    exit_code: int | None
    started: datetime.datetime | None
    finished: datetime.datetime | None

    @classmethod
    def of(cls, state: dict[str, Any]) -> End | None:
        """Read ``state`` or ``lastState``."""
        content = state.get("terminated")
        if not isinstance(content, dict):
            return None
        return cls(
            reason=text(content.get("reason")),
            message=text(content.get("message")),
            exit_code=number(content.get("exitCode")),
            started=moment(content.get("startedAt")),
            finished=moment(content.get("finishedAt")),
        )

    @property
    def is_good(self) -> bool:
        """Whether it ended with exit code 0."""
        return self.exit_code == 0 or (self.exit_code is None and self.reason == "Completed")


@attrs.frozen
class Container:
    """A container's status."""

    name: str | None
    is_init: bool
    restart_policy: str
    is_ready: bool
    restarts: int
    is_waiting: bool
    # Why it waits.
    reason: str | None
    message: str | None
    is_running: bool
    running_since: datetime.datetime | None
    # How its present run ended, and how the one before did.
    ended: End | None
    last: End | None

    @classmethod
    def of(cls, content: dict[str, Any], is_init: bool, restart_policy: str) -> Container:
        """Read a container status."""
        state = mapping(content, "state")
        waiting, running = mapping(state, "waiting"), state.get("running")
        ended = End.of(state)
        is_running = ended is None and isinstance(running, dict)
        return cls(
            name=text(content.get("name")),
            is_init=is_init,
            restart_policy=restart_policy,
            is_ready=content.get("ready") is True,
            restarts=max(0, number(content.get("restartCount")) or 0),
            # No state means waiting (``core/v1``, ``ContainerState``).
            is_waiting=ended is None and not is_running,
            reason=text(waiting.get("reason")),
            message=text(waiting.get("message")),
            is_running=is_running,
            running_since=moment(mapping(state, "running").get("startedAt")),
            ended=ended,
            last=End.of(mapping(content, "lastState")),
        )

    @property
    def is_sidecar(self) -> bool:
        """Whether it runs beside the others although it is among the init containers."""
        return self.is_init and self.restart_policy == "Always"

    @property
    def is_on_its_way(self) -> bool:
        """Whether it waits, and its reason says nothing about why."""
        return self.is_waiting and self.reason in _ON_ITS_WAY

    @property
    def is_backing_off(self) -> bool:
        """Whether it ended and waits until it is started again."""
        return self.is_waiting and self.reason == "CrashLoopBackOff"

    @property
    def is_done(self) -> bool:
        """Whether it ended as it should, and is not to run again."""
        return self.ended is not None and self.ended.is_good and self.restart_policy != "Always"

    @property
    def end(self) -> End | None:
        """Its last end, unless that is over: what is ready again has left it behind."""
        if self.ended is not None:
            return self.ended
        return None if self.is_ready else self.last


@attrs.frozen
class Pod:
    """A pod."""

    phase: str | None
    reason: str | None
    message: str | None
    is_bound: bool
    is_gated: bool
    is_terminating: bool
    # When its deletion was asked for, before its time of grace.
    deleted: datetime.datetime | None
    # Whether it has ended, and is only to be removed.
    is_removed: bool
    conditions: dict[str, Condition]
    # In the order of the manifest, init containers first.
    containers: list[Container]

    @classmethod
    def of(cls, content: Any) -> Pod:
        """Read a pod."""
        metadata, spec = mapping(content, "metadata"), mapping(content, "spec")
        status = mapping(content, "status")
        conditions = {
            kind: Condition.of(item)
            for item in mappings(status, "conditions")
            if (kind := text(item.get("type"))) is not None
        }
        return cls(
            phase=text(status.get("phase")),
            reason=text(status.get("reason")),
            message=text(status.get("message")),
            is_bound=text(spec.get("nodeName")) is not None,
            is_gated=bool(mappings(spec, "schedulingGates")),
            is_terminating=text(metadata.get("deletionTimestamp")) is not None,
            deleted=_deletion_request(metadata),
            is_removed=metadata.get("deletionGracePeriodSeconds") == 0,
            conditions=conditions,
            containers=_containers(spec, status),
        )

    @property
    def has_ended(self) -> bool:
        """Whether it has succeeded or failed."""
        return self.phase in _FINAL

    @property
    def is_ready(self) -> bool:
        """Whether it is ready to serve."""
        return self.is_true("Ready")

    def is_true(self, kind: str) -> bool:
        """Whether it has a condition that holds."""
        condition = self.conditions.get(kind)
        return condition is not None and condition.status == "True"


def _deletion_request(metadata: dict[str, Any]) -> datetime.datetime | None:
    """When the deletion was asked for: ``deletionTimestamp`` is later by the grace period."""
    end = moment(metadata.get("deletionTimestamp"))
    grace = number(metadata.get("deletionGracePeriodSeconds")) or 0
    try:
        return end and end - datetime.timedelta(seconds=grace)
    except OverflowError:
        return end


def _containers(spec: dict[str, Any], status: dict[str, Any]) -> list[Container]:
    pod_policy = text(spec.get("restartPolicy")) or "Always"
    # A regular init container is done once it has succeeded; only a sidecar, which says so
    # itself, is to run always
    # (https://kubernetes.io/docs/concepts/workloads/pods/init-containers/).
    init_policy = "OnFailure" if pod_policy == "Always" else pod_policy
    return [
        *_in_order(spec, "initContainers", status, "initContainerStatuses", init_policy),
        *_in_order(spec, "containers", status, "containerStatuses", pod_policy),
    ]


def _in_order(
    spec: dict[str, Any], listed: str, status: dict[str, Any], reported: str, policy: str
) -> list[Container]:
    """Read container statuses in the order of the manifest; the kubelet sorts them by name."""
    is_init = listed == "initContainers"
    manifests = {text(item.get("name")): item for item in mappings(spec, listed)}
    order = {name: place for place, name in enumerate(manifests)}
    containers = []
    for item in mappings(status, reported):
        manifest = manifests.get(text(item.get("name")), {})
        own_policy = text(manifest.get("restartPolicy"))
        containers.append(Container.of(item, is_init, own_policy or policy))
    return sorted(containers, key=lambda container: order.get(container.name, len(order)))

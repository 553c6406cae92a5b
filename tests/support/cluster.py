"""Short words for what tests do on a cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lab_storage.testing._pods.courses import START_ANNOTATION
from tests.support.processes import process_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubernetes import client

DEADLINE_SECONDS = 60.0


def eventually(condition: Callable[[], Any]) -> Any:
    """Ask again until the answer is a true one, and give that."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:.0f} s"
        time.sleep(0.02)
    return answer


def are_dead(pids: dict[str, int]) -> bool:
    """Whether none of them runs, be it that nobody has reaped it yet."""
    return all(process_state(pid) in {"", "Z"} for pid in pids.values())


class Namespace:
    """One namespace, and short words for what the tests do in it."""

    def __init__(self, core: client.CoreV1Api, name: str) -> None:
        self.core = core
        self.name = name

    def create_pod(self, name: str = "lab", behaviour: str | None = None, **spec: Any) -> str:
        """Create a pod that is to fare as `behaviour` says; its UID."""
        annotations = {} if behaviour is None else {START_ANNOTATION: behaviour}
        annotations |= spec.pop("annotations", {})
        created = self.core.create_namespaced_pod(
            self.name,
            {
                "metadata": {"name": name, "annotations": annotations},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "notebook", "image": "notebook:1"}],
                    **spec,
                },
            },
        )
        return str(created.metadata.uid)

    def pod(self, name: str = "lab") -> client.V1Pod:
        """The pod, which is there."""
        return self.core.read_namespaced_pod(name, self.name)

    def is_gone(self, name: str = "lab") -> bool:
        """Whether there is no such pod."""
        return self.phase(name) is None

    def phase(self, name: str = "lab") -> str | None:
        """Its phase, or None when there is no such pod."""
        selector = f"metadata.name={name}"
        found = self.core.list_namespaced_pod(self.name, field_selector=selector).items
        return str(found[0].status.phase) if found else None

    def outcome(self, name: str = "lab") -> str | None:
        """Its phase, once that is a later one than Pending."""
        phase = self.phase(name)
        return None if phase == "Pending" else phase

    def waiting_reason(self) -> str | None:
        """Why its first container waits, or that container's first predecessor."""
        status = self.core.read_namespaced_pod("lab", self.name).status
        for each in (*(status.init_container_statuses or ()), *(status.container_statuses or ())):
            if each.state.waiting:
                return str(each.state.waiting.reason)
        return None

    def events(self, name: str = "lab") -> list[client.CoreV1Event]:
        """The kubelet's events of a pod, in the order in which they were written."""
        selector = f"involvedObject.name={name}"
        found = self.core.list_namespaced_event(self.name, field_selector=selector).items
        return sorted(
            (event for event in found if event.source.component == "kubelet"),
            key=lambda event: int(event.metadata.resource_version),
        )

    def reasons(self, name: str = "lab") -> list[str]:
        """The reasons of those events."""
        return [event.reason for event in self.events(name)]


def has_service_account(core: client.CoreV1Api, namespace: str) -> bool:
    """Whether pods may be created there."""
    names = core.list_namespaced_service_account(namespace).items
    return "default" in [account.metadata.name for account in names]

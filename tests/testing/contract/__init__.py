"""What is asked of the embedded server and of a real one, and what the real one said.

A scenario is a function that asks; `SCENARIOS` has them by name, `play` plays one.
What a real control plane answered is in ``recordings/``, one file a scenario and one
line an answer; ``python -m tests.testing.contract`` records it anew.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from . import objects, pods, reading, refused, serving, writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .api import Api

SCENARIOS: dict[str, Callable[[Api], None]] = {
    each.__name__: each
    for each in (
        objects.namespaces,
        objects.held_namespace,
        objects.namespace_with_pod,
        objects.config_maps,
        objects.other_kinds,
        objects.finalizers,
        pods.pods,
        pods.pod_deletion,
        pods.scheduling,
        pods.start_of_pod,
        reading.lists,
        reading.watches,
        writing.patches,
        writing.quotas,
        writing.refusals,
        writing.late_controllers,
        refused.refused_config,
        refused.refused_network,
        refused.refused_access,
        refused.refused_pods,
        refused.warnings,
        refused.changes,
        serving.discovery,
        serving.logs,
        serving.custom_resources,
        serving.all_namespaces,
        serving.bookmarks,
        # The last, as the real server is restarted for it, and its controllers catch up later.
        reading.expired_versions,
    )
}


def play(scenario: str, api: Api) -> None:
    """Ask what a scenario asks, and delete its namespace."""
    # What kubelets write is not part of the contract, except for the events of a start.
    with_kubelet = SCENARIOS[scenario] is pods.start_of_pod
    kubelet: AbstractContextManager[None]
    kubelet = nullcontext() if with_kubelet else api.server.paused_kubelet()
    with kubelet:
        SCENARIOS[scenario](api)
    api.ask("DELETE", f"/api/v1/namespaces/{api.namespace}", kept=False)

"""The real server, and what it said."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubernetes import client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from tests.plane.remote import Cluster

FOLDER = Path(__file__).with_name("recordings")


class RealServer:
    """A control plane, as the scenarios see it."""

    def __init__(self, plane: Cluster) -> None:
        self.host: str = plane.host
        self.ca_file = str(plane.ca_file)
        self.token = plane.token
        self._plane = plane

    def expire_versions(self) -> object:
        """Have all resource versions of before answered by 410."""
        return self._plane.expire_versions()

    def paused_kubelet(self) -> AbstractContextManager[None]:
        """Have pods neither start nor go meanwhile."""
        return self._plane.pause_kubelet()

    @contextmanager
    def custom_resource(
        self, plural: str, kind: str, group: str, schema: dict[str, Any]
    ) -> Iterator[None]:
        """Define a custom resource with a status, and take it back."""
        name = f"{plural}.{group}"
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": schema},
        }
        names = {"plural": plural, "singular": kind.lower(), "kind": kind}
        spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
        definition = {"metadata": {"name": name}, "spec": spec}
        with self._plane.api_client() as admin:
            extensions = client.CustomObjectsApi(admin)
            place = ("apiextensions.k8s.io", "v1", "customresourcedefinitions")
            head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
            extensions.create_cluster_custom_object(*place, {**head, **definition})
            try:
                yield
            finally:
                extensions.delete_cluster_custom_object(*place, name)

    def paused_controllers(self) -> AbstractContextManager[None]:
        """Neither ServiceAccounts are made nor quotas counted."""
        return self._plane.pause_controller_manager()


def recorded(scenario: str) -> list[dict[str, Any]]:
    """What the real server said in a scenario."""
    lines = (FOLDER / f"{scenario}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]

"""Plain HTTP against an embedded server, without the official client between."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab_storage.testing import EmbeddedServer

SECONDS = 10.0
MERGE = "application/merge-patch+json"
#: The API groups of the resources outside of the core group.
GROUPS = {
    "ingresses": "networking.k8s.io",
    "networkpolicies": "networking.k8s.io",
    "poddisruptionbudgets": "policy",
    "rolebindings": "rbac.authorization.k8s.io",
    "roles": "rbac.authorization.k8s.io",
}


class Plain:
    """Asks an embedded server, in the namespace ``lab`` unless another is given."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.pool = urllib3.PoolManager(retries=False, timeout=SECONDS, maxsize=300)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Make a request, and give the status and the body."""
        response = self.send(method, path, body, **headers)
        return response.status, json.loads(response.data)

    def send(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        """Make a request."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent.setdefault("Authorization", f"Bearer {self.server.token()}")
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return self.pool.request(method, self.server.host + path, body=data, headers=sent)

    def make_namespace(self, name: str = "lab") -> None:
        """Create a namespace, and wait for its ServiceAccount."""
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        self.wait_for(f"/api/v1/namespaces/{name}/serviceaccounts", "default")

    def make(self, resource: str, name: str = "x", **content: Any) -> Any:
        """Create an object that has to be taken, and give it."""
        metadata = {"name": name, **content.pop("metadata", {})}
        status, made = self.ask("POST", in_lab(resource), {"metadata": metadata, **content})
        assert status == 201, made
        return made

    def make_pod(self, name: str = "x", start: str | None = None, **spec: Any) -> Any:
        """Create a pod, and give it."""
        annotations = {} if start is None else {"lab-storage.test/start": start}
        containers = [{"name": "notebook", "image": "lab:1"}]
        init = [{"name": "init", "image": "init:1"}] if start == "init-crash" else []
        spec = {"containers": containers, "initContainers": init, **spec}
        return self.make("pods", name, metadata={"annotations": annotations}, spec=spec)

    @contextlib.contextmanager
    def watch(self, path: str, query: str = "") -> Iterator[Iterator[Any]]:
        """Watch, and give the events as they come."""
        target = f"{self.server.host}{path}?watch=1&{query}"
        headers = {"Authorization": f"Bearer {self.server.token()}"}
        response = self.pool.request("GET", target, headers=headers, preload_content=False)
        try:
            assert response.status == 200, response.read()
            yield (json.loads(line) for line in response)
        finally:
            response.close()

    def wait_for(
        self, path: str, name: str, condition: Callable[[Any], object] = lambda _: True
    ) -> Any:
        """Watch until a condition on an object holds, and give the object."""
        with self.watch(path, f"fieldSelector=metadata.name%3D{name}") as events:
            for event in events:
                if event["type"] != "DELETED" and condition(event["object"]):
                    return event["object"]
        raise AssertionError(f"the watch of {name} has ended")

    def wait_until_gone(self, path: str, name: str) -> None:
        """Watch until an object is deleted, if it is there."""
        status, found = self.ask("GET", f"{path}/{name}")
        if status == 404:
            return
        version = found["metadata"]["resourceVersion"]
        query = f"fieldSelector=metadata.name%3D{name}&resourceVersion={version}"
        with self.watch(path, query) as events:
            assert any(event["type"] == "DELETED" for event in events)


def in_lab(resource: str, name: str | None = None) -> str:
    """The path of a resource in the namespace ``lab``, or of an object."""
    group = GROUPS.get(resource)
    start = f"/apis/{group}/v1" if group else "/api/v1"
    return f"{start}/namespaces/lab/{resource}" + (f"/{name}" if name else "")

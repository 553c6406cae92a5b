"""A server within the program, pods on it, and storages that follow them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import urllib3
from kubernetes import client

from lab_storage import LabObjectNames, LabStorage, LiveLabStorage, PodPhase
from lab_storage.testing import EmbeddedServer
from tests.support.labs import timeout_of

PATIENCE_SECONDS = 20.0


def names(user: str) -> LabObjectNames:
    """The names of a user's lab."""
    return LabObjectNames(user, f"lab-{user}", "lab-env", "lab-quota", "lab")


class World:
    """A server, and what is done on it behind the storage's back."""

    def __init__(self, server: EmbeddedServer, core: client.CoreV1Api) -> None:
        self.server = server
        self.core = core

    def make(self, *users: str, namespace: str | None = None, **labels: str) -> None:
        """Make a pod that stays Pending in a namespace of its own for each user."""
        for user in users:
            place = namespace or f"lab-{user}"
            if namespace is None:
                self.core.create_namespace({"metadata": {"name": place}})
            self.create_pod(place, "lab" if namespace is None else user, **labels)

    def create_pod(self, namespace: str, name: str = "lab", **labels: str) -> None:
        """Create a pod that stays Pending."""
        annotations = {"lab-storage.test/start": "pending"}
        manifest = {
            "metadata": {"name": name, "annotations": annotations, "labels": labels},
            "spec": {"containers": [{"name": "notebook", "image": "notebook:1"}]},
        }
        until = time.monotonic() + PATIENCE_SECONDS
        while not self.core.list_namespaced_service_account(namespace).items:
            assert time.monotonic() < until, "no ServiceAccount"
            time.sleep(0.005)
        self.core.create_namespaced_pod(namespace, manifest)

    def say(self, user: str, phase: str, **status: Any) -> None:
        """Write the status of a pod."""
        response = urllib3.request(
            "PATCH",
            f"{self.server.host}/api/v1/namespaces/lab-{user}/pods/lab/status",
            json={"status": {"phase": phase, **status}},
            headers={
                "Authorization": f"Bearer {self.server.token('admin')}",
                "Content-Type": "application/merge-patch+json",
            },
        )
        assert 200 == response.status, response.data

    def delete(self, user: str) -> None:
        """Delete a pod at once."""
        self.core.delete_namespaced_pod("lab", f"lab-{user}", grace_period_seconds=0)

    def count(self, user: str = "lab", **query: str) -> int:
        """Count the requests for pods, of a verb perhaps, that were made as that user."""
        return sum(
            request.user == user
            and request.resource == "pods"
            and all(getattr(request, key) == value for key, value in query.items())
            for request in self.server.requests
        )


@pytest.fixture
def world() -> Iterator[World]:
    """A server without pods."""
    with EmbeddedServer() as server, server.api_client("admin") as admin:
        yield World(server, client.CoreV1Api(admin))


LiveOf = Callable[..., LiveLabStorage]


@pytest.fixture
def live_of(world: World, logger: Any) -> Iterator[LiveOf]:
    """Makes a live storage; arguments are those of `LabStorage.live`."""
    storages: list[LiveLabStorage] = []
    clients: list[client.ApiClient] = []

    def make(prefix: str = "lab-", *, max_age: float = 10.0, **options: Any) -> LiveLabStorage:
        api_client = world.server.api_client("lab")
        clients.append(api_client)
        age = timedelta(seconds=max_age)
        observer = options.pop("observer", None)
        storage = LabStorage(api_client, logger, observer=observer)
        live = storage.live(prefix, max_age=age, **options)
        storages.append(live)
        return live

    yield make
    for storage in storages:
        storage.close()
    for api_client in clients:
        api_client.close()


@pytest.fixture
def live(live_of: LiveOf) -> LiveLabStorage:
    """Follows the labs, and knows them."""
    storage = live_of()
    storage.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    return storage


def eventually(expected: Any, get: Any) -> None:
    """Wait until something is the case."""
    until = time.monotonic() + PATIENCE_SECONDS
    while get() != expected and time.monotonic() < until:
        time.sleep(0.01)
    assert expected == get()


def read(live: LabStorage, user: str, seconds: float = PATIENCE_SECONDS) -> PodPhase | None:
    """Read the phase of a user's pod."""
    return live.read_pod_phase(names(user), timeout_of(seconds))

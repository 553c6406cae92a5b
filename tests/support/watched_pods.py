"""Pods on a real API server, and waits for their start."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from kubernetes import client

from lab_storage import FAIL_FAST, LabStorage, PodPhase, PodStartError, Timeout
from lab_storage.testing._pods.courses import START_ANNOTATION as START
from tests.plane.programs import NODE
from tests.plane.remote import Cluster
from tests.support.labs import timeout_of

PATIENCE_SECONDS = 90.0

Outcome = PodPhase | str | None


class Namespace:
    """A namespace of one test, and what is done in it behind the storage's back."""

    def __init__(self, core: client.CoreV1Api, name: str) -> None:
        self.core = core
        self.name = name

    def create_pod(self, name: str, story: str = "pending") -> None:
        """Create a pod that fares as the story says.

        It is bound to its node from the start. kube-scheduler, which has a pod bound, ends itself
        when it finds another in that pod's place that is not, after it could not listen.
        """
        manifest = {
            "metadata": {"name": name, "annotations": {START: story}},
            "spec": {
                "containers": [{"name": "notebook", "image": "notebook:1"}],
                "nodeName": NODE,
                "terminationGracePeriodSeconds": 1,
            },
        }
        self.core.create_namespaced_pod(self.name, manifest)

    def start_pod(self, name: str) -> None:
        """Have it run, as its kubelet would say."""
        self.core.patch_namespaced_pod_status(name, self.name, {"status": {"phase": "Running"}})

    def delete_pod(self, name: str) -> None:
        """Have it gone at once."""
        self.core.delete_namespaced_pod(name, self.name, grace_period_seconds=0)

    def create_event(self, pod: str, message: str) -> None:
        """Say something about a pod."""
        uid = self.core.read_namespaced_pod(pod, self.name).metadata.uid
        involved = {"kind": "Pod", "namespace": self.name, "name": pod, "uid": uid}
        manifest = {
            "metadata": {"name": f"{pod}.{secrets.token_hex(8)}"},
            "involvedObject": involved,
            "message": message,
        }
        self.core.create_namespaced_event(self.name, manifest)


@pytest.fixture
def namespace(control_plane: Cluster) -> Iterator[Namespace]:
    """A namespace in which pods may be created."""
    name = f"watch-{secrets.token_hex(4)}"
    with control_plane.api_client() as admin:
        core = client.CoreV1Api(admin)
        core.create_namespace({"metadata": {"name": name}})
        # The controller that makes it is late after a disaster.
        with contextlib.suppress(client.ApiException):
            core.create_namespaced_service_account(name, {"metadata": {"name": "default"}})
        yield Namespace(core, name)
        # A test may have deleted it.
        with contextlib.suppress(client.ApiException):
            core.delete_namespace(name)


def wait(
    storage: LabStorage, namespace: Namespace, name: str, timeout: Timeout | None = None
) -> Outcome:
    """Wait for a pod's start; the reason, where it cannot start."""
    timeout = timeout or timeout_of(PATIENCE_SECONDS)
    try:
        return storage.wait_for_pod_start(name, namespace.name, timeout, fail_fast=FAIL_FAST)
    except PodStartError as error:
        return error.reason


def outcomes(waits: dict[str, Future[Outcome]]) -> dict[str, Outcome]:
    """Give what each wait came to."""
    return {name: future.result() for name, future in waits.items()}


@contextlib.contextmanager
def waiting(
    storage: LabStorage, namespace: Namespace, names: list[str]
) -> Iterator[dict[str, Future[Outcome]]]:
    """Wait for the start of each pod in a thread of its own."""
    timeout = timeout_of(PATIENCE_SECONDS)
    with ThreadPoolExecutor(len(names)) as threads:
        try:
            yield {name: threads.submit(wait, storage, namespace, name, timeout) for name in names}
        finally:
            timeout.cancel()

"""Labs at a glance: what is listed, in which order, by how many requests."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
import structlog
from kubernetes import client

from lab_storage import LabStorage, LabSummary, PodPhase, PodSummary
from lab_storage.testing import Answer, EmbeddedServer
from tests.support.fixtures import StorageOf
from tests.support.labs import lab_of, timeout_of
from tests.support.villain import Villain, json_answer


def test_pods_are_selected_and_all_namespaces_are_listed(logger: Any) -> None:
    """Sorted by name, by two requests, and only those that begin with the prefix."""
    with EmbeddedServer() as server, server.api_client("admin") as admin:
        core = client.CoreV1Api(admin)
        for namespace in ("lab-zoe", "other", "lab-ada"):
            core.create_namespace({"metadata": {"name": namespace}})
        for name, labels in ("b", {"app": "lab"}), ("c", {"app": "job"}), ("a", {"app": "lab"}):
            metadata = {
                "name": name,
                "labels": labels,
                "annotations": {"lab-storage.test/start": "pending"},
            }
            containers = [{"name": "notebook", "image": "notebook:1"}]
            spec = {"containers": containers, "serviceAccountName": "lab"}
            if name == "b":
                core.create_namespaced_service_account("lab-ada", {"metadata": {"name": "lab"}})
            core.create_namespaced_pod("lab-ada", {"metadata": metadata, "spec": spec})
        with server.api_client("lab") as api_client, LabStorage(api_client, logger) as storage:
            labs = storage.list_labs("lab-", timeout_of(20), label_selector="app=lab")
        sent = [str(request.resource) for request in server.requests if request.user == "lab"]

    assert [("lab-ada", ["a", "b"]), ("lab-zoe", [])] == [
        (lab.namespace, [pod.name for pod in lab.pods]) for lab in labs
    ]
    assert ["namespaces", "pods"] == sorted(sent)


EPOCH = datetime.fromtimestamp(0, timezone.utc)


@pytest.mark.parametrize("metadata", [None, {}, {"resourceVersion": ""}], ids=str)
def test_list_without_a_version_is_a_list(storage_of: StorageOf, metadata: Any) -> None:
    """No version is needed for what is listed once; null is an empty list."""
    with Villain(json_answer({"kind": "List", "metadata": metadata, "items": None})) as villain:
        assert [] == storage_of(villain).list_labs("lab-", timeout_of(5))
        assert 2 == len(villain.requests)


def test_pages_have_the_size_of_what_is_in_them(storage_of: StorageOf) -> None:
    """Metadata alone is small: 10,000 labs are listed by 25 requests, not by 40."""
    with Villain(json_answer({"kind": "List", "metadata": {}, "items": []})) as villain:
        storage_of(villain).list_labs("lab-", timeout_of(5))
        paths = sorted(request.target for request in villain.requests)
    assert ["/api/v1/namespaces?limit=2000", "/api/v1/pods?limit=500"] == paths


def test_odd_objects_in_a_list_do_no_harm(storage_of: StorageOf) -> None:
    """What has no name is left out; what says nothing of itself is unknown."""
    items = [
        {"metadata": {"name": "lab-a", "namespace": "lab-a", "uid": "1"}, "status": None},
        None,
        5,
        {},
    ]
    with Villain(json_answer({"kind": "List", "metadata": {}, "items": items})) as villain:
        labs = storage_of(villain).list_labs("lab-", timeout_of(5))

    pod = PodSummary("lab-a", "1", PodPhase.UNKNOWN, False, False, EPOCH)
    assert [LabSummary("lab-a", "1", EPOCH, False, (pod,))] == labs


def test_labs_of_one_namespace_need_no_list_of_namespaces() -> None:
    """A Role may allow to read the namespace that it is in, and cannot allow to list them."""
    with (
        EmbeddedServer() as server,
        LabStorage(server.api_client(), structlog.get_logger()) as storage,
    ):
        storage.create(lab_of(), timeout_of(20))
        server.add_fault(Answer(403), verb="list", resource="namespaces", times=None)
        with storage.live(namespace="lab-jovyan") as live:
            labs = live.list_labs("lab-", timeout_of(20))
        with storage.live(namespace="nowhere") as live:
            nowhere = live.list_labs("", timeout_of(20))
    assert ["lab-jovyan"] == [each.namespace for each in labs]
    assert ["lab"] == [each.name for each in labs[0].pods]
    assert [] == nowhere

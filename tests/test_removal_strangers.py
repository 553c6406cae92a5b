"""What keeps a namespace that `delete_objects` would delete: whatever is not of that lab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import structlog
from kubernetes import client

from lab_storage import KubernetesError, LabObjectNames, LabObjects, LabStorage
from lab_storage._api import deletion, request
from lab_storage.testing import Answer, EmbeddedServer
from tests.support.labs import lab_of, names_of, timeout_of

SECONDS = 20.0
NAMESPACE = "lab-jovyan"
WIDGET = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """An API server with a custom kind."""
    with EmbeddedServer() as server:
        server.add_custom_resource("widgets", "Widget", "example.com")
        yield server


@pytest.fixture
def core(server: EmbeddedServer) -> client.CoreV1Api:
    """What others do with it."""
    return client.CoreV1Api(server.api_client())


@pytest.fixture
def custom(server: EmbeddedServer) -> client.CustomObjectsApi:
    """What others do with custom resources."""
    return client.CustomObjectsApi(server.api_client())


@pytest.fixture
def storage(server: EmbeddedServer) -> Iterator[LabStorage]:
    """A storage of it."""
    with LabStorage(server.api_client(), structlog.get_logger()) as storage:
        yield storage


def namespaces(storage: LabStorage) -> list[str]:
    """The namespaces of the labs."""
    return storage.list_namespaces("lab-", timeout_of(SECONDS))


def make_widget(custom: client.CustomObjectsApi) -> None:
    """Make somebody's custom resource in the lab's namespace."""
    custom.create_namespaced_custom_object("example.com", "v1", NAMESPACE, "widgets", WIDGET)


def test_list_that_the_server_has_forgotten_is_listed_again(
    server: EmbeddedServer, storage: LabStorage
) -> None:
    """A 410 between two pages of what a namespace has is not the end of a deletion."""
    storage.create(lab_of(), timeout_of(SECONDS))
    server.add_fault(Answer(410), verb="list", resource="secrets", times=1)
    storage.delete_objects(lab_of(), timeout_of(SECONDS))
    assert [] == namespaces(storage)


def test_what_controllers_make_in_each_namespace_keeps_nothing(
    storage: LabStorage, core: client.CoreV1Api
) -> None:
    """Those of OpenShift, Istio and GKE, besides Kubernetes' own."""
    storage.create(lab_of(), timeout_of(SECONDS))
    for name in ("istio-ca-root-cert", "openshift-service-ca.crt"):
        core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": name}})
    for name in ("builder", "deployer"):
        core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": name}})
    quota = {"metadata": {"name": "gke-resource-quotas"}, "spec": {"hard": {"pods": "1500"}}}
    core.create_namespaced_resource_quota(NAMESPACE, quota)
    storage.delete_objects(lab_of(), timeout_of(SECONDS))
    assert [] == namespaces(storage)


def test_custom_resource_of_others_keeps_the_namespace(
    storage: LabStorage, custom: client.CustomObjectsApi
) -> None:
    """Though its kind is not among those of the lab."""
    storage.create(lab_of(), timeout_of(SECONDS))
    make_widget(custom)
    storage.delete_objects(lab_of(), timeout_of(SECONDS))
    assert [NAMESPACE] == namespaces(storage)
    found: Any = custom.list_namespaced_custom_object("example.com", "v1", NAMESPACE, "widgets")
    assert ["w"] == [each["metadata"]["name"] for each in found["items"]]


def test_kind_beyond_those_of_the_lab_that_may_not_be_listed_keeps_nothing(
    storage: LabStorage, server: EmbeddedServer, custom: client.CustomObjectsApi
) -> None:
    """The documented role lists no other kinds."""
    storage.create(lab_of(), timeout_of(SECONDS))
    make_widget(custom)
    server.forbid(verb="list", resource="widgets")
    storage.delete_objects(lab_of(), timeout_of(SECONDS))
    assert [] == namespaces(storage)


def test_kind_of_a_lab_that_may_not_be_listed_is_an_error_after_the_rest_is_gone(
    storage: LabStorage, server: EmbeddedServer, core: client.CoreV1Api
) -> None:
    """Nobody knows whether there is a claim of others."""
    storage.create(lab_of(), timeout_of(SECONDS))
    remove_rule = server.forbid(verb="list", resource="roles")
    with pytest.raises(KubernetesError) as error:
        storage.delete_objects(lab_of(), timeout_of(SECONDS))
    assert (403, "Role") == (error.value.status, error.value.kind)
    assert [] == core.list_namespaced_secret(NAMESPACE).items
    assert [NAMESPACE] == namespaces(storage)
    remove_rule()
    storage.delete_objects(lab_of(), timeout_of(SECONDS))
    assert [] == namespaces(storage)


def test_another_lab_in_the_namespace_keeps_it(storage: LabStorage) -> None:
    """The library made that too, and nobody asked for its end."""
    storage.create(lab_of(), timeout_of(SECONDS))
    names = LabObjectNames("ada", NAMESPACE, "env-ada", "quota-ada", "ada")
    env = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "env-ada"}}
    resources = {"cpu": "100m", "memory": "64Mi"}
    container = {
        "name": "notebook",
        "image": "notebook:1",
        "resources": {"limits": resources, "requests": resources},
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ada"}}
    other = LabObjects.from_manifests(
        [env, {**pod, "spec": {"containers": [container]}}], names, shared_namespace=True
    )
    storage.delete_pod(names_of(), timeout_of(SECONDS))  # the quota has room for one
    storage.create(other, timeout_of(SECONDS))
    storage.delete_objects(lab_of(), timeout_of(SECONDS))
    assert storage.read_pod_phase(names, timeout_of(SECONDS)) is not None
    storage.delete_objects(other, timeout_of(SECONDS))
    assert [NAMESPACE] == namespaces(storage)


def test_what_objects_of_other_kinds_own_is_deleted_with_them(
    storage: LabStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default, the pods of a deleted Job would run on, without an owner."""
    sent: list[dict[str, Any]] = []

    def to_body(content: dict[str, Any]) -> memoryview:
        sent.append(content)
        return request.to_body(content)

    monkeypatch.setattr(deletion, "to_body", to_body)
    lab = attrs.evolve(lab_of(), others=[WIDGET])
    storage.create(lab, timeout_of(SECONDS))
    storage.delete_objects(lab, timeout_of(SECONDS), keep=("PersistentVolumeClaim",))
    policies = [each["propagationPolicy"] for each in sent if "propagationPolicy" in each]
    assert ["Background"] == policies

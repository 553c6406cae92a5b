"""What a real API server says to creations, and what comes of it."""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from kubernetes import client
from structlog.testing import LogCapture

from lab_storage import KubernetesError, LabStorage
from lab_storage._api import creation
from lab_storage._api.answer import Answer
from lab_storage._api.call import Call, is_missing
from lab_storage._api.client import Client
from lab_storage._api.creation import manager_of
from lab_storage._api.request import Request
from lab_storage._manifests.kinds import CONFIG_MAP, NETWORK_POLICY, POD, SECRET, Kind
from lab_storage._manifests.sealed import Sealed
from tests.plane.remote import Cluster
from tests.support.cluster import eventually
from tests.support.labs import lab_of, names_of, timeout_of

MANAGER = manager_of("lab-start-4711")


@pytest.fixture
def admin(control_plane: Cluster) -> Iterator[client.ApiClient]:
    """A client that may do everything."""
    with control_plane.api_client() as api_client:
        yield api_client


@pytest.fixture
def namespace(admin: client.ApiClient) -> Iterator[str]:
    """A namespace of this test's own, whose end is not waited for."""
    name = f"creation-{secrets.token_hex(4)}"
    core = client.CoreV1Api(admin)
    core.create_namespace({"metadata": {"name": name}})
    yield name
    with contextlib.suppress(client.ApiException):
        core.delete_namespace(name)


@pytest.fixture
def log() -> LogCapture:
    """What was logged."""
    return LogCapture()


@pytest.fixture
def call(admin: client.ApiClient, log: LogCapture) -> Call:
    """A call of the library by somebody who may do everything."""
    logger = structlog.wrap_logger(None, processors=[log], wrapper_class=structlog.BoundLogger)
    return Call(Client(admin), timeout_of(60), logger)


def create(call: Call, kind: Kind, namespace: str, *, again: bool = False, **content: Any) -> bool:
    """Create an object, or find it again."""
    metadata = {"name": "thing", "namespace": namespace, **content.pop("metadata", {})}
    manifest = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
    sealed = Sealed({**manifest, **content})
    return creation.create(call, kind, sealed, MANAGER, may_exist=again)


def test_own_object_is_known_after_many_have_written_to_it(
    admin: client.ApiClient, call: Call, namespace: str
) -> None:
    """The server keeps ten managers, by the second they wrote in; the rest are ancient changes."""
    assert create(call, CONFIG_MAP, namespace, data={"a": "b"})
    core = client.CoreV1Api(admin)
    numbers = itertools.count()

    def is_forgotten() -> bool:
        number = next(numbers)
        written = core.patch_namespaced_config_map(
            "thing",
            namespace,
            {"metadata": {"labels": {f"label-{number}": "x"}}},
            field_manager=f"controller-{number}",
        )
        managers = {field.manager for field in written.metadata.managed_fields}
        return "ancient-changes" in managers and MANAGER not in managers

    eventually(is_forgotten)
    assert not create(call, CONFIG_MAP, namespace, again=True, data={"a": "b"})


@pytest.mark.parametrize("kind", [CONFIG_MAP, SECRET, POD, NETWORK_POLICY], ids=lambda k: k.name)
def test_missing_object_is_named_by_the_refusal(call: Call, namespace: str, kind: Kind) -> None:
    """By its plural, its name and the reason, in a Status."""
    request = Request("GET", kind, namespace, "nothing")
    answer = call.attempt(request)

    assert (404, "NotFound") == (answer.status, answer.reason)
    details = answer.details["details"]
    assert ("nothing", kind.plural) == (details["name"], details["kind"])
    assert is_missing(answer, request)


def test_resource_that_the_server_does_not_have_is_not_a_missing_object(
    call: Call, namespace: str
) -> None:
    """It is refused with 404 too."""
    for kind in (
        Kind("Thing", "v1", "things", ""),
        Kind("Thing", "no.example/v1", "things", ""),
        Kind("Thing", "apps/v7", "things", ""),
    ):
        request = Request("GET", kind, namespace, "nothing")
        answer = call.attempt(request)
        assert 404 == answer.status
        assert not is_missing(answer, request)


def test_creation_in_a_namespace_that_does_not_exist_is_refused(call: Call) -> None:
    """With a 404 about the namespace, which is not about the object."""
    with pytest.raises(KubernetesError) as caught:
        create(call, CONFIG_MAP, "nowhere-at-all")
    assert (404, "NotFound", 'namespaces "nowhere-at-all" not found') == (
        caught.value.status,
        caught.value.reason,
        caught.value.message,
    )


def test_field_that_the_server_does_not_know_is_an_error(call: Call, namespace: str) -> None:
    """It is not dropped, and the text says which it is."""
    with pytest.raises(KubernetesError, match='unknown field "dato"') as caught:
        create(call, CONFIG_MAP, namespace, dato={"a": "b"})
    assert (400, "BadRequest") == (caught.value.status, caught.value.reason)


def test_warning_of_the_server_is_logged(call: Call, namespace: str, log: LogCapture) -> None:
    """Such as that of a label which is deprecated."""
    spec = {
        "nodeSelector": {"beta.kubernetes.io/os": "plan9"},
        "containers": [{"name": "notebook", "image": "notebook:1"}],
    }
    assert create(call, POD, namespace, spec=spec)

    warnings = [entry for entry in log.entries if "warning" in entry]
    assert [("Pod", namespace, "thing")] == [
        (entry["kind"], entry["namespace"], entry["name"]) for entry in warnings
    ]
    assert "beta.kubernetes.io/os" in warnings[0]["warning"]


@pytest.mark.parametrize("megabytes", [1.6, 2.5])
def test_object_that_is_too_large_is_refused_once(
    call: Call, namespace: str, log: LogCapture, megabytes: float
) -> None:
    """By etcd, or by its client; both are status 500, and neither passes."""
    env = [{"name": "LARGE", "value": "x" * int(megabytes * 1_000_000)}]
    spec = {"containers": [{"name": "notebook", "image": "notebook:1", "env": env}]}
    with pytest.raises(KubernetesError) as caught:
        create(call, POD, namespace, spec=spec)

    assert 500 == caught.value.status
    # The ServiceAccount may have been late, which is another matter.
    refused = [entry for entry in log.entries if entry.get("status") == 500]
    assert [] == refused


@pytest.mark.usefixtures("lab_role")
def test_lab_is_made_anew_while_it_is_being_deleted(
    control_plane: Cluster, admin: client.ApiClient
) -> None:
    """A repeat of the operation waits until the old one is gone."""
    user = f"jovyan-{secrets.token_hex(4)}"
    names = names_of(user)
    core = client.CoreV1Api(admin)
    with (
        control_plane.api_client("lab") as api_client,
        LabStorage(api_client, structlog.get_logger()) as storage,
    ):
        storage.create(lab_of(user), timeout_of(60, user), operation_id="once")
        uid = core.read_namespace(names.namespace).metadata.uid
        core.delete_namespace(names.namespace)
        storage.create(lab_of(user), timeout_of(90, user), operation_id="once")

        found = core.read_namespace(names.namespace).metadata
        assert uid != found.uid
        assert found.deletion_timestamp is None
        assert storage.read_pod_phase(names, timeout_of(10, user)) is not None
        core.delete_namespace(names.namespace)


def test_answers_are_read_whole(call: Call, namespace: str) -> None:
    """A list of many objects, in chunks."""
    for number in range(3):
        create(
            call,
            CONFIG_MAP,
            namespace,
            metadata={"name": f"large-{number}"},
            data={"a": "x" * 900_000},
        )
    request = Request("GET", CONFIG_MAP, namespace, collection=True)
    assert 2_700_000 < len(str(call.request(request, Answer.read_list)))

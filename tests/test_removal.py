"""Labs that are stopped and started again: `delete_objects`, and ``keep_existing``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
import requests
import structlog
from kubernetes import client

from lab_storage import KubernetesError, LabObjects, LabStorage, OperationTimeoutError
from lab_storage.testing import Answer, EmbeddedServer
from tests.support.labs import lab_of, shared_lab_of, timeout_of

SECONDS = 20.0
CLAIM = "PersistentVolumeClaim"
NAMESPACE = "lab-jovyan"
# Each takes the pod's grace period, a second.
CYCLES = 4


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """An API server."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def core(server: EmbeddedServer) -> client.CoreV1Api:
    """What others do with it."""
    return client.CoreV1Api(server.api_client())


@pytest.fixture
def storage(server: EmbeddedServer) -> Iterator[LabStorage]:
    """A storage of it."""
    with LabStorage(server.api_client(), structlog.get_logger()) as storage:
        yield storage


@pytest.fixture(params=["own namespace", "shared namespace"])
def lab(request: pytest.FixtureRequest, core: client.CoreV1Api) -> LabObjects:
    """The example lab, in a namespace of its own or in one that exists."""
    if request.param == "own namespace":
        return lab_of()
    core.create_namespace({"metadata": {"name": NAMESPACE}})
    return shared_lab_of()


def claims(core: client.CoreV1Api) -> dict[str, str]:
    """The UIDs of the claims, by name."""
    items = core.list_namespaced_persistent_volume_claim(NAMESPACE).items
    return {each.metadata.name: each.metadata.uid for each in items}


def left(core: client.CoreV1Api) -> list[str]:
    """The names of what is left of a lab, but for its claims."""
    lists = [
        core.list_namespaced_pod,
        core.list_namespaced_secret,
        core.list_namespaced_service,
        core.list_namespaced_resource_quota,
        core.list_namespaced_config_map,
    ]
    names = [each.metadata.name for list_ in lists for each in list_(NAMESPACE).items]
    return [name for name in names if name != "kube-root-ca.crt"]


def set_finalizers(core: client.CoreV1Api, path: str, finalizers: list[str] | None) -> None:
    """Change the finalizers of an object, by a merge patch, which clients send differently."""
    configuration = core.api_client.configuration
    answer = requests.patch(
        f"{configuration.host}/api/v1/namespaces/{NAMESPACE}/{path}",
        data=json.dumps({"metadata": {"finalizers": finalizers}}),
        headers={
            "Content-Type": "application/merge-patch+json",
            "Authorization": configuration.api_key["authorization"],
        },
        timeout=SECONDS,
    )
    answer.raise_for_status()


class TestStopAndStart:
    """A lab whose claims stay."""

    def test_claims_stay_over_many_cycles(
        self, storage: LabStorage, core: client.CoreV1Api, lab: LabObjects
    ) -> None:
        """They keep their UIDs, and so their data; all else is made anew."""
        seen = []
        for _ in range(CYCLES):
            storage.create(lab, timeout_of(SECONDS), keep_existing=(CLAIM,))
            seen.append(claims(core))
            storage.delete_objects(lab, timeout_of(SECONDS), keep=(CLAIM,))
            assert [] == left(core)
        assert [seen[0]] * CYCLES == seen
        assert ["lab-scratch"] == list(seen[0])

    def test_namespace_and_claim_of_another_tool_are_used_and_stay(
        self, storage: LabStorage, core: client.CoreV1Api
    ) -> None:
        """As the guide for users of kubespawner says, where each user had a namespace."""
        core.create_namespace({"metadata": {"name": NAMESPACE}})
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        claim = {"metadata": {"name": "lab-scratch"}, "spec": spec}
        core.create_namespaced_persistent_volume_claim(NAMESPACE, claim)
        before, kept = claims(core), ("Namespace", CLAIM)
        for _ in range(2):
            storage.create(lab_of(), timeout_of(SECONDS), keep_existing=kept)
            storage.delete_objects(lab_of(), timeout_of(SECONDS), keep=kept)
        assert before == claims(core)
        assert [] == left(core)

    def test_next_start_takes_new_contents(
        self, storage: LabStorage, core: client.CoreV1Api, lab: LabObjects
    ) -> None:
        """Secrets and config maps are those of the lab that is started."""
        storage.create(lab, timeout_of(SECONDS))
        storage.delete_objects(lab, timeout_of(SECONDS), keep=(CLAIM,))
        lab.env_config_map.data["CONTAINER_SIZE"] = "large"
        storage.create(lab, timeout_of(SECONDS), keep_existing=(CLAIM,))
        data = core.read_namespaced_config_map("lab-env", NAMESPACE).data
        assert "large" == data["CONTAINER_SIZE"]

    def test_existing_object_of_another_kind_is_a_conflict(
        self, storage: LabStorage, core: client.CoreV1Api, lab: LabObjects
    ) -> None:
        """Only the kinds that are named are used as they are."""
        storage.create(lab, timeout_of(SECONDS))
        with pytest.raises(KubernetesError) as error:
            storage.create(lab, timeout_of(SECONDS), keep_existing=(CLAIM,))
        assert 409 == error.value.status
        assert CLAIM != error.value.kind
        assert ["lab-scratch"] == list(claims(core))

    def test_claim_that_is_being_deleted_is_made_anew(
        self, storage: LabStorage, core: client.CoreV1Api, lab: LabObjects
    ) -> None:
        """After its end, which is waited for."""
        storage.create(lab, timeout_of(SECONDS))
        storage.delete_objects(lab, timeout_of(SECONDS), keep=(CLAIM,))
        set_finalizers(core, "persistentvolumeclaims/lab-scratch", ["example.com/keep"])
        before = claims(core)
        core.delete_namespaced_persistent_volume_claim("lab-scratch", NAMESPACE)
        with ThreadPoolExecutor(1) as threads:
            made = threads.submit(storage.create, lab, timeout_of(SECONDS), keep_existing=(CLAIM,))
            assert not wait([made], 0.5).done
            set_finalizers(core, "persistentvolumeclaims/lab-scratch", None)
            made.result(SECONDS)
        assert before != claims(core)


class TestDeleteObjects:
    """What is deleted, and what is not."""

    def test_all_of_a_lab_goes(
        self, storage: LabStorage, core: client.CoreV1Api, lab: LabObjects
    ) -> None:
        """With its namespace, if that is its own."""
        storage.create(lab, timeout_of(SECONDS))
        storage.delete_objects(lab, timeout_of(SECONDS))
        is_own = lab.namespace is not None
        remaining = storage.list_namespaces(NAMESPACE, timeout_of(SECONDS))
        assert ([] if is_own else [NAMESPACE]) == remaining
        assert ([], {}) == (left(core), claims(core))

    def test_pod_goes_first(
        self, storage: LabStorage, server: EmbeddedServer, lab: LabObjects
    ) -> None:
        """Its end is waited for: it may still use the rest."""
        storage.create(lab, timeout_of(SECONDS))
        storage.delete_objects(lab, timeout_of(SECONDS), keep=(CLAIM,))
        deleted = [each.resource for each in server.requests if each.method == "DELETE"]
        assert "pods" == deleted[0]
        assert "pods" not in deleted[1:]
        assert "persistentvolumeclaims" not in deleted

    def test_what_others_made_is_named_and_stays(
        self, storage: LabStorage, core: client.CoreV1Api, lab: LabObjects
    ) -> None:
        """In one error, after the rest is gone."""
        storage.create(lab, timeout_of(SECONDS))
        for delete, create, name in (
            (core.delete_namespaced_secret, core.create_namespaced_secret, "lab-secrets"),
            (core.delete_namespaced_config_map, core.create_namespaced_config_map, "lab-nss"),
        ):
            delete(name, NAMESPACE)
            create(NAMESPACE, {"metadata": {"name": name}})
        with pytest.raises(KubernetesError) as error:
            storage.delete_objects(lab, timeout_of(SECONDS))
        assert 409 == error.value.status
        assert "Secret lab-jovyan/lab-secrets" in str(error.value)
        assert "ConfigMap lab-jovyan/lab-nss" in str(error.value)
        assert ["lab-nss", "lab-secrets"] == sorted(left(core))

    def test_namespace_with_something_of_others_stays(
        self, storage: LabStorage, core: client.CoreV1Api
    ) -> None:
        """Though it is not an object of the lab, and so nothing to be told of."""
        storage.create(lab_of(), timeout_of(SECONDS))
        core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "of-others"}})
        storage.delete_objects(lab_of(), timeout_of(SECONDS))
        assert ["of-others"] == left(core)

    def test_object_that_somebody_has_changed_is_still_ours(
        self, storage: LabStorage, core: client.CoreV1Api, lab: LabObjects
    ) -> None:
        """Whoever has written to it since."""
        storage.create(lab, timeout_of(SECONDS))
        core.patch_namespaced_config_map("lab-nss", NAMESPACE, {"data": {"passwd": "changed"}})
        storage.delete_objects(lab, timeout_of(SECONDS), keep=(CLAIM,))
        assert [] == left(core)

    def test_lab_that_is_not_there_is_success(self, storage: LabStorage, lab: LabObjects) -> None:
        """As for every deletion."""
        storage.delete_objects(lab, timeout_of(SECONDS))

    def test_timeout_says_what_stays(
        self, storage: LabStorage, core: client.CoreV1Api, lab: LabObjects
    ) -> None:
        """And what its finalizers are."""
        storage.create(lab, timeout_of(SECONDS))
        set_finalizers(core, "configmaps/lab-nss", ["example.com/keep"])
        with pytest.raises(OperationTimeoutError, match=r"example\.com/keep") as error:
            storage.delete_objects(lab, timeout_of(1.5), keep=(CLAIM,))
        assert "ConfigMap lab-jovyan/lab-nss is being deleted" in str(error.value)

    def test_what_may_not_be_read_is_not_deleted(
        self, storage: LabStorage, server: EmbeddedServer, lab: LabObjects
    ) -> None:
        """Nobody knows whose it is."""
        storage.create(lab, timeout_of(SECONDS))
        server.add_fault(Answer(403), verb="get", resource="secrets", times=None)
        with pytest.raises(KubernetesError) as error:
            storage.delete_objects(lab, timeout_of(SECONDS))
        assert 409 == error.value.status
        assert "Secret lab-jovyan/lab-secrets" in str(error.value)


@pytest.mark.parametrize(
    ("keep", "error", "text"),
    [
        (CLAIM, TypeError, "must be a collection of str, not a str"),
        (7, TypeError, "must be a collection of str, not a int"),
        ([7], TypeError, "must be a collection of str, not of int"),
        (
            ["PersistentVolumeClaims"],
            ValueError,
            r"has 'PersistentVolumeClaims', which is not a kind .*is it PersistentVolumeClaim\?",
        ),
        (["Deployment"], ValueError, "has 'Deployment', which is not a kind of this lab"),
    ],
)
def test_bad_kinds_are_refused_before_anything_is_sent(
    keep: Any, error: type[Exception], text: str, storage: LabStorage, server: EmbeddedServer
) -> None:
    """A typing error must not cost a volume."""
    with pytest.raises(error, match=f"^keep {text}"):
        storage.delete_objects(lab_of(), timeout_of(SECONDS), keep=keep)
    with pytest.raises(error, match=f"^keep_existing {text}"):
        storage.create(lab_of(), timeout_of(SECONDS), keep_existing=keep)
    assert () == tuple(server.requests)

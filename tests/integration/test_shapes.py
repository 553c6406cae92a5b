"""Labs in a shared namespace, and labs with objects of any kind, on a real control plane."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
import yaml
from kubernetes import client

from lab_storage import (
    KubernetesError,
    LabObjectNames,
    LabObjects,
    LabStorage,
    ManifestError,
    PodPhase,
)
from tests.plane.remote import Cluster
from tests.support.cluster import eventually
from tests.support.labs import timeout_of
from tests.support.shared import TENANT, shared_namespace

SECONDS = 60.0
LAB = """
apiVersion: v1
kind: ConfigMap
metadata: {name: env-USER}
data: {OWNER: USER}
---
apiVersion: v1
kind: Secret
metadata: {name: token-USER}
stringData: {token: not-a-token}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: claim-USER}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: nb-USER}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: notebook, image: "notebook:1"}]
"""
OTHERS = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: notebook}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: notebook}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: nb}
spec: {maxUnavailable: 0, selector: {matchLabels: {app: nb}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: nb}
spec: {defaultBackend: {service: {name: nb, port: {number: 8888}}}}
"""
JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: prepare}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: prepare, image: "notebook:1"}]
"""


def names_in(namespace: str, user: str) -> LabObjectNames:
    """The names of a user's lab in a shared namespace."""
    return LabObjectNames(user, namespace, f"env-{user}", f"quota-{user}", f"nb-{user}")


def shared_lab(namespace: str, user: str) -> LabObjects:
    """A lab in a shared namespace."""
    manifests = yaml.safe_load_all(LAB.replace("USER", user))
    return LabObjects.from_manifests(manifests, names_in(namespace, user), shared_namespace=True)


def lab_with(text: str, namespace: str) -> LabObjects:
    """A lab with a namespace of its own and further objects."""
    manifests = [*yaml.safe_load_all(LAB.replace("USER", "ada")), *yaml.safe_load_all(text)]
    return LabObjects.from_manifests(manifests, names_in(namespace, "ada"))


@pytest.fixture(scope="module")
def admin(control_plane: Cluster) -> Iterator[client.ApiClient]:
    """A client that may do anything."""
    with control_plane.api_client() as api_client:
        yield api_client


@pytest.fixture(scope="module")
def shared(control_plane: Cluster) -> Iterator[str]:
    """A namespace that exists, in which the documented Role is bound to the user `tenant`."""
    with shared_namespace(control_plane) as name:
        yield name


@pytest.fixture
def tenant(control_plane: Cluster, shared: str) -> Iterator[LabStorage]:
    """A storage of somebody who has rights in the shared namespace alone."""
    del shared  # its role is in force
    with (
        control_plane.api_client(TENANT) as api_client,
        LabStorage(api_client, structlog.get_logger()) as storage,
    ):
        yield storage


@pytest.fixture
def storage(admin: client.ApiClient) -> Iterator[LabStorage]:
    """A storage of an administrator."""
    with LabStorage(admin, structlog.get_logger()) as storage:
        yield storage


@pytest.fixture
def namespace(admin: client.ApiClient) -> Iterator[str]:
    """The name of a namespace that does not exist yet; its end is not waited for."""
    name = f"lab-{secrets.token_hex(4)}"
    yield name
    with contextlib.suppress(client.ApiException):
        client.CoreV1Api(admin).delete_namespace(name)


@pytest.fixture
def user() -> str:
    """A user of this test's own."""
    return secrets.token_hex(4)


class TestSharedNamespace:
    """As the subject of a Role, without any ClusterRole."""

    def test_lab_lives_beside_others(
        self, tenant: LabStorage, shared: str, user: str, admin: client.ApiClient
    ) -> None:
        """It is created, starts, is read and its pod deleted; nothing else is touched."""
        core = client.CoreV1Api(admin)
        core.create_namespaced_config_map(shared, {"metadata": {"name": f"of-others-{user}"}})
        names = names_in(shared, user)
        tenant.create(shared_lab(shared, user), timeout_of(SECONDS))
        phase = tenant.wait_for_pod_start(names.pod, shared, timeout_of(SECONDS))
        assert PodPhase.RUNNING == phase
        state = tenant.read_lab_objects(names, timeout_of(SECONDS))
        assert state is not None
        assert (user, None) == (state.env_config_map.data["OWNER"], state.quota)
        tenant.delete_pod(names, timeout_of(SECONDS))
        assert tenant.read_pod_phase(names, timeout_of(SECONDS)) is None
        assert core.read_namespaced_config_map(f"of-others-{user}", shared)
        assert core.read_namespaced_config_map(f"env-{user}", shared)

    def test_object_of_the_same_name_is_refused_by_name(
        self, tenant: LabStorage, shared: str, user: str, admin: client.ApiClient
    ) -> None:
        """It stays as it is."""
        core = client.CoreV1Api(admin)
        theirs = {"metadata": {"name": f"token-{user}"}, "stringData": {"token": "theirs"}}
        uid = core.create_namespaced_secret(shared, theirs).metadata.uid
        with pytest.raises(KubernetesError) as error:
            tenant.create(shared_lab(shared, user), timeout_of(SECONDS))
        assert (409, "Secret", shared, f"token-{user}") == (
            error.value.status,
            error.value.kind,
            error.value.namespace,
            error.value.name,
        )
        assert uid == core.read_namespaced_secret(f"token-{user}", shared).metadata.uid

    def test_operation_may_be_repeated(
        self, tenant: LabStorage, shared: str, user: str, admin: client.ApiClient
    ) -> None:
        """What an earlier attempt made counts as made, and the rest is made."""
        lab = shared_lab(shared, user)
        tenant.create(lab, timeout_of(SECONDS), operation_id=user)
        core = client.CoreV1Api(admin)
        uid = core.read_namespaced_pod(f"nb-{user}", shared).metadata.uid
        core.delete_namespaced_secret(f"token-{user}", shared)
        tenant.create(lab, timeout_of(SECONDS), operation_id=user)
        assert uid == core.read_namespaced_pod(f"nb-{user}", shared).metadata.uid
        assert core.read_namespaced_secret(f"token-{user}", shared)
        with pytest.raises(KubernetesError) as error:
            tenant.create(lab, timeout_of(SECONDS), operation_id=f"{user}-2")
        assert 409 == error.value.status


class TestStopAndStart:
    """A lab whose claim outlives it, on the real server."""

    def test_claim_stays_in_a_shared_namespace(
        self, tenant: LabStorage, shared: str, user: str, admin: client.ApiClient
    ) -> None:
        """The rest is gone, and is made anew."""
        core = client.CoreV1Api(admin)
        keep = ("PersistentVolumeClaim",)
        lab = shared_lab(shared, user)
        uids = set()
        for _ in range(3):
            tenant.create(lab, timeout_of(SECONDS), keep_existing=keep)
            claim = core.read_namespaced_persistent_volume_claim(f"claim-{user}", shared)
            uids.add(claim.metadata.uid)
            tenant.delete_objects(lab, timeout_of(SECONDS), keep=keep)
            left = core.list_namespaced_secret(shared).items
            assert [] == [each for each in left if each.metadata.name == f"token-{user}"]
        assert 1 == len(uids)
        tenant.delete_objects(lab, timeout_of(SECONDS))
        with pytest.raises(client.ApiException):
            core.read_namespaced_persistent_volume_claim(f"claim-{user}", shared)

    def test_claim_stays_in_a_namespace_of_its_own(
        self, storage: LabStorage, namespace: str, admin: client.ApiClient
    ) -> None:
        """The namespace stays with it, and goes with it."""
        core = client.CoreV1Api(admin)
        keep = ("PersistentVolumeClaim",)
        lab = lab_with(OTHERS, namespace)
        storage.create(lab, timeout_of(SECONDS), keep_existing=keep)
        storage.delete_objects(lab, timeout_of(SECONDS), keep=keep)
        assert core.read_namespaced_persistent_volume_claim("claim-ada", namespace)
        assert [] == core.list_namespaced_secret(namespace).items
        storage.create(lab, timeout_of(SECONDS), keep_existing=keep)
        storage.delete_objects(lab, timeout_of(SECONDS))
        assert [] == storage.list_namespaces(namespace, timeout_of(SECONDS))

    def test_custom_resource_of_others_keeps_the_namespace(
        self,
        storage: LabStorage,
        namespace: str,
        admin: client.ApiClient,
        widgets: Definition,
    ) -> None:
        """Though nothing in the lab is of its kind."""
        lab = lab_with(OTHERS, namespace)
        storage.create(lab, timeout_of(SECONDS))
        client.CustomObjectsApi(admin).create_namespaced_custom_object(
            widgets.group, "v1", namespace, "widgets", yaml.safe_load(widgets.manifest("theirs"))
        )
        storage.delete_objects(lab, timeout_of(SECONDS))
        assert ["theirs"] == widgets.names(namespace)
        assert [namespace] == storage.list_namespaces(namespace, timeout_of(SECONDS))

    def test_what_objects_of_the_lab_own_goes_along(
        self, storage: LabStorage, namespace: str, admin: client.ApiClient
    ) -> None:
        """As a Job owns pods; others' objects that somebody else owns keep the namespace."""
        core = client.CoreV1Api(admin)
        lab = lab_with(JOB, namespace)
        storage.create(lab, timeout_of(SECONDS))
        job = client.BatchV1Api(admin).read_namespaced_job("prepare", namespace)
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "prepare"}
        owner["uid"] = job.metadata.uid
        # The second is owned by the first: as a pod by a ReplicaSet, and that by a Deployment.
        for name in ("b", "a"):
            metadata = {"name": name, "ownerReferences": [owner]}
            made = core.create_namespaced_config_map(namespace, {"metadata": metadata})
            owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": name}
            owner["uid"] = made.metadata.uid
        storage.delete_objects(lab, timeout_of(SECONDS))
        assert [] == storage.list_namespaces(namespace, timeout_of(SECONDS))

    def test_what_somebody_elses_object_owns_keeps_the_namespace(
        self, storage: LabStorage, namespace: str, admin: client.ApiClient
    ) -> None:
        """An owner alone does not make it the lab's."""
        core = client.CoreV1Api(admin)
        lab = lab_with(OTHERS, namespace)
        storage.create(lab, timeout_of(SECONDS))
        theirs = client.PolicyV1Api(admin).create_namespaced_pod_disruption_budget(
            namespace, {"metadata": {"name": "theirs"}, "spec": {"selector": {}}}
        )
        owner = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "name": "theirs"}
        owner["uid"] = theirs.metadata.uid
        metadata = {"name": "owned", "ownerReferences": [owner]}
        core.create_namespaced_config_map(namespace, {"metadata": metadata})
        storage.delete_objects(lab, timeout_of(SECONDS))
        assert core.read_namespaced_config_map("owned", namespace)

    def test_custom_resource_is_deleted_by_its_new_plural(
        self,
        storage: LabStorage,
        namespace: str,
        admin: client.ApiClient,
        widgets: Definition,
    ) -> None:
        """The server is asked again when it does not know the old one."""
        lab = lab_with(widgets.manifest("w"), namespace)
        keep = ("PersistentVolumeClaim",)
        storage.create(lab, timeout_of(SECONDS))
        storage.delete_objects(lab, timeout_of(SECONDS), keep=keep)
        widgets.replace("widgetry")
        with LabStorage(admin, structlog.get_logger()) as another:
            another.create(lab, timeout_of(SECONDS), keep_existing=keep)
        assert ["w"] == widgets.names(namespace)
        storage.delete_objects(lab, timeout_of(SECONDS), keep=keep)
        assert [] == widgets.names(namespace)

    def test_what_others_made_is_named_and_stays(
        self, tenant: LabStorage, shared: str, user: str, admin: client.ApiClient
    ) -> None:
        """After the rest is gone."""
        core = client.CoreV1Api(admin)
        lab = shared_lab(shared, user)
        tenant.create(lab, timeout_of(SECONDS))
        core.delete_namespaced_secret(f"token-{user}", shared)
        core.create_namespaced_secret(shared, {"metadata": {"name": f"token-{user}"}})
        with pytest.raises(KubernetesError) as error:
            tenant.delete_objects(lab, timeout_of(SECONDS))
        assert 409 == error.value.status
        assert f"Secret {shared}/token-{user}" in str(error.value)
        assert core.read_namespaced_secret(f"token-{user}", shared)
        names = names_in(shared, user)
        assert tenant.read_lab_objects(names, timeout_of(SECONDS)) is None


class TestOthers:
    """Objects of any kind."""

    def test_all_of_them_are_created(
        self, storage: LabStorage, namespace: str, admin: client.ApiClient
    ) -> None:
        """Kubernetes' own kinds, the plurals of some of which only the server knows."""
        storage.create(lab_with(OTHERS, namespace), timeout_of(SECONDS))
        rbac = client.RbacAuthorizationV1Api(admin)
        assert rbac.read_namespaced_role_binding("reader", namespace)
        assert client.NetworkingV1Api(admin).read_namespaced_ingress("nb", namespace)
        policy = client.PolicyV1Api(admin)
        assert policy.read_namespaced_pod_disruption_budget("nb", namespace)

    def test_kind_that_the_server_does_not_have_is_named(
        self, storage: LabStorage, namespace: str
    ) -> None:
        """Before anything is made."""
        text = "{apiVersion: nobody.example/v1, kind: Gadget, metadata: {name: g}}"
        with pytest.raises(KubernetesError) as error:
            storage.create(lab_with(text, namespace), timeout_of(SECONDS))
        assert (404, "Gadget") == (error.value.status, error.value.kind)
        assert "the server has no kind Gadget in nobody.example/v1" in str(error.value)
        assert [] == storage.list_namespaces(namespace, timeout_of(SECONDS))

    def test_custom_resource_is_created(
        self, storage: LabStorage, namespace: str, widgets: Definition
    ) -> None:
        """Its plural is asked of the server, and asked again when it has changed."""
        storage.create(lab_with(widgets.manifest("w"), namespace), timeout_of(SECONDS))
        assert widgets.names(namespace) == ["w"]
        widgets.replace("widgetry")
        other = f"{namespace}-2"
        try:
            storage.create(lab_with(widgets.manifest("w"), other), timeout_of(SECONDS))
            assert widgets.names(other) == ["w"]
        finally:
            storage.delete_namespace(other, timeout_of(SECONDS))

    def test_cluster_scoped_custom_resource_is_refused(
        self, storage: LabStorage, namespace: str, widgets: Definition
    ) -> None:
        """By name, before anything is made."""
        widgets.replace("widgets", scope="Cluster")
        with pytest.raises(ManifestError) as error:
            storage.create(lab_with(widgets.manifest("w"), namespace), timeout_of(SECONDS))
        assert ("Widget w", "kind") == (error.value.manifest, error.value.path)
        assert [] == storage.list_namespaces(namespace, timeout_of(SECONDS))


class Definition:
    """A definition of custom resources, of an API group of its own."""

    def __init__(self, api_client: client.ApiClient) -> None:
        self._extensions = client.ApiextensionsV1Api(api_client)
        self._objects = client.CustomObjectsApi(api_client)
        self.group = f"g{secrets.token_hex(4)}.example"
        self._plural = ""

    def manifest(self, name: str) -> str:
        """A widget, as a manifest."""
        return f"{{apiVersion: {self.group}/v1, kind: Widget, metadata: {{name: {name}}}}}"

    def names(self, namespace: str) -> list[str]:
        """The names of the widgets in a namespace."""
        found: Any = self._objects.list_namespaced_custom_object(
            self.group, "v1", namespace, self._plural
        )
        return [each["metadata"]["name"] for each in found["items"]]

    def replace(self, plural: str, scope: str = "Namespaced") -> None:
        """Define widgets, in the place of an earlier definition; return once they are served."""
        self.remove()
        schema = {"openAPIV3Schema": {"type": "object"}}
        version = {"name": "v1", "served": True, "storage": True, "schema": schema}
        self._extensions.create_custom_resource_definition(
            {
                "metadata": {"name": f"{plural}.{self.group}"},
                "spec": {
                    "group": self.group,
                    "scope": scope,
                    "names": {"plural": plural, "kind": "Widget"},
                    "versions": [version],
                },
            }
        )
        self._plural = plural
        eventually(self._is_served)

    def remove(self) -> None:
        """Remove the definition; return once it is gone."""
        if self._plural:
            name, self._plural = f"{self._plural}.{self.group}", ""
            self._extensions.delete_custom_resource_definition(name)
            eventually(lambda: not self._exists(name))

    def _exists(self, name: str) -> bool:
        try:
            self._extensions.read_custom_resource_definition(name)
        except client.ApiException as error:
            if error.status != 404:
                raise
            return False
        return True

    def _is_served(self) -> bool:
        try:
            self._objects.list_cluster_custom_object(self.group, "v1", self._plural)
        except client.ApiException as error:
            if error.status != 404:
                raise
            return False
        return True


@pytest.fixture
def widgets(admin: client.ApiClient) -> Iterator[Definition]:
    """A definition of custom resources."""
    definition = Definition(admin)
    definition.replace("widgets")
    yield definition
    definition.remove()

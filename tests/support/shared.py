"""Labs in a namespace that all share, made by somebody who has rights in it alone."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Collection, Iterator

import yaml
from kubernetes import client

from lab_storage import LabObjectNames, LabObjects
from tests.plane.programs import ROOT
from tests.plane.remote import Cluster
from tests.support.cluster import eventually

ROLE = ROOT / "docs" / "examples" / "rbac-shared.yaml"
TENANT = "tenant"


@contextlib.contextmanager
def shared_namespace(cluster: Cluster) -> Iterator[str]:
    """Make a namespace in which the documented Role is bound to `TENANT`.

    The namespace is deleted afterwards; its end is not waited for.
    """
    name = f"notebooks-{secrets.token_hex(4)}"
    (role,) = (r for r in yaml.safe_load_all(ROLE.read_text()) if r["kind"] == "Role")
    group = "rbac.authorization.k8s.io"
    with cluster.api_client() as admin:
        core, rbac = client.CoreV1Api(admin), client.RbacAuthorizationV1Api(admin)
        core.create_namespace({"metadata": {"name": name}})
        rbac.create_namespaced_role(name, {**role, "metadata": {"name": "lab-storage"}})
        rbac.create_namespaced_role_binding(
            name,
            {
                "metadata": {"name": "lab-storage"},
                "roleRef": {"apiGroup": group, "kind": "Role", "name": "lab-storage"},
                "subjects": [{"apiGroup": group, "kind": "User", "name": TENANT}],
            },
        )
        await_rights(cluster, name)
        yield name
        core.delete_namespace(name)


def await_rights(cluster: Cluster, namespace: str) -> None:
    """Return once the server knows of the rights of `TENANT`."""
    attributes = {"verb": "delete", "resource": "pods", "namespace": namespace}
    review = {"spec": {"resourceAttributes": attributes}}
    with cluster.api_client(TENANT) as api_client:
        access = client.AuthorizationV1Api(api_client)
        eventually(lambda: access.create_self_subject_access_review(review).status.allowed)


def names_in(namespace: str, user: str) -> LabObjectNames:
    """The names of a lab of `lab_in`."""
    names = (f"{each}-{user}" for each in ("lab-env", "lab-quota", "lab"))
    return LabObjectNames(user, namespace, *names)


def lab_in(
    namespace: str, user: str, lab: LabObjects, without: Collection[str] = ("ResourceQuota",)
) -> LabObjects:
    """Give a lab as it would be in a shared namespace: each name has the user in it.

    By default it is without its quota, which would limit the labs of all users together.
    """
    manifests = [
        each for each in lab.to_manifests() if each["kind"] not in {"Namespace", *without}
    ]
    for manifest in manifests:
        metadata = manifest["metadata"]
        metadata |= {"name": f"{metadata['name']}-{user}", "namespace": namespace}
    names = names_in(namespace, user)
    return LabObjects.from_manifests(manifests, names, shared_namespace=True)

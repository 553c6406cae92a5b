"""Admission: whether a new object is let in, and what it is given.

What the plugins NamespaceLifecycle, Priority and ServiceAccount do:
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import Cause, forbidden, not_found
from .metadata import random_suffix
from .resources import ACCOUNTS, NAMESPACES, PODS, is_going

if TYPE_CHECKING:
    from .resources import Object, Resource
    from .store import Store

_ACCOUNT_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def admit_to_namespace(store: Store, resource: Resource, obj: Object) -> None:
    """Refuse new objects in a namespace that does not exist or is being deleted.

    Raises
    ------
    APIError
        404 or 403.
    """
    namespace = obj["metadata"]["namespace"]
    found = store.get(NAMESPACES, None, namespace)
    if found is None:
        raise not_found(NAMESPACES, namespace)
    if is_going(found):
        text = (
            f"unable to create new content in namespace {namespace} because it is being terminated"
        )
        going = f"namespace {namespace} is being terminated"
        cause = Cause("NamespaceTerminating", "metadata.namespace", going)
        raise forbidden(resource, _spoken_name(obj), text, [cause])


def admit_pod(store: Store, pod: Object) -> None:
    """Give a pod its ServiceAccount, and its containers the account's token.

    Raises
    ------
    APIError
        403: there is no such ServiceAccount, or not yet; or a priority is set that a
        PriorityClass would have to give.
    """
    spec = pod["spec"]
    if spec["priority"] and not spec.get("priorityClassName"):
        text = (
            f"the integer value of priority ({spec['priority']}) must not be provided in pod "
            "spec; priority admission controller computed 0 from the given PriorityClass name"
        )
        raise forbidden(PODS, _spoken_name(pod), text)
    account_name = spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", account_name)
    namespace = pod["metadata"]["namespace"]
    account = store.get(ACCOUNTS, namespace, account_name)
    if account is None:
        text = (
            f"error looking up service account {namespace}/{account_name}: "
            f'serviceaccount "{account_name}" not found'
        )
        raise forbidden(PODS, _spoken_name(pod), text)
    own = spec.get("automountServiceAccountToken")
    if own if own is not None else account.get("automountServiceAccountToken", True):
        _mount_token(spec)


def _spoken_name(obj: Object) -> str | None:
    """Give what a refusal calls an object whose name may still have to be made up."""
    metadata = obj["metadata"]
    name: str | None = metadata.get("name") or metadata.get("generateName")
    return name


def _mount_token(spec: Object) -> None:
    name = f"kube-api-access-{random_suffix()}"
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {
            "configMap": {
                "name": "kube-root-ca.crt",
                "items": [{"key": "ca.crt", "path": "ca.crt"}],
            }
        },
        {
            "downwardAPI": {
                "items": [
                    {
                        "path": "namespace",
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                    }
                ]
            }
        },
    ]
    mounted = False
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        mounts = container.setdefault("volumeMounts", [])
        if not any(mount.get("mountPath") == _ACCOUNT_MOUNT for mount in mounts):
            mounts.append({"name": name, "readOnly": True, "mountPath": _ACCOUNT_MOUNT})
            mounted = True
    if mounted:
        volume = {"name": name, "projected": {"sources": sources, "defaultMode": 0o644}}
        spec.setdefault("volumes", []).append(volume)

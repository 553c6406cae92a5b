"""A lab as a whole: made of its objects, and read back from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lab_storage._api import objects as _objects
from lab_storage._api.answer import Request, mapping_at
from lab_storage._api.client import Client
from lab_storage._api.operation import Operation
from lab_storage._api.watch import DELETED, LISTED, follow
from lab_storage._api.workers import Workers
from lab_storage._manifests.decode import decode
from lab_storage._manifests.kinds import (
    CONFIG_MAP,
    NAMESPACE,
    POD,
    RESOURCE_QUOTA,
    SERVICE_ACCOUNT,
    Kind,
)
from lab_storage.exceptions import KubernetesError
from lab_storage.models import LabObjectNames, LabStateObjects

Manifest = dict[str, Any]


def create(
    client: Client,
    workers: Workers,
    operation: Operation,
    manifests: list[tuple[Kind, Manifest]],
    manager: str,
) -> None:
    """Create a lab: the namespace, then all the rest side by side, then the pod.

    Parameters
    ----------
    client, workers, operation
        What sends the requests, side by side, for what.
    manifests
        Each with its kind; the namespace first, the pod last.
    manager
        Who makes the objects, by `lab_storage._api.objects.manager_of`.
    """
    (_, namespace), *others, (_, pod) = manifests
    is_new = _objects.create(client, operation, NAMESPACE, namespace, manager) is not None

    def make(operation: Operation, kind: Kind, manifest: Manifest) -> None:
        # In a namespace that is new there is nothing yet.
        _objects.create(client, operation, kind, manifest, manager, may_exist=not is_new)
        if kind is RESOURCE_QUOTA:
            _wait_for_quota(client, operation, manifest)

    # What waits for a controller comes first, so that it begins first.
    others.sort(key=lambda item: item[0] is not RESOURCE_QUOTA)
    tasks = [partial(make, kind=kind, manifest=manifest) for kind, manifest in others]
    tasks.insert(0, partial(_wait_for_service_account, client, pod=pod))
    workers.run(operation, tasks)
    make(operation, POD, pod)


def _wait_for_service_account(client: Client, operation: Operation, pod: Manifest) -> None:
    """Block until the ServiceAccount that the pod runs as is there.

    A controller makes the default one in each new namespace; without it, a pod is
    refused (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/).
    """
    spec = pod.get("spec") or {}
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    namespace = pod["metadata"]["namespace"]
    _wait_until(
        client,
        operation,
        _objects.named(SERVICE_ACCOUNT, namespace, name),
        lambda _: True,
        f"ServiceAccount {namespace}/{name} does not exist yet",
    )


def _wait_for_quota(client: Client, operation: Operation, quota: Manifest) -> None:
    """Block until the quota's controller has taken note of all its limits.

    Until it has, whatever the quota counts is refused
    (``status unknown for quota``).
    """
    metadata = quota["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    limits = set((quota.get("spec") or {}).get("hard") or {})
    _wait_until(
        client,
        operation,
        _objects.named(RESOURCE_QUOTA, namespace, name),
        lambda found: limits <= set(mapping_at(found, "status", "hard")),
        f"the status of ResourceQuota {namespace}/{name} is not known yet",
    )


def _wait_until(
    client: Client,
    operation: Operation,
    request: Request,
    is_ready: Callable[[Manifest], bool],
    waits_for: str,
) -> None:
    """Block until there is an object that is ready, unless the server will not tell."""
    # Its own, since what goes wrong with the objects that are made meanwhile is over
    # when this is not.
    operation = operation.part()
    try:
        for change in follow(client, operation, request):
            if change.type not in (DELETED, LISTED) and is_ready(change.object):
                break
            operation.last = waits_for
    except KubernetesError as error:
        # Waiting spares the server pods that it has to refuse, and is not asked for. Who
        # may create pods need not be allowed to watch this.
        operation.write(
            operation.log.debug,
            "Object is not waited for",
            kind=request.kind.name,
            namespace=request.namespace,
            name=request.name,
            reason=str(error),
        )
    else:
        operation.debug("Object is ready", request.kind.name, request.namespace, request.name)


def read(
    client: Client, workers: Workers, operation: Operation, names: LabObjectNames
) -> LabStateObjects | None:
    """Read what tells the state of a lab; `None` where it is not whole."""

    def read_one(operation: Operation, kind: Kind, name: str) -> Any:
        content = _objects.read(client, operation, kind, names.namespace, name)
        return None if content is None else decode(kind, content)

    env_config_map, quota, pod = workers.run(
        operation,
        [
            partial(read_one, kind=CONFIG_MAP, name=names.env_config_map),
            partial(read_one, kind=RESOURCE_QUOTA, name=names.quota),
            partial(read_one, kind=POD, name=names.pod),
        ],
    )
    if env_config_map is None or pod is None:
        return None
    return LabStateObjects(env_config_map, quota, pod)

"""A lab as a whole: made of its objects, and read back from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lab_storage._api.answer import mapping_at
from lab_storage._api.call import Call
from lab_storage._api.creation import create as create_object
from lab_storage._api.objects import read_model
from lab_storage._api.request import Request, list_of_one
from lab_storage._api.watch import DELETED, LISTED, follow
from lab_storage._api.workers import Workers
from lab_storage._manifests.kinds import (
    CONFIG_MAP,
    NAMESPACE,
    POD,
    RESOURCE_QUOTA,
    SERVICE_ACCOUNT,
    Kind,
)
from lab_storage._manifests.sealed import Sealed
from lab_storage.exceptions import KubernetesError
from lab_storage.models import LabObjectNames, LabStateObjects

Manifest = dict[str, Any]


def create(
    call: Call,
    workers: Workers,
    manifests: Sequence[tuple[Kind, Sealed[Manifest]]],
    manager: str,
) -> None:
    """Create a lab: the namespace, then all the rest side by side, then the pod.

    Parameters
    ----------
    call, workers
        What sends the requests, side by side.
    manifests
        The objects, each with its kind.
    manager
        Who makes the objects, by `lab_storage._api.creation.manager_of`.
    """
    is_new = False
    # In a namespace that is new there is nothing yet.
    for kind, manifest in manifests:
        if kind is NAMESPACE:
            is_new = create_object(call, kind, manifest, manager)

    def make(call: Call, kind: Kind, manifest: Sealed[Manifest]) -> None:
        create_object(call, kind, manifest, manager, may_exist=not is_new)
        if kind is RESOURCE_QUOTA:
            _wait_for_quota(call, manifest)

    pods = [manifest for kind, manifest in manifests if kind is POD]
    others = [each for each in manifests if each[0] not in (NAMESPACE, POD)]
    # What waits for a controller comes first, so that it begins first.
    others.sort(key=lambda each: each[0] is not RESOURCE_QUOTA)
    tasks = [partial(_wait_for_service_account, pod=pod) for pod in pods]
    tasks += [partial(make, kind=kind, manifest=manifest) for kind, manifest in others]
    workers.run(call, tasks)
    for pod in pods:
        make(call, POD, pod)


def _wait_for_service_account(call: Call, pod: Sealed[Manifest]) -> None:
    """Block until the ServiceAccount that the pod runs as is there.

    A controller makes the default one in each new namespace; without it, a pod is
    refused (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/).
    """
    spec = pod.open().get("spec") or {}
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    namespace = pod.open()["metadata"]["namespace"]
    del spec
    _wait_until(
        call,
        list_of_one(SERVICE_ACCOUNT, namespace, name),
        lambda _: True,
        f"ServiceAccount {namespace}/{name} does not exist yet",
    )


def _wait_for_quota(call: Call, quota: Sealed[Manifest]) -> None:
    """Block until the quota's controller has taken note of all its limits.

    Until it has, whatever the quota counts is refused
    (``status unknown for quota``).
    """
    metadata = quota.open()["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    limits = set((quota.open().get("spec") or {}).get("hard") or {})
    _wait_until(
        call,
        list_of_one(RESOURCE_QUOTA, namespace, name),
        lambda found: limits <= set(mapping_at(found, "status", "hard")),
        f"the status of ResourceQuota {namespace}/{name} is not known yet",
    )


def _wait_until(
    call: Call, request: Request, is_ready: Callable[[Manifest], bool], what: str
) -> None:
    """Block until there is an object that is ready, unless it may not be watched."""
    try:
        for change in follow(call, request):
            if change.type not in (DELETED, LISTED) and is_ready(change.object):
                break
            call.wait_for(request, what)
    except KubernetesError as error:
        # Waiting spares the server pods that it has to refuse, and is not asked for. Whoever
        # may create pods need not be allowed to watch this.
        call.write(
            call.log.debug,
            "Not allowed to watch object; not waiting for it",
            request,
            reason=str(error),
        )
    else:
        call.debug("Object is ready", request)


def read(call: Call, workers: Workers, names: LabObjectNames) -> LabStateObjects | None:
    """Read what the state of a lab consists of; `None` if it is not whole."""
    wanted = (
        (CONFIG_MAP, names.env_config_map),
        (RESOURCE_QUOTA, names.quota),
        (POD, names.pod),
    )
    tasks = [partial(read_model, kind=k, namespace=names.namespace, name=n) for k, n in wanted]
    env_config_map, quota, pod = workers.run(call, tasks)
    if env_config_map is None or pod is None:
        return None
    return LabStateObjects(env_config_map, quota, pod)

"""A lab as a whole: made of its objects, and read back from them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from lab_storage._api.answer import mapping_at
from lab_storage._api.call import Call
from lab_storage._api.changes import DELETED, LISTED
from lab_storage._api.creation import create as create_object
from lab_storage._api.creation import manager_of
from lab_storage._api.discovery import Discovery
from lab_storage._api.objects import read_model
from lab_storage._api.request import Request, list_of_one
from lab_storage._api.watch import follow
from lab_storage._api.workers import Workers
from lab_storage._manifests.kinds import (
    CONFIG_MAP,
    KINDS,
    NAMESPACE,
    POD,
    RESOURCE_QUOTA,
    ROLE,
    ROLE_BINDING,
    SERVICE_ACCOUNT,
    Kind,
)
from lab_storage._manifests.sealed import Sealed
from lab_storage.exceptions import KubernetesError, ManifestError
from lab_storage.models import LabObjectNames, LabStateObjects

Manifest = dict[str, Any]
Task = Callable[[Call], Any]


def create(
    call: Call,
    workers: Workers,
    discovery: Discovery,
    manifests: Sequence[tuple[Kind, Sealed[Manifest]]],
    operation_id: str | None,
    keep_existing: Collection[str],
) -> None:
    """Create a lab: the namespace, what others refer to, all the rest side by side, the pod.

    Parameters
    ----------
    call, workers
        What sends the requests, side by side.
    discovery
        Knows the resources of kinds that the library does not.
    manifests
        The objects, each with its kind, in the order of creation.
    operation_id
        The operation, of which there may have been earlier attempts.
    keep_existing
        The kinds of which an object that exists is used as it is.
    """
    manifests = _resolved(call, workers, discovery, manifests)
    manager = manager_of(operation_id)
    is_new = False
    for kind, namespace in _of(manifests, NAMESPACE):
        is_new = create_object(
            call,
            kind,
            namespace,
            manager,
            keep_existing=kind.name in keep_existing,
            # What is kept is in it: a lab that was stopped has left its namespace.
            keep_own=bool(keep_existing),
        )
    if is_new:
        call.note_namespace_made()
    # Only an earlier attempt can have made what exists, and in a new namespace there is nothing.
    may_exist = operation_id is not None and not is_new
    make = partial(
        _make,
        discovery=discovery,
        manager=manager,
        may_exist=may_exist,
        keep_existing=frozenset() if is_new else keep_existing,
    )

    pods = _of(manifests, POD)
    # A RoleBinding is refused while its Role does not exist.
    for stage in _of(manifests, SERVICE_ACCOUNT, ROLE), _of(manifests, ROLE_BINDING):
        if stage:
            workers.run(call, [partial(make, kind=kind, manifest=each) for kind, each in stage])
    first = NAMESPACE, SERVICE_ACCOUNT, ROLE, ROLE_BINDING, POD
    others = [each for each in manifests if each[0] not in first]
    # What waits for a controller comes first, so that it begins first.
    others.sort(key=lambda each: each[0] is not RESOURCE_QUOTA)
    tasks: list[Task] = []
    if is_new:
        # Later, the pod may be there, and the ServiceAccount gone.
        tasks += [partial(_wait_for_service_account, pod=pod) for _, pod in pods]
    tasks += [partial(make, kind=kind, manifest=manifest) for kind, manifest in others]
    workers.run(call, tasks)
    for kind, pod in pods:
        make(call, kind=kind, manifest=pod)


def _of(
    manifests: Sequence[tuple[Kind, Sealed[Manifest]]], *kinds: Kind
) -> list[tuple[Kind, Sealed[Manifest]]]:
    """Give the objects of some kinds."""
    return [each for each in manifests if each[0] in kinds]


def _make(
    call: Call,
    *,
    kind: Kind,
    manifest: Sealed[Manifest],
    discovery: Discovery,
    manager: str,
    may_exist: bool,
    keep_existing: Collection[str],
) -> None:
    """Create one object and, if it is a quota, wait until it is in force."""
    keeps = kind.name in keep_existing
    create = partial(create_object, may_exist=may_exist, keep_existing=keeps)
    try:
        create(call, kind, manifest, manager)
    except KubernetesError as error:
        if error.status != 404 or kind in KINDS:
            raise
        # Its definition may have been replaced by one that says another plural.
        found = discovery.resolve(call, kind, anew=True)
        if found is None or found == kind:
            raise
        create(call, found, manifest, manager)
    if kind is RESOURCE_QUOTA:
        _wait_for_quota(call, manifest)


def _resolved(
    call: Call,
    workers: Workers,
    discovery: Discovery,
    manifests: Sequence[tuple[Kind, Sealed[Manifest]]],
) -> list[tuple[Kind, Sealed[Manifest]]]:
    """Complete the kinds that only the server knows, before anything is made.

    Raises
    ------
    KubernetesError
        With status 404, if the server does not have one.
    ManifestError
        If one is cluster-scoped.
    """
    # One question for each API group and version.
    unknown = {kind.api_version: kind for kind, _ in manifests if not kind.plural}
    workers.run(call, [partial(discovery.resolve, kind=kind) for kind in unknown.values()])
    resolved = []
    for kind, manifest in manifests:
        found = kind if kind.plural else discovery.resolve(call, kind)
        name = manifest.open()["metadata"]["name"]
        if found is None:
            raise KubernetesError(
                f"the server has no kind {kind.name} in {kind.api_version}",
                user=call.user,
                kind=kind.name,
                name=name,
                status=404,
                operation=call.timeout.operation,
            )
        if kind is not NAMESPACE and not found.namespaced:
            reason = f"is cluster-scoped: nobody would delete a {kind.name} of a lab"
            raise ManifestError(f"{kind.name} {name}", "kind", reason)
        resolved.append((found, manifest))
    return resolved


def _wait_for_service_account(call: Call, pod: Sealed[Manifest]) -> None:
    """Block until the ServiceAccount that the pod runs as is there.

    A controller makes the default one in each new namespace; without it, a pod is
    refused (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/).
    That of the manifest counts, although admission may put another into the pod: it is looked up
    before any webhook is asked (``AllOrderedPlugins`` in ``pkg/kubeapiserver/options``).
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

    Until it has, whatever the quota counts is refused (``status unknown for quota``). Its limits
    are those that are stored: admission, or somebody since, may have changed them.
    """
    metadata = quota.open()["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    sent = quota.open().get("spec")

    def is_counted(found: Manifest) -> bool:
        stored = found.get("spec", sent)
        return mapping_at(stored, "hard").keys() <= mapping_at(found, "status", "hard").keys()

    _wait_until(
        call,
        list_of_one(RESOURCE_QUOTA, namespace, name),
        is_counted,
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

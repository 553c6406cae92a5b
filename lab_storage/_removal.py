"""Deletes a lab object by object, and only what this library made."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs

from lab_storage import _namespaces, _pods
from lab_storage._api.answer import mapping_at, mappings_at
from lab_storage._api.call import Call
from lab_storage._api.creation import is_made_here
from lab_storage._api.deletion import delete as delete_object
from lab_storage._api.discovery import Discovery, group_resource, namespaced_kinds
from lab_storage._api.objects import list_all, read_metadata
from lab_storage._api.request import METADATA_LIST, Request
from lab_storage._api.workers import Workers
from lab_storage._manifests.kinds import (
    CONFIG_MAP,
    EVENT,
    KINDS,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    RESOURCE_QUOTA,
    ROLE_BINDING,
    SECRET,
    SERVICE_ACCOUNT,
    Kind,
)
from lab_storage.exceptions import KubernetesError, describe_object

# What controllers make in each namespace: kube-controller-manager's, and those of OpenShift, of
# Istio (istio/istio, pilot/pkg/bootstrap/namespacecontroller.go), and of smaller clusters of GKE
# (https://cloud.google.com/kubernetes-engine/quotas).
_MADE_BY_CONTROLLERS = {
    CONFIG_MAP: {"istio-ca-root-cert", "kube-root-ca.crt", "openshift-service-ca.crt"},
    RESOURCE_QUOTA: {"gke-resource-quotas"},
    SERVICE_ACCOUNT: {"builder", "default", "deployer", "pipeline"},
}
# https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets
_TOKEN_ANNOTATION = "kubernetes.io/service-account.name"  # noqa: S105 - a name
# Controllers write them in each namespace, and nobody means to keep them.
_BY_THE_WAY = {"Endpoints", "Event"}
_PAGE_SIZE = 500


@attrs.frozen
class Target:
    """An object of a lab, as its manifest names it."""

    kind: Kind
    namespace: str | None
    name: str

    def __str__(self) -> str:
        return describe_object(self.kind.name, self.namespace, self.name)


def delete(
    call: Call,
    workers: Workers,
    discovery: Discovery,
    targets: Sequence[Target],
    keep: Collection[str],
    grace_period_seconds: int,
) -> None:
    """Delete a lab: its pod, then the rest, and its namespace if nothing has to stay there.

    Parameters
    ----------
    call, workers
        What sends the requests, side by side.
    discovery
        Knows the resources of kinds that the library does not.
    targets
        The objects of the lab.
    keep
        The kinds of which all objects stay.
    grace_period_seconds
        How long the pod's containers have to end.

    Raises
    ------
    KubernetesError
        With status 409, once the rest is gone, if there are objects that this library has not
        made: they stay, and the text names them.
    """
    removal = _Removal(call, workers, targets, keep)
    removal.look(discovery)
    removal.delete_all(POD, grace_period_seconds=grace_period_seconds)
    try:
        is_gone = removal.delete_namespace()
    except KubernetesError:
        # Whether it has to stay may not be seen, or it may not be deleted.
        removal.delete_all()
        raise
    if not is_gone:
        removal.delete_all()
    if removal.others:
        named = ", ".join(map(str, removal.others))
        raise KubernetesError(
            f"not made by this library, and left alone: {named}",
            user=call.user,
            status=409,
            reason="Conflict",
            operation=call.timeout.operation,
        )


class _Removal:
    """What there is of a lab, and what has to stay."""

    def __init__(
        self, call: Call, workers: Workers, targets: Sequence[Target], keep: Collection[str]
    ) -> None:
        self._call = call
        self._workers = workers
        self._targets = targets
        self._keep = keep
        self._kinds = {*KINDS} - {NAMESPACE, EVENT}
        # By target, the UID of what is there and made by this library.
        self._ours: dict[Target, str] = {}
        # The same UIDs, those of what has been deleted since included.
        self._uids: set[str] = set()
        self.others: list[Target] = []

    def look(self, discovery: Discovery) -> None:
        """See what is there, and who has made it."""
        resolved = []
        for target in self._targets:
            known = bool(target.kind.plural)
            kind = target.kind if known else discovery.resolve(self._call, target.kind)
            if kind is None:
                continue  # of a kind that the server does not have, there is nothing
            if kind.name in self._keep:
                self._kinds.add(kind)
            else:
                resolved.append(attrs.evolve(target, kind=kind))
        tasks = [partial(_look_at, target=target, discovery=discovery) for target in resolved]
        for found in self._workers.run(self._call, tasks):
            if found is None:
                continue
            target, uid, is_ours = found
            self._kinds.add(target.kind)
            if is_ours:
                self._ours[target] = uid
                self._uids.add(uid)
            else:
                self.others.append(target)

    def delete_all(self, *kinds: Kind, grace_period_seconds: int | None = None) -> None:
        """Delete what is this library's, of some kinds or all but the namespace, and wait."""
        targets = [
            target
            for target in self._ours
            if target.kind is not NAMESPACE and (not kinds or target.kind in kinds)
        ]
        delete = partial(self._delete, grace_period_seconds=grace_period_seconds)
        self._workers.run(self._call, [partial(delete, target=target) for target in targets])
        for target in targets:
            del self._ours[target]

    def _delete(self, call: Call, target: Target, grace_period_seconds: int | None = None) -> None:
        delete_object(
            call,
            target.kind,
            target.namespace,
            target.name,
            why_it_stays=partial(_why_it_stays, target),
            uid=self._ours[target],
            grace_period_seconds=grace_period_seconds,
        )

    def delete_namespace(self) -> bool:
        """Delete the lab's namespace and all that is in it, unless something has to stay.

        Returns
        -------
        bool
            Whether it is gone, and all of the lab with it.
        """
        for target in self._ours:
            if target.kind is NAMESPACE:
                if self.others or self._has_strangers(target.name):
                    return False
                self._delete(self._call, target)
                return True
        return False

    def _has_strangers(self, namespace: str) -> bool:
        """Whether something in the namespace is kept, or is not of this lab.

        First the kinds of most labs, then all that the server has. Of those, what may not be
        listed does not count: few programs may list everything.
        """
        owned: list[Mapping[str, Any]] = []
        kinds = sorted(self._kinds - {NAMESPACE}, key=lambda kind: kind.name)
        seen, may_be_refused = set(map(group_resource, kinds)), False
        while True:
            tasks = [partial(_read_all_metadata, kind=kind, namespace=namespace) for kind in kinds]
            if may_be_refused:
                tasks = [partial(_if_allowed, do=task) for task in tasks]
            for kind, listed in self._workers.run(self._call, tasks):
                for metadata in listed:
                    if kind.name in self._keep:
                        return True
                    if self._goes_along(kind, metadata):
                        self._uids.add(str(metadata.get("uid")))
                    elif mappings_at(metadata, "ownerReferences"):
                        owned.append(metadata)
                    elif metadata.get("uid") not in self._uids:
                        return True
            if may_be_refused:
                return bool(_of_strangers(owned, self._uids))
            kinds = [
                kind
                for kind in namespaced_kinds(self._call, self._workers)
                if group_resource(kind) not in seen and kind.name not in _BY_THE_WAY
            ]
            may_be_refused = True

    def _goes_along(self, kind: Kind, metadata: Mapping[str, Any]) -> bool:
        """Whether an object may go with its namespace: it is ours, a controller's, or going."""
        name = str(metadata.get("name"))
        # Another lab in the same namespace is the library's as well, but not this lab.
        may_be_of_another_lab = kind in (POD, PERSISTENT_VOLUME_CLAIM)
        return bool(
            metadata.get("uid") in self._uids
            or (is_made_here(metadata) and not may_be_of_another_lab)
            or metadata.get("deletionTimestamp")
            or name in _MADE_BY_CONTROLLERS.get(kind, ())
            or (kind is ROLE_BINDING and name.startswith("system:"))
            or (kind is SECRET and _TOKEN_ANNOTATION in mapping_at(metadata, "annotations"))
        )


def _of_strangers(
    owned: Sequence[Mapping[str, Any]], uids: Collection[str]
) -> list[Mapping[str, Any]]:
    """Leave out what is owned by what goes: the pods of a Job, which the collector deletes."""
    going, left = set(uids), list(owned)
    while True:
        rest = [
            each
            for each in left
            if not any(owner.get("uid") in going for owner in mappings_at(each, "ownerReferences"))
        ]
        if len(rest) == len(left):
            return rest
        going |= {str(each.get("uid")) for each in left if each not in rest}
        left = rest


def _look_at(call: Call, target: Target, discovery: Discovery) -> tuple[Target, str, bool] | None:
    """Read the UID of an object, and whether this library has made it."""
    try:
        metadata = read_metadata(call, target.kind, target.namespace, target.name)
    except KubernetesError as error:
        if error.status == 403:
            return target, "", False  # of what may not be read, nobody knows whose it is
        if error.status != 404 or target.kind in KINDS:
            raise
        # Its definition may have been replaced by one that says another plural.
        kind = discovery.resolve(call, target.kind, anew=True)
        if kind == target.kind:
            raise
        if kind is None:
            return None
        target = attrs.evolve(target, kind=kind)
        metadata = read_metadata(call, target.kind, target.namespace, target.name)
    if metadata is None:
        return None
    return target, str(metadata.get("uid")), is_made_here(metadata)


Listed = tuple[Kind, list[Mapping[str, Any]]]


def _if_allowed(call: Call, do: partial[Listed]) -> Listed:
    """List what may be listed, and can be: a custom kind may have gone."""
    try:
        return do(call)
    except KubernetesError as error:
        if error.status not in (403, 404, 405):
            raise
        return do.keywords["kind"], []


def _read_all_metadata(call: Call, kind: Kind, namespace: str) -> Listed:
    """List the metadata of all objects of a kind in a namespace."""
    request = Request(
        "GET", kind, namespace, query={"limit": str(_PAGE_SIZE)}, accept=METADATA_LIST
    )
    return kind, list_all(call, request, _metadata_of)


def _metadata_of(content: dict[str, Any]) -> list[Mapping[str, Any]]:
    return [mapping_at(item, "metadata") for item in mappings_at(content, "items")]


def _why_it_stays(target: Target, content: dict[str, Any]) -> str:
    """What keeps an object that is being deleted."""
    if target.kind is POD:
        return _pods.why_it_stays(content)
    if target.kind is NAMESPACE:
        return _namespaces.why_it_stays(content)
    finalizers = mapping_at(content, "metadata").get("finalizers")
    return f"{target} is being deleted" + (f"; its finalizers: {finalizers}" if finalizers else "")


def targets_of(objects: Iterable[tuple[Kind, Mapping[str, Any]]]) -> list[Target]:
    """Name the objects of a lab by their metadata."""
    return [
        Target(kind, metadata.get("namespace"), str(metadata["name"]))
        for kind, metadata in objects
    ]

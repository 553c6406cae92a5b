"""How objects go: grace periods, preconditions, finalizers, namespaces.

Sources: https://kubernetes.io/docs/concepts/architecture/garbage-collection/,
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
and https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import attrs

from .decoding import decode_options
from .errors import (
    bad_request,
    conflict,
    forbidden,
    invalid_options,
    invalid_value,
    not_implemented,
    unsupported,
)
from .metadata import parsed, timestamp
from .requests import whole_number
from .resources import NAMESPACES, PODS, is_going, name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .resources import Object, Resource
    from .store import Store

#: The finalizers that the garbage collector takes off.
COLLECTED = ("foregroundDeletion", "orphan")
# https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#namespacelifecycle
_IMMORTAL = ("default", "kube-public", "kube-system")
_POLICIES = {"Foreground": "foregroundDeletion", "Orphan": "orphan", "Background": None}


@attrs.frozen
class DeleteOptions:
    """What a DELETE says besides its path."""

    grace_seconds: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    finalizer: str | None = None

    @classmethod
    def parse(cls, body: Any, query: Mapping[str, str]) -> DeleteOptions:
        """Read them from the body, or without one from the query.

        Raises
        ------
        APIError
            400 or 422: they cannot be read; 501: a dry run.
        """
        if body is not None and not isinstance(body, dict):
            raise bad_request("the body of a DELETE has to be a DeleteOptions object")
        kind = (body or {}).get("kind", "DeleteOptions")
        if kind != "DeleteOptions":
            version = (body or {}).get("apiVersion")
            raise bad_request(
                f'no kind "{kind}" is registered for version "{version}" in scheme '
                '"pkg/runtime/scheme.go:111"'
            )
        # What the query says counts where there is no body.
        options = decode_options("DeleteOptions", body) if body else _in_query(query)
        if options.get("dryRun") or query.get("dryRun"):
            raise not_implemented("dry runs")
        grace = options.get("gracePeriodSeconds")
        preconditions = options.get("preconditions", {})
        return cls(
            # A negative period ends at once, with a second's grace.
            grace_seconds=1 if grace is not None and grace < 0 else grace,
            uid=preconditions.get("uid"),
            resource_version=preconditions.get("resourceVersion"),
            finalizer=_finalizer(options),
        )


def _in_query(query: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if "gracePeriodSeconds" in query:
        options["gracePeriodSeconds"] = whole_number(query["gracePeriodSeconds"])
    if "propagationPolicy" in query:
        options["propagationPolicy"] = query["propagationPolicy"]
    if "orphanDependents" in query:
        options["orphanDependents"] = query["orphanDependents"].lower() not in ("0", "false")
    return options


def _finalizer(options: Mapping[str, Any]) -> str | None:
    policy = options.get("propagationPolicy")
    orphan = options.get("orphanDependents")
    if policy is not None and orphan is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        raise invalid_options("DeleteOptions", invalid_value("propagationPolicy", policy, text))
    if orphan is not None:
        return "orphan" if orphan else None
    if policy not in (None, *_POLICIES):
        known = ("Foreground", "Background", "Orphan", "nil")
        raise invalid_options("DeleteOptions", unsupported("propagationPolicy", policy, known))
    return _POLICIES.get(policy or "Background")


def delete(store: Store, resource: Resource, obj: Object, options: DeleteOptions) -> Object:
    """Begin to delete an object, or delete it, and give what the server answers.

    Guarantees that a pod with a grace period and an object with finalizers stay,
    marked by their deletionTimestamp, until they are found free (`is_free`).

    Raises
    ------
    APIError
        403: a namespace that has to stay; 409: a precondition does not fit.
    """
    if resource is NAMESPACES and name_of(obj) in _IMMORTAL:
        raise forbidden(resource, name_of(obj), "this namespace may not be deleted")
    _check_preconditions(resource, obj, options)
    if resource is NAMESPACES:
        return _terminate(store, obj, options)
    if options.finalizer is not None and options.finalizer not in _finalizers(obj):
        obj = _with_metadata(obj, finalizers=[*_finalizers(obj), options.finalizer])
    if resource is PODS:
        return _delete_pod(store, obj, options)
    if not _finalizers(obj):
        removed = store.remove(resource, obj)
        return removed if resource.answers_deleted else _success(resource, removed)
    if not is_going(obj):
        obj = _with_metadata(obj, deletionTimestamp=timestamp(), deletionGracePeriodSeconds=0)
    return _put(store, resource, obj)


def is_free(obj: Object) -> bool:
    """Whether an object that is being deleted may be removed now."""
    metadata = obj["metadata"]
    return (
        is_going(obj)
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and "kubernetes" not in obj.get("spec", {}).get("finalizers", ())
    )


def _check_preconditions(resource: Resource, obj: Object, options: DeleteOptions) -> None:
    metadata = obj["metadata"]
    name = name_of(obj)
    checks = (
        ("UID", options.uid, metadata["uid"], "deleted and then recreated"),
        ("ResourceVersion", options.resource_version, metadata["resourceVersion"], "modified"),
    )
    for field, wanted, found, suspicion in checks:
        if wanted in (None, found):
            continue
        if resource is NAMESPACES:
            text = (
                f"Precondition failed: {field} in precondition: {wanted}, "
                f"{field} in object meta: {found}"
            )
            raise conflict(resource, name, text)
        text = (
            f"the {field} in the precondition ({wanted}) does not match the {field} in record "
            f"({found}). The object might have been {suspicion}"
        )
        raise conflict(resource, name, text, subject=resource.kind)


def _terminate(store: Store, namespace: Object, options: DeleteOptions) -> Object:
    if is_going(namespace):
        return namespace
    if options.finalizer is not None:
        finalizers = [*_finalizers(namespace), options.finalizer]
        namespace = _with_metadata(namespace, finalizers=finalizers)
    going = _with_metadata(namespace, deletionTimestamp=timestamp())
    return store.put(NAMESPACES, {**going, "status": {**going["status"], "phase": "Terminating"}})


def _delete_pod(store: Store, pod: Object, options: DeleteOptions) -> Object:
    metadata = pod["metadata"]
    asked = options.grace_seconds
    if is_going(pod):
        before = metadata["deletionGracePeriodSeconds"]
        # It can be shortened, not prolonged.
        if asked is None or asked >= before:
            return _put(store, PODS, pod)
        grace = asked
        end = parsed(metadata["deletionTimestamp"]) + timedelta(seconds=grace - before)
        deletion = end.strftime("%Y-%m-%dT%H:%M:%SZ")
        generation = metadata["generation"]
    else:
        wanted = pod["spec"]["terminationGracePeriodSeconds"] if asked is None else asked
        grace = _pod_grace(pod, wanted)
        deletion = timestamp(grace)
        generation = metadata["generation"] + 1
    going = _put(
        store,
        PODS,
        _with_metadata(
            pod,
            generation=generation,
            deletionTimestamp=deletion,
            deletionGracePeriodSeconds=grace,
        ),
    )
    return store.remove(PODS, going) if is_free(going) else going


def _pod_grace(pod: Object, wanted: int) -> int:
    # Nobody has to stop what runs nowhere, or no longer.
    if not pod["spec"].get("nodeName") or pod["status"].get("phase") in ("Succeeded", "Failed"):
        return 0
    return wanted


def _put(store: Store, resource: Resource, obj: Object) -> Object:
    """Store an object unless it is what is stored already."""
    metadata = obj["metadata"]
    current = store.get(resource, metadata.get("namespace"), metadata["name"])
    return obj if obj == current else store.put(resource, obj)


def _finalizers(obj: Object) -> list[str]:
    found: list[str] = obj["metadata"].get("finalizers", [])
    return found


def _with_metadata(obj: Object, **changes: Any) -> Object:
    return {**obj, "metadata": {**obj["metadata"], **changes}}


def _success(resource: Resource, obj: Object) -> Object:
    details = {"name": name_of(obj)}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    details["uid"] = obj["metadata"]["uid"]
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }

"""What comes in: manifests and patched objects, before anything is made of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import quota as quota_rules
from .decoding import decode
from .errors import APIError, bad_request, invalid, invalid_value, modified, not_implemented
from .resources import QUOTAS, name_of, namespace_of

if TYPE_CHECKING:
    from .resources import Object, Resource

# What the server makes itself, whatever a manifest says.
_SYSTEM_FIELDS = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "selfLink",
    "uid",
)
_OTHER_NAMESPACE = (
    "the namespace of the provided object does not match the namespace sent on the request"
)


def new(
    resource: Resource, namespace: str | None, body: Any, validation: str
) -> tuple[Object, list[str]]:
    """Read a manifest, without what only the server writes.

    Raises
    ------
    APIError
        400 or 501.
    """
    _check_type(resource, body)
    decoded, warnings = decode(resource, body, validation)
    obj = {"kind": resource.kind, "apiVersion": resource.api_version, **decoded}
    if resource.custom and resource.status:
        obj.pop("status", None)
    metadata = obj.setdefault("metadata", {})
    if "ownerReferences" in metadata:
        raise not_implemented("delete objects with their owners (metadata.ownerReferences)")
    if resource is QUOTAS:
        quota_rules.refuse_scopes(obj.get("spec", {}))
    for field in _SYSTEM_FIELDS:
        metadata.pop(field, None)
    if namespace is None:
        metadata.pop("namespace", None)
    elif metadata.setdefault("namespace", namespace) != namespace:
        raise bad_request(_OTHER_NAMESPACE)
    return obj, warnings


def _check_type(resource: Resource, body: Any) -> None:
    if not isinstance(body, dict):
        problem = body if isinstance(body, ValueError) else "it is not a JSON object"
        raise bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): couldn't get "
            f"version/kind; json parse error: {problem}"
        )
    if resource.custom:
        _check_custom_type(resource, body)
        return
    kind = body.get("kind", resource.kind)
    version = body.get("apiVersion", resource.api_version)
    if version != resource.api_version:
        raise bad_request(
            f'{kind} in version "{version}" cannot be handled as a {resource.kind}: no kind '
            f'"{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"'
        )
    if kind != resource.kind:
        go_version = resource.api_version.rpartition("/")[2]
        group = (resource.group or "core").partition(".")[0]
        raise bad_request(
            f'{kind} in version "{version}" cannot be handled as a {resource.kind}: converting '
            f"({go_version}.{kind}) to ({group}.{resource.kind}): unknown conversion"
        )


def _check_custom_type(resource: Resource, body: Object) -> None:
    # Others know what a path is about; of these the body has to say so.
    for field, name in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not body.get(field):
            raw = json.dumps(body)
            raise bad_request(
                f"the object provided is unrecognized (must be of type {resource.kind}): Object "
                f"'{name}' is missing in '{raw}' ({raw[:30]} ...)"
            )


def decode_patched(resource: Resource, obj: Object, validation: str) -> tuple[Object, list[str]]:
    """Read what a patch has made of an object; a type that does not fit is 422 here.

    Raises
    ------
    APIError
        422.
    """
    try:
        return decode(resource, obj, validation)
    except APIError as error:
        problem = error.message.partition(f"cannot be handled as a {resource.kind}: ")[2]
        value = json.dumps(obj, separators=(",", ":"))
        raise invalid("", "", [invalid_value("patch", value, problem)]) from None


def check_identity(resource: Resource, current: Object, after: Object) -> None:
    """Refuse a change of what an object is known by.

    Raises
    ------
    APIError
        400, 409 or 422.
    """
    before, metadata = current["metadata"], after["metadata"]
    name = name_of(current)
    if metadata.get("name") != name:
        raise bad_request(
            f"the name of the object ({metadata.get('name')}) does not match the name on the "
            f"URL ({name})"
        )
    if metadata.get("namespace") != namespace_of(current):
        raise bad_request(_OTHER_NAMESPACE)
    if metadata.get("resourceVersion") not in (None, before["resourceVersion"]):
        raise modified(resource, name)
    if metadata.get("uid") not in (None, before["uid"]):
        cause = invalid_value("metadata.uid", metadata["uid"], "field is immutable")
        raise invalid(resource.kind, name, [cause], resource.group)


def kept_metadata(current: Object, after: Object) -> Object:
    """Give the metadata after a change: what clients may not change stays."""
    metadata = dict(after["metadata"])
    for field in (*_SYSTEM_FIELDS, "resourceVersion"):
        metadata.pop(field, None)
        if field in current["metadata"]:
            metadata[field] = current["metadata"][field]
    return metadata

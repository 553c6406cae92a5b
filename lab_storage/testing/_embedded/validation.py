"""Which objects and changes do not fit: 422, with the server's texts.

Metadata is checked here, what each kind contains in `kind_validation` and
`pod_validation`. What labs get wrong is checked as kube-apiserver 1.37 checks it; a
spec that it would refuse for a rarer reason is taken here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import custom, kind_validation
from .errors import Cause, forbidden_field, invalid, invalid_value, required, too_long
from .names import DNS_LABEL, DNS_SUBDOMAIN, Rule, labels, named, qualified
from .resources import CONFIG_MAPS, NAMESPACES, ROLE_BINDINGS, ROLES, SECRETS, SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .resources import Object, Resource

_LONGEST_ANNOTATIONS = 256 * 1024
# What `immutable` keeps from being changed, in the server's order.
_IMMUTABLE = ("immutable", "data", "binaryData")


def validate(resource: Resource, obj: Object) -> None:
    """Refuse an object that does not fit.

    Raises
    ------
    APIError
        422, with every field that does not fit.
    """
    _refuse(resource, obj, [*_metadata(resource, obj["metadata"]), *_content(resource, obj)])


def validate_change(resource: Resource, before: Object, after: Object) -> None:
    """Refuse a change that does not fit, or of what may not be changed.

    Raises
    ------
    APIError
        422, with every field that does not fit.
    """
    causes = list(_metadata(resource, after["metadata"]))
    if resource in (CONFIG_MAPS, SECRETS):
        causes += _immutable(before, after)
    if "spec" not in before or after["spec"] != before["spec"]:
        causes += _content(resource, after)
    _refuse(resource, after, causes)


def _refuse(resource: Resource, obj: Object, causes: list[Cause]) -> None:
    if causes:
        kind = obj["kind"] if resource.custom else resource.kind
        raise invalid(kind, obj["metadata"].get("name", ""), causes, resource.group)


def _metadata(resource: Resource, metadata: Object) -> Iterator[Cause]:
    if not metadata.get("name"):
        yield required("metadata.name", "name or generateName is required")
    elif rule := _rule_of(resource):
        yield from named("metadata.name", metadata["name"], rule)
    yield from labels("metadata.labels", metadata.get("labels", {}))
    annotations = metadata.get("annotations", {})
    for key in annotations:
        # The case of annotations' keys does not matter to the server.
        yield from qualified("metadata.annotations", key, lowered=True)
    if sum(len(f"{key}{value}".encode()) for key, value in annotations.items()) > (
        _LONGEST_ANNOTATIONS
    ):
        yield too_long("metadata.annotations", _LONGEST_ANNOTATIONS)
    for i, finalizer in enumerate(metadata.get("finalizers", ())):
        if "/" not in finalizer and finalizer not in ("foregroundDeletion", "orphan"):
            text = "name is neither a standard finalizer name nor is it fully qualified"
            yield invalid_value(f"metadata.finalizers[{i}]", finalizer, text)


def _rule_of(resource: Resource) -> Rule | None:
    if resource in (ROLES, ROLE_BINDINGS):
        return None  # Any segment of a path will do: "system:x".
    return DNS_LABEL if resource in (NAMESPACES, SERVICES) else DNS_SUBDOMAIN


def _content(resource: Resource, obj: Object) -> Iterator[Cause]:
    return (
        custom.validate(resource, obj)
        if resource.custom
        else kind_validation.validate(resource, obj)
    )


def _immutable(before: Object, after: Object) -> Iterator[Cause]:
    if "type" in before and after.get("type") != before["type"]:
        yield invalid_value("type", after.get("type"), "field is immutable")
    if before.get("immutable"):
        for field in _IMMUTABLE:
            if after.get(field) != before.get(field):
                text = "field is immutable when `immutable` is set"
                yield forbidden_field(field, text)

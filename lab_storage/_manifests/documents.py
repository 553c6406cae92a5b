"""Manifests one by one: documents and lists, what they are called, and their metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from lab_storage._manifests.kinds import DNS_SUBDOMAIN, Kind
from lab_storage._manifests.place import Place, is_list, what_is
from lab_storage._manifests.schema import Format
from lab_storage.exceptions import printable

__all__ = [
    "check_metadata",
    "each_manifest",
    "label_of",
    "title_of",
    "type_of",
    "without_server_fields",
]

# Set by the server only. Source: the fields marked read-only in
# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/
_SET_BY_SERVER: Final = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)
# A group is a DNS name, a version and a kind are words.
_TYPE_WORD: Final = re.compile(r"(?:[a-z0-9][-a-z0-9.]{0,252}/)?[A-Za-z][A-Za-z0-9]{0,62}")
# Nested lists are not as deep as this. An alias in YAML that refers to what contains it makes them
# endless.
_DEEPEST_LIST: Final = 10


def each_manifest(manifests: object) -> Iterator[tuple[Mapping[str, Any], Place]]:
    """Yield each manifest, without blank documents and with lists expanded, and its position."""
    if isinstance(manifests, (Mapping, str, bytes)) or not isinstance(manifests, Iterable):
        raise TypeError(f"manifests must be an iterable of mappings, not {what_is(manifests)}")
    for number, manifest in enumerate(manifests, start=1):
        if manifest is None:
            continue
        if not isinstance(manifest, Mapping):
            raise TypeError(f"manifest {number} must be a mapping, not {what_is(manifest)}")
        for where, item in _items(f"manifest {number}", manifest):
            yield item, Place(label_of(where, item))


def _items(
    where: str, manifest: Mapping[str, Any], depth: int = 0
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a manifest or, if it is a list of objects, its items, as kubectl reads them.

    The items of a list of one kind, such as a ``ConfigMapList``, need not say their kind
    (https://kubernetes.io/docs/reference/using-api/api-concepts/#collections).
    """
    kind, items = str(manifest.get("kind")), manifest.get("items")
    is_any_list = kind == "List" and manifest.get("apiVersion") == "v1"
    if not is_any_list and not (kind.endswith("List") and is_list(items)):
        yield where, manifest
        return
    place = Place(f"{where} ({printable(kind)})")
    if depth > _DEEPEST_LIST:
        place.fail("is nested too deeply")
    place = place.field("items")
    if items is not None and not is_list(items):
        place.refuse(items, "a list")
    for index, item in enumerate(items or ()):
        if not isinstance(item, Mapping):
            place.item(index).refuse(item, "a mapping")
        if not is_any_list and item.get("kind") is None:
            item = {**item, "apiVersion": manifest.get("apiVersion"), "kind": kind[:-4]}
        yield from _items(f"{where}, item {index + 1}", item, depth + 1)


def label_of(where: str, manifest: Mapping[str, Any]) -> str:
    """Describe a manifest that has not been checked: ``Pod lab``, or by its position."""
    kind = manifest.get("kind")
    if not isinstance(kind, str) or re.fullmatch(r"\w{1,63}", kind, re.ASCII) is None:
        return where
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return title_of(kind, name, f"{where} ({kind})")


def title_of(kind: str, name: object, otherwise: str) -> str:
    """Describe an object by kind and name, or otherwise if it has no usable name."""
    if not isinstance(name, str) or not 0 < len(name) <= DNS_SUBDOMAIN.longest:
        return otherwise
    return f"{kind} {printable(name)}"


def type_of(manifest: Mapping[str, Any], place: Place) -> tuple[str, str]:
    """Read ``apiVersion`` and ``kind``."""
    for field in ("apiVersion", "kind"):
        value = manifest.get(field)
        if value is None:
            place.field(field).fail("is required")
        if not isinstance(value, str):
            place.field(field).refuse(value, Format.STRING)
        if _TYPE_WORD.fullmatch(value) is None:
            place.field(field).fail("is not valid in Kubernetes")
    return str(manifest["apiVersion"]), str(manifest["kind"])


def check_metadata(
    name: object, namespace: object, kind: Kind, lab_namespace: str, place: Place
) -> str:
    """Check an object's name and namespace; return the name."""
    place = place.field("metadata")
    if name is None or name == "":
        place.field("name").fail("is required")
    if not isinstance(name, str):
        place.field("name").refuse(name, Format.STRING)
    if not kind.names.allows(name):
        place.field("name").fail(f"must be {kind.names.title}")
    # An empty namespace counts as absent, in the API as in a manifest.
    if namespace is None or namespace == "":
        return name
    if not kind.namespaced:
        place.field("namespace").fail(f"must be left out: a {kind.name} is in no namespace")
    if namespace != lab_namespace:
        place.field("namespace").fail(f"must be {json.dumps(lab_namespace)}")
    return name


def without_server_fields(manifest: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Leave out empty fields that only a server sets; raise if one is not empty.

    ``kubectl create --dry-run -o yaml`` writes empty ones. With a ``resourceVersion`` the server
    refuses an object, with status 500.
    """
    content = _without(manifest, ("status",), place)
    metadata = manifest.get("metadata")
    if isinstance(metadata, Mapping):
        content["metadata"] = _without(metadata, _SET_BY_SERVER, place.field("metadata"))
    return content


def _without(content: Mapping[str, Any], names: tuple[str, ...], place: Place) -> dict[str, Any]:
    for name in names:
        if not _is_empty(content.get(name)):
            place.field(name).fail("is set by the server only: leave it out")
    return {key: value for key, value in content.items() if key not in names}


def _is_empty(value: object, depth: int = 0) -> bool:
    # A Service that kubectl writes has the status {"loadBalancer": {}}.
    if isinstance(value, Mapping) and depth < _DEEPEST_LIST:
        return all(_is_empty(item, depth + 1) for item in value.values())
    return value is None or (isinstance(value, (str, int, float, list, tuple)) and not value)

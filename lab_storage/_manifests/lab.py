"""The objects of a lab as manifests: read, checked, and written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from lab_storage._manifests.convert import ManifestError, Place, read_model, to_json, what_is
from lab_storage._manifests.kinds import (
    CONFIG_MAP,
    DNS_SUBDOMAIN,
    NAMESPACE,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    RESOURCE_QUOTA,
    SECRET,
    SERVICE,
    Kind,
)
from lab_storage._manifests.schema import Format, model_of

if TYPE_CHECKING:
    from lab_storage.models import LabObjectNames, LabObjects

__all__ = ["ManifestError", "lab_manifests", "read_lab"]

_LAB_KINDS: Final = {
    kind.name: kind
    for kind in (
        NAMESPACE,
        CONFIG_MAP,
        SECRET,
        PERSISTENT_VOLUME_CLAIM,
        RESOURCE_QUOTA,
        NETWORK_POLICY,
        SERVICE,
        POD,
    )
}
# Of these a lab has one, or none.
_SINGLE: Final = frozenset({NAMESPACE, RESOURCE_QUOTA, NETWORK_POLICY, SERVICE, POD})


def read_lab(manifests: Iterable[Mapping[str, Any]], names: LabObjectNames) -> dict[str, Any]:
    """Make a lab's models of its manifests.

    Parameters
    ----------
    manifests
        The manifests of all objects, in any order. They are left unchanged, and the models share
        nothing with them.
    names
        Which config map, quota and pod are which, and the namespace.

    Returns
    -------
    dict
        What `LabObjects` is made of, by the names of its attributes.

    Raises
    ------
    ManifestError
        Raised if one does not fit, or is not there.
    TypeError
        Raised if ``manifests`` is no iterable of mappings.
    """
    if isinstance(manifests, (Mapping, str, bytes)) or not isinstance(manifests, Iterable):
        raise TypeError(f"manifests is {what_is(manifests)}, not an iterable of mappings")
    lab = _Lab(names)
    for number, manifest in enumerate(manifests, start=1):
        if not isinstance(manifest, Mapping):
            raise TypeError(f"manifest {number} is {what_is(manifest)}, not a mapping")
        lab.add(manifest, Place(_label(number, manifest)))
    return lab.parts()


class _Lab:
    """The objects of one lab, as they are read one by one."""

    def __init__(self, names: LabObjectNames) -> None:
        self._names = names
        self._wanted = {NAMESPACE: names.namespace, RESOURCE_QUOTA: names.quota, POD: names.pod}
        self._models: dict[Kind, dict[str, Any]] = {kind: {} for kind in _LAB_KINDS.values()}

    def add(self, manifest: Mapping[str, Any], place: Place) -> None:
        """Read one more manifest."""
        kind = _kind_of(manifest, place)
        model = read_model(model_of(kind), manifest, place)
        namespace = self._names.namespace
        name = _check_metadata(
            getattr(model.metadata, "name", None),
            getattr(model.metadata, "namespace", None),
            kind,
            namespace,
            place,
        )
        self._check_fits(kind, name, place)
        if kind.namespaced:
            model.metadata.namespace = namespace
        self._models[kind][name] = model

    def _check_fits(self, kind: Kind, name: str, place: Place) -> None:
        others = self._models[kind]
        if name in others:
            place.fail("is there twice")
        wanted = self._wanted.get(kind, name)
        if name != wanted:
            place.field("metadata").field("name").fail(f"is not {json.dumps(wanted)}")
        if others and kind in _SINGLE:
            place.fail(f"is a second {kind.name}, and a lab has one at most")

    def parts(self) -> dict[str, Any]:
        """Sort the objects by their duty."""
        names = self._names
        if names.namespace not in self._models[NAMESPACE]:
            # All that a lab needs of it is its name, and that is known.
            metadata = {"name": names.namespace}
            manifest = {"apiVersion": NAMESPACE.api_version, "kind": NAMESPACE.name}
            self.add({**manifest, "metadata": metadata}, Place(NAMESPACE.name))
        env_config_map = self._require(CONFIG_MAP, names.env_config_map)
        return {
            "namespace": self._models[NAMESPACE][names.namespace],
            "env_config_map": env_config_map,
            "config_maps": [m for m in self._all(CONFIG_MAP) if m is not env_config_map],
            "secrets": self._all(SECRET),
            "pvcs": self._all(PERSISTENT_VOLUME_CLAIM),
            "quota": next(iter(self._all(RESOURCE_QUOTA)), None),
            "network_policy": next(iter(self._all(NETWORK_POLICY)), None),
            "service": next(iter(self._all(SERVICE)), None),
            "pod": self._require(POD, names.pod),
        }

    def _all(self, kind: Kind) -> list[Any]:
        return list(self._models[kind].values())

    def _require(self, kind: Kind, name: str) -> Any:
        if name not in self._models[kind]:
            Place(f"{kind.name} {json.dumps(name)}").fail("is not among the manifests")
        return self._models[kind][name]


def _label(number: int, manifest: Mapping[str, Any]) -> str:
    """Name a manifest of which nothing is known yet."""
    kind = manifest.get("kind")
    if not isinstance(kind, str) or re.fullmatch(r"\w{1,63}", kind, re.ASCII) is None:
        return f"manifest {number}"
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return _title(kind, name, f"manifest {number} ({kind})")


def _title(kind: str, name: object, otherwise: str) -> str:
    """Name an object as users know it, or in another way if it has no name to speak of."""
    if not isinstance(name, str) or not 0 < len(name) <= DNS_SUBDOMAIN.longest:
        return otherwise
    return f"{kind} {json.dumps(name)}"


def _kind_of(manifest: Mapping[str, Any], place: Place) -> Kind:
    for field in ("apiVersion", "kind"):
        value = manifest.get(field)
        if value is None:
            place.field(field).fail("is required")
        if not isinstance(value, str):
            place.field(field).refuse(value, Format.STRING)
    kind = _LAB_KINDS.get(manifest["kind"])
    if kind is None:
        place.field("kind").fail(f"is none of a lab's: {', '.join(_LAB_KINDS)}")
    if manifest["apiVersion"] != kind.api_version:
        place.field("apiVersion").fail(f"is not {kind.api_version}, that of a {kind.name}")
    return kind


def _check_metadata(
    name: object, namespace: object, kind: Kind, lab_namespace: str, place: Place
) -> str:
    """Check an object's name and namespace, and give the former."""
    place = place.field("metadata")
    if name is None or name == "":
        place.field("name").fail("is required")
    if not isinstance(name, str):
        place.field("name").refuse(name, Format.STRING)
    if not kind.names.allows(name):
        place.field("name").fail(f"is not {kind.names.title}")
    # An empty namespace is none, in the API as in a manifest.
    if namespace is None or namespace == "":
        return name
    if not kind.namespaced:
        place.field("namespace").fail(f"does not belong there: a {kind.name} is in none")
    if namespace != lab_namespace:
        place.field("namespace").fail(f"is not {json.dumps(lab_namespace)}")
    return name


def _write(model: object, kind: Kind, namespace: str, place: Place) -> dict[str, Any]:
    """Write a model as the manifest that is sent to create it."""
    if not isinstance(model, model_of(kind)):
        raise TypeError(f"{place.manifest} is {what_is(model)}, not a {kind.model}")
    content = to_json(model, place)
    for field, value in (("apiVersion", kind.api_version), ("kind", kind.name)):
        if content.pop(field, value) != value:
            place.field(field).fail(f"is not {value}")
    metadata = content.pop("metadata", {})
    if not isinstance(metadata, dict):
        place.field("metadata").refuse(metadata, "a mapping")
    if kind.namespaced and not metadata.get("namespace"):
        metadata["namespace"] = namespace
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **content}


def lab_manifests(objects: LabObjects) -> list[dict[str, Any]]:
    """Check a lab's objects, and write them as the manifests that are sent to create them.

    Parameters
    ----------
    objects
        The objects, made by hand as they may be.

    Returns
    -------
    list of dict
        Their manifests, in the order in which they are to be created: the namespace first, the
        pod last.

    Raises
    ------
    ManifestError
        Raised if one has no name or no good one, is there twice, is in another namespace than
        the lab's, or holds what is not to be had in JSON.
    TypeError
        Raised if one is not of its class, or one is `None` that has to be there.
    """
    manifests = []
    seen = set()
    lab_namespace = ""
    for attribute, kind, model in _objects(objects):
        manifest = _write(model, kind, lab_namespace, Place(attribute))
        metadata = manifest["metadata"]
        name = metadata.get("name")
        place = Place(_title(kind.name, name, attribute))
        name = _check_metadata(name, metadata.get("namespace"), kind, lab_namespace, place)
        if kind is NAMESPACE:
            lab_namespace = name
        if (kind, name) in seen:
            place.fail("is there twice")
        seen.add((kind, name))
        manifests.append(manifest)
    return manifests


def _objects(objects: LabObjects) -> Iterator[tuple[str, Kind, Any]]:
    """List the objects, each with what it is called here, in the order of their creation."""
    yield "namespace", NAMESPACE, objects.namespace
    yield "env_config_map", CONFIG_MAP, objects.env_config_map
    for attribute, kind, models in (
        ("config_maps", CONFIG_MAP, objects.config_maps),
        ("secrets", SECRET, objects.secrets),
        ("pvcs", PERSISTENT_VOLUME_CLAIM, objects.pvcs),
    ):
        for index, model in enumerate(models):
            yield f"{attribute}[{index}]", kind, model
    for attribute, kind, model in (
        ("quota", RESOURCE_QUOTA, objects.quota),
        ("network_policy", NETWORK_POLICY, objects.network_policy),
        ("service", SERVICE, objects.service),
    ):
        if model is not None:
            yield attribute, kind, model
    yield "pod", POD, objects.pod

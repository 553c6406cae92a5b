"""The objects of a lab as manifests: read, checked, and written."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from lab_storage._manifests.convert import read_model, to_json
from lab_storage._manifests.documents import (
    check_metadata,
    each_manifest,
    label_of,
    title_of,
    type_of,
    without_server_fields,
)
from lab_storage._manifests.fields import LabField, fields_of
from lab_storage._manifests.kinds import (
    NAMESPACE,
    POD,
    ROLE,
    ROLE_BINDING,
    SERVICE_ACCOUNT,
    Kind,
)
from lab_storage._manifests.others import other_kind
from lab_storage._manifests.place import Place, what_is
from lab_storage._manifests.schema import model_of
from lab_storage._manifests.sealed import Sealed, forgets_locals

if TYPE_CHECKING:
    from lab_storage.models import LabObjectNames, LabObjects

__all__ = ["check_fields", "lab_manifests", "read_lab"]

# What other objects refer to is created before them, in this order. (A RoleBinding is refused
# while its Role does not exist, since nobody can tell then whether it grants too much.)
_FIRST: Final = (NAMESPACE, SERVICE_ACCOUNT, ROLE, ROLE_BINDING)


def read_lab(
    manifests: Iterable[Mapping[str, Any] | None],
    names: LabObjectNames,
    fields: list[LabField],
    *,
    shared_namespace: bool,
) -> dict[str, Any]:
    """Make a lab's models from its manifests.

    Parameters
    ----------
    manifests
        The manifests of all objects, in any order; `None` is a blank document. They are left
        unchanged, and the models share nothing with them.
    names
        Which config map, quota and pod are which, and the namespace.
    fields
        What every lab consists of; whatever else there is goes to ``others``.
    shared_namespace
        Whether the namespace is not the lab's: none is made then, and none may be there.

    Returns
    -------
    dict
        The models by the attributes of ``fields``, and ``others``.

    Raises
    ------
    ManifestError
        Raised if one does not fit, or is missing.
    TypeError
        Raised if ``manifests`` is not an iterable of mappings.
    """
    lab = _Lab(names, fields, shared_namespace)
    for manifest, place in each_manifest(manifests):
        lab.add(manifest, place)
    return lab.attributes()


def check_fields(manifests: Iterable[Mapping[str, Any] | None], fields: list[LabField]) -> None:
    """Check everything about manifests that does not depend on the names of a lab's objects.

    Parameters
    ----------
    manifests, fields
        As in `read_lab`.

    Raises
    ------
    ManifestError, TypeError
        As in `read_lab`.
    """
    kinds = {field.kind.name: field.kind for field in fields}
    for manifest, place in each_manifest(manifests):
        kind = _kind_of(manifest, kinds, place)
        content = without_server_fields(manifest, place)
        if kind.model:
            read_model(model_of(kind), content, place)


class _Lab:
    """The objects of one lab, as they are read one by one."""

    def __init__(
        self, names: LabObjectNames, fields: list[LabField], shared_namespace: bool
    ) -> None:
        self._names = names
        self._fields = fields
        self._shared_namespace = shared_namespace
        self._kinds = {field.kind.name: field.kind for field in fields}
        self._models: dict[LabField, dict[str, Any]] = {field: {} for field in fields}
        self._others: dict[tuple[Kind, str], dict[str, Any]] = {}

    def add(self, manifest: Mapping[str, Any], place: Place) -> None:
        """Read one more manifest."""
        kind = _kind_of(manifest, self._kinds, place)
        if kind is NAMESPACE and self._shared_namespace:
            place.fail("must be left out: the lab's namespace is shared, and exists already")
        if kind.name not in self._kinds or self._kinds[kind.name] is not kind:
            content, name = write_other(manifest, kind, self._names.namespace, place)
            if (kind, name) in self._others:
                place.fail("is defined more than once")
            self._others[kind, name] = content
            return
        model = read_model(model_of(kind), without_server_fields(manifest, place), place)
        namespace = self._names.namespace
        name = check_metadata(
            getattr(model.metadata, "name", None),
            getattr(model.metadata, "namespace", None),
            kind,
            namespace,
            place,
        )
        field = self._field_of(kind, name, place)
        models = self._models[field]
        if name in models:
            place.fail("is defined more than once")
        if models and not field.is_many:
            place.fail(f"is a second {kind.name}; a lab has at most one")
        if kind.namespaced:
            model.metadata.namespace = namespace
        models[name] = model

    def attributes(self) -> dict[str, Any]:
        """Give the models by the attributes of a lab."""
        attributes: dict[str, Any] = {}
        for field in self._fields:
            is_made = field.kind is NAMESPACE and not self._shared_namespace
            if (field.is_required or is_made) and not self._models[field]:
                self._add_missing(field)
            models = list(self._models[field].values())
            attributes[field.attribute] = models if field.is_many else next(iter(models), None)
        attributes["others"] = list(self._others.values())
        return attributes

    def _add_missing(self, field: LabField) -> None:
        kind, name = field.kind, self._name_of(field)
        if kind is not NAMESPACE:
            there = [
                other
                for each, models in self._models.items()
                if each.kind is kind
                for other in models
            ]
            near = difflib.get_close_matches(str(name), there, n=1)
            hint = f" (is it {near[0]}?)" if near else ""
            Place(f"{kind.name} {name}").fail(f"is not among the manifests{hint}")
        # All that a lab needs of its namespace is the name, and that is known.
        manifest = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name}}
        self.add(manifest, Place(kind.name))

    def _name_of(self, field: LabField) -> str | None:
        """The name that an object must have to be in this field, if it must have one."""
        name: str | None = getattr(self._names, field.attribute, None)
        return name

    def _field_of(self, kind: Kind, name: str, place: Place) -> LabField:
        fields = {self._name_of(field): field for field in self._fields if field.kind is kind}
        found = fields.get(name) or fields.get(None)
        if found is None:
            (wanted,) = fields
            place.field("metadata").field("name").fail(f"must be {json.dumps(wanted)}")
        return found


def _kind_of(manifest: Mapping[str, Any], kinds: Mapping[str, Kind], place: Place) -> Kind:
    api_version, name = type_of(manifest, place)
    kind = kinds.get(name)
    group = api_version.rpartition("/")[0]
    if kind is None or _is_others_group(group):
        for known in kinds.values():
            if name.lower() == known.name.lower() and name != known.name:
                place.field("kind").fail(f"is not valid (is it {known.name}?)")
        return other_kind(api_version, name)
    if api_version != kind.api_version:
        place.field("apiVersion").fail(f"must be {kind.api_version} for a {kind.name}")
    return kind


def _is_others_group(group: str) -> bool:
    """Whether an API group is not one of Kubernetes' own, which may have kinds of its names."""
    return "." in group and not group.endswith(".k8s.io")


def _write(model: object, kind: Kind, namespace: str, place: Place) -> dict[str, Any]:
    """Write a model as the manifest that is sent to create it."""
    content = without_server_fields(to_json(model, place), place)
    for field, value in (("apiVersion", kind.api_version), ("kind", kind.name)):
        if content.pop(field, value) != value:
            place.field(field).fail(f"must be {value}")
    metadata = content.pop("metadata", {})
    if not isinstance(metadata, dict):
        place.field("metadata").refuse(metadata, "a mapping")
    if kind.namespaced and not metadata.get("namespace"):
        metadata["namespace"] = namespace
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **content}


def _name_in(model: Any) -> object:
    metadata = model.metadata
    return (
        metadata.get("name") if isinstance(metadata, Mapping) else getattr(metadata, "name", None)
    )


def write_other(
    manifest: object, kind: Kind, namespace: str, place: Place
) -> tuple[dict[str, Any], str]:
    """Check an object of a kind that not every lab has, and write it as a manifest.

    Parameters
    ----------
    manifest
        The manifest, which is left unchanged.
    kind
        Its kind.
    namespace
        The lab's.
    place
        Where it stands.

    Returns
    -------
    tuple
        The manifest, of JSON's types alone, and the name of the object.
    """
    if not isinstance(manifest, Mapping):
        place.refuse(manifest, "a mapping")
    if not kind.namespaced:
        place.field("kind").fail(f"is cluster-scoped: nobody would delete a {kind.name} of a lab")
    content = without_server_fields(manifest, place)
    # With a model it is checked down to the last field; without, by the server.
    model = read_model(model_of(kind), content, place) if kind.model else content
    written = _write(model, kind, namespace, place)
    metadata = written["metadata"]
    name = check_metadata(metadata.get("name"), metadata.get("namespace"), kind, namespace, place)
    return written, name


@forgets_locals
def lab_manifests(objects: LabObjects) -> list[tuple[Kind, Sealed[dict[str, Any]]]]:
    """Check a lab's objects, and write them as the manifests that are sent to create them.

    Parameters
    ----------
    objects
        The objects, made by hand as they may be.

    Returns
    -------
    list of tuple
        The kind and the manifest of each, in the order in which they are to be created: the
        namespace first unless it is shared, then what others refer to, the pod last.

    Raises
    ------
    ManifestError
        Raised if one has no valid name, is defined more than once, is in another namespace than
        the lab's, has a field that only a server sets, or holds what JSON cannot.
    TypeError
        Raised if one is not of its class, or a required one is `None`.
    """
    lab_namespace = _namespace_of(objects)
    manifests = []
    for field in fields_of(type(objects)):
        kind = field.kind
        for where, model in field.objects(objects):
            if not isinstance(model, model_of(kind)):
                raise TypeError(f"{where} must be a {kind.model}, not {what_is(model)}")
            place = Place(title_of(kind.name, _name_in(model), where))
            manifest = _write(model, kind, lab_namespace, place)
            name, namespace = (manifest["metadata"].get(field) for field in ("name", "namespace"))
            name = check_metadata(name, namespace, kind, lab_namespace, place)
            manifests.append((kind, name, Sealed(manifest)))
    for index, other in enumerate(objects.others):
        where = f"others[{index}]"
        if not isinstance(other, Mapping):
            raise TypeError(f"{where} must be a mapping, not {what_is(other)}")
        place = Place(label_of(where, other))
        kind = other_kind(*type_of(other, place))
        manifest, name = write_other(other, kind, lab_namespace, place)
        manifests.append((kind, name, Sealed(manifest)))
    seen = set()
    for kind, name, _ in manifests:
        if (kind, name) in seen:
            Place(title_of(kind.name, name, kind.name)).fail("is defined more than once")
        seen.add((kind, name))
    manifests.sort(key=lambda each: _turn(each[0]))
    return [(kind, manifest) for kind, _, manifest in manifests]


def _turn(kind: Kind) -> int:
    """When objects of a kind are created; those of one turn keep their order."""
    if kind in _FIRST:
        return _FIRST.index(kind)
    return len(_FIRST) + (kind is POD)


def _namespace_of(objects: LabObjects) -> str:
    """The namespace of a lab: its own or, if that is shared, the one that its pod names."""
    owner = objects.pod if objects.namespace is None else objects.namespace
    field = "namespace" if objects.namespace is None else "name"
    if not isinstance(owner, model_of(POD if field == "namespace" else NAMESPACE)):
        return ""  # refused later, by its own name
    metadata = owner.metadata
    name = metadata.get(field) if isinstance(metadata, Mapping) else getattr(metadata, field, None)
    if field == "namespace" and not name:
        Place(title_of(POD.name, _name_in(owner), "pod")).field("metadata").field(field).fail(
            "is required in a lab whose namespace is shared"
        )
    return name if isinstance(name, str) else ""

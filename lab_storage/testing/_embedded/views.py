"""How an answer shows objects: whole, their metadata alone, or as a Table.

Content negotiation: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from .errors import bad_request, not_acceptable, not_implemented
from .tables import columns, row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .resources import Object, Resource

_META = "meta.k8s.io/v1"
_YAML, _PROTOBUF = "application/yaml", "application/vnd.kubernetes.protobuf"
_MEDIA_TYPES = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


@attrs.frozen
class View:
    """Shows objects whole: what ``application/json`` asks for."""

    resource: Resource

    def one(self, obj: Object) -> Object:
        """Show an object."""
        return obj

    def many(self, objects: Sequence[Object], metadata: dict[str, Any]) -> Object:
        """Show a list; only the items of custom resources carry kind and apiVersion."""
        if self.resource.custom:
            return self._list(list(objects), {"continue": "", **metadata})
        items = [
            {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
            for obj in objects
        ]
        return self._list(items, metadata)

    def _list(self, items: list[Object], metadata: dict[str, Any]) -> Object:
        return {
            "kind": f"{self.resource.kind}List",
            "apiVersion": self.resource.api_version,
            "metadata": metadata,
            "items": items,
        }

    def watched(self, obj: Object, *, first: bool) -> Object:
        """Show the object of a watch event, perhaps the first of the watch."""
        del first
        return obj

    def bookmark(self, metadata: dict[str, Any], *, first: bool) -> Object:
        """Show the object of a BOOKMARK event, which has nothing but metadata."""
        del first
        return {
            "kind": self.resource.kind,
            "apiVersion": self.resource.api_version,
            "metadata": metadata,
        }


class PartialView(View):
    """Shows metadata: ``as=PartialObjectMetadata`` and ``…List``."""

    def one(self, obj: Object) -> Object:
        """Show an object's metadata."""
        return _partial(obj["metadata"])

    def many(self, objects: Sequence[Object], metadata: dict[str, Any]) -> Object:
        """Show a list of metadata; here the items do carry their kind."""
        # An empty list is null here, as real servers send it.
        items = [_partial(obj["metadata"]) for obj in objects] or None
        kind = "PartialObjectMetadataList"
        return {"kind": kind, "apiVersion": _META, "metadata": metadata, "items": items}

    def watched(self, obj: Object, *, first: bool) -> Object:
        """Show the metadata of a watch event's object."""
        del first
        return _partial(obj["metadata"])

    def bookmark(self, metadata: dict[str, Any], *, first: bool) -> Object:
        """Show a bookmark."""
        del first
        return _partial(metadata)


@attrs.frozen
class TableView(View):
    """Shows rows: ``as=Table``.

    Attributes
    ----------
    include
        What of the object comes with its row: None, Metadata or Object.
    """

    include: str = "Metadata"

    def one(self, obj: Object) -> Object:
        """Show an object as a table of one row."""
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        return self._table([self._row(obj)], metadata, defined=True)

    def many(self, objects: Sequence[Object], metadata: dict[str, Any]) -> Object:
        """Show a list as a table."""
        return self._table([self._row(obj) for obj in objects], metadata, defined=True)

    def watched(self, obj: Object, *, first: bool) -> Object:
        """Show an event's object as a table; only the first defines the columns."""
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        return self._table([self._row(obj)], metadata, defined=first)

    def bookmark(self, metadata: dict[str, Any], *, first: bool) -> Object:
        """Show a bookmark: a row about nothing, with the metadata in its object."""
        empty = row(self.resource, {"metadata": {}}, _partial(metadata))
        version = {"resourceVersion": metadata["resourceVersion"]}
        return self._table([empty], version, defined=first)

    def _row(self, obj: Object) -> Object:
        if self.include == "None":
            return row(self.resource, obj, None)
        shown = obj if self.include == "Object" else _partial(obj["metadata"])
        return row(self.resource, obj, shown)

    def _table(self, rows: list[Object], metadata: dict[str, Any], *, defined: bool) -> Object:
        return {
            "kind": "Table",
            "apiVersion": _META,
            "metadata": metadata,
            "columnDefinitions": columns(self.resource) if defined else None,
            "rows": rows,
        }


def view_for(accept: str, include: str, resource: Resource, *, listed: bool) -> View:
    """Choose how to show objects.

    Parameters
    ----------
    accept
        The Accept header.
    include
        The query parameter ``includeObject``, of Tables.
    resource
        What is shown.
    listed
        Whether it is a list; a watch does not count as one.

    Raises
    ------
    APIError
        406: nothing of what is accepted can be made (protobuf is not), or it is for
        the other of lists and single objects; 400: an unknown ``includeObject``; 501:
        only YAML is accepted, which a real server can make.
    """
    yaml = protobuf = readable = False
    for part in accept.split(",") if accept else ("*/*",):
        media_type, *parameters = (each.strip() for each in part.split(";"))
        yaml, protobuf = yaml or media_type == _YAML, protobuf or media_type == _PROTOBUF
        if media_type not in ("application/json", "application/*", "*/*"):
            continue
        readable = True
        given = dict(each.partition("=")[::2] for each in parameters)
        if "as" not in given:
            return View(resource)
        if (given.get("v"), given.get("g")) == ("v1", "meta.k8s.io"):
            found = _converted(given["as"], include, resource, listed=listed)
            if found is not None:
                return found
    if protobuf:
        # As by a server that has no protobuf, such as one of custom resources.
        raise not_acceptable("only the following media types are accepted: application/json")
    if yaml:
        raise not_implemented(f"answer in {accept}")
    if readable:
        raise not_acceptable(f"only the following media types are accepted: {_MEDIA_TYPES}")
    text = f"406: Not Acceptable\n\nAvailable representations: {_MEDIA_TYPES}"
    raise not_acceptable(text, {})


def _converted(target: str, include: str, resource: Resource, *, listed: bool) -> View | None:
    if target == "Table":
        if include not in ("", "None", "Metadata", "Object"):
            raise bad_request(
                "Unable to convert to Table as requested: includeObject: Invalid value: "
                f"\"{include}\": must be 'Metadata', 'Object', 'None', or empty"
            )
        return TableView(resource, include or "Metadata")
    if target not in ("PartialObjectMetadata", "PartialObjectMetadataList"):
        return None
    if listed and target == "PartialObjectMetadata":
        found = f"is a list (*core.{resource.kind}List)"
    elif not listed and target == "PartialObjectMetadataList":
        found = f"is not a list (*core.{resource.kind})"
    else:
        return PartialView(resource)
    raise not_acceptable(f"you requested {target}, but the requested object {found}")


def _partial(metadata: dict[str, Any]) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": metadata}

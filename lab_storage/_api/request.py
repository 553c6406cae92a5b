"""What is asked of the API server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import attrs

from lab_storage._manifests.kinds import Kind
from lab_storage.exceptions import describe_object

JSON = "application/json"
# https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
# documents `as=`; a server that does not know it sends whole objects.
METADATA = f"{JSON};as=PartialObjectMetadata;v=v1;g=meta.k8s.io,{JSON}"
METADATA_LIST = f"{JSON};as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,{JSON}"
TABLE = f"{JSON};as=Table;v=v1;g=meta.k8s.io,{JSON}"


@attrs.frozen(eq=False)
class Request:
    """One request to the API server, which may take several attempts.

    Attributes
    ----------
    method
        The HTTP method.
    kind, namespace, name
        The object or objects concerned.
    query
        The query parameters, not encoded.
    body
        JSON, by `to_body`.
    accept
        The media types that may come back.
    collection
        Whether it goes to the collection, although it may concern one object.
    subresource
        The part of the object that it goes to, such as ``log``.
    """

    method: str
    kind: Kind
    namespace: str | None = None
    name: str | None = None
    query: Mapping[str, str] = attrs.field(factory=dict)
    body: memoryview | None = attrs.field(default=None, repr=False)
    accept: str = JSON
    collection: bool = False
    subresource: str | None = None

    @property
    def url(self) -> str:
        """Path and query, encoded."""
        path = self.kind.path(self.namespace, None if self.collection else self.name)
        if self.subresource is not None:
            path += f"/{self.subresource}"
        return f"{path}?{urlencode(self.query)}" if self.query else path

    @property
    def verb(self) -> str:
        """Kubernetes' word for it, as in RBAC."""
        if self.method != "GET":
            return {"POST": "create", "DELETE": "delete"}.get(self.method, self.method.lower())
        if self.query.get("watch") == "true":
            return "watch"
        # What a group has is not a resource itself
        # (https://kubernetes.io/docs/reference/access-authn-authz/authorization/#request-verb-non-resource).
        is_list = bool(self.kind.plural) and (self.collection or self.name is None)
        return "list" if is_list else "get"

    def __str__(self) -> str:
        about = describe_object(self.kind.name, self.namespace, self.name)
        return f"{self.method} {about}"


def list_of_one(kind: Kind, namespace: str | None, name: str) -> Request:
    """List the objects of a name, of which there is at most one: a watch begins with a list."""
    return Request(
        "GET",
        kind,
        namespace,
        name,
        query={"fieldSelector": f"metadata.name={name}"},
        collection=True,
    )


def to_body(content: dict[str, Any]) -> memoryview:
    """Encode what is sent: a view, because nobody who prints local variables looks into one."""
    return memoryview(json.dumps(content, allow_nan=False).encode())

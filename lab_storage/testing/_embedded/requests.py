"""What a request is about: verb, resource, namespace and name, from its path."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from .errors import (
    bad_request,
    method_not_allowed,
    no_such_path,
    not_implemented,
)
from .resources import NAMESPACES, RESOURCES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .resources import Resource

# Those that a real server has for the resources here, and this one has not.
_OTHER_SUBRESOURCES = frozenset(
    {
        "attach",
        "binding",
        "ephemeralcontainers",
        "eviction",
        "exec",
        "finalize",
        "log",
        "portforward",
        "proxy",
        "resize",
        "token",
    }
)
_ON_COLLECTION = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_ON_OBJECT = {"GET": "get", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}
_HERE = frozenset({"list", "watch", "create", "get", "patch", "delete"})


@attrs.frozen
class Target:
    """What a request is about.

    Attributes
    ----------
    verb
        As RBAC names it.
    resource
        Of what.
    namespace, name, subresource
        Of which object; ``None`` where the path says nothing.
    query
        The query parameters; of one that is there twice, the first.
    """

    verb: str
    resource: Resource
    namespace: str | None
    name: str | None
    subresource: str | None
    query: Mapping[str, str] = attrs.field(repr=False)

    @property
    def what(self) -> str:
        """The resource and subresource, as rules name them: ``pods/status``."""
        plural = self.resource.plural
        return f"{plural}/{self.subresource}" if self.subresource else plural

    @property
    def scope(self) -> str | None:
        """The namespace that authorization sees: a namespace's is itself."""
        return self.name if self.resource is NAMESPACES else self.namespace


@attrs.frozen
class RecordedRequest:
    """A request that the server has seen.

    Attributes
    ----------
    method, path, query
        Its request line.
    headers
        Its headers, by their names in lower case.
    verb, resource, namespace, name
        What it is about, as rules match it; ``None`` for other paths.
    user
        Who asked; ``None`` for an unknown token.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = attrs.field(repr=False)
    verb: str | None = None
    resource: str | None = None
    namespace: str | None = None
    name: str | None = None
    user: str | None = None


def split(target: str) -> tuple[str, dict[str, str]]:
    """Split a request's target into its path and its query."""
    parts = urlsplit(target)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    return parts.path, dict(reversed(pairs))


def whole_number(text: str) -> int:
    """Read a number of a query.

    Raises
    ------
    APIError
        400: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def find_target(method: str, path: str, query: Mapping[str, str]) -> Target:
    """Find what a path of the API is about.

    Raises
    ------
    APIError
        404 and 405 where a real server says so, 501 for all that only a real
        server has.
    """
    resource, namespace, name, subresource = _parts(path)
    if subresource is not None and not (subresource == "status" and resource.status):
        if subresource in _OTHER_SUBRESOURCES:
            raise not_implemented(f"{subresource} of {resource.plural}")
        raise no_such_path()
    verb = (_ON_COLLECTION if name is None else _ON_OBJECT).get(method)
    everywhere = resource.namespaced and namespace is None
    if verb is None or (everywhere and verb != "list"):
        raise method_not_allowed()
    if verb == "deletecollection" and resource is NAMESPACES:
        raise method_not_allowed()
    if verb == "list" and query.get("watch", "0").lower() not in ("0", "false"):
        verb = "watch"
    if verb not in _HERE:
        raise not_implemented(f"{verb} {resource.plural}")
    return Target(verb, resource, namespace, name, subresource, query)


def _parts(path: str) -> tuple[Resource, str | None, str | None, str | None]:
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[:2] == ["api", "v1"]:
        group, rest = "", parts[2:]
    elif parts[0] == "apis" and parts[2:3] == ["v1"]:
        group, rest = parts[1], parts[3:]
    else:
        raise not_implemented(f"the path {path}")
    if "" in rest:
        raise no_such_path()
    namespace = None
    if len(rest) > 2 and rest[0] == "namespaces" and (group, rest[2]) in RESOURCES:
        namespace, rest = rest[1], rest[2:]
    resource = RESOURCES.get((group, rest[0])) if rest else None
    if resource is None or len(rest) > 3:
        raise not_implemented(f"the path {path}")
    if namespace is not None and not resource.namespaced:
        raise no_such_path()
    name, subresource = (*rest[1:], None, None)[:2]
    return resource, namespace, name, subresource

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
    page_not_found,
)
from .resources import NAMESPACES, PODS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .resources import Resource, Resources

# Those that a real server has for the resources here, and this one does not.
_OTHER_SUBRESOURCES = frozenset(
    {
        "attach",
        "binding",
        "ephemeralcontainers",
        "eviction",
        "exec",
        "finalize",
        "portforward",
        "proxy",
        "resize",
        "token",
    }
)
_ON_COLLECTION = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_ON_OBJECT = {"GET": "get", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}
# Kinds and groups of a real server that this one does not have: it refuses to say
# of them that they do not exist.
_OTHER_RESOURCES = frozenset(
    {
        "bindings",
        "clusterrolebindings",
        "clusterroles",
        "componentstatuses",
        "endpoints",
        "ingressclasses",
        "ipaddresses",
        "limitranges",
        "nodes",
        "persistentvolumes",
        "podtemplates",
        "replicationcontrollers",
        "servicecidrs",
    }
)
_OTHER_GROUPS = frozenset({"apps", "autoscaling", "batch"})
_OTHER_PATHS = frozenset({".well-known", "debug", "logs", "metrics", "openapi", "openid"})
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
        The query parameters; of one that appears twice, the first.
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
        The user whose token was sent; ``None`` for an unknown token.
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
        400: it is not a number.
    """
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def find_target(resources: Resources, method: str, path: str, query: Mapping[str, str]) -> Target:
    """Find what a path of the API is about.

    Raises
    ------
    APIError
        404 and 405 where a real server says so, 501 for all that only a real
        server has.
    """
    resource, namespace, name, subresource = _parts(resources, path)
    if not _has(resource, subresource):
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


def _has(resource: Resource, subresource: str | None) -> bool:
    if subresource == "log":
        return resource is PODS
    return subresource is None or (subresource == "status" and resource.status)


def _parts(resources: Resources, path: str) -> tuple[Resource, str | None, str | None, str | None]:
    group, version, rest = _group_of(path)
    versions = resources.versions()
    if group not in versions:
        raise _absent_group(group, path)
    if "" in rest or version not in versions[group]:
        raise no_such_path()
    namespace = None
    if len(rest) > 2 and rest[0] == "namespaces":
        namespaced = resources.find(group, version, rest[2])
        if namespaced is not None or rest[2] not in ("finalize", "status"):
            namespace, rest = rest[1], rest[2:]
    resource = resources.find(group, version, rest[0]) if rest else None
    if resource is None:
        if rest and rest[0] in _OTHER_RESOURCES:
            raise not_implemented(f"the path {path}")
        raise no_such_path()
    if len(rest) > 3:
        raise not_implemented(f"the path {path}") if rest[2] == "proxy" else no_such_path()
    if namespace is not None and not resource.namespaced:
        raise no_such_path()
    name, subresource = (*rest[1:], None, None)[:2]
    if name is not None and namespace is None and resource.namespaced:
        raise no_such_path()
    return resource, namespace, name, subresource


def _group_of(path: str) -> tuple[str, str, list[str]]:
    """Split a path into API group, version and the rest."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[0] == "api" and len(parts) > 1:
        return "", parts[1], parts[2:]
    if parts[0] == "apis" and len(parts) > 2:
        return parts[1], parts[2], parts[3:]
    raise not_implemented(f"the path {path}") if parts[0] in _OTHER_PATHS else page_not_found()


def _absent_group(group: str, path: str) -> Exception:
    if group in _OTHER_GROUPS or group.endswith(".k8s.io"):
        return not_implemented(f"the path {path}")
    return page_not_found()

"""Discovery: which groups, versions and resources there are.

Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/ (unaggregated
discovery). Of the verbs and subresources of a real server, those that are served
here are listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .errors import method_not_allowed, no_such_path, not_acceptable, page_not_found
from .resources import PODS, SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .resources import Resource, Resources

_VERBS = ["create", "delete", "get", "list", "patch", "watch"]
_JSON = ("application/json", "application/*", "*/*")


def is_discovery(path: str) -> bool:
    """Whether a path asks for groups and resources, and not for an object."""
    parts = path.strip("/").split("/")
    return (parts[0] == "api" and len(parts) <= 2) or (parts[0] == "apis" and len(parts) <= 3)


def discover(resources: Resources, method: str, path: str, accept: str, host: str) -> Any:
    """Answer a path for which `is_discovery` is true.

    Parameters
    ----------
    resources
        What there is.
    method, path, accept
        The request, with its Accept header.
    host
        The server's own address, with its port.

    Raises
    ------
    APIError
        404, 405 or 406.
    """
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if method not in ("GET", "HEAD"):
        raise method_not_allowed()
    _check_accept(accept)
    versions = resources.versions()
    if parts == ["api"]:
        address = {"clientCIDR": "0.0.0.0/0", "serverAddress": host}
        core = {"kind": "APIVersions", "versions": versions[""]}
        return {**core, "serverAddressByClientCIDRs": [address]}
    if parts == ["apis"]:
        groups = [_group(name, versions[name]) for name in versions if name]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    group = "" if parts[0] == "api" else parts[1]
    if group not in versions:
        raise page_not_found()
    if parts[0] == "apis" and len(parts) == 2:
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, versions[group])}
    if parts[-1] not in versions[group]:
        raise no_such_path()
    found: dict[str, Any] = {"kind": "APIResourceList"}
    if group:
        found["apiVersion"] = "v1"
    found["groupVersion"] = f"{group}/{parts[-1]}" if group else parts[-1]
    chosen = [each for each in resources if (each.group, each.version) == (group, parts[-1])]
    chosen.sort(key=lambda each: each.plural)
    found["resources"] = [entry for each in chosen for entry in _entries(each)]
    return found


def _check_accept(accept: str) -> None:
    """Serve plain JSON: aggregated discovery and protobuf are asked for with it as well."""
    for part in accept.split(",") if accept else ("*/*",):
        media_type, *parameters = (each.strip() for each in part.split(";"))
        if media_type in _JSON and not any(each.startswith("as=") for each in parameters):
            return
    raise not_acceptable("only the following media types are accepted: application/json")


def _group(name: str, versions: list[str]) -> dict[str, Any]:
    entries = [{"groupVersion": f"{name}/{each}", "version": each} for each in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def _entries(resource: Resource) -> Iterator[dict[str, Any]]:
    common = {"namespaced": resource.namespaced, "kind": resource.kind}
    entry = {"name": resource.plural, "singularName": resource.kind.lower(), **common}
    entry["verbs"] = list(_VERBS)
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource in (PODS, SERVICES):
        entry["categories"] = ["all"]
    yield entry
    if resource is PODS:
        yield {"name": "pods/log", "singularName": "", **common, "verbs": ["get"]}
    if resource.status:
        verbs = ["get", "patch"]
        yield {
            "name": f"{resource.plural}/status",
            "singularName": "",
            **common,
            "verbs": verbs,
        }

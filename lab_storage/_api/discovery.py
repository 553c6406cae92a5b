"""The resources of kinds that the library does not know: asked of the server, and remembered.

See https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api: unaggregated
discovery, which every server has. All resources at once are asked for by aggregated discovery,
where the server has that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import attrs

from lab_storage._api.answer import Answer, mapping_at, mappings_at
from lab_storage._api.call import Call
from lab_storage._api.request import JSON, Request
from lab_storage._api.workers import Workers
from lab_storage._manifests.kinds import Kind
from lab_storage.exceptions import KubernetesError

# https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery
_AGGREGATED = ",".join(
    [f"{JSON};g=apidiscovery.k8s.io;v={v};as=APIGroupDiscoveryList" for v in ("v2", "v2beta1")]
    + [JSON]
)
# What cannot be created or deleted, such as the PodMetrics of a metrics server, is nobody's.
_VERBS = {"create", "delete", "list"}


class Discovery:
    """What a server has, as far as it was asked. Safe to use from any thread."""

    def __init__(self) -> None:
        # By API group and version: its kinds. Only replaced, never changed.
        self._kinds: dict[str, dict[str, Kind]] = {}

    def resolve(self, call: Call, kind: Kind, *, anew: bool = False) -> Kind | None:
        """Complete a kind by what the server says of it. Blocks, unless it is known.

        Parameters
        ----------
        call
            Sends the request.
        kind
            The kind. One that has its plural already is complete.
        anew
            Whether to ask, whatever is known: the server did not find the resource.

        Returns
        -------
        Kind or None
            With its plural, and whether it lives in a namespace; `None` if the server does not
            have it.
        """
        known = self._kinds.get(kind.api_version)
        # A kind that was missing may have come meanwhile: a custom one can at any time.
        if known is None or kind.name not in known or anew:
            known = self._kinds[kind.api_version] = _read_kinds(call, kind.api_version)
        found = known.get(kind.name)
        if found is None:
            return None
        return attrs.evolve(kind, plural=found.plural, namespaced=found.namespaced)


def namespaced_kinds(call: Call, workers: Workers) -> list[Kind]:
    """Read which kinds of objects can be in a namespace: all that can be listed and deleted.

    Always asks, since a custom kind can come at any time. Each kind is there once, in the first
    version that its API group names. What the caller may not discover is left out.
    """
    roots = [partial(_read_root, path=path) for path in ("/api", "/apis")]
    kinds: list[Kind] = []
    versions: list[str] = []
    for known, unknown in workers.run(call, roots):
        kinds += known
        versions += unknown
    tasks = [partial(_read_namespaced, api_version=each) for each in versions]
    for found in workers.run(call, tasks):
        kinds += found
    once: dict[tuple[str, str], Kind] = {}
    for kind in kinds:
        once.setdefault(group_resource(kind), kind)
    return list(once.values())


def group_resource(kind: Kind) -> tuple[str, str]:
    """What a kind is in all its versions: its API group and its plural."""
    return kind.api_version.rpartition("/")[0], kind.plural


class _Root(Kind):
    """Where discovery begins: ``/api`` or ``/apis``."""

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the path."""
        del namespace, name
        return self.plural


def _read_root(call: Call, path: str) -> tuple[list[Kind], list[str]]:
    """Give the namespaced kinds or, by a server without aggregated discovery, the versions."""
    root = _Root("APIGroupDiscoveryList", "v1", path, model="", namespaced=False)
    content = _read(call, Request("GET", root, accept=_AGGREGATED), without=(403, 404))
    kinds = [
        Kind(str(mapping_at(resource, "responseKind").get("kind")), api_version, plural, model="")
        for group in mappings_at(content, "items")
        for version in mappings_at(group, "versions")
        for api_version in [_joined(mapping_at(group, "metadata").get("name"), version)]
        for resource in mappings_at(version, "resources")
        for plural in [resource.get("resource")]
        if isinstance(plural, str) and resource.get("scope") == "Namespaced" and _counts(resource)
    ]
    versions = content.get("versions")
    found = [*versions] if isinstance(versions, list) else []
    for group in mappings_at(content, "groups"):
        found += [each.get("groupVersion") for each in mappings_at(group, "versions")]
    return kinds, [each for each in found if isinstance(each, str)]


def _joined(group: object, version: Mapping[str, Any]) -> str:
    return f"{group}/{version.get('version')}" if group else str(version.get("version"))


def _counts(resource: Mapping[str, Any]) -> bool:
    verbs = resource.get("verbs")
    return isinstance(verbs, list) and set(map(str, verbs)) >= _VERBS


def _read_namespaced(call: Call, api_version: str) -> list[Kind]:
    return [
        kind
        for kind, resource in _read_resources(call, api_version, without=(403, 404))
        if kind.namespaced and _counts(resource)
    ]


def _read_kinds(call: Call, api_version: str) -> dict[str, Kind]:
    """Give the kinds of an API group and version; none if the server does not have it."""
    return {kind.name: kind for kind, _ in _read_resources(call, api_version, without=(404,))}


def _read_resources(
    call: Call, api_version: str, without: tuple[int, ...]
) -> Iterator[tuple[Kind, Mapping[str, Any]]]:
    resources = Kind("APIResourceList", api_version, plural="", model="", namespaced=False)
    content = _read(call, Request("GET", resources), without)
    for resource in mappings_at(content, "resources"):
        plural, name = resource.get("name"), resource.get("kind")
        # Such as pods/log: a part of an object, with a kind of its own or that of the whole.
        if isinstance(plural, str) and isinstance(name, str) and "/" not in plural:
            namespaced = bool(resource.get("namespaced"))
            yield Kind(name, api_version, plural, model="", namespaced=namespaced), resource


def _read(call: Call, request: Request, without: tuple[int, ...]) -> dict[str, Any]:
    """Read a document of discovery; with these statuses, there is nothing in it."""
    try:
        content = call.request(request, Answer.read_object)
    except KubernetesError as error:
        if error.status not in without:
            raise
        return {}
    call.debug("Read resources", request)
    return content

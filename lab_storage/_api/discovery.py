"""The resources of kinds that the library does not know: asked of the server, and remembered.

See https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api: unaggregated
discovery, which every server has.
"""

from __future__ import annotations

import attrs

from lab_storage._api.answer import Answer, mappings_at
from lab_storage._api.call import Call
from lab_storage._api.request import Request
from lab_storage._manifests.kinds import Kind
from lab_storage.exceptions import KubernetesError


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


def _read_kinds(call: Call, api_version: str) -> dict[str, Kind]:
    """Give the kinds of an API group and version; none if the server does not have it."""
    resources = Kind("APIResourceList", api_version, plural="", model="", namespaced=False)
    request = Request("GET", resources)
    try:
        content = call.request(request, Answer.read_object)
    except KubernetesError as error:
        if error.status != 404:
            raise
        return {}
    call.debug("Read resources", request)
    kinds = {}
    for resource in mappings_at(content, "resources"):
        plural, name = resource.get("name"), resource.get("kind")
        # Such as pods/log: a part of an object, with a kind of its own or that of the whole.
        if isinstance(plural, str) and isinstance(name, str) and "/" not in plural:
            namespaced = bool(resource.get("namespaced"))
            kinds[name] = Kind(name, api_version, plural, model="", namespaced=namespaced)
    return kinds

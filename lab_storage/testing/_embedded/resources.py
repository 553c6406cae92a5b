"""The resources that the embedded server speaks of, as data."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: A Kubernetes object as JSON. Once stored it is never changed in place.
Object: TypeAlias = dict[str, Any]


def _at(*path: str) -> Callable[[Object], str]:
    """Give a reader of one field: its text, or nothing where it is not set."""

    def read(obj: Object) -> str:
        value: Any = obj
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return "" if value is None else str(value)

    return read


def _paths(*names: str) -> dict[str, Callable[[Object], str]]:
    return {name: _at(*name.split(".")) for name in names}


def _event_source(event: Object) -> str:
    # An event of the newer API has no source.component but a reportingComponent.
    return _at("source", "component")(event) or _at("reportingComponent")(event)


@attrs.frozen
class Resource:
    """A resource of the API and what sets it apart.

    Attributes
    ----------
    plural, kind, group
        Its names; the version is v1 for all.
    namespaced
        Whether its objects are in a namespace.
    status
        Whether it has a status subresource.
    answers_deleted
        Whether a delete that is done at once answers with the object; the
        others answer with a Status.
    counts_generations
        Whether new objects get a ``metadata.generation``.
    fields
        What field selectors may ask for, besides name and namespace. Empty for
        resources that know only these two.
    """

    plural: str
    kind: str
    group: str = ""
    namespaced: bool = True
    status: bool = False
    answers_deleted: bool = False
    counts_generations: bool = False
    fields: Mapping[str, Callable[[Object], str]] = attrs.field(factory=dict, eq=False, repr=False)

    @property
    def api_version(self) -> str:
        """What objects carry: ``v1`` or ``networking.k8s.io/v1``."""
        return f"{self.group}/v1" if self.group else "v1"

    @property
    def qualified(self) -> str:
        """How messages name it: ``networkpolicies.networking.k8s.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def selectable(self) -> Mapping[str, Callable[[Object], str]]:
        """Give every field that a field selector may ask for."""
        own = _paths("metadata.name", *(("metadata.namespace",) if self.namespaced else ()))
        return {**own, **self.fields}


NAMESPACES = Resource(
    "namespaces", "Namespace", namespaced=False, status=True, fields=_paths("status.phase")
)
PODS = Resource(
    "pods",
    "Pod",
    status=True,
    answers_deleted=True,
    counts_generations=True,
    fields=_paths(
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.nominatedNodeName",
        "status.phase",
        "status.podIP",
    ),
)
EVENTS = Resource(
    "events",
    "Event",
    fields={
        **_paths(
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "type",
        ),
        "source": _event_source,
    },
)
CONFIG_MAPS = Resource("configmaps", "ConfigMap")
SECRETS = Resource("secrets", "Secret", fields=_paths("type"))
CLAIMS = Resource(
    "persistentvolumeclaims", "PersistentVolumeClaim", status=True, answers_deleted=True
)
QUOTAS = Resource("resourcequotas", "ResourceQuota", status=True, answers_deleted=True)
POLICIES = Resource(
    "networkpolicies", "NetworkPolicy", "networking.k8s.io", counts_generations=True
)
SERVICES = Resource(
    "services",
    "Service",
    status=True,
    answers_deleted=True,
    fields=_paths("spec.clusterIP", "spec.type"),
)
ACCOUNTS = Resource("serviceaccounts", "ServiceAccount", answers_deleted=True)

_ALL = (
    NAMESPACES,
    PODS,
    EVENTS,
    CONFIG_MAPS,
    SECRETS,
    CLAIMS,
    QUOTAS,
    POLICIES,
    SERVICES,
    ACCOUNTS,
)

#: By API group and plural name, as paths name them.
RESOURCES: Mapping[tuple[str, str], Resource] = MappingProxyType(
    {(each.group, each.plural): each for each in _ALL}
)
#: By plural name, as rules and scripts name them.
BY_PLURAL: Mapping[str, Resource] = MappingProxyType({each.plural: each for each in _ALL})


def name_of(obj: Object) -> str:
    """Give an object's name."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: Object) -> str | None:
    """Give an object's namespace, if it is in one."""
    namespace = obj["metadata"].get("namespace")
    return None if namespace is None else str(namespace)


def is_going(obj: Object) -> bool:
    """Tell whether an object is being deleted."""
    return "deletionTimestamp" in obj["metadata"]

"""The resources that the embedded server has, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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
    plural, kind, group, version
        Its names.
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
    short_names
        What ``kubectl`` calls it for short.
    custom
        Whether a test has defined it: a custom resource.
    schema
        The structural schema of a custom resource, if it has one.
    """

    plural: str
    kind: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    status: bool = False
    answers_deleted: bool = False
    counts_generations: bool = False
    fields: Mapping[str, Callable[[Object], str]] = attrs.field(factory=dict, eq=False, repr=False)
    short_names: tuple[str, ...] = ()
    custom: bool = False
    schema: Mapping[str, Any] | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def api_version(self) -> str:
        """What objects carry: ``v1`` or ``networking.k8s.io/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """How messages name it: ``networkpolicies.networking.k8s.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def selectable(self) -> Mapping[str, Callable[[Object], str]]:
        """Give every field that a field selector may ask for."""
        own = _paths("metadata.name", *(("metadata.namespace",) if self.namespaced else ()))
        return {**own, **self.fields}


NAMESPACES = Resource(
    "namespaces",
    "Namespace",
    namespaced=False,
    status=True,
    fields=_paths("status.phase"),
    short_names=("ns",),
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
    short_names=("po",),
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
    short_names=("ev",),
)
CONFIG_MAPS = Resource("configmaps", "ConfigMap", short_names=("cm",))
SECRETS = Resource("secrets", "Secret", fields=_paths("type"))
CLAIMS = Resource(
    "persistentvolumeclaims",
    "PersistentVolumeClaim",
    status=True,
    answers_deleted=True,
    short_names=("pvc",),
)
QUOTAS = Resource(
    "resourcequotas", "ResourceQuota", status=True, answers_deleted=True, short_names=("quota",)
)
POLICIES = Resource(
    "networkpolicies",
    "NetworkPolicy",
    "networking.k8s.io",
    counts_generations=True,
    short_names=("netpol",),
)
SERVICES = Resource(
    "services",
    "Service",
    status=True,
    answers_deleted=True,
    fields=_paths("spec.clusterIP", "spec.type"),
    short_names=("svc",),
)
ACCOUNTS = Resource("serviceaccounts", "ServiceAccount", answers_deleted=True, short_names=("sa",))
INGRESSES = Resource(
    "ingresses",
    "Ingress",
    "networking.k8s.io",
    status=True,
    counts_generations=True,
    short_names=("ing",),
)
BUDGETS = Resource(
    "poddisruptionbudgets",
    "PodDisruptionBudget",
    "policy",
    status=True,
    counts_generations=True,
    short_names=("pdb",),
)
ROLES = Resource("roles", "Role", "rbac.authorization.k8s.io")
ROLE_BINDINGS = Resource("rolebindings", "RoleBinding", "rbac.authorization.k8s.io")

_BUILT_IN = (
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
    INGRESSES,
    BUDGETS,
    ROLES,
    ROLE_BINDINGS,
)


class Resources:
    """The resources of one server: the built-in ones, and those that a test defines."""

    def __init__(self) -> None:
        self._all = {(each.group, each.version, each.plural): each for each in _BUILT_IN}

    def __iter__(self) -> Iterator[Resource]:
        return iter(tuple(self._all.values()))

    def add(self, resource: Resource) -> None:
        """Define one more.

        Raises
        ------
        ValueError
            There is one of that name.
        """
        key = (resource.group, resource.version, resource.plural)
        if key in self._all:
            raise ValueError(f"{resource.qualified} exists already")
        self._all[key] = resource

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Find the resource that a path names."""
        return self._all.get((group, version, plural))

    def versions(self) -> dict[str, list[str]]:
        """Give each API group and its versions, the core group's name being empty."""
        found: dict[str, list[str]] = {}
        for resource in self:
            versions = found.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)
        return found

    @property
    def plurals(self) -> list[str]:
        """Give the plural names, sorted."""
        return sorted({each.plural for each in self})


def name_of(obj: Object) -> str:
    """Give an object's name."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: Object) -> str | None:
    """Give an object's namespace, if it is in one."""
    namespace = obj["metadata"].get("namespace")
    return None if namespace is None else str(namespace)


def is_going(obj: Object) -> bool:
    """Whether an object is being deleted."""
    return "deletionTimestamp" in obj["metadata"]

"""The kinds of objects in a lab, as data."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

import attrs

__all__ = [
    "CONFIG_MAP",
    "DNS_LABEL",
    "DNS_SUBDOMAIN",
    "EVENT",
    "KINDS",
    "LAB_KINDS",
    "NAMESPACE",
    "NETWORK_POLICY",
    "PERSISTENT_VOLUME_CLAIM",
    "POD",
    "RESOURCE_QUOTA",
    "ROLE",
    "ROLE_BINDING",
    "SECRET",
    "SERVICE",
    "SERVICE_ACCOUNT",
    "Kind",
    "NameRule",
]

_LABEL: Final = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"


@attrs.frozen
class NameRule:
    """What the API server accepts as the name of an object.

    Attributes
    ----------
    title
        What such a name is called, with its article.
    pattern
        The pattern of the whole name.
    longest
        The maximum number of characters.

    Notes
    -----
    Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
    """

    title: str
    pattern: re.Pattern[str]
    longest: int

    def allows(self, name: str) -> bool:
        """Whether the server accepts a name.

        Parameters
        ----------
        name
            The name.

        Returns
        -------
        bool
            Whether it does.
        """
        return len(name) <= self.longest and self.pattern.fullmatch(name) is not None


DNS_LABEL: Final = NameRule("a DNS label", re.compile(_LABEL), 63)
DNS_SUBDOMAIN: Final = NameRule(
    "a DNS subdomain name", re.compile(rf"{_LABEL}(?:\.{_LABEL})*"), 253
)


@attrs.frozen
class Kind:
    """A kind of object, and where the API server keeps its objects.

    Attributes
    ----------
    name
        Its name in a manifest, such as ``ConfigMap``.
    api_version
        Its API version in a manifest, such as ``networking.k8s.io/v1``.
    plural
        The resource, as it stands in a URL, such as ``configmaps``; empty if only the server
        knows it.
    model
        The name of its class in ``kubernetes.client``, the same in all supported versions; empty
        if it has none.
    namespaced
        Whether its objects live in a namespace.
    names
        What the API server accepts as a name.
    confidential
        Whether nothing of what its objects contain may be shown.
    """

    name: str
    api_version: str
    plural: str
    model: str
    namespaced: bool = True
    names: NameRule = DNS_SUBDOMAIN
    confidential: bool = False

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Build the path of one object or of the collection, below the API server's address.

        The core group is served below ``/api``, all others below ``/apis``
        (https://kubernetes.io/docs/reference/using-api/#api-groups).

        Parameters
        ----------
        namespace
            The namespace; without one, for a namespaced kind, the objects of all namespaces.
        name
            The object; without one the path is the collection's.

        Returns
        -------
        str
            The path, each of its variable parts percent-encoded, with a slash in front.

        Raises
        ------
        ValueError
            Raised if a namespace is given for a kind without one, if the namespace of one
            object of a namespaced kind is missing, or if a part is empty or ``.`` or ``..``:
            the path would be that of something else.
        """
        if namespace is not None and not self.namespaced:
            raise ValueError(f"a {self.name} is in no namespace")
        if namespace is None and name is not None and self.namespaced:
            raise ValueError(f"the path of a {self.name} needs its namespace")
        parts = ["/api" if "/" not in self.api_version else "/apis", self.api_version]
        if namespace is not None:
            parts += ["namespaces", _segment(namespace)]
        if self.plural:
            parts.append(self.plural)
        if name is not None:
            parts.append(_segment(name))
        return "/".join(parts)


def _segment(value: str) -> str:
    # "." and ".." survive percent-encoding and are resolved on the way (RFC 3986, 5.2.4).
    if value in {"", ".", ".."}:
        raise ValueError(f"not the name of an object: {value!r}")
    return quote(value, safe="")


NAMESPACE: Final = Kind(
    "Namespace", "v1", "namespaces", "V1Namespace", namespaced=False, names=DNS_LABEL
)
CONFIG_MAP: Final = Kind("ConfigMap", "v1", "configmaps", "V1ConfigMap")
SECRET: Final = Kind("Secret", "v1", "secrets", "V1Secret", confidential=True)
PERSISTENT_VOLUME_CLAIM: Final = Kind(
    "PersistentVolumeClaim", "v1", "persistentvolumeclaims", "V1PersistentVolumeClaim"
)
RESOURCE_QUOTA: Final = Kind("ResourceQuota", "v1", "resourcequotas", "V1ResourceQuota")
NETWORK_POLICY: Final = Kind(
    "NetworkPolicy", "networking.k8s.io/v1", "networkpolicies", "V1NetworkPolicy"
)
# From Kubernetes 1.36 on, the name of a Service may begin with a digit (feature gate
# RelaxedServiceNameValidation); an older server refuses that itself.
SERVICE: Final = Kind("Service", "v1", "services", "V1Service", names=DNS_LABEL)
POD: Final = Kind("Pod", "v1", "pods", "V1Pod")
SERVICE_ACCOUNT: Final = Kind("ServiceAccount", "v1", "serviceaccounts", "V1ServiceAccount")
# The names of roles and bindings may have almost any character (k8s.io/kubernetes,
# pkg/apis/rbac/validation: path segment names).
_PATH_SEGMENT: Final = NameRule("a path segment", re.compile(r"(?!\.\.?$)[^/%]+"), 253)
ROLE: Final = Kind("Role", "rbac.authorization.k8s.io/v1", "roles", "V1Role", names=_PATH_SEGMENT)
ROLE_BINDING: Final = Kind(
    "RoleBinding",
    "rbac.authorization.k8s.io/v1",
    "rolebindings",
    "V1RoleBinding",
    names=_PATH_SEGMENT,
)
EVENT: Final = Kind("Event", "v1", "events", "CoreV1Event")

# What a lab consists of, in the order in which it is created: the namespace first, the pod last.
LAB_KINDS: Final = (
    NAMESPACE,
    CONFIG_MAP,
    SECRET,
    PERSISTENT_VOLUME_CLAIM,
    RESOURCE_QUOTA,
    NETWORK_POLICY,
    SERVICE,
    POD,
)
KINDS: Final = (
    *LAB_KINDS,
    SERVICE_ACCOUNT,
    ROLE,
    ROLE_BINDING,
    EVENT,
)

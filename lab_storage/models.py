"""What goes into the library's methods and comes out of them."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import attrs

from lab_storage._manifests.kinds import DNS_LABEL, DNS_SUBDOMAIN, NameRule
from lab_storage._manifests.lab import lab_manifests, read_lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kubernetes.client import (
        V1ConfigMap,
        V1Namespace,
        V1NetworkPolicy,
        V1PersistentVolumeClaim,
        V1Pod,
        V1ResourceQuota,
        V1Secret,
        V1Service,
    )
    from typing_extensions import Self

__all__ = ["LabObjectNames", "LabObjects", "LabStateObjects", "PodPhase"]


class PodPhase(enum.Enum):
    """Where a pod is in its life.

    The values are what Kubernetes says
    (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase).
    """

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"

    @classmethod
    def of(cls, value: object) -> PodPhase:
        """Take what the server said for a phase.

        Parameters
        ----------
        value
            The ``status.phase`` of a pod, of any type.

        Returns
        -------
        PodPhase
            The phase; `UNKNOWN` if there was none, or one that Kubernetes has not defined.
        """
        try:
            return cls(value)
        except ValueError:
            return cls.UNKNOWN


def _text(_instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{attribute.name} must be a str, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{attribute.name} must not be empty")


def _named_by(rule: NameRule) -> Callable[[object, attrs.Attribute[str], object], None]:
    def check(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
        _text(instance, attribute, value)
        if not rule.allows(str(value)):
            raise ValueError(f"{attribute.name} is not {rule.title}: {str(value)[:300]!r}")

    return check


@attrs.frozen
class LabObjectNames:
    """The names of a lab's objects.

    Attributes
    ----------
    username
        Whose lab it is; for messages alone.
    namespace
        The namespace that all of it is in.
    env_config_map
        The config map that holds the environment of the lab.
    quota
        The quota of the namespace.
    pod
        The pod.

    Raises
    ------
    TypeError
        Raised if one is no `str`.
    ValueError
        Raised if one is empty, if the namespace is no DNS label, or if another name is no DNS
        subdomain name
        (https://kubernetes.io/docs/concepts/overview/working-with-objects/names/).
    """

    username: str = attrs.field(validator=_text)
    namespace: str = attrs.field(validator=_named_by(DNS_LABEL))
    env_config_map: str = attrs.field(validator=_named_by(DNS_SUBDOMAIN))
    quota: str = attrs.field(validator=_named_by(DNS_SUBDOMAIN))
    pod: str = attrs.field(validator=_named_by(DNS_SUBDOMAIN))


def _brief(value: object) -> str:
    """Show models by class and name: their contents may be secret, and are long."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_brief, value))}]"
    if value is None:
        return "None"
    name = getattr(getattr(value, "metadata", None), "name", None)
    return f"<{type(value).__name__} {name!r}>"


@attrs.frozen
class LabStateObjects:
    """The objects that tell the state of a lab, as models of the official client.

    Attributes
    ----------
    env_config_map
        The config map that holds the environment of the lab.
    quota
        The quota of the namespace, if there is one.
    pod
        The pod.
    """

    env_config_map: V1ConfigMap = attrs.field(repr=_brief)
    quota: V1ResourceQuota | None = attrs.field(repr=_brief)
    pod: V1Pod = attrs.field(repr=_brief)


@attrs.frozen
class LabObjects(LabStateObjects):
    """All objects of a lab, as models of the official client.

    Attributes
    ----------
    env_config_map
        The config map that holds the environment of the lab.
    quota
        The quota of the namespace, if there is one.
    pod
        The pod.
    namespace
        The namespace.
    config_maps
        The other config maps.
    network_policy
        The network policy, if there is one.
    pvcs
        The persistent volume claims.
    secrets
        The secrets.
    service
        The service, if there is one.
    """

    namespace: V1Namespace = attrs.field(repr=_brief)
    config_maps: Sequence[V1ConfigMap] = attrs.field(converter=tuple, repr=_brief)
    network_policy: V1NetworkPolicy | None = attrs.field(repr=_brief)
    pvcs: Sequence[V1PersistentVolumeClaim] = attrs.field(converter=tuple, repr=_brief)
    secrets: Sequence[V1Secret] = attrs.field(converter=tuple, repr=_brief)
    service: V1Service | None = attrs.field(repr=_brief)

    @classmethod
    def from_manifests(cls, manifests: Iterable[Mapping[str, Any]], names: LabObjectNames) -> Self:
        """Make a lab of Kubernetes manifests.

        Each is checked down to its last field against the classes of the installed client, so
        that nothing of it gets lost, and completed by the namespace if it names none. A field
        that is null counts as absent. A number where Kubernetes takes a quantity (``cpu: 4``)
        becomes a string, and binary data in a Secret or a ConfigMap (YAML's ``!!binary``)
        becomes base64. What only the server can judge, such as the range of a port or a word
        that has to be one of a few, is left to it.

        Parameters
        ----------
        manifests
            The manifests, as YAML or JSON gives them, in any order; they are left unchanged.
            There has to be the config map of the environment, and the pod; a namespace is made
            of its name where there is none.
        names
            Which config map, quota and pod are which, and the namespace.

        Returns
        -------
        LabObjects
            The lab; config maps, secrets and claims in the order of the manifests.

        Raises
        ------
        TypeError
            Raised if ``manifests`` is no iterable of mappings, or ``names`` no
            `LabObjectNames`.
        ValueError
            Raised if a manifest does not fit: without a name that the server takes, of a kind
            that a lab has not, there twice, in another namespace, one too many, of another name
            than ``names`` says, or with a field that is of the wrong type, missing, or unknown
            to the installed client. The text names the manifest and the path of the field, and
            shows no value.
        """
        if not isinstance(names, LabObjectNames):
            raise TypeError(f"names must be LabObjectNames, not {type(names).__name__}")
        return cls(**read_lab(manifests, names))

    def to_manifests(self) -> list[dict[str, Any]]:
        """Write the lab as Kubernetes manifests.

        Returns
        -------
        list of dict
            The manifests, each complete and of JSON's types alone, in the order in which they
            may be created: the namespace first, the pod last.

        Raises
        ------
        TypeError
            Raised if an object is not a model of the class that belongs in its place.
        ValueError
            Raised if an object has no name that the server takes, is there twice, is in another
            namespace, or holds what JSON cannot. The text names the object and the path of the
            field, and shows no value.
        """
        return lab_manifests(self)


FAIL_FAST: frozenset[str] = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
        "Unschedulable",
    }
)
"""Reasons for which a container or a pod waits and that seldom pass by themselves.

For ``fail_fast`` of `lab_storage.LabStorage.wait_for_pod_start`. The words are the kubelet's
(``pkg/kubelet/images/types.go``, ``pkg/kubelet/kuberuntime``, ``pkg/kubelet/container``) and the
scheduler's. With a cluster autoscaler ``Unschedulable`` does pass: leave it out there.
"""

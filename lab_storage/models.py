"""What the library's methods take and return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from lab_storage._manifests.fields import fields_of, many, one
from lab_storage._manifests.kinds import (
    CONFIG_MAP,
    DNS_LABEL,
    DNS_SUBDOMAIN,
    NAMESPACE,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    RESOURCE_QUOTA,
    SECRET,
    SERVICE,
    NameRule,
)
from lab_storage._manifests.lab import lab_manifests, read_lab
from lab_storage._manifests.sealed import forgets_locals
from lab_storage._pod_data import PodPhase as PodPhase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

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

__all__ = [
    "FAIL_FAST",
    "Freshness",
    "LabObjectNames",
    "LabObjects",
    "LabStateObjects",
    "LabSummary",
    "PodChange",
    "PodPhase",
    "PodSummary",
    "RequestRecord",
]


def _text(_instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{attribute.name} must be a str, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{attribute.name} must not be empty")


def _named_by(rule: NameRule) -> Callable[[object, attrs.Attribute[str], object], None]:
    def check(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
        _text(instance, attribute, value)
        if not rule.allows(str(value)):
            raise ValueError(f"{attribute.name} must be {rule.title}, got {str(value)[:300]!r}")

    return check


@attrs.frozen
class RequestRecord:
    """One HTTP request to the API server, for the ``observer`` of a `lab_storage.LabStorage`.

    Attributes
    ----------
    verb
        Kubernetes' word for it: ``get``, ``list``, ``watch``, ``create`` or ``delete``
        (https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb).
    kind
        The kind of object, such as ``Pod``.
    namespace, name
        The object or objects concerned, as far as the request names them.
    status
        The HTTP status; `None` if no answer came.
    attempt
        1 for the first attempt of a request, 2 for the next one after a failure.
    seconds
        From sending to the last byte of the answer; for a watch, until it ended.
    user
        The user whose lab it is, according to the `Timeout` of the call.
    """

    verb: str
    kind: str
    namespace: str | None
    name: str | None
    status: int | None
    attempt: int
    seconds: float
    user: str | None


@attrs.frozen
class LabObjectNames:
    """The names of a lab's objects.

    Attributes
    ----------
    username
        The user whose lab it is; only for messages.
    namespace
        The namespace of all other objects.
    env_config_map
        The config map with the environment of the lab.
    quota
        The quota of the namespace.
    pod
        The pod.

    Raises
    ------
    TypeError
        Raised if one is not a `str`.
    ValueError
        Raised if one is empty, if the namespace is not a DNS label, or if another name is not a
        DNS subdomain name
        (https://kubernetes.io/docs/concepts/overview/working-with-objects/names/).
    """

    username: str = attrs.field(validator=_text)
    namespace: str = attrs.field(validator=_named_by(DNS_LABEL))
    env_config_map: str = attrs.field(validator=_named_by(DNS_SUBDOMAIN))
    quota: str = attrs.field(validator=_named_by(DNS_SUBDOMAIN))
    pod: str = attrs.field(validator=_named_by(DNS_SUBDOMAIN))


def _tuple(objects: Iterable[Any]) -> tuple[Any, ...]:
    # `tuple` itself has a type that mypy's plugin for attrs cannot bind.
    return tuple(objects)


def _brief(value: object) -> str:
    """Show models by class and name: their contents may be secret, and are long."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_brief, value))}]"
    if value is None:
        return "None"
    if isinstance(value, dict):
        metadata = value.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return f"<{value.get('kind')} {name!r}>"
    name = getattr(getattr(value, "metadata", None), "name", None)
    return f"<{type(value).__name__} {name!r}>"


@attrs.frozen
class LabStateObjects:
    """The objects that show the state of a lab, as models of the official client.

    Attributes
    ----------
    env_config_map
        The config map with the environment of the lab.
    quota
        The quota of the namespace, if there is one.
    pod
        The pod.
    """

    env_config_map: V1ConfigMap = attrs.field(repr=_brief, metadata=one(CONFIG_MAP, required=True))
    quota: V1ResourceQuota | None = attrs.field(repr=_brief, metadata=one(RESOURCE_QUOTA))
    pod: V1Pod = attrs.field(repr=_brief, metadata=one(POD, required=True))


@attrs.frozen
class LabObjects(LabStateObjects):
    """All objects of a lab, as models of the official client.

    Attributes
    ----------
    env_config_map
        The config map with the environment of the lab.
    quota
        The quota of the namespace, if there is one.
    pod
        The pod.
    namespace
        The namespace, or `None` if it is shared: if it exists already and is not the lab's.
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
    others
        Further objects of any kind that lives in a namespace, as manifests: a ServiceAccount,
        a Role, an Ingress, a custom resource.
    """

    namespace: V1Namespace | None = attrs.field(repr=_brief, metadata=one(NAMESPACE))
    config_maps: Sequence[V1ConfigMap] = attrs.field(
        converter=_tuple, repr=_brief, metadata=many(CONFIG_MAP)
    )
    network_policy: V1NetworkPolicy | None = attrs.field(repr=_brief, metadata=one(NETWORK_POLICY))
    pvcs: Sequence[V1PersistentVolumeClaim] = attrs.field(
        converter=_tuple, repr=_brief, metadata=many(PERSISTENT_VOLUME_CLAIM)
    )
    secrets: Sequence[V1Secret] = attrs.field(converter=_tuple, repr=_brief, metadata=many(SECRET))
    service: V1Service | None = attrs.field(repr=_brief, metadata=one(SERVICE))
    others: Sequence[Mapping[str, Any]] = attrs.field(default=(), converter=_tuple, repr=_brief)

    @classmethod
    @forgets_locals
    def from_manifests(
        cls,
        manifests: Iterable[Mapping[str, Any] | None],
        names: LabObjectNames,
        *,
        shared_namespace: bool = False,
    ) -> Self:
        """Make a lab from Kubernetes manifests.

        Each is checked down to its last field against the classes of the installed client, so
        that nothing gets lost, and gets the lab's namespace if it names none. Blank documents
        are skipped, and a ``List`` counts as its items.

        A field that is null counts as absent, but a null entry in the data of a config map or
        secret is an empty text, as for the server. A number where Kubernetes takes a quantity
        (``cpu: 4``) becomes a string, an integer as the key of a map (``8080: http``) too, and
        binary data in a config map or secret (YAML's ``!!binary``) becomes base64. Only the
        server can judge the rest, such as the range of a port.

        Parameters
        ----------
        manifests
            The manifests, as YAML or JSON gives them, in any order; they are left unchanged.
            The config map of the environment and the pod are required; a namespace is made
            from its name if there is none.
        names
            Which config map, quota and pod are which, and the namespace.
        shared_namespace
            Whether the namespace exists already and is not the lab's. None is made then, and
            nothing else in it is touched.

        Returns
        -------
        LabObjects
            The lab; config maps, secrets and claims in the order of the manifests. Objects of
            other kinds are in ``others``. Those that the installed client has a model for are
            checked like the rest; all others are checked by the server.

        Raises
        ------
        TypeError
            Raised if ``manifests`` is not an iterable of mappings, or ``names`` is not
            `LabObjectNames`.
        ManifestError
            Raised if a manifest has no valid name, is of a kind that is cluster-scoped (or a
            Namespace, if that is shared), is defined more than once, is in another namespace,
            is one too many, has another name than ``names`` says, or has a field that is
            missing, of the wrong type, unknown to the installed client, or set by the server
            only (``status``, ``metadata.uid``, ``metadata.resourceVersion`` and the like, unless
            empty). The error names the manifest and the path of the field, and shows no value.
        """
        if not isinstance(names, LabObjectNames):
            raise TypeError(f"names must be LabObjectNames, not {type(names).__name__}")
        if not isinstance(shared_namespace, bool):
            raise TypeError(
                f"shared_namespace must be a bool, not {type(shared_namespace).__name__}"
            )
        fields = fields_of(cls)
        return cls(**read_lab(manifests, names, fields, shared_namespace=shared_namespace))

    def to_manifests(self) -> list[dict[str, Any]]:
        """Write the lab as Kubernetes manifests.

        Returns
        -------
        list of dict
            The manifests, each complete and JSON-serialisable, in the order in which they may
            be created: the namespace first, the pod last.

        Raises
        ------
        TypeError
            Raised if an object is not a model of the class that belongs in its place.
        ManifestError
            Raised if an object has no valid name, is defined more than once, is in another
            namespace, has a field that only the server sets, or holds what JSON cannot. The
            error names the object and the path of the field, and shows no value.
        """
        return [manifest.open() for _, manifest in lab_manifests(self)]


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
"""Waiting reasons of containers and pods that rarely resolve on their own.

For ``fail_fast`` of `lab_storage.LabStorage.wait_for_pod_start`. The words are the kubelet's
(``pkg/kubelet/images/types.go``, ``pkg/kubelet/kuberuntime``, ``pkg/kubelet/container``) and the
scheduler's. With a cluster autoscaler ``Unschedulable`` does resolve: leave it out there.
"""

WAITING_REASONS: frozenset[str] = FAIL_FAST | {
    "ConfigPodSandboxError",
    "ContainerCreating",
    "CreatePodSandboxError",
    "ImageVolumeMountFailed",
    "KillContainerError",
    "KillPodSandboxError",
    "PodInitializing",
    "PostStartHookError",
    "PreCreateHookError",
    "PreStartHookError",
    "RROUnsupported",
    "RegistryUnavailable",
    "RemoveContainerError",
    "ResizePodInPlaceError",
    "SchedulerError",
    "SchedulingGated",
    "SignatureValidationFailed",
}
"""All waiting reasons that Kubernetes has in 1.37.

Sources: ``pkg/kubelet/images/types.go``, ``pkg/kubelet/container/sync_result.go``,
``pkg/kubelet/kuberuntime/kuberuntime_container.go``, ``cri-api/pkg/errors/errors.go`` and, of the
PodScheduled condition, ``api/core/v1/types.go``.
"""


@attrs.frozen
class PodSummary:
    """A pod of a lab, in a list of labs.

    Attributes
    ----------
    name, uid
        The pod.
    phase
        Its phase.
    is_ready
        Whether its condition ``Ready`` is true.
    is_terminating
        Whether it is being deleted.
    created
        When it was created.
    """

    name: str
    uid: str
    phase: PodPhase
    is_ready: bool
    is_terminating: bool
    created: datetime


@attrs.frozen
class LabSummary:
    """A lab, in a list of labs: a namespace and its pods.

    Attributes
    ----------
    namespace, uid
        The namespace.
    created
        When it was created.
    is_terminating
        Whether it is being deleted.
    pods
        Its pods, by name.
    """

    namespace: str
    uid: str
    created: datetime
    is_terminating: bool
    pods: tuple[PodSummary, ...]


@attrs.frozen
class PodChange:
    """A change of a pod's phase.

    Attributes
    ----------
    namespace, name, uid
        The pod.
    phase
        Its phase; `None` once it is gone or no longer has the labels that are followed.
    previous
        The phase that this reader was told last; `None` if it was told none of that pod.
    """

    namespace: str
    name: str
    uid: str
    phase: PodPhase | None
    previous: PodPhase | None


@attrs.frozen
class Freshness:
    """How much is known of the pods that are followed, and as of when.

    Attributes
    ----------
    age
        How old what is known may be; `None` before the first answer.
    is_synced
        Whether all labs are known, which was proven within ``max_age``.
    pods
        How many pods are known.
    last_failure
        What is wrong with the watch now, or `None`.
    """

    age: timedelta | None
    is_synced: bool
    pods: int
    last_failure: str | None

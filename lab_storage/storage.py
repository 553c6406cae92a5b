"""`LabStorage`: a user's notebook lab, kept in Kubernetes."""

from __future__ import annotations

from collections.abc import Collection, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lab_storage import _labs, _namespaces, _pods
from lab_storage._api import objects as _objects
from lab_storage._api.client import Client
from lab_storage._api.operation import Operation
from lab_storage._api.watch import Interruptible
from lab_storage._api.workers import Workers
from lab_storage._manifests.decode import decode
from lab_storage._manifests.kinds import DNS_LABEL, DNS_SUBDOMAIN, SECRET, NameRule
from lab_storage._manifests.lab import lab_manifests
from lab_storage.exceptions import MissingSecretError
from lab_storage.models import LabObjectNames, LabObjects, LabStateObjects, PodPhase
from lab_storage.timeout import Timeout

if TYPE_CHECKING:
    from kubernetes.client import V1Secret

__all__ = ["LabStorage"]


class LabStorage:
    """Creates, watches, reads and deletes labs.

    All methods block. Each ends by the deadline of the `Timeout` that it is given,
    plus 0.25 s at most, and within 0.25 s of `Timeout.cancel`, whatever the server
    or the network does. What is worth another try is tried until then: connections that
    fail, answers that cannot be used, 429 and 5xx.

    One object may be used from many threads at once, and goes on to work in a
    forked child. It opens connections when it needs them. It never changes
    ``api_client``, and shares none of its connections.

    Parameters
    ----------
    api_client
        The official client, for its configuration (host, TLS, proxy, credentials,
        ``refresh_api_key_hook``), default headers and cookie.
    logger
        A structlog logger. It gets a line of level debug for what is done to an
        object, with ``user``, ``namespace``, ``name`` and ``kind``, and one of level
        warning for a request that is to be tried again. Nothing of a Secret's
        content is in any.

    Notes
    -----
    All methods raise, besides what each of them says:

    KubernetesError
        If the server refuses for good.
    OperationTimeoutError
        If the deadline passes.
    OperationCancelledError
        If somebody cancels the timeout.
    TypeError, ValueError
        If an argument is of the wrong type, or a name is none that Kubernetes
        takes, before anything is sent.
    """

    def __init__(self, api_client: Any, logger: Any) -> None:
        self._client = Client(api_client)
        self._log = logger
        self._workers = Workers()

    def __enter__(self) -> LabStorage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use. Calls that follow open new ones."""
        self._client.close()

    def create(
        self, objects: LabObjects, timeout: Timeout, *, operation_id: str | None = None
    ) -> None:
        """Create a lab; return once every object of it exists.

        The namespace comes first and the pod last; what is between is made side by
        side. Before the pod, the ServiceAccount that it runs as and the status of
        the quota are waited for, since a controller makes them and a pod is refused
        until then.

        If it fails, what it made stays and can be found in the namespace. It may
        then be repeated with the same ``operation_id``, from another process too.

        Parameters
        ----------
        objects
            The lab.
        timeout
            How long it may take, and the handle to cancel by.
        operation_id
            The name of this operation. Objects that an earlier attempt of it made
            count as made, whatever they contain. Without one, each call is an
            operation of its own. In both cases a lost answer or a dropped connection
            never makes a second object, nor a conflict with the first.

        Raises
        ------
        KubernetesError
            With status 409, if an object existed that this operation has not made,
            or that may not be read; that object is left as it is.
        ValueError
            If an object has no name, or one that Kubernetes does not take, is there
            twice or in another namespace.
        """
        operation = self._begin(timeout)
        _check_instance("objects", objects, LabObjects)
        if operation_id is not None:
            _check_instance("operation_id", operation_id, str)
            if not operation_id:
                raise ValueError("operation_id must not be empty")
        manifests = lab_manifests(objects)
        manager = _objects.manager_of(operation_id)
        _labs.create(self._client, self._workers, operation, manifests, manager)

    def delete_namespace(self, name: str, timeout: Timeout) -> None:
        """Delete a namespace with all that is in it; return once it is gone.

        One that does not exist is success. It is the namespace that exists at the
        first try, by UID: one of the same name that is made later is neither deleted
        nor waited for.

        Parameters
        ----------
        name
            The namespace.
        timeout
            How long it may take, and the handle to cancel by.

        Raises
        ------
        OperationTimeoutError
            If it is still there at the deadline. Its text tells what keeps it, by
            the conditions in its status.
        """
        operation = self._begin(timeout)
        _check_name("name", name, DNS_LABEL)
        _namespaces.delete(self._client, operation, name)

    def delete_pod(self, names: LabObjectNames, timeout: Timeout) -> None:
        """Delete the pod of a lab, with a grace period of 1 s; return once it is gone.

        One that does not exist is success. It is the pod that exists at the first
        try, by UID: one of the same name that is made later is neither deleted nor
        waited for.

        Parameters
        ----------
        names
            Which pod.
        timeout
            How long it may take, and the handle to cancel by.
        """
        operation = self._begin(timeout, names)
        _pods.delete(self._client, operation, names.namespace, names.pod)

    def list_namespaces(self, prefix: str, timeout: Timeout) -> list[str]:
        """List the names of namespaces, as the server sorts them.

        Parameters
        ----------
        prefix
            What the names begin with; all names begin with an empty one.
        timeout
            How long it may take, and the handle to cancel by.

        Returns
        -------
        list of str
            The names, those of namespaces that are being deleted too.
        """
        operation = self._begin(timeout)
        _check_instance("prefix", prefix, str)
        return _namespaces.list_names(self._client, operation, prefix)

    def read_lab_objects(self, names: LabObjectNames, timeout: Timeout) -> LabStateObjects | None:
        """Read the objects that tell the state of a lab, as after a restart.

        Parameters
        ----------
        names
            Which lab.
        timeout
            How long it may take, and the handle to cancel by.

        Returns
        -------
        LabStateObjects or None
            `None` if the config map of the environment or the pod is missing. A
            missing quota is `None` in it.
        """
        operation = self._begin(timeout, names)
        return _labs.read(self._client, self._workers, operation, names)

    def read_pod_phase(self, names: LabObjectNames, timeout: Timeout) -> PodPhase | None:
        """Read the phase of a lab's pod.

        It may be called very often: one request, and no models of the client.

        Parameters
        ----------
        names
            Which pod.
        timeout
            How long it may take, and the handle to cancel by.

        Returns
        -------
        PodPhase or None
            `None` if there is no pod.
        """
        operation = self._begin(timeout, names)
        return _pods.read_phase(self._client, operation, names.namespace, names.pod)

    def read_secret(self, name: str, namespace: str, timeout: Timeout) -> V1Secret:
        """Read a Secret.

        Parameters
        ----------
        name, namespace
            Which one.
        timeout
            How long it may take, and the handle to cancel by.

        Returns
        -------
        kubernetes.client.V1Secret
            The Secret; the values in its ``data`` are base64.

        Raises
        ------
        MissingSecretError
            If there is none.
        """
        operation = self._begin(timeout)
        _check_name("name", name, DNS_SUBDOMAIN)
        _check_name("namespace", namespace, DNS_LABEL)
        content = _objects.read(self._client, operation, SECRET, namespace, name)
        if content is None:
            raise MissingSecretError(SECRET.name, name, namespace)
        return decode(SECRET, content)

    def wait_for_pod_start(
        self, name: str, namespace: str, timeout: Timeout, *, fail_fast: Collection[str] = ()
    ) -> PodPhase | None:
        """Wait until a pod has started, or it is clear that it will not.

        Parameters
        ----------
        name, namespace
            Which pod.
        timeout
            How long it may take, and the handle to cancel by.
        fail_fast
            Reasons not to wait for: those that a container or an init container
            gives for waiting, as ``ErrImagePull``, and ``Unschedulable``.
            `lab_storage.FAIL_FAST` has those that seldom pass by themselves.

        Returns
        -------
        PodPhase or None
            The first phase that is neither ``PENDING`` nor ``UNKNOWN``; `None` if the
            pod (by UID) has disappeared, or there was none.

        Raises
        ------
        PodStartError
            If the pod waits for a reason in ``fail_fast``, now or later.
        """
        operation = self._begin(timeout)
        _check_name("name", name, DNS_SUBDOMAIN)
        _check_name("namespace", namespace, DNS_LABEL)
        if isinstance(fail_fast, str):
            raise TypeError("fail_fast must be a collection of str, not a str")
        reasons = frozenset(fail_fast)
        for reason in reasons:
            _check_instance("fail_fast", reason, str)
        return _pods.wait_for_start(self._client, operation, namespace, name, reasons)

    def watch_pod_events(
        self, name: str, namespace: str, timeout: Timeout
    ) -> Generator[str, None, None]:
        """Tell the events of a pod, as they happen.

        First come those that exist already, oldest first. If there is no pod of
        that name yet, the first that appears is followed. Events of an earlier pod of
        the same name, and of other pods, stay out.

        Parameters
        ----------
        name, namespace
            Which pod.
        timeout
            How long it may take, and the handle to cancel by.

        Yields
        ------
        str
            The message of an event, each once; of an event that is repeated, once for
            each count that is seen. One without a message is left out.

        Raises
        ------
        OperationTimeoutError
            When the deadline passes.

        Notes
        -----
        A cancel ends the loop without an error, also one that is made in its body.
        Blocks in each step; nothing is sent before the first. It is a generator by
        `collections.abc.Generator`, of a class of its own, so that ``close()`` may be
        called from any thread, also while another one waits in it.
        """
        operation = self._begin(timeout)
        _check_name("name", name, DNS_SUBDOMAIN)
        _check_name("namespace", namespace, DNS_LABEL)
        return Interruptible(
            operation, lambda part: _pods.follow_events(self._client, part, namespace, name)
        )

    def _begin(self, timeout: Timeout, names: LabObjectNames | None = None) -> Operation:
        if names is None:
            return Operation(timeout, self._log)
        _check_instance("names", names, LabObjectNames)
        return Operation(timeout, self._log, names.username)


def _check_instance(field: str, value: object, expected: type) -> None:
    if not isinstance(value, expected):
        raise TypeError(f"{field} must be {expected.__name__}, not {type(value).__name__}")


def _check_name(field: str, value: object, rule: NameRule) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{field} must be str, not {type(value).__name__}")
    if not rule.allows(value):
        raise ValueError(f"{field} must be {rule.title}, and {value!r} is none")

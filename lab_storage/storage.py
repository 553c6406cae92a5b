"""`LabStorage`: notebook labs in Kubernetes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from lab_storage import _inventory, _labs, _namespaces, _pods, _removal, _starts
from lab_storage._api.call import Call
from lab_storage._api.client import Client
from lab_storage._api.discovery import Discovery
from lab_storage._api.interruptible import Interruptible
from lab_storage._api.objects import read_model
from lab_storage._api.request import list_of_one
from lab_storage._api.workers import Workers
from lab_storage._arguments import (
    Logger,
    check_api_client,
    check_count,
    check_instance,
    check_kinds,
    check_logger,
    check_name,
    check_observer,
    check_uid,
    whole_seconds,
    words,
)
from lab_storage._diagnoses import read_examination
from lab_storage._manifests.kinds import DNS_LABEL, DNS_SUBDOMAIN, NAMESPACE, POD, SECRET
from lab_storage._manifests.lab import lab_manifests
from lab_storage._manifests.schema import load_models
from lab_storage._manifests.sealed import forgets_locals
from lab_storage.exceptions import MissingSecretError
from lab_storage.models import (
    WAITING_REASONS,
    LabObjectNames,
    LabObjects,
    LabStateObjects,
    LabSummary,
    PodPhase,
    RequestRecord,
)
from lab_storage.timeout import Timeout

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, V1Secret
    from typing_extensions import Self

    from lab_storage._manifests.kinds import Kind
    from lab_storage._manifests.sealed import Sealed
    from lab_storage.diagnosis import Examination, PodDiagnosis
    from lab_storage.live import LiveLabStorage

__all__ = ["LabStorage"]

# A lab has nothing to write back when it is told to stop: enough for the signal.
GRACE_PERIOD = timedelta(seconds=1)


class LabStorage:
    """Creates, watches, reads and deletes labs.

    All methods block. Each ends by the deadline of the `Timeout` that it is given,
    plus 0.25 s at most, and within 0.25 s of `Timeout.cancel`, whatever the server
    or the network does. Transient failures are retried until then: connections that
    fail, answers that cannot be used, 429 and 5xx.

    One object may be used from many threads at once, and goes on working in a
    forked child. It opens connections when it needs them. It never changes
    ``api_client``, and shares none of its connections.

    Parameters
    ----------
    api_client
        The official client, for its configuration (host, TLS, proxy, credentials,
        ``refresh_api_key_hook``), pool manager, default headers and cookie. Its files of
        certificates and keys are read now, and again when they have changed.
    logger
        A structlog logger. It gets a line of level debug for each action on an object,
        with ``user``, ``namespace``, ``name`` and ``kind``, and one of level warning for
        each request that is retried. No line shows the content of a Secret.
    observer
        Called with a `RequestRecord` after each HTTP request, those that are retried included,
        from the thread that made it; for a watch, when it ends. It should not block: its time
        counts to the call's. If it raises, that is logged, and goes no further.

    Raises
    ------
    TypeError
        If ``api_client`` is not a ``kubernetes.client.ApiClient``, ``logger`` is not a logger of
        structlog, or ``observer`` cannot be called. The error says what to pass. Also if the pool
        manager of ``api_client``, or its TLS context, would make connections on which no
        deadline can be kept.

    Notes
    -----
    All methods raise, besides the errors that each of them lists:

    KubernetesError
        If the server refuses for good.
    OperationTimeoutError
        If the deadline passes.
    OperationCancelledError
        If the timeout is cancelled.
    TypeError, ValueError
        If an argument is of the wrong type, or a name is not valid in Kubernetes,
        before anything is sent.
    """

    def __init__(
        self,
        api_client: ApiClient,
        logger: Logger,
        *,
        observer: Callable[[RequestRecord], object] | None = None,
    ) -> None:
        check_api_client(api_client)
        check_logger(logger)
        check_observer(observer)
        load_models()
        self._client = Client(api_client, observer)
        self._log = logger
        self._workers = Workers()
        self._discovery = Discovery()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled or copied: its connections belong to one "
            "process. Make one where it is needed, and share it between threads"
        )

    def close(self) -> None:
        """Close the connections that are not in use. Later calls open new ones."""
        self._client.close()

    @forgets_locals
    def create(
        self,
        objects: LabObjects,
        timeout: Timeout,
        *,
        operation_id: str | None = None,
        keep_existing: Collection[str] = (),
    ) -> None:
        """Create a lab; return once every object of it exists.

        The namespace comes first, unless it is shared, then ServiceAccounts, Roles and
        RoleBindings, then everything else side by side, and the pod last. Before it creates the
        pod, the call waits for the pod's ServiceAccount and for the status of the quota:
        controllers make them, and the pod is refused until then.

        If it fails, what it made stays and can be found in the namespace. It may
        then be repeated with the same ``operation_id``, also by another process.

        Parameters
        ----------
        objects
            The lab.
        timeout
            How long it may take, and the handle to cancel by.
        operation_id
            The name of this operation. Objects that an earlier attempt made
            count as made, whatever they contain. Without one, each call is an
            operation of its own. In both cases a lost answer or a dropped connection
            never leads to a duplicate, nor to a conflict with the operation's own object.
        keep_existing
            Kinds, such as ``PersistentVolumeClaim``, of which an object that exists is used as
            it is, whoever has made it. One that is being deleted is waited for and made anew.
            The namespace may exist then, too, if a `create` of this library has made it.

        Raises
        ------
        KubernetesError
            With status 409, if an object existed that this operation has not made,
            or that may not be read; that object is left as it is.
            With status 404, if the server does not have the kind of an object, before
            anything is made.
        ManifestError
            If an object has no valid name, is defined more than once or in another
            namespace, has a field that only the server sets, or is of a kind that is
            cluster-scoped.
        """
        call = self._begin(timeout)
        check_instance("objects", objects, LabObjects)
        if operation_id is not None:
            check_instance("operation_id", operation_id, str)
            if not operation_id:
                raise ValueError("operation_id must not be empty")
        manifests = lab_manifests(objects)
        keeps = check_kinds("keep_existing", keep_existing, manifests)
        with self._writing(call, _place_of(manifests)):
            _labs.create(call, self._workers, self._discovery, manifests, operation_id, keeps)

    def delete_objects(
        self, objects: LabObjects, timeout: Timeout, *, keep: Collection[str] = ()
    ) -> None:
        """Delete the objects of a lab, except those of some kinds; return once they are gone.

        The pod goes first, with a grace period of 1 s. Each object is deleted by its name and
        UID, and only if a `create` of this library made it, whoever has written to it since.
        What is being deleted already is waited for. A namespace that `create` made goes last,
        with everything in it, unless something in it is kept, was not made by this library, or
        is the pod or a claim of another lab. What the lab's own objects own, such as the pods of
        a Job, goes along. All kinds that the server has count, except those beyond the lab's
        that the caller may not list.

        Parameters
        ----------
        objects
            The lab. Only kinds and names count: it may have changed since it was created.
        timeout
            How long it may take, and the handle to cancel by.
        keep
            Kinds of which all objects stay, such as ``PersistentVolumeClaim``.

        Raises
        ------
        KubernetesError
            With status 409, after the rest is gone, if there are objects that this library has
            not made, or that may not be read. They stay, and the text names them all.
            With status 403, after the rest is gone, if a kind that most labs have may not be
            listed in a namespace that `create` made.
        OperationTimeoutError
            If something still exists at the deadline. The text says what keeps it.
        """
        call = self._begin(timeout)
        check_instance("objects", objects, LabObjects)
        manifests = lab_manifests(objects)
        keeps = check_kinds("keep", keep, manifests)
        targets = _removal.targets_of(
            (kind, manifest.open()["metadata"]) for kind, manifest in manifests
        )
        seconds = whole_seconds("grace_period", GRACE_PERIOD)
        with self._writing(call, _place_of(manifests)):
            _removal.delete(call, self._workers, self._discovery, targets, keeps, seconds)

    def delete_namespace(self, name: str, timeout: Timeout, *, uid: str | None = None) -> None:
        """Delete a namespace and everything in it; return once it is gone.

        If it does not exist, or is not the one of ``uid``, that is success. The call concerns
        the namespace that exists at its first attempt, by UID: one of the same name that is made
        later is neither deleted nor waited for.

        Parameters
        ----------
        name
            The namespace.
        timeout
            How long it may take, and the handle to cancel by.
        uid
            The UID of the only namespace that is meant, such as one that was listed before.

        Raises
        ------
        OperationTimeoutError
            If it still exists at the deadline. The text says what keeps it, by the
            conditions in its status.
        """
        call = self._begin(timeout)
        check_name("name", name, DNS_LABEL)
        check_uid(uid)
        with self._writing(call, name):
            _namespaces.delete(call, name, uid)

    def delete_pod(
        self,
        names: LabObjectNames,
        timeout: Timeout,
        *,
        uid: str | None = None,
        grace_period: timedelta = GRACE_PERIOD,
    ) -> None:
        """Delete the pod of a lab; return once it is gone.

        If it does not exist, or is not the one of ``uid``, that is success. The call concerns
        the pod that exists at its first attempt, by UID: one of the same name that is made later
        is neither deleted nor waited for.

        Parameters
        ----------
        names
            The names of the lab's objects.
        timeout
            How long it may take, and the handle to cancel by.
        uid
            The UID of the only pod that is meant.
        grace_period
            How long the containers may take to end after SIGTERM, before they are killed.
            Fractions of a second are rounded up; zero kills at once.
        """
        call = self._begin(timeout, names)
        check_uid(uid)
        seconds = whole_seconds("grace_period", grace_period)
        with self._writing(call, (names.namespace, names.pod)):
            _pods.delete(call, names.namespace, names.pod, uid, seconds)

    def list_namespaces(self, prefix: str, timeout: Timeout) -> list[str]:
        """List the names of namespaces, as the server sorts them.

        Parameters
        ----------
        prefix
            Only names with this prefix; ``""`` lists all.
        timeout
            How long it may take, and the handle to cancel by.

        Returns
        -------
        list of str
            The names, including those of terminating namespaces.
        """
        call = self._begin(timeout)
        check_instance("prefix", prefix, str)
        return _namespaces.list_names(call, prefix)

    def list_labs(
        self, prefix: str, timeout: Timeout, *, label_selector: str | None = None
    ) -> list[LabSummary]:
        """List the labs: the namespaces of a prefix, and the pods in each.

        That takes two lists, each in pages, however many labs there are.

        Parameters
        ----------
        prefix
            Only namespaces with this prefix; ``""`` lists all.
        timeout
            How long it may take, and the handle to cancel by.
        label_selector
            Only pods with these labels, in Kubernetes' notation, such as ``app=lab``. All
            namespaces of the prefix are listed.

        Returns
        -------
        list of LabSummary
            One per namespace, by name, including terminating namespaces.
        """
        call = self._begin(timeout)
        check_instance("prefix", prefix, str)
        if label_selector is not None:
            check_instance("label_selector", label_selector, str)
        return self._list_labs(call, prefix, label_selector or None)

    def live(
        self,
        prefix: str = "",
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        max_age: timedelta = timedelta(seconds=10),
    ) -> LiveLabStorage:
        """Make a storage that knows the pods of all labs by one watch. Sends nothing by itself.

        It shares this storage's connections.

        Parameters
        ----------
        prefix
            Follow the pods of all namespaces with this prefix.
        namespace
            Follow the pods of this namespace only, by namespaced requests.
        label_selector
            Follow only pods with these labels, in Kubernetes' notation, such as ``app=lab``.
        max_age
            How old an answer may be. With zero, each call asks the server.

        Returns
        -------
        LiveLabStorage
            The storage. Close it when it is no longer needed.

        Raises
        ------
        TypeError, ValueError
            If ``max_age`` is not a `datetime.timedelta` or is negative, or another argument is
            of the wrong type or not a valid name.
        """
        from lab_storage.live import LiveLabStorage

        return LiveLabStorage(self, prefix, namespace, label_selector, max_age)

    def read_lab_objects(self, names: LabObjectNames, timeout: Timeout) -> LabStateObjects | None:
        """Read the objects that show the state of a lab, such as after a restart.

        Parameters
        ----------
        names
            The names of the lab's objects.
        timeout
            How long it may take, and the handle to cancel by.

        Returns
        -------
        LabStateObjects or None
            `None` if the config map of the environment or the pod is missing. If the
            quota is missing, its attribute is `None`.
        """
        call = self._begin(timeout, names)
        objects = _labs.read(call, self._workers, names)
        pod = None if objects is None else objects.pod
        version = None if pod is None else pod.metadata.resource_version
        self._note_told((names.namespace, names.pod), version)
        return objects

    def read_pod_phase(self, names: LabObjectNames, timeout: Timeout) -> PodPhase | None:
        """Read the phase of a lab's pod.

        It may be called very often: it sends one request, and builds no models.

        Parameters
        ----------
        names
            The names of the lab's objects.
        timeout
            How long it may take, and the handle to cancel by.

        Returns
        -------
        PodPhase or None
            `None` if there is no pod.
        """
        call = self._begin(timeout, names)
        return self._read_phase(call, names.namespace, names.pod)

    def read_pod_diagnosis(
        self, names: LabObjectNames, timeout: Timeout, *, log_lines: int = 0
    ) -> PodDiagnosis | None:
        """Find out why a lab's pod does not run.

        The pod and its events are read side by side, and no models are built. Events that may
        not be read, and a log that is refused, gone or does not come in time, are left out.

        Parameters
        ----------
        names
            The names of the lab's objects.
        timeout
            How long it may take, and the handle to cancel by.
        log_lines
            How many lines of the log of the container concerned to read, in a third request;
            of its previous run if that is the one that ended. A log may contain secrets, so
            none is read unless asked for.

        Returns
        -------
        PodDiagnosis or None
            `None` if there is no pod.

        Raises
        ------
        ValueError
            If ``log_lines`` is negative.
        """
        examination = self._examine_pod(names, timeout, log_lines)
        return None if examination is None else examination.diagnosis

    def _examine_pod(
        self, names: LabObjectNames, timeout: Timeout, log_lines: int = 0
    ) -> Examination | None:
        call = self._begin(timeout, names)
        check_count("log_lines", log_lines)
        examination = read_examination(call, names.namespace, names.pod, log_lines=log_lines)
        self._note_told((names.namespace, names.pod))
        return examination

    @forgets_locals
    def read_secret(self, name: str, namespace: str, timeout: Timeout) -> V1Secret:
        """Read a Secret.

        Parameters
        ----------
        name, namespace
            Name and namespace of the Secret.
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
        call = self._begin(timeout)
        check_name("name", name, DNS_SUBDOMAIN)
        check_name("namespace", namespace, DNS_LABEL)
        secret = read_model(call, SECRET, namespace, name)
        if secret is None:
            raise MissingSecretError(SECRET.name, name, namespace)
        return secret

    def wait_for_pod_start(
        self, name: str, namespace: str, timeout: Timeout, *, fail_fast: Collection[str] = ()
    ) -> PodPhase | None:
        """Wait until a pod has started or is gone.

        Parameters
        ----------
        name, namespace
            Name and namespace of the pod.
        timeout
            How long it may take, and the handle to cancel by.
        fail_fast
            Waiting reasons that fail the call at once: those of a container or an init
            container, such as ``ErrImagePull``, and ``Unschedulable``.
            `lab_storage.FAIL_FAST` has those that rarely resolve on their own. A reason
            that Kubernetes does not have is logged as a warning.

            What Kubernetes is already seeing to is waited for even so: a volume that is
            being made for a new claim, pods of a lower priority that make room on a node, a
            pull that the kubelet's own limit puts off.

        Returns
        -------
        PodPhase or None
            The first phase that is neither ``PENDING`` nor ``UNKNOWN``; `None` if the
            pod (by UID) has disappeared, or there was none.

        Raises
        ------
        PodStartError
            If a reason in ``fail_fast`` keeps the pod waiting, now or later.
        """
        call = self._begin(timeout)
        check_name("name", name, DNS_SUBDOMAIN)
        check_name("namespace", namespace, DNS_LABEL)
        reasons = words("fail_fast", fail_fast)
        for word in sorted(reasons - WAITING_REASONS):
            near = difflib.get_close_matches(word, WAITING_REASONS, n=1)
            call.write(
                call.log.warning,
                "Unknown reason in fail_fast",
                list_of_one(POD, namespace, name),
                reason=word,
                suggestion=near[0] if near else None,
            )
        return self._wait_for_start(call, namespace, name, reasons)

    def watch_pod_events(
        self, name: str, namespace: str, timeout: Timeout
    ) -> Generator[str, None, None]:
        """Yield a pod's events as they happen.

        Those that exist already come first, oldest first. If there is no pod of
        that name yet, the first that appears is followed. Events of an earlier pod of
        the same name, and of other pods, are left out.

        Parameters
        ----------
        name, namespace
            Name and namespace of the pod.
        timeout
            How long it may take, and the handle to cancel by.

        Yields
        ------
        str
            The message of an event, once, and again each time its count increases. An
            event without a message is left out.

        Raises
        ------
        OperationTimeoutError
            When the deadline passes.

        Notes
        -----
        A cancel ends the loop without an error, also a cancel in the loop's body.
        Each step blocks; nothing is sent before the first. The class of the generator is
        the library's own, so that ``close()`` may be called from any thread, also while
        another one waits in it.
        """
        call = self._begin(timeout)
        check_name("name", name, DNS_SUBDOMAIN)
        check_name("namespace", namespace, DNS_LABEL)
        return Interruptible(call, lambda part: self._follow_events(part, namespace, name))

    # What a `LiveLabStorage` does in another way.

    def _writing(
        self,
        _call: Call,
        _place: tuple[str, str] | str,
    ) -> AbstractContextManager[None]:
        """Surrounds what may change that pod, or the pods of that namespace."""
        return nullcontext()

    def _note_told(self, _pod: tuple[str, str], _version: str | None = None) -> None:
        """Follows what the server has told of a pod: nobody is to hear older news of it."""

    def _read_phase(self, call: Call, namespace: str, name: str) -> PodPhase | None:
        return _pods.read_phase(call, namespace, name)

    def _wait_for_start(
        self, call: Call, namespace: str, name: str, fail_fast: Collection[str]
    ) -> PodPhase | None:
        return _starts.wait_for_start(call, namespace, name, fail_fast)

    def _follow_events(self, call: Call, namespace: str, name: str) -> Generator[str, None, None]:
        return _pods.follow_events(call, namespace, name)

    def _list_labs(self, call: Call, prefix: str, label_selector: str | None) -> list[LabSummary]:
        return _inventory.list_labs(call, self._workers, prefix, label_selector)

    def _begin(self, timeout: Timeout, names: LabObjectNames | None = None) -> Call:
        if names is None:
            return Call(self._client, timeout, self._log)
        check_instance("names", names, LabObjectNames)
        return Call(self._client, timeout, self._log, names.username)


def _place_of(manifests: Sequence[tuple[Kind, Sealed[dict[str, Any]]]]) -> tuple[str, str] | str:
    """The namespace that a lab has to itself, or else its pod, the last of its manifests."""
    metadata = manifests[-1][1].open()["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    return namespace if manifests[0][0] is NAMESPACE else (namespace, name)

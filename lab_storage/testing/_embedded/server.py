"""The embedded API server: one object to start, to use, and to misuse."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from .access import Access
from .arguments import check_duration
from .cluster import Cluster
from .controllers import Delays
from .front import Front
from .http import serve
from .resources import NAMESPACES
from .rules import Fault, RequestMatch, Rules

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .faults import Effect
    from .requests import RecordedRequest

_NAMESPACES_THAT_EXIST = ("default", "kube-node-lease", "kube-public", "kube-system")


class EmbeddedServer(Access, Cluster):
    """A Kubernetes API server for tests and demos, in this process, over real HTTP.

    It serves what labs are made of (namespaces, pods, config maps, secrets,
    persistent volume claims, resource quotas, network policies, services, service
    accounts, events, roles, role bindings, ingresses, pod disruption budgets, and
    custom resources that a test adds) and answers as kube-apiserver 1.37 does:
    statuses, reasons, messages, fields, order of watch events. Behind it,
    controllers, a scheduler and a kubelet make default ServiceAccounts, count
    quotas, delete namespaces, and start pods as their scripts say. It listens on a
    free port of 127.0.0.1, starts in milliseconds, and leaves no thread and no
    socket behind.

    It refuses what it cannot do with 501 and a text that says what: other
    resources, updates (PUT), deletes of collections, JSON patches and server-side
    apply, dry runs, YAML, most Tables, changes of the specs of pods, claims and
    services, owner references, scoped quotas. Protobuf is answered 406. It checks
    the types of all fields that the installed client knows (others are reported as
    ``fieldValidation`` asks), and of their contents what labs get wrong.
    ``managedFields`` say which manager wrote, and not what. Priority, runtime and
    storage classes are taken to exist.

    Use it as a context manager, or call `start` and `close`.

    Parameters
    ----------
    delays
        How late its controllers are.
    bookmark_interval
        The time between the bookmarks of a watch; about a minute on real servers.
    history
        How many changes of each resource it remembers. Watches and lists from
        before are answered 410.
    watch_list
        Whether watches may begin with ``sendInitialEvents``. Servers without that
        feature answer 422.

    Examples
    --------
    >>> from kubernetes import client
    >>> with EmbeddedServer() as server:
    ...     with server.api_client() as api_client:
    ...         names = client.CoreV1Api(api_client).list_namespace().items
    >>> [each.metadata.name for each in names]
    ['default', 'kube-node-lease', 'kube-public', 'kube-system']
    """

    def __init__(
        self,
        *,
        delays: Delays | None = None,
        bookmark_interval: timedelta = timedelta(minutes=1),
        history: int = 10_000,
        watch_list: bool = True,
    ) -> None:
        check_duration("bookmark_interval", bookmark_interval)
        Access.__init__(self)
        Cluster.__init__(self, Delays() if delays is None else delays, history)
        self._rules = Rules(self._store.resources)
        self._bookmark_seconds = bookmark_interval.total_seconds()
        self._watch_list = watch_list
        self._front: Front | None = None
        self._closed = False

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Life

    def start(self) -> None:
        """Begin to listen; the default namespaces exist from then on.

        Raises
        ------
        RuntimeError
            It has been started before.
        """
        if self._front is not None:
            raise RuntimeError("an embedded server can be started only once")
        self._front = Front(
            self._objects,
            self._rules,
            serve,
            users=self._known,
            logs=self._logs,
            bookmark_seconds=self._bookmark_seconds,
            watch_list=self._watch_list,
        )
        self._timers.start()
        for name in _NAMESPACES_THAT_EXIST:
            self._objects.create(NAMESPACES, None, {"metadata": {"name": name}}, "kube-apiserver")
        self._front.connections.start()

    def close(self) -> None:
        """Drop all connections and end all threads; again is harmless."""
        with self._lock:
            was_closed, self._closed = self._closed, True
        if self._front is not None and not was_closed:
            self._front.close()
            self._timers.close()

    @property
    def host(self) -> str:
        """Where it listens, as ``Configuration.host`` takes it."""
        return f"http://127.0.0.1:{self._running.connections.port}"

    @property
    def _running(self) -> Front:
        if self._front is None:
            raise RuntimeError("the embedded server has not been started")
        return self._front

    # What goes wrong

    def forbid(
        self,
        *,
        user: str | None = None,
        verb: str | None = None,
        resource: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
    ) -> Callable[[], None]:
        """Refuse requests with 403, as RBAC does.

        Parameters
        ----------
        user, verb, resource, namespace, name
            Of which requests, as for `add_fault`.

        Returns
        -------
        Callable
            Removes the rule.

        Raises
        ------
        ValueError
            There is no such verb or resource, or ``times`` is below 1.
        """
        return self._rules.forbid(
            RequestMatch(user=user, verb=verb, resource=resource, namespace=namespace, name=name)
        )

    def add_fault(
        self,
        effect: Effect,
        *,
        verb: str | None = None,
        resource: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
        user: str | None = None,
        times: int | None = 1,
    ) -> Fault:
        """Have something go wrong with the next matching requests.

        Parameters
        ----------
        effect
            What: `Silence`, `Drip`, `Reset`, `Answer`, `Truncate` or `Expire`.
        verb
            Of which requests; here and below, what is left out matches all.
            One of ``create``, ``get``, ``list``, ``watch``, ``patch``, ``delete``.
        resource
            The plural, such as ``pods``, or with a subresource ``pods/status``.
        namespace, name
            Of the object; the name of a new one is that in its manifest, that of a
            list or watch the one that its field selector asks for.
        user
            The user whose token is sent.
        times
            How many requests it hits; ``None`` means all until it is removed.

        Returns
        -------
        Fault
            Counts its hits, and can be waited for and removed.

        Raises
        ------
        ValueError
            There is no such verb or resource, or ``times`` is below 1.
        """
        match = RequestMatch(
            verb=verb, resource=resource, namespace=namespace, name=name, user=user
        )
        return self._rules.add_fault(effect, match, times)

    def compact(self) -> int:
        """Forget all that has happened, and return the version up to which.

        Watches that go on from before it are answered 410, and lists that
        continue from before it too. Open watches do not notice.

        Returns
        -------
        int
            That version.
        """
        return self._store.compact()

    def end_watches(self) -> None:
        """End all open watches, as if their time were over."""
        self._stop_watches("end")

    def reset_watches(self) -> None:
        """Reset the connections of all open watches."""
        self._stop_watches("reset")

    def silence_watches(self) -> None:
        """Keep all open watches open, but send nothing more."""
        self._stop_watches("hush")

    def _stop_watches(self, end: str) -> None:
        for watch in self._running.watches:
            watch.stop(end)

    @property
    def open_watches(self) -> int:
        """How many watches are open now."""
        return len(self._running.watches)

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """The last 10,000 requests, in the order in which they came."""
        return self._running.requests

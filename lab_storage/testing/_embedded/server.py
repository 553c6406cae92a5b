"""The embedded API server: one object to start, to use, and to misuse."""

from __future__ import annotations

import secrets
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kubernetes import client

from .arguments import check_duration, check_type
from .controllers import Controllers, Delays
from .custom import check_schema
from .faults import Fault, RequestMatch, Rules
from .front import Front
from .http import serve
from .kubelet import Kubelet, PodScript
from .objects import Objects
from .resources import NAMESPACES, Resource
from .store import Store
from .timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from .faults import Effect
    from .requests import RecordedRequest

_NAMESPACES_THAT_EXIST = ("default", "kube-node-lease", "kube-public", "kube-system")


class EmbeddedServer:
    """A Kubernetes API server for tests and demos, in this process, over real HTTP.

    It knows what labs are made of (namespaces, pods, config maps, secrets,
    persistent volume claims, resource quotas, network policies, services,
    service accounts and events) and says of them what kube-apiserver 1.37 says:
    statuses, reasons, messages, fields, order of watch events. Controllers, a
    scheduler and a kubelet behind it make default ServiceAccounts, count quotas,
    let namespaces go, and start pods as their scripts say. It listens on a free
    port of 127.0.0.1, starts in milliseconds, and leaves no thread and no socket
    behind.

    What it cannot do it refuses with 501 and a text that says what: other
    resources, updates (PUT), deletes of collections, JSON patches and server-side
    apply, dry runs, YAML and protobuf, changes of the specs of pods, claims and
    services, owner references, scoped quotas. It checks the types of all fields
    that the installed client knows (others are dropped, and a ``Warning`` header
    says so), and of their contents what labs get wrong; ``managedFields`` tell who
    wrote, not what.

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
        self._delays = delays or Delays()
        check_type("delays", self._delays, Delays, "a Delays")
        check_duration("bookmark_interval", bookmark_interval)
        check_type("history", history, int, "a whole number")
        self._store = Store(history)
        self._objects = Objects(self._store)
        self._timers = Timers()
        self._rules = Rules(self._store.resources)
        self._controllers = Controllers(self._objects, self._timers, self._delays)
        self._kubelet = Kubelet(self._objects, self._timers)
        self._store.subscribe(self._controllers.saw)
        self._store.subscribe(self._kubelet.saw)
        self._bookmark_seconds = bookmark_interval.total_seconds()
        self._watch_list = watch_list
        self._front: Front | None = None
        self._closed = False
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

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
        """Begin to listen; the default namespaces are there then.

        Raises
        ------
        RuntimeError
            It has been started before.
        """
        if self._front is not None:
            raise RuntimeError("an embedded server is started once")
        self._front = Front(self._objects, self._rules, self._bookmark_seconds, serve)
        self._front.watch_list = self._watch_list
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

    @property
    def delays(self) -> Delays:
        """How late its controllers are; its attributes may be set at any time."""
        return self._delays

    # What there is

    def add_custom_resource(
        self,
        plural: str,
        kind: str,
        group: str,
        *,
        version: str = "v1",
        namespaced: bool = True,
        status: bool = False,
        schema: Mapping[str, Any] | None = None,
    ) -> None:
        """Define a custom resource, as a CustomResourceDefinition does.

        Parameters
        ----------
        plural, kind, group
            Its names, such as ``widgets``, ``Widget`` and ``example.com``.
        version
            The version of the API that has it.
        namespaced
            Whether its objects live in namespaces.
        status
            Whether it has a status subresource.
        schema
            Its structural schema (``openAPIV3Schema``): what it does not know is
            dropped, and what does not fit is answered 422. Without one, anything is
            taken.

        Raises
        ------
        ValueError
            It exists already, or its schema has a keyword that is not checked here.
        """
        if schema is not None:
            check_schema(schema)
        resource = Resource(
            plural,
            kind,
            group,
            version=version,
            namespaced=namespaced,
            status=status,
            custom=True,
            schema=schema,
        )
        with self._store.lock:
            self._store.resources.add(resource)

    def write_log(
        self,
        pod: str,
        namespace: str,
        text: str,
        *,
        container: str | None = None,
        previous: bool = False,
    ) -> None:
        """Add to what a pod's containers have written, to be read at ``…/log``.

        Parameters
        ----------
        pod, namespace
            Of which pod; it may be created later.
        text
            What is added, with its line ends.
        container
            Of which container; ``None`` for each that has no log of its own.
        previous
            Whether it is the log of the run before the last restart.
        """
        check_type("text", text, str, "a str")
        self._running.logs.write(namespace, pod, container, text, previous=previous)

    # Users

    def token(self, user: str = "admin") -> str:
        """Give a bearer token by which a user is known; the same one each time.

        Parameters
        ----------
        user
            Any name.

        Returns
        -------
        str
            The token.
        """
        with self._lock:
            if user not in self._tokens:
                self._tokens[user] = secrets.token_urlsafe(16)
                self._running.users[self._tokens[user]] = user
            return self._tokens[user]

    def revoke(self, user: str) -> None:
        """Forget a user's token: it is answered 401, and the next one is new.

        Parameters
        ----------
        user
            Whose.
        """
        with self._lock:
            token = self._tokens.pop(user, None)
            if token is not None:
                del self._running.users[token]

    def api_client(self, user: str = "admin", **configuration: Any) -> client.ApiClient:
        """Give a new client for a user, who may do anything that is not forbidden.

        Parameters
        ----------
        user
            Who asks.
        configuration
            More attributes of the client's ``Configuration``.

        Returns
        -------
        kubernetes.client.ApiClient
            The caller's, to be closed by the caller.
        """
        settings = client.Configuration()
        settings.host = self.host
        settings.proxy = None  # Not through a proxy of the environment: it is on loopback.
        settings.api_key = {"authorization": f"Bearer {self.token(user)}"}
        for name, value in configuration.items():
            setattr(settings, name, value)
        return client.ApiClient(settings)

    def kubeconfig(self, user: str = "admin") -> dict[str, Any]:
        """Give a kubeconfig for a user, to be written as JSON, which is YAML too.

        Parameters
        ----------
        user
            Who asks.

        Returns
        -------
        dict
            Its content.
        """
        name = "embedded"
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": self.host}}],
            "users": [{"name": user, "user": {"token": self.token(user)}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        }

    def forbid(
        self,
        *,
        user: str | None = None,
        verb: str | None = None,
        resource: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
    ) -> Callable[[], None]:
        """Have requests refused with 403, as by RBAC.

        Parameters
        ----------
        user, verb, resource, namespace, name
            Which requests, as `add_fault` takes them.

        Returns
        -------
        Callable
            Takes the rule back.

        Raises
        ------
        ValueError
            There is no such verb or resource.
        """
        return self._rules.forbid(
            RequestMatch(user=user, verb=verb, resource=resource, namespace=namespace, name=name)
        )

    # Faults

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
        """Have something go wrong with the next requests of a kind.

        Parameters
        ----------
        effect
            What: `Silence`, `Drip`, `Reset`, `Answer`, `Truncate` or `Expire`.
        verb
            With which requests; here and below what is left out does not matter.
            One of ``create``, ``get``, ``list``, ``watch``, ``patch``, ``delete``.
        resource
            The plural, such as ``pods``, or with a subresource ``pods/status``.
        namespace, name
            Of the object; the name of a new one is that in its manifest, that of a
            list or watch the one that its field selector asks for.
        user
            Who asks.
        times
            With how many of them; ``None`` for all until it is removed.

        Returns
        -------
        Fault
            Counts its hits, and can be waited for and removed.

        Raises
        ------
        ValueError
            There is no such verb or resource.
        """
        match = RequestMatch(
            verb=verb, resource=resource, namespace=namespace, name=name, user=user
        )
        return self._rules.add_fault(effect, match, times)

    def compact(self) -> int:
        """Forget all that has happened, and give the version up to which.

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
        """Let all open watches stay open and say nothing more."""
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

    # What is behind the API

    def script_pods(
        self,
        name: str = "*",
        namespace: str = "*",
        *,
        start: str = "run",
        delay: timedelta = timedelta(0),
    ) -> None:
        """Say how pods start that are made from now on.

        The last script that fits is taken; the annotations
        ``lab-storage.test/start`` and ``lab-storage.test/delay`` (seconds) of a
        pod go before all scripts.

        Parameters
        ----------
        name, namespace
            Patterns of the shell.
        start
            ``run``, ``pending``, ``image-pull-back-off``, ``config-error``,
            ``mount-error``, ``init-crash``, ``crash``, ``out-of-memory``,
            ``not-ready``, ``fail`` or ``succeed``.
        delay
            How long the first image is pulled.

        Raises
        ------
        ValueError
            There is no such start.
        """
        check_duration("delay", delay)
        self._kubelet.script(PodScript(name, namespace, start, delay))

    def pause_kubelet(self) -> None:
        """Let the node be dead: its pods neither start nor go."""
        self._kubelet.die(dead=True)

    def resume_kubelet(self) -> None:
        """Let the node be alive again; it catches up."""
        self._kubelet.die(dead=False)

    def hold_namespaces(self) -> None:
        """Keep namespaces from going, as an API service does that does not answer.

        Their content goes; their conditions tell why they do not.
        """
        self._controllers.break_discovery(broken=True)

    def release_namespaces(self) -> None:
        """Let namespaces go."""
        self._controllers.break_discovery(broken=False)

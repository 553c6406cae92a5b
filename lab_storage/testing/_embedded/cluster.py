"""What is behind the API of the embedded server: its resources, node and controllers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .arguments import check_duration, check_type
from .controllers import Controllers, Delays
from .custom import check_schema
from .kubelet import Kubelet, PodScript
from .logs import Logs
from .objects import Objects
from .resources import Resource
from .store import Store
from .timers import Timers

if TYPE_CHECKING:
    from collections.abc import Mapping


class Cluster:
    """What a server's objects are kept in, and what happens to them by itself.

    Parameters
    ----------
    delays
        How late its controllers are.
    history
        How many changes of each resource are remembered.
    """

    def __init__(self, delays: Delays, history: int) -> None:
        check_type("delays", delays, Delays, "a Delays")
        check_type("history", history, int, "a whole number")
        self._delays = delays
        self._store = Store(history)
        self._objects = Objects(self._store)
        self._timers = Timers()
        self._controllers = Controllers(self._objects, self._timers, self._delays)
        self._kubelet = Kubelet(self._objects, self._timers)
        self._logs = Logs()
        self._store.subscribe(self._controllers.saw)
        self._store.subscribe(self._kubelet.saw)

    @property
    def delays(self) -> Delays:
        """How late its controllers are; its attributes may be set at any time."""
        return self._delays

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
        self._logs.write(namespace, pod, container, text, previous=previous)

    def script_pods(
        self,
        name: str = "*",
        namespace: str = "*",
        *,
        start: str = "run",
        delay: timedelta = timedelta(0),
    ) -> None:
        """Set how pods start that are created from now on.

        The last script that matches is taken; the annotations
        ``lab-storage.test/start`` and ``lab-storage.test/delay`` (seconds) of a
        pod take precedence over all scripts.

        Parameters
        ----------
        name, namespace
            Shell patterns, such as ``jupyter-*``.
        start
            ``run``, ``pending``, ``image-pull-back-off``, ``config-error``,
            ``mount-error``, ``init-crash``, ``crash``, ``out-of-memory``,
            ``not-ready``, ``fail`` or ``succeed``.
        delay
            How long the first image is pulled.

        Raises
        ------
        ValueError
            It is not one of these.
        """
        check_duration("delay", delay)
        self._kubelet.script(PodScript(name, namespace, start, delay))

    def pause_kubelet(self) -> None:
        """Stop the node: its pods neither start nor go away."""
        self._kubelet.die(dead=True)

    def resume_kubelet(self) -> None:
        """Start the node again; it catches up."""
        self._kubelet.die(dead=False)

    def hold_namespaces(self) -> None:
        """Keep namespaces Terminating, as an API service that does not answer does.

        Their content is deleted, and their conditions say what keeps them.
        """
        self._controllers.break_discovery(broken=True)

    def release_namespaces(self) -> None:
        """Let namespaces be deleted again."""
        self._controllers.break_discovery(broken=False)

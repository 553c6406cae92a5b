"""A JupyterHub spawner: each user's server is a lab in Kubernetes.

In ``jupyterhub_config.py``, with this file where Python finds it::

    c.JupyterHub.spawner_class = "spawner.LabSpawner"
    c.LabSpawner.lab_file = "/srv/jupyterhub/lab.yaml"
    c.JupyterHub.hub_connect_url = "http://hub.notebooks:8081"

JupyterHub (6 and up) calls a spawner on its event loop, and lab_storage blocks. So each
call gets a thread of a pool, and a `Timeout`. When the Hub gives a call up, because a
person stops a start or the Hub itself stops, it cancels a coroutine; this cancels the
Timeout, and the thread is free within 0.25 s. The Hub waits for a second before it
removes what a start has left, and by then nothing is made any more.

It needs the role of ``rbac.yaml``, and finds the API server by ``KUBECONFIG`` or, in a
pod, by its ServiceAccount. The network policy in the lab file has to let in the Hub
besides the proxy: it asks a notebook itself whether it is up.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import structlog
import yaml
from jupyterhub.slugs import safe_slug
from jupyterhub.spawner import Spawner, SpawnException
from kubernetes import client, config
from traitlets import Integer, Unicode, default

from lab_storage import (
    FAIL_FAST,
    LabObjectNames,
    LabObjects,
    LabStorage,
    LabStorageError,
    MissingSecretError,
    PodPhase,
    Timeout,
)

T = TypeVar("T")

# What the lab file calls its objects, and the Secret that is added to them.
ENVIRONMENT, QUOTA, POD, TOKENS = "lab-env", "lab-quota", "lab", "hub-tokens"
# A lab that starts takes two threads, one for its events; a poll or a stop takes one. The
# loop's own pool (asyncio.to_thread) can be as small as five: starts would hold up polls.
THREADS = ThreadPoolExecutor(256, thread_name_prefix="lab")


@functools.cache
def storage() -> LabStorage:
    """Make the one storage that all spawners share; it is safe to use from many threads."""
    configuration = client.Configuration()
    config.load_config(client_configuration=configuration)
    logger = structlog.wrap_logger(
        logging.getLogger("JupyterHub.labs"),  # its lines go into the Hub's log
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.LogfmtRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return LabStorage(client.ApiClient(configuration), logger)


async def in_thread(timeout: Timeout, function: Callable[..., T], *args: Any) -> T:
    """Call what blocks in a thread. Cancelled, it leaves once the thread has left the call."""
    job = THREADS.submit(function, *args)
    future = asyncio.wrap_future(job)
    try:
        # Not `await future`: cancelled, that would leave while the thread still works.
        await asyncio.wait([future])
    except asyncio.CancelledError:
        timeout.cancel()
        job.cancel()  # in case no thread has taken it
        await asyncio.gather(future, return_exceptions=True)
        raise
    return future.result()


class LabSpawner(Spawner):
    """Starts, polls and stops the lab of one user."""

    lab_file = Unicode(
        "lab.yaml", config=True, help="The manifests of a lab, as of the user jovyan."
    )
    namespace_prefix = Unicode(
        "lab-",
        config=True,
        help="What the namespaces of labs begin with. All that do are this Hub's: to start a "
        "lab, it deletes one that is there.",
    )
    lab_url = Unicode(
        "http://lab.{namespace}:8888",
        config=True,
        help="Where the Hub and its proxy reach a lab: the Service in the lab file.",
    )
    poll_timeout = Integer(10, config=True, help="Seconds that a poll may take.")
    stop_timeout = Integer(120, config=True, help="Seconds that the removal of a lab may take.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.storage = storage()
        parts = [safe_slug(part, max_length=26) for part in (self.user.name, self.name) if part]
        self.slug = "--".join(parts)
        namespace = self.namespace_prefix + self.slug
        self.names = LabObjectNames(self.user.name, namespace, ENVIRONMENT, QUOTA, POD)
        # The start that is under way, or that has failed and left something behind.
        self.starting: Timeout | None = None
        # How the lab ended; None as long as there is one, or may be.
        self.status: int | None = None
        # Held by who creates or deletes.
        self.changing = asyncio.Lock()
        self.cleared = asyncio.Event()

    @default("ip")
    def _listen_on_all_addresses_of_the_pod(self) -> str:
        return "0.0.0.0"

    @default("port")
    def _listen_on_the_port_of_the_lab_file(self) -> int:
        return 8888

    def timeout(self, operation: str, seconds: float) -> Timeout:
        """Begin a deadline for something that is done to this lab."""
        return Timeout(operation, timedelta(seconds=seconds), self.names.username)

    # What the Hub calls

    async def start(self) -> str:
        """Create the lab, and wait until its pod runs."""
        # A second less than the Hub allows, whose own error would say less than ours.
        timeout = self.starting = self.timeout("Starting lab", self.start_timeout - 1)
        self.status = None
        self.cleared.clear()
        # Here and not in the thread: what a Hub knows of a user is in its database, whose
        # objects belong to the thread of the loop.
        manifests = self.manifests()
        try:
            async with self.changing:
                # What a Hub that was killed may have left; hardly ever anything.
                await in_thread(timeout, self.remove, timeout)
                self.cleared.set()
                phase = await in_thread(timeout, self.create, manifests, timeout)
        except LabStorageError as error:
            # Not as it is: into its `reason` the Hub would write its own, and of a TimeoutError,
            # as ours is one, it would not tell the text.
            raise SpawnException(
                str(error), reason=type(error).__name__, status_code=500
            ) from error
        if phase is not PodPhase.RUNNING:
            how = f"is {phase.value}" if phase else "has been deleted"
            text = f"the pod {self.names.namespace}/{POD} {how}"
            raise SpawnException(text, reason="ended", status_code=500)
        self.starting = None
        return self.lab_url.format(namespace=self.names.namespace)

    async def progress(self) -> AsyncGenerator[dict[str, Any], None]:
        """Tell the events of the pod. The Hub ends this when the start is over."""
        await self.cleared.wait()  # before, there could be the pod of an earlier lab
        timeout = self.timeout("Watching events", self.start_timeout + self.http_timeout)
        events = self.storage.watch_pod_events(POD, self.names.namespace, timeout)
        told = 0
        try:
            while message := await in_thread(timeout, next, events, None):
                told += 1
                # Nobody knows how many there will be: each brings the bar nearer to its end.
                yield {"message": message, "progress": 100 * told // (told + 5)}
        except LabStorageError as error:
            self.log.warning("No more events of %s: %s", self.names.namespace, error)
        finally:
            events.close()

    async def poll(self) -> int | None:
        """Tell how the lab has ended; None as long as there is something to stop."""
        if self.starting is not None:
            # One that has failed counts too: the Hub calls stop only if this is None.
            return None
        if self.status is not None:
            return self.status
        try:
            phase = await self.phase()
        except LabStorageError as error:
            # That says nothing about the lab. Raised, it would make a Hub that starts forget
            # the lab, which may run on.
            self.log.warning("Cannot poll %s: %s", self.names.namespace, error)
            return None
        if phase not in (PodPhase.SUCCEEDED, PodPhase.FAILED, None):
            return None
        # The Hub does not stop what has ended by itself, and the rest of the lab is still there.
        try:
            await self.stop()
        except LabStorageError as error:
            self.log.warning("Cannot remove %s: %s", self.names.namespace, error)
        self.status = 0 if phase is PodPhase.SUCCEEDED else 1
        return self.status

    async def stop(self, now: bool = False) -> None:  # noqa: ARG002 - the Hub's parameter
        """Delete the lab, or what there is of it, and wait until it is gone."""
        if self.starting is not None:
            self.starting.cancel()
        async with self.changing:
            # Not twice: by now there could be another lab of that name, of another spawner.
            if self.status is not None:
                return
            timeout = self.timeout("Stopping lab", self.stop_timeout)
            await in_thread(timeout, self.remove, timeout)
            self.starting = None
            self.status = 0

    async def get_url(self) -> str:
        """Tell a Hub that was killed during a start where the lab is."""
        return self.lab_url.format(namespace=self.names.namespace) + self.server.base_url

    # What it is made of

    def manifests(self) -> list[dict[str, Any]]:
        """Write the lab of this user: that of the file, with the environment from the Hub."""
        environment = self.get_env()
        tokens = {
            name: environment.pop(name) for name in ("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN")
        }
        lab: list[dict[str, Any]] = [
            self.filled(manifest)
            for manifest in yaml.safe_load_all(Path(self.lab_file).read_text())
        ]
        for manifest in lab:
            if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"] == ENVIRONMENT:
                manifest["data"].update(environment)
            elif manifest["kind"] == "Pod":
                notebook = manifest["spec"]["containers"][0]
                notebook.setdefault("envFrom", []).append({"secretRef": {"name": TOKENS}})
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": TOKENS}}
        return [*lab, {**secret, "stringData": tokens}]

    def filled(self, value: Any) -> Any:
        """Put the user's names in the place of jovyan's."""
        if isinstance(value, dict):
            return {key: self.filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.filled(item) for item in value]
        if isinstance(value, str):
            value = value.replace("lab-jovyan", self.names.namespace)
            value = value.replace("/user/jovyan/", self.server.base_url)
            value = value.replace("jovyan", self.slug)
        return value

    def create(self, manifests: list[dict[str, Any]], timeout: Timeout) -> PodPhase | None:
        """Create the lab, and wait until its pod has started. Blocks."""
        self.storage.create(LabObjects.from_manifests(manifests, self.names), timeout)
        return self.storage.wait_for_pod_start(
            POD, self.names.namespace, timeout, fail_fast=FAIL_FAST
        )

    def remove(self, timeout: Timeout) -> None:
        """Delete the lab, and wait until it is gone. Blocks."""
        # The pod goes in a second, by itself. With its namespace it has its full grace period,
        # and the namespace looks again after half of that.
        self.storage.delete_pod(self.names, timeout)
        self.storage.delete_namespace(self.names.namespace, timeout)

    async def phase(self) -> PodPhase | None:
        """Ask for the phase of the pod; after a restart of the Hub, look for the lab first."""
        timeout = self.timeout("Polling lab", self.poll_timeout)
        if self.api_token:
            return await in_thread(timeout, self.storage.read_pod_phase, self.names, timeout)
        phase, self.api_token = await in_thread(timeout, self.find, timeout)
        return phase

    def find(self, timeout: Timeout) -> tuple[PodPhase | None, str]:
        """Look for the lab that an earlier Hub has started, and the token it was given. Blocks.

        The Hub itself keeps but a hash of the token, and has to know it to revoke it when the
        lab is stopped.
        """
        try:
            secret = self.storage.read_secret(TOKENS, self.names.namespace, timeout)
            token = base64.b64decode(secret.data["JUPYTERHUB_API_TOKEN"]).decode()
        except MissingSecretError:
            token = ""
        lab = self.storage.read_lab_objects(self.names, timeout)
        # One that is not whole, be it half made or half removed, counts as none.
        return (PodPhase.of(lab.pod.status.phase) if lab else None), token

"""``lab-storage demo``: the life of the example lab, and how long each step took."""

from __future__ import annotations

import copy
import secrets
import threading
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from lab_storage._cli.failures import Exit, FailedError
from lab_storage._cli.lab_file import LabFile, Named
from lab_storage._cli.log import Entry, object_of
from lab_storage._cli.options import examples, with_session
from lab_storage._cli.screen import Activity
from lab_storage._cli.session import Call, Session
from lab_storage._cli.timeline import Timeline
from lab_storage.exceptions import KubernetesError, LabStorageError, one_line
from lab_storage.models import FAIL_FAST, LabObjectNames, LabObjects, PodPhase
from lab_storage.timeout import Timeout

__all__ = ["demo"]

Manifest = dict[str, Any]

LAB_FILE = Path(__file__).with_name("lab.yaml")
NAMESPACE_PREFIX = "lab-demo-"
_STEPS = 5
# A claim or a node may still appear.
_FAIL_FAST = FAIL_FAST - {"Unschedulable"}
# To clean up on a cluster, where a namespace is gone in some 5 to 16 s.
_CLEANUP = timedelta(minutes=2)
# A watch ends within 0.25 s of its cancel.
_JOIN_SECONDS = 2.0


@click.command(
    short_help="Show the life of a lab.",
    epilog=examples("demo", "demo --context my-cluster"),
)
@with_session(
    "2m",
    kubeconfig="Show it on a cluster of this file. With --context alone, the file is that of "
    "KUBECONFIG, or ~/.kube/config.",
)
@click.option(
    "--image",
    metavar="IMAGE",
    default="busybox:stable",
    show_default=True,
    help="The image of the pod on a cluster; it needs mkdir and sleep.",
)
def demo(session: Session, image: str) -> None:
    """Show the life of a lab, here or on a cluster.

    Create, events, start, read back, delete, and how long each step took. By default on an
    API server inside this program; with --context or --kubeconfig on a cluster, in a new
    namespace. It leaves nothing behind.
    """
    file = LabFile.read(str(LAB_FILE))
    on_cluster = session.context is not None or session.kubeconfig is not None
    if on_cluster:
        namespace = NAMESPACE_PREFIX + secrets.token_hex(4)
        file = LabFile(
            file.path, [_for_cluster(each, namespace, image) for each in file.manifests]
        )
        server: AbstractContextManager[Any] = nullcontext()
    else:
        server = _embedded_server()
    names = Named(file).resolve()
    lab = file.lab(names)
    with (
        server as api_client,
        session.call(
            "The demo",
            names.username,
            total=_STEPS,
            listener=_note_object,
            api_client=api_client,
        ) as call,
    ):
        phase = _Demo(session, call, names, lab, cleans_up=on_cluster).run()
    if phase is not PodPhase.RUNNING:
        said = phase.value if phase else "gone"
        raise FailedError(Exit.REFUSED, f"the pod of the demo is {said}, not Running")


def _note_object(activity: Activity, entry: Entry) -> None:
    activity.note(f"{object_of(entry)}: {entry['event']}")


@contextmanager
def _embedded_server() -> Iterator[Any]:
    from lab_storage.testing import Delays, EmbeddedServer

    # As late as on an idle cluster, so that there is something to see.
    delays = Delays(
        service_account=timedelta(seconds=0.5),
        quota=timedelta(seconds=0.3),
        namespace=timedelta(seconds=0.8),
    )
    with EmbeddedServer(delays=delays) as server:
        server.script_pods(delay=timedelta(seconds=1.2))
        yield server.api_client()


def _for_cluster(manifest: Manifest, namespace: str, image: str) -> Manifest:
    """Move a manifest of the example to another namespace, with an image that exists."""
    manifest = copy.deepcopy(manifest)
    metadata = manifest["metadata"]
    if manifest["kind"] == "Namespace":
        metadata["name"] = namespace
    else:
        metadata["namespace"] = namespace
    if manifest["kind"] == "Pod":
        spec = manifest["spec"]
        for container in (*spec["initContainers"], *spec["containers"]):
            container["image"] = image
        for container in spec["containers"]:
            container["command"], container["args"] = ["sleep"], ["3600"]
            # Nothing listens in it.
            container.pop("readinessProbe", None)
    return manifest


class _Demo:
    """One life of one lab."""

    def __init__(
        self,
        session: Session,
        call: Call,
        names: LabObjectNames,
        lab: LabObjects,
        *,
        cleans_up: bool,
    ) -> None:
        self._session = session
        self._call = call
        self._names = names
        self._lab = lab
        self._cleans_up = cleans_up
        self._timeline = Timeline()
        # Two threads show what happens, in the order in which they read the clock.
        self._lock = threading.Lock()
        self._failure: LabStorageError | None = None

    def run(self) -> PodPhase | None:
        """Show it, and how long each step took; gives the phase that the pod reached."""
        screen = self._session.screen
        events = self._call.timeout.partial(timedelta.max)
        watcher = threading.Thread(target=self._show_events, args=(events,), daemon=True)
        watcher.start()
        try:
            phase = self._live()
        except BaseException as error:
            if self._cleans_up and not _is_anothers(error):
                self._clean_up()
            raise
        finally:
            events.cancel()
            watcher.join(_JOIN_SECONDS)
        if self._failure is not None:
            raise self._failure
        screen.draw(Text())
        screen.draw(
            self._timeline.render(columns=screen.console.width, ascii_only=screen.ascii_only)
        )
        screen.result({"phase": phase.value if phase else None, **self._timeline.to_json()})
        return phase

    def _live(self) -> PodPhase | None:
        storage, timeout = self._call.storage, self._call.timeout
        names, namespace = self._names, self._names.namespace
        with self._step("Create the lab"):
            storage.create(self._lab, timeout, operation_id=uuid.uuid4().hex)
        with self._step("Wait for its start"):
            phase = storage.wait_for_pod_start(names.pod, namespace, timeout, fail_fast=_FAIL_FAST)
            self._say(f"The pod is {phase.value if phase else 'gone'}")
        with self._step("Read it back"):
            storage.read_pod_phase(names, timeout)
            storage.read_lab_objects(names, timeout)
            for secret in self._lab.secrets:
                storage.read_secret(secret.metadata.name, namespace, timeout)
            storage.list_namespaces(namespace, timeout)
        with self._step("Delete the pod"):
            storage.delete_pod(names, timeout)
            self._say("The pod is gone")
        with self._step("Delete the namespace"):
            storage.delete_namespace(namespace, timeout)
            self._say("The namespace is gone")
        return phase

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        self._call.activity.title(title)
        with self._timeline.step(title):
            yield
        self._call.activity.advance()

    def _say(self, text: str) -> None:
        with self._lock:
            self._show(self._timeline.elapsed(), text, "bold")

    def _show(self, at: float, text: str, style: str) -> None:
        line = (f"{at:6.2f} s  ", "cyan"), (one_line(text), style)
        self._session.screen.draw(Text.assemble(*line))

    def _show_events(self, timeout: Timeout) -> None:
        names = self._names
        try:
            for message in self._call.storage.watch_pod_events(
                names.pod, names.namespace, timeout
            ):
                with self._lock:
                    self._show(self._timeline.mark(message), message, "")
        except LabStorageError as error:
            # The deadline of the whole is reported by the call that it ends.
            if not timeout.expired:
                self._failure = error

    def _clean_up(self) -> None:
        """Delete the namespace, also after Ctrl-C; a second one leaves it to the cluster."""
        namespace = self._names.namespace
        timeout = Timeout("Deleting the namespace", _CLEANUP, self._names.username)
        self._call.activity.title(f"Deleting the namespace {namespace}")
        self._call.activity.watch(lambda: timeout.waiting_for)
        with self._session.interrupts.cancelling(timeout):
            try:
                self._call.storage.delete_namespace(namespace, timeout)
            except LabStorageError as error:
                text = f"namespace {namespace} may be left: {error}"
                self._session.remarks.append(text)


def _is_anothers(error: BaseException) -> bool:
    """Whether the namespace existed before: then it is not the demo's to delete."""
    return isinstance(error, KubernetesError) and error.status == 409 and error.kind == "Namespace"

"""One watch for all labs on a real API server that dies, forgets, falls silent or stands still."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import structlog
from kubernetes import client

from lab_storage import (
    LabObjectNames,
    LabStorage,
    LabStorageError,
    LiveLabStorage,
    PodPhase,
    Timeout,
)
from tests.plane.remote import Cluster
from tests.support.labs import timeout_of
from tests.support.watched_pods import PATIENCE_SECONDS, Namespace, namespace, outcomes
from tests.support.watched_pods import waiting as waits_in

__all__ = ["namespace"]

WAITS = 200
READERS = 50
MAX_AGE_SECONDS = 3.0


@pytest.fixture
def live(control_plane: Cluster, namespace: Namespace) -> Iterator[LiveLabStorage]:
    """Follows the pods of the namespace, and knows them."""
    with (
        control_plane.api_client() as api_client,
        LabStorage(api_client, structlog.get_logger()).live(
            namespace.name, max_age=timedelta(seconds=MAX_AGE_SECONDS)
        ) as live,
    ):
        live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
        yield live


def names_of(namespace: Namespace, pod: str) -> LabObjectNames:
    """The names of a lab whose pod that is."""
    return LabObjectNames("jovyan", namespace.name, "lab-env", "lab-quota", pod)


class Readers:
    """Threads that read one pod's phase again and again, and note what cannot be true.

    The pod is Pending until `written`, and Running from then on.
    """

    def __init__(self, live: LiveLabStorage, names: LabObjectNames) -> None:
        self._live, self._names = live, names
        self._stops = threading.Event()
        self.written = float("inf")
        self.count = 0
        self.lies: list[str] = []
        self._has_run = False

    def read(self) -> None:
        """Read until the end."""
        while not self._stops.is_set():
            began, knew = time.monotonic(), self._has_run
            try:
                timeout = Timeout("Reading", timedelta(seconds=PATIENCE_SECONDS))
                phase = self._live.read_pod_phase(self._names, timeout)
            except LabStorageError as error:
                self.lies.append(str(error))
                return
            self.count += 1
            if phase is PodPhase.RUNNING:
                self._has_run = True
            elif began - MAX_AGE_SECONDS > self.written:
                self.lies.append(f"{phase} {began - self.written:.1f} s after it was over")
            elif knew:
                self.lies.append(f"{phase} after it was known to run")
            time.sleep(0.01)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Have all of them read meanwhile."""
        with ThreadPoolExecutor(READERS) as threads:
            for _ in range(READERS):
                threads.submit(self.read)
            try:
                yield
            finally:
                self._stops.set()


@pytest.mark.parametrize("disaster", ["death", "expiry", "standstill of etcd", "silence"])
def test_waits_and_readers_are_told_the_truth(
    control_plane: Cluster, live: LiveLabStorage, namespace: Namespace, disaster: str
) -> None:
    """Waits come to what has become of their pods; no reader is told what is too old."""
    pods = [f"lab-{number:03}" for number in range(WAITS)]
    readers = Readers(live, names_of(namespace, "read"))
    with contextlib.ExitStack() as whole:
        # A kubelet may be late, and write that a pod is Pending after the test has it run.
        whole.enter_context(control_plane.pause_kubelet())
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(namespace.create_pod, [*pods, "read"]))
        waits = whole.enter_context(waits_in(live, namespace, pods))
        whole.enter_context(readers.reading())
        with contextlib.ExitStack() as stack:
            if disaster == "death":
                control_plane.kill_apiserver()
                time.sleep(MAX_AGE_SECONDS)
                control_plane.start_apiserver()
            elif disaster == "expiry":
                control_plane.expire_versions()
            elif disaster == "standstill of etcd":
                stack.enter_context(control_plane.pause_etcd())
                time.sleep(MAX_AGE_SECONDS)
            else:
                stack.enter_context(control_plane.pause_apiserver())
                time.sleep(2 * MAX_AGE_SECONDS)
        namespace.start_pod("read")
        readers.written = time.monotonic()
        expected: dict[str, PodPhase | None] = {}
        for number, pod in enumerate(pods):
            if number % 2:
                namespace.start_pod(pod)
                expected[pod] = PodPhase.RUNNING
            else:
                namespace.delete_pod(pod)
                expected[pod] = None
        assert expected == outcomes(waits)
        time.sleep(MAX_AGE_SECONDS + 1)
    assert [] == readers.lies
    assert readers.count > READERS


def test_labs_are_listed_alike_from_memory(
    control_plane: Cluster, live: LiveLabStorage, namespace: Namespace
) -> None:
    """What the watch knows is what two lists say."""
    for pod in ("one", "two"):
        namespace.create_pod(pod)
    with control_plane.api_client() as api_client:
        storage = LabStorage(api_client, structlog.get_logger())
        until = time.monotonic() + PATIENCE_SECONDS
        listed = storage.list_labs(namespace.name, timeout_of(PATIENCE_SECONDS))
        while live.list_labs(namespace.name, timeout_of(PATIENCE_SECONDS)) != listed:
            assert time.monotonic() < until
            time.sleep(0.1)
            listed = storage.list_labs(namespace.name, timeout_of(PATIENCE_SECONDS))
        storage.close()
    core = client.CoreV1Api(control_plane.api_client())
    real = core.read_namespaced_pod("two", namespace.name)
    [lab] = listed
    assert ["one", "two"] == [pod.name for pod in lab.pods]
    assert (real.metadata.uid, real.metadata.creation_timestamp) == (
        lab.pods[1].uid,
        lab.pods[1].created,
    )
    assert namespace.name == lab.namespace

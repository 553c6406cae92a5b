"""Watches on a real API server: what they do when it forgets, dies, or has a lot to say."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import structlog

from lab_storage import (
    LabObjectNames,
    LabStorage,
    OperationTimeoutError,
    PodPhase,
)
from lab_storage._api.call import Call
from tests.plane.remote import Cluster
from tests.support.labs import timeout_of
from tests.support.watched_pods import (
    PATIENCE_SECONDS,
    Namespace,
    Outcome,
    namespace,
    outcomes,
    wait,
    waiting,
)

__all__ = ["namespace"]

WATCHES = 50
CROWD = 500
#: How a pod starts, and what a wait for it says.
STORIES: dict[str, PodPhase | str] = {
    "run": PodPhase.RUNNING,
    "succeed": PodPhase.SUCCEEDED,
    "fail": PodPhase.FAILED,
    "config-error": "CreateContainerConfigError",
}


class Streams:
    """Counts the watches that the server has begun to answer."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._opened = threading.Semaphore(0)

        open_once = Call.open

        def count(call: Call, request: Any, **options: Any) -> Any:
            opened = open_once(call, request, **options)
            self._opened.release()
            return opened

        patch.setattr(Call, "open", count)

    def wait_for(self, count: int) -> None:
        """Block until so many more are open."""
        until = time.monotonic() + PATIENCE_SECONDS
        for number in range(count):
            assert self._opened.acquire(timeout=until - time.monotonic()), f"only {number}"


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Streams:
    """Counts streams."""
    return Streams(monkeypatch)


@pytest.fixture
def storage(control_plane: Cluster) -> Iterator[LabStorage]:
    """A storage of the administrator, who is let in while the server still learns its roles."""
    with (
        control_plane.api_client() as api_client,
        LabStorage(api_client, structlog.get_logger()) as storage,
    ):
        yield storage


def test_compacted_etcd_is_not_noticed_under_open_watches(
    control_plane: Cluster, storage: LabStorage, namespace: Namespace, streams: Streams
) -> None:
    """What is only compacted is still in the server's own cache; nothing is lost either."""
    names = [f"lab-{number:02}" for number in range(10)]
    for name in names:
        namespace.create_pod(name)
    with waiting(storage, namespace, names) as waits:
        streams.wait_for(len(names))
        control_plane.compact()
        for name in names:
            namespace.start_pod(name)
        assert dict.fromkeys(names, PodPhase.RUNNING) == outcomes(waits)


def test_pod_on_a_dead_node_is_named_by_the_timeout(
    control_plane: Cluster, storage: LabStorage, namespace: Namespace
) -> None:
    """Nobody but its kubelet can say that a pod has ended."""
    namespace.create_pod("lab", "run")
    assert PodPhase.RUNNING == wait(storage, namespace, "lab")
    names = LabObjectNames("jovyan", namespace.name, "lab-env", "lab-quota", "lab")
    with control_plane.pause_kubelet():
        with pytest.raises(OperationTimeoutError) as caught:
            storage.delete_pod(names, timeout_of(2))
        assert "node lab-node has not confirmed that the pod ended; it may be dead" == (
            caught.value.last
        )
    storage.delete_pod(names, timeout_of(PATIENCE_SECONDS))
    assert storage.read_pod_phase(names, timeout_of(10)) is None


def test_finalizer_that_keeps_a_namespace_is_named_by_the_timeout(
    storage: LabStorage, namespace: Namespace
) -> None:
    """The conditions of the namespace say what is in the way, and nobody takes it out of it."""
    finalizers = ["lab-storage.test/keep"]
    metadata = {"name": "kept", "finalizers": finalizers}
    namespace.core.create_namespaced_config_map(namespace.name, {"metadata": metadata})

    def text_of_timeout(seconds: float) -> str:
        with pytest.raises(OperationTimeoutError) as caught:
            storage.delete_namespace(namespace.name, timeout_of(seconds))
        return str(caught.value)

    try:
        text = text_of_timeout(0.5)
        assert "the namespace is Terminating" in text
        # What it has met, the controller says when it has tried.
        until = time.monotonic() + PATIENCE_SECONDS
        while "NamespaceFinalizersRemaining" not in text and time.monotonic() < until:
            text = text_of_timeout(2)
        assert "NamespaceContentRemaining: Some resources are remaining: configmaps." in text
        assert "NamespaceFinalizersRemaining" in text
        assert finalizers[0] in text
        kept = namespace.core.read_namespaced_config_map("kept", namespace.name)
        assert finalizers == kept.metadata.finalizers
    finally:
        namespace.core.patch_namespaced_config_map(
            "kept", namespace.name, {"metadata": {"finalizers": None}}
        )
    storage.delete_namespace(namespace.name, timeout_of(PATIENCE_SECONDS))
    assert [] == storage.list_namespaces(namespace.name, timeout_of(10))


def test_five_hundred_pods_start_at_once(
    control_plane: Cluster, storage: LabStorage, namespace: Namespace, streams: Streams
) -> None:
    """Each of five hundred waits tells the truth of its pod, in good time."""
    stories = list(STORIES)
    pods = {f"lab-{number:03}": stories[number % len(stories)] for number in range(CROWD)}
    with contextlib.ExitStack() as pause:
        pause.enter_context(control_plane.pause_kubelet())
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(namespace.create_pod, pods, pods.values()))
        with waiting(storage, namespace, list(pods)) as waits:
            streams.wait_for(CROWD)
            pause.close()
            assert {name: STORIES[story] for name, story in pods.items()} == outcomes(waits)


# The last, since the controllers are late for long after it.
@pytest.mark.parametrize("disaster", ["compaction", "death"])
def test_waits_tell_the_truth_after(
    control_plane: Cluster,
    storage: LabStorage,
    namespace: Namespace,
    streams: Streams,
    disaster: str,
) -> None:
    """Fifty waits outlive the server's death, and that of all versions that they know.

    What happens before they are back, to each pod something else, is what they come to. The
    events of one pod are told once, those that came meanwhile too.
    """
    names = [f"lab-{number:02}" for number in range(WATCHES)]
    for name in names:
        namespace.create_pod(name)
    namespace.create_event("lab-00", "before")
    told: list[str] = []

    def listen() -> None:
        timeout = timeout_of(PATIENCE_SECONDS)
        for message in storage.watch_pod_events("lab-00", namespace.name, timeout):
            told.append(message)
            if message == "after":
                timeout.cancel()

    with waiting(storage, namespace, names) as waits, ThreadPoolExecutor(1) as listener:
        listened = listener.submit(listen)
        streams.wait_for(WATCHES + 1)
        if disaster == "compaction":
            control_plane.expire_versions()
        else:
            control_plane.kill_apiserver()
            control_plane.start_apiserver()
        expected: dict[str, Outcome] = {}
        for number, name in enumerate(names):
            if number % 3 == 0:
                namespace.start_pod(name)
                expected[name] = PodPhase.RUNNING
            else:
                namespace.delete_pod(name)
                expected[name] = None
            if number % 3 == 2:
                namespace.create_pod(name, "run")
        namespace.create_event("lab-00", "after")
        assert expected == outcomes(waits)
        listened.result()
    assert 1 == told.count("before")
    assert "after" == told[-1]
    assert len(set(told)) == len(told)

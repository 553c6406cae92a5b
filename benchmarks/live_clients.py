"""How clients get to know the pods of all labs, and go on knowing them.

Each is made in a process of its own (`benchmarks.live_process`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from benchmarks.live_labs import PREFIX

_PROTOBUF = "application/vnd.kubernetes.protobuf"
PATIENCE_SECONDS = 600

OURS, FLOOR, REFLECTOR, INFORMER = (
    "lab_storage", "floor", "list and watch in JSON", "SharedInformer",
)  # fmt: skip


class Bare:
    """urllib3, and a bare scan or parser: what cannot be left out."""

    def __init__(self, host: str, ca_file: str | None, token: str) -> None:
        import urllib3

        # What is imported is not measured.
        import lab_storage._api.protobuf  # noqa: F401

        self._host = host
        self._headers = {"authorization": f"Bearer {token}"}
        self._pool = urllib3.PoolManager(ca_certs=ca_file, retries=False)
        self.heard = 0

    def _open(self, path: str, accept: str) -> Any:
        headers = {**self._headers, "accept": accept}
        return self._pool.request("GET", self._host + path, headers=headers, preload_content=False)

    def close(self) -> None:
        self._pool.clear()


class Floor(Bare):
    """A streamed list in protobuf, scanned for name, namespace, UID, version and phase."""

    def open_watch(self) -> None:
        """Have what exists, and then happens, in `frames`."""
        self.response = self._open(
            "/api/v1/pods?watch=true&sendInitialEvents=true&allowWatchBookmarks=true"
            "&resourceVersionMatch=NotOlderThan",
            f"{_PROTOBUF};stream=watch",
        )
        self.frames = frames_of(self.response.stream(1 << 16))

    def read_pods(self, count: int) -> list[dict[str, Any]]:
        """Read so many of them, in JSON."""
        data = self._open(f"/api/v1/pods?limit={count}", "application/json").data
        items: list[dict[str, Any]] = json.loads(data)["items"]
        return items

    def know_all(self) -> int:
        self.open_watch()
        self.known: dict[bytes, tuple[bytes, ...]] = {}
        for frame in self.frames:
            if b"k8s.io/initial-events-end" in frame:
                break
            self._scan(frame)
        return len(self.known)

    def _scan(self, frame: bytes) -> None:
        from lab_storage._api.protobuf import F1, F2, F3, F5, F6, scan, unwrapped

        found: dict[int, list[tuple[int, int]]] = {F2: []}
        scan(frame, 0, len(frame), found)
        raw: dict[int, list[tuple[int, int]]] = {F1: []}
        scan(frame, *found[F2][0], raw)
        pod: dict[int, list[tuple[int, int]]] = {F1: [], F3: []}
        scan(frame, *unwrapped(frame, *raw[F1][0]), pod)
        metadata: dict[int, list[tuple[int, int]]] = {F1: [], F3: [], F5: [], F6: []}
        scan(frame, *pod[F1][0], metadata)
        status: dict[int, list[tuple[int, int]]] = {F1: []}
        scan(frame, *pod[F3][0], status)
        name, place, uid, version, phase = (
            frame[slice(*spans[0])] for spans in (*metadata.values(), status[F1])
        )
        self.known[place + b"/" + name] = uid, version, phase

    def hear(self) -> None:
        for frame in self.frames:
            self._scan(frame)
            self.heard += 1


class Lines(Bare):
    """A watch in JSON, each line of which is parsed, as kubespawner's reflector does."""

    def know_all(self) -> int:
        """A list, kept whole."""
        data = self._open("/api/v1/pods", "application/json").data
        content = json.loads(data)
        self.known = {
            (item["metadata"]["namespace"], item["metadata"]["name"]): item
            for item in content["items"]
        }
        self._version = content["metadata"]["resourceVersion"]
        return len(self.known)

    def hear(self) -> None:
        response = self._open(f"/api/v1/pods?watch=true&resourceVersion={self._version}", "*/*")
        rest = b""
        for segment in response.stream(1 << 16):
            *lines, rest = (rest + segment).split(b"\n")
            for line in lines:
                item = json.loads(line)["object"]
                self.known[item["metadata"]["namespace"], item["metadata"]["name"]] = item
                self.heard += 1


class Informer:
    """The official client's ``SharedInformer``."""

    def __init__(self, host: str, ca_file: str | None, token: str) -> None:
        from kubernetes import client, informer

        from benchmarks.libraries import _api_client

        core = client.CoreV1Api(_api_client(host, ca_file, token))
        self._informer = informer.SharedInformer(core.list_pod_for_all_namespaces)
        self.heard = 0

    def know_all(self, expected: int) -> int:
        self._informer.add_event_handler("MODIFIED", self._hear)
        self._informer.start()
        until = time.monotonic() + PATIENCE_SECONDS
        while len(self._informer.cache.list()) < expected and time.monotonic() < until:
            time.sleep(0.1)
        return len(self._informer.cache.list())

    def _hear(self, _: Any) -> None:
        self.heard += 1

    def hear(self) -> None:
        threading.Event().wait()

    def close(self) -> None:
        self._informer.stop()


class Ours:
    """`LiveLabStorage`."""

    def __init__(
        self, host: str, ca_file: str | None, token: str, max_age_seconds: float = 10
    ) -> None:
        import structlog

        from benchmarks.libraries import _api_client
        from lab_storage import LabStorage

        log = structlog.wrap_logger(
            structlog.PrintLogger(), wrapper_class=structlog.make_filtering_bound_logger(40)
        ).bind()
        self.requests: list[Any] = []
        self.plain = LabStorage(
            _api_client(host, ca_file, token), log, observer=self.requests.append
        )
        self.live = self.plain.live(PREFIX, max_age=timedelta(seconds=max_age_seconds))

    @property
    def heard(self) -> int:
        return self._heard

    def timeout(self, seconds: float = PATIENCE_SECONDS) -> Any:
        from lab_storage import Timeout

        # The observer is told a user of callers' requests, and none of the watch's own.
        return Timeout("Measuring", timedelta(seconds=seconds), user="jovyan")

    def know_all(self) -> int:
        self.live.wait_until_synced(self.timeout())
        return self.live.freshness.pods

    def hear(self) -> None:
        """Count what the view is told."""
        self._heard = 0
        view = self.live._following().view
        take = view.hear

        def count(event: Any) -> bool:
            self._heard += event.pod is not None
            return take(event)

        view.hear = count  # type: ignore[method-assign]
        threading.Event().wait()

    def close(self) -> None:
        self.live.close()


CLIENTS: dict[str, Callable[..., Any]] = {
    FLOOR: Floor,
    OURS: Ours,
    REFLECTOR: Lines,
    INFORMER: Informer,
}


def frames_of(segments: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the frames of a watch in protobuf."""
    data = b""
    for segment in segments:
        data += segment
        at = 0
        while len(data) - at >= 4:
            size = int.from_bytes(data[at : at + 4], "big")
            if len(data) - at < 4 + size:
                break
            yield data[at + 4 : at + 4 + size]
            at += 4 + size
        data = data[at:]

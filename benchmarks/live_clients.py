"""How clients get to know the pods of all labs, and go on knowing them: each in a process.

Called by `benchmarks.live` as ``python -m benchmarks.live_clients CLIENT WORK`` with the address
of a server on the standard input; it prints what it measured, as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_PROTOBUF = "application/vnd.kubernetes.protobuf"
_PREFIX = "lab-"
PATIENCE_SECONDS = 600


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

    def know_all(self) -> int:
        self.response = self._open(
            "/api/v1/pods?watch=true&sendInitialEvents=true&allowWatchBookmarks=true"
            "&resourceVersionMatch=NotOlderThan",
            f"{_PROTOBUF};stream=watch",
        )
        self._frames = frames_of(self.response.stream(1 << 16))
        self.known: dict[bytes, tuple[bytes, ...]] = {}
        for frame in self._frames:
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
        for frame in self._frames:
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

    def __init__(self, host: str, ca_file: str | None, token: str) -> None:
        import structlog

        from benchmarks.libraries import _api_client
        from lab_storage import LabStorage

        log = structlog.wrap_logger(
            structlog.PrintLogger(), wrapper_class=structlog.make_filtering_bound_logger(40)
        ).bind()
        self.requests: list[Any] = []
        storage = LabStorage(_api_client(host, ca_file, token), log, observer=self.requests.append)
        self.live = storage.live(_PREFIX)

    @property
    def heard(self) -> int:
        return self._heard

    def timeout(self) -> Any:
        from lab_storage import Timeout

        return Timeout("Measuring", timedelta(seconds=PATIENCE_SECONDS))

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
    "floor": Floor,
    "lab_storage": Ours,
    "list and watch in JSON": Lines,
    "SharedInformer": Informer,
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


def resident_bytes() -> int:
    """The memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(client: Any, work: str, amount: int) -> Json:
    """Do a piece of work, and say what it took."""
    gc.collect()
    memory, began, cpu = resident_bytes(), time.perf_counter(), time.process_time()
    known = client.know_all(amount) if isinstance(client, Informer) else client.know_all()
    result: Json = {
        "known": known,
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - began,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - memory,
    }
    gc.collect()
    result["memory"] = resident_bytes() - memory
    if work == "changes":
        threading.Thread(target=client.hear, daemon=True).start()
        print("ready", flush=True)
        sys.stdin.readline()
        heard, cpu = client.heard, time.process_time()
        print("go", flush=True)
        sys.stdin.readline()
        time.sleep(1)
        result["changes"] = client.heard - heard
        result["cpu of changes"] = time.process_time() - cpu
    elif work == "reads":
        from lab_storage import LabObjectNames, Timeout

        names = LabObjectNames("jovyan", "lab-00001", "lab-env", "lab-quota", "lab")
        sent = len(client.requests)
        began = time.perf_counter()
        for _ in range(amount):
            client.live.read_pod_phase(names, Timeout("Reading", timedelta(seconds=10)))
        result["reads"] = amount / (time.perf_counter() - began)
        result["requests"] = sum(each.user is not None for each in client.requests[sent:])
    elif work == "waits":
        result.update(_waits(client, amount))
    elif work == "quiet":
        sent = len(client.requests)
        time.sleep(amount)
        result["requests"] = len(client.requests) - sent
    return result


def _waits(client: Any, count: int) -> Json:
    from benchmarks.worker import _sockets

    def wait(number: int) -> None:
        client.live.wait_for_pod_start("lab", f"lab-{number:05}", client.timeout())

    tracemalloc.start()
    threads, memory = threading.active_count(), tracemalloc.get_traced_memory()[0]
    sockets = _sockets()
    for number in range(count):
        threading.Thread(target=wait, args=(number,), daemon=True).start()
    time.sleep(5)
    return {
        # One of each was there before: the watch's.
        "threads": 1 + threading.active_count() - threads - count,
        "connections": 1 + _sockets() - sockets,
        "bytes a wait": (tracemalloc.get_traced_memory()[0] - memory) / count,
    }


def main() -> None:
    """Measure one client."""
    name, work, amount = sys.argv[1], sys.argv[2], int(sys.argv[3])
    server = json.loads(sys.stdin.readline())
    client = CLIENTS[name](server["host"], server["ca_file"], server["token"])
    print(json.dumps(measure(client, work, amount)), flush=True)
    # Threads that wait for a server do not keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()

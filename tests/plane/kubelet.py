"""A stand-in for the kubelet of the one node: ``python -m tests.plane.kubelet KUBECONFIG``.

A process of its own, so that it takes nothing from the interpreter of the
tests, that it ends by a signal, and that a node is dead while it is stopped by
another. It watches the pods that the scheduler has bound to its node and
writes what a kubelet writes about them (:mod:`tests.plane.kubelet_requests`). It
runs no containers.

After a failure of any kind, kube-apiserver's death included, it begins anew
with a list, and every request is made until it is answered.
"""

from __future__ import annotations

import heapq
import itertools
import json
import logging
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import urllib3

from .kubelet_requests import (
    STRATEGIC_MERGE_PATCH,
    Json,
    Pause,
    Request,
    Step,
    remove,
    start,
    stop,
)
from .programs import NODE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORKERS = 4
AGAIN_SECONDS = 0.2
REQUEST_SECONDS = 30.0
WATCH_SECONDS = 300
PODS = f"/api/v1/pods?fieldSelector=spec.nodeName%3D{NODE}"

log = logging.getLogger("kubelet")


class TransientError(Exception):
    """A request that is to be made again."""


class Server:
    """kube-apiserver, by plain requests: no models are built here."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._host = cluster["server"]
        self._headers = {"authorization": f"Bearer {config['users'][0]['user']['token']}"}
        self._pool = urllib3.PoolManager(
            # The workers and the watch.
            maxsize=WORKERS + 1,
            retries=False,
            ca_certs=cluster["certificate-authority"],
        )

    def send(self, request: Request) -> int:
        """Make a request, and give the status of the answer.

        Raises
        ------
        TransientError
            If there is none, or it says that another try may do better.
        """
        response = self._send(request.method, request.path, request.body, request.content_type)
        status: int = response.status
        if status == 429 or status >= 500:
            raise TransientError(f"{request.method} {request.path}: {status}")
        if status >= 400:
            log.info("%s %s: %d %s", request.method, request.path, status, response.data)
        return status

    def read(self, path: str) -> Json:
        """What kube-apiserver has at that path."""
        response = self._send("GET", path)
        if response.status != 200:
            raise TransientError(f"GET {path}: {response.status}")
        answer: Json = response.json()
        return answer

    def watch(self, path: str) -> Iterator[Json]:
        """What a watch says, one event after another, until it ends."""
        response = self._send("GET", path, seconds=WATCH_SECONDS + 10.0, preload_content=False)
        try:
            if response.status != 200:
                raise TransientError(f"GET {path}: {response.status}")
            for line in response:
                yield json.loads(line)
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(str(error)) from error
        finally:
            response.close()

    def _send(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        content_type: str = "application/json",
        *,
        seconds: float = REQUEST_SECONDS,
        preload_content: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(
                method,
                self._host + path,
                body=None if body is None else json.dumps(body),
                headers={**self._headers, "content-type": content_type},
                timeout=seconds,
                preload_content=preload_content,
            )
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(str(error)) from error


class Agenda:
    """What is to be done, and when; the workers take from it what is due."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def put(self, due: float, work: Callable[[], None]) -> None:
        """Have `work` done at that moment of the monotonic clock."""
        with self._changed:
            heapq.heappush(self._entries, (due, next(self._numbers), work))
            self._changed.notify()

    def take(self) -> Callable[[], None]:
        """Wait until something is due, and give it to one worker alone."""
        with self._changed:
            while True:
                wait = self._entries[0][0] - time.monotonic() if self._entries else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._entries)[2]
                self._changed.wait(wait)


@dataclass
class Pod:
    """A pod of this node, by UID, and what is known of it."""

    manifest: Json
    #: Held while a step is written, so that start and removal do not mix.
    writing: threading.Lock = field(default_factory=threading.Lock)
    #: When its deletion was first seen, and when its grace ends.
    deletion_seen: float | None = None
    ends: float | None = None
    removing: bool = False
    gone: bool = False

    def is_staying(self) -> bool:
        """Whether nobody has asked for it to go."""
        return self.deletion_seen is None and not self.gone

    def is_there(self) -> bool:
        """Whether it still exists."""
        return not self.gone


class Kubelet:
    """Watches the pods of its node, and writes what becomes of them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._agenda = Agenda()
        self._pods: dict[str, Pod] = {}

    def run(self) -> None:
        """Register the node and serve it, without end."""
        for _ in range(WORKERS):
            threading.Thread(target=self._work, daemon=True).start()
        for request in _node():
            self._insist(request)
        while True:
            try:
                self._follow()
            except (TransientError, ValueError) as error:
                log.warning("beginning anew: %s", error)
                time.sleep(AGAIN_SECONDS)

    # -- Looking ---------------------------------------------------------------

    def _follow(self) -> None:
        """List, then watch until that ends: what is missed is found by the next list."""
        listed = self._server.read(PODS)
        pods = listed["items"] or []
        for uid in self._pods.keys() - {pod["metadata"]["uid"] for pod in pods}:
            self._forget(uid)
        for pod in pods:
            self._look_at(pod)
        version = listed["metadata"]["resourceVersion"]
        for event in self._server.watch(
            f"{PODS}&watch=1&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}"
        ):
            if event["type"] == "ERROR":
                raise TransientError(event["object"].get("message", "error in the watch"))
            if event["type"] == "DELETED":
                self._forget(event["object"]["metadata"]["uid"])
            else:
                self._look_at(event["object"])

    def _forget(self, uid: str) -> None:
        pod = self._pods.pop(uid, None)
        if pod is not None:
            pod.gone = True

    def _look_at(self, manifest: Json) -> None:
        metadata = manifest["metadata"]
        now = time.monotonic()
        pod = self._pods.get(metadata["uid"])
        if pod is None:
            pod = self._pods[metadata["uid"]] = Pod(manifest)
            if not metadata.get("deletionTimestamp") and _phase(manifest) == "Pending":
                self._begin(start, pod, pod.is_staying)
        pod.manifest = manifest
        if metadata.get("deletionTimestamp"):
            self._look_at_deletion(pod, now)

    def _look_at_deletion(self, pod: Pod, now: float) -> None:
        """Plan the removal; once more, and earlier, when the grace was cut short."""
        # Only running containers take the time they are given.
        running = _phase(pod.manifest) == "Running"
        grace = pod.manifest["metadata"].get("deletionGracePeriodSeconds", 0) if running else 0
        if pod.deletion_seen is None:
            pod.deletion_seen = now
            if running:
                self._begin(stop, pod, pod.is_there)
        ends = pod.deletion_seen + grace
        if pod.ends is None or ends < pod.ends:
            pod.ends = ends
            self._agenda.put(ends, lambda: self._remove(pod))

    # -- Writing ---------------------------------------------------------------

    def _remove(self, pod: Pod) -> None:
        with pod.writing:
            if pod.removing:
                return
            pod.removing = True
        self._begin(remove, pod, pod.is_there)

    def _begin(
        self,
        course: Callable[[Json], Iterator[Step]],
        pod: Pod,
        goes_on: Callable[[], bool],
    ) -> None:
        try:
            steps = course(pod.manifest)
        except ValueError:
            log.exception("pod %s stays as it is", pod.manifest["metadata"]["name"])
            return
        self._agenda.put(time.monotonic(), lambda: self._advance(pod, steps, None, goes_on))

    def _advance(
        self,
        pod: Pod,
        steps: Iterator[Step],
        step: Step | None,
        goes_on: Callable[[], bool],
    ) -> None:
        """Carry out steps up to the next pause or failure, and plan the rest for later."""
        while True:
            with pod.writing:
                if not goes_on():
                    return
                step = step or next(steps, None)
                if step is None:
                    return
                if isinstance(step, Pause):
                    wait, rest = step.seconds, None
                    break
                try:
                    self._server.send(step)
                except TransientError as error:
                    log.warning("once more: %s", error)
                    wait, rest = AGAIN_SECONDS, step
                    break
            step = None
        again = time.monotonic() + wait
        self._agenda.put(again, lambda: self._advance(pod, steps, rest, goes_on))

    def _insist(self, request: Request) -> None:
        while True:
            try:
                self._server.send(request)
            except TransientError as error:
                log.warning("once more: %s", error)
                time.sleep(AGAIN_SECONDS)
            else:
                return

    def _work(self) -> None:
        while True:
            work = self._agenda.take()
            try:
                work()
            except Exception:
                log.exception("a worker failed, and goes on")


def _phase(manifest: Json) -> str:
    phase: str = manifest["status"].get("phase", "")
    return phase


def _node() -> Iterator[Request]:
    """Register the node, make it ready, and let pods onto it.

    Admission gives a new node the taint that is taken off at the end; otherwise
    the node lifecycle controller would do so, which does not run here.
    https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#taintnodesbycondition
    """
    path = f"/api/v1/nodes/{NODE}"
    labels = {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"}
    yield Request("POST", "/api/v1/nodes", {"metadata": {"name": NODE, "labels": labels}})
    room = {"cpu": "100000", "memory": "1Pi", "ephemeral-storage": "1Pi", "pods": "100000"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    status = {"capacity": room, "allocatable": room, "conditions": [ready]}
    yield Request("PATCH", f"{path}/status", {"status": status}, STRATEGIC_MERGE_PATCH)
    untainted = {"spec": {"taints": None}}
    yield Request("PATCH", path, untainted, "application/merge-patch+json")


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    Kubelet(Server(Path(sys.argv[1]))).run()

"""Answers while the server, or the way to it, fails: none is older than ``max_age``.

Pods change all the time, by writes that do not take the way that fails. A client's process reads
them from many threads, and each answer is checked against what was written
(`benchmarks.live_checker`).
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import urllib3

from benchmarks.live_checker import Read, Write, wrong_answers
from benchmarks.live_clients import OURS
from benchmarks.live_labs import POD, name_of, write_phase
from benchmarks.live_process import Client, await_order, say
from benchmarks.relay import Relay

if TYPE_CHECKING:
    from benchmarks.cluster import Cluster
    from tests.plane.control_plane import ControlPlane

Json = dict[str, Any]

#: Each is written to a pod once, so that an answer tells when it was true.
PHASES = "Pending", "Unknown", "Running", "Failed", "Succeeded"
_PODS = 100
_WRITERS = 2
_READERS = 20
_READ_PAUSE_SECONDS = 0.02
_RETRY_SECONDS = 0.05


def _silence(_: ControlPlane, relay: Relay, seconds: float) -> None:
    relay.silence()
    time.sleep(seconds)


def _stop_server(plane: ControlPlane, _: Relay, seconds: float) -> None:
    with plane.pause_apiserver():
        time.sleep(seconds)


def _kill_server(plane: ControlPlane, _: Relay, seconds: float) -> None:
    plane.kill_apiserver()
    time.sleep(seconds)
    plane.start_apiserver()


def _expire_versions(plane: ControlPlane, _: Relay, seconds: float) -> None:
    plane.expire_versions()
    time.sleep(seconds)


def _cut_connections(_: ControlPlane, relay: Relay, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        relay.cut()
        time.sleep(random.uniform(0.05, 1.5))


def _stop_etcd(plane: ControlPlane, _: Relay, seconds: float) -> None:
    with plane.pause_etcd():
        time.sleep(seconds)


DISASTERS: dict[str, Callable[[ControlPlane, Relay, float], None]] = {
    "silence": _silence,
    "a stopped server": _stop_server,
    "kill and restart": _kill_server,
    "expired versions": _expire_versions,
    "cut connections": _cut_connections,
    "a stopped etcd": _stop_etcd,
}


def measure(
    cluster: Cluster,
    plane: ControlPlane,
    labs: int,
    max_age_seconds: float,
    seconds: float,
    reading_on_seconds: float,
) -> Json:
    """Have all disasters happen, one after the other; the answers, and the wrong ones, of each.

    Each takes about so many ``seconds``, and is read on after.
    """
    size = min(_PODS, labs // len(DISASTERS))
    groups = {
        name: range(place * size, (place + 1) * size) for place, name in enumerate(DISASTERS)
    }
    writers = {name: Writer(cluster, pods) for name, pods in groups.items()}
    for writer in writers.values():
        writer.write_first()
    found: Json = {}
    with (
        Relay(cluster.host) as relay,
        Client(
            cluster,
            OURS,
            "live_disasters.read",
            {"host": relay.host, "max_age_seconds": max_age_seconds},
        ) as client,
    ):
        client.hear()
        # From here on nobody may be told what was before the first writes.
        time.sleep(max_age_seconds)
        for name, disaster in DISASTERS.items():
            client.ask(list(groups[name]))
            with writers[name].writing(over_seconds=seconds + reading_on_seconds):
                disaster(plane, relay, seconds)
                time.sleep(reading_on_seconds)
            told = client.ask("stop")
            reads = [Read(*each) for each in told["reads"]]
            wrong = wrong_answers(reads, writers[name].done, max_age_seconds)
            found[name] = {
                "reads": len(reads),
                "wrong": len(wrong),
                "first wrong": repr(wrong[0]) if wrong else None,
                "states": len({(each.pod, each.phase) for each in reads}),
                "longest": max(each.ended - each.began for each in reads),
                "errors": told["errors"],
            }
    return found


class Writer:
    """Gives pods one phase after the other, and notes when.

    Attributes
    ----------
    done
        What was written, in the order of each pod.
    """

    def __init__(self, cluster: Cluster, pods: range) -> None:
        self._cluster, self._pods = cluster, pods
        self._stops = threading.Event()
        self.done: list[Write] = []

    def write_first(self) -> None:
        """Give all of them the first phase."""
        for pod in self._pods:
            self._write(pod, PHASES[0])

    @contextlib.contextmanager
    def writing(self, over_seconds: float) -> Iterator[None]:
        """Give them the others meanwhile; the writes are to take about so long."""
        pause_seconds = over_seconds / len(PHASES[1:]) / len(self._pods) * _WRITERS

        def write(first: int) -> None:
            for phase in PHASES[1:]:
                for pod in self._pods[first::_WRITERS]:
                    self._stops.wait(pause_seconds)
                    if self._stops.is_set():
                        return
                    self._write(pod, phase)

        with ThreadPoolExecutor(_WRITERS) as threads:
            done = [threads.submit(write, first) for first in range(_WRITERS)]
            try:
                yield
            finally:
                self._stops.set()
            for each in done:
                each.result()

    def _write(self, pod: int, phase: str) -> None:
        """Write until that has worked: whatever failed may have been written, too."""
        began = time.monotonic()
        while True:
            try:
                write_phase(self._cluster, pod, phase)
            except (RuntimeError, urllib3.exceptions.HTTPError):
                time.sleep(_RETRY_SECONDS)
                continue
            self.done.append(Write(pod, phase, began, time.monotonic()))
            return


def read(client: Any) -> None:
    """Read pods from many threads, from an order that names them to the next."""
    client.know_all()
    say("known")
    while True:
        pods = await_order()
        stops = threading.Event()
        with ThreadPoolExecutor(_READERS) as threads:
            done = [threads.submit(_read, client, pods, stops) for _ in range(_READERS)]
            say("reading")
            await_order()
            stops.set()
        reads = [each for future in done for each in future.result()]
        say(
            {
                "reads": [each for each in reads if len(each) > 1],
                "errors": [each[0] for each in reads if len(each) == 1],
            }
        )


def _read(client: Any, pods: list[int], stops: threading.Event) -> list[list[Any]]:
    """Read until the end; each answer as `benchmarks.live_checker.Read` has it, or an error."""
    from lab_storage import LabObjectNames, LabStorageError

    reads: list[list[Any]] = []
    names = {
        pod: LabObjectNames("jovyan", name_of(pod), "lab-env", "lab-quota", POD) for pod in pods
    }
    while not stops.is_set():
        pod = random.choice(pods)
        timeout, began = client.timeout(), time.monotonic()
        try:
            phase = client.live.read_pod_phase(names[pod], timeout)
        except LabStorageError as error:
            reads.append([str(error)])
        else:
            told = None if phase is None else phase.value
            reads.append([pod, told, began, time.monotonic()])
        stops.wait(_READ_PAUSE_SECONDS)
    return reads

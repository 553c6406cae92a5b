"""The labs that a server is filled with, and what happens to their pods."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # A client's process does without.
    from benchmarks.cluster import Cluster

Json = dict[str, Any]

PREFIX = "lab-"
POD = "lab"
WRITERS = 8
_VARIABLES = 100
_POD = {
    "metadata": {"name": POD, "labels": {"app": "lab"}},
    "spec": {
        # A pod that no scheduler takes stays Pending, and its phase can be written by hand.
        "schedulerName": "nobody",
        "containers": [
            {
                "name": "notebook",
                "image": "notebook:1",
                "env": [
                    {"name": f"VARIABLE_{each}", "value": "x" * 40} for each in range(_VARIABLES)
                ],
            }
        ],
    },
}


def name_of(number: int) -> str:
    """The namespace of a lab."""
    return f"{PREFIX}{number:05}"


def fill(cluster: Cluster, labs: int) -> None:
    """Make labs whose pods are Pending, 19 kB each in JSON."""

    def make(number: int) -> None:
        name = name_of(number)
        cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        account = {"metadata": {"name": "default"}}
        cluster.request("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account)
        create_pod(cluster, number)

    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(make, range(labs)))


def create_pod(cluster: Cluster, number: int) -> Json:
    """Make the pod of a lab."""
    return cluster.request("POST", f"/api/v1/namespaces/{name_of(number)}/pods", _POD)


def delete_pod(cluster: Cluster, number: int) -> None:
    """Have the pod of a lab be gone at once."""
    cluster.request("DELETE", _path_of(number), {"gracePeriodSeconds": 0})


def read_pod(cluster: Cluster, number: int) -> Json:
    """Read the pod of a lab."""
    return cluster.request("GET", _path_of(number))


def write_phase(cluster: Cluster, number: int, phase: str) -> None:
    """Say what the pod of a lab does."""
    # The message is another each time: a write that changes nothing is not told.
    status = {"phase": phase, "message": str(time.monotonic())}
    cluster.request("PATCH", f"{_path_of(number)}/status", {"status": status})


@contextmanager
def writing(cluster: Cluster, labs: int, seconds: float) -> Iterator[None]:
    """Write a status after the other meanwhile, for so long."""
    until = time.monotonic() + seconds
    phases = ["Running", "Pending"]

    def write(first: int) -> None:
        number = first
        while time.monotonic() < until:
            write_phase(cluster, number % labs, phases[number // labs % 2])
            number += WRITERS

    with ThreadPoolExecutor(WRITERS) as writers:
        done = list(map(writers.submit, [write] * WRITERS, range(WRITERS)))
        yield
        for each in done:
            each.result()


def _path_of(number: int) -> str:
    return f"/api/v1/namespaces/{name_of(number)}/pods/{POD}"

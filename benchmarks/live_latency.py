"""How long after a status is written a wait returns, beside a raw watch that reads the same event.

Both are in processes of their own, hear of the same events of the same server, and say when, on
the clock that processes share. The raw one looks for bytes, and decodes nothing. Who opened its
watch first may be told first: each does so for half of the events.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import TYPE_CHECKING, Any

from benchmarks.live_clients import FLOOR, OURS, Floor
from benchmarks.live_labs import POD, name_of, write_phase
from benchmarks.live_process import Client, await_order, say

if TYPE_CHECKING:
    from benchmarks.cluster import Cluster

Json = dict[str, Any]

_WORKS = {OURS: "live_latency.wait_for_starts", FLOOR: "live_latency.read_starts"}
# From the order to when a wait waits for certain, and from writes to when all have heard of them.
_SETTLE_SECONDS = 0.02
_HEARD_SECONDS = 2.0


def measure(cluster: Cluster, events: int) -> Json:
    """Have so many pods run, one after the other; seconds from the write on, by client."""
    lags: dict[str, list[float]] = {OURS: [], FLOOR: []}
    for number in range(events):
        write_phase(cluster, number, "Pending")
    half = events // 2
    _run(cluster, range(half), [OURS, FLOOR], lags)
    _run(cluster, range(half, events), [FLOOR, OURS], lags)
    found: Json = {"events": events}
    for name, seconds in lags.items():
        found[name] = {"median": statistics.median(seconds), "p99": _p99(seconds)}
    for measure in ("median", "p99"):
        found[measure] = found[OURS][measure] / found[FLOOR][measure]
    return found


def _run(cluster: Cluster, numbers: range, names: list[str], lags: dict[str, list[float]]) -> None:
    with contextlib.ExitStack() as stack:
        clients = {}
        for name in names:
            clients[name] = stack.enter_context(Client(cluster, name, _WORKS[name]))
            clients[name].hear()
        time.sleep(_HEARD_SECONDS)
        for number in numbers:
            for client in clients.values():
                client.ask(name_of(number))
            time.sleep(_SETTLE_SECONDS)
            began = time.monotonic()
            write_phase(cluster, number, "Running")
            for name, client in clients.items():
                lags[name].append(client.hear() - began)


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def wait_for_starts(client: Any) -> None:
    """Wait for the start of each lab that is named, and say when that returned."""
    client.know_all()
    say("known")
    while True:
        name = await_order()
        timeout = client.timeout()
        say("waiting")
        client.live.wait_for_pod_start(POD, name, timeout)
        say(time.monotonic())


def read_starts(client: Floor) -> None:
    """Read a watch until each lab that is named runs, and say when that was read."""
    client.know_all()
    say("known")
    while True:
        name = await_order().encode()
        say("waiting")
        for frame in client.frames:
            if name in frame and b"Running" in frame:
                break
        say(time.monotonic())

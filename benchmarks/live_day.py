"""A day of all labs, as fast as the machine can: what a client keeps does not grow.

In each of its 1,440 minutes all connections of the client are cut, and some labs end and start
again, so that each lab does so once a day. The client waits for their starts, is told of all
changes, reads, and lists all labs once an hour. On the eve each lab does the same, in fewer and
fuller minutes: a lab that has started takes a little more than one that was only listed, and that
is no growth of the day.

A minute takes a fraction of a second. In a real one the watch has long been open again when it
is cut the next time. So that it fares alike here, the pauses before another attempt are shorter
in the client's process, and so is the time below which a watch counts as ended at once.
"""

from __future__ import annotations

import gc
import random
import statistics
import threading
import tracemalloc
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from benchmarks.live_clients import OURS
from benchmarks.live_labs import POD, PREFIX, WRITERS, create_pod, delete_pod, name_of, write_phase
from benchmarks.live_process import Client, await_order, say
from benchmarks.relay import Relay
from benchmarks.worker import open_sockets, resident_bytes

if TYPE_CHECKING:
    from benchmarks.cluster import Cluster

Json = dict[str, Any]

HOURS, MINUTES = 24, 60
# How much shorter that is: a minute takes some 0.3 s.
_FASTER = 200
_READS = 20
# How many labs start in a minute of the eve.
_EVE_LABS = 100
# How many names are listed there, at most in so many lists: Python's table of interned strings
# grows by leaps, the last of them after some 100,000 names have come and gone.
_EVE_NAMES = 150_000
_MOST_EVE_LISTS = 200
_PATIENCE_SECONDS = 60.0
_DAY_SECONDS = 86_400.0


def measure(cluster: Cluster, labs: int, minutes: int) -> Json:
    """Have a day pass, an hour of which has so many minutes; what the client had each hour."""
    with (
        Relay(cluster.host) as relay,
        Client(cluster, OURS, "live_day.live", {"host": relay.host}, labs=labs) as client,
        ThreadPoolExecutor(WRITERS) as writers,
    ):
        found: Json = {"listed": client.hear()}

        def begin(number: int) -> str:
            delete_pod(cluster, number)
            uid: str = create_pod(cluster, number)["metadata"]["uid"]
            return uid

        def run(number: int) -> None:
            write_phase(cluster, number, "Running")

        def minute(turn: range) -> bool:
            is_cut = relay.cut() > 0
            uids = list(writers.map(begin, turn))
            client.ask({"begin": dict(zip(uids, turn, strict=True))})
            list(writers.map(run, turn))
            client.ask({"end": True})
            return is_cut

        for turn in _turns(labs, -(-labs // _EVE_LABS)):
            minute(turn)
        for _ in range(min(_MOST_EVE_LISTS, _EVE_NAMES // labs)):
            found["eve"] = client.ask({"sample": True})
        cuts = 0
        hours = []
        for place, turn in enumerate(_turns(labs, HOURS * minutes), 1):
            cuts += minute(turn)
            if place % minutes == 0:
                hours.append(client.ask({"sample": True}))
    return {**found, "hours": hours, "cuts": cuts, "growth": growth(hours)}


def _turns(labs: int, minutes: int) -> list[range]:
    """Each lab has its minute."""
    return [range(labs)[first::minutes] for first in range(minutes)]


def growth(hours: list[Json]) -> Json:
    """How much more there is in the second half of a day than in the first: the medians.

    A leak shows in them, however small it is. A single hour may be taken while a connection more
    is open, or a table of the interpreter's has just grown.
    """
    half = len(hours) // 2
    return {
        key: statistics.median(each[key] for each in hours[half:])
        - statistics.median(each[key] for each in hours[:half])
        for key in hours[0]
    }


def live(client: Any, labs: int) -> None:
    """Live through a day, as ordered: the beginning and the end of each minute, and samples."""
    from lab_storage import PodPhase

    tracemalloc.start()
    _quicken()
    client.know_all()
    ear = _Ear(client)
    say(_sample(client, labs))
    with ThreadPoolExecutor(WRITERS) as threads:
        waits: list[Future[Any]] = []
        begun: dict[str, int] = {}
        while True:
            order = await_order()
            if "begin" in order:
                # Of one that it had not been told of, a wait would ask by a connection more.
                begun = order["begin"]
                ear.await_phase(begun, "Pending")
                waits = [
                    threads.submit(
                        client.live.wait_for_pod_start, POD, name_of(number), client.timeout()
                    )
                    for number in begun.values()
                ]
                say("waiting")
            elif "end" in order:
                for each in waits:
                    if each.result() is not PodPhase.RUNNING:
                        raise RuntimeError(f"a wait for a pod that runs came to {each.result()}")
                _read_some(client, labs)
                ear.await_phase(begun, "Running")
                say("over")
            else:
                say(_sample(client, labs))


class _Ear:
    """Is told of changes."""

    def __init__(self, client: Any) -> None:
        self._client = client
        # By namespace: the UID of its pod, and the phase.
        self._told: dict[str, tuple[str, str]] = {}
        self._news = threading.Condition()
        threading.Thread(target=self._hear, daemon=True).start()

    def await_phase(self, labs: dict[str, int], phase: str) -> None:
        """Block until it was told that the pods of labs, by their UIDs, are in that phase."""
        expected = {name_of(number): (uid, phase) for uid, number in labs.items()}

        def is_told() -> bool:
            return all(self._told.get(name) == told for name, told in expected.items())

        with self._news:
            if not self._news.wait_for(is_told, _PATIENCE_SECONDS):
                raise RuntimeError(f"never told of each of {expected}")

    def _hear(self) -> None:
        for change in self._client.live.changes(self._client.timeout(_DAY_SECONDS)):
            with self._news:
                if change.phase is None:
                    self._told.pop(change.namespace, None)
                else:
                    self._told[change.namespace] = change.uid, change.phase.value
                self._news.notify_all()


def _read_some(client: Any, labs: int) -> None:
    from lab_storage import LabObjectNames

    for number in random.choices(range(labs), k=_READS):
        names = LabObjectNames("jovyan", name_of(number), "lab-env", "lab-quota", POD)
        client.live.read_pod_phase(names, client.timeout())


def _sample(client: Any, labs: int) -> Json:
    """What this process has now."""
    listed = len(client.live.list_labs(PREFIX, client.timeout()))
    if listed != labs:
        raise RuntimeError(f"{listed} labs are listed instead of {labs}")
    requests = len(client.requests)
    client.requests.clear()
    gc.collect()
    return {
        "allocated": tracemalloc.get_traced_memory()[0],
        "resident": resident_bytes(),
        "threads": threading.active_count(),
        "sockets": open_sockets(),
        "pods": client.live.freshness.pods,
        "requests": requests,
    }


def _quicken() -> None:
    from lab_storage._api.call import Call
    from lab_storage._api.following import rounds

    sleep = Call.sleep

    def sleep_less(call: Call, seconds: float) -> None:
        sleep(call, seconds / _FASTER)

    Call.sleep = sleep_less  # type: ignore[method-assign]
    rounds.QUICK_SECONDS /= _FASTER  # type: ignore[misc]

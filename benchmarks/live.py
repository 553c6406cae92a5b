"""What it costs to know the pods of all labs: ``python -m benchmarks.live``.

kube-apiserver is filled with labs, and clients get to know their pods, each in a process of its
own. What is measured comes in parts, each of which can be measured alone by ``--only``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import attrs

from benchmarks import (
    live_day,
    live_disasters,
    live_docs,
    live_latency,
    live_lists,
    live_requests,
)
from benchmarks.cluster import Cluster, new_cluster
from benchmarks.live_clients import FLOOR, INFORMER, OURS, REFLECTOR
from benchmarks.live_goals import table
from benchmarks.live_labs import fill, writing
from benchmarks.live_process import Client, result_of
from benchmarks.report import machine
from tests.plane.control_plane import ControlPlane

Json = dict[str, Any]

_CLIENTS = FLOOR, OURS, REFLECTOR, INFORMER


@attrs.frozen
class Sizes:
    """How much is measured."""

    labs: int = 10_000
    rounds: int = 3
    reads: int = 50_000
    waits: int = 1000
    seconds: int = 60
    writing_seconds: int = 10
    events: int = 300
    max_age_seconds: float = 5
    disaster_seconds: float = 10
    reading_on_seconds: float = 10
    few: int = 200
    minutes: int = live_day.MINUTES


QUICK = Sizes(
    labs=50,
    rounds=1,
    reads=2000,
    waits=20,
    seconds=11,
    writing_seconds=1,
    events=20,
    max_age_seconds=4,
    disaster_seconds=5,
    reading_on_seconds=1,
    few=20,
    minutes=2,
)


def know(cluster: Cluster, sizes: Sizes) -> dict[str, Json]:
    """All labs known: the medians of the rounds, by client."""
    rounds: dict[str, list[Json]] = {}
    for _ in range(sizes.rounds):
        for name in _CLIENTS:
            result = result_of(cluster, name, "live_works.know", labs=sizes.labs)
            rounds.setdefault(name, []).append(result)
    return {
        name: {key: statistics.median(each[key] for each in results) for key in results[0]}
        for name, results in rounds.items()
    }


def changes(cluster: Cluster, sizes: Sizes) -> dict[str, Json]:
    """The CPU of a change, by client; and of parsing its JSON."""
    found: dict[str, Json] = {}
    for name in _CLIENTS:
        with Client(cluster, name, "live_works.hear_changes", labs=sizes.labs) as client:
            client.hear()
            client.ask("begin")
            with writing(cluster, sizes.labs, sizes.writing_seconds):
                pass
            result = client.ask("end")
        found[name] = {"change": result["cpu"] / max(1, result["changes"])}
    taken = result_of(cluster, FLOOR, "live_works.take_events", count=sizes.few)
    found[OURS]["take"] = taken.pop("take")
    return {**found, "json.loads": {"change": taken["json.loads"], "bytes": taken["bytes"]}}


def memory(cluster: Cluster, sizes: Sizes) -> dict[str, Json]:
    """Reads and waits from memory."""
    return {
        "reads": result_of(cluster, OURS, "live_works.read", count=sizes.reads),
        "waits": result_of(cluster, OURS, "live_works.wait", count=min(sizes.waits, sizes.labs)),
    }


def latency(cluster: Cluster, sizes: Sizes) -> dict[str, Json]:
    """From a write to the return of a wait."""
    return {"latency": live_latency.measure(cluster, sizes.events)}


def disasters(cluster: Cluster, sizes: Sizes) -> dict[str, Json]:
    """Answers while the server fails."""
    if not isinstance(cluster.server, ControlPlane):
        return {}
    found = live_disasters.measure(
        cluster,
        cluster.server,
        sizes.labs,
        sizes.max_age_seconds,
        sizes.disaster_seconds,
        sizes.reading_on_seconds,
    )
    return {"disasters": found}


def requests(cluster: Cluster, sizes: Sizes) -> dict[str, Json]:
    """Requests in a minute."""
    return live_requests.measure(cluster, sizes.seconds)


def lists(cluster: Cluster, sizes: Sizes) -> dict[str, Json]:
    """All labs with their pods."""
    return {"lists": live_lists.measure(cluster, sizes.labs, sizes.few, sizes.rounds)}


def day(cluster: Cluster, sizes: Sizes) -> dict[str, Json]:
    """What is kept after each hour of a day."""
    return {"day": live_day.measure(cluster, sizes.labs, sizes.minutes)}


#: In an order in which one leaves the labs as the next expects them: Pending, for waits.
PARTS: dict[str, Callable[[Cluster, Sizes], dict[str, Json]]] = {
    part.__name__: part
    for part in (know, memory, changes, lists, latency, requests, disasters, day)
}


def sizes_of(*, quick: bool, rounds: int | None = None, labs: int | None = None) -> Sizes:
    """How much is measured, as somebody chose."""
    chosen = {"labs": labs, "rounds": rounds}
    sizes = QUICK if quick else Sizes()
    return attrs.evolve(sizes, **{name: value for name, value in chosen.items() if value})


def run(sizes: Sizes, only: Collection[str] = tuple(PARTS)) -> dict[str, Json]:
    """Measure the parts on one server; what was found, and with what."""
    found: dict[str, Json] = {}
    # Controllers would be busy with so many namespaces for minutes, and nobody needs them.
    with new_cluster() as cluster, cluster.paused_controllers():
        fill(cluster, sizes.labs)
        for name, measure in PARTS.items():
            if name not in only:
                continue
            began = time.monotonic()
            for key, result in measure(cluster, sizes).items():
                found.setdefault(key, {}).update(result)
                print(key, result, file=sys.stderr)
            print(f"{name} took {time.monotonic() - began:.0f} s", file=sys.stderr)
        found["machine"] = machine(f"{cluster.title}, with {sizes.labs:,} pods", sizes.rounds, {})
    return found


def shown(found: dict[str, Json]) -> str:
    """What was found, to be printed."""
    return f"On {found['machine']['server']}:\n\n{table(found)}"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that all works")
    parser.add_argument("--labs", type=int, help="how many labs there are")
    parser.add_argument("--rounds", type=int, help="how often each client gets to know them")
    parser.add_argument("--only", choices=list(PARTS), nargs="+", help="measure these parts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--docs", action="store_true", help="write tables and pictures of the docs"
    )
    parser.add_argument(
        "--read", type=Path, metavar="FILE", help="take what --json wrote, and measure nothing"
    )
    arguments = parser.parse_args()
    if arguments.docs and (arguments.quick or arguments.labs or arguments.only):
        parser.error("--docs is for the whole")
    if arguments.read:
        found = json.loads(arguments.read.read_text())
    else:
        sizes = sizes_of(quick=arguments.quick, rounds=arguments.rounds, labs=arguments.labs)
        found = run(sizes, arguments.only or list(PARTS))
    print(shown(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    if arguments.docs:
        live_docs.write(found)


if __name__ == "__main__":
    main()

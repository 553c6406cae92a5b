"""What it costs to know the pods of all labs: ``python -m benchmarks.live``.

kube-apiserver is filled with labs, and clients get to know their pods, each in a process of its
own (`benchmarks.live_clients`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from benchmarks.cluster import Cluster, new_cluster
from benchmarks.team import ROOT

Json = dict[str, Any]

OURS, FLOOR, REFLECTOR, INFORMER = (
    "lab_storage", "floor", "list and watch in JSON", "SharedInformer",
)  # fmt: skip
_WRITERS = 8
_VARIABLES = 100


@attrs.frozen
class Sizes:
    """How much is measured."""

    labs: int = 10_000
    rounds: int = 3
    reads: int = 50_000
    waits: int = 1000
    seconds: int = 60
    writing_seconds: int = 10


QUICK = Sizes(labs=50, rounds=1, reads=2000, waits=20, seconds=11, writing_seconds=2)


def fill(cluster: Cluster, labs: int) -> None:
    """Make labs whose pods are Pending, 19 kB each in JSON."""
    variables = [{"name": f"VARIABLE_{each}", "value": "x" * 40} for each in range(_VARIABLES)]
    container = {"name": "notebook", "image": "notebook:1", "env": variables}
    spec = {"schedulerName": "nobody", "containers": [container]}
    pod = {"metadata": {"name": "lab", "labels": {"app": "lab"}}, "spec": spec}

    def make(number: int) -> None:
        name = f"lab-{number:05}"
        path = f"/api/v1/namespaces/{name}"
        cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        account = {"metadata": {"name": "default"}}
        cluster.request("POST", f"{path}/serviceaccounts", account)
        cluster.request("POST", f"{path}/pods", pod)

    # Controllers would be busy with so many for minutes.
    with cluster.paused_controllers(), ThreadPoolExecutor(_WRITERS) as writers:
        list(writers.map(make, range(labs)))


@contextmanager
def writing(cluster: Cluster, labs: int, seconds: float) -> Iterator[None]:
    """Write a status after the other meanwhile, for so long."""
    until = time.monotonic() + seconds
    phases = ["Running", "Pending"]

    def write(first: int) -> None:
        number = first
        while time.monotonic() < until:
            # The message is another each time: a write that changes nothing is not told.
            message = str(time.monotonic())
            status = {"phase": phases[number // labs % 2], "message": message}
            path = f"/api/v1/namespaces/lab-{number % labs:05}/pods/lab/status"
            cluster.request("PATCH", path, {"status": status})
            number += _WRITERS

    with ThreadPoolExecutor(_WRITERS) as writers:
        done = list(map(writers.submit, [write] * _WRITERS, range(_WRITERS)))
        yield
        for each in done:
            each.result()


class Client:
    """One client in a process."""

    def __init__(self, cluster: Cluster, name: str, work: str, amount: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.live_clients", name, work, str(amount)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        server = {"host": cluster.host, "ca_file": cluster.ca_file, "token": cluster.token}
        self.say(json.dumps(server))

    def say(self, line: str = "") -> None:
        """Have it go on."""
        if self._process.stdin is None:
            raise RuntimeError("a client without a pipe")
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        """Wait until it has something to say."""
        if self._process.stdout is None:
            raise RuntimeError("a client without a pipe")
        return self._process.stdout.readline()

    def result(self) -> Json:
        """What it measured."""
        found: Json = json.loads(self.hear())
        self._process.kill()
        self._process.communicate()
        return found


def measure(cluster: Cluster, sizes: Sizes) -> dict[str, Json]:
    """Measure all clients; the medians of the rounds, by client."""
    rounds: dict[str, list[Json]] = {}
    for _ in range(sizes.rounds):
        for name in (FLOOR, OURS, REFLECTOR, INFORMER):
            result = Client(cluster, name, "know", sizes.labs).result()
            rounds.setdefault(name, []).append(result)
            print(name, result, file=sys.stderr)
    found = {
        name: {key: statistics.median(each[key] for each in results) for key in results[0]}
        for name, results in rounds.items()
    }
    for work, amount in (
        ("reads", sizes.reads),
        ("waits", sizes.waits),
        ("quiet", sizes.seconds),
    ):
        result = Client(cluster, OURS, work, amount).result()
        found[OURS][work] = result
        print(work, result, file=sys.stderr)
    for name in (FLOOR, OURS, REFLECTOR, INFORMER):
        client = Client(cluster, name, "changes", sizes.labs)
        client.hear()
        client.say()
        client.hear()
        with writing(cluster, sizes.labs, sizes.writing_seconds):
            pass
        client.say()
        result = client.result()
        found[name]["change"] = result["cpu of changes"] / max(1, result["changes"])
        print(name, result, file=sys.stderr)
    path = "/api/v1/namespaces/lab-00000/pods/lab"
    pod = json.dumps(cluster.request("GET", path))
    began = time.process_time()
    for _ in range(200):
        json.loads(pod)
    found["json.loads"] = {"change": (time.process_time() - began) / 200, "bytes": len(pod)}
    return found


Value = Callable[[dict[str, Json]], float]


def _ratio(key: str, other: str) -> Value:
    return lambda found: float(found[OURS][key] / found[other][key])


#: Work, how it is measured, the goal, and the unit.
GOALS: list[tuple[str, Value, float, bool, str]] = [
    ("all labs known: CPU ÷ SharedInformer", _ratio("cpu", INFORMER), 0.03, False, ""),
    ("all labs known: CPU ÷ a list in JSON", _ratio("cpu", REFLECTOR), 0.1, False, ""),
    ("all labs known: CPU ÷ floor", _ratio("cpu", FLOOR), 1.5, False, ""),
    ("kept for each lab", lambda f: f[OURS]["memory"] / f[OURS]["known"], 1000, False, " B"),
    ("peak above the start", lambda f: f[OURS]["peak"] / 1e6, 60, False, " MB"),
    ("a change: CPU ÷ json.loads of it", _ratio("change", "json.loads"), 0.3, False, ""),
    ("a change: CPU ÷ SharedInformer", _ratio("change", INFORMER), 0.04, False, ""),
    ("phases read in a second", lambda f: f[OURS]["reads"]["reads"], 50_000, True, ""),
    ("requests for them", lambda f: f[OURS]["reads"]["requests"], 0, False, ""),
    ("connections of all waits", lambda f: f[OURS]["waits"]["connections"], 1, False, ""),
    ("threads besides the callers", lambda f: f[OURS]["waits"]["threads"], 1, False, ""),
    ("memory of a wait", lambda f: f[OURS]["waits"]["bytes a wait"] / 1000, 10, False, " kB"),
    ("requests in a quiet minute", lambda f: f[OURS]["quiet"]["requests"], 24, False, ""),
]


def table(found: dict[str, Json]) -> str:
    """The goals, and what came of them, in Markdown."""
    rows = ["| work | measured | goal | |", "| --- | --- | --- | --- |"]
    for work, value, limit, at_least, unit in GOALS:
        measured = value(found)
        is_met = measured >= limit if at_least else measured <= limit
        word = "at least" if at_least else "at most"
        rows.append(
            f"| {work} | {measured:,.3g}{unit} | {word} {limit:,g}{unit} "
            f"| {'met' if is_met else 'missed'} |"
        )
    return "\n".join(rows) + "\n"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that all works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else Sizes()
    with new_cluster() as cluster:
        fill(cluster, sizes.labs)
        found = measure(cluster, sizes)
        print(f"On {cluster.title}, with {sizes.labs:,} pods:\n\n{table(found)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

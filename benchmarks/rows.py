"""The ten pieces of work that are measured, and the goals of each."""

from __future__ import annotations

import secrets
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from benchmarks.cluster import Cluster, manifests_of
from benchmarks.libraries import LIBRARIES
from benchmarks.relay import Relay
from benchmarks.replay import Replay
from benchmarks.team import ROOT, Team, Worker, python_environment

DELAY_SECONDS = 0.010
# From the start of a wait to when its watch is open for certain.
SETTLE_SECONDS = 0.1
_REST_SECONDS = 0.5
_FOREVER_SECONDS = 3600.0
_DIRECT, _COUNTED, _LATE, _REPLAYED, _SILENT = "direct", "counted", "late", "replayed", "silent"

PHASE = "read_pod_phase"
DIAGNOSIS = "read_pod_diagnosis, no events"
LIST = "list_namespaces"
CREATE = "create, 12 objects, at 10 ms"
READ = "read_lab_objects, at 10 ms"
ONE_READ = "one read, at 10 ms"
WAIT = "wait_for_pod_start"
CANCEL = "cancel() to return"
DECODE = "a watch of a 20 kB pod"
MANY = "500 waits at once"
IMPORT = "import"
FIRST = "first call"

OURS, FLOOR, OFFICIAL = "lab_storage", "floor", "kubernetes"


@attrs.frozen
class Sizes:
    """How much is measured."""

    rounds: int = 5
    calls: int = 100
    namespaces: int = 5000
    few: int = 5
    events: int = 300
    waits: int = 500


QUICK = Sizes(rounds=2, calls=20, namespaces=400, few=2, events=60, waits=50)


class Results:
    """What was measured: the samples of each round, by work, client and measure."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str, str], list[float]] = defaultdict(list)

    def note(self, work: str, library: str, measure: str, value: float) -> None:
        """Add what a round gave."""
        self._samples[work, library, measure].append(value)

    def median(self, work: str, library: str, measure: str) -> float:
        """The median of the rounds; `KeyError` if it was not measured."""
        key = work, library, measure
        if key not in self._samples:
            raise KeyError(key)
        return statistics.median(self._samples[key])

    def figures(self) -> Iterator[tuple[str, str, str, float]]:
        """Yield all: work, client, measure, and the median of the rounds."""
        for (work, library, measure), values in self._samples.items():
            yield work, library, measure, statistics.median(values)


def p99(values: list[float]) -> float:
    """The 99th percentile; of few values the largest."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


class Bench:
    """Measures, round by round, on a server, with a team of clients."""

    def __init__(self, sizes: Sizes, results: Results) -> None:
        self._sizes = sizes
        self._results = results

    def run(self, cluster: Cluster, team: Team) -> None:
        """Measure all but the lists of namespaces."""
        pod = cluster.make_pod()
        with (
            Relay(cluster.host) as counted,
            Relay(cluster.host, DELAY_SECONDS) as late,
            Relay(cluster.host, _FOREVER_SECONDS) as silent,
            Replay(pod, self._sizes.events) as replay,
        ):
            rest = [name for name in LIBRARIES if name != "kr8s"]
            for route, host, names in (
                (_DIRECT, cluster.host, []),
                (_COUNTED, counted.host, []),
                (_LATE, late.host, rest),
                (_REPLAYED, replay.host, rest),
                (_SILENT, silent.host, [OURS]),
            ):
                team.connect(route, host, cluster.ca_file, cluster.token, *names)
            self._once(team, counted)
            for number in range(self._sizes.rounds):
                print(f"round {number + 1} of {self._sizes.rounds}", file=sys.stderr)
                self._turns(PHASE, team.those_that_can("read_pod_phase"), number, "read_pod_phase")
                diagnosing = team.those_that_can("read_pod_diagnosis")
                self._turns(DIAGNOSIS, diagnosing, number, "read_pod_diagnosis")
                self._turns(
                    FIRST, team.those_that_can("first_call"), number, "first_call", count=10
                )
                self._create(team, number)
                self._hear(cluster, team, number)
                self._decode(team, number)
                self._import(number)
                for settle, route in ((SETTLE_SECONDS, _DIRECT), (SETTLE_SECONDS, _SILENT)):
                    for worker in team.those_that_can("cancelled_wait"):
                        count = 4 * self._sizes.few
                        waited = worker.ask(
                            "cancel", route=route, count=count, settle_seconds=settle
                        )
                        self._note_times(CANCEL, worker, waited)
            self._many(cluster, team)

    def run_lists(self, cluster: Cluster, team: Team) -> None:
        """Measure the lists of namespaces: on a server of its own, which they fill."""
        half = self._sizes.namespaces // 2
        work, prefix = LIST, ["match"]
        with Relay(cluster.host) as counted, cluster.paused_controllers():
            team.connect(_DIRECT, cluster.host, cluster.ca_file, cluster.token)
            team.connect(_COUNTED, counted.host, cluster.ca_file, cluster.token)
            workers = team.those_that_can("list_namespaces")
            cluster.make_namespaces("match", half)
            cluster.make_namespaces("other", self._sizes.namespaces - half)
            for worker in workers:
                peak = self._peak(worker, "list_namespaces", prefix)
                self._results.note(work, worker.name, "memory", peak)
                self._count(work, worker, "list_namespaces", prefix, counted)
            for number in range(self._sizes.rounds):
                print(f"lists, round {number + 1} of {self._sizes.rounds}", file=sys.stderr)
                for worker in _rotated(workers, number):
                    # What is quick is measured more often.
                    is_quick = worker.name in (FLOOR, OURS)
                    count = self._sizes.few * (6 if is_quick else 1)
                    self._turns(work, [worker], number, "list_namespaces", prefix, count)
            cluster.make_namespaces("unasked", half)
            for worker in workers:
                peak = self._peak(worker, "list_namespaces", prefix)
                self._results.note(work, worker.name, "memory, half more", peak)

    def _turns(
        self,
        title: str,
        workers: list[Worker],
        number: int,
        work: str,
        arguments: list[Any] | None = None,
        count: int | None = None,
        route: str = _DIRECT,
    ) -> None:
        """Let each of the workers measure it; another one begins in each round."""
        for worker in _rotated(workers, number):
            measured = worker.ask(
                "measure",
                route=route,
                work=work,
                count=count or self._sizes.calls,
                arguments=arguments or [],
            )
            cpu = statistics.median(measured["cpu"])
            self._results.note(title, worker.name, "CPU", cpu)
            self._note_times(title, worker, measured["wall"])

    def _note_times(self, title: str, worker: Worker, seconds: list[float]) -> None:
        self._results.note(title, worker.name, "p50", statistics.median(seconds))
        self._results.note(title, worker.name, "p99", p99(seconds))

    def _once(self, team: Team, counted: Relay) -> None:
        """What is the same each time: bytes and memory."""
        for worker in team.those_that_can("read_pod_phase"):
            self._count(PHASE, worker, "read_pod_phase", [], counted)
            peak = self._peak(worker, "read_pod_phase", [])
            self._results.note(PHASE, worker.name, "memory", peak)

    def _count(
        self, title: str, worker: Worker, work: str, arguments: list[Any], counted: Relay
    ) -> None:
        order = {"route": _COUNTED, "work": work, "count": 1, "arguments": arguments}
        worker.ask("measure", **order)  # the connection is open now
        before = counted.sent + counted.received
        worker.ask("measure", **order)
        self._results.note(title, worker.name, "bytes", counted.sent + counted.received - before)

    def _peak(self, worker: Worker, work: str, arguments: list[Any]) -> float:
        return float(worker.ask("peak_memory", route=_DIRECT, work=work, arguments=arguments))

    def _create(self, team: Team, number: int) -> None:
        for _ in range(self._sizes.few):
            namespace = ""
            for worker in _rotated(team.those_that_can("create"), number):
                namespace = f"lab-{secrets.token_hex(4)}"
                # The controllers are still busy with the one before.
                time.sleep(_REST_SECONDS)
                self._turns(
                    CREATE, [worker], number, "create", [manifests_of(namespace)], 1, _LATE
                )
            self._turns(
                READ,
                team.those_that_can("read_lab_objects"),
                number,
                "read_lab_objects",
                [namespace],
                10,
                _LATE,
            )
            self._turns(
                ONE_READ,
                team.those_that_can("read_pod_phase", FLOOR, OFFICIAL),
                number,
                "read_pod_phase",
                [namespace],
                10,
                _LATE,
            )

    def _hear(self, cluster: Cluster, team: Team, number: int) -> None:
        heard: dict[str, list[float]] = defaultdict(list)
        workers = _rotated(team.those_that_can("wait", FLOOR, OURS, OFFICIAL), number)
        for _ in range(4 * self._sizes.few):
            for worker in workers:
                cluster.write_phase("Pending")
                worker.tell("hear", route=_DIRECT)
                time.sleep(SETTLE_SECONDS)
                written = time.monotonic()
                cluster.write_phase("Running")
                heard[worker.name].append(worker.answer() - written)
        for worker in workers:
            self._note_times(WAIT, worker, heard[worker.name])
        cluster.write_phase("Pending")

    def _decode(self, team: Team, number: int) -> None:
        for worker in _rotated(team.those_that_can("wait"), number):
            measured = worker.ask("measure", route=_REPLAYED, work="wait", count=1, arguments=[])
            rate = self._sizes.events / measured["cpu"][0]
            self._results.note(DECODE, worker.name, "events/s", rate)

    def _import(self, number: int) -> None:
        modules = {
            OFFICIAL: "kubernetes.client",
            OURS: "lab_storage",
            "lightkube": "lightkube",
            "kr8s": "kr8s",
        }
        for name in _rotated(list(modules), number):
            for is_warm in (number > 0, True):
                # Compiled by the first that imports it.
                cpu, wall = _import_seconds(modules[name])
                if is_warm:
                    self._results.note(IMPORT, name, "CPU", cpu)
                    self._results.note(IMPORT, name, "p50", wall)

    def _many(self, cluster: Cluster, team: Team) -> None:
        """In new processes, since the waits go on."""
        for old in team.those_that_can("wait", FLOOR, OURS, OFFICIAL):
            worker = team.start(old.name)
            worker.connect(_DIRECT, cluster.host, cluster.ca_file, cluster.token)
            took = worker.ask("many_waits", route=_DIRECT, count=self._sizes.waits)
            for measure, value in took.items():
                self._results.note(MANY, worker.name, measure, value)
            worker.close()


def _rotated(items: list[Any], number: int) -> list[Any]:
    place = number % len(items) if items else 0
    return items[place:] + items[:place]


_IMPORT = """
import sys, time
sys.path.append({root!r})
wall, cpu = time.perf_counter(), time.process_time()
import {module}
print(time.process_time() - cpu, time.perf_counter() - wall)
"""


def _import_seconds(module: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT.format(root=str(ROOT), module=module)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env=python_environment(),
    )
    cpu, wall = done.stdout.split()
    return float(cpu), float(wall)


Median = Callable[[str, str, str], float]


@attrs.frozen
class Goal:
    """What is to be reached.

    Attributes
    ----------
    work, text
        Of what, and what is compared with what.
    value
        Computes it from the medians.
    limit
        What it may be at most, or is to be at least.
    at_least
        Which of the two.
    reason
        Why it is missed, where it is.
    """

    work: str
    text: str
    value: Callable[[Median], float]
    limit: float
    at_least: bool = False
    unit: str = ""
    reason: str = ""

    def is_met(self, value: float) -> bool:
        """Whether that value is good enough."""
        return value >= self.limit if self.at_least else value <= self.limit


def _ratio(work: str, measure: str, base: str, of: str = OURS) -> Callable[[Median], float]:
    return lambda median: median(work, of, measure) / median(work, base, measure)


GOALS = (
    Goal(PHASE, "CPU ÷ floor", _ratio(PHASE, "CPU", FLOOR), 1.1),
    Goal(PHASE, "CPU ÷ official", _ratio(PHASE, "CPU", OFFICIAL), 0.4),
    Goal(
        DIAGNOSIS,
        "CPU ÷ read_pod_phase",
        lambda median: median(DIAGNOSIS, OURS, "CPU") / median(PHASE, OURS, "CPU"),
        1.5,
        reason="it takes two requests, and a request to the API server costs nearly as much as "
        "reading a phase, of which it is most: the floor, which does nothing else, misses it too.",
    ),
    Goal(DIAGNOSIS, "CPU ÷ floor", _ratio(DIAGNOSIS, "CPU", FLOOR), 1.2),
    Goal(LIST, "CPU ÷ official", _ratio(LIST, "CPU", OFFICIAL), 0.03),
    Goal(
        LIST,
        "CPU ÷ floor",
        _ratio(LIST, "CPU", FLOOR),
        1.2,
        reason="each row is looked at for whether it is what a row should be; the floor takes it "
        "for that.",
    ),
    Goal(LIST, "bytes ÷ official", _ratio(LIST, "bytes", OFFICIAL), 0.1),
    Goal(
        LIST,
        "memory with half as many more that do not match ÷ without",
        lambda median: median(LIST, OURS, "memory, half more") / median(LIST, OURS, "memory"),
        1.1,
    ),
    Goal(
        CREATE,
        "time ÷ one after another",
        _ratio(CREATE, "p50", FLOOR),
        0.4,
        reason="between the objects that are made side by side and the pod, the quota is read "
        "once more, until its controller has noted its limits, since the pod would be refused: a "
        "fourth round trip. The server, its controllers, the relay and the client share the "
        "machine's cores, so that what is sent at once is not done at once.",
    ),
    Goal(
        READ,
        "time ÷ one read of the official client",
        lambda median: median(READ, OURS, "p50") / median(ONE_READ, OFFICIAL, "p50"),
        1.3,
    ),
    Goal(WAIT, "time from the write ÷ a raw watch read", _ratio(WAIT, "p50", FLOOR), 1.5),
    Goal(CANCEL, "p99", lambda median: 1000 * median(CANCEL, OURS, "p99"), 50, unit=" ms"),
    Goal(DECODE, "events/s ÷ official", _ratio(DECODE, "events/s", OFFICIAL), 3, at_least=True),
    Goal(
        MANY,
        "threads besides the callers",
        lambda median: median(MANY, OURS, "threads"),
        1,
        unit="",
    ),
    Goal(
        IMPORT,
        "CPU ÷ kubernetes.client",
        _ratio(IMPORT, "CPU", OFFICIAL),
        1.1,
        reason="nearly half of what is added is the import of attrs, whose classes are part of "
        "the contract, and of tenacity; most of the rest is attrs compiling the methods of our "
        "classes. Less could only be imported later: in the first call, or when something fails.",
    ),
    Goal(FIRST, "CPU ÷ floor", _ratio(FIRST, "CPU", FLOOR), 1.2),
)

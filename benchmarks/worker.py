"""One client in a process of its own, that does what it is told.

It reads a JSON object a line: ``do`` is the name of a function here, the rest its arguments; it
answers each by a line with a ``result`` or an ``error``. So the harness lets clients
take turns, and what one has imported, allocated or left running is not another's.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.libraries import LIBRARIES

_SETTLE_SECONDS = 0.2


class Worker:
    """The functions that a harness calls."""

    def __init__(self, library: str) -> None:
        self._class = LIBRARIES[library]
        self._clients: dict[str, Any] = {}

    def connect(self, route: str, host: str, ca_file: str | None, token: str) -> list[str]:
        """Make a client for a server; what it can do."""
        client = self._clients[route] = self._class(host, ca_file, token)
        return [name for name in dir(client) if not name.startswith("_")]

    def measure(
        self, route: str, work: str, count: int, arguments: list[Any]
    ) -> dict[str, list[float]]:
        """Do a piece of work several times; seconds of CPU and of the clock of each.

        CPU is that of all threads of this process.
        """
        run = self._work(route, work)
        prepare = getattr(self._clients[route], f"prepare_{work}", None)
        if prepare is not None:
            arguments = [prepare(*arguments)]
        cpu: list[float] = []
        wall: list[float] = []
        for _ in range(count):
            began, began_cpu = time.perf_counter(), time.process_time()
            left = run(*arguments)
            cpu.append(time.process_time() - began_cpu)
            wall.append(time.perf_counter() - began)
            if isinstance(left, Iterator):
                # What is after its yield is tidying up.
                for _ in left:
                    pass
        return {"cpu": cpu, "wall": wall}

    def peak_memory(self, route: str, work: str, arguments: list[Any]) -> int:
        """Bytes that Python allocates at most at once for a piece of work, by `tracemalloc`."""
        run = self._work(route, work)
        run(*arguments)
        gc.collect()
        tracemalloc.start()
        try:
            run(*arguments)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def hear(self, route: str) -> float:
        """Wait for the pod's start; when it was known, on the clock that processes share."""
        self._work(route, "wait")()
        return time.monotonic()

    def cancel(self, route: str, count: int, settle_seconds: float) -> list[float]:
        """Cancel waits; how many seconds later each returned."""
        run = self._work(route, "cancelled_wait")
        return [run(settle_seconds) for _ in range(count)]

    def many_waits(self, route: str, count: int) -> dict[str, float]:
        """Begin as many waits at once, and say what this process has and they take.

        They are left running: the process ends with them.
        """
        run = self._work(route, "wait")
        self._work(route, "read_pod_phase")()
        threads, memory, sockets = threading.active_count(), resident_bytes(), open_sockets()
        for _ in range(count):
            threading.Thread(target=run, daemon=True).start()
        while open_sockets() - sockets < count - 1:
            time.sleep(_SETTLE_SECONDS)
        time.sleep(5 * _SETTLE_SECONDS)
        return {
            "threads": threading.active_count() - threads - count,
            "connections": open_sockets(),
            "bytes": (resident_bytes() - memory) / count,
        }

    def _work(self, route: str, work: str) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(self._clients[route], work)
        if work != "first_call":
            return function

        def first() -> Iterator[None]:
            steps = function()
            next(steps)
            return steps

        return first


def resident_bytes() -> int:
    """The memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_sockets() -> int:
    """How many sockets this process has."""
    found = 0
    for file in Path("/proc/self/fd").iterdir():
        try:
            found += str(file.readlink()).startswith("socket:")
        except OSError:
            pass  # closed meanwhile
    return found


def main(library: str) -> None:
    """Serve the harness until it closes the pipe."""
    # What a client prints must not come between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    worker = Worker(library)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = {"result": getattr(worker, order.pop("do"))(**order)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)
    # Threads that wait for a server do not keep the process.
    os._exit(0)

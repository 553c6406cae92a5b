"""A client in a process of its own, and the lines of JSON by which it is told what to do.

What one client has imported, allocated or left running is not another's.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from benchmarks.team import ROOT

if TYPE_CHECKING:
    # A client's process does without.
    from benchmarks.cluster import Cluster

Json = dict[str, Any]


class Client:
    """The harness' side. A context manager: left, the process has ended.

    Parameters
    ----------
    cluster
        The server.
    name
        One of `benchmarks.live_clients.CLIENTS`.
    work
        A function of this package that gets the client, such as ``live_day.live``.
    options
        Of the client, in the place of the server's.
    arguments
        Those of the function.
    """

    def __init__(
        self, cluster: Cluster, name: str, work: str, options: Json | None = None, **arguments: Any
    ) -> None:
        self._title = f"{name}: {work}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.live_process", name, work],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            # What glibc keeps for each thread that has once needed much is not the client's.
            env={**os.environ, "MALLOC_ARENA_MAX": "1"},
        )
        server = {"host": cluster.host, "ca_file": cluster.ca_file, "token": cluster.token}
        self.tell({"options": server | (options or {}), "arguments": arguments})

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def tell(self, order: Any) -> None:
        """Have it go on, with something to do."""
        if self._process.stdin is None:
            raise RuntimeError("a client without a pipe")
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Block until it has something to say."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"{self._title}: it has ended")
        return json.loads(line)

    def ask(self, order: Any) -> Any:
        """Tell it something, and give what it says."""
        self.tell(order)
        return self.hear()


def result_of(
    cluster: Cluster, name: str, work: str, options: Json | None = None, **arguments: Any
) -> Json:
    """Have a client do a piece of work that needs no more orders; what it measured."""
    with Client(cluster, name, work, options, **arguments) as client:
        result: Json = client.hear()
        return result


def say(content: Any) -> None:
    """Tell the harness something, in a client's process."""
    print(json.dumps(content), flush=True)


def await_order() -> Any:
    """Block until the harness says something, in a client's process."""
    line = sys.stdin.readline()
    if not line:
        # It has ended, and so may threads that wait for a server.
        os._exit(1)
    return json.loads(line)


def main() -> None:
    """Do one piece of work, and say what came of it."""
    from benchmarks.live_clients import CLIENTS

    name, work = sys.argv[1:]
    first = await_order()
    client = CLIENTS[name](**first["options"])
    module, function = work.split(".")
    run = getattr(importlib.import_module(f"benchmarks.{module}"), function)
    say(run(client, **first["arguments"]))
    # Threads that wait for a server do not keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()

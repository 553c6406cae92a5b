"""The harness' side of the workers."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lab_storage" / "benchmarks"
)
#: The version that the newest one is compared with; 36.0.0 and 36.0.1 send no credentials.
OLD_CLIENT = "kubernetes>=36.0.2,<37"

# Not `python -m`: the folder it is started in would go before what is installed.
_PROGRAM = (
    "import sys; sys.path.append({root!r}); from benchmarks.worker import main; main({name!r})"
)


class WorkerError(Exception):
    """A worker could not do what it was told; the text is its traceback."""


class Worker:
    """One client in a process of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        environment = python_environment()
        if name == "kubernetes 36":
            environment["PYTHONPATH"] = str(old_client())
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM.format(root=str(ROOT), name=name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment,
        )
        self.can: set[str] = set()

    def connect(self, route: str, host: str, ca_file: str | None, token: str) -> None:
        """Make a client of it for a server, by that name."""
        self.can = set(self.ask("connect", route=route, host=host, ca_file=ca_file, token=token))

    def tell(self, do: str, **arguments: Any) -> None:
        """Give it an order, without waiting for its answer."""
        if self._process.stdin is None:
            raise RuntimeError("a worker without a pipe")
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Block until its last order is carried out; what came of it."""
        if self._process.stdout is None:
            raise RuntimeError("a worker without a pipe")
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": "it has ended"}
        if "error" in answer:
            raise WorkerError(f"{self.name}: {answer['error']}")
        return answer["result"]

    def ask(self, do: str, **arguments: Any) -> Any:
        """Give it an order, and block until it is carried out."""
        self.tell(do, **arguments)
        return self.answer()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


class Team:
    """Workers, one a client. A context manager: left, they have ended.

    Attributes
    ----------
    workers
        Those that could be started, by their names.
    absent
        Those that could not, and why.
    """

    def __init__(self, names: list[str]) -> None:
        self._stack = contextlib.ExitStack()
        self._names = names
        self.workers: dict[str, Worker] = {}
        self.absent: dict[str, str] = {}

    def __enter__(self) -> Team:
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def connect(self, route: str, host: str, ca_file: str | None, token: str, *names: str) -> None:
        """Make them clients of a server; who cannot is absent from then on.

        Parameters
        ----------
        route
            What the server is called in orders.
        host, ca_file, token
            The server.
        names
            Who, if not all.
        """
        for name in names or self._names:
            try:
                if name not in self.workers and name not in self.absent:
                    self.workers[name] = self.start(name)
                if name in self.workers:
                    self.workers[name].connect(route, host, ca_file, token)
            except (WorkerError, subprocess.CalledProcessError) as failure:
                self.workers.pop(name, None)
                self.absent[name] = str(failure).strip().splitlines()[-1]

    def start(self, name: str) -> Worker:
        """Start one more of that name."""
        worker = Worker(name, self._folder)
        self._stack.callback(worker.close)
        return worker

    def those_that_can(self, work: str, *names: str) -> list[Worker]:
        """The workers whose client does that work; of ``names`` alone, where there are any."""
        return [
            worker
            for name, worker in self.workers.items()
            if work in worker.can and (not names or name in names)
        ]


def python_environment() -> dict[str, str]:
    """An environment in which Python keeps what it has compiled, as where a wheel is installed."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH"}
    }
    environment["PYTHONPYCACHEPREFIX"] = str(CACHE / "bytecode")
    return environment


def old_client() -> Path:
    """The folder of the older official client; it is installed there once."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    folder = CACHE / "kubernetes-36" / version
    if not (folder / "kubernetes").is_dir():
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, OLD_CLIENT],
            check=True,
            stdout=sys.stderr,
        )
    return folder

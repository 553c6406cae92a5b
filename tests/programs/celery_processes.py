"""Redis, and workers of ``docs/examples/celery_app.py``, as processes of their own."""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.plane.programs import ROOT

EXAMPLES = ROOT / "docs" / "examples"
#: What no task here comes near, and what a process may take to start or to stop.
SECONDS = 60.0
POLL_SECONDS = 0.02
#: How many tasks a pool of processes runs at once.
CONCURRENCY = 4
#: An environment variable for `tests.programs.celery_worker`.
VISIBILITY = "TEST_VISIBILITY_SECONDS"


def eventually(condition: Callable[[], Any], what: str) -> None:
    """Return once a condition holds that another process brings about."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run Redis on a free port of 127.0.0.1, and give its URL. Skips where there is none."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server: Debian's package redis-server has it")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    log = folder / "redis.log"
    with log.open("w") as output:
        server = subprocess.Popen([program, *options], cwd=folder, stdout=output)

    def listens() -> bool:
        assert server.poll() is None, log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(listens, "Redis listens")
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def sending_app(broker: str) -> Iterator[ModuleType]:
    """Import the example as senders of tasks do, with that broker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERY_BROKER_URL", broker)
        patch.setenv("CELERY_RESULT_BACKEND", broker)
        patch.syspath_prepend(EXAMPLES)
        sys.modules.pop("celery_app", None)
        app = importlib.import_module("celery_app")
        yield app
        consumer = app.app.backend.result_consumer
        consumer.stop()
        # Results that are errors live as long as the process, since Celery keeps them, and
        # would tell a Redis that is gone that nobody waits for them any more.
        consumer._pubsub = None
        app.app.backend.client.close()
        app.app.close()


class Worker:
    """A worker of the example, as a context manager."""

    def __init__(self, app: ModuleType, kubeconfig: Path, folder: Path, pool: str) -> None:
        self._app = app
        self._kubeconfig = kubeconfig
        self._folder = folder
        self._pool = pool

    def __enter__(self) -> Worker:
        # What an earlier worker has left is not this one's.
        self.redis.flushall()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, visibility_seconds: float | None = None) -> None:
        """Start it, and return once it takes tasks.

        ``visibility_seconds`` is after which time it takes over those of a worker that has
        been lost; otherwise it is what the example says.
        """
        command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker"]
        options = {
            "include": "tests.programs.celery_worker",
            "pool": self._pool,
            "concurrency": CONCURRENCY if self._pool == "prefork" else 10 * CONCURRENCY,
            "loglevel": "INFO",
        }
        command += [f"--{name}={value}" for name, value in options.items()]
        # There are no other workers to look for, which takes a second.
        command += ["--without-mingle", "--without-gossip"]
        environment = {
            **os.environ,
            "KUBECONFIG": str(self._kubeconfig),
            "PYTHONPATH": os.pathsep.join(map(str, (EXAMPLES, ROOT))),
        }
        if visibility_seconds is not None:
            environment[VISIBILITY] = str(visibility_seconds)
        self._log = self._folder / f"{secrets.token_hex(4)}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=environment, stdout=log, stderr=log
            )
        try:
            eventually(self._is_ready, "the worker is ready")
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Have it end its tasks, and end."""
        self._process.terminate()
        try:
            assert 0 == self._process.wait(SECONDS), self._log.read_text()
        finally:
            self.kill()

    def kill(self) -> None:
        """End it without a word; its children end with it."""
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """The main process."""
        return self._process.pid

    @property
    def children(self) -> set[int]:
        """The processes of its pool."""
        (stats,) = self._app.app.control.inspect().stats().values()
        return set(stats["pool"]["processes"])

    @property
    def redis(self) -> Any:
        """A connection to the broker."""
        return self._app.app.backend.client

    def is_idle(self) -> bool:
        """Whether the broker has no tasks, neither waiting nor taken."""
        return not self.redis.llen("celery") and not self.redis.hlen("unacked")

    def _is_ready(self) -> bool:
        log = self._log.read_text()
        assert self._process.poll() is None, log
        return " ready." in log

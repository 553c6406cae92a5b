"""The program, and an embedded API server that its kubeconfig names."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from lab_storage import LabObjectNames, LabStorage
from lab_storage._cli.program import run
from lab_storage.testing import EmbeddedServer
from tests.support.labs import brief_lab_of, names_of, timeout_of

from .program import EVENTS, Program

RunHere = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """An API server of the test's own."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def kubeconfig(server: EmbeddedServer, tmp_path: Path) -> Path:
    """A kubeconfig of the server; its one context is ``embedded``."""
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(server.kubeconfig()))
    return path


@pytest.fixture
def program(kubeconfig: Path, tmp_path: Path) -> Program:
    """The program, on the server."""
    return Program(tmp_path, kubeconfig)


@pytest.fixture
def run_here(kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> RunHere:
    """Runs the program in this process, which is quicker; gives exit code, output and errors."""

    def run_here(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([*arguments, "--kubeconfig", str(kubeconfig)])
        return code, *capsys.readouterr()

    return run_here


@pytest.fixture
def homeless(tmp_path: Path) -> Program:
    """The program, with no cluster at all."""
    return Program(tmp_path)


@pytest.fixture
def lab(server: EmbeddedServer, logger: Any) -> LabObjectNames:
    """The example lab, created on the server; its pod starts as the server scripts it."""
    with LabStorage(server.api_client(), logger) as storage:
        storage.create(brief_lab_of(), timeout_of(10))
    return names_of()


@pytest.fixture
def running_lab(server: EmbeddedServer, lab: LabObjectNames, logger: Any) -> LabObjectNames:
    """The example lab, once its pod runs and all nine events of that are there."""
    with LabStorage(server.api_client(), logger) as storage:
        storage.wait_for_pod_start(lab.pod, lab.namespace, timeout_of(10))
        events = storage.watch_pod_events(lab.pod, lab.namespace, timeout_of(10))
        assert EVENTS == len(list(islice(events, EVENTS)))
        events.close()
    return lab


@pytest.fixture(scope="session", autouse=True)
def _hangups_count() -> Iterator[None]:
    """Under nohup a hang-up is ignored, by the programs that are started here too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)

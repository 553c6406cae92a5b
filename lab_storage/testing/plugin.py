"""Fixtures of pytest: the embedded API server, and the recorder and player.

They are there for who asks for them, in a ``conftest.py``, and never by
themselves:

.. code-block:: python

    pytest_plugins = ["lab_storage.testing.plugin"]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from kubernetes import client

from lab_storage.storage import LabStorage
from lab_storage.testing import EmbeddedServer
from lab_storage.testing.recording import Player, Recorder

__all__ = [
    "embedded_api_client",
    "embedded_server",
    "embedded_storage",
    "recording_player",
    "recording_recorder",
]


@pytest.fixture
def embedded_server() -> Iterator[EmbeddedServer]:
    """An embedded API server of the test's own, that runs until the test has ended."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def embedded_api_client(embedded_server: EmbeddedServer) -> Iterator[Any]:
    """A ``kubernetes.client.ApiClient`` of the test's `embedded_server`."""
    with embedded_server.api_client() as api_client:
        yield api_client


@pytest.fixture
def embedded_storage(embedded_api_client: Any) -> Iterator[LabStorage]:
    """A `LabStorage` on the test's `embedded_server`, with the logger that structlog is set to."""
    with LabStorage(embedded_api_client, structlog.get_logger()) as storage:
        yield storage


@pytest.fixture
def recording_player() -> Iterator[Callable[..., Player]]:
    """Plays a recording until the test ends: call it with the file.

    A second argument is the client to play to; without one it is a new one, of no
    server. It gives the `Player`, whose ``api_client`` is that client. Answers that the
    test did not ask for are an error at its end.
    """
    with ExitStack() as stack:

        def play(path: str | Path, api_client: Any = None) -> Player:
            if api_client is None:
                api_client = stack.enter_context(client.ApiClient(client.Configuration()))
            return stack.enter_context(Player(api_client, Path(path)))

        yield play


@pytest.fixture
def recording_recorder() -> Iterator[Callable[..., Recorder]]:
    """Records until the test ends: call it with a client and the file to write.

    Further arguments are those of `Recorder`, which it gives.
    """
    with ExitStack() as stack:

        def record(api_client: Any, path: str | Path, **options: Any) -> Recorder:
            return stack.enter_context(Recorder(api_client, Path(path), **options))

        yield record

"""Fixtures of pytest: the embedded API server, and the recorder and player.

They are loaded by name, in a ``conftest.py``, and never by themselves:

.. code-block:: python

    pytest_plugins = ["lab_storage.testing.plugin"]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from os import PathLike
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
    """An embedded API server for this test alone, which runs until the test has ended."""
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
    """Plays a recording until the test ends: call it with the file, and perhaps a client.

    Without one it is a new client, of no server. It returns the `Player`, whose
    ``api_client`` is that client. Answers that the test did not ask for are an error at
    its end.

    .. code-block:: python

        def test_lab_is_read(recording_player):
            player = recording_player("lab.yaml")
            read_a_lab(player.api_client)
    """
    with ExitStack() as stack:

        def play(path: str | Path, api_client: Any = None) -> Player:
            path, api_client = _sorted_out(path, api_client)
            if api_client is None:
                api_client = stack.enter_context(client.ApiClient(client.Configuration()))
            return stack.enter_context(Player(api_client, Path(path)))

        yield play


@pytest.fixture
def recording_recorder() -> Iterator[Callable[..., Recorder]]:
    """Records until the test ends: call it with the file to write, and a client.

    Further arguments are those of `Recorder`, which it returns.

    .. code-block:: python

        def test_lab_is_recorded(recording_recorder, cluster_api_client):
            recording_recorder("lab.yaml", cluster_api_client)
            read_a_lab(cluster_api_client)
    """
    with ExitStack() as stack:

        def record(path: str | Path, api_client: Any, **options: Any) -> Recorder:
            path, api_client = _sorted_out(path, api_client)
            return stack.enter_context(Recorder(api_client, Path(path), **options))

        yield record


def _sorted_out(path: Any, api_client: Any) -> tuple[str | Path, Any]:
    """Take the two in the order of the classes as well, as the recorder once did."""
    if isinstance(api_client, (str, PathLike)):
        return Path(api_client), path
    return path, api_client

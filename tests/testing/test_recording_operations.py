"""A recorded operation is played without a fixed name, and nothing is entered twice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client

from lab_storage import KubernetesError, LabStorage
from lab_storage.testing import EmbeddedServer
from lab_storage.testing._recording.files import load
from lab_storage.testing.recording import Player, Recorder
from tests.support.labs import lab_of, timeout_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANAGER = re.compile(r"lab_storage-[0-9a-f]+")


def create(api_client: Any, logger: Any, times: int = 1) -> list[int | None]:
    """Create a lab without an operation's id; the status of what was refused."""
    refused = []
    with LabStorage(api_client, logger) as storage:
        for _ in range(times):
            try:
                storage.create(lab_of("jovyan"), timeout_of(20))
            except KubernetesError as error:
                refused.append(error.status)
    return refused


def record(path: Path, logger: Any, times: int = 1) -> list[int | None]:
    """Record that on a server of its own."""
    with (
        EmbeddedServer() as server,
        server.api_client() as api_client,
        Recorder(api_client, path),
    ):
        return create(api_client, logger, times)


@pytest.mark.parametrize("times", [1, 2])
def test_create_without_an_id_is_played(tmp_path: Path, logger: Any, times: int) -> None:
    """Its field manager is another one each time; a second one is a conflict, as it was."""
    path = tmp_path / "create.yaml"
    recorded = record(path, logger, times)

    with client.ApiClient(client.Configuration()) as nowhere, Player(nowhere, path):
        played = create(nowhere, logger, times)

    assert [409] * (times - 1) == recorded == played


def test_second_recording_of_a_create_names_its_operations_alike(
    tmp_path: Path, logger: Any
) -> None:
    """A diff of two recordings shows nothing of them."""
    found = []
    for name in ("first.yaml", "second.yaml"):
        record(tmp_path / name, logger, times=2)
        found.append(set(MANAGER.findall((tmp_path / name).read_text())))

    assert [{f"lab_storage-{1:032x}", f"lab_storage-{2:032x}"}] * 2 == found


def test_answers_say_the_field_manager_that_was_sent(tmp_path: Path) -> None:
    """What the program made is its own when it looks: managedFields name it as it does."""
    path = tmp_path / "managed.yaml"
    body = {"metadata": {"name": "lab", "labels": {"a": "b"}}}

    def make(api_client: Any, manager: str) -> Any:
        core = client.CoreV1Api(api_client)
        core.create_namespace(body=body, field_manager=manager)
        return core.read_namespace("lab").metadata.managed_fields[0].manager

    with (
        EmbeddedServer() as server,
        server.api_client() as api_client,
        Recorder(api_client, path),
    ):
        make(api_client, "hub-3f0c6b1e-7a52-4b1d-9a3e-5d1c2b7f8e90")
    with client.ApiClient(client.Configuration()) as nowhere, Player(nowhere, path):
        told = make(nowhere, "hub-c1d7a0f4-1111-4222-8333-944455566677")

    assert "hub-c1d7a0f4-1111-4222-8333-944455566677" == told
    recorded = str(load(path))
    assert "hub-00000000-0000-0000-0000-000000000001" in recorded
    assert "3f0c6b1e" not in recorded


def test_field_manager_that_names_no_operation_is_not_exchanged(tmp_path: Path) -> None:
    """Only what is unique each time may be another one."""
    path = tmp_path / "named.yaml"
    body = {"metadata": {"name": "lab"}}
    with (
        EmbeddedServer() as server,
        server.api_client() as api_client,
        Recorder(api_client, path),
    ):
        client.CoreV1Api(api_client).create_namespace(body=body, field_manager="hub")

    with (
        pytest.raises(AssertionError, match=r"named.yaml has no answer to POST"),
        client.ApiClient(client.Configuration()) as nowhere,
        Player(nowhere, path),
    ):
        client.CoreV1Api(nowhere).create_namespace(body=body, field_manager="proxy")


@pytest.mark.parametrize("kind", [Recorder, Player])
def test_nothing_is_entered_twice(
    tmp_path: Path, kind: Callable[..., Any], embedded_server: EmbeddedServer
) -> None:
    """A recorder in its own place would send to itself without end; it works once more later."""
    path = tmp_path / "twice.yaml"
    with embedded_server.api_client() as api_client:
        before = api_client.rest_client.pool_manager
        with Recorder(api_client, path):
            client.CoreV1Api(api_client).list_namespace()
        for _ in range(2):
            with kind(api_client, path) as entered:
                with pytest.raises(
                    RuntimeError, match=r"twice.yaml has been entered and not left"
                ):
                    entered.__enter__()
                client.CoreV1Api(api_client).list_namespace()
        assert before is api_client.rest_client.pool_manager

"""What the parameters of the deleting methods mean: ``uid`` and ``grace_period``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog

from lab_storage import LabStorage
from lab_storage.testing import EmbeddedServer
from tests.support.fixtures import StorageOf
from tests.support.labs import lab_of, names_of, timeout_of
from tests.support.villain import Villain, json_answer, status

SECONDS = 20.0
POD = {"metadata": {"name": "lab", "namespace": "lab-jovyan", "uid": "one"}}


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """An API server with a lab that runs."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def storage(server: EmbeddedServer) -> Iterator[LabStorage]:
    """A storage of it."""
    with LabStorage(server.api_client(), structlog.get_logger()) as storage:
        storage.create(lab_of(), timeout_of(SECONDS))
        yield storage


def test_namespace_of_another_uid_is_left_alone(
    storage: LabStorage, server: EmbeddedServer
) -> None:
    """Whoever has listed labs means those; what was made since has another UID."""
    storage.delete_namespace("lab-jovyan", timeout_of(SECONDS), uid="another")
    assert ["lab-jovyan"] == storage.list_namespaces("lab-", timeout_of(SECONDS))
    assert [] == [each for each in server.requests if each.method == "DELETE"]


def test_pod_of_another_uid_is_left_alone(storage: LabStorage, server: EmbeddedServer) -> None:
    """It is success: the pod that was meant does not exist."""
    storage.delete_pod(names_of(), timeout_of(SECONDS), uid="another")
    assert storage.read_pod_phase(names_of(), timeout_of(SECONDS))
    assert [] == [each for each in server.requests if each.method == "DELETE"]


def test_object_of_that_uid_is_deleted(storage: LabStorage) -> None:
    """The pod by its UID; the namespace takes the rest along."""
    state = storage.read_lab_objects(names_of(), timeout_of(SECONDS))
    assert state is not None
    storage.delete_pod(names_of(), timeout_of(SECONDS), uid=state.pod.metadata.uid)
    assert storage.read_pod_phase(names_of(), timeout_of(SECONDS)) is None


@pytest.mark.parametrize(
    ("grace_period", "seconds"),
    [(None, 1), (0, 0), (0.1, 1), (1.5, 2), (30, 30)],
)
def test_grace_period_is_sent_in_whole_seconds(
    grace_period: float | None, seconds: int, storage_of: StorageOf
) -> None:
    """Fractions are rounded up; zero is a value."""
    options: dict[str, Any] = {}
    if grace_period is not None:
        options["grace_period"] = timedelta(seconds=grace_period)
    sent: list[Any] = []

    def script(request: Any) -> Any:
        if request.method == "DELETE":
            sent.append(request.json["gracePeriodSeconds"])
            return status(404, "NotFound", 'pods "lab" not found')
        return json_answer(POD)

    with Villain(script) as villain:
        storage_of(villain).delete_pod(names_of(), timeout_of(SECONDS), **options)
    assert [seconds] == sent


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"uid": ""}, ValueError, "uid must not be empty"),
        ({"uid": 7}, TypeError, "uid must be str, not int"),
        ({"grace_period": 1}, TypeError, r"grace_period must be a datetime\.timedelta, not int"),
        ({"grace_period": timedelta(-1)}, ValueError, "grace_period must not be negative"),
    ],
)
def test_bad_values_are_refused_before_anything_is_sent(
    options: dict[str, Any], error: type[Exception], text: str, storage_of: StorageOf
) -> None:
    """An empty UID must not mean "whichever there is"."""
    with Villain(json_answer(POD)) as villain:
        storage = storage_of(villain)
        with pytest.raises(error, match=text):
            storage.delete_pod(names_of(), timeout_of(SECONDS), **options)
        if "uid" in options:
            with pytest.raises(error, match=text):
                storage.delete_namespace("lab-jovyan", timeout_of(SECONDS), **options)
        assert [] == villain.requests

"""What callers pass by mistake is refused at once, by an error that says what to pass."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from kubernetes import client
from structlog.stdlib import AsyncBoundLogger
from structlog.testing import LogCapture

from lab_storage import FAIL_FAST, LabStorage, PodPhase
from lab_storage.models import WAITING_REASONS
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.villain import Villain, json_answer

RUNNING = {
    "metadata": {"resourceVersion": "1"},
    "items": [
        {
            "kind": "Pod",
            "metadata": {"name": "lab", "namespace": "lab-a", "uid": "1", "resourceVersion": "1"},
            "status": {"phase": "Running"},
        }
    ],
}


class AsyncApiClient:
    """As in kubernetes.aio and in kubernetes_asyncio."""

    configuration = client.Configuration()

    async def call_api(self) -> None:
        """Do nothing."""


AsyncApiClient.__name__ = AsyncApiClient.__qualname__ = "ApiClient"
AsyncApiClient.__module__ = "kubernetes_asyncio.client.api_client"

CLIENTS: dict[str, tuple[Callable[[], Any], str]] = {
    "an API object": (client.CoreV1Api, "not CoreV1Api: pass its attribute api_client"),
    "a configuration": (
        client.Configuration,
        "not Configuration: pass kubernetes.client.ApiClient(configuration)",
    ),
    "none": (lambda: None, "not None: pass one such as kubernetes.config.new_client_from_config"),
    "the class": (lambda: client.ApiClient, "not the class ApiClient: pass one such as"),
    "an address": (lambda: "https://127.0.0.1", "not str: pass one such as"),
    "an asynchronous client": (
        AsyncApiClient,
        "ApiClient of kubernetes_asyncio.client.api_client: this library is synchronous",
    ),
    "an asynchronous API object": (
        lambda: SimpleNamespace(api_client=AsyncApiClient()),
        "this library is synchronous; pass a kubernetes.client.ApiClient",
    ),
}


@pytest.mark.parametrize(("make", "text"), CLIENTS.values(), ids=CLIENTS)
def test_anything_but_a_client_is_refused(make: Callable[[], Any], text: str, logger: Any) -> None:
    """The error says what was passed, and what to pass."""
    with pytest.raises(TypeError) as caught:
        LabStorage(make(), logger)

    assert str(caught.value).startswith("api_client must be a kubernetes.client.ApiClient, not ")
    assert text in str(caught.value)


def test_the_asynchronous_client_of_the_official_package_is_refused(logger: Any) -> None:
    """It comes with version 36 and later, and has the same name."""
    aio = pytest.importorskip("kubernetes.aio", reason="this client is synchronous only")
    with pytest.raises(TypeError, match=r"not ApiClient of kubernetes\.aio\.client"):
        LabStorage(aio.client.ApiClient.__new__(aio.client.ApiClient), logger)


class Unbound:
    """A logger of another library, which has some of the names."""

    def bind(self, **_: Any) -> None:
        """Do nothing."""

    debug = info = warning = error = bind


LOGGERS: dict[str, tuple[Any, str]] = {
    "the standard library's": (
        logging.getLogger("labs"),
        "not Logger: pass structlog.stdlib.get_logger(), or structlog.wrap_logger() of it",
    ),
    "an adapter": (logging.LoggerAdapter(logging.getLogger("labs"), {}), "not LoggerAdapter: "),
    "none": (None, "not None: pass one such as structlog.get_logger() returns"),
    "a bare logger of structlog": (structlog.PrintLogger(), "not PrintLogger: "),
    "a class": (structlog.stdlib.BoundLogger, "not the class BoundLogger: "),
    "another library's": (Unbound(), "not Unbound: "),
    "an asynchronous one": (
        AsyncBoundLogger.__new__(AsyncBoundLogger),
        "not AsyncBoundLogger: this library is synchronous",
    ),
}


@pytest.mark.parametrize(("wrong", "text"), LOGGERS.values(), ids=LOGGERS)
def test_anything_but_a_logger_of_structlog_is_refused(wrong: Any, text: str) -> None:
    """It would fail at the first line that is logged, which may be late."""
    with client.ApiClient() as api_client, pytest.raises(TypeError) as caught:
        LabStorage(api_client, wrong)

    assert str(caught.value).startswith(f"logger must be a structlog logger, {text}")


@pytest.mark.parametrize(
    "right",
    [
        structlog.get_logger(),
        structlog.get_logger().bind(hub="a"),
        structlog.stdlib.get_logger(),
        structlog.wrap_logger(
            structlog.PrintLogger(),
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        ).bind(),
        structlog.stdlib.BoundLogger(logging.getLogger("labs"), [], {}),
        structlog.wrap_logger(None, wrapper_class=structlog.BoundLogger, context_class=dict),
    ],
    ids=["lazy", "bound", "lazy-stdlib", "filtering", "stdlib", "wrapped"],
)
def test_loggers_of_structlog_are_accepted(right: Any) -> None:
    """Each of its kinds, bound or not."""
    with client.ApiClient() as api_client, LabStorage(api_client, right) as storage:
        assert isinstance(storage, LabStorage)


def test_type_checkers_know_what_is_accepted() -> None:
    """Both kinds of structlog's loggers match the parameter's type, and others do not.

    mypy checks this, also that the comment that ignores an error is needed.
    """
    standard: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger()
    filtering: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    with client.ApiClient() as api_client:
        LabStorage(api_client, standard, observer=None)
        LabStorage(api_client, filtering, observer=print)
        with pytest.raises(TypeError):
            LabStorage(api_client, logging.getLogger("labs"))  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            LabStorage(api_client, standard, observer=7)  # type: ignore[arg-type]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_storage_cannot_be_copied(copied: Callable[[Any], Any], logger: Any) -> None:
    """The error says what to do instead."""
    with client.ApiClient() as api_client, LabStorage(api_client, logger) as storage:
        text = r"^a LabStorage cannot be pickled or copied: .* Make one where it is needed"
        with pytest.raises(TypeError, match=text):
            copied(storage)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (True, "must be a collection of str, not a bool"),
        ("ErrImagePull", "must be a collection of str, not a str"),
        (b"ErrImagePull", "must be a collection of str, not a bytes"),
        (None, "must be a collection of str, not a NoneType"),
        ([b"ErrImagePull"], "must be a collection of str, not of bytes"),
        ([["ErrImagePull"]], "must be a collection of str, not of list"),
    ],
)
def test_reasons_to_fail_fast_are_a_collection_of_words(
    wrong: Any, text: str, storage_of: StorageOf
) -> None:
    """Nothing is sent."""
    with Villain() as villain, pytest.raises(TypeError, match=rf"^fail_fast {text}$"):
        storage_of(villain).wait_for_pod_start("lab", "lab-a", timeout_of(5), fail_fast=wrong)
    assert 0 == villain.connections


@pytest.mark.parametrize(
    ("word", "suggestion"),
    [("ErrImagPull", "ErrImagePull"), ("unschedulable", "Unschedulable"), ("Xyz", None)],
)
def test_a_reason_that_kubernetes_does_not_have_is_warned_of(
    word: str, suggestion: str | None, storage_of: StorageOf, log: LogCapture
) -> None:
    """It would never match; the log says which word may be meant, and the wait goes on."""
    with Villain(json_answer(RUNNING)) as villain:
        phase = storage_of(villain).wait_for_pod_start(
            "lab", "lab-a", timeout_of(5), fail_fast=[word, *WAITING_REASONS]
        )

    assert PodPhase.RUNNING is phase
    (warning,) = [entry for entry in log.entries if entry["log_level"] == "warning"]
    assert (word, suggestion) == (warning["reason"], warning["suggestion"])


def test_the_reasons_of_the_library_are_those_of_kubernetes() -> None:
    """None of them is warned of."""
    assert FAIL_FAST < WAITING_REASONS

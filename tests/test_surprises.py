"""What servers, proxies and programs do that nobody expects, and what is made of it."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import structlog
import urllib3
from kubernetes import client

from lab_storage import KubernetesError, LabStorage, OperationTimeoutError, PodPhase
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import NAMES, PENDING, read_phase
from tests.support.villain import (
    Act,
    Peer,
    Villain,
    act,
    answer,
    authority,
    json_answer,
    raw,
    status,
    stream,
)


@act
def early_hints(peer: Peer) -> None:
    """An informational answer, and the real one when the client should be gone."""
    peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    peer.pause(0.2)
    raw(b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"kind": "Imposter"}')(peer)


def test_informational_answer_is_not_taken_for_the_answer(storage_of: StorageOf) -> None:
    """Nor does what comes after it answer the next request."""
    with Villain(early_hints, json_answer(PENDING)) as villain:
        assert PodPhase.PENDING is read_phase(storage_of(villain), timeout_of(5))
    assert 2 == villain.connections


def test_name_that_urllib3_compares_is_final(storage_of: StorageOf) -> None:
    """``assert_hostname`` is checked by urllib3, with an error of its own."""
    with Villain(json_answer(PENDING), tls=True) as villain:
        storage = storage_of(villain, assert_hostname="other.example")
        with pytest.raises(KubernetesError, match=r"other\.example") as caught:
            read_phase(storage, timeout_of(5))
    assert (None, 1) == (caught.value.status, villain.connections)


def test_tls_context_of_the_callers_pool_is_used(logger: Any) -> None:
    """Whoever put a pool manager with a context in place meant that; it is left as it is."""
    with Villain(json_answer(PENDING), tls=True) as villain:
        context = ssl.create_default_context(cafile=authority().file)
        api_client = villain.api_client(ssl_ca_cert=None)
        api_client.rest_client.pool_manager = urllib3.PoolManager(ssl_context=context)
        with LabStorage(api_client, logger) as storage:
            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
    assert ssl.SSLSocket is context.sslsocket_class


class Standing(urllib3.PoolManager):
    """A stand-in that is a pool manager by class."""

    def request(self, *_: Any, **__: Any) -> Any:
        """Answer."""
        return ANSWER


ANSWER = mock.Mock(status=200, headers={}, data=b'{"status":{"phase":"Failed"}}')


def patched() -> urllib3.PoolManager:
    """One of urllib3's own with another ``request``."""
    manager = urllib3.PoolManager()
    manager.request = lambda *_, **__: ANSWER  # type: ignore[method-assign]
    return manager


def specified() -> Any:
    """A mock that says it is one."""
    manager = mock.create_autospec(urllib3.PoolManager, instance=True)
    manager.request.return_value = ANSWER
    return manager


@pytest.mark.parametrize("make", [Standing, patched, specified])
def test_whatever_stands_in_for_the_pool_is_asked(make: Callable[[], Any], logger: Any) -> None:
    """Also where it looks like one of urllib3's, and where it comes after the first call."""
    with Villain(json_answer(PENDING)) as villain:
        api_client = villain.api_client()
        with LabStorage(api_client, logger) as storage:
            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
            api_client.rest_client.pool_manager = make()
            assert PodPhase.FAILED is read_phase(storage, timeout_of(5))
    assert 1 == len(villain.requests)


@pytest.mark.parametrize("render", ["render_to_log_kwargs", "render_to_log_args_and_kwargs"])
def test_log_that_keeps_the_name_for_itself_ends_no_call(
    render: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`logging` has a ``name`` of its own, and refuses another."""
    logger = structlog.wrap_logger(
        logging.getLogger("labs"),
        processors=[getattr(structlog.stdlib, render)],
        wrapper_class=structlog.stdlib.BoundLogger,
        context_class=dict,
    )
    caplog.set_level(logging.DEBUG, "labs")
    with (
        Villain(status(503, "ServiceUnavailable"), json_answer(PENDING)) as villain,
        LabStorage(villain.api_client(), logger) as storage,
    ):
        assert PodPhase.PENDING is read_phase(storage, timeout_of(10))
    said = [(record.levelname, vars(record)["object_name"]) for record in caplog.records]
    assert [("WARNING", "lab"), ("DEBUG", "lab")] == said


def test_hook_that_asks_for_a_token_once_an_hour_keeps_it(logger: Any) -> None:
    """Its token goes on to count when connections are closed, and when a server says 401."""
    asked = []

    def hook(configuration: client.Configuration) -> None:
        if not asked:
            asked.append(configuration)
            configuration.api_key["authorization"] = "Bearer fresh"

    with Villain(
        json_answer(PENDING), status(401, "Unauthorized"), json_answer(PENDING)
    ) as villain:
        api_client = villain.api_client(refresh_api_key_hook=hook)
        with LabStorage(api_client, logger) as storage:
            for _ in range(3):
                read_phase(storage, timeout_of(5))
                storage.close()
    assert ["Bearer fresh"] * 4 == [each.headers["authorization"] for each in villain.requests]


def test_quiet_watch_did_not_fail(storage_of: StorageOf) -> None:
    """A deadline that ends it is told without a failure that never was."""
    pod = {**PENDING, "kind": "Pod"}
    events = {"metadata": {"resourceVersion": "5"}, "items": []}

    def script(request: Any) -> Act:
        if request.is_watch:
            return stream()
        return json_answer(
            events if "events" in request.path else {"metadata": {}, "items": [pod]}
        )

    with Villain(script) as villain:
        timeout = timeout_of(0.4)
        with pytest.raises(OperationTimeoutError) as caught:
            list(storage_of(villain).watch_pod_events("lab", NAMES.namespace, timeout))
    assert caught.value.last is None


NO_LIST = {"message": "under maintenance"}
CALLS = {
    "list_namespaces": lambda storage, timeout: storage.list_namespaces("", timeout),
    "wait_for_pod_start": lambda storage, timeout: storage.wait_for_pod_start(
        "lab", NAMES.namespace, timeout
    ),
    "delete_pod": lambda storage, timeout: storage.delete_pod(NAMES, timeout),
    "delete_namespace": lambda storage, timeout: storage.delete_namespace("lab-a", timeout),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_success_that_says_nothing_does_not_mean_nothing_is_there(
    call: Callable[..., Any], storage_of: StorageOf
) -> None:
    """A JSON object of something on the way is no list and no object: it is asked again."""
    with (
        Villain(json_answer(NO_LIST)) as villain,
        pytest.raises(OperationTimeoutError, match="the answer is no"),
    ):
        call(storage_of(villain), timeout_of(0.3))
    assert {"GET"} == {each.method for each in villain.requests}


def test_success_that_says_it_failed_is_none(storage_of: StorageOf) -> None:
    """A Status of a failure is no Secret."""
    failed = {"kind": "Status", "status": "Failure", "message": "no"}
    with Villain(json_answer(failed)) as villain, pytest.raises(OperationTimeoutError):
        storage_of(villain).read_secret("token", "lab-a", timeout_of(0.3))


def test_refusal_in_plain_text_is_told(storage_of: StorageOf) -> None:
    """The API server itself, and proxies, refuse in a line of text."""
    refused = answer(
        403, b"No  entry\x1b[31m\n on Tuesdays", {"Content-Type": "text/plain; charset=utf-8"}
    )
    with Villain(refused) as villain, pytest.raises(KubernetesError) as caught:
        read_phase(storage_of(villain), timeout_of(5))
    assert str(caught.value).endswith(r": 403: No entry\x1b[31m on Tuesdays")

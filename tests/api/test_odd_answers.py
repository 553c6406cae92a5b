"""Answers that no API server gives, but proxies and servers in trouble do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab_storage import KubernetesError, OperationTimeoutError, PodPhase
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import NAMES, PENDING, read_phase
from tests.support.villain import Peer, Villain, act, answer, json_answer, raw


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

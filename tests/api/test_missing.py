"""Missing is only what the API server says it does not have, of that very object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab_storage import KubernetesError, LabStorage, MissingSecretError
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import NAMES
from tests.support.villain import Act, Villain, answer, json_answer, status

METHODS: dict[str, tuple[Callable[[LabStorage], Any], str, str]] = {
    "read_pod_phase": (lambda s: s.read_pod_phase(NAMES, timeout_of(5)), "pods", NAMES.pod),
    "delete_pod": (lambda s: s.delete_pod(NAMES, timeout_of(5)), "pods", NAMES.pod),
    "delete_namespace": (
        lambda s: s.delete_namespace(NAMES.namespace, timeout_of(5)),
        "namespaces",
        NAMES.namespace,
    ),
    "read_secret": (
        lambda s: s.read_secret("lab", NAMES.namespace, timeout_of(5)),
        "secrets",
        "lab",
    ),
}
each_method = pytest.mark.parametrize("method", METHODS)


def not_found(kind: str, name: str, message: str = "", details: Any = None) -> Act:
    """Refuse with 404 as an API server does."""
    stated = {"name": name, "kind": kind} if details is None else details
    return status(404, "NotFound", message or f'{kind} "{name}" not found', stated)


def ask(method: str, act: Act, storage_of: StorageOf) -> tuple[Any, int]:
    """Call a method; give its result, and how many requests it made."""
    with Villain(act) as villain:
        try:
            return METHODS[method][0](storage_of(villain)), len(villain.requests)
        except MissingSecretError:
            return None, len(villain.requests)


@each_method
def test_object_that_the_server_does_not_have_is_missing(
    method: str, storage_of: StorageOf
) -> None:
    """Its details name the object."""
    _, kind, name = METHODS[method]
    assert (None, 1) == ask(method, not_found(kind, name), storage_of)


@each_method
@pytest.mark.parametrize("details", [{}, {"name": ""}, [], "no"])
def test_details_may_be_missing(method: str, details: Any, storage_of: StorageOf) -> None:
    """The reason says enough."""
    _, kind, name = METHODS[method]
    assert (None, 1) == ask(method, not_found(kind, name, "not found", details), storage_of)


@each_method
@pytest.mark.parametrize(
    "act",
    [
        json_answer({"message": "no Route matched with those values"}, 404),
        json_answer({}, 404),
        json_answer({"type": "error", "status": "404", "code": "not_found"}, 404),
        json_answer({"reason": "NotFound", "message": "no such tenant"}, 404),
        json_answer({"kind": "Error", "reason": "NotFound"}, 404),
        status(404, "", "not found"),
        status(404, "NotFound", "the server could not find the requested resource", {}),
        status(404, "NotFound", "the server could not find the requested resource (get x y)"),
        status(404, "NotFound", 'gateways "g" not found', {"name": "g", "kind": "gateways"}),
        status(404, "NotFound", 'namespaces "n" not found', {"name": "n", "kind": "namespaces"}),
        answer(404, b"404 page not found\n", {"Content-Type": "text/plain"}),
        answer(404, b"<html>"),
        answer(404, b""),
        answer(404, b"[]"),
    ],
)
def test_any_other_404_is_an_error(method: str, act: Act, storage_of: StorageOf) -> None:
    """It is a gateway's, or about something else: the object may well be there."""
    with Villain(act) as villain:
        storage = storage_of(villain)
        with pytest.raises(KubernetesError) as caught:
            METHODS[method][0](storage)
        assert (404, 1) == (caught.value.status, len(villain.requests))


@each_method
def test_another_object_of_the_kind_is_not_this_one(method: str, storage_of: StorageOf) -> None:
    """Nor is one of another kind of the same name."""
    _, kind, name = METHODS[method]
    for other in (not_found(kind, f"{name}-2"), not_found("gateways", name)):
        with pytest.raises(KubernetesError, match="404"):
            ask(method, other, storage_of)

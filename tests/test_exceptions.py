"""The errors: their attributes, texts and pickles, and that nothing else reaches a caller."""

from __future__ import annotations

import copy
import http.client
import inspect
import json
import pickle
import socket
import ssl
from typing import Any

import kubernetes.client.exceptions
import pytest
import urllib3.exceptions
from kubernetes import client

import lab_storage
from lab_storage import (
    KubernetesError,
    LabStorage,
    LabStorageError,
    ManifestError,
    MissingObjectError,
    MissingSecretError,
    OperationCancelledError,
    OperationTimeoutError,
    PodStartError,
    Timeout,
)
from lab_storage.diagnosis import diagnose
from tests.support.diagnosing import end, pod, waiting
from tests.support.labs import names_of, timeout_of

ERRORS = [
    KubernetesError("refused"),
    KubernetesError(
        "quota is full\nof pods",
        user="jovyan",
        kind="Pod",
        namespace="lab-jovyan",
        name="lab",
        status=403,
        reason="Forbidden",
        body='{"kind":"Status"}',
        operation="Starting lab",
    ),
    ManifestError("ConfigMap lab-env", None, "is defined more than once"),
    ManifestError("Pod a\x1b", "spec.containers[0].image", "must be a string\n"),
    MissingObjectError("Pod", "lab", "lab-jovyan"),
    MissingSecretError("Secret", "token", "lab-jovyan"),
    OperationCancelledError("Starting lab"),
    OperationCancelledError("Starting lab", "jovyan"),
    OperationTimeoutError("Starting lab", None, 30.0),
    OperationTimeoutError("Starting lab", "jovyan", 30.04, "503 ServiceUnavailable:\n\ttry later"),
    PodStartError("lab", "lab-jovyan", None, "Unschedulable"),
    PodStartError("lab", "lab-jovyan", "notebook", "ErrImagePull", "no such image:\nlab:1"),
    PodStartError(
        "lab",
        "lab-jovyan",
        "notebook",
        "CrashLoopBackOff",
        "back-off 10s",
        diagnose(pod("Running", waiting("CrashLoopBackOff", last=end(137, "OOMKilled")))),
    ),
]
TEXTS = [
    "refused",
    "Starting lab: Pod lab-jovyan/lab (user jovyan): 403 Forbidden: quota is full of pods",
    "ConfigMap lab-env is defined more than once",
    r"Pod a\x1b: spec.containers[0].image must be a string",
    "Pod lab-jovyan/lab does not exist",
    "Secret lab-jovyan/token does not exist",
    "Starting lab was cancelled",
    "Starting lab (user jovyan) was cancelled",
    "Starting lab timed out after 30.0 s",
    "Starting lab (user jovyan) timed out after 30.0 s (last: 503 ServiceUnavailable: try later)",
    "Pod lab-jovyan/lab: Unschedulable",
    "Pod lab-jovyan/lab, container notebook: ErrImagePull: no such image: lab:1",
    (
        "Pod lab-jovyan/lab, container notebook: CrashLoopBackOff: back-off 10s "
        "(OutOfMemory in container notebook: OOMKilled (exit code 137))"
    ),
]
ATTRIBUTES = {
    KubernetesError: "message user kind namespace name status reason body operation",
    ManifestError: "manifest path reason",
    MissingObjectError: "kind name namespace",
    MissingSecretError: "kind name namespace",
    OperationCancelledError: "operation user",
    OperationTimeoutError: "operation user elapsed last",
    PodStartError: "name namespace container reason message diagnosis",
}
each_error = pytest.mark.parametrize("error", ERRORS, ids=repr)


def attributes_of(error: LabStorageError) -> tuple[Any, ...]:
    """Give the values of an error's public attributes, in order."""
    return tuple(getattr(error, name) for name in ATTRIBUTES[type(error)].split())


class TestEach:
    """What is true of every error."""

    def test_is_in_the_table(self) -> None:
        """A new error has to be added to the tests of this class."""
        classes = [
            one
            for _, one in inspect.getmembers(lab_storage.exceptions, inspect.isclass)
            if issubclass(one, LabStorageError) and one is not LabStorageError
        ]

        assert {*classes} == {type(error) for error in ERRORS} == {*ATTRIBUTES}

    @pytest.mark.parametrize(("error", "text"), list(zip(ERRORS, TEXTS, strict=True)), ids=repr)
    def test_is_one_line(self, error: LabStorageError, text: str) -> None:
        """Operation, object, status and the server's message stand in one line of a log."""
        assert text == str(error)

    @each_error
    def test_has_a_repr_of_class_and_text(self, error: LabStorageError) -> None:
        """What a debugger shows says the same."""
        assert f"{type(error).__name__}({str(error)!r})" == repr(error)

    @each_error
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_survives_pickling(self, error: LabStorageError, protocol: int) -> None:
        """Another process gets the same class, text and attributes."""
        copied = pickle.loads(pickle.dumps(error, protocol))

        assert type(error) is type(copied)
        assert (str(error), attributes_of(error)) == (str(copied), attributes_of(copied))

    @each_error
    def test_shows_no_control_characters(self, error: LabStorageError) -> None:
        """Whatever stands in its attributes moves no cursor and begins no line of a log."""
        odd = [
            f"{value}\x1b[2J\r\n\x00\u2028" if isinstance(value, str) else value
            for value in attributes_of(error)
        ]

        text = str(type(error)(*odd))

        assert text.isprintable()
        assert r"\x1b[2J" in text

    @each_error
    def test_survives_copying(self, error: LabStorageError) -> None:
        """A copy has what the error has."""
        assert attributes_of(error) == attributes_of(copy.copy(error))

    @each_error
    def test_is_made_again_of_its_args(self, error: LabStorageError) -> None:
        """As task queues do that send errors as JSON."""
        copied = type(error)(*json.loads(json.dumps(error.args)))

        assert attributes_of(error) == attributes_of(copied)
        assert (str(error), error.args) == (str(copied), copied.args)

    @each_error
    def test_can_be_told_from_another(self, error: LabStorageError) -> None:
        """Errors are compared by identity, and can be in a set."""
        assert {error} != {copy.copy(error)}


def test_a_timeout_is_the_built_in_one_too() -> None:
    """Code that does not know this library catches it as TimeoutError."""
    assert issubclass(OperationTimeoutError, TimeoutError)


def test_an_invalid_manifest_is_a_value_error_too() -> None:
    """It is an argument that cannot work."""
    assert issubclass(ManifestError, ValueError)


def test_a_missing_secret_is_not_a_kubernetes_error() -> None:
    """The server did what it was asked."""
    assert not issubclass(MissingSecretError, KubernetesError)
    assert issubclass(MissingSecretError, MissingObjectError)


class TestPackage:
    """The names that can be imported."""

    def test_all_lists_the_names_of_the_contract(self) -> None:
        """Nothing is missing and nothing private is in it."""
        contract = {
            "FAIL_FAST", "Freshness", "KubernetesError", "LabObjectNames", "LabObjects",
            "LabStateObjects",
            "LabStorage", "LabStorageError", "LabSummary", "LiveLabStorage", "ManifestError",
            "MissingObjectError", "MissingSecretError", "OperationCancelledError",
            "OperationTimeoutError",
            "PodChange", "PodDiagnosis", "PodPhase", "PodStartError", "PodSummary", "PodTrouble",
            "RequestRecord", "Timeout",
        }  # fmt: skip

        assert contract == {*lab_storage.__all__}
        assert sorted(lab_storage.__all__) == lab_storage.__all__

    def test_all_names_are_there(self) -> None:
        """A star import works."""
        namespace: dict[str, Any] = {}
        exec("from lab_storage import *", namespace)

        assert {*lab_storage.__all__} <= {*namespace}


class StandIn:
    """What is put in the place of a pool manager, and raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def request(self, *_: Any, **__: Any) -> Any:
        """Raise, whatever is asked."""
        raise self.error


def classes_of_others() -> list[type[BaseException]]:
    """Every exception that what is below us defines for the public."""
    modules = (
        urllib3.exceptions, http.client, kubernetes.client.exceptions, ssl, socket, json,
        json.decoder,
    )  # fmt: skip
    classes = [
        found
        for module in modules
        for name, found in inspect.getmembers(module, inspect.isclass)
        if not name.startswith("_")
        and issubclass(found, Exception)
        and not issubclass(found, Warning)
    ]
    return list(dict.fromkeys(classes))


def made(kind: type[BaseException]) -> BaseException:
    """Make one of that class, whatever its constructor wants."""
    if kind is urllib3.exceptions.InvalidChunkLength:
        return kind(urllib3.HTTPResponse(b""), b"zz")
    if kind is urllib3.exceptions.IncompleteRead:
        return kind(1, 2)
    if kind is urllib3.exceptions.HeaderParsingError:
        return kind([], "it broke")
    if kind is json.JSONDecodeError:
        return kind("it broke", "{", 1)
    for count in (1, 2, 3):
        try:
            return kind(*["it broke"] * count)
        except TypeError:
            pass
    raise AssertionError(f"how is {kind} made?")


@pytest.mark.parametrize("kind", classes_of_others(), ids=lambda kind: kind.__qualname__)
def test_errors_of_others_do_not_reach_the_caller(
    kind: type[BaseException], logger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever urllib3, the client, sockets or JSON raise is the cause of an error of ours."""
    api_client = client.ApiClient(client.Configuration())
    raised = made(kind)
    api_client.rest_client.pool_manager = StandIn(raised)
    timeout = timeout_of(1)
    # The first pause takes all the time there is.
    monkeypatch.setattr(Timeout, "_sleep", lambda *_: setattr(timeout, "_deadline", 0.0))

    with pytest.raises(LabStorageError) as caught:
        LabStorage(api_client, logger).read_pod_phase(names_of(), timeout)

    assert type(caught.value) in (KubernetesError, OperationTimeoutError)
    assert caught.value.__cause__ is raised or hides_a_header(raised)


def hides_a_header(error: BaseException) -> bool:
    """Whether it is one of those that say which header, a token, cannot be sent."""
    return type(error) is ValueError or isinstance(error, UnicodeError)

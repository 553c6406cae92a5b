"""What a timeout reports: the failure that is not over, else what is being waited for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab_storage import KubernetesError, LabStorage, OperationTimeoutError, Timeout
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.pauses import SetPauses
from tests.support.states import LAB, NAMES, PENDING, POD_PATH
from tests.support.villain import Act, Cluster, Seen, Villain, json_answer, silence, status

NAMESPACE_PATH = f"/api/v1/namespaces/{NAMES.namespace}"
UNAVAILABLE = status(503, "Unavailable", "etcd is away")

Ask = Callable[[LabStorage, Timeout], None]


@pytest.fixture(autouse=True)
def _impatient(set_pauses: SetPauses) -> None:
    """Pauses are short."""
    set_pauses(0.005)


def create(storage: LabStorage, timeout: Timeout) -> None:
    """Create the lab."""
    storage.create(LAB, timeout)


def delete_pod(storage: LabStorage, timeout: Timeout) -> None:
    """Delete the pod."""
    storage.delete_pod(NAMES, timeout)


def once(method: str, path: str, then: Act) -> Callable[[Seen], Act | None]:
    """Give a 503 to the first request of a kind, and ``then`` to the pod's POST or DELETE."""
    rest = [UNAVAILABLE]

    def choose(request: Seen) -> Act | None:
        if (request.method, request.path) == (method, path) and rest:
            return rest.pop()
        is_last = request.method == "DELETE" or (request.method, request.path) == (
            "POST",
            f"{NAMESPACE_PATH}/pods",
        )
        return then if is_last else None

    return choose


def error_of(ask: Ask, cluster: Cluster, storage_of: StorageOf) -> OperationTimeoutError:
    """Give the error of a call that gets stuck, without the server's address in it."""
    with Villain(cluster) as villain:
        storage = storage_of(villain)
        with pytest.raises(OperationTimeoutError) as caught:
            ask(storage, timeout_of(0.5))
        assert caught.value.last is not None
        caught.value.last = caught.value.last.replace(villain.url, "H")
    return caught.value


CALLS = pytest.mark.parametrize(
    ("ask", "first", "silent"),
    [
        (create, ("POST", "/api/v1/namespaces"), "POST Pod lab-jovyan/lab"),
        (create, ("POST", f"{NAMESPACE_PATH}/secrets"), "POST Pod lab-jovyan/lab"),
        (delete_pod, ("GET", POD_PATH), "DELETE Pod lab-jovyan/lab"),
    ],
)


@CALLS
def test_failure_that_was_overcome_is_not_reported(
    ask: Ask, first: tuple[str, str], silent: str, storage_of: StorageOf
) -> None:
    """Where a later request goes silent, that is what the time was lost for."""
    cluster = Cluster(before=once(*first, silence))
    cluster.put(POD_PATH, PENDING) if ask is delete_pod else None
    error = error_of(ask, cluster, storage_of)

    assert f"no answer from H to {silent}" == error.last
    assert error.__cause__ is None
    assert error.__suppress_context__


@CALLS
def test_failure_that_is_not_over_is_reported(
    ask: Ask, first: tuple[str, str], silent: str, storage_of: StorageOf
) -> None:
    """The newest counts, and its error is the cause."""
    overload = status(500, "InternalError", "no quorum")
    cluster = Cluster(before=once(*first, overload))
    cluster.put(POD_PATH, PENDING) if ask is delete_pod else None
    error = error_of(ask, cluster, storage_of)

    assert "500 InternalError: no quorum" == error.last
    assert isinstance(error.__cause__, KubernetesError)
    assert (500, "Pod") == (error.__cause__.status, error.__cause__.kind)


def test_silence_is_reported_with_its_request(storage_of: StorageOf) -> None:
    """Without a failure, and without the machinery of another library as its cause."""
    with Villain(silence) as villain:
        storage = storage_of(villain)
        with pytest.raises(OperationTimeoutError) as caught:
            storage.read_pod_phase(NAMES, timeout_of(0.3))

        assert f"no answer from {villain.url} to GET Pod lab-jovyan/lab" == caught.value.last
    assert caught.value.__cause__ is None


def test_failure_of_a_refused_watch_is_over(storage_of: StorageOf) -> None:
    """What may not be watched is not waited for, whatever went wrong before it was refused."""
    accounts = f"{NAMESPACE_PATH}/serviceaccounts"
    acts = [status(403, "Forbidden", "no"), UNAVAILABLE]

    def choose(request: Seen) -> Act | None:
        if request.path == accounts:
            return acts.pop() if len(acts) > 1 else acts[0]
        is_pod = (request.method, request.path) == ("POST", f"{NAMESPACE_PATH}/pods")
        return silence if is_pod else None

    error = error_of(create, Cluster(before=choose), storage_of)

    assert "no answer from H to POST Pod lab-jovyan/lab" == error.last


def test_wait_that_is_done_is_not_reported(storage_of: StorageOf) -> None:
    """The ServiceAccount was late, and came; then the pod's creation went silent."""
    account = {"metadata": {"name": "default", "uid": "sa", "resourceVersion": "1"}}
    accounts = f"{NAMESPACE_PATH}/serviceaccounts"

    def choose(request: Seen) -> Act | None:
        if request.path == accounts and not request.is_watch:
            return json_answer({"metadata": {"resourceVersion": "1"}, "items": [account]})
        is_pod = (request.method, request.path) == ("POST", f"{NAMESPACE_PATH}/pods")
        return silence if is_pod else None

    error = error_of(create, Cluster(before=choose), storage_of)

    assert "no answer from H to POST Pod lab-jovyan/lab" == error.last

"""What calls cost in requests, connections, threads and models. Times are for ``benchmarks``."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from kubernetes.client import ApiClient

from lab_storage import LabStorage, OperationCancelledError, PodPhase, Timeout
from lab_storage._manifests import decode as decoding
from lab_storage._manifests.schema import model_of
from tests.support.fixtures import StorageOf
from tests.support.labs import lab_of, names_of, timeout_of
from tests.support.villain import Cluster, Seen, Villain, json_answer
from tests.support.watching import PATIENCE_SECONDS, pod

CALLS = 20
NAMES = names_of()
POD_PATH = f"/api/v1/namespaces/{NAMES.namespace}/pods/lab"

Models = Counter[str]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Models:
    """Count the models that are built: by this library, and by the client's own means."""
    built: Models = Counter()

    def count(kind: Any) -> Any:
        built[kind.name] += 1
        return model_of(kind)

    def count_all(*_: Any, **__: Any) -> None:
        built["of the client"] += 1

    monkeypatch.setattr(decoding, "model_of", count)
    monkeypatch.setattr(ApiClient, "deserialize", count_all)
    return built


def a_timeout() -> Timeout:
    """Give a call all the time that it needs."""
    return timeout_of(PATIENCE_SECONDS)


def what_was_asked(requests: list[Seen]) -> Counter[str]:
    """Count requests by what they are."""
    return Counter("watch" if each.is_watch else each.method for each in requests)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_phases_take_a_request_each_on_one_connection(
    storage_of: StorageOf, models: Models, tls: bool
) -> None:
    """And no model, whatever the pod is."""
    with Villain(json_answer(pod(phase="Running")), tls=tls) as villain:
        storage = storage_of(villain)
        phases = {storage.read_pod_phase(NAMES, a_timeout()) for _ in range(CALLS)}
        assert {PodPhase.RUNNING} == phases
        assert {"GET": CALLS} == what_was_asked(villain.requests)
        assert 1 == villain.connections
    assert {} == models


def test_page_of_namespaces_takes_a_request_and_no_model(
    storage_of: StorageOf, models: Models
) -> None:
    """All pages come on one connection."""
    pages = [
        {
            "kind": "Table",
            "metadata": {"continue": token},
            "columnDefinitions": [{"name": "Name"}],
            "rows": [{"cells": [f"lab-{page}-{number}"]} for number in range(2000)],
        }
        for page, token in enumerate(["a", "b", ""])
    ]
    with Villain(*map(json_answer, pages)) as villain:
        names = storage_of(villain).list_namespaces("lab-", a_timeout())
        assert 6000 == len(names)
        assert [None, "a", "b"] == [each.query.get("continue") for each in villain.requests]
        assert 1 == villain.connections
    assert {} == models


def test_lab_takes_a_request_an_object_and_a_look_at_each_controller(
    storage_of: StorageOf,
) -> None:
    """One POST each, and a list of the ServiceAccounts and of the quotas, where all is in time."""
    lab = lab_of()
    count = len(lab.to_manifests())
    with Villain(Cluster()) as villain:
        storage_of(villain).create(lab, a_timeout())
        assert {"POST": count, "GET": 2} == what_was_asked(villain.requests)
        lists = [each.path.rsplit("/", 1)[1] for each in villain.requests if each.method == "GET"]
        assert ["resourcequotas", "serviceaccounts"] == sorted(lists)
        # The namespace and the pod are alone.
        assert villain.connections <= count - 1


def test_second_lab_opens_no_connection_that_the_first_has_left(storage_of: StorageOf) -> None:
    """Connections are kept, as many as were in use at once."""
    lab, next_lab = lab_of("jovyan"), lab_of("titan")
    count = len(lab.to_manifests())
    with Villain(Cluster()) as villain:
        storage = storage_of(villain)
        storage.create(lab, a_timeout())
        storage.create(next_lab, a_timeout())
        assert villain.connections <= count - 1


def test_threads_that_make_a_lab_are_gone_with_it(storage_of: StorageOf) -> None:
    """None waits for the next call."""
    with Villain(Cluster()) as villain:
        storage_of(villain).create(lab_of(), a_timeout())
        assert [] == threads_of_the_library()


def test_state_of_a_lab_takes_three_requests_and_three_models(
    storage_of: StorageOf, models: Models
) -> None:
    """One of each, side by side."""
    cluster = Cluster()
    namespace = f"/api/v1/namespaces/{NAMES.namespace}"
    cluster.put(f"{namespace}/configmaps/{NAMES.env_config_map}", {"kind": "ConfigMap"})
    cluster.put(f"{namespace}/resourcequotas/{NAMES.quota}", {"kind": "ResourceQuota"})
    spec = {"containers": [{"name": "notebook"}]}
    cluster.put(f"{namespace}/pods/{NAMES.pod}", {"kind": "Pod", "spec": spec})
    with Villain(cluster) as villain:
        assert storage_of(villain).read_lab_objects(NAMES, a_timeout()) is not None
        assert {"GET": 3} == what_was_asked(villain.requests)
        assert villain.connections <= 3
    assert {"ConfigMap": 1, "ResourceQuota": 1, "Pod": 1} == models


def test_waits_take_a_connection_each_and_no_thread(storage_of: StorageOf, models: Models) -> None:
    """A list, then a watch on the same connection; the thread is the caller's."""
    cluster = Cluster()
    cluster.put(POD_PATH, {"kind": "Pod", "status": {"phase": "Pending"}})
    with Villain(cluster) as villain:
        storage, timeout = storage_of(villain), a_timeout()
        callers = in_threads(CALLS, lambda: wait(storage, timeout))
        villain.wait_for_requests(2 * CALLS)
        assert [] == threads_of_the_library()
        assert {"GET": CALLS, "watch": CALLS} == what_was_asked(villain.requests)
        assert villain.connections <= CALLS
        timeout.cancel()
        for caller in callers:
            caller.join(PATIENCE_SECONDS)
    assert {} == models


def wait(storage: LabStorage, timeout: Timeout) -> None:
    """Wait for the pod's start until somebody cancels."""
    with suppress(OperationCancelledError):
        storage.wait_for_pod_start("lab", NAMES.namespace, timeout)


def threads_of_the_library() -> list[str]:
    """Give the names of those that are not the callers' own."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("lab_storage")]


def in_threads(count: int, run: Callable[[], None]) -> list[threading.Thread]:
    """Start that many threads."""
    threads = [threading.Thread(target=run, name=f"caller-{number}") for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_making_a_storage_costs_nothing_until_it_is_used(storage_of: StorageOf) -> None:
    """No connection, and no thread."""
    with Villain(json_answer(pod())) as villain:
        for _ in range(CALLS):
            storage_of(villain)
        assert (0, []) == (villain.connections, threads_of_the_library())

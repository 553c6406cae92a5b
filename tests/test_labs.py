"""What `create` waits for, and what a lab is read back from."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from kubernetes import client

from lab_storage import KubernetesError, LabObjects, OperationTimeoutError
from tests.support.fixtures import StorageOf
from tests.support.labs import lab_of, names_of, timeout_of
from tests.support.pauses import SetPauses
from tests.support.villain import Act, Cluster, Seen, Villain, status, stream
from tests.support.watching import NAMESPACE, PATIENCE_SECONDS, Json, line, listed, shapes

#: All but the namespace and the pod.
OTHERS = len(lab_of().to_manifests()) - 2
LATE_ACCOUNT = 'pods "lab" is forbidden: error looking up service account lab-jovyan/default'
LIMITS = {"limits.cpu": "9", "limits.memory": "27Gi"}

Hook = Callable[[Seen], "Act | None"]


def account(name: str = "default") -> Json:
    """Give a ServiceAccount."""
    return {"metadata": {"name": name, "uid": "s1", "resourceVersion": "11"}}


def quota(version: int, hard: Any) -> Json:
    """Give the quota with what its controller has noted."""
    metadata = {"name": "lab-quota", "uid": "q1", "resourceVersion": str(version)}
    return {"metadata": metadata, "status": {"hard": hard}}


def answers(plural: str, listing: Act, watch: Act) -> Hook:
    """Answer lists and watches of one resource."""

    def before(request: Seen) -> Act | None:
        if request.method != "GET" or not request.path.endswith(f"/{plural}"):
            return None
        return watch if request.is_watch else listing

    return before


def asked(villain: Villain, plural: str) -> list[Seen]:
    """Give the lists and watches of one resource."""
    return [
        request
        for request in villain.requests
        if request.method == "GET" and request.path.endswith(f"/{plural}")
    ]


def create(storage: Any, seconds: float = PATIENCE_SECONDS, lab: LabObjects | None = None) -> None:
    """Create the lab of the example."""
    storage.create(lab or lab_of(), timeout_of(seconds))


def is_pod(request: Seen) -> bool:
    """Whether a pod is to be created."""
    return request.method == "POST" and request.path.endswith("/pods")


def test_service_account_is_watched_for_while_the_others_are_made(storage_of: StorageOf) -> None:
    """It comes once all others are there, and the pod is asked for once, after it."""
    others_are_made = threading.Event()
    watch = stream(others_are_made, line("ADDED", account()))

    def after(request: Seen) -> Act | None:
        if len(cluster.created) >= OTHERS + 2:  # with the namespace and its account
            others_are_made.set()
        return None

    cluster = Cluster(answers("serviceaccounts", listed(), watch), after)
    with Villain(cluster) as villain:
        create(storage_of(villain))
        asked_for = asked(villain, "serviceaccounts")
        assert ["list", 10] == shapes(asked_for)
        assert {"metadata.name=default"} == {each.query["fieldSelector"] for each in asked_for}
        assert [False] * (len(villain.requests) - 1) + [True] == [
            is_pod(request) for request in villain.requests
        ]


def test_service_account_that_never_comes_is_named_by_the_timeout(storage_of: StorageOf) -> None:
    """It is watched for, not polled, and the pod is not asked for in vain."""
    cluster = Cluster(answers("serviceaccounts", listed(), stream()))
    with Villain(cluster) as villain:
        with pytest.raises(OperationTimeoutError) as caught:
            create(storage_of(villain), 0.7)
        assert "ServiceAccount lab-jovyan/default does not exist yet" == caught.value.last
        assert ["list", 10] == shapes(asked(villain, "serviceaccounts"))
        assert not any(is_pod(request) for request in villain.requests)


def test_timeout_names_what_is_missing_and_not_what_has_gone_well_since(
    storage_of: StorageOf,
) -> None:
    """Another object that was refused at first is not the reason."""
    watching = threading.Event()
    account_answers = answers("serviceaccounts", listed(), stream())
    refused: list[str] = []

    def before(request: Seen) -> Act | None:
        if request.is_watch:
            watching.set()
        if request.path.endswith("/configmaps") and request.method == "POST" and not refused:
            watching.wait(PATIENCE_SECONDS)
            refused.append(request.path)
            return status(503, "ServiceUnavailable")
        return account_answers(request)

    with Villain(Cluster(before)) as villain:
        with pytest.raises(OperationTimeoutError) as caught:
            create(storage_of(villain), 1.0)
        assert "ServiceAccount lab-jovyan/default does not exist yet" == caught.value.last
        assert refused


@pytest.mark.parametrize("code", [403, 404, 405])
def test_who_may_not_watch_service_accounts_may_create_labs(
    storage_of: StorageOf, set_pauses: SetPauses, code: int
) -> None:
    """Then the pod is tried until it is not refused for that any more."""
    set_pauses(0.0)
    refusals = [status(403, "Forbidden", LATE_ACCOUNT)] * 2
    accounts = answers("serviceaccounts", status(code, "Because"), stream())

    def before(request: Seen) -> Act | None:
        return refusals.pop() if is_pod(request) and refusals else accounts(request)

    with Villain(Cluster(before)) as villain:
        create(storage_of(villain))
        assert 3 == sum(map(is_pod, villain.requests))


def test_service_account_of_the_pod_is_the_one_that_is_awaited(storage_of: StorageOf) -> None:
    """It need not be the default one."""
    lab = lab_of()
    spec = client.V1PodSpec(
        service_account_name="student",
        containers=[client.V1Container(name="notebook", image="notebook:1")],
    )
    pod = client.V1Pod(metadata=client.V1ObjectMeta(name="lab"), spec=spec)
    cluster = Cluster(answers("serviceaccounts", listed(account("student")), stream()))
    with Villain(cluster) as villain:
        create(storage_of(villain), lab=attrs.evolve(lab, pod=pod))
        (request,) = asked(villain, "serviceaccounts")
        assert "metadata.name=student" == request.query["fieldSelector"]


def test_status_of_the_quota_is_watched_for(storage_of: StorageOf, lab: LabObjects) -> None:
    """Until all its limits are noted; a pod would be refused before."""
    watch = stream(
        line("MODIFIED", {**quota(11, None), "status": None}),
        line("MODIFIED", quota(12, {"limits.cpu": "9"})),
        line("MODIFIED", quota(13, LIMITS)),
    )
    cluster = Cluster(answers("resourcequotas", listed(quota(5, None)), watch))
    with Villain(cluster) as villain:
        create(storage_of(villain), lab=lab)
        asked_for = asked(villain, "resourcequotas")
        assert ["list", 10] == shapes(asked_for)
        assert "metadata.name=lab-quota" == asked_for[0].query["fieldSelector"]
        assert [is_pod(request) for request in villain.requests].index(True) > max(
            map(villain.requests.index, asked_for)
        )


@pytest.mark.parametrize("hard", [None, {"limits.cpu": "9"}])
def test_quota_whose_status_never_comes_is_named_by_the_timeout(
    storage_of: StorageOf, hard: Any, lab: LabObjects
) -> None:
    """Also where it has noted some limits and not all."""
    with Villain(Cluster(answers("resourcequotas", listed(quota(5, hard)), stream()))) as villain:
        with pytest.raises(OperationTimeoutError) as caught:
            create(storage_of(villain), 0.7, lab)
        assert "the status of ResourceQuota lab-jovyan/lab-quota is not known yet" == (
            caught.value.last
        )
        assert not any(is_pod(request) for request in villain.requests)


def test_lab_without_a_quota_waits_for_none(storage_of: StorageOf, lab: LabObjects) -> None:
    """Nobody asks for what the lab has not."""
    with Villain(Cluster()) as villain:
        create(storage_of(villain), lab=attrs.evolve(lab, quota=None))
        assert [] == asked(villain, "resourcequotas")


def test_failure_of_an_object_ends_the_waits(storage_of: StorageOf, lab: LabObjects) -> None:
    """A lab that cannot be is not waited for to the deadline."""
    accounts = answers("serviceaccounts", listed(), stream())

    def before(request: Seen) -> Act | None:
        if request.method == "POST" and request.path.endswith("/services"):
            return status(422, "Invalid")
        return accounts(request)

    with Villain(Cluster(before)) as villain:
        with pytest.raises(KubernetesError) as caught:
            create(storage_of(villain), lab=lab)
        assert (422, "Service") == (caught.value.status, caught.value.kind)


@pytest.mark.parametrize(
    ("missing", "is_there", "has_quota"),
    [
        (None, True, True),
        ("resourcequotas/lab-quota", True, False),
        ("configmaps/lab-env", False, None),
        ("pods/lab", False, None),
        ("", False, None),
    ],
)
def test_lab_is_read_back_whole_or_not_at_all(
    storage_of: StorageOf,
    missing: str | None,
    is_there: bool,
    has_quota: bool | None,
    lab: LabObjects,
) -> None:
    """A missing quota is none; without the environment or the pod there is no lab."""
    cluster = Cluster()
    with Villain(cluster) as villain:
        storage = storage_of(villain)
        create(storage, lab=lab)
        gone = [path for path in cluster.objects if missing is not None and missing in path]
        for path in gone:
            del cluster.objects[path]
        asked_before = len(villain.requests)
        state = storage.read_lab_objects(names_of(), timeout_of(PATIENCE_SECONDS))
        assert 3 == len(villain.requests) - asked_before
        assert is_there == (state is not None)
        if state is not None:
            assert has_quota == (state.quota is not None)
            assert ("lab-env", "lab") == (
                state.env_config_map.metadata.name,
                state.pod.metadata.name,
            )
            assert NAMESPACE == state.pod.metadata.namespace

"""The life of a lab on a real control plane, as the role that the documentation names."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog
from kubernetes import client

from lab_storage import FAIL_FAST, KubernetesError, LabStorage, PodPhase, PodStartError
from tests.plane.remote import Cluster
from tests.support.labs import lab_of, names_of, timeout_of, without_scheduler

LABS_AT_ONCE = 20


@pytest.fixture
def storage(control_plane: Cluster, lab_role: str) -> Iterator[LabStorage]:
    """A storage that may do no more than the documented role."""
    with (
        control_plane.api_client("lab") as api_client,
        LabStorage(api_client, structlog.get_logger()) as storage,
    ):
        yield storage


@pytest.fixture
def user(control_plane: Cluster) -> Iterator[str]:
    """A user of this test's own. The end of the lab is not waited for: it takes 5 s and more."""
    user = f"jovyan-{secrets.token_hex(4)}"
    yield user
    discard(control_plane, [f"lab-{user}"])


def discard(control_plane: Cluster, namespaces: list[str]) -> None:
    """Have namespaces deleted, those that are there."""
    with control_plane.api_client() as admin:
        for name in namespaces:
            with contextlib.suppress(client.ApiException):
                client.CoreV1Api(admin).delete_namespace(name)


def test_lab_lives_from_create_to_delete(storage: LabStorage, user: str) -> None:
    """All nine methods, one after another, on the example lab."""
    names = names_of(user)
    messages: list[str] = []
    watched = timeout_of(120, user)

    def watch() -> None:
        messages.extend(storage.watch_pod_events("lab", names.namespace, watched))

    watcher = threading.Thread(target=watch)
    watcher.start()

    storage.create(lab_of(user), timeout_of(60, user))
    phase = storage.wait_for_pod_start(
        "lab", names.namespace, timeout_of(60, user), fail_fast=FAIL_FAST
    )
    assert PodPhase.RUNNING == phase
    assert PodPhase.RUNNING == storage.read_pod_phase(names, timeout_of(10, user))

    state = storage.read_lab_objects(names, timeout_of(10, user))
    assert state is not None
    assert "small" == state.env_config_map.data["CONTAINER_SIZE"]
    assert state.quota is not None
    assert {"limits.cpu": "9", "limits.memory": "27Gi"} == state.quota.spec.hard
    assert "lab" == state.pod.metadata.name

    assert [names.namespace] == storage.list_namespaces(names.namespace, timeout_of(10, user))
    assert "default" in storage.list_namespaces("", timeout_of(10, user))
    secret = storage.read_secret("lab-secrets", names.namespace, timeout_of(10, user))
    assert {"aws-credentials.ini", "token"} == set(secret.data)

    storage.delete_pod(names, timeout_of(30, user))
    assert storage.read_pod_phase(names, timeout_of(10, user)) is None
    assert storage.read_lab_objects(names, timeout_of(10, user)) is None
    storage.delete_namespace(names.namespace, timeout_of(60, user))
    assert [] == storage.list_namespaces(names.namespace, timeout_of(10, user))

    watched.cancel()
    watcher.join(5)
    assert not watcher.is_alive()
    told = [message.split()[0] for message in without_scheduler(messages)]
    started = ["Pulling", "Successfully", "Container", "Container"]
    assert started * 2 == told[:8]
    assert len(set(messages)) >= 6


def test_events_of_started_pod_come_oldest_first(storage: LabStorage, user: str) -> None:
    """Who begins to watch late hears what has happened, in the order it happened in."""
    storage.create(lab_of(user), timeout_of(60, user))
    storage.wait_for_pod_start("lab", f"lab-{user}", timeout_of(60, user))
    timeout = timeout_of(30, user)
    told = []
    for message in storage.watch_pod_events("lab", f"lab-{user}", timeout):
        told.append(message)
        if len(told) == 9:
            timeout.cancel()
    by_kubelet = without_scheduler(told)
    assert by_kubelet[0] == 'Pulling image "registry.example/provisioner:1.4.0"'
    assert by_kubelet[4] == 'Pulling image "registry.example/sciplat-lab:w_2026_46"'


@pytest.mark.parametrize(
    ("start", "container", "reason"),
    [
        ("image-pull-back-off", "notebook", "ErrImagePull"),
        ("config-error", "notebook", "CreateContainerConfigError"),
        ("init-crash", "home", "CrashLoopBackOff"),
    ],
)
def test_start_that_cannot_succeed_fails_fast(
    storage: LabStorage, user: str, start: str, container: str, reason: str
) -> None:
    """A container or init container that waits for nothing ends the wait."""
    storage.create(lab_of(user, {"lab-storage.test/start": start}), timeout_of(60, user))
    with pytest.raises(PodStartError) as error:
        storage.wait_for_pod_start(
            "lab", f"lab-{user}", timeout_of(60, user), fail_fast={reason, "Unschedulable"}
        )
    assert (container, reason) == (error.value.container, error.value.reason)


def test_pod_that_no_node_can_take_fails_fast(storage: LabStorage, user: str) -> None:
    """The scheduler's word comes from the pod's condition, without a container."""
    lab = lab_of(user)
    lab.pod.spec.node_selector = {"observatory.example/telescope": "m1"}
    storage.create(lab, timeout_of(60, user))
    with pytest.raises(PodStartError) as error:
        storage.wait_for_pod_start("lab", f"lab-{user}", timeout_of(60, user), fail_fast=FAIL_FAST)
    assert error.value.container is None
    assert "Unschedulable" == error.value.reason


@pytest.mark.parametrize(
    ("start", "phase"), [("fail", PodPhase.FAILED), ("succeed", PodPhase.SUCCEEDED)]
)
def test_pod_that_ends_has_started(
    storage: LabStorage, user: str, start: str, phase: PodPhase
) -> None:
    """A pod that has ended already is no longer waited for."""
    storage.create(lab_of(user, {"lab-storage.test/start": start}), timeout_of(60, user))
    assert phase == storage.wait_for_pod_start("lab", f"lab-{user}", timeout_of(60, user))


def test_what_exists_is_another_operations_conflict(storage: LabStorage, user: str) -> None:
    """A second create is refused, unless it is the same operation once more."""
    storage.create(lab_of(user), timeout_of(60, user), operation_id="first")
    storage.create(lab_of(user), timeout_of(60, user), operation_id="first")
    for operation_id in ("second", None):
        with pytest.raises(KubernetesError) as error:
            storage.create(lab_of(user), timeout_of(60, user), operation_id=operation_id)
        assert (409, "AlreadyExists") == (error.value.status, error.value.reason)


def test_missing_things_are_none_or_success(storage: LabStorage) -> None:
    """Nothing there is not an error, but for a Secret."""
    names = names_of("nobody")
    assert storage.read_pod_phase(names, timeout_of(10)) is None
    assert storage.read_lab_objects(names, timeout_of(10)) is None
    assert storage.wait_for_pod_start("lab", names.namespace, timeout_of(10)) is None
    storage.delete_pod(names, timeout_of(10))
    storage.delete_namespace(names.namespace, timeout_of(10))


def test_twenty_labs_start_at_once(control_plane: Cluster, storage: LabStorage) -> None:
    """Twenty threads share a storage, and each gets its lab, whole."""
    crowd = f"crowd-{secrets.token_hex(4)}"
    users = [f"{crowd}-{number:02}" for number in range(LABS_AT_ONCE)]

    def live(user: str) -> PodPhase | None:
        storage.create(lab_of(user), timeout_of(120, user))
        return storage.wait_for_pod_start("lab", f"lab-{user}", timeout_of(120, user))

    namespaces = [f"lab-{user}" for user in users]
    try:
        with ThreadPoolExecutor(LABS_AT_ONCE) as threads:
            assert [PodPhase.RUNNING] * LABS_AT_ONCE == list(threads.map(live, users))
        assert namespaces == storage.list_namespaces(f"lab-{crowd}-", timeout_of(10))
    finally:
        discard(control_plane, namespaces)

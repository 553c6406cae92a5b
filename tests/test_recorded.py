"""The nine methods' ordinary paths, on what a real API server said.

See :mod:`tests.support.recorded`. What is asserted holds for the recording and for the server
that it is made from.
"""

from __future__ import annotations

import itertools

import pytest
from structlog.testing import LogCapture

from lab_storage import FAIL_FAST, KubernetesError, MissingSecretError, PodPhase, PodStartError
from tests.support.labs import lab_of, names_of, timeout_of
from tests.support.recorded import (
    EVENTS,
    NAMES,
    OPERATION,
    RECORDINGS,
    SECONDS,
    Stage,
    recording_of,
)

KINDS = [
    "ConfigMap",
    "ConfigMap",
    "ConfigMap",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "ResourceQuota",
    "Secret",
    "Secret",
    "Service",
]
HOME = "registry.example/provisioner:1.4.0"
NOTEBOOK = "registry.example/sciplat-lab:w_2026_46"
PULLED = "in 1ms (1ms including waiting). Image size: 1048576 bytes."
MESSAGES = [
    f"Successfully assigned {NAMES.namespace}/{NAMES.pod} to lab-node",
    *itertools.chain.from_iterable(
        (
            f'Pulling image "{image}"',
            f'Successfully pulled image "{image}" {PULLED}',
            "Container created",
            "Container started",
        )
        for image in (HOME, NOTEBOOK)
    ),
]


def done(log: LogCapture, event: str) -> list[str]:
    """The kinds of object that such a line was logged for, in order."""
    return [entry["kind"] for entry in log.entries if entry["event"] == event]


def test_create_makes_every_object(stage: Stage, log: LogCapture) -> None:
    """The namespace comes first, the pod last, and each object once."""
    with stage.held("controller_manager", watches=2), stage.storage() as storage:
        storage.create(lab_of(), timeout_of(SECONDS), operation_id=OPERATION)
    first, *others, last = done(log, "Created object")
    assert ("Namespace", "Pod") == (first, last)
    assert KINDS == sorted(others)
    assert ["ResourceQuota", "ServiceAccount"] == sorted(done(log, "Object is ready"))


def test_create_may_be_repeated(stage: Stage, log: LogCapture) -> None:
    """What the operation has made before is recognised, and nothing is made again."""
    stage.has_lab()
    with stage.storage() as storage:
        storage.create(lab_of(), timeout_of(SECONDS), operation_id=OPERATION)
    assert sorted(["Namespace", "Pod", *KINDS]) == sorted(done(log, "Object was created before"))
    assert [] == done(log, "Created object")


def test_create_of_another_operation_is_refused(stage: Stage, log: LogCapture) -> None:
    """What another operation has made is a conflict, at the first object."""
    stage.has_lab()
    with stage.storage() as storage, pytest.raises(KubernetesError) as error:
        storage.create(lab_of(), timeout_of(SECONDS), operation_id="second")
    assert (409, "AlreadyExists") == (error.value.status, error.value.reason)
    assert ("Namespace", NAMES.namespace) == (error.value.kind, error.value.name)
    assert [] == done(log, "Created object")


def test_start_is_waited_for(stage: Stage) -> None:
    """The phase is given once the kubelet says that the pod runs."""
    with stage.held("kubelet", watches=1):
        stage.has_lab(started=False)
        with stage.storage() as storage:
            phase = storage.wait_for_pod_start(
                NAMES.pod, NAMES.namespace, timeout_of(SECONDS), fail_fast=FAIL_FAST
            )
    assert PodPhase.RUNNING == phase


def test_start_without_its_image_fails_fast(stage: Stage) -> None:
    """A container that waits for an image that is not there ends the wait."""
    with stage.held("kubelet", watches=1):
        stage.has_lab(annotations={"lab-storage.test/start": "image-pull-back-off"}, started=False)
        with stage.storage() as storage, pytest.raises(PodStartError) as error:
            storage.wait_for_pod_start(
                NAMES.pod, NAMES.namespace, timeout_of(SECONDS), fail_fast=FAIL_FAST
            )
    assert ("notebook", "ErrImagePull") == (error.value.container, error.value.reason)
    assert NOTEBOOK in str(error.value.message)


def test_events_come_as_they_happen(stage: Stage) -> None:
    """What the kubelet says is told, after what the scheduler said before."""
    with stage.held("kubelet", watches=1):
        stage.has_lab(started=False)
        with stage.storage() as storage:
            told = storage.watch_pod_events(NAMES.pod, NAMES.namespace, timeout_of(SECONDS))
            assert MESSAGES == list(itertools.islice(told, EVENTS))
            told.close()


def test_events_of_the_past_come_oldest_first(stage: Stage) -> None:
    """Who begins late is told what has happened, in its order."""
    stage.has_lab()
    with stage.storage() as storage:
        told = storage.watch_pod_events(NAMES.pod, NAMES.namespace, timeout_of(SECONDS))
        assert MESSAGES == list(itertools.islice(told, EVENTS))
        told.close()


def test_phase_is_read(stage: Stage) -> None:
    """A pod that runs says so."""
    stage.has_lab()
    with stage.storage() as storage:
        assert PodPhase.RUNNING == storage.read_pod_phase(NAMES, timeout_of(SECONDS))


def test_lab_is_read_back(stage: Stage) -> None:
    """Environment, quota and pod come as models, with what the server added."""
    stage.has_lab()
    with stage.storage() as storage:
        state = storage.read_lab_objects(NAMES, timeout_of(SECONDS))
    assert state is not None
    assert "small" == state.env_config_map.data["CONTAINER_SIZE"]
    assert state.quota is not None
    assert {"limits.cpu": "2", "limits.memory": "2Gi"} == state.quota.status.used
    assert "lab-node" == state.pod.spec.node_name
    assert [True] == [each.ready for each in state.pod.status.container_statuses]


def test_lab_without_its_quota_is_read_back(stage: Stage) -> None:
    """A quota that is missing is None, and the lab is whole without."""
    stage.has_lab(quota=False)
    with stage.storage() as storage:
        state = storage.read_lab_objects(NAMES, timeout_of(SECONDS))
    assert state is not None
    assert state.quota is None
    assert NAMES.pod == state.pod.metadata.name


def test_namespaces_are_listed(stage: Stage) -> None:
    """An empty prefix lists all, as the server sorts them; another, those that have it."""
    stage.has_lab(started=False)
    with stage.storage() as storage:
        every = storage.list_namespaces("", timeout_of(SECONDS))
        labs = storage.list_namespaces("lab-", timeout_of(SECONDS))
    assert {"default", "kube-system", NAMES.namespace} <= set(every)
    assert sorted(every) == every
    assert [NAMES.namespace] == labs


def test_secret_is_read(stage: Stage) -> None:
    """Its values come in base64, those that were sent as text too."""
    stage.has_lab(started=False)
    with stage.storage() as storage:
        secret = storage.read_secret("lab-secrets", NAMES.namespace, timeout_of(SECONDS))
    assert {"aws-credentials.ini", "token"} == set(secret.data)
    assert "bm90LWEtdG9rZW4=" == secret.data["token"]


def test_pod_is_deleted(stage: Stage, log: LogCapture) -> None:
    """The call returns when the kubelet has confirmed that the pod is gone."""
    stage.has_lab()
    with stage.held("kubelet", watches=1), stage.storage() as storage:
        storage.delete_pod(NAMES, timeout_of(SECONDS))
        assert storage.read_pod_phase(NAMES, timeout_of(SECONDS)) is None
    assert ["Pod"] == done(log, "Object is gone")


def test_namespace_is_deleted(stage: Stage, log: LogCapture) -> None:
    """The call returns when the namespace's controller has done its work."""
    stage.has_namespace()
    with stage.held("controller_manager", watches=1), stage.storage() as storage:
        storage.delete_namespace(NAMES.namespace, timeout_of(SECONDS))
        assert [] == storage.list_namespaces(NAMES.namespace, timeout_of(SECONDS))
    assert ["Namespace"] == done(log, "Object is gone")


def test_missing_things_are_none_or_success(stage: Stage) -> None:
    """Nothing there is not an error, but for a Secret."""
    names = names_of("nobody")
    with stage.storage() as storage:
        assert storage.read_pod_phase(names, timeout_of(SECONDS)) is None
        assert storage.read_lab_objects(names, timeout_of(SECONDS)) is None
        assert storage.wait_for_pod_start(names.pod, names.namespace, timeout_of(SECONDS)) is None
        storage.delete_pod(names, timeout_of(SECONDS))
        storage.delete_namespace(names.namespace, timeout_of(SECONDS))
        with pytest.raises(MissingSecretError) as error:
            storage.read_secret("lab-secrets", names.namespace, timeout_of(SECONDS))
    assert ("lab-secrets", names.namespace) == (error.value.name, error.value.namespace)


def test_refusal_names_who_may_not(stage: Stage) -> None:
    """What the role does not allow is final, with the server's words."""
    with stage.storage("nobody") as storage, pytest.raises(KubernetesError) as error:
        storage.read_pod_phase(NAMES, timeout_of(SECONDS))
    assert (403, "Forbidden") == (error.value.status, error.value.reason)
    assert 'User "nobody" cannot get resource "pods"' in str(error.value)


def test_each_recording_has_its_test() -> None:
    """No recording is left of a test that is no more."""
    tests = {recording_of(name) for name in globals() if name.startswith("test_")}
    assert set() == set(RECORDINGS.glob("*.yaml")) - tests

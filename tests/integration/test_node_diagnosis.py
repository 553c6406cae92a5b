"""Diagnoses of pods on a real node, as they happen, and the logs of their containers."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from kubernetes import client

from lab_storage import (
    LabObjectNames,
    LabStorage,
    OperationTimeoutError,
    PodDiagnosis,
    PodPhase,
    PodTrouble,
)
from tests.plane.node_image import IDLE
from tests.support.cluster import Namespace, eventually, has_service_account
from tests.support.labs import timeout_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plane.control_plane import ControlPlane

CRASH = "echo first line; echo last line; exit 3"


@pytest.fixture(scope="module")
def storage(real_node: ControlPlane) -> Iterator[LabStorage]:
    """A storage of the administrator's: the documented role does not let anybody read logs."""
    with (
        real_node.api_client() as api_client,
        LabStorage(api_client, structlog.get_logger()) as storage,
    ):
        yield storage


@pytest.fixture
def namespace(real_node: ControlPlane) -> Iterator[Namespace]:
    """A namespace of the test's own."""
    with real_node.api_client() as admin:
        core = client.CoreV1Api(admin)
        name = f"why-{secrets.token_hex(4)}"
        core.create_namespace({"metadata": {"name": name}})
        eventually(lambda: has_service_account(core, name))
        yield Namespace(core, name)
        core.delete_namespace(name)


def container(command: str) -> dict[str, Any]:
    """A container that runs a shell's command."""
    return {"name": "notebook", "image": IDLE, "command": ["sh", "-c", command]}


def diagnosis_of(storage: LabStorage, namespace: Namespace, **options: Any) -> PodDiagnosis:
    """Read it as soon as there is a trouble."""
    names = LabObjectNames("jovyan", namespace.name, "env", "quota", "lab")

    def read() -> PodDiagnosis | None:
        found = storage.read_pod_diagnosis(names, timeout_of(20), **options)
        return found if found is not None and found.trouble is not None else None

    found: PodDiagnosis = eventually(read)
    return found


@pytest.mark.parametrize("policy", ["Never", "Always"])
def test_a_crash_comes_with_its_log(
    storage: LabStorage, namespace: Namespace, policy: str
) -> None:
    """The log of the run that ended, be it the present or the previous one."""
    namespace.create_pod("lab", restartPolicy=policy, containers=[container(CRASH)])

    found = diagnosis_of(storage, namespace, log_lines=1)

    assert (PodTrouble.CRASH, "notebook", "Error", 3, "last line") == (
        found.trouble,
        found.container,
        found.reason,
        found.exit_code,
        found.log,
    )


def test_a_wait_says_which_volume_is_missing(storage: LabStorage, namespace: Namespace) -> None:
    """In its error, since the pod's state says ContainerCreating alone."""
    namespace.create_pod(
        "lab",
        containers=[
            {**container("sleep 60"), "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
        ],
        volumes=[{"name": "data", "secret": {"secretName": "missing"}}],
    )

    with pytest.raises(OperationTimeoutError) as caught:
        storage.wait_for_pod_start("lab", namespace.name, timeout_of(5))

    expected = (
        'the pod is Pending; Volume: FailedMount: MountVolume.SetUp failed for volume "data"'
    )
    assert (caught.value.last or "").startswith(expected)


def test_nothing_is_wrong_with_a_pod_that_runs(storage: LabStorage, namespace: Namespace) -> None:
    """Its events are there, and no log is read."""
    namespace.create_pod("lab", containers=[container("sleep 60")])
    assert PodPhase.RUNNING == storage.wait_for_pod_start("lab", namespace.name, timeout_of(30))
    names = LabObjectNames("jovyan", namespace.name, "env", "quota", "lab")

    def read() -> PodDiagnosis | None:
        found = storage.read_pod_diagnosis(names, timeout_of(20), log_lines=5)
        return found if found is not None and found.is_ready and len(found.events) > 3 else None

    found: PodDiagnosis = eventually(read)

    assert (None, None, PodPhase.RUNNING) == (found.trouble, found.log, found.phase)
    assert "Started: Container started" == found.events[-1]

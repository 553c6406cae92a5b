"""The life of a lab on a real node, where its containers run."""

from __future__ import annotations

import contextlib
import secrets
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from kubernetes import client
from kubernetes.utils.quantity import parse_quantity

from lab_storage import FAIL_FAST, LabObjects, LabStorage, PodPhase
from tests.plane.programs import NODE
from tests.statuses.case import asking, spec
from tests.support.cluster import eventually
from tests.support.labs import manifests_of, names_of, timeout_of, without_scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.plane.control_plane import ControlPlane

#: Its first group is root's, since the image knows nobody of that number.
SAID = """\
user: jovyan 0 1000 1001 2023
node: lab-node
environment: small not-a-token
secret: not-a-token
file: The archive is read-only on Tuesdays.
limit: 2
home: /home/jovyan
image: read-only
"""
PULLED = 'Container image "{}" already present on machine and can be accessed by the pod'
STARTED = ["Container created", "Container started"]


@pytest.fixture
def storage(real_node: ControlPlane, node_lab_role: str) -> Iterator[LabStorage]:
    """A storage that may do no more than the documented role."""
    with (
        real_node.api_client("lab") as api_client,
        LabStorage(api_client, structlog.get_logger()) as storage,
    ):
        yield storage


@pytest.fixture
def core(real_node: ControlPlane) -> Iterator[client.CoreV1Api]:
    """The core API, as admin."""
    with real_node.api_client() as admin:
        yield client.CoreV1Api(admin)


@pytest.fixture
def user(core: client.CoreV1Api) -> Iterator[str]:
    """A user of this test's own."""
    user = f"jovyan-{secrets.token_hex(4)}"
    yield user
    for namespace in core.list_namespace().items:
        if namespace.metadata.name == f"lab-{user}" and not namespace.metadata.deletion_timestamp:
            core.delete_namespace(f"lab-{user}")


def make_volume(core: client.CoreV1Api, user: str, folder: Path) -> None:
    """Have a folder be the volume for the claim of the lab of that user and nobody else's."""
    folder.mkdir()
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
    core.create_persistent_volume(
        {
            "metadata": {"name": user},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "1Gi"},
                "claimRef": {"name": "lab-scratch", "namespace": f"lab-{user}"},
                "local": {"path": str(folder)},
                "nodeAffinity": {
                    "required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
                },
            },
        }
    )


@pytest.fixture
def scratch(core: client.CoreV1Api, user: str, tmp_path: Path) -> Iterator[Path]:
    """A folder that is a volume for the lab of that user."""
    folder = tmp_path / "scratch"
    make_volume(core, user, folder)
    yield folder
    core.delete_persistent_volume(user)


@contextlib.contextmanager
def start_awaited(
    storage: LabStorage, core: client.CoreV1Api, user: str
) -> Iterator[list[Future[PodPhase | None]]]:
    """Waits for the start of the lab of that user, whose pod no node takes at first.

    One has a watch of its own, the other listens to the one watch for all labs.
    """
    names = names_of(user)
    timeout = timeout_of(60, user)

    def said() -> str | None:
        pod = core.read_namespaced_pod("lab", names.namespace)
        conditions = {each.type: each.reason for each in pod.status.conditions or ()}
        return conditions.get("PodScheduled")

    def wait(storage: LabStorage) -> PodPhase | None:
        return storage.wait_for_pod_start("lab", names.namespace, timeout, fail_fast=FAIL_FAST)

    with storage.live(namespace=names.namespace) as live, ThreadPoolExecutor(2) as threads:
        waits = [threads.submit(wait, each) for each in (storage, live)]
        try:
            eventually(lambda: said() == "Unschedulable")
            yield waits
        finally:
            timeout.cancel()


def lab_of(user: str, change: Callable[[dict[str, Any]], None] = lambda _: None) -> LabObjects:
    """The example as a lab of that user, with a change to the specification of the pod."""
    manifests = manifests_of(user)
    [pod] = [each for each in manifests if each["kind"] == "Pod"]
    change(pod["spec"])
    return LabObjects.from_manifests(manifests, names_of(user))


def test_lab_lives_from_create_to_delete(
    storage: LabStorage, core: client.CoreV1Api, user: str, scratch: Path
) -> None:
    """The example lab starts, finds all that it was given, saves what it has, and is gone."""
    names = names_of(user)
    storage.create(lab_of(user), timeout_of(60, user))

    started = storage.wait_for_pod_start(
        "lab", names.namespace, timeout_of(60, user), fail_fast=FAIL_FAST
    )
    assert PodPhase.RUNNING == started
    # Its server answers the readiness probe, in the network of the pod.
    eventually(
        lambda: core.read_namespaced_pod("lab", names.namespace).status.container_statuses[0].ready
    )
    assert PodPhase.RUNNING == storage.read_pod_phase(names, timeout_of(10, user))
    assert SAID == core.read_namespaced_pod_log("lab", names.namespace)
    assert "kept\n" == (scratch / "kept").read_text()

    state = storage.read_lab_objects(names, timeout_of(10, user))
    assert state is not None
    assert state.quota is not None
    assert "small" == state.env_config_map.data["CONTAINER_SIZE"]
    assert NODE == state.pod.spec.node_name
    assert {"limits.cpu": "2", "limits.memory": "2Gi"} == state.quota.status.used

    messages = []
    watched = timeout_of(60, user)
    for message in storage.watch_pod_events("lab", names.namespace, watched):
        # What a scheduler says until the controllers have bound the claim.
        if "unbound immediate PersistentVolumeClaims" not in message:
            messages.append(message)
        if len(messages) == 7:
            watched.cancel()
    provisioner, notebook = (
        "registry.example/provisioner:1.4.0",
        state.pod.spec.containers[0].image,
    )
    assert [
        PULLED.format(provisioner), *STARTED, PULLED.format(notebook), *STARTED
    ] == without_scheduler(messages)  # fmt: skip

    storage.delete_pod(names, timeout_of(30, user), grace_period=timedelta(seconds=20))
    # It was given the time that it needed, and not more than that.
    assert "saved\n" == (scratch / "saved").read_text()
    assert storage.read_pod_phase(names, timeout_of(10, user)) is None

    storage.delete_namespace(names.namespace, timeout_of(60, user))
    assert [] == storage.list_namespaces(names.namespace, timeout_of(10, user))
    volume = core.read_persistent_volume(user)
    eventually(lambda: core.read_persistent_volume(user).status.phase == "Released")
    assert "lab-scratch" == volume.spec.claim_ref.name


def test_lab_whose_volume_comes_late_starts(
    storage: LabStorage, core: client.CoreV1Api, user: str, tmp_path: Path
) -> None:
    """Until its claim has one the scheduler refuses the pod, which is no reason to give up."""
    storage.create(lab_of(user), timeout_of(60, user))
    with start_awaited(storage, core, user) as waits:
        make_volume(core, user, tmp_path / "scratch")
        try:
            assert [PodPhase.RUNNING] * 2 == [each.result() for each in waits]
        finally:
            core.delete_persistent_volume(user)


def test_lab_for_which_others_make_room_starts(
    storage: LabStorage, core: client.CoreV1Api, user: str
) -> None:
    """The scheduler refuses the pod until a placeholder has gone, as hubs have them."""

    def be_important(pod: dict[str, Any]) -> None:
        pod["priorityClassName"] = user
        [scratch] = [each for each in pod["volumes"] if "persistentVolumeClaim" in each]
        del scratch["persistentVolumeClaim"]
        scratch["emptyDir"] = {}

    free = parse_quantity(core.read_node(NODE).status.allocatable["cpu"])
    placeholder = spec(asking(cpu=f"{free - Decimal('0.3')}"), grace=3)
    scheduling = client.SchedulingV1Api(core.api_client)
    scheduling.create_priority_class({"metadata": {"name": user}, "value": 1000})
    try:
        core.create_namespaced_pod("default", {"metadata": {"name": user}, "spec": placeholder})
        eventually(lambda: core.read_namespaced_pod(user, "default").status.phase == "Running")
        storage.create(lab_of(user, be_important), timeout_of(60, user))
        with start_awaited(storage, core, user) as waits:
            assert [PodPhase.RUNNING] * 2 == [each.result() for each in waits]
    finally:
        scheduling.delete_priority_class(user)


def test_grace_that_is_too_short_ends_the_lab(
    storage: LabStorage, core: client.CoreV1Api, user: str, scratch: Path
) -> None:
    """A container that takes longer than its grace is killed."""

    def be_slow(spec: dict[str, Any]) -> None:
        slow = "trap 'echo saving >/scratch/saving; sleep 600' TERM; sleep 600 & wait"
        spec["containers"][0].update(args=["-c", f"echo up >/scratch/up; {slow}"])
        del spec["containers"][0]["readinessProbe"]

    names = names_of(user)
    storage.create(lab_of(user, be_slow), timeout_of(60, user))
    assert PodPhase.RUNNING == storage.wait_for_pod_start(
        "lab", names.namespace, timeout_of(60, user)
    )
    eventually((scratch / "up").exists)

    storage.delete_pod(names, timeout_of(30, user), grace_period=timedelta(seconds=1))

    assert (scratch / "saving").exists()
    assert storage.read_pod_phase(names, timeout_of(10, user)) is None


def test_lab_that_takes_too_much_memory_is_killed(
    storage: LabStorage, core: client.CoreV1Api, user: str, scratch: Path
) -> None:
    """The limit is the kernel's, and the diagnosis names it."""

    def be_greedy(spec: dict[str, Any]) -> None:
        spec["restartPolicy"] = "Never"
        notebook = spec["containers"][0]
        notebook.update(args=["-c", "tail /dev/zero"])
        notebook["resources"] = {"limits": {"memory": "16Mi", "cpu": 1}}

    names = names_of(user)
    storage.create(lab_of(user, be_greedy), timeout_of(60, user))
    storage.wait_for_pod_start("lab", names.namespace, timeout_of(60, user))
    eventually(lambda: storage.read_pod_phase(names, timeout_of(10, user)) is PodPhase.FAILED)

    diagnosis = storage.read_pod_diagnosis(names, timeout_of(10, user))
    assert diagnosis is not None
    assert diagnosis.trouble is not None
    assert ("OutOfMemory", "notebook", 137) == (
        diagnosis.trouble.value,
        diagnosis.container,
        diagnosis.exit_code,
    )

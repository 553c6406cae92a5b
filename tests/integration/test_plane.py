"""The control plane that the integration tests run on does what they take for granted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from kubernetes import client, config

from lab_storage.testing._pods.courses import DELAY_ANNOTATION
from tests.plane.control_plane import ControlPlane
from tests.plane.keeper_process import ControlPlaneError
from tests.plane.programs import BINARIES, NODE, ROOT
from tests.support.cluster import Namespace, are_dead, eventually, has_service_account
from tests.support.processes import process_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STARTED = ["Pulling", "Pulled", "Created", "Started"]


@pytest.fixture
def core(control_plane: ControlPlane) -> Iterator[client.CoreV1Api]:
    """The core API, as admin."""
    with control_plane.api_client() as admin:
        yield client.CoreV1Api(admin)


@pytest.fixture
def namespace(core: client.CoreV1Api, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A new namespace in which pods may be created."""
    name = f"plane-{os.getpid()}-{time.monotonic_ns()}"
    core.create_namespace({"metadata": {"name": name}})
    eventually(lambda: has_service_account(core, name))
    yield Namespace(core, name)
    core.delete_namespace(name)


@pytest.fixture
def our_own(control_plane: ControlPlane) -> ControlPlane:
    """Skip on a cluster of others: its kubelets know no behaviours."""
    assert control_plane.stand_in_kubelet
    return control_plane


@pytest.mark.usefixtures("our_own")
class TestKubelet:
    """The stand-in node."""

    def test_pod_runs_after_the_events_of_its_start(self, namespace: Namespace) -> None:
        """A pod goes to Running, with its node and four events of a kubelet in order."""
        uid = namespace.create_pod()

        eventually(lambda: namespace.phase() == "Running")

        pod = namespace.pod()
        assert (NODE, True) == (pod.spec.node_name, pod.status.container_statuses[0].ready)
        events = namespace.events()
        assert STARTED == [event.reason for event in events]
        assert {(uid, 1, "kubelet", NODE, "spec.containers{notebook}")} == {
            (
                event.involved_object.uid,
                event.count,
                event.source.component,
                event.source.host,
                event.involved_object.field_path,
            )
            for event in events
        }
        assert all(event.first_timestamp for event in events)

    def test_init_containers_come_first(self, namespace: Namespace) -> None:
        """Init containers are through before the others start; a sidecar runs on."""
        init = [
            {"name": "copy", "image": "copy:1"},
            {"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"},
        ]
        namespace.create_pod(initContainers=init)

        eventually(lambda: namespace.phase() == "Running")

        assert [
            *(f"{reason} spec.initContainers{{copy}}" for reason in STARTED),
            *(f"{reason} spec.initContainers{{proxy}}" for reason in STARTED),
            *(f"{reason} spec.containers{{notebook}}" for reason in STARTED),
        ] == [f"{each.reason} {each.involved_object.field_path}" for each in namespace.events()]
        copy, proxy = namespace.pod().status.init_container_statuses
        assert 0 == copy.state.terminated.exit_code
        assert proxy.state.running.started_at

    @pytest.mark.parametrize(
        ("behaviour", "phase"), [("succeed", "Succeeded"), ("fail", "Failed")]
    )
    def test_pod_ends(self, namespace: Namespace, behaviour: str, phase: str) -> None:
        """A pod that is to end at once does, and was started before."""
        namespace.create_pod(behaviour=behaviour, restartPolicy="Never")

        assert phase == eventually(namespace.outcome)
        assert STARTED == namespace.reasons()

    @pytest.mark.parametrize(
        ("behaviour", "reason", "events"),
        [
            ("pending", "ContainerCreating", ["Pulling"]),
            ("config-error", "CreateContainerConfigError", ["Pulling", "Pulled", "Failed"]),
            (
                "image-pull-back-off",
                "ImagePullBackOff",
                ["Pulling", "Failed", "Failed", "Failed", "BackOff"],
            ),
            ("init-crash", "CrashLoopBackOff", [*STARTED, "Pulled", "BackOff"]),
        ],
    )
    def test_pod_stays_pending(
        self,
        namespace: Namespace,
        behaviour: str,
        reason: str,
        events: list[str],
    ) -> None:
        """A pod that is not to start waits for its reason, and the events tell of it."""
        init = [{"name": "copy", "image": "copy:1"}] if behaviour == "init-crash" else []
        namespace.create_pod(behaviour=behaviour, initContainers=init)

        eventually(lambda: namespace.waiting_reason() == reason)
        eventually(lambda: len(namespace.reasons()) == len(events))

        assert sorted(events) == sorted(namespace.reasons())
        assert "Pending" == namespace.phase()

    def test_image_pull_fails_before_it_backs_off(self, namespace: Namespace) -> None:
        """ErrImagePull is seen first, then ImagePullBackOff, while the events' counts rise."""
        seen = []
        namespace.create_pod(behaviour="image-pull-back-off")

        def look() -> bool:
            reason = namespace.waiting_reason()
            if reason and reason not in seen:
                seen.append(reason)
            return any(event.count >= 3 for event in namespace.events())

        eventually(look)

        assert ["ErrImagePull", "ImagePullBackOff"] == seen
        repeated = {each.message for each in namespace.events() if each.count > 1}
        assert {'Back-off pulling image "notebook:1"', "Error: ImagePullBackOff"} == repeated

    def test_delay_comes_before_the_start(self, namespace: Namespace) -> None:
        """A pod with a delay is Pending at least as long."""
        began = time.monotonic()
        namespace.create_pod(annotations={DELAY_ANNOTATION: "0.5"})

        eventually(lambda: namespace.phase() == "Running")

        assert time.monotonic() - began >= 0.5

    def test_pod_that_fits_no_node_is_unschedulable(self, namespace: Namespace) -> None:
        """The scheduler says so in the pod's condition."""
        namespace.create_pod(nodeSelector={"lab-storage.test/node": "none"})

        def condition() -> client.V1PodCondition | None:
            return next(iter(namespace.pod().status.conditions or ()), None)

        found = eventually(condition)
        assert ("PodScheduled", "False", "Unschedulable") == (
            found.type,
            found.status,
            found.reason,
        )

    def test_claim_without_a_volume_keeps_no_pod_from_running(self, namespace: Namespace) -> None:
        """A pod with a claim runs, though nobody makes a volume for it."""
        namespace.core.create_namespaced_persistent_volume_claim(
            namespace.name,
            {
                "metadata": {"name": "home"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            },
        )
        claim = {"claimName": "home"}
        namespace.create_pod(volumes=[{"name": "home", "persistentVolumeClaim": claim}])

        eventually(lambda: namespace.phase() == "Running")


@pytest.mark.usefixtures("our_own")
class TestDeletion:
    """How pods go."""

    def test_pod_goes_after_its_grace(self, namespace: Namespace) -> None:
        """A running pod is Failed and gone at the end of its grace, and not before."""
        namespace.create_pod()
        eventually(lambda: namespace.phase() == "Running")
        version = namespace.core.list_namespaced_pod(namespace.name).metadata.resource_version
        began = time.monotonic()

        namespace.core.delete_namespaced_pod("lab", namespace.name, grace_period_seconds=2)

        eventually(namespace.is_gone)
        assert time.monotonic() - began >= 1.9
        seen = [
            (event["type"], event["object"]["status"]["phase"])
            for event in watch(namespace.core, namespace.name, version)
        ]
        # The last deletion, with a grace of none, is a change of its own.
        expected = [("MODIFIED", "Running"), ("MODIFIED", "Failed"), ("DELETED", "Failed")]
        assert expected == list(dict.fromkeys(seen))
        assert [*STARTED, "Killing"] == namespace.reasons()

    def test_shorter_grace_counts(self, namespace: Namespace) -> None:
        """A second delete with a shorter grace ends the first one's, an hour long."""
        namespace.create_pod()
        eventually(lambda: namespace.phase() == "Running")
        namespace.core.delete_namespaced_pod("lab", namespace.name, grace_period_seconds=3600)
        assert 3600 == namespace.pod().metadata.deletion_grace_period_seconds

        namespace.core.delete_namespaced_pod("lab", namespace.name, grace_period_seconds=1)

        eventually(namespace.is_gone)

    def test_pod_that_has_not_started_goes_at_once(self, namespace: Namespace) -> None:
        """Where nothing runs, nothing needs a grace, be it of an hour."""
        namespace.create_pod(behaviour="pending")
        eventually(lambda: namespace.waiting_reason())

        namespace.core.delete_namespaced_pod("lab", namespace.name, grace_period_seconds=3600)

        eventually(namespace.is_gone)

    def test_pod_of_the_same_name_is_another(self, namespace: Namespace) -> None:
        """One made right after the first was forced away starts, and stays."""
        namespace.create_pod()
        eventually(lambda: namespace.phase() == "Running")
        namespace.core.delete_namespaced_pod("lab", namespace.name, grace_period_seconds=3600)
        namespace.core.delete_namespaced_pod("lab", namespace.name, grace_period_seconds=0)

        uid = namespace.create_pod()

        eventually(lambda: namespace.phase() == "Running")
        assert (uid, None) == (
            namespace.pod().metadata.uid,
            namespace.pod().metadata.deletion_timestamp,
        )

    def test_pod_on_a_dead_node_stays(self, our_own: ControlPlane, namespace: Namespace) -> None:
        """While the node is dead a deleted pod does not go, and afterwards it does."""
        namespace.create_pod()
        eventually(lambda: namespace.phase() == "Running")

        with our_own.pause_kubelet():
            namespace.core.delete_namespaced_pod("lab", namespace.name, grace_period_seconds=1)
            ends = namespace.pod().metadata.deletion_timestamp + timedelta(seconds=1)
            eventually(lambda: datetime.now(timezone.utc) > ends)
            assert "Running" == namespace.phase()

        eventually(namespace.is_gone)

    def test_namespace_goes_with_what_is_in_it(
        self, core: client.CoreV1Api, namespace: Namespace
    ) -> None:
        """A namespace with a running pod goes."""
        name = f"{namespace.name}-goes"
        core.create_namespace({"metadata": {"name": name}})
        eventually(lambda: has_service_account(core, name))
        doomed = Namespace(core, name)
        doomed.create_pod()
        eventually(lambda: doomed.phase() == "Running")

        core.delete_namespace(name)

        eventually(
            lambda: name not in [each.metadata.name for each in core.list_namespace().items]
        )


class TestFailures:
    """What tests do to the control plane."""

    @pytest.mark.parametrize(
        ("program", "pause"),
        [
            ("etcd", ControlPlane.pause_etcd),
            ("kube-apiserver", ControlPlane.pause_apiserver),
            ("kube-controller-manager", ControlPlane.pause_controller_manager),
            ("kubelet", ControlPlane.pause_kubelet),
        ],
    )
    def test_paused_program_is_stopped(
        self,
        our_own: ControlPlane,
        core: client.CoreV1Api,
        program: str,
        pause: Callable[[ControlPlane], contextlib.AbstractContextManager[None]],
    ) -> None:
        """It is stopped for the length of a with, an exception in it or not, and runs after."""
        with contextlib.suppress(ZeroDivisionError), pause(our_own):
            eventually(lambda: process_state(our_own.pids[program]) == "T")
            raise ZeroDivisionError
        eventually(lambda: process_state(our_own.pids[program]) != "T")

        assert core.read_namespace("default").metadata.name == "default"

    def test_late_controllers_make_no_service_account(
        self, our_own: ControlPlane, core: client.CoreV1Api, namespace: Namespace
    ) -> None:
        """In a namespace made without them a pod is refused until they are back."""
        late = Namespace(core, f"{namespace.name}-late")
        with our_own.pause_controller_manager():
            core.create_namespace({"metadata": {"name": late.name}})
            with pytest.raises(client.ApiException) as caught:
                late.create_pod()
        assert 403 == caught.value.status
        assert "error looking up service account" in str(caught.value.body)

        eventually(lambda: has_service_account(core, late.name))
        late.create_pod()
        core.delete_namespace(late.name)

    def test_killed_apiserver_refuses_and_comes_back_with_its_state(
        self, our_own: ControlPlane, namespace: Namespace
    ) -> None:
        """Objects and address outlive kube-apiserver, and pods start as before."""
        uid = namespace.create_pod()
        host, pid = our_own.host, our_own.pids["kube-apiserver"]

        our_own.kill_apiserver()
        assert "" == process_state(pid)
        with pytest.raises(urllib3.exceptions.NewConnectionError):
            urllib3.request("GET", host, retries=False)
        our_own.start_apiserver()

        assert (host, uid) == (our_own.host, namespace.pod().metadata.uid)
        namespace.create_pod("next")
        eventually(lambda: namespace.phase("next") == "Running")

    def test_starts_outlive_the_apiserver(
        self, our_own: ControlPlane, namespace: Namespace
    ) -> None:
        """Of 30 pods that start while it is killed, each runs, with each event once."""
        names = [f"lab-{number}" for number in range(30)]
        for name in names:
            namespace.create_pod(name)

        our_own.kill_apiserver()
        our_own.start_apiserver()

        eventually(lambda: {"Running"} == {namespace.phase(name) for name in names})
        expected = {name: sorted(STARTED) for name in names}
        assert expected == {name: sorted(namespace.reasons(name)) for name in names}

    def test_expired_versions_are_gone(self, our_own: ControlPlane, namespace: Namespace) -> None:
        """A watch and a list from before are answered by 410, each in its way."""
        core = namespace.core
        version = core.list_namespaced_pod(namespace.name).metadata.resource_version
        for name in ("one", "two"):
            core.create_namespaced_config_map(namespace.name, {"metadata": {"name": name}})
        page = core.list_namespaced_config_map(namespace.name, limit=1)
        our_own.expire_versions()

        [event] = watch(core, namespace.name, version)
        with pytest.raises(client.ApiException) as caught:
            core.list_namespaced_config_map(
                namespace.name, limit=1, _continue=page.metadata._continue
            )

        assert ("ERROR", 410) == (event["type"], event["object"]["code"])
        assert 410 == caught.value.status

    def test_compaction_alone_is_not_seen_by_watches(
        self, our_own: ControlPlane, namespace: Namespace
    ) -> None:
        """A watch from a compacted version still gets all that happened since."""
        core = namespace.core
        version = core.list_namespaced_pod(namespace.name).metadata.resource_version
        namespace.create_pod(nodeSelector={"lab-storage.test/node": "none"})

        assert our_own.compact() > int(version)

        assert "ADDED" == watch(core, namespace.name, version)[0]["type"]


def watch(core: client.CoreV1Api, namespace: str, version: str) -> list[dict[str, Any]]:
    """What a watch of pods says within a second."""
    answer = core.list_namespaced_pod(
        namespace,
        watch=True,
        resource_version=version,
        timeout_seconds=1,
        _preload_content=False,
    )
    return [json.loads(line) for line in answer.data.splitlines()]


class TestUsers:
    """Who may do what."""

    @pytest.mark.usefixtures("lab_role")
    def test_lab_may_what_its_role_says_and_no_more(self, control_plane: ControlPlane) -> None:
        """The user of the documented role lists namespaces, and may not list nodes."""
        with control_plane.api_client("lab") as lab:
            core = client.CoreV1Api(lab)
            assert "default" in [each.metadata.name for each in core.list_namespace().items]
            with pytest.raises(client.ApiException) as caught:
                core.list_node()
        assert 403 == caught.value.status

    def test_nobody_may_nothing(self, control_plane: ControlPlane) -> None:
        """A user without a role is known, and refused."""
        with (
            control_plane.api_client("nobody") as nobody,
            pytest.raises(client.ApiException) as caught,
        ):
            client.CoreV1Api(nobody).list_namespace()
        assert 403 == caught.value.status
        assert "nobody" in json.loads(caught.value.body)["message"]

    def test_client_is_configured_as_told(self, control_plane: ControlPlane) -> None:
        """Attributes given are set on a configuration that no other client shares."""
        with control_plane.api_client(retries=7) as one, control_plane.api_client() as other:
            assert 7 == one.configuration.retries
            assert 7 != other.configuration.retries

    def test_kubeconfig_logs_in(self, our_own: ControlPlane) -> None:
        """The file of a user serves a client that knows nothing else."""
        path = our_own.kubeconfig("admin")
        with config.new_client_from_config(str(path)) as admin:
            assert client.CoreV1Api(admin).read_namespace("default").metadata.uid
        assert 0o600 == path.stat().st_mode & 0o777


class TestLife:
    """That nothing is left behind, however it ends."""

    def test_nothing_is_left_after_the_end(self, our_own: ControlPlane) -> None:
        """All its processes and its folder are gone once it is closed, and may be again."""
        with ControlPlane(our_own.assets) as plane:
            pids, folder = plane.pids, plane.folder
            assert {"keeper", "kubelet", *BINARIES} == set(pids)
            assert not are_dead({"one": pids["kube-apiserver"]})
            with plane.pause_etcd():
                plane.close()

        assert are_dead(pids)
        assert not folder.exists()
        plane.close()

    def test_start_that_fails_half_way_cleans_up(
        self, our_own: ControlPlane, tmp_path: Path
    ) -> None:
        """A program that dies at the start is named with its last words, and all ends."""
        for name in BINARIES:
            (tmp_path / name).symlink_to(our_own.assets / name)
        broken = tmp_path / "kube-controller-manager"
        broken.unlink()
        broken.write_text("#!/bin/sh\necho out of order\nexit 3\n")
        broken.chmod(0o755)
        plane = ControlPlane(tmp_path)

        with pytest.raises(ControlPlaneError) as caught:
            plane.start()

        assert "kube-controller-manager has ended with status 3\nout of order" == str(caught.value)
        assert are_dead(plane.pids)
        assert not plane.folder.exists()

    def test_missing_program_is_named(self, tmp_path: Path) -> None:
        """A folder without the binaries is an error that names the first one."""
        with pytest.raises(ControlPlaneError, match=r"start etcd: FileNotFoundError: .*/etcd'"):
            ControlPlane(tmp_path).start()

    @pytest.mark.parametrize("forked", [False, True])
    def test_nothing_outlives_a_killed_parent(self, our_own: ControlPlane, forked: bool) -> None:
        """After a SIGKILL of its process all ends, also where a forked child lives on."""
        with subprocess.Popen(
            [sys.executable, "-c", _PARENT, str(our_own.assets), str(int(forked))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        ) as parent:
            assert parent.stdout is not None
            child, folder, pids = json.loads(parent.stdout.readline())
            try:
                assert not are_dead(pids)

                parent.kill()

                eventually(lambda: are_dead(pids))
                eventually(lambda: not Path(folder).exists())
            finally:
                if child:
                    os.kill(child, signal.SIGKILL)

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends them then")
    def test_nothing_runs_on_after_a_killed_keeper(self, our_own: ControlPlane) -> None:
        """Where the keeper is killed, its programs are too, and that is told."""
        with ControlPlane(our_own.assets) as plane:
            os.kill(plane.pids["keeper"], signal.SIGKILL)

            eventually(lambda: are_dead(plane.pids))
            with pytest.raises(ControlPlaneError, match="the keeper of the control plane is gone"):
                plane.kill_apiserver()


_PARENT = """
import json, os, sys, time
from pathlib import Path
from tests.plane.control_plane import ControlPlane

with ControlPlane(Path(sys.argv[1])) as plane:
    child = os.fork() if int(sys.argv[2]) else 0
    if child or not int(sys.argv[2]):
        print(json.dumps([child, str(plane.folder), plane.pids]), flush=True)
    time.sleep(600)
"""

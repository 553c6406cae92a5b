"""The real node runs what it is told, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from kubernetes import client

from tests.plane import enclosure
from tests.plane import node as node_module
from tests.plane.control_plane import ControlPlane
from tests.plane.enclosure import CGROUPS, PREFIX
from tests.plane.keeper_process import descendants
from tests.plane.node_image import IDLE
from tests.plane.programs import NODE, ROOT
from tests.support.cluster import Namespace, eventually, has_service_account
from tests.support.processes import process_state

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = "mkdir /www; echo I run >/www/index.html; httpd -f -p 8888 -h /www"


def container(command: str, **fields: Any) -> dict[str, Any]:
    """A container that runs a shell's command."""
    return {"name": "notebook", "image": IDLE, "command": ["sh", "-c", command], **fields}


def namespace_on(plane: ControlPlane, admin: client.ApiClient, name: str) -> Namespace:
    """A new namespace in which pods may be created."""
    core = client.CoreV1Api(admin)
    core.create_namespace({"metadata": {"name": name}})
    eventually(lambda: has_service_account(core, name))
    return Namespace(core, name)


@pytest.fixture(scope="module")
def namespace(real_node: ControlPlane) -> Iterator[Namespace]:
    """A namespace on the node that all share."""
    with real_node.api_client() as admin:
        made = namespace_on(real_node, admin, "node")
        yield made
        made.core.delete_namespace(made.name)


class TestPods:
    """What the stand-in cannot do."""

    def test_pod_is_reached_from_the_host(self, namespace: Namespace) -> None:
        """A server in a container answers a client on the host, and its log can be read."""
        namespace.create_pod("server", containers=[container(f"echo ready; {SERVER}")])
        assert "Running" == eventually(lambda: namespace.outcome("server"))
        address = namespace.pod("server").status.pod_ip

        def ask() -> bytes | None:
            try:
                return urllib3.request("GET", f"http://{address}:8888/", retries=False).data
            except urllib3.exceptions.HTTPError:
                return None

        assert b"I run\n" == eventually(ask)
        log = namespace.core.read_namespaced_pod_log("server", namespace.name)
        assert "ready\n" == log

    def test_host_is_reached_from_a_pod(
        self, real_node: ControlPlane, namespace: Namespace, tmp_path: Path
    ) -> None:
        """What listens on the node's address is reached, and a folder of the host is there."""
        (tmp_path / "index.html").write_text("I am the host")
        address = real_node.node.address
        server = [sys.executable, "-m", "http.server", "--bind", address, "8000"]
        with subprocess.Popen(server, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
            try:
                fetch = (
                    f"until wget -q -O /host/fetched http://{address}:8000/; do sleep 0.1; done"
                )
                namespace.create_pod(
                    "client",
                    restartPolicy="Never",
                    containers=[
                        container(fetch, volumeMounts=[{"name": "host", "mountPath": "/host"}])
                    ],
                    volumes=[{"name": "host", "hostPath": {"path": str(tmp_path)}}],
                )
                assert "Succeeded" == eventually(
                    lambda: (
                        namespace.outcome("client") not in (None, "Running")
                        and namespace.outcome("client")
                    )
                )
            finally:
                process.kill()
        assert "I am the host" == (tmp_path / "fetched").read_text()

    def test_killed_kubelet_leaves_its_pods_running(
        self, real_node: ControlPlane, namespace: Namespace
    ) -> None:
        """A kubelet that comes back finds its containers as they were."""
        namespace.create_pod("survivor", containers=[container("sleep 1000")])
        assert "Running" == eventually(lambda: namespace.outcome("survivor"))
        before = namespace.pod("survivor").status.container_statuses[0].container_id

        real_node.kill_kubelet()
        real_node.start_kubelet()

        namespace.create_pod("next", containers=[container("sleep 1000")])
        assert "Running" == eventually(lambda: namespace.outcome("next"))
        assert before == namespace.pod("survivor").status.container_statuses[0].container_id


@dataclass(frozen=True)
class Traces:
    """What a node has of the kernel, and what would be left of it."""

    processes: set[tuple[int, str]]
    networks: set[str]
    name: str
    interface: int

    @classmethod
    def of(cls, plane: ControlPlane) -> Traces:
        """Those of a node that runs."""
        [enclosure] = [each for each in descendants(os.getpid()) if _is_enclosure(each, plane)]
        pids = [enclosure, *descendants(enclosure)]
        networks = {_network(pid) for pid in pids} - {_network("self"), ""}
        interface = socket.if_nametoindex(f"labnode{plane.node.network.rpartition('.')[2]}")
        processes = {(pid, began) for pid in pids if (began := _began(pid))}
        return cls(processes, networks, plane.folder.name, interface)

    def left(self) -> list[str]:
        """What there still is."""
        processes = [str(pid) for pid, began in self.processes if began == _began(pid)]
        networks = [
            network
            for each in Path("/proc").glob("[0-9]*")
            if (network := _network(each.name)) in self.networks
        ]
        groups = [*CGROUPS.glob(self.name), *CGROUPS.glob(f"*/{self.name}")]
        mounts = [
            line for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if self.name in line or "lab-node" in line
        ]  # fmt: skip
        places = [
            *(Path("/sys/class/net", n) for i, n in socket.if_nameindex() if i == self.interface),
            Path(os.environ.get("TMPDIR", "/tmp"), self.name),
            *map(Path, ("/var/lib/cni", "/var/lib/kubelet", "/var/log/containers", "/run/netns")),
        ]
        rules = [line for line in _packet_filter() if "labnode" in line or "KUBE" in line]
        there = [str(each) for each in places if each.exists()]
        return [*processes, *networks, *map(str, groups), *mounts, *there, *rules]


def _is_enclosure(pid: int, plane: ControlPlane) -> bool:
    return plane.folder.name.startswith(f"{PREFIX}{pid}-")


def _began(pid: int) -> str:
    """When a process began, as text; empty when it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _network(pid: int | str) -> str:
    """The network namespace of a process; empty when it is dead."""
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""


def _packet_filter() -> list[str]:
    if not (program := shutil.which("iptables-save", path="/usr/sbin:/sbin")):
        return []
    return subprocess.run([program], stdout=subprocess.PIPE, text=True).stdout.splitlines()


class TestLife:
    """That nothing is left behind, however it ends."""

    @pytest.mark.parametrize("end", ["close", "kill keeper", "kill unshare", "kill enclosure"])
    def test_nothing_is_left(self, node_assets: Path, end: str) -> None:
        """Processes, mounts, networks and control groups go, whoever is killed."""
        with ControlPlane(node_assets, real_node=True) as plane:
            _start_pod(plane)
            traces = Traces.of(plane)
            left = traces.left()
            assert len(traces.processes) > 10
            assert len(traces.networks) == 2
            if end == "close":
                plane.close()
            else:
                _kill(plane, end)
                # The one that removes folders is dead; whoever started it does so later.
                if end == "kill enclosure":
                    eventually(lambda: not [each for each in traces.left() if each.isdigit()])
                    plane.close()
            # The kernel takes networks down a moment after their last process.
            eventually(lambda: not traces.left())

        assert any("/sys/class/net/labnode" in each for each in left)
        assert any(str(CGROUPS) in each for each in left)

    def test_nothing_outlives_a_killed_parent(self, node_assets: Path) -> None:
        """After a SIGKILL of the process of the tests all ends."""
        with subprocess.Popen(
            [sys.executable, "-c", _PARENT, str(node_assets)], cwd=ROOT, stdout=subprocess.PIPE
        ) as parent:
            assert parent.stdout is not None
            text = parent.stdout.readline()
            traces = eval(text, {"Traces": Traces})
            assert traces.left()

            parent.kill()

            eventually(lambda: not traces.left())


def _kill(plane: ControlPlane, end: str) -> None:
    keeper = plane.pids["keeper"]
    unshare = int(Path(f"/proc/{keeper}/stat").read_text().rpartition(")")[2].split()[1])
    enclosure = int(Path(f"/proc/{unshare}/stat").read_text().rpartition(")")[2].split()[1])
    victims = {"kill keeper": keeper, "kill unshare": unshare, "kill enclosure": enclosure}
    os.kill(victims[end], signal.SIGKILL)


def _start_pod(plane: ControlPlane) -> None:
    """A pod that has network, mounts, a control group and processes of its own."""
    with plane.api_client() as admin:
        namespace = namespace_on(plane, admin, "traces")
        namespace.core.create_namespaced_secret(
            namespace.name, {"metadata": {"name": "key"}, "stringData": {"a": "b"}}
        )
        namespace.create_pod(
            containers=[
                container(
                    "sleep 1000 & setsid sleep 1000",
                    volumeMounts=[{"name": "key", "mountPath": "/key"}],
                )
            ],
            volumes=[{"name": "key", "secret": {"secretName": "key"}}],
        )
        assert "Running" == eventually(namespace.outcome)


_PARENT = """
import sys, time
from pathlib import Path
from tests.integration.test_node import Traces, _start_pod
from tests.plane.control_plane import ControlPlane

with ControlPlane(Path(sys.argv[1]), real_node=True) as plane:
    _start_pod(plane)
    print(Traces.of(plane), flush=True)
    time.sleep(600)
"""


class TestLeftovers:
    """What stays where all who would remove it were killed at once."""

    def test_next_one_removes_them(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Folders and control groups of processes that are dead go, those of others stay."""
        with subprocess.Popen(["true"]) as process:
            dead = f"{PREFIX}{process.pid}-a"
        alive = f"{PREFIX}{os.getpid()}-b"
        for name in (dead, alive):
            (tmp_path / name / "etcd").mkdir(parents=True)
            (tmp_path / "cgroups" / "memory" / name / "kubepods").mkdir(parents=True)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        monkeypatch.setattr(enclosure, "CGROUPS", tmp_path / "cgroups")

        enclosure.sweep_after_the_dead()

        assert {alive, "cgroups"} == {each.name for each in tmp_path.iterdir()}
        assert [alive] == [each.name for each in (tmp_path / "cgroups" / "memory").iterdir()]

    def test_orphans_are_reaped(self, real_node: ControlPlane) -> None:
        """A process that has lost its parent becomes the keeper's, and leaves no zombie."""
        real_node.node.run("sh", "-c", "sleep 0.1 & sleep 0.1 &")

        keeper = real_node.pids["keeper"]
        eventually(
            lambda: not [each for each in descendants(keeper) if process_state(each) == "Z"]
        )


class TestWhereItCannotRun:
    """The tests that need a node say why they are skipped."""

    @pytest.mark.parametrize(
        ("attribute", "value", "reason"),
        [
            ("sys.platform", "darwin", "it needs Linux, and this is darwin"),
            ("os.geteuid", lambda: 1000, "only root can make its namespaces"),
            (
                "shutil.which",
                lambda name, **_: None if name == "runc" else f"/nowhere/{name}",
                "it needs packages that are not installed: runc",
            ),
        ],
    )
    def test_reason_is_given(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        attribute: str,
        value: Any,
        reason: str,
    ) -> None:
        """What is missing is named."""
        monkeypatch.setattr(node_module, "PLUGINS_NEEDED", ())
        module, _, name = attribute.partition(".")
        monkeypatch.setattr("os.geteuid", lambda: 0)
        monkeypatch.setattr(node_module.Path, "read_bytes", lambda _: b"")
        monkeypatch.setattr(f"{module}.{name}", value)
        assert reason == node_module.why_not(tmp_path)

    def test_node_has_its_name(self, real_node: ControlPlane) -> None:
        """It is the one node of its control plane."""
        with real_node.api_client() as admin:
            nodes = client.CoreV1Api(admin).list_node().items
        assert [NODE] == [each.metadata.name for each in nodes]

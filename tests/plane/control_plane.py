"""A Kubernetes control plane on loopback, and what tests do to it."""

from __future__ import annotations

import base64
import json
import signal
import socket
import ssl
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urllib3
from kubernetes import client

from .keeper_process import ControlPlaneError, KeeperProcess
from .node import Node
from .programs import NODE, ROOT, Layout, command, write_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

#: How long a start may take. On two idle cores the whole takes some 3 s.
START_SECONDS = 180.0
REQUEST_SECONDS = 30.0
POLL_SECONDS = 0.05
LOG_TAIL_LINES = 15
#: The command lines of what runs on a real node.
NODE_PROGRAMS = {
    "containerd": Node.containerd,
    "kubelet": Node.kubelet,
    "registry": Node.registry,
}


class ControlPlane:
    """etcd, kube-apiserver, its controllers and scheduler, and one node.

    A context manager: entered, everything is ready; left, everything is gone,
    processes and folder alike. That holds as well when the start fails half-way
    and when this process is killed: see :mod:`tests.plane.keeper`.

    All ports are on 127.0.0.1 and are held for as long as this object lives, so
    that a program that is started again gets the one it had.

    Parameters
    ----------
    assets
        The folder with the binaries.
    real_node
        Whether the node is a real one, whose containers run. Else a stand-in writes what
        a kubelet writes.
    """

    def __init__(self, assets: Path, *, real_node: bool = False) -> None:
        self._assets = assets.resolve()
        self._real_node = real_node
        self._cleanup = ExitStack()
        self._pids: dict[str, int] = {}

    # -- Life ------------------------------------------------------------------

    def __enter__(self) -> ControlPlane:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start everything, and return once a pod would run.

        Raises
        ------
        ControlPlaneError
            If a program ends, or it takes too long; with the end of its log.
        """
        try:
            self._keeper = KeeperProcess(enclosed=self._real_node)
            self._cleanup.callback(self._keeper.close)
            self._pids["keeper"] = self._keeper.pid
            self.folder = self._keeper.folder
            api, etcd, peer = self._hold_ports(3)
            self._layout = Layout(self._assets, self.folder, api, etcd, peer, self._real_node)
            self._tokens = write_files(self._layout)
            self._run("etcd")
            self.start_apiserver()
            for program in ("kube-controller-manager", "kube-scheduler"):
                self._run(program)
            if self._real_node:
                self._prepare_node()
            self._run("kubelet")
            # One shows that the controllers work, the other that pods get a node.
            self._wait_for("kube-controller-manager", self._has_service_account)
            self._wait_for("kubelet", self._has_ready_node)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End everything. May be repeated."""
        self._cleanup.close()

    @property
    def assets(self) -> Path:
        """The folder with the binaries."""
        return self._assets

    @property
    def pids(self) -> dict[str, int]:
        """The process of each program, and of the keeper of them all."""
        return dict(self._pids)

    @property
    def stand_in_kubelet(self) -> bool:
        """Whether pods do as their annotations say: on a real node they do not."""
        return not self._real_node

    @property
    def node(self) -> Node:
        """The real node, if there is one."""
        if not self._real_node:
            raise AttributeError("the node is a stand-in")
        return self._node

    # -- Ways in ---------------------------------------------------------------

    @property
    def host(self) -> str:
        """The URL of kube-apiserver."""
        return self._layout.host

    @property
    def ca_file(self) -> Path:
        """The certificate to check kube-apiserver's against."""
        return self._layout.ca_file

    def token(self, user: str) -> str:
        """The bearer token of one of :data:`tests.plane.programs.USERS`."""
        return self._tokens[user]

    def kubeconfig(self, user: str = "admin") -> Path:
        """A file for ``--kubeconfig``, with that user's token."""
        return self._layout.kubeconfig(user)

    def api_client(self, user: str = "admin", **configuration: Any) -> client.ApiClient:
        """A client of its own, with a configuration of its own, at every call.

        Parameters
        ----------
        user
            Whose token it sends.
        configuration
            Attributes to set on its ``Configuration``.
        """
        settings = client.Configuration()
        settings.host = self.host
        settings.ssl_ca_cert = str(self.ca_file)
        settings.api_key = {"authorization": f"Bearer {self.token(user)}"}
        # Clients 35 and up take one from the environment, for loopback too.
        settings.proxy = None
        for name, value in configuration.items():
            setattr(settings, name, value)
        return client.ApiClient(settings)

    # -- What tests do to it ---------------------------------------------------

    def kill_apiserver(self) -> None:
        """End kube-apiserver by SIGKILL; connections are refused then.

        Not by SIGTERM: it would wait for its open watches, ten seconds and more.
        """
        self._keeper.kill("kube-apiserver")

    def start_apiserver(self) -> None:
        """Start kube-apiserver, on its port, and return once it is ready.

        Between the opening of its port and its readiness, for some 50 ms, it
        knows no roles yet: whoever asks then gets a 403, but for ``admin``
        (its group is let through before any role is asked for). A load balancer
        that asks ``/readyz``, as those before real clusters do, hides that. A
        test whose calls run on meanwhile makes them as ``admin``.
        """
        self._run("kube-apiserver")
        self._wait_for("kube-apiserver", self._is_ready)

    def pause_etcd(self) -> AbstractContextManager[None]:
        """Stop etcd for the length of a ``with``: reads and writes hang then."""
        return self._paused("etcd")

    def pause_controller_manager(self) -> AbstractContextManager[None]:
        """Stop the controllers for the length of a ``with``.

        New namespaces get no default ServiceAccount and new quotas no status
        then, and no namespace goes.
        """
        return self._paused("kube-controller-manager")

    def pause_apiserver(self) -> AbstractContextManager[None]:
        """Stop kube-apiserver for a ``with``: connections are made, and silent."""
        return self._paused("kube-apiserver")

    def pause_kubelet(self) -> AbstractContextManager[None]:
        """Let the node be dead for the length of a ``with``.

        Its pods neither start nor go; afterwards it catches up.
        """
        return self._paused("kubelet")

    def kill_kubelet(self) -> None:
        """End the kubelet by SIGKILL. What runs on a real node goes on running."""
        self._keeper.kill("kubelet")

    def start_kubelet(self) -> None:
        """Start the kubelet again, and return at once."""
        self._run("kubelet")

    def restart_containerd(self) -> None:
        """End a real node's containerd by SIGKILL, and start it: containers run on."""
        self._keeper.kill("containerd")
        self._run("containerd")
        self._wait_for("containerd", self._node.import_images)

    def compact(self) -> int:
        """Compact etcd to a new revision, later than all known ones; it is returned.

        That alone is seen by nobody who asks kube-apiserver for recent versions:
        it answers lists and watches from a cache of its own, which holds the
        last changes of each kind. See :meth:`expire_versions`.
        """
        # A revision that is compacted to can still be read, those before cannot.
        key = base64.b64encode(b"lab-storage.test/compacted").decode()
        revision = self._etcd("kv/put", {"key": key})
        self._etcd("kv/compaction", {"revision": revision, "physical": True})
        return int(revision)

    def expire_versions(self) -> None:
        """Have every resource version that anybody knows of answered by 410.

        Compacts, kills kube-apiserver and starts it: the cache of the new one
        begins with the current revision, and etcd has no older one either. A
        watch from an older version gets an ERROR event of code 410 in a stream
        of status 200; a list continued from one gets the status 410.
        """
        self.compact()
        self.kill_apiserver()
        self.start_apiserver()

    # -- Programs --------------------------------------------------------------

    def _run(self, program: str) -> None:
        on_node = self._real_node and program in NODE_PROGRAMS
        argv = NODE_PROGRAMS[program](self._node) if on_node else command(program, self._layout)
        folder = ROOT if program == "kubelet" and self.stand_in_kubelet else self.folder
        self._pids[program] = self._keeper.start(program, argv, folder, self._layout.log(program))

    def _prepare_node(self) -> None:
        self._node = Node(self._keeper, self._layout)
        self._node.prepare()
        self._run("registry")
        self._run("containerd")
        self._wait_for("containerd", self._node.import_images)

    @contextmanager
    def _paused(self, program: str) -> Iterator[None]:
        self._keeper.signal(program, signal.SIGSTOP)
        try:
            yield
        finally:
            # Where it has ended meanwhile there is nothing to go on.
            with suppress(ControlPlaneError):
                self._keeper.signal(program, signal.SIGCONT)

    def _wait_for(self, program: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            for ended, status in self._keeper.ended().items():
                raise ControlPlaneError(
                    f"{ended} has ended with status {status}\n{self._log_tail(ended)}"
                )
            if time.monotonic() > deadline:
                late = f"{program} is not ready after {START_SECONDS:.0f} s"
                raise ControlPlaneError(f"{late}\n{self._log_tail(program)}")
            time.sleep(POLL_SECONDS)

    def _log_tail(self, program: str) -> str:
        lines = self._layout.log(program).read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:]) or "(it has said nothing)"

    def _hold_ports(self, number: int) -> list[int]:
        """Free ports that nobody else can get as long as this object lives.

        A socket that is bound and does not listen holds a port and gets no
        connections. With SO_REUSEPORT those programs of the same user that ask
        for it may listen on it all the same. A port merely found free could,
        while kube-apiserver is down, become the local one of some connection.
        """
        ports = []
        for _ in range(number):
            holder = self._cleanup.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind(("127.0.0.1", 0))
            ports.append(holder.getsockname()[1])
        return ports

    # -- Requests of its own ---------------------------------------------------

    def _get(self, path: str) -> dict[str, Any] | None:
        """What kube-apiserver has there, or None: then it is not ready."""
        if not self.ca_file.exists():
            return None
        with urllib3.PoolManager(ca_certs=str(self.ca_file), retries=False) as pool:
            try:
                response = pool.request(
                    "GET",
                    self.host + path,
                    headers={"authorization": f"Bearer {self._tokens['admin']}"},
                    timeout=REQUEST_SECONDS,
                )
            # ssl's when the certificate's file is there and not yet written.
            except (urllib3.exceptions.HTTPError, ssl.SSLError):
                return None
        if response.status != 200:
            return None
        text = response.data
        return json.loads(text) if text.startswith(b"{") else {}

    def _is_ready(self) -> bool:
        # https://kubernetes.io/docs/reference/using-api/health-checks/
        return self._get("/readyz") is not None

    def _has_service_account(self) -> bool:
        return self._get("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def _has_ready_node(self) -> bool:
        node = self._get(f"/api/v1/nodes/{NODE}")
        if node is None or node["spec"].get("taints"):
            return False
        conditions = node["status"].get("conditions") or []
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _etcd(self, method: str, body: dict[str, Any]) -> str:
        """Ask etcd by its JSON gateway, and give the revision that it answers at.

        https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/
        """
        with urllib3.PoolManager() as pool:
            response = pool.request("POST", f"{self._layout.etcd}/v3/{method}", json=body)
        if response.status != 200:
            raise ControlPlaneError(f"etcd answers {response.status}: {response.data.decode()}")
        revision: str = response.json()["header"]["revision"]
        return revision

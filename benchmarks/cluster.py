"""The server that is measured with, and what is put on it."""

from __future__ import annotations

import contextlib
import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import urllib3
import yaml

from benchmarks.libraries import NAMESPACE, POD, Json
from benchmarks.team import ROOT
from lab_storage.testing import EmbeddedServer
from tests.plane.assets import AssetsUnavailableError, find_assets
from tests.plane.control_plane import ControlPlane

POD_BYTES = 20_000
_WRITERS = 8
_LAB = ROOT / "docs" / "examples" / "lab.yaml"
# A pod that no scheduler takes stays Pending, and its phase can be written by hand.
_NOBODY = "nobody"


class Cluster:
    """A server, with requests of the harness' own.

    Attributes
    ----------
    server
        The server itself.
    title
        What it is.
    host, ca_file, token
        How to get in.
    """

    def __init__(self, server: ControlPlane | EmbeddedServer) -> None:
        self.server = server
        self.host = server.host
        self.token = server.token("admin")
        self.ca_file = str(server.ca_file) if isinstance(server, ControlPlane) else None
        self._manager = urllib3.PoolManager(ca_certs=self.ca_file, retries=False, maxsize=_WRITERS)
        version = self.request("GET", "/version")["gitVersion"] if self.ca_file else ""
        self.title = (
            f"kube-apiserver {version} with etcd, on loopback, over TLS"
            if version
            else "the embedded server of lab_storage.testing, on loopback, without TLS"
        )

    def request(self, method: str, path: str, body: Json | None = None) -> Json:
        """Make a request, and give the object that is answered."""
        kind = "merge-patch+json" if method == "PATCH" else "json"
        response = self._manager.request(
            method,
            self.host + path,
            body=None if body is None else json.dumps(body),
            headers={
                "authorization": f"Bearer {self.token}",
                "content-type": f"application/{kind}",
            },
        )
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {response.data!r}")
        answer: Json = json.loads(response.data)
        return {**answer, "_bytes": len(response.data)} if method == "GET" else answer

    def make_pod(self) -> Json:
        """Make the pod that is read: the example lab's, of `POD_BYTES` in an answer."""
        self.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        account = {"metadata": {"name": "bench"}}
        self.request("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)
        pod = manifests_of(NAMESPACE)[-1]
        pod["spec"] |= {"schedulerName": _NOBODY, "serviceAccountName": "bench"}
        container = pod["spec"]["containers"][0]
        # Real ones are that large by their environment, and by what managedFields says of it.
        container["env"] = [
            {"name": f"VARIABLE_{number}", "value": "x" * 40} for number in range(80)
        ]
        self.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod)
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{POD}"
        self.write_phase("Pending")
        missing = POD_BYTES - self.request("GET", path).pop("_bytes")
        padding = {"metadata": {"annotations": {"padding": "x" * max(0, missing)}}}
        self.request("PATCH", path, padding)
        found = self.request("GET", path)
        del found["_bytes"]
        return found

    def write_phase(self, phase: str) -> None:
        """Say what that pod does."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{POD}/status"
        self.request("PATCH", path, {"status": {"phase": phase}})

    def make_namespaces(self, prefix: str, count: int) -> None:
        """Make that many namespaces, labelled as a lab's, from several threads."""
        labels = manifests_of(NAMESPACE)[0]["metadata"]["labels"]
        with ThreadPoolExecutor(_WRITERS) as writers:
            names = (f"{prefix}-{number:05}" for number in range(count))
            bodies = ({"metadata": {"name": name, "labels": labels}} for name in names)
            made = writers.map(
                lambda body: self.request("POST", "/api/v1/namespaces", body), bodies
            )
            # Raises what went wrong.
            list(made)

    def paused_controllers(self) -> contextlib.AbstractContextManager[None]:
        """Keep controllers from work of their own, as on 5,000 new namespaces."""
        if isinstance(self.server, ControlPlane):
            return self.server.pause_controller_manager()
        return contextlib.nullcontext()


@contextlib.contextmanager
def new_cluster(*, embedded: bool = False) -> Iterator[Cluster]:
    """Start a control plane, or where there is none, the embedded server."""
    server: ControlPlane | EmbeddedServer
    try:
        server = EmbeddedServer() if embedded else ControlPlane(find_assets())
    except (AssetsUnavailableError, subprocess.CalledProcessError) as error:
        print(f"{error}; the embedded server is taken", file=sys.stderr)
        server = EmbeddedServer()
    with server:
        yield Cluster(server)


def manifests_of(namespace: str, lab: Path = _LAB) -> list[Json]:
    """Twelve manifests: the example's lab in a namespace, with one config map more; pod last."""
    text = lab.read_text().replace("lab-jovyan", namespace)
    manifests = list(yaml.safe_load_all(text))
    more = copy.deepcopy(next(each for each in manifests if each["kind"] == "ConfigMap"))
    more["metadata"]["name"] = "lab-more"
    manifests.insert(1, more)
    return manifests

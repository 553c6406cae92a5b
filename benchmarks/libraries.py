"""The clients that are compared, each doing the same work in its own way.

A class a client, imported and made in a process of its own (`benchmarks.worker`). A method is
a piece of work; a client that has nothing for it lacks the method. Each is used as its
documentation says, with what is asked for taken from its answer.
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

Json = dict[str, Any]

NAMESPACE = "bench"
POD = "lab"
PATIENCE_SECONDS = 120
_AGAIN_SECONDS = 0.01
_PENDING = ("Pending", "Unknown")


class Floor:
    """What cannot be left out: urllib3 on a connection that is kept, and `json`.

    Requests go to the pool of the host, not to a ``PoolManager``, whose search for
    that pool would be counted too.
    """

    def __init__(self, host: str, ca_file: str | None, token: str) -> None:
        self._host, self._ca_file = host, ca_file
        self._headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
        self._manager, self._pool = self._open()

    def _open(self) -> tuple[Any, Any]:
        import urllib3

        manager = urllib3.PoolManager(ca_certs=self._ca_file, retries=False)
        return manager, manager.connection_from_url(self._host)

    def _get(self, path: str, pool: Any = None, **headers: str) -> Any:
        response = (pool or self._pool).request("GET", path, headers={**self._headers, **headers})
        if response.status != 200:
            raise RuntimeError(f"GET {path}: {response.status}")
        return json.loads(response.data)

    def _post(self, path: str, body: Json) -> int:
        headers = {**self._headers, "content-type": "application/json"}
        response = self._pool.request("POST", path, body=json.dumps(body), headers=headers)
        if response.status not in (201, 403):
            raise RuntimeError(f"POST {path}: {response.status} {response.data!r}")
        return int(response.status)

    def read_pod_phase(self, namespace: str = NAMESPACE) -> str:
        pod = self._get(f"/api/v1/namespaces/{namespace}/pods/{POD}")
        return str(pod["status"]["phase"])

    def read_pod_diagnosis(self, namespace: str = NAMESPACE) -> int:
        """The pod and its events, one after another: two requests, and `json`."""
        selector = f"?fieldSelector=involvedObject.kind%3DPod%2CinvolvedObject.name%3D{POD}"
        pod = self._get(f"/api/v1/namespaces/{namespace}/pods/{POD}")
        events = self._get(f"/api/v1/namespaces/{namespace}/events{selector}")
        return len(pod["status"]) + len(events["items"])

    def list_namespaces(self, prefix: str) -> int:
        """Pages of a Table: names alone."""
        names: list[str] = []
        token = ""
        while True:
            table = self._get(
                f"/api/v1/namespaces?includeObject=None&limit=2000&continue={token}",
                accept="application/json;as=Table;v=v1;g=meta.k8s.io",
            )
            found = (row["cells"][0] for row in table["rows"])
            names += [name for name in found if name.startswith(prefix)]
            token = table["metadata"].get("continue")
            if not token:
                return len(names)

    def create(self, manifests: list[Json]) -> None:
        """One after another; the pod again until the controllers have done their part."""
        for manifest in manifests:
            path = _collection(manifest)
            while self._post(path, manifest) == 403:
                time.sleep(_AGAIN_SECONDS)

    def first_call(self) -> Iterator[None]:
        manager, pool = self._open()
        self._get(f"/api/v1/namespaces/{NAMESPACE}/pods/{POD}", pool)
        yield
        pool.close()
        manager.clear()

    def wait(self, namespace: str = NAMESPACE) -> None:
        selector = f"?fieldSelector=metadata.name%3D{POD}"
        pods = f"/api/v1/namespaces/{namespace}/pods{selector}"
        listed = self._get(pods)
        if listed["items"][0]["status"]["phase"] not in _PENDING:
            return
        version = listed["metadata"]["resourceVersion"]
        response = self._pool.request(
            "GET",
            f"{pods}&watch=true&resourceVersion={version}",
            headers=self._headers,
            preload_content=False,
        )
        rest = b""
        for segment in response.stream():
            *lines, rest = (rest + segment).split(b"\n")
            if any(
                json.loads(line)["object"]["status"]["phase"] not in _PENDING for line in lines
            ):
                break
        response.close()


class LabStorage:
    """The library that is measured."""

    def __init__(self, host: str, ca_file: str | None, token: str) -> None:
        import structlog

        from lab_storage import LabObjectNames, Timeout

        self._names_class, self._timeout_class = LabObjectNames, Timeout
        self._api_client = _api_client(host, ca_file, token)
        # As a service configures it: lines of level debug are dropped.
        self._log = structlog.wrap_logger(
            structlog.PrintLogger(), wrapper_class=structlog.make_filtering_bound_logger(40)
        ).bind()
        self._storage = self._open()

    def _open(self) -> Any:
        from lab_storage import LabStorage as Storage

        return Storage(self._api_client, self._log)

    def _timeout(self) -> Any:
        return self._timeout_class("Measuring", timedelta(seconds=PATIENCE_SECONDS))

    def _names(self, namespace: str) -> Any:
        return self._names_class("jovyan", namespace, "lab-env", "lab-quota", POD)

    def read_pod_phase(self, namespace: str = NAMESPACE) -> str:
        phase = self._storage.read_pod_phase(self._names(namespace), self._timeout())
        return str(phase.value)

    def read_pod_diagnosis(self, namespace: str = NAMESPACE) -> str:
        return str(self._storage.read_pod_diagnosis(self._names(namespace), self._timeout()))

    def list_namespaces(self, prefix: str) -> int:
        return len(self._storage.list_namespaces(prefix, self._timeout()))

    def prepare_create(self, manifests: list[Json]) -> Any:
        from lab_storage import LabObjects

        names = self._names(manifests[0]["metadata"]["name"])
        return LabObjects.from_manifests(manifests, names)

    def create(self, objects: Any) -> None:
        self._storage.create(objects, self._timeout())

    def read_lab_objects(self, namespace: str) -> None:
        if self._storage.read_lab_objects(self._names(namespace), self._timeout()) is None:
            raise RuntimeError("there is no lab")

    def first_call(self) -> Iterator[None]:
        storage = self._open()
        storage.read_pod_phase(self._names(NAMESPACE), self._timeout())
        yield
        storage.close()

    def wait(self, namespace: str = NAMESPACE) -> None:
        self._storage.wait_for_pod_start(POD, namespace, self._timeout())

    def cancelled_wait(self, settle_seconds: float) -> float:
        """Seconds from a cancel to the return of a wait."""
        import threading

        from lab_storage import OperationCancelledError

        timeout = self._timeout()
        returned: list[float] = []

        def run() -> None:
            try:
                self._storage.wait_for_pod_start(POD, NAMESPACE, timeout)
            except OperationCancelledError:
                returned.append(time.monotonic())

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(settle_seconds)
        cancelled = time.monotonic()
        timeout.cancel()
        thread.join()
        return returned[0] - cancelled


class Official:
    """The official client, in the version that is installed in this process."""

    def __init__(self, host: str, ca_file: str | None, token: str) -> None:
        from kubernetes import client

        self._make = lambda: _api_client(host, ca_file, token)
        self._api_client = self._make()
        self._core = client.CoreV1Api(self._api_client)

    def read_pod_phase(self, namespace: str = NAMESPACE) -> str:
        pod = self._core.read_namespaced_pod(name=POD, namespace=namespace)
        return str(pod.status.phase)

    def list_namespaces(self, prefix: str) -> int:
        names = [item.metadata.name for item in self._core.list_namespace().items]
        return len([name for name in names if name.startswith(prefix)])

    def read_lab_objects(self, namespace: str) -> None:
        """One after another."""
        self._core.read_namespaced_config_map(name="lab-env", namespace=namespace)
        self._core.read_namespaced_resource_quota(name="lab-quota", namespace=namespace)
        self._core.read_namespaced_pod(name=POD, namespace=namespace)

    def first_call(self) -> Iterator[None]:
        from kubernetes import client

        api_client = self._make()
        client.CoreV1Api(api_client).read_namespaced_pod(name=POD, namespace=NAMESPACE)
        yield
        api_client.rest_client.pool_manager.clear()

    def wait(self, namespace: str = NAMESPACE) -> None:
        from kubernetes import watch

        selector = {"namespace": namespace, "field_selector": f"metadata.name={POD}"}
        listed = self._core.list_namespaced_pod(**selector)
        if listed.items[0].status.phase not in _PENDING:
            return
        watcher = watch.Watch()
        version = listed.metadata.resource_version
        for event in watcher.stream(
            self._core.list_namespaced_pod, resource_version=version, **selector
        ):
            if event["object"].status.phase not in _PENDING:
                watcher.stop()


class Lightkube:
    """lightkube's synchronous client, on httpx."""

    def __init__(self, host: str, ca_file: str | None, token: str) -> None:
        import lightkube
        from lightkube.config.kubeconfig import KubeConfig
        from lightkube.resources.core_v1 import Namespace, Pod

        self._pod, self._namespace = Pod, Namespace
        self._make = lambda: lightkube.Client(
            config=KubeConfig.from_dict(_kubeconfig(host, ca_file, token))
        )
        self._client = self._make()

    def read_pod_phase(self, namespace: str = NAMESPACE) -> str:
        return str(self._client.get(self._pod, POD, namespace=namespace).status.phase)

    def list_namespaces(self, prefix: str) -> int:
        names = [item.metadata.name for item in self._client.list(self._namespace)]
        return len([name for name in names if name.startswith(prefix)])

    def first_call(self) -> Iterator[None]:
        client = self._make()
        client.get(self._pod, POD, namespace=NAMESPACE)
        yield

    def wait(self, namespace: str = NAMESPACE) -> None:
        fields = {"metadata.name": POD}
        for _, pod in self._client.watch(self._pod, namespace=namespace, fields=fields):
            if pod.status.phase not in _PENDING:
                return


class Kr8s:
    """kr8s' synchronous API, which runs its asynchronous one in a thread."""

    def __init__(self, host: str, ca_file: str | None, token: str) -> None:
        import kr8s
        from kr8s.objects import Pod

        # It warns of servers that are newer than it is.
        warnings.simplefilter("ignore")
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name, "kubeconfig")
        file.write_text(json.dumps(_kubeconfig(host, ca_file, token)))
        self._api = kr8s.api(kubeconfig=str(file))
        self._pod = Pod

    def read_pod_phase(self, namespace: str = NAMESPACE) -> str:
        return str(self._pod.get(POD, namespace=namespace, api=self._api).status.phase)

    def list_namespaces(self, prefix: str) -> int:
        names = [item.name for item in self._api.get("namespaces")]
        return len([name for name in names if name.startswith(prefix)])


LIBRARIES: dict[str, type[Any]] = {
    "floor": Floor,
    "lab_storage": LabStorage,
    "kubernetes": Official,
    "kubernetes 36": Official,
    "lightkube": Lightkube,
    "kr8s": Kr8s,
}


def _api_client(host: str, ca_file: str | None, token: str) -> Any:
    from kubernetes import client

    settings = client.Configuration()
    settings.host, settings.ssl_ca_cert = host, ca_file
    settings.api_key = {"authorization": f"Bearer {token}"}
    settings.proxy = None
    return client.ApiClient(settings)


def _kubeconfig(host: str, ca_file: str | None, token: str) -> Json:
    cluster = {"server": host} | ({"certificate-authority": ca_file} if ca_file else {})
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "bench", "user": {"token": token}}],
        "contexts": [
            {
                "name": "bench",
                "context": {"cluster": "bench", "user": "bench", "namespace": "default"},
            }
        ],
        "current-context": "bench",
    }


def _collection(manifest: Json) -> str:
    group = manifest["apiVersion"]
    root = "/apis" if "/" in group else "/api"
    kind = manifest["kind"].lower()
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    namespace = manifest["metadata"].get("namespace")
    where = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}/{group}{where}/{plural}"

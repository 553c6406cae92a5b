"""Notebooks that are some: jupyter servers in containers, on a real node.

A JupyterHub on this host starts them by the library's spawner, and a Celery worker by its
tasks. Their programs are those of this test's own environment, which their pods mount from the
host, with what Python needs of it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from kubernetes import client

from tests.plane.control_plane import ControlPlane
from tests.plane.node_image import IDLE
from tests.support.cluster import eventually

pytest.importorskip("jupyterhub", reason="JupyterHub is not installed (extra `programs`)")
pytest.importorskip("jupyter_server", reason="no jupyter_server (extra `programs`)")

from .hub import Hub, UnavailableError, install_proxy
from .notebook import Notebook

SECONDS = 60.0
#: What a Python of the host needs in a container whose image has nothing of it.
FOLDERS = sorted({sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64"})


def notebook(command: list[str], user: str = "jovyan") -> list[dict[str, Any]]:
    """Write a lab whose container runs a command of this environment."""
    mounts = [{"name": "home", "mountPath": "/home/jovyan"}, {"name": "tmp", "mountPath": "/tmp"}]
    volumes: list[dict[str, Any]] = [
        {"name": "home", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
    ]
    for number, folder in enumerate(FOLDERS):
        if Path(folder).is_dir():
            mounts.append({"name": f"host{number}", "mountPath": folder, "readOnly": True})  # type: ignore[dict-item]
            volumes.append({"name": f"host{number}", "hostPath": {"path": folder}})
    container = {
        "name": "notebook",
        "image": IDLE,
        "imagePullPolicy": "IfNotPresent",
        "command": [sys.executable, "-m", *command],
        "workingDir": "/home/jovyan",
        "env": [
            {"name": "HOME", "value": "/home/jovyan"},
            {"name": "USER", "value": "root"},
            {"name": "PATH", "value": f"{sys.prefix}/bin:/usr/bin:/bin"},
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
        ],
        "envFrom": [{"configMapRef": {"name": "lab-env"}}],
        "volumeMounts": mounts,
        "ports": [{"containerPort": 8888}],
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": volumes,
    }
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lab-env"}, "data": {}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "lab", "labels": {"user": user}},
            "spec": spec,
        },
    ]


@pytest.fixture(scope="module")
def hub(real_node: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub on this host, whose labs run on the real node."""
    try:
        proxy = install_proxy()
    except UnavailableError as error:
        pytest.skip(str(error))
    lab = notebook(["jupyterhub.singleuser", "--allow-root"])
    app = {"JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp"}
    lab[0]["data"] = app
    prefix = f"hub{secrets.token_hex(2)}-"
    with Hub(
        tmp_path_factory.mktemp("hub"),
        real_node.kubeconfig("admin"),
        proxy,
        prefix,
        lab=lab,
        lab_url="http://{pod_ip}:8888",
        address=real_node.node.address,
    ) as hub:
        hub.start()
        yield hub


def started(hub: Hub, user: str) -> Notebook:
    """Have a user's server started; gives it once the Hub says that it is ready."""
    hub.add_users(user)
    hub.start_server(user)
    told = [event["message"] for event in hub.progress(user)]
    assert told[-1] == f"Server ready at /user/{user}/", hub.log_tail()
    return Notebook(f"{hub.public_url}/user/{user}/", hub.token)


class TestJupyterHub:
    """A Hub on the host, and notebooks in pods."""

    def test_code_runs_in_a_notebook(self, hub: Hub) -> None:
        """A request through the Hub's proxy gets the result of a line of code."""
        notebook = started(hub, "ada")
        kernel = notebook.start_kernel()
        assert "'lab'" == notebook.run(kernel, "import socket; socket.gethostname()")
        assert "42" == notebook.run(kernel, "6 * 7")
        assert 204 == hub.stop_server("ada")
        assert {} == hub.servers("ada")

    def test_notebook_outlives_a_hub_that_restarts(self, hub: Hub) -> None:
        """What a kernel knew before, it knows afterwards."""
        notebook = started(hub, "grace")
        kernel = notebook.start_kernel()
        assert "1" == notebook.run(kernel, "known = 1; known")
        hub.kill()
        hub.start()
        eventually(lambda: {"": True} == hub.servers("grace"))
        assert "2" == notebook.run(kernel, "known + 1")
        hub.stop_server("grace")

    def test_notebook_that_dies_is_noticed(self, hub: Hub) -> None:
        """The Hub's poll finds it, and the lab is removed."""
        notebook = started(hub, "hedy")
        notebook.ask("POST", "api/shutdown")
        eventually(lambda: {} == hub.servers("hedy"))

    def test_idle_notebook_is_culled(self, hub: Hub) -> None:
        """By JupyterHub's own culler, as any other."""
        started(hub, "katherine")
        command = [sys.executable, "-m", "jupyterhub_idle_culler", f"--url={hub.api_url}"]
        command += ["--timeout=1", "--cull-every=1"]
        culler = subprocess.Popen(command, env={**os.environ, "JUPYTERHUB_API_TOKEN": hub.token})
        try:
            eventually(lambda: {} == hub.servers("katherine"))
        finally:
            culler.kill()
            culler.wait()


def test_celery_task_results_in_a_notebook(real_node: ControlPlane, tmp_path: Path) -> None:
    """``create.delay`` from here, the lab from a worker, and a notebook that answers."""
    pytest.importorskip("celery", reason="Celery is not installed (extra `programs`)")
    from .celery_processes import Worker, redis_server, sending_app

    user = secrets.token_hex(4)
    token = secrets.token_hex(16)
    command = ["jupyter_server", "--allow-root", "--ip=0.0.0.0"]
    lab = notebook([*command, f"--IdentityProvider.token={token}"])
    with (
        redis_server(tmp_path) as broker,
        sending_app(broker) as app,
        Worker(app, real_node.kubeconfig("admin"), tmp_path, "threads"),
    ):
        assert "Running" == app.labs.create.delay(user, lab, SECONDS).get(SECONDS)
        with real_node.api_client() as admin:
            pod = client.CoreV1Api(admin).read_namespaced_pod("lab", f"lab-{user}")
        served = Notebook(f"http://{pod.status.pod_ip}:8888/", token)

        def answers() -> bool:
            with contextlib.suppress(requests.ConnectionError):
                return bool(served.ask("GET", "api")["version"])
            return False

        eventually(answers)
        app.labs.delete.delay(user, SECONDS).get(SECONDS)
        assert app.labs.status.delay(user, SECONDS).get(SECONDS) is None

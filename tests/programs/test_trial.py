"""`docs/examples/trial_config.py`, as the guide has it started: from a login page to a kernel."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import requests
from kubernetes import client

from lab_storage.testing import EmbeddedServer
from tests.support.cluster import eventually

pytest.importorskip("jupyterhub", reason="JupyterHub is not installed (extra `programs`)")
pytest.importorskip("jupyter_server", reason="no jupyter_server (extra `programs`)")

from .hub import EXAMPLES, UnavailableError, free_ports, install_proxy
from .notebook import Notebook

SECONDS = 60.0


@attrs.frozen
class Trial:
    """The Hub of the trial, and the cluster with its labs."""

    url: str
    log: Path
    core: client.CoreV1Api

    def namespaces(self) -> list[str]:
        """Give the namespaces of labs."""
        names = [each.metadata.name for each in self.core.list_namespace().items]
        return [name for name in names if name.startswith("lab-")]

    def log_in(self, user: str) -> User:
        """Do what a person does at the page of the login."""
        session = requests.Session()
        session.trust_env = False
        page = session.get(f"{self.url}/hub/login", timeout=SECONDS)
        (token,) = re.findall(r'name="_xsrf" value="([^"]+)"', page.text)
        form = {"username": user, "password": "any", "_xsrf": token}
        # Without more being asked, the Hub goes on to start the server.
        answer = session.post(f"{self.url}/hub/login", data=form, timeout=SECONDS)
        answer.raise_for_status()
        return User(f"{self.url}/hub/api/users/{user}", session)


@attrs.frozen
class User:
    """Somebody who is logged in."""

    url: str
    session: requests.Session

    def ask(self, method: str, path: str = "") -> Any:
        """Make a request of the Hub's API, like its pages do."""
        (xsrf,) = {each.value for each in self.session.cookies if each.name == "_xsrf"}
        headers = {"X-XSRFToken": xsrf or ""}
        answer = self.session.request(method, self.url + path, headers=headers, timeout=SECONDS)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def is_ready(self) -> bool:
        """Whether the server is up."""
        return bool(self.ask("GET")["servers"].get("", {}).get("ready"))


@pytest.fixture(params=["lab.yaml"])
def trial(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Trial]:
    """The guide's commands, in a copy of the folder, on other ports and with quicker polls."""
    try:
        proxy = Path(install_proxy()[-1])
    except UnavailableError as error:
        pytest.skip(str(error))
    folder = tmp_path / "examples"
    shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    public, hub, proxy_api = (f"http://127.0.0.1:{port}" for port in free_ports(3))
    command = [sys.executable, "-m", "jupyterhub", "--config", "trial_config.py"]
    command += [f"--JupyterHub.bind_url={public}", f"--JupyterHub.hub_bind_url={hub}"]
    command += [f"--ConfigurableHTTPProxy.api_url={proxy_api}", "--Spawner.poll_interval=1"]
    command += [f"--LabSpawner.lab_file={request.param}"]
    log = tmp_path / "hub.log"
    with EmbeddedServer() as server, server.api_client() as api_client, log.open("wb") as output:
        (folder / "kubeconfig").write_text(json.dumps(server.kubeconfig()))
        programs = [str(Path(sys.executable).parent), str(proxy.parent), os.environ["PATH"]]
        environment = {
            **os.environ,
            "KUBECONFIG": str(folder / "kubeconfig"),
            "PATH": os.pathsep.join(programs),
            "PYTHONPATH": str(EXAMPLES.parent.parent),
        }
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:

            def answers() -> bool:
                assert process.poll() is None, log.read_text()
                with contextlib.suppress(requests.ConnectionError):
                    return requests.get(f"{public}/hub/health", timeout=SECONDS).ok
                return False

            eventually(answers)
            yield Trial(public, log, client.CoreV1Api(api_client))
            # Ctrl-C: the Hub stops the servers before it ends.
            process.send_signal(signal.SIGINT)
            process.wait(SECONDS)
            assert [] == Trial(public, log, client.CoreV1Api(api_client)).namespaces()
        finally:
            process.kill()
            process.wait()
            # A Hub that had to be killed leaves its proxy behind.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                os.kill(int((folder / "jupyterhub-proxy.pid").read_text()), signal.SIGKILL)
    assert "Traceback" not in log.read_text()


def is_listening(url: str) -> bool:
    """Whether anything answers there."""
    with contextlib.suppress(requests.ConnectionError):
        requests.get(url, timeout=SECONDS)
        return True
    return False


def test_code_runs_in_a_notebook_of_the_trial(trial: Trial) -> None:
    """Log in, wait for the server, run a line in a kernel, and stop the server."""
    ada = trial.log_in("ada")
    eventually(ada.is_ready)
    assert ["lab-ada"] == trial.namespaces()
    pod = trial.core.read_namespaced_pod("lab", "lab-ada")
    assert "Running" == pod.status.phase

    token = ada.ask("POST", "/tokens")["token"]
    notebook = Notebook(f"{trial.url}/user/ada/", token)
    kernel = notebook.start_kernel()

    assert "42" == notebook.run(kernel, "6 * 7")
    environment = trial.core.read_namespaced_config_map("lab-env", "lab-ada").data
    service_url = environment["JUPYTERHUB_SERVICE_URL"]
    code = "import os; os.environ['JUPYTERHUB_SERVICE_URL']"
    assert repr(service_url) == notebook.run(kernel, code)

    assert is_listening(service_url)
    ada.ask("DELETE", "/server")
    eventually(lambda: {} == ada.ask("GET")["servers"])
    assert [] == trial.namespaces()
    assert not is_listening(service_url)


@pytest.mark.parametrize("trial", ["notebook.yaml"], indirect=True)
def test_notebook_that_is_shut_down_takes_its_lab_along(trial: Trial) -> None:
    """By the menu of JupyterLab, for one; another can be started, and a Ctrl-C removes that."""
    grace = trial.log_in("grace")
    eventually(grace.is_ready)
    token = grace.ask("POST", "/tokens")["token"]

    Notebook(f"{trial.url}/user/grace/", token).ask("POST", "api/shutdown")

    eventually(lambda: [] == trial.namespaces())
    eventually(lambda: {} == grace.ask("GET")["servers"])
    grace.ask("POST", "/server")
    eventually(grace.is_ready)
    assert ["lab-grace"] == trial.namespaces()

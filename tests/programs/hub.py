"""A JupyterHub in a process of its own, its proxy, and a stand-in for what runs in the labs."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote

import requests
import yaml

from tests.plane.programs import ROOT

EXAMPLES = ROOT / "docs" / "examples"
CONFIG = Path(__file__).with_name("jupyterhub_config.py")
#: The proxy that JupyterHub starts unless it is told otherwise. Those on PyPI
#: (jupyterhub-traefik-proxy) want a program that is on no package registry.
PROXY = "configurable-http-proxy@5.3.0"
START_SECONDS = 120.0
STOP_SECONDS = 60.0
REQUEST_SECONDS = 120.0
INSTALL_SECONDS = 120.0
LOG_TAIL_LINES = 30
#: A header with which a notebook says what it was asked for.
PATH = "X-Path"


class UnavailableError(Exception):
    """There is no proxy, and no way to install it; the text says what is missing."""


def install_proxy() -> list[str]:
    """Give the command of the proxy; it is installed by npm into the user's cache, once.

    Raises
    ------
    UnavailableError
        If Node or npm are not there, or npm cannot install it.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        missing = "Node" if node is None else "npm"
        raise UnavailableError(f"no proxy for JupyterHub: there is no {missing}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "lab_storage")
    folder = cache / PROXY.replace("@", "-")
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # Elsewhere first, so that a folder of that name is always a whole one.
        with tempfile.TemporaryDirectory(dir=cache) as unfinished:
            _npm_install(npm, Path(unfinished))
            with suppress(OSError):  # another run was quicker
                Path(unfinished, "proxy").rename(folder)
    return [node, str(folder / "node_modules" / ".bin" / "configurable-http-proxy")]


def _npm_install(npm: str, folder: Path) -> None:
    target = folder / "proxy"
    target.mkdir()
    command = [npm, "install", "--prefix", str(target), "--no-audit", "--no-fund", PROXY]
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip() or "it does not say why"
        raise UnavailableError(
            f"no proxy for JupyterHub: npm cannot install it: {said}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"no proxy for JupyterHub: {error}") from error


class Notebooks:
    """What the Hub and its proxy find at the address of every lab, since no container runs.

    It answers the Hub's question whether a server is up, which comes before the Hub
    calls a start done: with 200 for the users that `open` has named, else 503.
    """

    def __init__(self) -> None:
        self._open: set[str] = set()
        notebooks = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                is_open = unquote(self.path).split("/")[2] in notebooks._open
                self.send_response(200 if is_open else 503)
                # Or the Hub warns of a notebook of another version.
                self.send_header("X-JupyterHub-Version", version("jupyterhub"))
                self.send_header(PATH, self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def open(self, user: str) -> None:
        """Let the server of a user be up from now on."""
        self._open.add(user)

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Hub:
    """A JupyterHub, its proxy, and the notebooks. Of all that nothing is left after a ``with``.

    Parameters
    ----------
    folder
        Its working folder: database, secrets and log.
    kubeconfig
        Tells it of the API server.
    proxy_command
        As `install_proxy` gives it.
    namespace_prefix
        What the namespaces of its labs begin with.
    lab, lab_url
        The manifests of its labs, and where these are, if they are real ones.
    address
        Where it listens, for labs to reach it.
    traits
        What else is set on its spawners.
    """

    def __init__(
        self,
        folder: Path,
        kubeconfig: Path,
        proxy_command: list[str],
        namespace_prefix: str,
        *,
        lab: list[dict[str, Any]] | None = None,
        lab_url: str | None = None,
        address: str = "127.0.0.1",
        traits: dict[str, Any] | None = None,
    ) -> None:
        self.notebooks = Notebooks()
        self.log_file = folder / "hub.log"
        public, proxy_api = (f"http://127.0.0.1:{port}" for port in free_ports(2))
        (hub_port,) = free_ports(1, address)
        hub = f"http://{address}:{hub_port}"
        self.token = token = secrets.token_hex(16)
        lab_file = folder / "lab.yaml"
        lab_file.write_text(yaml.safe_dump_all(lab or _without_claim(EXAMPLES / "lab.yaml")))
        settings = {
            "lab_file": str(lab_file),
            "lab_url": lab_url or self.notebooks.url,
            "traits": {"namespace_prefix": namespace_prefix, **(traits or {})},
            "public_url": public,
            "hub_url": hub,
            "proxy_api_url": proxy_api,
            "proxy_command": proxy_command,
            "api_token": token,
        }
        kept = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ}
        self._environment = {
            **kept,
            "KUBECONFIG": str(kubeconfig),
            "LAB_STORAGE_TEST_HUB": json.dumps(settings),
            "PYTHONPATH": str(ROOT),
        }
        self._folder = folder
        self.public_url = public
        self.api_url = f"{hub}/hub/api"
        self._process: subprocess.Popen[bytes] | None = None
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"token {token}"

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Life

    @property
    def runs(self) -> bool:
        """Whether it has been started, and not stopped."""
        return self._process is not None

    def start(self) -> None:
        """Start the process, and return once it answers."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(CONFIG)],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(requests.ConnectionError):
                if self._session.get(f"{self.api_url}/", timeout=REQUEST_SECONDS).ok:
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"JupyterHub does not start\n{self.log_tail()}")
            time.sleep(0.05)

    def stop(self, within_seconds: float = STOP_SECONDS) -> None:
        """Have it end, as a deployment does. Its labs stay.

        Raises
        ------
        subprocess.TimeoutExpired
            It did not end by then, and was killed.
        """
        if self._process is not None:
            self._process.terminate()
            self._await_end(within_seconds)

    def shut_down(self, within_seconds: float = STOP_SECONDS) -> None:
        """Have it stop all servers, and end; raises as `stop`."""
        self._ask("POST", "shutdown", json={"servers": True, "proxy": True})
        self._await_end(within_seconds)

    def kill(self) -> None:
        """End it, and its proxy, without a chance to do anything, as when its pod dies."""
        if self._process is not None:
            self._process.kill()
            self._await_end(STOP_SECONDS)
        self._kill_proxy()

    def close(self) -> None:
        """End all there is."""
        with ExitStack() as stack:
            stack.callback(self.notebooks.close)
            stack.callback(self._session.close)
            stack.callback(self._kill_proxy)
            self.stop()

    def _await_end(self, seconds: float) -> None:
        process, self._process = self._process, None
        if process is not None:
            try:
                process.wait(seconds)
            finally:
                process.kill()
                process.wait()

    def _kill_proxy(self) -> None:
        # A Hub that was stopped has ended it, and removed the file that says which process it is.
        file = self._folder / "jupyterhub-proxy.pid"
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGKILL)
        file.unlink(missing_ok=True)

    def log_tail(self) -> str:
        """Give the end of what it has said."""
        lines = self.log_file.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])

    # What a person does, by the REST API

    def add_users(self, *names: str) -> None:
        """Make users known."""
        self._ask("POST", "users", json={"usernames": list(names)})

    def start_server(self, user: str, server: str = "", **annotations: str) -> int:
        """Begin to start a server; annotations are the pod's. Gives the status of the answer."""
        return self._ask("POST", _path(user, server), json=annotations).status_code

    def stop_server(self, user: str, server: str = "") -> int:
        """Stop a server, and return when it is stopped. Gives the status of the answer."""
        return self._ask("DELETE", _path(user, server)).status_code

    def servers(self, user: str) -> dict[str, bool]:
        """Give the servers of a user that start, run or stop, and whether they are ready."""
        servers = self._ask("GET", f"users/{quote(user)}").json()["servers"]
        return {name: server["ready"] for name, server in servers.items()}

    def server_tokens(self, user: str) -> list[str]:
        """Give what the tokens are for that a user's servers have."""
        tokens = self._ask("GET", f"users/{quote(user)}/tokens").json()["api_tokens"]
        return [token["note"] for token in tokens if token["note"].startswith("Server at")]

    def progress(self, user: str, server: str = "") -> Iterator[dict[str, Any]]:
        """Yield the events of a start, as the page gets them that a person waits at."""
        url = f"{self.api_url}/{_path(user, server)}/progress"
        with self._session.get(url, stream=True, timeout=REQUEST_SECONDS) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))

    def lets_in(self, user: str) -> bool:
        """Whether the proxy has a way to a user's server."""
        path = f"/user/{quote(user)}/api"
        answer = self._session.get(self.public_url + path, timeout=REQUEST_SECONDS)
        return answer.headers.get(PATH) == path

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        answer = self._session.request(
            method, f"{self.api_url}/{path}", timeout=REQUEST_SECONDS, **options
        )
        if not answer.ok:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer


def _without_claim(lab_file: Path) -> list[dict[str, Any]]:
    """A lab without its claim, whose protection makes the end of a namespace twice as long."""
    lab = []
    for manifest in yaml.safe_load_all(lab_file.read_text()):
        if manifest["kind"] == "Pod":
            for volume in manifest["spec"]["volumes"]:
                if volume.pop("persistentVolumeClaim", None):
                    volume["emptyDir"] = {}
        if manifest["kind"] != "PersistentVolumeClaim":
            lab.append(manifest)
    return lab


def _path(user: str, server: str) -> str:
    return f"users/{quote(user)}/servers/{server}" if server else f"users/{quote(user)}/server"


def free_ports(number: int, address: str = "127.0.0.1") -> list[int]:
    """Give ports on which nothing listens."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind((address, 0))
        return [each.getsockname()[1] for each in sockets]

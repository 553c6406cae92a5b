"""A user's notebook, as their browser reaches it through JupyterHub's proxy."""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import Any
from urllib.parse import urlsplit

import requests
import websocket

SECONDS = 60.0


class Notebook:
    """A user's notebook, as their browser reaches it."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"token {token}"}

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """Make a request of its API."""
        answer = requests.request(
            method, f"{self.url}{path}", headers=self.headers, timeout=SECONDS, **options
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def start_kernel(self) -> str:
        """Start a kernel; gives its id."""
        return str(self.ask("POST", "api/kernels", json={"name": "python3"})["id"])

    def run(self, kernel: str, code: str) -> str:
        """Run code in a kernel; gives the value of its last expression."""
        parts = urlsplit(self.url)
        socket = websocket.create_connection(
            f"ws://{parts.netloc}{parts.path}api/kernels/{kernel}/channels",
            header=self.headers,
            timeout=SECONDS,
        )
        header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3"}
        header |= {"username": "", "session": uuid.uuid4().hex, "date": "2026-01-01T00:00:00Z"}
        content = {"code": code, "silent": False, "store_history": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        with contextlib.closing(socket):
            socket.send(json.dumps({**message, "channel": "shell"}))
            while True:
                said = json.loads(socket.recv())
                if said["parent_header"].get("msg_id") != header["msg_id"]:
                    continue
                if said["msg_type"] == "execute_result":
                    return str(said["content"]["data"]["text/plain"])
                assert said["msg_type"] != "error", said["content"]

"""A server that says one watch again and again, as fast as it is read: for how fast that is."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any


class Replay:
    """Lists one pod that is pending, and watches it change until it runs. Plain HTTP.

    A context manager: entered, it listens.

    Parameters
    ----------
    pod
        The pod, as a server sent it.
    events
        How many changes there are; by the last one it runs.
    """

    def __init__(self, pod: dict[str, Any], events: int) -> None:
        listed = self._at(pod, 1, "Pending")
        content = {"kind": "PodList", "apiVersion": "v1", "items": [listed]}
        self._list = json.dumps({**content, "metadata": {"resourceVersion": "1"}}).encode()
        phases = ["Pending"] * (events - 1) + ["Running"]
        self._watch = [
            json.dumps({"type": "MODIFIED", "object": self._at(pod, 2 + place, phase)}).encode()
            + b"\n"
            for place, phase in enumerate(phases)
        ]
        replay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                replay._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> Replay:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def host(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @staticmethod
    def _at(pod: dict[str, Any], version: int, phase: str) -> dict[str, Any]:
        metadata = {**pod["metadata"], "resourceVersion": str(version)}
        return {**pod, "metadata": metadata, "status": {**pod["status"], "phase": phase}}

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        is_watch = "watch=" in request.path
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        if not is_watch:
            request.send_header("Content-Length", str(len(self._list)))
            request.end_headers()
            request.wfile.write(self._list)
            return
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        try:
            for line in self._watch:
                request.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
            request.wfile.write(b"0\r\n\r\n")
        except OSError:
            request.close_connection = True  # the client has heard enough

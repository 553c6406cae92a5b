"""A registry of images that has none: ``python node_registry.py PORT``.

What it says to a pull depends on the name of the image: ``private/…`` may not be pulled
without credentials, ``slow/…`` is never answered, and no other exists.
https://distribution.github.io/distribution/spec/api/

It runs in the node's network, and uses the standard library alone.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: Whose place it takes, for containerd.
HOST = "registry.example"
PORT = 5000


class Registry(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_GET(self) -> None:
        """A token that opens nothing, or a refusal."""
        if self.path.startswith("/token"):
            self._answer(200, {"token": "anonymous"})
        elif self.path.startswith("/v2/slow/"):
            threading.Event().wait()
        elif self.path.startswith("/v2/private/"):
            asked = f'Bearer realm="http://{self.headers["host"]}/token",service="{HOST}"'
            if "authorization" in self.headers:
                asked += ',error="insufficient_scope"'
            self._answer(401, _errors("UNAUTHORIZED", "authentication required"), asked)
        else:
            self._answer(404, _errors("MANIFEST_UNKNOWN", "manifest unknown"))

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: int, body: object, asked: str | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        if asked is not None:
            self.send_header("www-authenticate", asked)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


def _errors(code: str, message: str) -> dict[str, list[dict[str, str]]]:
    return {"errors": [{"code": code, "message": message}]}


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Registry).serve_forever()

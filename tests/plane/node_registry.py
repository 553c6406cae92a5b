"""A registry with one image under many names: ``python node_registry.py PORT ARCHIVE``.

What it says to a pull depends on the name of the image: ``pulled/…`` is that of the archive
(:mod:`tests.plane.node_image`), ``private/…`` may not be pulled without credentials, ``slow/…``
is answered late, and no other exists.
https://distribution.github.io/distribution/spec/api/

It runs in the node's network, and uses the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: Whose place it takes, for containerd.
HOST = "registry.example"
PORT = 5000
SLOW_SECONDS = 20.0
OCI = "application/vnd.oci.image"


class Image:
    """What a pull asks for, by digest, and the manifest that it begins with."""

    def __init__(self, archive: str) -> None:
        self.blobs: dict[str, bytes] = {}
        with tarfile.open(archive) as tar:
            parts = {}
            for kind, name in (("config.v1+json", "idle.json"), ("layer.v1.tar", "layer.tar")):
                content = tar.extractfile(name).read()  # type: ignore[union-attr]
                parts[name] = {
                    "mediaType": f"{OCI}.{kind}",
                    "digest": self._keep(content),
                    "size": len(content),
                }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": parts["idle.json"],
            "layers": [parts["layer.tar"]],
        }
        self.manifest = json.dumps(manifest).encode()
        self.digest = self._keep(self.manifest)

    def _keep(self, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs[digest] = content
        return digest


class Registry(BaseHTTPRequestHandler):
    """Answers one request."""

    image: Image

    def do_GET(self) -> None:
        """A token that opens nothing, or a refusal."""
        if self.path.startswith("/token"):
            self._answer(200, {"token": "anonymous"})
        elif self.path.startswith("/v2/pulled/"):
            self._give()
        elif self.path.startswith("/v2/private/"):
            asked = f'Bearer realm="http://{self.headers["host"]}/token",service="{HOST}"'
            if "authorization" in self.headers:
                asked += ',error="insufficient_scope"'
            self._answer(401, _errors("UNAUTHORIZED", "authentication required"), asked)
        else:
            if self.path.startswith("/v2/slow/"):
                time.sleep(SLOW_SECONDS)
            self._answer(404, _errors("MANIFEST_UNKNOWN", "manifest unknown"))

    do_HEAD = do_GET  # noqa: N815

    def _give(self) -> None:
        """The manifest, by digest or by any tag, or a part that it names."""
        name = self.path.rpartition("/")[2]
        content = self.image.blobs.get(name, self.image.manifest)
        is_manifest = content is self.image.manifest
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        if is_manifest:
            self.send_header("docker-content-digest", self.image.digest)
        kind = f"{OCI}.manifest.v1+json" if is_manifest else "application/octet-stream"
        self.send_header("content-type", kind)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

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
    Registry.image = Image(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Registry).serve_forever()

"""Images without a registry: an archive with BusyBox in one layer, under several names."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

#: Does nothing until it is killed; SIGTERM does not reach it, since it is the first process.
IDLE = "lab-storage.test/busybox:1"
#: The images of ``docs/examples/lab.yaml``. Its notebook is started with ``/opt/lab/start``.
PROVISIONER = "registry.example/provisioner:1.4.0"
NOTEBOOK = "registry.example/sciplat-lab:w_2026_46"
IMAGES = (IDLE, PROVISIONER, NOTEBOOK)

#: Says what it finds, answers as a notebook server that is up and no more, and takes a second
#: to save something when it is asked to end.
START = """#!/bin/sh
save() { echo saving; sleep 1; echo saved >/scratch/saved; kill $!; exit 0; }
trap save TERM
echo "user: $(id -un) $(id -G)"
echo "node: $K8S_NODE_NAME"
echo "environment: $CONTAINER_SIZE $ACCESS_TOKEN"
echo "secret: $(cat /opt/lab/secrets/token)"
echo "file: $(cat /opt/lab/files/motd)"
echo "limit: $(cat /opt/lab/runtime/limits_cpu)"
echo "home: $(pwd)"
echo kept >/scratch/kept
touch /opt/lab/start 2>/dev/null || echo "image: read-only"
httpd -f -p 8888 -h /opt/lab/www &
wait $!
"""
FILES = {
    "etc/passwd": (0o644, "root:x:0:0:root:/root:/bin/sh\n"),
    "etc/group": (0o644, "root:x:0:\n"),
    "opt/lab/start": (0o755, START),
    "opt/lab/www/user/jovyan/api": (0o644, '{"version": "2.14.0"}\n'),
}
FOLDERS = {"home": 0o755, "root": 0o700, "tmp": 0o1777}


def write_archive(busybox: Path, archive: Path) -> None:
    """Write what ``ctr images import`` reads.

    The layout is that of ``docker save``, which containerd's importer takes:
    https://github.com/moby/docker-image-spec/blob/main/spec.md#combined-image-json--filesystem-changeset-format
    """
    layer = _layer(busybox)
    idle = _configuration(layer, {"Cmd": ["/bin/sleep", "2147483647"]})
    shell = _configuration(layer, {"Entrypoint": ["/bin/sh"]})
    images = [
        {"Config": "idle.json", "RepoTags": [IDLE, PROVISIONER], "Layers": ["layer.tar"]},
        {"Config": "shell.json", "RepoTags": [NOTEBOOK], "Layers": ["layer.tar"]},
    ]
    with tarfile.open(archive, "w") as tar:
        _add(tar, "layer.tar", layer)
        _add(tar, "idle.json", json.dumps(idle).encode())
        _add(tar, "shell.json", json.dumps(shell).encode())
        _add(tar, "manifest.json", json.dumps(images).encode())


def _layer(busybox: Path) -> bytes:
    listed = subprocess.run([busybox, "--list"], check=True, stdout=subprocess.PIPE, text=True)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, mode in FOLDERS.items():
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            tar.addfile(folder)
        _add(tar, "bin/busybox", busybox.read_bytes(), 0o755)
        for applet in listed.stdout.split():
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        for name, (mode, text) in FILES.items():
            _add(tar, name, text.encode(), mode)
    return content.getvalue()


def _configuration(layer: bytes, config: dict[str, Any]) -> dict[str, Any]:
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")
    return {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], **config},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))

#!/usr/bin/env python3
"""Build the control plane once, and print the folder its binaries are in.

The folder is one that ``KUBEBUILDER_ASSETS`` may name: it holds ``etcd``,
``kube-apiserver``, ``kube-controller-manager``, ``kube-scheduler`` and
``kubelet``. Only that path goes to the standard output; what is being done, and for how long,
goes to the standard error.

It lies in the user's cache under a digest of the sources here, so that a
change of a version builds anew and nothing else does. The build happens in a
folder beside it that gets its name by one rename at the end: an interrupted
build leaves a folder that nobody takes for a whole one, and the next build
removes it. Go keeps what it compiled, so that the next one is also quicker.

Needs Python and Go; nothing is installed. Ends with status 69 (EX_UNAVAILABLE
of sysexits.h) where there is no Go to build with, and with another where the
build failed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
MINUTE = 60.0
UNAVAILABLE = 69


def say(text: str) -> None:
    print(f"control plane: {text}", file=sys.stderr, flush=True)


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lab_storage" / "control-plane"


def digest() -> str:
    """Of all that decides what comes out, this program included."""
    hasher = hashlib.sha256(f"{platform.system()} {platform.machine()}".encode())
    for name in ("go.mod", "go.sum", "main.go", "build.py"):
        content = (SOURCES / name).read_bytes()
        hasher.update(f"{name} {len(content)}\n".encode() + content)
    return hasher.hexdigest()[:16]


def kubernetes_version() -> str:
    """The version in go.mod, which the binaries would not know by themselves."""
    for line in (SOURCES / "go.mod").read_text().splitlines():
        words = line.split()
        if words[:1] == ["k8s.io/kubernetes"]:
            return words[1]
    raise SystemExit("control plane: go.mod requires no k8s.io/kubernetes")


def require_go() -> None:
    """From 1.21 on Go fetches the version that go.mod asks for, if it is older itself."""
    go = shutil.which("go")
    found = "not installed"
    if go is not None:
        version = subprocess.run(
            [go, "env", "GOVERSION"], cwd="/", check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
        released = re.match(r"go(\d+)\.(\d+)", version)
        if released is None or (int(released[1]), int(released[2])) >= (1, 21):
            return
        found = f"{version}, older than 1.21"
    say(
        f"Go is {found} (https://go.dev/doc/install); or set KUBEBUILDER_ASSETS to a folder "
        f"with {', '.join(PROGRAMS)}"
    )
    sys.exit(UNAVAILABLE)


def is_whole(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in PROGRAMS)


def compile_into(folder: Path) -> None:
    version = kubernetes_version()
    major, minor = version.removeprefix("v").split(".")[:2]
    package = "k8s.io/component-base/version"
    flags = " ".join(
        ["-s -w"]
        + [
            f"-X {package}.{name}={value}"
            for name, value in (
                ("gitVersion", version),
                ("gitMajor", major),
                ("gitMinor", minor),
                ("gitTreeState", "clean"),
            )
        ]
    )
    binary = folder / "control-plane"
    command = ["go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false"]
    command += ["-ldflags", flags, "-o", str(binary), "."]
    # No cgo: no C compiler is needed, and the binary runs on any libc. A
    # go.work in a folder above would bring modules of its own.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    finished = threading.Event()
    began = time.monotonic()

    def report() -> None:
        while not finished.wait(MINUTE):
            minutes = (time.monotonic() - began) / MINUTE
            say(f"still compiling Kubernetes {version}, {minutes:.0f} min so far")

    threading.Thread(target=report, daemon=True).start()
    try:
        subprocess.run(
            command, cwd=SOURCES, env=environment, check=True, stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
        )  # fmt: skip
    finally:
        finished.set()
    # It reads from its own name which of the five it is.
    for name in PROGRAMS:
        os.link(binary, folder / name)
    binary.unlink()
    say(f"built in {(time.monotonic() - began) / MINUTE:.1f} min")


def build() -> Path:
    cache = cache_folder()
    target = cache / digest()
    if is_whole(target):
        return target
    require_go()
    cache.mkdir(parents=True, exist_ok=True)
    # Two test runs started at once build once.
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is under way, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if is_whole(target):
            return target
        # The lock is ours: what lies there unnamed was interrupted.
        for leftover in cache.glob("*.partial"):
            shutil.rmtree(leftover, ignore_errors=True)
        say(
            f"building Kubernetes {kubernetes_version()} into {target}. The first time this "
            "takes ten minutes and more on two cores, and 5 GB for what Go keeps; once."
        )
        # A name of its own: the compiler of a build that was killed may be
        # writing into the last one yet.
        partial = Path(tempfile.mkdtemp(suffix=".partial", dir=cache))
        compile_into(partial)
        partial.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    return target


if __name__ == "__main__":
    # As Ctrl-C: the compiler ends with this program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        print(build())
    except subprocess.CalledProcessError as error:
        say(f"go failed with status {error.returncode}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted; the next run begins where Go's own cache ends")
        sys.exit(130)

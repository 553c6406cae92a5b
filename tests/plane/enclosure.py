"""Run the keeper in namespaces of its own, and remove what the kernel leaves of it.

A kubelet and a container runtime mount file systems, make networks and start
processes that nobody's child is. In a PID namespace all of them end with its
first process, the keeper; in a mount namespace their mounts go with the last
process, and so do the network namespaces that are mounted there, with bridges
and veth pairs (pid_namespaces(7), mount_namespaces(7), network_namespaces(7)). So
nothing of this waits for a program that would have to be alive to clean up.

What stays are folders: that of this run, and the control groups of its
containers. This process stays outside of the namespaces and removes both, however the
keeper has ended. Should it be killed itself, then the keeper is too, and the
next one that starts removes them.

It uses the standard library alone, and unshare(1) of util-linux.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent

PREFIX = "lab-storage-node-"
SYSTEM_PATH = "/usr/sbin:/sbin"
CGROUPS = Path("/sys/fs/cgroup")
#: The kernel takes a moment to forget processes that it has killed.
SWEEP_SECONDS = 10.0


def sweep(name: str) -> None:
    """Remove the control groups of that name, and the folder, once nothing runs in them."""
    deadline = time.monotonic() + SWEEP_SECONDS
    while not all(_remove_cgroup(each) for each in _cgroups(name)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    shutil.rmtree(Path(tempfile.gettempdir(), name), ignore_errors=True)


def sweep_after_the_dead() -> None:
    """Remove what is left of those whose process was killed: their names begin with its PID."""
    folders = {each.name for each in Path(tempfile.gettempdir()).glob(f"{PREFIX}*")}
    for name in folders | {each.name for each in _cgroups(f"{PREFIX}*")}:
        pid = name.removeprefix(PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            sweep(name)


def _cgroups(pattern: str) -> list[Path]:
    # One hierarchy in version 2, one for each controller in version 1.
    return [*CGROUPS.glob(pattern), *CGROUPS.glob(f"*/{pattern}")]


def _remove_cgroup(top: Path) -> bool:
    """Remove a control group and those in it; whether that is done."""
    with contextlib.suppress(OSError):
        for folder, _, _ in os.walk(top, topdown=False):
            Path(folder).rmdir()
    return not top.exists()


def main() -> int:
    """Run the keeper until it ends; the one argument is a pidfd of whoever has to live."""
    # Handlers, since what is ignored would be ignored by the programs as well.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    parent_fd = int(sys.argv[1])
    # Where a shell's path is that of an ordinary user, ip(8) is not on it.
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"
    sweep_after_the_dead()
    folder = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")
    try:
        # --kill-child: the keeper is killed if unshare is; so is unshare with this process.
        command = ["setpriv", "--pdeathsig", "KILL"]
        command += ["unshare", "--mount", "--pid", "--mount-proc", "--kill-child"]
        command += [sys.executable, "-I", "-S", str(HERE / "keeper.py"), "0"]
        return subprocess.call([*command, str(parent_fd), folder], pass_fds=[parent_fd])
    finally:
        sweep(Path(folder).name)


if __name__ == "__main__":
    sys.exit(main())

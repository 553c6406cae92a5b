"""Where the one thread begins and ends: with its storage, and in each process anew."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import structlog

from lab_storage import LabStorage, PodPhase
from tests.live.conftest import PATIENCE_SECONDS, LiveOf, World, eventually, read
from tests.support.labs import timeout_of


def followers() -> list[threading.Thread]:
    """The threads that follow pods."""
    return [thread for thread in threading.enumerate() if thread.name == "lab_storage-pods"]


def test_storage_that_is_forgotten_leaves_nothing(world: World) -> None:
    """Neither a thread nor a connection."""
    with world.server.api_client("lab") as api_client:
        live = LabStorage(api_client, structlog.get_logger()).live("lab-")
        live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
        assert (1, 1) == (len(followers()), world.server.open_watches)
        gone = weakref.ref(live)
        del live
        gc.collect()
        assert gone() is None
        eventually([], followers)
        eventually(0, lambda: world.server.open_watches)


def test_block_ends_it(world: World) -> None:
    """As `LabStorage` does with its connections."""
    with world.server.api_client("lab") as api_client:
        with LabStorage(api_client, structlog.get_logger()).live("lab-") as live:
            live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
        assert [] == followers()
        eventually(0, lambda: world.server.open_watches)


def test_loop_keeps_its_storage(world: World) -> None:
    """A program need not hold what it loops over."""
    world.make("ada")
    with world.server.api_client("lab") as api_client:
        storage = LabStorage(api_client, structlog.get_logger())
        changes = storage.live("lab-").changes(timeout_of(PATIENCE_SECONDS))
        assert PodPhase.PENDING == next(changes).phase
        gc.collect()
        world.say("ada", "Running")
        assert PodPhase.RUNNING == next(changes).phase
        changes.close()
        del changes
        gc.collect()
        eventually([], followers)


_FORKING_PROGRAM = """
import ctypes, os, sys, threading
from datetime import timedelta
import structlog
from kubernetes import client
from lab_storage import LabObjectNames, LabStorage, PodPhase, Timeout

host, token, hooks = sys.argv[1:]
settings = client.Configuration()
settings.host, settings.api_key, settings.proxy = host, {"authorization": f"Bearer {token}"}, None
live = LabStorage(client.ApiClient(settings), structlog.get_logger()).live("lab-")
names = LabObjectNames("ada", "lab-ada", "lab-env", "lab-quota", "lab")

def timeout():
    return Timeout("Following", timedelta(seconds=20))

live.wait_until_synced(timeout())
# A fork in C runs none of Python's hooks: uWSGI forks so. It keeps the lock of the interpreter.
child = os.fork() if hooks == "hooks" else ctypes.PyDLL(None).fork()
who = "parent" if child else "child"
for change in live.changes(timeout()):
    os.write(1, f"{who} {change.phase.value}\\n".encode())
    if change.phase is PodPhase.RUNNING:
        break
os.write(1, f"{who} {live.read_pod_phase(names, timeout()).value}\\n".encode())
live.close()
if not child:
    os._exit(0)
os.waitpid(child, 0)
"""


_LOOPING_PROGRAM = """
import os, sys
from datetime import timedelta
import structlog
from kubernetes import client
from lab_storage import LabStorage, LabStorageError, Timeout

host, token = sys.argv[1:]
settings = client.Configuration()
settings.host, settings.api_key, settings.proxy = host, {"authorization": f"Bearer {token}"}, None
live = LabStorage(client.ApiClient(settings), structlog.get_logger()).live("lab-")
timeout = Timeout("Following", timedelta(seconds=20))
loops = [live.changes(timeout), live.watch_pod_events("lab", "lab-ada", timeout)]
for loop in loops:
    next(loop)
following = live._following()
locks = [following.view._lock, following.health._lock, following.desk._lock]
locks.append(following.desk.health._lock)
# As the threads that follow may hold them, at that moment.
for lock in locks:
    lock.__enter__()
child = os.fork()
if not child:
    for loop in loops:
        try:
            list(loop)
        except LabStorageError as error:
            os.write(1, f"{error}\\n".encode())
    os._exit(0)
for lock in locks:
    lock.__exit__(None, None, None)
os.waitpid(child, 0)
live.close()
"""


def test_loop_of_the_parent_ends_in_a_child(world: World) -> None:
    """By an error, and without a wait for what the parent's threads held at the fork."""
    world.make("ada")
    event = {
        "metadata": {"name": "lab.1"},
        "involvedObject": {
            "kind": "Pod",
            "namespace": "lab-ada",
            "name": "lab",
            "uid": world.core.read_namespaced_pod("lab", "lab-ada").metadata.uid,
        },
        "message": "test",
    }
    world.core.create_namespaced_event("lab-ada", event)
    program = subprocess.Popen(
        [sys.executable, "-c", _LOOPING_PROGRAM, world.server.host, world.server.token("lab")],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = program.communicate(timeout=PATIENCE_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.communicate()
    assert ["the storage was closed while a call was under way"] * 2 == said.splitlines()


@pytest.mark.parametrize("hooks", ["hooks", "no hooks"])
def test_child_follows_by_itself(world: World, hooks: str) -> None:
    """In a forked child it starts anew, also where none of Python's hooks has run."""
    world.make("ada")
    arguments = [world.server.host, world.server.token("lab"), hooks]
    program = subprocess.Popen(
        [sys.executable, "-c", _FORKING_PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    try:
        said = {program.stdout.readline() for _ in range(2)}
        assert {"parent Pending\n", "child Pending\n"} == said
        assert 2 == world.server.open_watches
        world.say("ada", "Running")
        assert {"parent Running\n", "child Running\n"} == set(program.stdout.readlines())
        assert 0 == program.wait(PATIENCE_SECONDS)
    finally:
        # Whoever hangs would keep the pipe open.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        program.stdout.close()


def test_no_thread_to_be_had_costs_the_watch_alone(
    world: World, live_of: LiveOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls ask the server then."""
    world.make("ada")
    live = live_of()

    start = threading.Thread.start

    def refuse(thread: Any) -> None:
        if thread.name == "lab_storage-pods":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert PodPhase.PENDING == read(live, "ada")
        assert "can't start new thread" == live.freshness.last_failure
        with ThreadPoolExecutor(1) as threads:
            timeout = timeout_of(PATIENCE_SECONDS)
            wait = threads.submit(live.wait_for_pod_start, "lab", "lab-ada", timeout)
            eventually(1, lambda: world.server.open_watches)
            world.say("ada", "Running")
            assert PodPhase.RUNNING == wait.result()
            world.say("ada", "Pending")
    assert PodPhase.PENDING == read(live, "ada")
    eventually(True, lambda: live.freshness.is_synced)


_PROGRAM = """
import sys, structlog
from datetime import timedelta
from kubernetes import client
from lab_storage import LabStorage, Timeout
settings = client.Configuration()
settings.host, settings.api_key = sys.argv[1], {"authorization": "Bearer " + sys.argv[2]}
settings.proxy = None
live = LabStorage(client.ApiClient(settings), structlog.get_logger()).live("lab-")
live.wait_until_synced(Timeout("Syncing", timedelta(seconds=20)))
print("synced")
"""


def test_program_ends_while_it_follows(world: World) -> None:
    """Without a word, and at once."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, world.server.host, world.server.token("lab")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ("synced\n", "", 0) == (done.stdout, done.stderr, done.returncode)
    eventually(0, lambda: world.server.open_watches)

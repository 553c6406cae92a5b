"""A storage works on in a forked child, which leaves the connections of its parent alone."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from lab_storage import LabObjectNames, LabStorage, PodPhase
from lab_storage._api.call import Call
from lab_storage._api.workers import Workers
from lab_storage._transport import background
from lab_storage._transport.connections import Connections
from tests.plane.programs import ROOT
from tests.support.calls import call_of
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import NAMES, PENDING, list_of
from tests.support.villain import (
    Act,
    Cluster,
    Seen,
    Villain,
    answer,
    authority,
    json_answer,
    reset,
    status,
    stream,
    truncate,
)

# From Python 3.12 on; what it warns of is what these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

CALLS = 100


def fork(child: Callable[[], object]) -> int:
    """Run ``child`` in a child process; its exit code tells whether it returned."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        child()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def exit_code(pid: int) -> int:
    """Block until a child has ended."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def read_phases(storage: LabStorage, user: str, count: int = CALLS) -> None:
    """Read the phase of a user's pod again and again."""
    names = LabObjectNames(user, f"lab-{user}", "env", "quota", "lab")
    for _ in range(count):
        assert PodPhase.PENDING is storage.read_pod_phase(names, timeout_of(10))


def connections_of(villain: Villain, user: str) -> set[int]:
    """Tell by which connections requests about that user's lab came."""
    return {request.connection for request in villain.requests if f"/lab-{user}/" in request.path}


@pytest.mark.parametrize("tls", [True, False])
def test_four_children_and_the_parent_call_side_by_side(tls: bool, storage_of: StorageOf) -> None:
    """Each by connections of its own, and without an error."""
    with Villain(json_answer(PENDING), tls=tls) as villain:
        storage = storage_of(villain)
        read_phases(storage, "parent", 1)
        users = [f"child{number}" for number in range(4)]
        pids = [fork(partial(read_phases, storage, user)) for user in users]
        read_phases(storage, "parent")

        assert [0, 0, 0, 0] == [exit_code(pid) for pid in pids]
        connections = [connections_of(villain, user) for user in ("parent", *users)]
        assert [1] * 5 == [len(each) for each in connections]
        assert 5 == len(set.union(*connections))
        assert 1 + 5 * CALLS == len(villain.requests)


def test_a_child_that_closes_the_storage_leaves_the_parents_connection(
    storage_of: StorageOf,
) -> None:
    """What it closes is its own copy."""
    with Villain(json_answer(PENDING), tls=True) as villain:
        storage = storage_of(villain)
        read_phases(storage, "parent", 1)

        assert 0 == exit_code(fork(storage.close))
        read_phases(storage, "parent", 1)
        assert (2, 1) == (len(villain.requests), villain.connections)


def test_a_fork_in_the_middle_of_a_call_disturbs_neither(storage_of: StorageOf) -> None:
    """The child calls at once, and can cancel what it inherited, while the parent waits."""
    answered = threading.Event()

    def script(request: Seen) -> Act:
        if "/lab-parent/" in request.path:
            return stream(answered, PENDING, end="orderly")
        return json_answer(PENDING)

    with Villain(script, tls=True) as villain:
        storage, timeout = storage_of(villain), timeout_of(30)
        phases = []
        names = LabObjectNames("parent", "lab-parent", "env", "quota", "lab")
        caller = threading.Thread(
            target=lambda: phases.append(storage.read_pod_phase(names, timeout))
        )
        caller.start()
        villain.wait_for_requests()

        def child() -> None:
            timeout.cancel()
            read_phases(storage, "child", 3)

        code = exit_code(fork(child))
        answered.set()
        caller.join(10)

        assert (0, [PodPhase.PENDING]) == (code, phases)
        assert {1} == connections_of(villain, "parent")


def test_a_child_that_drops_a_watch_leaves_the_parents_stream(storage_of: StorageOf) -> None:
    """A generator that is collected in the child ends nothing in the parent."""
    happened = threading.Event()
    event = {"uid": "e1", "resourceVersion": "11"}
    line = {
        "type": "ADDED",
        "object": {
            "metadata": event,
            "involvedObject": {"uid": PENDING["metadata"]["uid"]},
            "message": "Pulling image",
        },
    }

    def script(request: Seen) -> Act:
        if request.is_watch:
            return stream(line, happened, {**line, "type": "MODIFIED"}, end="silence")
        return json_answer(list_of(*([PENDING] if request.path.endswith("/pods") else [])))

    with Villain(script, tls=True) as villain:
        watching = [
            storage_of(villain).watch_pod_events(NAMES.pod, NAMES.namespace, timeout_of(30))
        ]
        assert "Pulling image" == next(watching[0])

        def child() -> None:
            watching.clear()
            gc.collect()

        code = exit_code(fork(child))
        line["object"].update(count=2, metadata={**event, "resourceVersion": "12"})  # type: ignore[attr-defined]
        happened.set()

        assert (0, "Pulling image") == (code, next(watching[0]))
        assert 1 == len([request for request in villain.requests if request.is_watch])


def test_names_are_looked_up_right_after_a_fork(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that looks them up is not in the child, which starts its own."""
    monkeypatch.setattr(background, "IDLE_SECONDS", 1.0)
    with Villain(json_answer(PENDING)) as villain:
        storage = storage_of(villain, host=f"http://localhost:{villain.port}")
        read_phases(storage, "parent", 1)
        helpers = [each for each in threading.enumerate() if each.name == "lab_storage-resolver"]

        assert 1 == len(helpers)
        assert 0 == exit_code(fork(lambda: read_phases(storage, "child", 1)))
        assert 2 == villain.connections


def test_work_is_shared_right_after_a_fork(logger: Any) -> None:
    """Workers that are busy in the parent keep nobody waiting in the child."""
    workers, done = Workers(2), threading.Event()
    busy = threading.Barrier(4)
    call = call_of(timeout_of(30), logger)

    def work(_: Call) -> None:
        busy.wait(10)
        done.wait(10)

    caller = threading.Thread(target=workers.run, args=(call, [work] * 3))
    caller.start()
    busy.wait(10)

    def child() -> None:
        gate = threading.Barrier(3)
        workers.run(call, [lambda _: gate.wait(10)] * 3)

    code = exit_code(fork(child))
    done.set()
    caller.join(10)

    assert 0 == code


def test_look_up_that_hangs_in_the_parent_does_not_in_the_child(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child does not wait for a thread that it does not have."""
    parent, asked, released = os.getpid(), threading.Event(), threading.Event()
    look_up = socket.getaddrinfo

    def getaddrinfo(*arguments: Any) -> Any:
        if os.getpid() == parent:
            asked.set()
            released.wait(10)
        return look_up(*arguments)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with Villain(json_answer(PENDING)) as villain:
        storage = storage_of(villain, host=f"http://localhost:{villain.port}")
        caller = threading.Thread(target=read_phases, args=(storage, "parent", 1))
        caller.start()
        assert asked.wait(5)
        code = exit_code(fork(lambda: read_phases(storage, "child", 1)))
        released.set()
        caller.join(10)

        assert 0 == code
        assert 2 == villain.connections


def test_hook_that_hangs_in_the_parent_does_not_in_the_child(storage_of: StorageOf) -> None:
    """The child calls it itself."""
    parent, asked, released = os.getpid(), threading.Event(), threading.Event()

    def hook(_: Any) -> None:
        if os.getpid() == parent:
            asked.set()
            released.wait(10)

    with Villain(json_answer(PENDING)) as villain:
        storage = storage_of(villain, refresh_api_key_hook=hook)
        caller = threading.Thread(target=read_phases, args=(storage, "parent", 1))
        caller.start()
        assert asked.wait(5)
        code = exit_code(fork(lambda: read_phases(storage, "child", 1)))
        released.set()
        caller.join(10)

        assert 0 == code


def test_lock_that_a_thread_of_the_parent_holds_is_free_in_the_child(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes its connections while the child is forked."""
    parent, holds, released = os.getpid(), threading.Event(), threading.Event()
    open_session = Connections._open

    def slowly(connections: Connections) -> Any:
        if os.getpid() == parent:
            holds.set()
            released.wait(10)
        return open_session(connections)

    monkeypatch.setattr(Connections, "_open", slowly)
    with Villain(json_answer(PENDING), tls=True) as villain:
        storage = storage_of(villain)
        caller = threading.Thread(target=read_phases, args=(storage, "parent", 1))
        caller.start()
        assert holds.wait(5)
        code = exit_code(fork(lambda: read_phases(storage, "child", 1)))
        released.set()
        caller.join(10)

        assert 0 == code


def test_many_threads_renew_a_child_once(storage_of: StorageOf) -> None:
    """What the first has made anew, the others do not drop."""
    with Villain(json_answer(PENDING), tls=True) as villain:
        storage = storage_of(villain)
        read_phases(storage, "parent", 1)

        def child() -> None:
            with ThreadPoolExecutor(8) as threads:
                asked = [
                    threads.submit(read_phases, storage, f"child{number}", 3)
                    for number in range(8)
                ]
                for each in asked:
                    each.result()

        code = exit_code(fork(child))

        assert 0 == code
        assert villain.connections <= 1 + 8


# The client's models are imported when they are first used, from client 37 on.
IMPORTS = """
import sys, structlog
from structlog.testing import LogCapture
from kubernetes import client
from lab_storage import LabObjectNames, LabStorage, LabStorageError, Timeout
from datetime import timedelta
logger = structlog.wrap_logger(None, [LogCapture()], structlog.BoundLogger)
configuration = client.Configuration()
configuration.host, configuration.ssl_ca_cert = sys.argv[1:]
configuration.api_key = {"authorization": "Bearer t0ken"}
storage = LabStorage(client.ApiClient(configuration), logger)
names = LabObjectNames("jovyan", "lab-jovyan", "env", "quota", "lab")
calls = {
    "read_pod_phase": lambda timeout: storage.read_pod_phase(names, timeout),
    "read_lab_objects": lambda timeout: storage.read_lab_objects(names, timeout),
    "read_secret": lambda timeout: storage.read_secret("key", "lab-jovyan", timeout),
    "wait_for_pod_start": lambda timeout: storage.wait_for_pod_start("lab", "lab-j", timeout),
    "watch_pod_events": lambda timeout: list(storage.watch_pod_events("lab", "lab-j", timeout)),
    "delete_pod": lambda timeout: storage.delete_pod(names, timeout),
}
before = set(sys.modules)
for name, call in calls.items():
    try:
        call(Timeout("Testing", timedelta(seconds=0.3)))
    except LabStorageError:
        pass
    print(name, sorted(set(sys.modules) - before))
    before = set(sys.modules)
"""


def test_nothing_is_imported_in_a_call() -> None:
    """The lock of a module that a thread of the parent imports is never free in a child."""
    cluster = Cluster(before=fail_at_first)
    for path in ("pods/lab", "resourcequotas/quota", "configmaps/env"):
        cluster.put(f"/api/v1/namespaces/lab-jovyan/{path}", {"spec": {}})
    with Villain(cluster, tls=True) as villain:
        host = f"https://localhost:{villain.port}"
        done = subprocess.run(
            [sys.executable, "-c", IMPORTS, host, str(authority().file)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert {"[]"} == {line.partition(" ")[2] for line in done.stdout.splitlines()}
    assert 6 == len(done.stdout.splitlines())


_failed: set[str] = set()


def fail_at_first(request: Seen) -> Act | None:
    """Refuse each request once, in one of several ways."""
    if request.target in _failed:
        return None
    _failed.add(request.target)
    acts = (
        status(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        reset,
        truncate(PENDING),
        answer(429, b"Too many", {"Content-Type": "text/plain; charset=latin-9"}),
    )
    return acts[len(_failed) % len(acts)]

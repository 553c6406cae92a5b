"""What holds when the control plane, the caller or the connection dies in the middle."""

from __future__ import annotations

import gc
import itertools
import json
import multiprocessing
import os
import random
import re
import secrets
import signal
import stat
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import structlog
import urllib3
from kubernetes import client

from lab_storage import (
    KubernetesError,
    LabObjectNames,
    LabObjects,
    LabStorage,
    LabStorageError,
    OperationCancelledError,
    OperationTimeoutError,
    PodPhase,
    Timeout,
)
from lab_storage._api.creation import manager_of
from lab_storage._api.workers import MOST_WORKERS
from lab_storage.testing._pods.courses import START_ANNOTATION as START
from tests.plane.control_plane import ControlPlane
from tests.plane.remote import Cluster
from tests.support.interruptions import TimeLimit
from tests.support.labs import lab_of, names_of, timeout_of
from tests.support.limits import LIMIT_SECONDS
from tests.support.methods import METHODS
from tests.support.processes import process_state
from tests.support.shared import TENANT, await_rights, lab_in, names_in, shared_namespace
from tests.support.states import wait_for

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

LABS = 50
THREADS = 10
KILLED_PROCESSES = 20
BUSY_NAMESPACES = 1000
ABANDONED_CALLS = 1000
PATIENT_SECONDS = 90.0
# Longer than etcd waits for a sign of life from its leader, itself, by default: 1 s.
ETCD_PAUSE_SECONDS = 5.0
# The stand-in kubelet has little to do with such a pod.
PENDING = {START: "pending"}


# -- Labs, and what became of them -------------------------------------------------


def small_lab(user: str, hard: Mapping[str, str] | None = None) -> LabObjects:
    """The least that makes a lab, so that fifty of them are quickly made."""
    names = names_of(user)
    manifests: list[dict[str, Any]] = [
        {"kind": "Namespace", "metadata": {"name": names.namespace}},
        {"kind": "ConfigMap", "metadata": {"name": names.env_config_map}, "data": {"A": "b"}},
        {
            "kind": "ResourceQuota",
            "metadata": {"name": names.quota},
            "spec": {"hard": dict(hard or {"limits.cpu": "9"})},
        },
        {
            "kind": "Pod",
            "metadata": {"name": names.pod, "annotations": PENDING},
            "spec": {
                "containers": [
                    {"name": "notebook", "image": "lab:1", "resources": {"limits": {"cpu": "1"}}}
                ]
            },
        },
    ]
    manifests = [{"apiVersion": "v1", **manifest} for manifest in manifests]
    return LabObjects.from_manifests(manifests, names)


@attrs.frozen
class Found:
    """An object as it is on the server."""

    uid: str
    managers: frozenset[str]


Inventory = dict[str, dict[str, Found]]


def inventory(admin: client.ApiClient, crowd: str) -> Inventory:
    """All that exists of the labs of a crowd: by ``lab-USER``, and by kind and name.

    The user is in the name of the lab's namespace or, in a shared one, in that of each object.
    """
    core, networking = client.CoreV1Api(admin), client.NetworkingV1Api(admin)
    lists = {
        "Namespace": core.list_namespace,
        "ConfigMap": core.list_config_map_for_all_namespaces,
        "PersistentVolumeClaim": core.list_persistent_volume_claim_for_all_namespaces,
        "Pod": core.list_pod_for_all_namespaces,
        "ResourceQuota": core.list_resource_quota_for_all_namespaces,
        "Secret": core.list_secret_for_all_namespaces,
        "Service": core.list_service_for_all_namespaces,
        "NetworkPolicy": networking.list_network_policy_for_all_namespaces,
    }
    found: Inventory = defaultdict(dict)
    for kind, list_all in lists.items():
        for item in json.loads(list_all(_preload_content=False).data)["items"]:
            metadata = item["metadata"]
            namespace = metadata.get("namespace", metadata["name"])
            # The server's own controller puts its certificate into each namespace.
            user = re.search(f"{crowd}-[^/]*", f"{namespace}/{metadata['name']}")
            if user is not None and metadata["name"] != "kube-root-ca.crt":
                managers = {
                    field["manager"]
                    for field in metadata["managedFields"]
                    if "subresource" not in field
                }
                found[f"lab-{user[0]}"][f"{kind} {metadata['name']}"] = Found(
                    metadata["uid"], frozenset(managers)
                )
    return found


def assert_whole(found: Mapping[str, Found], lab: LabObjects, operation_id: str) -> None:
    """Assert that there is one whole lab, made by that operation, and nothing else."""
    manifests = lab.to_manifests()
    expected = {f"{each['kind']} {each['metadata']['name']}" for each in manifests}
    by = frozenset({manager_of(operation_id)})
    assert dict.fromkeys(expected, by) == {name: each.managers for name, each in found.items()}


def uids_of_events(admin: client.ApiClient, names: LabObjectNames) -> set[str]:
    """The pods of a lab that there are events of."""
    selector = f"involvedObject.kind=Pod,involvedObject.name={names.pod}"
    events = client.CoreV1Api(admin).list_namespaced_event(
        names.namespace, field_selector=selector
    )
    return {event.involved_object.uid for event in events.items}


class Progress:
    """A logger's processor that counts what is logged, and lets others wait for it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._changed = threading.Condition()

    def __call__(self, _logger: Any, _method: str, line: Any) -> Any:
        """Take a line, and let it go no further."""
        with self._changed:
            self.counts[line["event"]] += 1
            self._changed.notify_all()
        raise structlog.DropEvent

    def wait_for(self, event: str, count: int) -> None:
        """Block until a line has come so many times."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.counts[event] >= count, PATIENT_SECONDS)

    @property
    def logger(self) -> Any:
        """A logger that is counted here."""
        return logger_of(self)


def logger_of(processor: Callable[[Any, str, Any], Any]) -> Any:
    """A logger whose lines end in ``processor``."""
    return structlog.wrap_logger(
        None, processors=[processor], wrapper_class=structlog.BoundLogger, context_class=dict
    )


def drop(_logger: Any, _method: str, _line: Any) -> Any:
    """Let a line go no further. Without a lock, as calls are interrupted in here too."""
    raise structlog.DropEvent


SILENT = logger_of(drop)


# -- Fixtures ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def plane(control_plane: Cluster) -> Iterator[ControlPlane]:
    """A control plane of this module's own, to do harm to."""
    with ControlPlane(control_plane.assets) as plane:
        yield plane


@pytest.fixture
def admin(plane: ControlPlane) -> Iterator[client.ApiClient]:
    """Who looks at the outcome, and who may always do everything.

    To all others a server that has just started says 403, until it has learned of
    their roles.
    """
    with plane.api_client() as admin:
        yield admin


@pytest.fixture
def storage(admin: client.ApiClient) -> Iterator[LabStorage]:
    """A storage on that control plane, as its administrator."""
    with LabStorage(admin, SILENT) as storage:
        yield storage


@pytest.fixture
def crowd() -> str:
    """What the users of this test's own are called."""
    return f"chaos-{secrets.token_hex(4)}"


@attrs.frozen
class Place:
    """Where labs live, and who makes them.

    Attributes
    ----------
    plane
        The control plane.
    namespace
        The namespace that they share, in which their maker has all its rights; `None` if each
        has its own.
    """

    plane: ControlPlane
    namespace: str | None

    @property
    def maker(self) -> str:
        """The user of the control plane that makes the labs."""
        return "admin" if self.namespace is None else TENANT

    def lab(self, user: str, lab: LabObjects, *, has_quota: bool = False) -> LabObjects:
        """Give a lab as it is here."""
        if self.namespace is None:
            return lab
        return lab_in(self.namespace, user, lab, () if has_quota else ("ResourceQuota",))

    def names(self, user: str) -> LabObjectNames:
        """Give the names of a user's lab."""
        return names_of(user) if self.namespace is None else names_in(self.namespace, user)

    @contextmanager
    def storage(self, logger: Any) -> Iterator[LabStorage]:
        """Make a storage of the labs' maker."""
        with (
            self.plane.api_client(self.maker) as api_client,
            LabStorage(api_client, logger) as storage,
        ):
            yield storage


@pytest.fixture(params=["own namespace", "shared namespace"])
def place(request: pytest.FixtureRequest, plane: ControlPlane) -> Iterator[Place]:
    """Where labs live: the tests that have it hold in both shapes."""
    if request.param == "own namespace":
        yield Place(plane, None)
    else:
        with shared_namespace(plane) as namespace:
            yield Place(plane, namespace)


@pytest.fixture
def lab(storage: LabStorage, crowd: str) -> LabObjectNames:
    """A lab that is there."""
    user = f"{crowd}-1"
    storage.create(small_lab(user), timeout_of(PATIENT_SECONDS, user))
    return names_of(user)


# -- The control plane dies --------------------------------------------------------


def restart_apiserver(plane: ControlPlane) -> None:
    """Kill kube-apiserver, and start it again."""
    plane.kill_apiserver()
    plane.start_apiserver()


def suspend_etcd(plane: ControlPlane) -> None:
    """Stop etcd for some seconds."""
    with plane.pause_etcd():
        time.sleep(ETCD_PAUSE_SECONDS)


@pytest.mark.parametrize("disturb", [restart_apiserver, suspend_etcd])
def test_creates_survive_the_control_plane(
    plane: ControlPlane,
    admin: client.ApiClient,
    crowd: str,
    place: Place,
    disturb: Callable[[ControlPlane], None],
) -> None:
    """Each create succeeds, or ends in an error of ours; then a repeat completes the lab."""
    users = [f"{crowd}-{number:02}" for number in range(LABS)]
    # Every third gives up in the middle, wherever that is.
    patience = dict(zip(users, itertools.cycle([PATIENT_SECONDS, 0.2, 1.5])))
    progress = Progress()

    def create(storage: LabStorage, user: str, seconds: float) -> LabStorageError | None:
        try:
            lab = place.lab(user, small_lab(user))
            storage.create(lab, timeout_of(seconds, user), operation_id=user)
        except LabStorageError as error:
            return error
        return None

    with place.storage(progress.logger) as storage, ThreadPoolExecutor(THREADS) as threads:
        creates = {user: threads.submit(create, storage, user, patience[user]) for user in users}
        progress.wait_for("Created object", LABS)
        disturb(plane)
        outcomes = {user: created.result() for user, created in creates.items()}
    if place.namespace is not None and disturb is restart_apiserver:
        # A server that has just started has yet to learn of the role.
        refused = [user for user, e in outcomes.items() if getattr(e, "status", None) == 403]
        for user in refused:
            del outcomes[user]
        await_rights(plane, place.namespace)
    expected = {None, OperationTimeoutError}
    assert expected == {type(error) if error else None for error in outcomes.values()}
    assert [] == [
        user for user in outcomes if outcomes[user] and patience[user] == PATIENT_SECONDS
    ]
    before = inventory(admin, crowd)

    with place.storage(progress.logger) as another, ThreadPoolExecutor(THREADS) as threads:
        repeats = [threads.submit(create, another, user, PATIENT_SECONDS) for user in users]
        assert [None] * LABS == [repeat.result() for repeat in repeats]

    after = inventory(admin, crowd)
    assert {f"lab-{user}" for user in users} == set(after)
    for user in users:
        found, names = after[f"lab-{user}"], place.names(user)
        assert_whole(found, place.lab(user, small_lab(user)), user)
        made = {name: each.uid for name, each in before.get(f"lab-{user}", {}).items()}
        assert made == {name: found[name].uid for name in made}
        assert uids_of_events(admin, names) <= {found[f"Pod {names.pod}"].uid}


def test_other_users_hear_403_while_the_server_learns_of_their_roles(
    control_plane: Cluster, lab_role: str
) -> None:
    """A restart is bridged for them too, but for a moment in which they are refused for good."""
    outcomes: set[Any] = set()
    stop = threading.Event()

    def read(storage: LabStorage) -> None:
        while not stop.is_set():
            try:
                outcomes.add(storage.read_pod_phase(names_of("nobody"), timeout_of(60)))
            except KubernetesError as error:
                outcomes.add((error.status, error.reason))

    with (
        control_plane.api_client("lab") as api_client,
        LabStorage(api_client, SILENT) as storage,
        ThreadPoolExecutor(2) as threads,
    ):
        reads = [threads.submit(read, storage) for _ in range(2)]
        try:
            control_plane.kill_apiserver()
            control_plane.start_apiserver()
        finally:
            stop.set()
        for each in reads:
            each.result()
        assert outcomes <= {None, (403, "Forbidden")}
        assert storage.read_pod_phase(names_of("nobody"), timeout_of(60)) is None


def test_deletes_survive_a_restart(
    plane: ControlPlane, admin: client.ApiClient, crowd: str
) -> None:
    """Several threads delete the same pod, then the same namespace, while the server dies."""
    users = [f"{crowd}-{number}" for number in range(4)]
    progress = Progress()
    with LabStorage(admin, progress.logger) as storage, ThreadPoolExecutor(16) as threads:
        for user in users:
            storage.create(small_lab(user), timeout_of(PATIENT_SECONDS, user))

        pods = [
            threads.submit(storage.delete_pod, names_of(user), timeout_of(PATIENT_SECONDS, user))
            for user in users * 4
        ]
        progress.wait_for("Deleted object", 1)
        restart_apiserver(plane)
        assert [None] * len(pods) == [pod.result() for pod in pods]
        left = inventory(admin, crowd)
        assert dict.fromkeys((f"lab-{user}" for user in users), False) == {
            namespace: "Pod lab" in found for namespace, found in left.items()
        }

        progress.counts.clear()
        namespaces = [
            threads.submit(
                storage.delete_namespace, f"lab-{user}", timeout_of(PATIENT_SECONDS, user)
            )
            for user in users * 4
        ]
        progress.wait_for("Deleted object", 1)
        restart_apiserver(plane)
        assert [None] * len(namespaces) == [namespace.result() for namespace in namespaces]
    assert {} == inventory(admin, crowd)


# -- The caller dies ---------------------------------------------------------------


def create_in_a_process(
    host: str,
    ca_file: str,
    token: str,
    user: str,
    namespace: str | None,
    connection: Connection,
) -> None:
    """Create the example lab: what runs in the process that is killed."""
    configuration = client.Configuration()
    configuration.host = host
    configuration.ssl_ca_cert = ca_file
    configuration.api_key = {"authorization": f"Bearer {token}"}
    configuration.proxy = None
    lab = lab_of(user, PENDING)
    if namespace is not None:
        lab = lab_in(namespace, user, lab)
    with (
        client.ApiClient(configuration) as api_client,
        LabStorage(api_client, SILENT) as storage,
    ):
        connection.send(None)
        storage.create(lab, timeout_of(PATIENT_SECONDS, user), operation_id=user)


def test_killed_processes_are_followed_by_others(
    plane: ControlPlane, admin: client.ApiClient, crowd: str, place: Place
) -> None:
    """Whenever a process is killed that creates a lab, another one completes it."""
    # Has the imports done, once for all.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])

    def begin(user: str) -> Any:
        ours, theirs = processes.Pipe(duplex=False)
        with ours, theirs:
            identity = plane.host, str(plane.ca_file), plane.token(place.maker)
            process = processes.Process(
                target=create_in_a_process, args=(*identity, user, place.namespace, theirs)
            )
            process.start()
            assert ours.poll(PATIENT_SECONDS)
        return process

    wholes = [f"{crowd}-whole-{number}" for number in range(3)]
    durations = []
    for user in wholes:
        whole = begin(user)
        began = time.monotonic()
        whole.join(PATIENT_SECONDS)
        durations.append(time.monotonic() - began)
        assert 0 == whole.exitcode

    users = [f"{crowd}-{number:02}" for number in range(KILLED_PROCESSES)]
    exits = Counter[int]()
    for number, user in enumerate(users):
        process = begin(user)
        # Not at random: as often early as late.
        process.join(min(durations) * number / KILLED_PROCESSES)
        process.kill()
        process.join(PATIENT_SECONDS)
        exits[process.exitcode] += 1
        lab = place.lab(user, lab_of(user, PENDING))
        with place.storage(SILENT) as storage:
            storage.create(lab, timeout_of(PATIENT_SECONDS, user), operation_id=user)

    # The later ones may have been too quick.
    assert exits[-signal.SIGKILL] >= KILLED_PROCESSES // 4
    assert {0, -signal.SIGKILL} >= set(exits)
    found = inventory(admin, crowd)
    assert {f"lab-{user}" for user in [*users, *wholes]} == set(found)
    for user in users:
        assert_whole(found[f"lab-{user}"], place.lab(user, lab_of(user, PENDING)), user)


def test_attempts_at_the_same_time_make_one_lab(
    admin: client.ApiClient, crowd: str, place: Place
) -> None:
    """A task that is delivered twice, to two workers, makes one lab, and both succeed."""
    users = [f"{crowd}-{number}" for number in range(10)]

    def create(storage: LabStorage, user: str) -> None:
        lab = place.lab(user, small_lab(user))
        storage.create(lab, timeout_of(PATIENT_SECONDS, user), operation_id=user)

    with place.storage(SILENT) as storage, ThreadPoolExecutor(4) as threads:
        for user in users:
            assert [None] * 4 == list(threads.map(create, [storage] * 4, [user] * 4))

    found = inventory(admin, crowd)
    for user in users:
        assert_whole(found[f"lab-{user}"], place.lab(user, small_lab(user)), user)


def test_repeats_do_not_use_up_the_quota(
    admin: client.ApiClient, crowd: str, place: Place
) -> None:
    """A quota is charged once for each object, however often that is created.

    kube-apiserver charges before it looks whether the name is taken, and does not give back.
    """
    user = f"{crowd}-1"
    lab = place.lab(user, small_lab(user, {"pods": "9"}), has_quota=True)

    with place.storage(SILENT) as storage:
        for _ in range(6):
            storage.create(lab, timeout_of(PATIENT_SECONDS, user), operation_id=user)

    names = place.names(user)
    quota = client.CoreV1Api(admin).read_namespaced_resource_quota(names.quota, names.namespace)
    assert {"pods": "1"} == quota.status.used
    assert_whole(inventory(admin, crowd)[f"lab-{user}"], lab, user)


def test_objects_without_content_are_told_apart(
    admin: client.ApiClient, storage: LabStorage, crowd: str
) -> None:
    """An empty config map and a quota without limits are known again, and another's is too."""
    user = f"{crowd}-1"
    manifests = small_lab(user).to_manifests()
    for manifest in manifests:
        manifest.pop("data", None)
        if manifest["kind"] == "ResourceQuota":
            manifest["spec"] = {}
    lab = LabObjects.from_manifests(manifests, names_of(user))

    for _ in range(2):
        storage.create(lab, timeout_of(PATIENT_SECONDS, user), operation_id=user)

    assert_whole(inventory(admin, crowd)[f"lab-{user}"], lab, user)
    core = client.CoreV1Api(admin)
    core.delete_namespaced_config_map("lab-env", f"lab-{user}")
    core.create_namespaced_config_map(f"lab-{user}", {"metadata": {"name": "lab-env"}})
    with pytest.raises(KubernetesError) as error:
        storage.create(lab, timeout_of(PATIENT_SECONDS, user), operation_id=user)
    assert (409, "ConfigMap", "lab-env") == (
        error.value.status,
        error.value.kind,
        error.value.name,
    )


def sockets() -> set[int]:
    """The sockets of this process, by number of the inode: in a forked child its parent's too."""
    found = set()
    for descriptor in os.listdir("/dev/fd"):  # noqa: PTH208 - a folder of no files
        with suppress(OSError):  # the one that was open to list them
            status = os.fstat(int(descriptor))
            if stat.S_ISSOCK(status.st_mode):
                found.add(status.st_ino)
    return found


def running() -> list[threading.Thread]:
    """The threads that run; one whose start was interrupted is listed, and does not."""
    return [thread for thread in threading.enumerate() if thread.is_alive()]


def read_often(storage: LabStorage, names: LabObjectNames) -> list[PodPhase | None]:
    """Read a phase a hundred times."""
    return [storage.read_pod_phase(names, timeout_of(PATIENT_SECONDS)) for _ in range(100)]


def read_in_a_child(
    storage: LabStorage, names: LabObjectNames, inherited: set[int], connection: Connection
) -> None:
    """Read often, and tell what was read over which sockets of one's own."""
    phases = read_often(storage, names)
    connection.send((phases, sockets() - inherited))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_children_use_the_storage_of_their_parent(
    storage: LabStorage, lab: LabObjectNames
) -> None:
    """All read at once, over TLS: the parent on by its connection, each child by its own."""
    assert PodPhase.PENDING == storage.read_pod_phase(lab, timeout_of(PATIENT_SECONDS))
    processes = multiprocessing.get_context("fork")
    pipes = [processes.Pipe(duplex=False) for _ in range(4)]
    before = sockets()

    children = [
        processes.Process(target=read_in_a_child, args=(storage, lab, before, theirs))
        for _, theirs in pipes
    ]
    for child in children:
        child.start()
    phases = read_often(storage, lab)
    told: list[Any] = [ours.recv() if ours.poll(PATIENT_SECONDS) else None for ours, _ in pipes]
    for child in children:
        child.join(PATIENT_SECONDS)

    assert [0] * 4 == [child.exitcode for child in children]
    assert [PodPhase.PENDING] * 100 == phases
    assert [phases] * 4 == [theirs for theirs, _ in told]
    own = [number for _, numbers in told for number in numbers]
    assert len(own) == len(set(own)) == 4
    assert set() == sockets() - before
    for ours, theirs in pipes:
        ours.close()
        theirs.close()


# -- The connection dies, or the call ----------------------------------------------


class LosesAnswers:
    """A pool manager by which each write is carried out, and its first answer is lost."""

    def __init__(self, manager: urllib3.PoolManager) -> None:
        self._manager = manager
        self.writes = Counter[tuple[str, str, bytes]]()

    def request(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """Make a request."""
        response = self._manager.request(method, url, **options)
        write = method, url, options.get("body", b"")
        if method != "GET":
            self.writes[write] += 1
            if self.writes[write] == 1:
                response.drain_conn()
                lost = ConnectionResetError(104, "Connection reset by peer")
                raise urllib3.exceptions.ProtocolError("Connection aborted.", lost)
        return response

    def clear(self) -> None:
        """Close the connections."""
        self._manager.clear()


def test_lost_answers_make_no_second_object_and_no_conflict(
    plane: ControlPlane, admin: client.ApiClient, crowd: str, place: Place
) -> None:
    """Where the answer to each write is lost the lab is made all the same, and goes again.

    Nothing is created twice: the quota has room for once.
    """
    user = f"{crowd}-1"
    names = place.names(user)
    lab = place.lab(user, lab_of(user, PENDING), has_quota=True)
    assert lab.quota is not None
    # The server's own controller puts a config map into each namespace.
    lab.quota.spec.hard = {
        "configmaps": "4",
        "limits.cpu": "2",
        "persistentvolumeclaims": "1",
        "pods": "1",
        "secrets": "2",
        "services": "1",
    }
    with plane.api_client(place.maker) as api_client:
        losing = LosesAnswers(api_client.rest_client.pool_manager)
        api_client.rest_client.pool_manager = losing
        with LabStorage(api_client, SILENT) as storage:
            storage.create(lab, timeout_of(PATIENT_SECONDS, user), operation_id=user)
            assert_whole(inventory(admin, crowd)[f"lab-{user}"], lab, user)
            assert len(lab.to_manifests()) == len(losing.writes)
            assert {1} == set(losing.writes.values())

            storage.delete_pod(names, timeout_of(PATIENT_SECONDS, user))
            assert storage.read_pod_phase(names, timeout_of(PATIENT_SECONDS, user)) is None
            if place.namespace is None:
                storage.delete_namespace(names.namespace, timeout_of(PATIENT_SECONDS, user))
            else:
                storage.delete_objects(lab, timeout_of(PATIENT_SECONDS, user))
            assert {} == inventory(admin, crowd)


# Of an exception in a destructor CPython says that it ignores it, and of one in the start of a
# thread so does that thread.
ignoring_destructors = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


@ignoring_destructors
@pytest.mark.timeout(method="thread")  # its signal is used here
def test_abandoned_calls_leave_nothing(admin: client.ApiClient, lab: LabObjectNames) -> None:
    """After a thousand calls that an exception left at some moment all is as before."""
    moments = random.Random(lab.namespace)
    before = sockets()
    storage = LabStorage(admin, SILENT)

    def interrupt(*_: Any) -> None:
        raise TimeLimit

    def is_abandoned(call: Callable[[], object], seconds: float) -> bool:
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, seconds)
                call()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except TimeLimit:
            return True
        except OperationTimeoutError:
            pass  # it was lost in a destructor
        return False

    calls: list[Callable[[], object]] = [
        lambda: storage.read_pod_phase(lab, timeout_of(1)),
        lambda: storage.read_lab_objects(lab, timeout_of(1)),
        lambda: list(storage.watch_pod_events(lab.pod, lab.namespace, timeout_of(1))),
    ]
    abandoned = 0
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        while abandoned < ABANDONED_CALLS:
            abandoned += is_abandoned(moments.choice(calls), moments.uniform(0.0005, 0.02))
    finally:
        signal.signal(signal.SIGALRM, previous)

    assert PodPhase.PENDING == storage.read_pod_phase(lab, timeout_of(PATIENT_SECONDS))
    storage.close()
    gc.collect()
    wait_for(lambda: not any(each.name.startswith("lab_storage") for each in running()))
    # Others that were there may have been garbage.
    assert set() == sockets() - before


class Interruption:
    """A profile function that raises, once, where a signal handler might.

    CPython runs these when a function is entered, and when one that is written in C has
    returned. So no moment is left out.
    """

    def __init__(self, chance: int | None = None) -> None:
        self.chances = 0
        # The module that it has come in.
        self.place = ""
        self._chance = chance

    def __call__(self, frame: Any, event: str, _argument: Any) -> None:
        """Count the chances, and take one."""
        if event not in ("call", "c_return"):
            return
        self.chances += 1
        if self.chances == self._chance:
            self.place = frame.f_globals["__name__"]
            sys.setprofile(None)
            raise TimeLimit


@ignoring_destructors
@pytest.mark.parametrize(
    ("method", "moments"), [(LabStorage.read_pod_phase, None), (LabStorage.read_lab_objects, 300)]
)
def test_no_moment_is_a_bad_one_to_leave_a_call(
    admin: client.ApiClient,
    lab: LabObjectNames,
    method: Callable[[LabStorage, LabObjectNames, Timeout], object],
    moments: int | None,
) -> None:
    """Wherever in it an exception is thrown it leaves the call, and the next one succeeds.

    So no lock is held for ever, no helper is lost, and nothing is mistaken for a failure.
    """
    storage = LabStorage(admin, SILENT)

    def call(interruption: Interruption) -> object:
        try:
            sys.setprofile(interruption)
            return method(storage, lab, timeout_of(PATIENT_SECONDS))
        except TimeLimit:
            return TimeLimit
        finally:
            sys.setprofile(None)

    call(Interruption())
    counting = Interruption()
    whole = call(counting)
    lost = Counter[str]()
    for moment in range(1, (moments or counting.chances) + 1):
        interruption = Interruption(moment)
        outcome = call(interruption)
        if outcome is not TimeLimit:
            assert type(whole) is type(outcome)
            lost[interruption.place] += 1

    wait_for(lambda: len(storage._workers._free) == MOST_WORKERS)
    del lost[""]  # it never came: now and then a call takes fewer steps
    # The rest is destructors: a few in http.client and urllib3, none in the start of a thread.
    assert lost.total() < 0.05 * counting.chances
    assert "threading" not in lost
    storage.close()


@pytest.mark.parametrize("is_connected", [False, True], ids=["new", "connected"])
@pytest.mark.parametrize("end", ["deadline", "cancel"])
def test_silent_server_holds_up_no_call(
    plane: ControlPlane,
    storage: LabStorage,
    end: str,
    is_connected: bool,
) -> None:
    """While kube-apiserver is stopped each method ends in time, and works again afterwards."""
    ended: dict[str, float] = {}

    def call(name: str, timeout: Timeout) -> type[Exception] | None:
        try:
            METHODS[name](storage, timeout)
        except (LabStorageError, StopIteration) as error:
            return type(error)
        finally:
            ended[name] = time.monotonic()
        return None

    if is_connected:
        storage.read_lab_objects(names_of(), timeout_of(PATIENT_SECONDS))
    with plane.pause_apiserver(), ThreadPoolExecutor(len(METHODS)) as threads:
        wait_for(lambda: process_state(plane.pids["kube-apiserver"]) == "T")
        timeout = timeout_of(0.5 if end == "deadline" else PATIENT_SECONDS)
        calls = {name: threads.submit(call, name, timeout) for name in METHODS}
        time.sleep(0.5)  # by then each waits for an answer, or its deadline has come
        over = time.monotonic()
        if end == "cancel":
            timeout.cancel()
        outcomes = {name: made.result() for name, made in calls.items()}

    expected: dict[str, type[Exception]] = dict.fromkeys(METHODS, OperationTimeoutError)
    if end == "cancel":
        expected = dict.fromkeys(METHODS, OperationCancelledError)
        expected["watch_pod_events"] = StopIteration
    assert expected == outcomes
    limit = over + LIMIT_SECONDS
    assert [] == [name for name in METHODS if ended[name] > limit]
    assert storage.read_pod_phase(names_of("nobody"), timeout_of(PATIENT_SECONDS)) is None


# -- Others keep the control plane busy ---------------------------------------------


def test_lab_is_made_while_the_controllers_are_busy(
    plane: ControlPlane, storage: LabStorage, crowd: str
) -> None:
    """The default ServiceAccount is late while a thousand namespaces are being set up.

    The last test of all: the controllers are busy with them long after it.
    """
    user = f"{crowd}-1"
    made: list[str] = []
    prefix = f"busy-{secrets.token_hex(4)}-"
    stop = threading.Event()

    def flood(part: int) -> None:
        with plane.api_client() as admin:
            core = client.CoreV1Api(admin)
            for number in range(part, BUSY_NAMESPACES, 4):
                if stop.is_set():
                    return
                name = f"{prefix}{number:04}"
                core.create_namespace({"metadata": {"name": name}})
                made.append(name)

    with ThreadPoolExecutor(4) as threads:
        floods = [threads.submit(flood, part) for part in range(4)]
        try:
            while len(made) < BUSY_NAMESPACES // 4 and not any(f.done() for f in floods):
                stop.wait(0.05)
            timeout = timeout_of(2 * PATIENT_SECONDS, user)
            storage.create(lab_of(user), timeout)
            assert PodPhase.RUNNING == storage.wait_for_pod_start("lab", f"lab-{user}", timeout)
            for flooded in floods:
                flooded.result()
        finally:
            stop.set()
    assert BUSY_NAMESPACES == len(storage.list_namespaces(prefix, timeout_of(PATIENT_SECONDS)))

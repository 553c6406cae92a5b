"""``docs/examples/celery_app.py`` in a real worker, on a real broker."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import structlog
from kubernetes import client

import lab_storage
from lab_storage import KubernetesError, LabStorage, OperationTimeoutError, PodStartError
from lab_storage._objects import manager_of
from lab_storage.testing import EmbeddedServer
from tests.labs import lab_of, manifests_of, names_of, timeout_of
from tests.plane.programs import ROOT
from tests.plane.remote import Cluster

pytest.importorskip("celery", reason="Celery is not installed: extra `programs`")
redis = pytest.importorskip("redis", reason="redis is not installed: extra `programs`")

from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError  # noqa: E402
from celery.result import AsyncResult, ResultSet  # noqa: E402

EXAMPLES = ROOT / "docs" / "examples"
START = "lab-storage.test/start"
DELAY = "lab-storage.test/delay"
#: What no task here comes near, and what a worker may take to start or to stop.
SECONDS = 60.0
POLL_SECONDS = 0.02
CONCURRENCY = 4
ROUNDS = 50
USERS = "celery-"
#: An error of each class, with a value of its own in each attribute.
ERRORS = [
    lab_storage.LabStorageError("anything"),
    KubernetesError(
        "no", "jovyan", "Pod", "lab-jovyan", "lab", 403, "Forbidden", "{}", "Creating lab"
    ),
    lab_storage.MissingObjectError("Secret", "token", "lab-jovyan"),
    lab_storage.MissingSecretError("Secret", "token", "lab-jovyan"),
    lab_storage.OperationCancelledError("Creating lab", "jovyan"),
    OperationTimeoutError("Creating lab", "jovyan", 30.25, "503 ServiceUnavailable"),
    PodStartError("lab", "lab-jovyan", "notebook", "ErrImagePull", "not found"),
]


def eventually(condition: Callable[[], Any], what: str) -> None:
    """Return once ``condition`` holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis of our own."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server: Debian's package redis-server has it")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"redis://127.0.0.1:{port}"
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    folder = tmp_path_factory.mktemp("redis")
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([program, *options], cwd=folder, stdout=log)
    try:
        with redis.Redis.from_url(url) as connection:
            eventually(lambda: answers(server, connection), "Redis answers")
        yield url
    finally:
        server.kill()
        server.wait()


def answers(server: subprocess.Popen[bytes], connection: Any) -> bool:
    """Whether Redis is up."""
    assert server.poll() is None, "redis-server has ended"
    try:
        return bool(connection.ping())
    except redis.exceptions.ConnectionError:
        return False


@pytest.fixture(scope="module")
def app(broker: str) -> Iterator[ModuleType]:
    """The example, as somebody imports it who sends tasks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERY_BROKER_URL", broker)
        patch.setenv("CELERY_RESULT_BACKEND", broker)
        patch.syspath_prepend(EXAMPLES)
        app = importlib.import_module("celery_app")
        yield app
        consumer = app.app.backend.result_consumer
        consumer.stop()
        # Results that are errors live as long as the process, since Celery keeps them, and
        # would tell a Redis that is gone that nobody waits for them any more.
        consumer._pubsub = None
        app.app.backend.client.close()
        app.app.close()


@pytest.fixture(scope="module")
def extras(app: ModuleType) -> ModuleType:
    """What is in the worker besides."""
    return importlib.import_module("tests.programs.celery_worker")


class Worker:
    """A worker of the example, as a context manager."""

    def __init__(self, app: ModuleType, kubeconfig: Path, folder: Path, pool: str) -> None:
        self.app = app
        self.pool = pool
        self._log = folder / "log"
        self._folder = folder
        self._kubeconfig = kubeconfig

    def __enter__(self) -> Worker:
        # What an earlier one has left is not this one's.
        self.redis.flushall()
        options = {
            "--include": "tests.programs.celery_worker",
            "--pool": self.pool,
            "--concurrency": str(CONCURRENCY if self.pool == "prefork" else 10 * CONCURRENCY),
            "--loglevel": "INFO",
        }
        command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker"]
        # There are no other workers to look for, which takes a second.
        command += ["--without-mingle", "--without-gossip"]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command + [word for option in options.items() for word in option],
                cwd=self._folder,
                env={
                    **os.environ,
                    "KUBECONFIG": str(self._kubeconfig),
                    "PYTHONPATH": os.pathsep.join(map(str, (EXAMPLES, ROOT))),
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            eventually(self._is_ready, "the worker is ready")
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            assert 0 == self._process.wait(SECONDS)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it without a word; its children end with it."""
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """The main process."""
        return self._process.pid

    @property
    def redis(self) -> Any:
        """A connection to the broker."""
        return self.app.app.backend.client

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text()

    @property
    def children(self) -> set[int]:
        """The processes of its pool."""
        (stats,) = self.app.app.control.inspect().stats().values()
        return set(stats["pool"]["processes"])

    def is_idle(self) -> bool:
        """Whether the broker has no tasks, taken or not."""
        return not self.redis.llen("celery") and not self.redis.hlen("unacked")

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self.log
        return " ready." in self.log


class Server:
    """An API server, as tests need it."""

    def __init__(self, cluster: Cluster | EmbeddedServer, kubeconfig: Path) -> None:
        self.cluster = cluster
        self.kubeconfig = kubeconfig

    @contextlib.contextmanager
    def storage(self) -> Iterator[LabStorage]:
        """A storage in this process."""
        with (
            self.cluster.api_client() as api_client,
            LabStorage(api_client, structlog.get_logger()) as storage,
        ):
            yield storage

    def objects(self, prefix: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """All objects in the namespaces of a prefix, by namespace and kind.

        Those that controllers make are left out.
        """
        found: dict[str, dict[str, list[dict[str, Any]]]] = {}
        with self.cluster.api_client() as admin:
            core = client.CoreV1Api(admin)
            for kind, list_ in {
                "ConfigMap": core.list_config_map_for_all_namespaces,
                "NetworkPolicy": client.NetworkingV1Api(
                    admin
                ).list_network_policy_for_all_namespaces,
                "PersistentVolumeClaim": core.list_persistent_volume_claim_for_all_namespaces,
                "Pod": core.list_pod_for_all_namespaces,
                "ResourceQuota": core.list_resource_quota_for_all_namespaces,
                "Secret": core.list_secret_for_all_namespaces,
                "Service": core.list_service_for_all_namespaces,
            }.items():
                for each in json.loads(list_(_preload_content=False).data)["items"]:
                    metadata = each["metadata"]
                    if (
                        metadata["namespace"].startswith(prefix)
                        and metadata["name"] != "kube-root-ca.crt"
                    ):
                        objects = found.setdefault(metadata["namespace"], {})
                        objects.setdefault(kind, []).append(each)
        return found

    def discard_labs(self) -> None:
        """Have all labs deleted; their end is not waited for."""
        with self.storage() as storage, self.cluster.api_client() as admin:
            for name in storage.list_namespaces(f"lab-{USERS}", timeout_of(SECONDS)):
                with contextlib.suppress(client.ApiException):
                    client.CoreV1Api(admin).delete_namespace(name)


def told(result: AsyncResult) -> list[str]:
    """The events that a running task has told."""
    return result.info["events"] if result.state == "PROGRESS" else []


def names_in(objects: dict[str, list[dict[str, Any]]]) -> list[tuple[str, str]]:
    """Kinds and names, sorted."""
    return sorted(
        (kind, each["metadata"]["name"]) for kind, items in objects.items() for each in items
    )


def managers_in(objects: dict[str, list[dict[str, Any]]]) -> set[str]:
    """The operations that have written any of the objects."""
    return {
        field["manager"]
        for items in objects.values()
        for each in items
        for field in each["metadata"]["managedFields"]
        if field["manager"].startswith("lab_storage")
    }


prefork = pytest.mark.parametrize("worker", ["prefork"], indirect=True)


class WorkerTests:
    """What holds on any server."""

    @pytest.fixture(scope="class", params=["prefork", "threads", "gevent"])
    @classmethod
    def worker(
        cls,
        request: pytest.FixtureRequest,
        app: ModuleType,
        extras: ModuleType,
        server: Server,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Iterator[Worker]:
        """A worker, with a pool of that kind."""
        folder = tmp_path_factory.mktemp("worker")
        with Worker(app, server.kubeconfig, folder, request.param) as worker:
            yield worker

    @pytest.fixture
    def user(self) -> str:
        """A user of this test's own."""
        return f"{USERS}{secrets.token_hex(4)}"

    def test_lab_lives_from_create_to_delete(
        self, app: ModuleType, worker: Worker, user: str
    ) -> None:
        """The four tasks do what they say, and events are told while a lab starts."""
        states: list[dict[str, Any]] = []
        lab = lab_of(user, {DELAY: "0.5"})
        lab.pod.spec.termination_grace_period_seconds = 1
        assert "Running" == app.create.delay(user, lab.to_manifests(), SECONDS).get(
            SECONDS, on_message=states.append
        )
        assert "Running" == app.status.delay(user, SECONDS).get(SECONDS)
        labs = app.reconcile.delay(SECONDS).get(SECONDS)
        assert "Running" == labs[user]["phase"]
        assert "small" == labs[user]["environment"]["CONTAINER_SIZE"]
        assert app.delete.delay(user, SECONDS).get(SECONDS) is None
        assert app.status.delay(user, SECONDS).get(SECONDS) is None
        assert user not in app.reconcile.delay(SECONDS).get(SECONDS)

        progress = [each["result"]["events"] for each in states if each["status"] == "PROGRESS"]
        assert [progress[-1][:length] for length in range(1, len(progress) + 1)] == progress
        assert 'Pulling image "registry.example/provisioner:1.4.0"' in progress[-1]
        assert "SUCCESS" == states[-1]["status"]

    def test_revocation_cancels(
        self, app: ModuleType, worker: Worker, server: Server, user: str
    ) -> None:
        """Tasks that wait for a pod end, and the worker goes on with others."""
        users = [f"{user}-{number}" for number in range(CONCURRENCY - 1)]
        results = [
            app.create.delay(each, manifests_of(each, {START: "pending"}), SECONDS)
            for each in users
        ]
        for each, result in zip(users, results, strict=True):
            eventually(lambda: any("Pulling" in event for event in told(result)), "progress")
            assert "Pending" == app.status.delay(each, SECONDS).get(SECONDS)

        app.app.control.revoke([result.id for result in results], terminate=True)
        for result in results:
            with pytest.raises(TaskRevokedError):
                result.get(SECONDS)
        eventually(worker.is_idle, "the tasks are acknowledged")
        if isinstance(server.cluster, EmbeddedServer):
            eventually(lambda: server.cluster.open_watches == 0, "nobody watches")
            number = len(server.cluster.requests)
        assert "Pending" == app.status.delay(users[0], SECONDS).get(SECONDS)
        if isinstance(server.cluster, EmbeddedServer):
            assert number + 1 == len(server.cluster.requests)
        assert ["REVOKED"] * len(results) == [result.state for result in results]

    def test_conflict_comes_back_as_it_was_raised(
        self, app: ModuleType, worker: Worker, server: Server, user: str
    ) -> None:
        """A caller sees of another operation's lab what a caller of the library sees."""
        with server.storage() as storage:
            storage.create(lab_of(user), timeout_of(SECONDS, user))
            with pytest.raises(KubernetesError) as here:
                storage.create(lab_of(user), timeout_of(SECONDS, user, "Creating lab"))
        with pytest.raises(KubernetesError) as there:
            app.create.delay(user, manifests_of(user), SECONDS).get(SECONDS)
        assert 409 == there.value.status
        assert here.value.args == there.value.args

    def test_failed_start_comes_back_as_it_was_raised(
        self, app: ModuleType, worker: Worker, user: str
    ) -> None:
        """A caller is told which container waits for what."""
        manifests = manifests_of(user, {START: "image-pull-back-off"})
        with pytest.raises(PodStartError) as error:
            app.create.delay(user, manifests, SECONDS).get(SECONDS)
        assert ("lab", f"lab-{user}", "notebook") == error.value.args[:3]
        assert error.value.reason in {"ErrImagePull", "ImagePullBackOff"}
        assert error.value.message.endswith("not found")

    def test_deadline_comes_back_as_it_was_raised(
        self, app: ModuleType, worker: Worker, user: str
    ) -> None:
        """A caller is told what was being waited for."""
        manifests = manifests_of(user, {START: "pending"})
        with pytest.raises(OperationTimeoutError) as error:
            app.create.delay(user, manifests, 1.5).get(SECONDS)
        assert ("Creating lab", user) == (error.value.operation, error.value.user)
        assert error.value.elapsed >= 1.5
        assert error.value.last.startswith("the pod is Pending")

    @prefork
    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    def test_every_error_comes_back_with_its_attributes(
        self, extras: ModuleType, worker: Worker, error: Exception
    ) -> None:
        """The result backend carries class, attributes and text."""
        with pytest.raises(type(error)) as raised:
            extras.fail.delay(type(error).__name__, *error.args).get(SECONDS)
        assert type(error) is type(raised.value)
        assert error.args == raised.value.args
        assert vars(error) == vars(raised.value)
        assert str(error) == str(raised.value)

    @prefork
    def test_storage_of_the_parent_serves_its_children(
        self, extras: ModuleType, worker: Worker
    ) -> None:
        """One that held a connection when its process forked works in all children at once."""
        place = secrets.token_hex(4)
        results = ResultSet(
            [extras.meet.delay(place, CONCURRENCY, SECONDS) for _ in range(CONCURRENCY)]
        ).get(SECONDS)
        assert worker.children == {each["pid"] for each in results}
        assert [worker.pid] * CONCURRENCY == [each["parent"] for each in results]
        assert [True] * CONCURRENCY == [each["same storage"] for each in results]
        lists = {tuple(names) for each in results for names in each["lists"]}
        assert 1 == len(lists)
        assert "kube-system" in lists.pop()

    @prefork
    def test_soft_time_limit_ends_a_blocked_wait(
        self, app: ModuleType, worker: Worker, server: Server, user: str
    ) -> None:
        """Celery's exception leaves the call at once, and the process goes on."""
        children = worker.children
        manifests = manifests_of(user, {START: "pending"})
        result = app.create.apply_async((user, manifests, 10 * SECONDS), soft_time_limit=2)
        with pytest.raises(SoftTimeLimitExceeded):
            result.get(SECONDS)
        if isinstance(server.cluster, EmbeddedServer):
            eventually(lambda: server.cluster.open_watches == 0, "nobody watches")
        assert "Pending" == app.status.delay(user, SECONDS).get(SECONDS)
        assert children == worker.children

    @prefork
    def test_killed_processes_neither_lose_nor_double_a_lab(
        self,
        app: ModuleType,
        extras: ModuleType,
        worker: Worker,
        server: Server,
        user: str,
        record_property: Callable[[str, object], None],
    ) -> None:
        """Processes are killed in the middle of a create; others make one lab of it, complete."""
        begun = time.monotonic()
        app.create.delay(f"{user}-undisturbed", manifests_of(f"{user}-undisturbed"), SECONDS).get(
            SECONDS
        )
        usual_seconds = time.monotonic() - begun
        seed = secrets.randbits(32)
        print(f"seed {seed}; a create takes {usual_seconds:.3f} s")
        chance = random.Random(seed)
        results = {}
        for number in range(ROUNDS):
            name = f"{user}-{number}"
            kills = [chance.uniform(0, usual_seconds) for _ in range(1 + (number % 10 == 0))]
            results[name] = app.create.apply_async(
                (name, manifests_of(name), SECONDS), headers={extras.KILLS: kills}
            )
        assert ["Running"] * ROUNDS == [result.get(SECONDS) for result in results.values()]
        # One that was killed after its result was known is delivered again all the same.
        eventually(worker.is_idle, "the tasks are acknowledged")

        deliveries = [
            int(worker.redis.get(extras.deliveries_key(result.id))) for result in results.values()
        ]
        print(f"deliveries: {sorted(deliveries)}")
        assert sum(deliveries) >= 1.5 * ROUNDS
        whole = sorted(
            (each["kind"], each["metadata"]["name"])
            for each in manifests_of()
            if each["kind"] != "Namespace"
        )
        labs = server.objects(f"lab-{user}-")
        for name, result in results.items():
            lab = labs[f"lab-{name}"]
            assert whole == names_in(lab)
            assert {manager_of(result.id)} == managers_in(lab)


class TestOnEmbeddedServer(WorkerTests):
    """The tests, on the embedded API server."""

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        """The server."""
        with EmbeddedServer() as cluster:
            kubeconfig = tmp_path_factory.mktemp("embedded") / "kubeconfig"
            kubeconfig.write_text(json.dumps(cluster.kubeconfig()))
            yield Server(cluster, kubeconfig)


class TestOnControlPlane(WorkerTests):
    """The tests, on a real API server, by the documented role."""

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, control_plane: Cluster, lab_role: str) -> Iterator[Server]:
        """The server."""
        server = Server(control_plane, control_plane.kubeconfig("lab"))
        yield server
        server.discard_labs()


def test_all_errors_are_tried() -> None:
    """No class of error is left out above."""
    assert {name for name in lab_storage.__all__ if name.endswith("Error")} == {
        type(error).__name__ for error in ERRORS
    }

"""`lab_storage.celery` in a real worker, on a real broker."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import logging
import random
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
import structlog
from kubernetes import client

import lab_storage
from lab_storage import (
    KubernetesError,
    LabStorage,
    OperationTimeoutError,
    PodDiagnosis,
    PodStartError,
    PodTrouble,
)
from lab_storage._api.creation import manager_of
from lab_storage.diagnosis import diagnose
from lab_storage.testing import EmbeddedServer
from tests.plane.remote import Cluster
from tests.support.labs import brief_lab_of, lab_of, manifests_of, timeout_of

pytest.importorskip("celery", reason="Celery is not installed (extra `programs`)")
pytest.importorskip("redis", reason="redis is not installed (extra `programs`)")

from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError
from celery.result import AsyncResult, ResultSet
from celery.signals import before_task_publish

from .celery_processes import (
    CONCURRENCY,
    SECONDS,
    Worker,
    eventually,
    redis_server,
    sending_app,
)

START = "lab-storage.test/start"
DELAY = "lab-storage.test/delay"
USERS = "celery-"
#: An error of each class, with a value of its own in each attribute.
ERRORS = [
    lab_storage.LabStorageError("anything"),
    KubernetesError(
        "no", "jovyan", "Pod", "lab-jovyan", "lab", 403, "Forbidden", "{}", "Creating lab"
    ),
    lab_storage.ManifestError("Pod lab", "spec.containers[0].image", "is required"),
    lab_storage.MissingObjectError("Secret", "token", "lab-jovyan"),
    lab_storage.MissingSecretError("Secret", "token", "lab-jovyan"),
    lab_storage.OperationCancelledError("Creating lab", "jovyan"),
    OperationTimeoutError("Creating lab", "jovyan", 30.25, "503 ServiceUnavailable"),
    PodStartError("lab", "lab-jovyan", "notebook", "ErrImagePull", "not found"),
    PodStartError("lab", "lab-jovyan", None, "Unschedulable", None, diagnose({}, [])),
]


def random_numbers() -> tuple[random.Random, int]:
    """Give random numbers, and the seed by which they can be had again."""
    seed = secrets.randbits(32)
    return random.Random(seed), seed


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis of our own."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="module")
def app(broker: str) -> Iterator[ModuleType]:
    """The example, as somebody imports it who sends tasks."""
    with sending_app(broker) as app:
        yield app


@pytest.fixture(scope="module")
def extras(app: ModuleType) -> ModuleType:
    """What is in the worker besides."""
    return importlib.import_module("tests.programs.celery_worker")


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

    def await_no_watches(self) -> None:
        """Return once nobody watches. A real server does not tell, and is not asked."""
        cluster = self.cluster
        if isinstance(cluster, EmbeddedServer):
            eventually(lambda: cluster.open_watches == 0, "nobody watches")

    def discard_labs(self) -> None:
        """Have all labs deleted; their end is not waited for."""
        with self.storage() as storage, self.cluster.api_client() as admin:
            for name in storage.list_namespaces(f"lab-{USERS}", timeout_of(SECONDS)):
                with contextlib.suppress(client.ApiException):
                    client.CoreV1Api(admin).delete_namespace(name)


def await_progress(result: AsyncResult) -> None:
    """Return once a running task has told an event."""
    eventually(
        lambda: result.backend.get_task_meta(result.id)["status"] == "PROGRESS",
        "the task tells its progress",
    )


def final_states(results: list[AsyncResult]) -> set[str]:
    """What the backend says now; a result keeps what it was told first."""
    return {AsyncResult(result.id, app=result.app).state for result in results}


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


def made_at_first(server: EmbeddedServer, user: str) -> int:
    """How many objects had been made when the creation of a lab was begun again; else none."""
    made = [
        request.resource
        for request in server.requests
        if request.verb == "create" and f"lab-{user}" in (request.namespace, request.name)
    ]
    return made.index("namespaces", 1) if made.count("namespaces") > 1 else 0


prefork = pytest.mark.parametrize("worker", ["prefork"], indirect=True)


@pytest.mark.usefixtures("worker")
class WorkerTests:
    """What holds on any server."""

    #: Of kills in the middle of a create.
    ROUNDS: ClassVar[int] = 50

    @pytest.fixture(scope="class", params=["prefork", "threads", "gevent"])
    @classmethod
    def worker(
        cls,
        request: pytest.FixtureRequest,
        app: ModuleType,
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

    def test_lab_lives_from_create_to_delete(self, app: ModuleType, user: str) -> None:
        """The four tasks do what they say, and events are told while a lab starts."""
        states: list[dict[str, Any]] = []
        lab = brief_lab_of(user, {DELAY: "0.5"})
        assert "Running" == app.labs.create.delay(user, lab.to_manifests(), SECONDS).get(
            SECONDS, on_message=states.append
        )
        assert "Running" == app.labs.status.delay(user, SECONDS).get(SECONDS)
        labs = app.labs.reconcile.delay(SECONDS).get(SECONDS)
        assert "Running" == labs[user]["phase"]
        assert "small" == labs[user]["environment"]["CONTAINER_SIZE"]
        assert app.labs.delete.delay(user, SECONDS).get(SECONDS) is None
        assert app.labs.status.delay(user, SECONDS).get(SECONDS) is None
        assert user not in app.labs.reconcile.delay(SECONDS).get(SECONDS)

        told = [each["result"]["events"] for each in states if each["status"] == "PROGRESS"]
        # The state is also told anew when the task waits for something else.
        progress = [events for events, _ in itertools.groupby(told)]
        assert [progress[-1][:length] for length in range(1, len(progress) + 1)] == progress
        # Not always the first: kube-scheduler tells it beside what it does.
        assert any(each.startswith("Successfully assigned") for each in progress[-1])
        assert "SUCCESS" == states[-1]["status"]

    def test_manifests_are_not_shown(
        self, app: ModuleType, worker: Worker, server: Server, user: str
    ) -> None:
        """Their secrets are neither in what a worker says of its tasks, nor in results."""
        manifests = manifests_of(user, {START: "pending"})
        result = app.labs.create.delay(user, manifests, 10 * SECONDS)
        await_progress(result)
        inspect = app.app.control.inspect()
        said = [inspect.active(), inspect.reserved(), inspect.query_task(result.id)]
        said.append(result.backend.get_task_meta(result.id))
        result.revoke(terminate=True)
        with pytest.raises(TaskRevokedError):
            result.get(SECONDS)
        eventually(worker.is_idle, "the task is acknowledged")
        server.await_no_watches()
        done = app.labs.status.delay(f"{user}-none", SECONDS)
        assert done.get(SECONDS) is None
        said.append(done.backend.get_task_meta(done.id))
        assert result.id in repr(said[0])
        assert "not-a-secret" not in repr(said)
        assert f"{user}-none" not in repr(said)

    def test_state_says_what_is_waited_for(
        self, app: ModuleType, worker: Worker, server: Server, user: str
    ) -> None:
        """Before there is a pod, there are no events that would."""
        lab = lab_of(user)
        lab.pod.spec.service_account_name = "late"
        result = app.labs.create.delay(user, lab.to_manifests(), 10 * SECONDS)

        def waits() -> Any:
            state = result.backend.get_task_meta(result.id)
            return state["status"] == "PROGRESS" and state["result"]["waiting_for"]

        eventually(waits, "the task says what it waits for")
        what = waits()
        result.revoke(terminate=True)
        with pytest.raises(TaskRevokedError):
            result.get(SECONDS)
        eventually(worker.is_idle, "the task is acknowledged")
        server.await_no_watches()
        assert f"ServiceAccount lab-{user}/late does not exist yet" == what

    def test_revocation_cancels(
        self, app: ModuleType, worker: Worker, server: Server, user: str
    ) -> None:
        """Tasks that wait for a pod end, and the worker goes on with others."""
        users = [f"{user}-{number}" for number in range(CONCURRENCY - 1)]
        results = [
            app.labs.create.delay(each, manifests_of(each, {START: "pending"}), 10 * SECONDS)
            for each in users
        ]
        for each, result in zip(users, results, strict=True):
            await_progress(result)
            assert "Pending" == app.labs.status.delay(each, SECONDS).get(SECONDS)

        app.app.control.revoke([result.id for result in results], terminate=True)
        for result in results:
            with pytest.raises(TaskRevokedError):
                result.get(SECONDS)
        eventually(worker.is_idle, "the tasks are acknowledged")
        server.await_no_watches()
        if isinstance(server.cluster, EmbeddedServer):
            number = len(server.cluster.requests)
        assert "Pending" == app.labs.status.delay(users[0], SECONDS).get(SECONDS)
        if isinstance(server.cluster, EmbeddedServer):
            assert number + 1 == len(server.cluster.requests)
        assert {"REVOKED"} == final_states(results)

    def test_revocation_at_any_moment_is_final(
        self, app: ModuleType, worker: Worker, server: Server, user: str
    ) -> None:
        """Before, while and after it begins: a task that is revoked does not go on."""
        chance, seed = random_numbers()
        print(f"seed {seed}")
        results = []
        for number in range(12):
            name = f"{user}-{number}"
            manifests = manifests_of(name, {START: "pending"})
            results.append(app.labs.create.delay(name, manifests, 10 * SECONDS))
            time.sleep(chance.uniform(0, 0.05))
            results[-1].revoke(terminate=True)
        for result in results:
            with pytest.raises(TaskRevokedError):
                result.get(SECONDS)
        eventually(worker.is_idle, "the tasks are acknowledged")
        server.await_no_watches()
        assert app.labs.status.delay(f"{user}-none", SECONDS).get(SECONDS) is None
        assert {"REVOKED"} == final_states(results), f"seed {seed}"

    @prefork
    def test_revocation_ends_a_process_that_drops_exceptions(
        self, extras: ModuleType, worker: Worker
    ) -> None:
        """As CPython drops one that is raised in ``__del__``; the task ends all the same."""
        place = secrets.token_hex(4)
        result = extras.work_on.delay(place, 10 * SECONDS)
        told = worker.redis.blpop([place], timeout=SECONDS)
        assert told, "the task has begun"
        pid = int(told[1])
        assert pid in worker.children
        result.revoke(terminate=True)
        with pytest.raises(TaskRevokedError):
            result.get(SECONDS)
        eventually(lambda: pid not in worker.children, "the process has ended")

    def test_conflict_comes_back_as_it_was_raised(
        self, app: ModuleType, server: Server, user: str
    ) -> None:
        """A caller sees of another operation's lab what a caller of the library sees."""
        with server.storage() as storage:
            storage.create(lab_of(user), timeout_of(SECONDS, user))
            with pytest.raises(KubernetesError) as here:
                storage.create(lab_of(user), timeout_of(SECONDS, user, "Creating lab"))
        with pytest.raises(KubernetesError) as there:
            app.labs.create.delay(user, manifests_of(user), SECONDS).get(SECONDS)
        assert 409 == there.value.status
        assert here.value.args == there.value.args

    def test_failed_start_comes_back_as_it_was_raised(self, app: ModuleType, user: str) -> None:
        """A caller is told which container waits for what."""
        manifests = manifests_of(user, {START: "image-pull-back-off"})
        with pytest.raises(PodStartError) as error:
            app.labs.create.delay(user, manifests, SECONDS).get(SECONDS)
        assert ("lab", f"lab-{user}", "notebook") == error.value.args[:3]
        assert error.value.reason in {"ErrImagePull", "ImagePullBackOff"}
        assert (error.value.message or "").endswith("not found")
        assert isinstance(error.value.diagnosis, PodDiagnosis)
        assert PodTrouble.IMAGE == error.value.diagnosis.trouble

    def test_deadline_comes_back_as_it_was_raised(self, app: ModuleType, user: str) -> None:
        """A caller is told what was being waited for."""
        manifests = manifests_of(user, {START: "pending"})
        with pytest.raises(OperationTimeoutError) as error:
            app.labs.create.delay(user, manifests, 1.5).get(SECONDS)
        assert ("Creating lab", user) == (error.value.operation, error.value.user)
        assert error.value.elapsed >= 1.5
        assert (error.value.last or "").startswith("the pod is Pending")

    @prefork
    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    def test_every_error_comes_back_with_its_attributes(
        self, extras: ModuleType, error: Exception
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
        result = app.labs.create.apply_async((user, manifests, 10 * SECONDS), soft_time_limit=2)
        with pytest.raises(SoftTimeLimitExceeded):
            result.get(SECONDS)
        server.await_no_watches()
        assert "Pending" == app.labs.status.delay(user, SECONDS).get(SECONDS)
        assert children == worker.children

    @prefork
    def test_tasks_of_a_killed_worker_are_taken_over(
        self, app: ModuleType, worker: Worker, server: Server, user: str
    ) -> None:
        """The whole worker is killed in the middle of a create; the next one completes it."""
        try:
            result = app.labs.create.delay(user, manifests_of(user, {DELAY: "1.5"}), SECONDS)
            await_progress(result)
            worker.kill()
            worker.start(visibility_seconds=0.5)
            assert "Running" == result.get(SECONDS)
            assert {manager_of(result.id)} == managers_in(
                server.objects(f"lab-{user}")[f"lab-{user}"]
            )
        finally:
            worker.stop()
            worker.start()

    @prefork
    def test_killed_processes_neither_lose_nor_double_a_lab(
        self,
        app: ModuleType,
        extras: ModuleType,
        worker: Worker,
        server: Server,
        user: str,
    ) -> None:
        """Processes are killed in the middle of a create; others make one lab of it, complete."""
        chance, seed = random_numbers()
        print(f"seed {seed}")
        results = {}
        for number in range(self.ROUNDS):
            name = f"{user}-{number}"
            # Some 20 requests make a lab and wait for its pod; each takes milliseconds.
            kills = [
                (chance.randint(1, 20), chance.uniform(0, 0.01))
                for _ in range(1 + (number % 10 == 0))
            ]
            results[name] = app.labs.create.apply_async(
                (name, manifests_of(name), SECONDS), headers={extras.KILLS: kills}
            )
        assert ["Running"] * self.ROUNDS == [result.get(SECONDS) for result in results.values()]
        # One that was killed after its result was known is delivered again all the same.
        eventually(worker.is_idle, "the tasks are acknowledged")

        deliveries = [
            int(worker.redis.get(extras.deliveries_key(result.id))) for result in results.values()
        ]
        # Most of the kills have hit, and in the middle.
        assert sum(deliveries) >= 1.5 * self.ROUNDS
        if isinstance(server.cluster, EmbeddedServer):
            half_made = [name for name in results if made_at_first(server.cluster, name) > 1]
            assert len(half_made) >= self.ROUNDS / 4
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

    # Each costs a namespace of the real server, with what it takes to go.
    ROUNDS = 15

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, control_plane: Cluster, lab_role: str) -> Iterator[Server]:
        """The server."""
        del lab_role  # it is in force now
        server = Server(control_plane, control_plane.kubeconfig("lab"))
        yield server
        server.discard_labs()


@pytest.mark.usefixtures("broker")
def test_logs_and_events_do_not_show_secrets(app: ModuleType) -> None:
    """What Celery shows of arguments stands in the headers of the message."""
    sent: list[dict[str, Any]] = []

    def keep(headers: dict[str, Any], **_: Any) -> None:
        sent.append(headers)

    before_task_publish.connect(keep)
    app.labs.create.delay("jovyan", manifests_of(), 60)
    app.labs.create.delay(username="jovyan", manifests=manifests_of(), seconds=60)
    app.app.backend.client.flushall()
    assert [("(…)", "{…}")] * 2 == [(each["argsrepr"], each["kwargsrepr"]) for each in sent]
    assert "not-a-secret" not in repr(sent)


def test_pools_log_no_arguments(caplog: pytest.LogCaptureFixture) -> None:
    """At level debug, Celery's pools log what they are given."""
    with caplog.at_level(logging.DEBUG, "celery.pool"):
        logging.getLogger("celery.pool").debug(
            "TaskPool: Apply %s (args:%s kwargs:%s)", "trace", ["not-a-secret"], {}
        )
    assert ["TaskPool: Apply trace (args:(…) kwargs:{…})"] == caplog.messages


def test_all_errors_are_tried() -> None:
    """No class of error is left out above."""
    assert {name for name in lab_storage.__all__ if name.endswith("Error")} == {
        type(error).__name__ for error in ERRORS
    }

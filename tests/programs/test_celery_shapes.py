"""`lab_storage.celery` where labs share a namespace, or leave their claims."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterator
from typing import Any

import pytest
import structlog
import yaml
from kubernetes import client

from lab_storage import (
    KubernetesError,
    LabObjectNames,
    LabObjects,
    LabStorage,
    OperationTimeoutError,
    PodStartError,
    RequestRecord,
)
from lab_storage.testing import EmbeddedServer
from tests.plane.programs import ROOT
from tests.support.labs import brief_lab_of, manifests_of

pytest.importorskip("celery", reason="Celery is not installed (extra `programs`)")

from celery import Celery

from lab_storage.celery import LabTasks, make_tasks

SHARED_LAB = (ROOT / "docs" / "examples" / "lab-shared.yaml").read_text()
CLAIM = "PersistentVolumeClaim"
SHARED = "notebooks"
SECONDS = 30.0


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """An API server."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def core(server: EmbeddedServer) -> client.CoreV1Api:
    """What others do with it; there is a namespace to share."""
    core = client.CoreV1Api(server.api_client())
    core.create_namespace({"metadata": {"name": SHARED}})
    return core


def tasks_of(server: EmbeddedServer, **options: Any) -> LabTasks:
    """Tasks of an app without a broker, which are run here."""
    app = Celery("labs", broker="memory://", backend="cache+memory://", set_as_current=False)

    def make_storage() -> LabStorage:
        return LabStorage(server.api_client(), structlog.get_logger())

    return make_tasks(app, make_storage=make_storage, **options)


def run(task: Any, *arguments: Any, task_id: str | None = None) -> Any:
    """Run a task here: give its result, or raise its error."""
    # As the broker would carry them.
    return task.apply(json.loads(json.dumps(arguments)), task_id=task_id).get()


def shared_manifests(user: str) -> list[dict[str, Any]]:
    """The manifests of a user's lab in the shared namespace."""
    return list(yaml.safe_load_all(SHARED_LAB.replace("-jovyan", f"-{user}")))


def uids(core: client.CoreV1Api, namespace: str) -> dict[str, str]:
    """The UIDs of the pods and claims of a namespace, by name."""
    lists = core.list_namespaced_pod, core.list_namespaced_persistent_volume_claim
    items = [each.metadata for list_ in lists for each in list_(namespace).items]
    return {each.name: each.uid for each in items}


def test_labs_share_a_namespace(server: EmbeddedServer, core: client.CoreV1Api) -> None:
    """One is stopped and started; its claim stays, and so does all of the other one."""
    labs = tasks_of(server, namespace=SHARED, keep=[CLAIM])
    ada, bob = shared_manifests("ada"), shared_manifests("bob")
    assert ["Running"] * 2 == [
        run(labs.create, user, lab, SECONDS) for user, lab in {"ada": ada, "bob": bob}.items()
    ]
    before = uids(core, SHARED)
    assert {"claim-ada", "claim-bob", "lab-ada", "lab-bob"} == set(before)

    run(labs.delete, "ada", SECONDS, ada)
    assert {each: before[each] for each in before if each != "lab-ada"} == uids(core, SHARED)
    assert (None, "Running") == (
        run(labs.status, "ada", SECONDS),
        run(labs.status, "bob", SECONDS),
    )
    assert "Running" == run(labs.create, "ada", ada, SECONDS)
    after = uids(core, SHARED)
    assert ["lab-ada"] == [each for each in before if before[each] != after[each]]
    assert SHARED == labs.names_of("ada").namespace


def test_reasons_to_fail_at_once_can_be_chosen(server: EmbeddedServer) -> None:
    """With a cluster autoscaler, an unschedulable pod has to be waited for."""
    server.script_pods(start="image-pull-back-off")
    manifests = brief_lab_of("ada").to_manifests()
    with pytest.raises(PodStartError):
        run(tasks_of(server).create, "ada", manifests, SECONDS, task_id="one")
    with pytest.raises(OperationTimeoutError):
        run(tasks_of(server, fail_fast=[]).create, "ada", manifests, 1.5, task_id="one")
    with pytest.raises(TypeError, match="not a str"):
        tasks_of(server, fail_fast="Unschedulable")


def test_tasks_wait_and_read_by_one_watch(server: EmbeddedServer, core: client.CoreV1Api) -> None:
    """With a live storage no wait has a watch of its own, and reading again costs no request."""
    del core  # has made the namespace
    records: list[RequestRecord] = []

    def made() -> list[tuple[str, str]]:
        # The shared watch's own requests have no user.
        return [(each.verb, each.kind) for each in records if each.user is not None]

    @functools.cache
    def make_storage() -> LabStorage:
        storage = LabStorage(server.api_client(), structlog.get_logger(), observer=records.append)
        return storage.live(namespace=SHARED)

    app = Celery("labs", broker="memory://", backend="cache+memory://", set_as_current=False)
    labs = make_tasks(app, make_storage=make_storage, namespace=SHARED)
    with make_storage():
        for user in ("ada", "bob"):
            assert "Running" == run(labs.create, user, shared_manifests(user), SECONDS)
            assert "Running" == run(labs.status, user, SECONDS)
        before = made()
        for user in ("ada", "bob"):
            assert "Running" == run(labs.status, user, SECONDS)
        assert before == made()
    assert ("create", "Pod") in made()
    assert ("watch", "Pod") not in made()


def test_only_requests_in_the_shared_namespace_are_made(
    server: EmbeddedServer, core: client.CoreV1Api
) -> None:
    """So a Role is enough."""
    del core  # has made the namespace
    labs = tasks_of(server, namespace=SHARED)
    before = len(server.requests)
    lab = shared_manifests("ada")
    run(labs.create, "ada", lab, SECONDS)
    run(labs.reconcile, SECONDS, ["ada"])
    run(labs.delete, "ada", SECONDS, lab)
    made = server.requests[before:]
    assert {SHARED} == {each.namespace for each in made}
    assert "namespaces" not in {each.resource for each in made}


def test_task_that_is_run_again_makes_one_lab_in_a_shared_namespace(
    server: EmbeddedServer, core: client.CoreV1Api
) -> None:
    """The id of the task says that it is the same."""
    labs = tasks_of(server, namespace=SHARED)
    lab = shared_manifests("ada")
    run(labs.create, "ada", lab, SECONDS, task_id="once")
    before = uids(core, SHARED)
    run(labs.create, "ada", lab, SECONDS, task_id="once")
    assert before == uids(core, SHARED)
    with pytest.raises(KubernetesError) as error:
        run(labs.create, "ada", lab, SECONDS, task_id="another")
    assert 409 == error.value.status


def test_claim_stays_in_a_namespace_of_its_own(
    server: EmbeddedServer, core: client.CoreV1Api
) -> None:
    """The namespace stays with it, and the next lab has it."""
    labs = tasks_of(server, keep=[CLAIM])
    lab = manifests_of("ada")
    run(labs.create, "ada", lab, SECONDS)
    before = uids(core, "lab-ada")
    without_values = [
        {field: value for field, value in each.items() if field not in {"data", "stringData"}}
        for each in lab
    ]
    run(labs.delete, "ada", SECONDS, without_values)
    assert [] == core.list_namespaced_secret("lab-ada").items
    assert {"lab-scratch": before["lab-scratch"]} == uids(core, "lab-ada")
    assert {"ada": None} == run(labs.reconcile, SECONDS)
    run(labs.create, "ada", lab, SECONDS)
    assert before["lab-scratch"] == uids(core, "lab-ada")["lab-scratch"]


def test_kinds_to_keep_count_for_every_task(
    server: EmbeddedServer, core: client.CoreV1Api
) -> None:
    """Also if they come from an iterator: a typing error must not cost a volume."""
    labs = tasks_of(server, namespace=SHARED, keep=iter([CLAIM]))
    lab = shared_manifests("ada")
    for _ in range(2):
        run(labs.create, "ada", lab, SECONDS)
        run(labs.delete, "ada", SECONDS, lab)
        assert ["claim-ada"] == list(uids(core, SHARED))
    with pytest.raises(TypeError, match="keep must be a collection of kinds, not a str"):
        tasks_of(server, keep=CLAIM)


@pytest.mark.parametrize(("namespace", "keep"), [(SHARED, []), (None, [CLAIM])])
def test_delete_needs_the_manifests_where_the_namespace_stays(
    server: EmbeddedServer, namespace: str | None, keep: Collection[str]
) -> None:
    """The error says so, and nothing is sent."""
    labs = tasks_of(server, namespace=namespace, keep=keep)
    with pytest.raises(ValueError, match=r"^delete needs the manifests of the lab"):
        run(labs.delete, "ada", SECONDS)
    assert () == tuple(server.requests)


def test_delete_does_not_need_the_manifests_otherwise(
    server: EmbeddedServer, core: client.CoreV1Api
) -> None:
    """With or without them, all goes with the namespace."""
    labs = tasks_of(server)
    lab = brief_lab_of("ada").to_manifests()
    for further in [], [lab]:
        run(labs.create, "ada", lab, SECONDS)
        run(labs.delete, "ada", SECONDS, *further)
        assert "lab-ada" not in {each.metadata.name for each in core.list_namespace().items}


def test_reconcile_reads_the_labs_of_the_users_that_are_named(
    server: EmbeddedServer, core: client.CoreV1Api
) -> None:
    """In a shared namespace nothing says whose an object is, and the error says so."""
    del core  # has made the namespace
    labs = tasks_of(server, namespace=SHARED)
    run(labs.create, "ada", shared_manifests("ada"), SECONDS)
    whole = {"phase": "Running", "environment": {"CONTAINER_SIZE": "small"}}
    assert {"ada": whole, "bob": None} == run(labs.reconcile, SECONDS, ["ada", "bob"])
    before = len(server.requests)
    with pytest.raises(ValueError, match=r"^reconcile needs usernames"):
        run(labs.reconcile, SECONDS)
    assert before == len(server.requests)


def test_reconcile_may_name_users_in_namespaces_of_their_own(server: EmbeddedServer) -> None:
    """Then no namespaces are listed."""
    labs = tasks_of(server)
    for user in "ada", "bob":
        run(labs.create, user, manifests_of(user), SECONDS)
    before = len(server.requests)
    assert ["ada"] == list(run(labs.reconcile, SECONDS, ["ada"]))
    assert {"lab-ada"} == {each.namespace for each in server.requests[before:]}
    assert ["ada", "bob"] == sorted(run(labs.reconcile, SECONDS))


def test_names_in_another_namespace_are_refused(server: EmbeddedServer) -> None:
    """They would make labs where nobody looks for them."""

    def names_of(user: str) -> LabObjectNames:
        return LabObjectNames(user, "elsewhere", f"env-{user}", f"quota-{user}", f"lab-{user}")

    labs = tasks_of(server, namespace=SHARED, names_of=names_of)
    with pytest.raises(ValueError, match=r"^names_of must give the shared namespace 'notebooks'"):
        run(labs.create, "ada", shared_manifests("ada"), SECONDS)
    assert () == tuple(server.requests)


def test_senders_make_a_lab_by_the_names_of_the_tasks(server: EmbeddedServer) -> None:
    """As the guide says."""
    labs = tasks_of(server, namespace=SHARED)
    lab = LabObjects.from_manifests(
        shared_manifests("ada"), labs.names_of("ada"), shared_namespace=True
    )
    assert (None, "lab-ada") == (lab.namespace, lab.pod.metadata.name)

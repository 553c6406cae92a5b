"""One object is made once, whatever the server, other people and earlier attempts do."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from lab_storage import KubernetesError, LabObjects, OperationTimeoutError
from lab_storage._api import creation, retry
from lab_storage._api.call import Call
from lab_storage._api.creation import MANAGER_ANNOTATION, manager_of
from lab_storage._api.request import Request
from lab_storage._manifests.kinds import CONFIG_MAP, NAMESPACE, POD, SECRET, Kind
from lab_storage._manifests.sealed import Sealed
from tests.support.calls import call_of
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.pauses import SetPauses
from tests.support.states import LAB, NAMES, POD_PATH
from tests.support.villain import (
    Act,
    Cluster,
    Seen,
    Villain,
    json_answer,
    reset,
    status,
    stream,
)

MANAGER = manager_of("lab-start-4711")
NAMESPACE_PATH = f"/api/v1/namespaces/{NAMES.namespace}"
DYING = "2026-11-24T06:00:00Z"


@pytest.fixture(autouse=True)
def _impatient(set_pauses: SetPauses) -> None:
    """Pauses are short."""
    set_pauses(0.002)


def manifest_of(kind: Kind) -> Sealed[dict[str, Any]]:
    """Give as little of an object as there can be."""
    metadata = {"name": "lab"} if kind is NAMESPACE else {"name": "lab", "namespace": "lab-jovyan"}
    return Sealed({"apiVersion": "v1", "kind": kind.name, "metadata": metadata})


def create(call: Call, kind: Kind = POD, *, may_exist: bool = False) -> bool:
    """Create an object."""
    return creation.create(call, kind, manifest_of(kind), MANAGER, may_exist=may_exist)


def posts(villain: Villain) -> int:
    """Count the creations that were asked for."""
    return sum(each.method == "POST" for each in villain.requests)


class TestBrokenServers:
    """Of several servers behind a balancer, some fail each request."""

    @pytest.mark.parametrize("act", [status(503), reset], ids=["503", "reset"])
    @pytest.mark.parametrize("may_exist", [False, True])
    @pytest.mark.parametrize("turns", ["10", "01", "110", "101", "011", "1110", "0111", "11110"])
    def test_creation_ends(self, turns: str, may_exist: bool, act: Act, logger: Any) -> None:
        """The looks before another POST do not keep step with the server that works."""

        def before(_: Seen) -> Act | None:
            return act if turns[(len(villain.requests) - 1) % len(turns)] == "1" else None

        cluster = Cluster(before)
        with Villain(cluster) as villain:
            call = call_of(timeout_of(10), logger, villain.api_client())
            assert create(call, may_exist=may_exist)
            assert [POD_PATH] == cluster.created

    def test_lab_is_made_by_every_second_request(
        self, storage_of: StorageOf, lab: LabObjects
    ) -> None:
        """Whatever is asked for side by side."""

        def before(_: Seen) -> Act | None:
            return status(503) if len(villain.requests) % 2 else None

        cluster = Cluster(before)
        with Villain(cluster) as villain:
            storage_of(villain).create(lab, timeout_of(20))

        assert POD_PATH == cluster.created[-1]

    def test_connection_that_gave_a_5xx_is_not_used_again(self, storage_of: StorageOf) -> None:
        """Behind a balancer it leads to the server that is broken."""

        def before(request: Seen) -> Act | None:
            return status(503) if request.connection == 1 else None

        cluster = Cluster(before)
        cluster.put(POD_PATH, {"kind": "Pod", "status": {"phase": "Running"}})
        with Villain(cluster) as villain:
            storage_of(villain).read_pod_phase(NAMES, timeout_of(5))
            storage_of(villain).read_pod_phase(NAMES, timeout_of(5))
            assert [1, 2] == [each.connection for each in villain.requests][:2]


@pytest.mark.parametrize(("may_exist", "looks"), [(False, 1), (True, 2)])
def test_lost_answer_is_looked_for_before_another_post(
    may_exist: bool, looks: int, logger: Any
) -> None:
    """A second POST would be charged to the quota once more."""
    cluster = Cluster(after=lambda request: reset if request.method == "POST" else None)
    with Villain(cluster) as villain:
        call = call_of(timeout_of(10), logger, villain.api_client())
        create(call, may_exist=may_exist)
        assert ["GET", "POST", "GET"][-1 - looks :] == [each.method for each in villain.requests]


class TestRefusalsThatPass:
    """What a creation is refused for, and is not any more a moment later."""

    @pytest.mark.parametrize("kind", ["clusterresourcequotas", "resourcequotas", "pods", ""])
    def test_any_conflict_is_tried_again(self, kind: str, logger: Any) -> None:
        """Somebody has written to what the server wanted to write to, whatever it is."""
        refusals = [status(409, "Conflict", "the object has been modified", {"kind": kind})] * 3

        def before(request: Seen) -> Act | None:
            return refusals.pop() if refusals and request.method == "POST" else None

        with Villain(Cluster(before)) as villain:
            assert create(call_of(timeout_of(5), logger, villain.api_client()))
            assert (4, 4) == (posts(villain), len(villain.requests))

    def test_conflict_without_a_reason_is_final(self, logger: Any) -> None:
        """It is not one that Kubernetes describes."""
        with Villain(status(409, "")) as villain:
            call = call_of(timeout_of(5), logger, villain.api_client())
            with pytest.raises(KubernetesError, match="409"):
                create(call)
            assert 1 == len(villain.requests)

    LATE = pytest.mark.parametrize(
        "act",
        [
            status(403, "Forbidden", 'pods is forbidden: User "hub" cannot create resource'),
            status(
                403, "Forbidden", 'pods "lab" is forbidden: unable to validate against any scc'
            ),
            status(404, "NotFound", 'namespaces "lab-jovyan" not found'),
            status(409, "", "provided IP is already allocated"),
        ],
        ids=["rights", "security context", "namespace", "service address"],
    )

    @LATE
    def test_in_a_namespace_of_this_call_it_is_tried_again(self, act: Act, logger: Any) -> None:
        """Controllers of OpenShift and Rancher are late there."""
        refusals = [act] * 3

        def before(request: Seen) -> Act | None:
            return refusals.pop() if refusals and request.method == "POST" else None

        with Villain(Cluster(before)) as villain:
            call = call_of(timeout_of(5), logger, villain.api_client())
            call.note_namespace_made()
            assert create(call.part())
            assert 4 == len(villain.requests)

    @LATE
    def test_but_not_for_long(
        self, act: Act, logger: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After five seconds it is what it says, long before the deadline."""
        assert 5.0 == retry.NEW_NAMESPACE_SECONDS
        monkeypatch.setattr("lab_storage._api.call.NEW_NAMESPACE_SECONDS", 0.2)
        timeout = timeout_of(30)
        with Villain(act) as villain:
            call = call_of(timeout, logger, villain.api_client())
            call.note_namespace_made()
            with pytest.raises(KubernetesError):
                create(call)
            assert 1 < len(villain.requests)
        assert timeout.elapsed() < 5

    @LATE
    def test_elsewhere_it_is_final(self, act: Act, logger: Any) -> None:
        """In a namespace that was there before, and for one itself."""
        with Villain(act) as villain:
            call = call_of(timeout_of(5), logger, villain.api_client())
            with pytest.raises(KubernetesError):
                create(call)
            call.note_namespace_made()
            with pytest.raises(KubernetesError):
                create(call, NAMESPACE)
            assert 2 == len(villain.requests)

    @pytest.mark.parametrize(
        "act",
        [
            status(403, "Forbidden", 'pods "lab" is forbidden: exceeded quota: q'),
            status(403, "Forbidden", 'pods "lab" is forbidden: unable to create new content in '
                   "namespace lab-jovyan because it is being terminated"),
            status(409, "AlreadyExists", 'pods "lab" already exists'),
            status(422, "Invalid", 'Pod "lab" is invalid'),
        ],
        ids=["quota", "terminating", "exists", "invalid"],
    )  # fmt: skip
    def test_some_are_final_there_too(self, act: Act, logger: Any) -> None:
        """They have nothing to do with how new it is."""

        def before(request: Seen) -> Act | None:
            return act if request.method == "POST" else None

        cluster = Cluster(before)
        cluster.put(POD_PATH, {"kind": "Pod"})
        with Villain(cluster) as villain:
            call = call_of(timeout_of(5), logger, villain.api_client())
            call.note_namespace_made()
            with pytest.raises(KubernetesError):
                create(call)
            assert 1 == posts(villain)

    def test_namespace_that_may_not_be_read_may_be_being_terminated(self, logger: Any) -> None:
        """Nobody knows whether it is this one or the one before that a server means."""
        terminating = status(403, "Forbidden", "no: it is being terminated")

        def script(request: Seen) -> Act:
            return terminating if request.method == "POST" else status(403, "Forbidden", "no")

        with Villain(script) as villain:
            call = call_of(timeout_of(5), logger, villain.api_client())
            call.note_namespace_made()
            with pytest.raises(KubernetesError, match="being terminated"):
                create(call)
            assert ["POST", "GET"] == [each.method for each in villain.requests]

    def test_late_rights_to_look_make_no_conflict(self, logger: Any) -> None:
        """The answer to the first POST was lost, and what it made may not be read yet."""
        lost, forbidden = [reset], [status(403, "Forbidden", "no")] * 2

        def before(request: Seen) -> Act | None:
            return forbidden.pop() if forbidden and request.method == "GET" else None

        def after(_: Seen) -> Act | None:
            return lost.pop() if lost else None

        with Villain(Cluster(before, after)) as villain:
            call = call_of(timeout_of(5), logger, villain.api_client())
            call.note_namespace_made()
            assert not create(call)

    def test_watch_that_is_refused_there_is_not_retried(self, storage_of: StorageOf) -> None:
        """Whoever may create a lab need not be allowed to watch, and does not lose 5 s."""

        def before(request: Seen) -> Act | None:
            return status(403, "Forbidden") if "fieldSelector" in request.query else None

        timeout = timeout_of(30)
        with Villain(Cluster(before)) as villain:
            storage_of(villain).create(LAB, timeout)
            lists = [each for each in villain.requests if "fieldSelector" in each.query]
        assert 2 == len(lists)


@pytest.mark.parametrize(
    "message",
    [
        "etcdserver: request is too large",
        "rpc error: trying to send message larger than max (2098026 vs. 2097152)",
    ],
)
@pytest.mark.parametrize("kind", [CONFIG_MAP, SECRET])
def test_what_is_too_large_is_final(message: str, kind: Kind, logger: Any) -> None:
    """The server says so with status 500, and will always."""
    with Villain(status(500, "InternalError", message)) as villain:
        call = call_of(timeout_of(5), logger, villain.api_client())
        with pytest.raises(KubernetesError) as caught:
            create(call, kind)
        assert (500, 1) == (caught.value.status, len(villain.requests))


def test_fields_that_the_server_does_not_know_are_errors(
    storage_of: StorageOf, lab: LabObjects
) -> None:
    """Each object is sent to be checked strictly."""
    with Villain(Cluster()) as villain:
        storage_of(villain).create(lab, timeout_of(10))
        queries = [each.query for each in villain.requests if each.method == "POST"]
    assert {"Strict"} == {query["fieldValidation"] for query in queries}


def fields(*managers: str) -> list[dict[str, str]]:
    """Give the managed fields of an object."""
    return [{"manager": manager, "operation": "Update"} for manager in managers]


ANCIENT = fields("ancient-changes", *[f"controller-{number}" for number in range(10)])


class TestOwner:
    """Who made an object, whoever has written to it since."""

    def test_is_known_after_many_others_have_written_to_it(
        self, storage_of: StorageOf, lab: LabObjects
    ) -> None:
        """The server keeps ten names, and calls all others ancient changes."""
        cluster = Cluster()
        with Villain(cluster) as villain:
            storage = storage_of(villain)
            storage.create(lab, timeout_of(10), operation_id="lab-start-4711")
            for content in cluster.objects.values():
                content["metadata"]["managedFields"] = ANCIENT
            before = dict(cluster.objects)
            storage.create(lab, timeout_of(10), operation_id="lab-start-4711")
            with pytest.raises(KubernetesError, match="409"):
                storage.create(lab, timeout_of(10), operation_id="lab-start-4712")

        assert before == cluster.objects

    def test_is_known_after_somebody_has_taken_the_annotations_off(
        self, storage_of: StorageOf, lab: LabObjects
    ) -> None:
        """By its managed fields."""
        cluster = Cluster()
        with Villain(cluster) as villain:
            storage = storage_of(villain)
            storage.create(lab, timeout_of(10), operation_id="lab-start-4711")
            for content in cluster.objects.values():
                content["metadata"].pop("annotations", None)
            storage.create(lab, timeout_of(10), operation_id="lab-start-4711")

    def test_annotations_of_the_manifest_are_kept(
        self, storage_of: StorageOf, lab: LabObjects
    ) -> None:
        """Ours is added to them."""
        theirs = lab.pod.metadata.annotations
        assert theirs
        cluster = Cluster()
        with Villain(cluster) as villain:
            storage_of(villain).create(lab, timeout_of(10), operation_id="lab-start-4711")

        annotations = cluster.objects[POD_PATH]["metadata"]["annotations"]
        assert {**theirs, MANAGER_ANNOTATION: MANAGER} == annotations
        assert theirs == lab.pod.metadata.annotations

    @pytest.mark.parametrize("value", [None, 5, [], {"a": MANAGER}, MANAGER + "0"])
    def test_is_another_by_any_other_annotation(self, value: Any, logger: Any) -> None:
        """Whatever stands there."""
        cluster = Cluster()
        cluster.put(POD_PATH, {"metadata": {"annotations": {MANAGER_ANNOTATION: value}}})
        with Villain(cluster) as villain:
            call = call_of(timeout_of(5), logger, villain.api_client())
            with pytest.raises(KubernetesError, match="409"):
                create(call, may_exist=True)


class TestDying:
    """What an earlier attempt has made is being deleted."""

    @pytest.fixture(params=[(POD, POD_PATH), (NAMESPACE, "/api/v1/namespaces/lab")])
    def target(self, request: pytest.FixtureRequest) -> tuple[Kind, str]:
        """A kind, and the path of one."""
        kind, path = request.param
        return kind, path

    def dying(self, cluster: Cluster, path: str) -> None:
        """Have an object that is being deleted."""
        cluster.put(path, {"kind": "Dying"}, MANAGER)
        cluster.objects[path]["metadata"]["deletionTimestamp"] = DYING

    @pytest.mark.parametrize("may_exist", [False, True])
    def test_is_waited_for_and_made_anew(
        self, may_exist: bool, target: tuple[Kind, str], logger: Any
    ) -> None:
        """It does not count as made; its end is watched for."""
        kind, path = target

        def before(request: Seen) -> Act | None:
            if not request.is_watch:
                return None
            gone = cluster.objects.pop(path)
            gone["metadata"]["resourceVersion"] = "99"
            return stream({"type": "DELETED", "object": gone})

        cluster = Cluster(before)
        self.dying(cluster, path)
        with Villain(cluster) as villain:
            call = call_of(timeout_of(5), logger, villain.api_client())
            assert create(call, kind, may_exist=may_exist)
            assert 1 == sum(each.is_watch for each in villain.requests)

        assert "deletionTimestamp" not in cluster.objects[path]["metadata"]

    def test_is_named_by_the_timeout(self, target: tuple[Kind, str], logger: Any) -> None:
        """If it does not go."""
        kind, path = target
        cluster = Cluster()
        self.dying(cluster, path)
        with Villain(cluster) as villain:
            call = call_of(timeout_of(0.4), logger, villain.api_client())
            with pytest.raises(OperationTimeoutError) as caught:
                create(call, kind, may_exist=True)
        name = "lab" if kind is NAMESPACE else "lab-jovyan/lab"
        assert f"{kind.name} {name}, made by an earlier attempt, is still being deleted" == (
            caught.value.last
        )

    def test_is_looked_at_again_where_it_may_not_be_watched(
        self, target: tuple[Kind, str], logger: Any
    ) -> None:
        """Until it is gone."""
        kind, path = target
        lists: list[Seen] = []

        def before(request: Seen) -> Act | None:
            if "fieldSelector" not in request.query:
                return None
            lists.append(request)
            if len(lists) == 3:
                del cluster.objects[path]
            return status(403, "Forbidden", "no")

        cluster = Cluster(before)
        self.dying(cluster, path)
        with Villain(cluster) as villain:
            call = call_of(timeout_of(5), logger, villain.api_client())
            assert create(call, kind, may_exist=True)

    def test_of_anothers_is_a_conflict_all_the_same(
        self, target: tuple[Kind, str], logger: Any
    ) -> None:
        """Nobody has asked for it to be replaced."""
        kind, path = target
        cluster = Cluster()
        self.dying(cluster, path)
        cluster.objects[path]["metadata"]["managedFields"] = fields("kubectl")
        with Villain(cluster) as villain:
            call = call_of(timeout_of(5), logger, villain.api_client())
            with pytest.raises(KubernetesError, match="409 AlreadyExists"):
                create(call, kind, may_exist=True)

    def test_lab_is_made_anew_once_its_namespace_is_gone(self, storage_of: StorageOf) -> None:
        """A repeat while the lab is being deleted gives a lab, and not the one that goes."""

        def before(request: Seen) -> Act | None:
            if not request.is_watch or request.path != "/api/v1/namespaces":
                return None
            gone = cluster.objects[NAMESPACE_PATH]
            cluster.objects.clear()
            gone["metadata"]["resourceVersion"] = "9999"
            return stream({"type": "DELETED", "object": gone})

        cluster = Cluster(before)
        with Villain(cluster) as villain:
            storage = storage_of(villain)
            storage.create(LAB, timeout_of(10), operation_id="lab-start-4711")
            for content in cluster.objects.values():
                content["metadata"]["deletionTimestamp"] = DYING
            storage.create(LAB, timeout_of(10), operation_id="lab-start-4711")

        contents = [cluster.objects[NAMESPACE_PATH], cluster.objects[POD_PATH]]
        assert [None, None] == [each["metadata"].get("deletionTimestamp") for each in contents]


class TestStoredQuota:
    """What is stored counts, and not what was sent."""

    def limits(self, storage_of: StorageOf, stored: Any, noted: Any) -> None:
        """Create a lab whose quota is stored and noted like that."""
        quota = {
            "metadata": {"name": NAMES.quota, "uid": "q", "resourceVersion": "5"},
            "spec": {"hard": stored},
            "status": {"hard": noted},
        }

        def before(request: Seen) -> Act | None:
            if request.method != "GET" or not request.path.endswith("/resourcequotas"):
                return None
            listed = {"metadata": {"resourceVersion": "10"}, "items": [quota]}
            return stream() if request.is_watch else json_answer(listed)

        with Villain(Cluster(before)) as villain:
            storage_of(villain).create(LAB, timeout_of(1))

    def test_limits_that_admission_took_off_are_not_waited_for(
        self, storage_of: StorageOf
    ) -> None:
        """The controller will never note them."""
        self.limits(storage_of, {"pods": "1"}, {"pods": "1"})

    def test_limits_that_admission_added_are_waited_for(self, storage_of: StorageOf) -> None:
        """The pod would be refused until they are noted."""
        noted = LAB.quota.spec.hard if LAB.quota else {}
        with pytest.raises(OperationTimeoutError, match="status of ResourceQuota"):
            self.limits(storage_of, {**noted, "count/pods": "1"}, noted)


def test_service_account_is_not_awaited_for_a_pod_that_is_there(storage_of: StorageOf) -> None:
    """A repeat of a lab whose ServiceAccount has been deleted since has nothing to wait for."""
    cluster = Cluster()
    with Villain(cluster) as villain:
        storage = storage_of(villain)
        storage.create(LAB, timeout_of(10), operation_id="lab-start-4711")
        del cluster.objects[f"{NAMESPACE_PATH}/serviceaccounts/default"]
        storage.create(LAB, timeout_of(2), operation_id="lab-start-4711")


def test_request_of_a_creation_shows_nothing_of_its_body() -> None:
    """Neither its representation nor that of the body."""
    request = Request("POST", SECRET, "a", "b", body=memoryview(b'{"data": "hunter2"}'))
    assert "hunter2" not in repr(request) + repr(attrs.asdict(request))

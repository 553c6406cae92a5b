"""Objects are made once and deleted once, whatever happens to the answers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from kubernetes import client
from structlog.testing import LogCapture

from lab_storage import KubernetesError, LabObjects, LabStorage, OperationTimeoutError
from lab_storage._api.creation import manager_of
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.pauses import SetPauses
from tests.support.states import LAB, NAMES, PENDING, POD_PATH, list_of
from tests.support.villain import (
    Act,
    Cluster,
    Seen,
    Villain,
    answer,
    hang_up,
    json_answer,
    reset,
    silence,
    status,
    stream,
    truncate,
)

NAMESPACE_PATH = f"/api/v1/namespaces/{NAMES.namespace}"
QUOTA_PATH = f"{NAMESPACE_PATH}/resourcequotas/{NAMES.quota}"
SECRET_PATH = f"{NAMESPACE_PATH}/secrets/lab-secrets"
NETWORKING_PATH = NAMESPACE_PATH.replace("/api/v1", "/apis/networking.k8s.io/v1")
PATHS = {
    NAMESPACE_PATH,
    f"{NAMESPACE_PATH}/configmaps/lab-env",
    f"{NAMESPACE_PATH}/configmaps/lab-files",
    f"{NAMESPACE_PATH}/configmaps/lab-nss",
    SECRET_PATH,
    f"{NAMESPACE_PATH}/secrets/pull-secret",
    f"{NAMESPACE_PATH}/persistentvolumeclaims/lab-scratch",
    QUOTA_PATH,
    f"{NETWORKING_PATH}/networkpolicies/lab",
    f"{NAMESPACE_PATH}/services/lab",
    POD_PATH,
}

DYING = "2026-11-24T06:00:00Z"
TERMINATING = status(
    403,
    "Forbidden",
    'pods "lab" is forbidden: unable to create new content in namespace lab-jovyan because it is '
    "being terminated",
)


def short(path: str) -> str:
    """Give the resource and name that a path ends with."""
    return "/".join(path.split("/")[-2:])


each_object = pytest.mark.parametrize("path", sorted(PATHS), ids=short)
pytestmark = pytest.mark.usefixtures("_impatient")


@pytest.fixture
def _impatient(set_pauses: SetPauses) -> None:
    """Pauses are short."""
    set_pauses(0.005)


def path_of(request: Seen) -> str:
    """Tell which object a request is about; of one for a collection, by its body."""
    return f"{request.path}/{request.json['metadata']['name']}" if request.body else request.path


def once(path: str, act: Act, count: int = 1) -> Callable[[Seen], Act | None]:
    """Give an act for the first POST, or so many, of an object."""
    rest, lock = [act] * count, threading.Lock()

    def choose(request: Seen) -> Act | None:
        with lock:
            wanted = request.method == "POST" and path_of(request) == path
            return rest.pop() if wanted and rest else None

    return choose


def posts(villain: Villain) -> Counter[str]:
    """Count the POSTs of each object."""
    return Counter(path_of(each) for each in villain.requests if each.method == "POST")


def made_by_lab(cluster: Cluster) -> list[str]:
    """Tell what was created, but for the ServiceAccount, in order."""
    return [path for path in cluster.created if "/serviceaccounts/" not in path]


def create(storage: LabStorage, operation_id: str | None = None, lab: Any = None) -> None:
    """Create the lab, in no time."""
    storage.create(lab or LAB, timeout_of(10), operation_id=operation_id)


class TestCreate:
    """The ordinary course."""

    def test_makes_every_object_once(self, storage_of: StorageOf) -> None:
        """The namespace first and the pod last."""
        cluster = Cluster()
        with Villain(cluster) as villain:
            create(storage_of(villain))

        assert sorted(PATHS) == sorted(made_by_lab(cluster))
        assert (NAMESPACE_PATH, POD_PATH) == (cluster.created[0], cluster.created[-1])
        assert dict.fromkeys(PATHS, 1) == posts(villain)

    def test_says_who_makes_them(self, storage_of: StorageOf) -> None:
        """By the field manager, the same for all, of at most 128 characters."""
        with Villain(Cluster()) as villain:
            create(storage_of(villain), "o" * 1000)

        managers = {each.query["fieldManager"] for each in villain.requests if each.body}
        assert {manager_of("o" * 1000)} == managers
        assert len(managers.pop()) <= 128

    def test_deletes_and_changes_nothing(self, storage_of: StorageOf) -> None:
        """It creates and reads."""
        with Villain(Cluster()) as villain:
            create(storage_of(villain))

        assert {"GET", "POST"} == {each.method for each in villain.requests}

    def test_logs_each_object(self, storage_of: StorageOf, log: LogCapture) -> None:
        """With whose it is, what and where."""
        with Villain(Cluster()) as villain:
            create(storage_of(villain))

        created = [entry for entry in log.entries if entry["event"] == "Created object"]
        assert len(PATHS) == len(created)
        assert {"user": "jovyan", "namespace": "lab-jovyan", "name": "lab", "kind": "Pod"} == {
            key: created[-1][key] for key in ("user", "namespace", "name", "kind")
        }


class TestManager:
    """The name of an operation as a maker of objects."""

    def test_is_the_operations(self) -> None:
        """The same for the same, in every process."""
        assert manager_of("lab-start-4711") == manager_of("lab-start-4711")

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("a" * 10_000 + "1", "a" * 10_000 + "2"),
            ("a", "A"),
            ("a", "a "),
            ("\ud800", "?"),
            ("é", "e\u0301"),
        ],
    )
    def test_all_of_an_operation_id_counts(self, one: str, other: str) -> None:
        """However long it is, and whatever is in it."""
        assert manager_of(one) != manager_of(other)

    def test_no_operation_is_like_another(self) -> None:
        """Without an id, each is its own."""
        assert manager_of(None) != manager_of(None)


LOSSES = {
    "closed": hang_up,
    "truncated": truncate(b"{}"),
    "HTML": answer(201, b"<html>"),
    "empty": answer(200, b""),
    "504": status(504),
}


@pytest.mark.parametrize(
    ("path", "act"),
    [
        *[pytest.param(path, reset, id=short(path)) for path in sorted(PATHS)],
        *[pytest.param(POD_PATH, act, id=how) for how, act in LOSSES.items()],
    ],
)
def test_a_lost_answer_makes_no_second_object(path: str, act: Act, storage_of: StorageOf) -> None:
    """Nor an error: the server has done what it was asked, and each object is there, once."""
    cluster = Cluster(after=once(path, act))
    with Villain(cluster) as villain:
        create(storage_of(villain))

    assert sorted(PATHS) == sorted(made_by_lab(cluster))
    assert {1, 2} >= {*posts(villain).values()}


@each_object
def test_a_request_that_was_lost_is_made_again(path: str, storage_of: StorageOf) -> None:
    """If nothing has come of it."""
    cluster = Cluster(before=once(path, reset))
    with Villain(cluster) as villain:
        create(storage_of(villain))

    assert sorted(PATHS) == sorted(made_by_lab(cluster))
    assert 2 == posts(villain)[path]


class TestConflict:
    """Something of the name is there already."""

    @each_object
    @pytest.mark.parametrize("operation_id", [None, "lab-start-4711"])
    def test_of_anothers_object_is_an_error(
        self, path: str, operation_id: str | None, storage_of: StorageOf
    ) -> None:
        """Of status 409, at once; the object is left as it is, and nothing is deleted."""
        cluster = Cluster()
        if path != NAMESPACE_PATH:
            cluster.put(NAMESPACE_PATH, {}, manager_of("lab-start-4711"))
        cluster.put(path, {"kind": "Somebody's", "spec": {"hard": {}}})
        theirs = cluster.objects[path].copy()
        with Villain(cluster) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError) as caught:
                create(storage, operation_id)

        error = caught.value
        if operation_id is None and path != NAMESPACE_PATH:
            path = NAMESPACE_PATH
        assert (409, "AlreadyExists") == (error.status, error.reason)
        assert path.rsplit("/", 1)[1] == error.name
        assert theirs in cluster.objects.values()
        assert not {"DELETE", "PUT", "PATCH"} & {each.method for each in villain.requests}

    @pytest.mark.parametrize("operation_id", [None, "lab-start-4711"])
    @pytest.mark.parametrize("path", [NAMESPACE_PATH, SECRET_PATH])
    def test_of_what_may_not_be_read_is_an_error(
        self, path: str, operation_id: str | None, storage_of: StorageOf
    ) -> None:
        """It counts as another's, whoever made it."""

        def forbid(request: Seen) -> Act | None:
            is_read = request.method == "GET" and request.path == path
            return status(403, "Forbidden", "no") if is_read else None

        cluster = Cluster(before=forbid)
        if path != NAMESPACE_PATH:
            cluster.put(NAMESPACE_PATH, {}, manager_of(operation_id or "x"))
        cluster.put(path, {}, manager_of(operation_id or "x"))
        with Villain(cluster) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError) as caught:
                create(storage, operation_id)

        assert (409, "AlreadyExists") == (caught.value.status, caught.value.reason)

    @pytest.mark.parametrize(
        "fields",
        [
            None,
            [],
            [None, 3, "lab_storage"],
            [{"manager": None, "operation": "Update"}],
            [{"manager": manager_of("lab-start-4711"), "operation": "Apply"}],
            [{"manager": manager_of("lab-start-4712"), "operation": "Update"}],
        ],
    )
    def test_is_told_by_who_made_it_alone(self, fields: Any, storage_of: StorageOf) -> None:
        """Whatever stands in its managed fields."""
        cluster = Cluster()
        cluster.put(NAMESPACE_PATH, {})
        cluster.objects[NAMESPACE_PATH]["metadata"]["managedFields"] = fields
        with Villain(cluster) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError) as caught:
                create(storage, "lab-start-4711")

        assert 409 == caught.value.status

    def test_with_what_is_gone_when_it_is_looked_at_is_none(self, storage_of: StorageOf) -> None:
        """Then it can be made."""
        exists = status(409, "AlreadyExists", 'secrets "lab-secrets" already exists')
        cluster = Cluster(before=once(SECRET_PATH, exists, 2))
        with Villain(cluster) as villain:
            create(storage_of(villain))

        assert sorted(PATHS) == sorted(made_by_lab(cluster))


class TestRepeat:
    """The same operation, once more."""

    def test_takes_what_is_there_for_made(self, logger: Any) -> None:
        """By another storage, as in another process, whatever has come of the objects."""
        cluster = Cluster()
        with Villain(cluster) as villain:
            with LabStorage(villain.api_client(), logger) as storage:
                create(storage, "lab-start-4711")
            cluster.objects[SECRET_PATH]["data"] = {"token": "bmV3"}
            before = dict(cluster.objects)
            with LabStorage(villain.api_client(), logger) as storage:
                create(storage, "lab-start-4711")

        assert before == cluster.objects
        assert sorted(PATHS) == sorted(made_by_lab(cluster))

    @each_object
    def test_makes_what_is_missing(self, path: str, storage_of: StorageOf) -> None:
        """As after a process that was killed in the middle."""
        cluster = Cluster()
        with Villain(cluster) as villain:
            storage = storage_of(villain)
            create(storage, "lab-start-4711")
            kept = {k: v for k, v in cluster.objects.items() if not k.startswith(path)}
            cluster.objects = dict(kept)
            create(storage, "lab-start-4711")

        assert PATHS <= {*cluster.objects}
        assert kept.items() <= cluster.objects.items()

    @pytest.mark.parametrize("operation_id", [None, "lab-start-4712"])
    def test_of_another_operation_is_a_conflict(
        self, operation_id: str | None, storage_of: StorageOf
    ) -> None:
        """Also when it is about the very same lab."""
        with Villain(Cluster()) as villain:
            storage = storage_of(villain)
            create(storage, "lab-start-4711")
            with pytest.raises(KubernetesError) as caught:
                create(storage, operation_id)

        assert (409, "Namespace") == (caught.value.status, caught.value.kind)

    def test_is_not_refused_for_a_quota_that_it_uses_up_itself(
        self, storage_of: StorageOf
    ) -> None:
        """The quota is looked at before the name: its one pod is the operation's own."""
        full = status(403, "Forbidden", 'pods "lab" is forbidden: exceeded quota: lab-quota')

        def limit(request: Seen) -> Act | None:
            is_second = request.method == "POST" and POD_PATH in cluster.objects
            return full if is_second and request.path.endswith("/pods") else None

        cluster = Cluster(before=limit)
        with Villain(cluster) as villain:
            storage = storage_of(villain)
            create(storage, "lab-start-4711")
            create(storage, "lab-start-4711")

        assert sorted(PATHS) == sorted(made_by_lab(cluster))

    def test_after_a_lost_answer_is_not_refused_either(self, storage_of: StorageOf) -> None:
        """Within one call too."""
        full = status(403, "Forbidden", 'pods "lab" is forbidden: exceeded quota: lab-quota')

        def limit(request: Seen) -> Act | None:
            is_second = request.method == "POST" and POD_PATH in cluster.objects
            return full if is_second and request.path.endswith("/pods") else None

        cluster = Cluster(before=limit, after=once(POD_PATH, reset))
        with Villain(cluster) as villain:
            create(storage_of(villain))

        assert sorted(PATHS) == sorted(made_by_lab(cluster))


FULL = status(403, "Forbidden", 'pods "lab" is forbidden: exceeded quota: lab-quota')


class TestCharge:
    """A quota is charged for an object before the object can be read."""

    @pytest.mark.parametrize("looks", [1, 2, 3])
    def test_object_that_was_charged_for_is_looked_for(
        self, looks: int, storage_of: StorageOf
    ) -> None:
        """The first creation is still being stored when the second is refused for its charge."""
        lost, left = [reset], [looks]

        def choose(request: Seen) -> Act | None:
            is_look = request.method == "GET" and request.path == POD_PATH
            if is_look and lost == []:
                left[0] -= 1
                if left[0] < 0:
                    cluster.put(POD_PATH, PENDING, managers[0])
            if request.method != "POST" or path_of(request) != POD_PATH:
                return None
            managers.append(request.query["fieldManager"])
            return lost.pop() if lost else FULL

        managers: list[str] = []
        cluster = Cluster(before=choose)
        with Villain(cluster) as villain:
            create(storage_of(villain))

        assert POD_PATH in cluster.objects

    def test_is_not_looked_for_without_end(self, storage_of: StorageOf) -> None:
        """If it does not come, the quota is full for another reason."""
        lost = [reset]

        def choose(request: Seen) -> Act | None:
            if request.method != "POST" or path_of(request) != POD_PATH:
                return None
            return lost.pop() if lost else FULL

        with Villain(Cluster(before=choose)) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError, match="exceeded quota"):
                create(storage)

        assert 5 == posts(villain)[POD_PATH]

    def test_full_quota_is_final_for_what_nobody_has_tried_to_make(
        self, storage_of: StorageOf
    ) -> None:
        """There is nothing to look for."""
        with Villain(Cluster(before=once(POD_PATH, FULL))) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError, match="exceeded quota"):
                create(storage)

        assert 1 == posts(villain)[POD_PATH]


class TestRace:
    """Controllers that are not done with a new namespace."""

    @pytest.mark.parametrize(
        "act",
        [
            status(403, "Forbidden", 'pods "lab" is forbidden: error looking up service account '
                   'lab-jovyan/default: serviceaccount "default" not found'),
            status(403, "Forbidden", 'pods "lab" is forbidden: status unknown for quota: '
                   "lab-quota, resources: limits.cpu,limits.memory"),
            status(409, "Conflict", 'Operation cannot be fulfilled on resourcequotas "lab-quota": '
                   "the object has been modified; please apply your changes to the latest "
                   "version and try again", {"name": "lab-quota", "kind": "resourcequotas"}),
            status(403, "Forbidden", 'pods is forbidden: User "hub" cannot create them'),
            status(409, "Conflict", 'Operation cannot be fulfilled on pods "lab": no',
                   {"name": "lab", "kind": "pods"}),
        ],
        ids=["no ServiceAccount", "no quota status", "quota modified", "late rights", "conflict"],
    )  # fmt: skip
    @pytest.mark.parametrize("path", [POD_PATH, SECRET_PATH])
    def test_is_waited_for(
        self, act: Act, path: str, storage_of: StorageOf, log: LogCapture
    ) -> None:
        """Again and again, with a log line for each."""
        cluster = Cluster(before=once(path, act, 3))
        with Villain(cluster) as villain:
            create(storage_of(villain))

        again = [entry for entry in log.entries if entry["log_level"] == "warning"]
        assert sorted(PATHS) == sorted(made_by_lab(cluster))
        assert (4, 3) == (posts(villain)[path], len(again))

    def test_that_never_ends_is_told_by_the_timeout(self, storage_of: StorageOf) -> None:
        """In the server's words."""
        message = "is forbidden: status unknown for quota: lab-quota, resources: pods"
        act = status(403, "Forbidden", f'pods "lab" {message}')
        with Villain(Cluster(before=once(POD_PATH, act, 1000))) as villain:
            storage = storage_of(villain)
            with pytest.raises(OperationTimeoutError, match=f"last: 403 Forbidden: .*{message}"):
                storage.create(LAB, timeout_of(0.4))

    @pytest.mark.parametrize(
        "act",
        [
            status(403, "Forbidden", 'pods "lab" is forbidden: exceeded quota: lab-quota, '
                   "requested: pods=1, used: pods=1, limited: pods=1"),
            status(422, "Invalid", 'Pod "lab" is invalid: spec.containers: Required value'),
        ],
        ids=["quota exceeded", "invalid"],
    )  # fmt: skip
    def test_is_not_what_is_final(self, act: Act, storage_of: StorageOf) -> None:
        """One POST, and the error; what was made before stays."""
        cluster = Cluster(before=once(POD_PATH, act))
        with Villain(cluster) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError) as caught:
                create(storage)

        assert ("Pod", 1) == (caught.value.kind, posts(villain)[POD_PATH])
        assert sorted(PATHS - {POD_PATH}) == sorted(made_by_lab(cluster))

    def test_is_not_that_the_namespace_is_being_terminated(self, storage_of: StorageOf) -> None:
        """Somebody has asked for its deletion since it was made."""

        def before(request: Seen) -> Act | None:
            if request.method != "POST" or path_of(request) != POD_PATH:
                return None
            cluster.put(NAMESPACE_PATH, {"metadata": {"uid": "1", "deletionTimestamp": DYING}})
            return TERMINATING

        cluster = Cluster(before)
        with Villain(cluster) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError, match="being terminated"):
                create(storage)

        assert 1 == posts(villain)[POD_PATH]

    @pytest.mark.parametrize("path", [POD_PATH, SECRET_PATH])
    def test_is_that_the_namespace_before_was_terminated(
        self, path: str, storage_of: StorageOf
    ) -> None:
        """A server of several sees it still, where a lab is made anew."""
        cluster = Cluster(before=once(path, TERMINATING, 2))
        with Villain(cluster) as villain:
            create(storage_of(villain))

        assert sorted(PATHS) == sorted(made_by_lab(cluster))
        assert 3 == posts(villain)[path]


def test_a_failure_of_one_ends_the_others(storage_of: StorageOf) -> None:
    """What runs side by side is given up, and the pod is not made."""
    refused = status(422, "Invalid", "no")

    def choose(request: Seen) -> Act | None:
        if request.method != "POST" or path_of(request) == NAMESPACE_PATH:
            return None
        return refused if path_of(request) == SECRET_PATH else silence

    with Villain(Cluster(before=choose)) as villain:
        storage, timeout = storage_of(villain), timeout_of(30)
        with pytest.raises(KubernetesError) as caught:
            storage.create(LAB, timeout)
        storage.close()
        villain.wait_until_left()

    assert (422, "Secret") == (caught.value.status, caught.value.kind)
    assert timeout.elapsed() < 10
    assert 0 == posts(villain)[POD_PATH]


def test_a_lab_without_extras_is_made(storage_of: StorageOf) -> None:
    """Only namespace, config map and pod have to be there."""
    lab: LabObjects = attrs.evolve(
        LAB,
        quota=None,
        network_policy=None,
        service=None,
        config_maps=[],
        pvcs=[],
        secrets=[],
    )
    cluster = Cluster()
    with Villain(cluster) as villain:
        create(storage_of(villain), lab=lab)

    wanted = [NAMESPACE_PATH, f"{NAMESPACE_PATH}/configmaps/lab-env", POD_PATH]
    assert wanted == made_by_lab(cluster)


class Deleting:
    """A pod or namespace that is being deleted, as a script tells it.

    Parameters
    ----------
    path
        Where it is.
    found
        What each GET of it finds in turn: a UID, with a ``-`` in front if it is going, or `None`.
    deleted
        What is answered to a DELETE.
    lines
        What the watch says.
    """

    def __init__(
        self,
        path: str,
        found: list[str | None],
        deleted: list[Act],
        lines: list[Any] | None = None,
    ) -> None:
        self.path = path
        self.found = found
        self.deleted = deleted
        self.lines = lines or []
        self.options: list[Any] = []

    def __call__(self, request: Seen) -> Act:
        """Answer a request."""
        if request.method == "DELETE":
            self.options.append(request.json)
            return self.deleted.pop(0) if len(self.deleted) > 1 else self.deleted[0]
        if request.is_watch:
            return stream(*self.lines)
        found = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        if request.path == self.path:
            return json_answer(thing(found)) if found else status(404, "NotFound", "not found")
        return json_answer(list_of(*([thing(found)] if found else [])))


def thing(uid: str, version: int = 7) -> dict[str, Any]:
    """Give an object; the UID of one that is going has a ``-`` in front."""
    going = {"deletionTimestamp": "2026-11-24T06:00:00Z"} if uid.startswith("-") else {}
    uid = uid.removeprefix("-")
    metadata = {**PENDING["metadata"], "uid": uid, "resourceVersion": str(version), **going}
    return {"metadata": metadata, "status": {"phase": "Terminating"}}


def delete_pod(storage: LabStorage, seconds: float = 10.0) -> None:
    """Delete the pod."""
    storage.delete_pod(NAMES, timeout_of(seconds))


def delete_namespace(storage: LabStorage, seconds: float = 10.0) -> None:
    """Delete the namespace."""
    storage.delete_namespace(NAMES.namespace, timeout_of(seconds))


each_deletion = pytest.mark.parametrize(
    ("delete", "path"), [(delete_pod, POD_PATH), (delete_namespace, NAMESPACE_PATH)]
)
GONE = status(404, "NotFound", "not found")
MISMATCH = status(409, "Conflict", "Precondition failed: UID in precondition: a, in meta: b")


@each_deletion
class TestDelete:
    """Of a pod and of a namespace."""

    def test_is_of_the_one_that_is_there(
        self, delete: Callable[..., None], path: str, storage_of: StorageOf
    ) -> None:
        """By its UID; the pod's with a grace period of a second."""
        script = Deleting(path, ["a", None], [json_answer(thing("-a"))])
        with Villain(script) as villain:
            delete(storage_of(villain))

        grace = {"gracePeriodSeconds": 1} if delete is delete_pod else {}
        assert [{"preconditions": {"uid": "a"}, **grace}] == [
            {key: options[key] for key in options if key not in ("kind", "apiVersion")}
            for options in script.options
        ]

    def test_of_what_is_not_there_is_done(
        self, delete: Callable[..., None], path: str, storage_of: StorageOf
    ) -> None:
        """After one look, and with nothing deleted."""
        script = Deleting(path, [None], [GONE])
        with Villain(script) as villain:
            delete(storage_of(villain))

        assert ([], 1) == (script.options, len(villain.requests))

    def test_waits_until_it_is_gone(
        self, delete: Callable[..., None], path: str, storage_of: StorageOf
    ) -> None:
        """Which a watch tells."""
        line = {"type": "DELETED", "object": thing("-a", 12)}
        script = Deleting(path, ["a", "-a"], [json_answer(thing("-a"))], [0.05, line])
        with Villain(script) as villain:
            delete(storage_of(villain))

        assert 1 == len([each for each in villain.requests if each.is_watch])

    @pytest.mark.parametrize("act", [reset, hang_up, answer(200, b""), status(503)])
    def test_survives_a_lost_answer(
        self, delete: Callable[..., None], path: str, act: Act, storage_of: StorageOf
    ) -> None:
        """The second finds nothing to delete, which is success."""
        script = Deleting(path, ["a", None], [act, GONE])
        with Villain(script) as villain:
            delete(storage_of(villain))

        assert ["a", "a"] == [each["preconditions"]["uid"] for each in script.options]

    def test_lets_a_new_one_of_the_name_be(
        self, delete: Callable[..., None], path: str, storage_of: StorageOf
    ) -> None:
        """It came between look and deletion; it is neither deleted nor waited for."""
        script = Deleting(path, ["a", "b"], [MISMATCH])
        with Villain(script) as villain:
            delete(storage_of(villain))

        assert ["a"] == [each["preconditions"]["uid"] for each in script.options]

    def test_does_not_wait_for_a_new_one_of_the_name(
        self, delete: Callable[..., None], path: str, storage_of: StorageOf
    ) -> None:
        """It came while the old one was going."""
        script = Deleting(path, ["a", "b"], [json_answer(thing("-a"))])
        with Villain(script) as villain:
            delete(storage_of(villain))

        assert 1 == len(script.options)

    def test_waits_for_what_is_going_already(
        self, delete: Callable[..., None], path: str, storage_of: StorageOf
    ) -> None:
        """Whoever deleted it."""
        line = {"type": "DELETED", "object": thing("-a", 12)}
        deleted = json_answer(thing("-a")) if delete is delete_pod else GONE
        script = Deleting(path, ["-a"], [deleted], [line])
        with Villain(script) as villain:
            delete(storage_of(villain))

        assert (1 if delete is delete_pod else 0) == len(script.options)
        assert 1 == len([each for each in villain.requests if each.is_watch])

    def test_waits_for_what_somebody_else_deletes_meanwhile(
        self, delete: Callable[..., None], path: str, storage_of: StorageOf
    ) -> None:
        """The server refuses a second deletion; it goes all the same."""
        line = {"type": "DELETED", "object": thing("-a", 12)}
        refused = status(409, "Conflict", "The system is ensuring all content is removed")
        script = Deleting(path, ["a", "-a"], [refused], [line])
        with Villain(script) as villain:
            delete(storage_of(villain))

        assert 1 == len(script.options)

    def test_tells_a_conflict_that_it_cannot_explain(
        self, delete: Callable[..., None], path: str, storage_of: StorageOf
    ) -> None:
        """It is the same object, and not going."""
        script = Deleting(path, ["a"], [status(409, "Conflict", "not now")])
        with Villain(script) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError, match="409 Conflict: not now"):
                delete(storage)

    def test_tells_what_keeps_it(
        self, delete: Callable[..., None], path: str, storage_of: StorageOf
    ) -> None:
        """When time is over."""
        script = Deleting(path, ["a", "-a"], [json_answer(thing("-a"))])
        with Villain(script) as villain:
            storage = storage_of(villain)
            why = (
                "the pod is being deleted" if delete is delete_pod else "namespace is Terminating"
            )
            with pytest.raises(OperationTimeoutError, match=why):
                delete(storage, 0.3)

    @pytest.mark.parametrize("code", [403, 405, 422])
    def test_that_is_refused_is_an_error(
        self, delete: Callable[..., None], path: str, code: int, storage_of: StorageOf
    ) -> None:
        """Also if it may be looked at."""
        script = Deleting(path, ["a"], [status(code, "Because", "no")])
        with Villain(script) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError, match=f"{code} Because: no"):
                delete(storage)

        assert 1 == len(script.options)


class TestRead:
    """What is not there, and what only seems not to be."""

    def test_the_state_now_is_asked_for(self, storage_of: StorageOf) -> None:
        """And not what some cache knows, as of version 0 (kubernetes#59848)."""
        with Villain(Cluster()) as villain:
            storage = storage_of(villain)
            create(storage)
            storage.read_pod_phase(NAMES, timeout_of(5))
            storage.list_namespaces("lab", timeout_of(5))
            storage.delete_pod(NAMES, timeout_of(5))
            storage.delete_namespace(NAMES.namespace, timeout_of(5))

        asked = [each.query for each in villain.requests if not each.is_watch]
        assert [] == [query for query in asked if "resourceVersion" in query]

    def test_a_missing_object_is_none(self, storage_of: StorageOf) -> None:
        """If the API server says so."""
        with Villain(GONE) as villain:
            assert storage_of(villain).read_pod_phase(NAMES, timeout_of(5)) is None

    @pytest.mark.parametrize(
        ("missing", "is_none", "quota"),
        [("configmaps", True, None), ("pods", True, None), ("resourcequotas", False, None)],
    )
    def test_a_lab_is_whole_or_none(
        self, missing: str, is_none: bool, quota: Any, storage_of: StorageOf
    ) -> None:
        """Without its environment or pod it is none; a quota it need not have."""

        def script(request: Seen) -> Act:
            name = request.path.rsplit("/", 1)[1]
            if f"/{missing}/" in request.path:
                return GONE
            return json_answer({"metadata": {"name": name}})

        with Villain(script) as villain:
            lab = storage_of(villain).read_lab_objects(NAMES, timeout_of(5))

        assert is_none is (lab is None)
        if lab is not None:
            assert quota is lab.quota
            assert (NAMES.env_config_map, NAMES.pod) == (
                lab.env_config_map.metadata.name,
                lab.pod.metadata.name,
            )
            assert isinstance(lab.pod, client.V1Pod)

"""The list of namespaces, and how long one takes to go."""

from __future__ import annotations

from typing import Any

import pytest

from lab_storage import KubernetesError, OperationTimeoutError
from lab_storage._namespaces import why_it_stays
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.pauses import SetPauses
from tests.support.villain import Act, Seen, Villain, json_answer, status, status_content, stream
from tests.support.watching import PATIENCE_SECONDS, Json, line, listed, shapes, turns

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def list_names(storage: Any, prefix: str = "") -> list[str]:
    """List the names of namespaces."""
    names: list[str] = storage.list_namespaces(prefix, timeout_of(PATIENCE_SECONDS))
    return names


def table(*names: Any, token: Any = None, columns: Any = ("Name", "Status")) -> Act:
    """Answer with a table of names alone."""
    return json_answer(
        {
            "kind": "Table",
            "metadata": {"resourceVersion": "10", "continue": token},
            "columnDefinitions": columns and [{"name": name} for name in columns],
            "rows": [{"cells": [name, "Active"], "object": None} for name in names],
        }
    )


def test_names_alone_are_asked_for(storage_of: StorageOf) -> None:
    """A table without the objects, or, of a server that has none, the objects."""
    with Villain(table("lab-b", "lab-a")) as villain:
        assert ["lab-b", "lab-a"] == list_names(storage_of(villain))
        (request,) = villain.requests
        assert {"includeObject": "None", "limit": "2000"} == request.query
        assert [TABLE, "application/json"] == request.headers["accept"].split(",")


def test_prefix_leaves_those_that_begin_with_it_in_the_order_of_the_server(
    storage_of: StorageOf,
) -> None:
    """The server knows no prefixes, and how it sorts is left as it is."""
    names = ["lab", "lab-b", "a-lab-", "lab-a", "Lab-c"]
    with Villain(table(*names)) as villain:
        storage = storage_of(villain)
        assert ["lab-b", "lab-a"] == list_names(storage, "lab-")
        assert names == list_names(storage, "")
        assert [] == list_names(storage, "notebook")


def test_pages_are_put_together(storage_of: StorageOf) -> None:
    """Each page says how the next one is to be asked for."""
    pages = [table("a", token="t/1+="), table("b", token="t2"), table("c", token="")]
    with Villain(*pages) as villain:
        assert ["a", "b", "c"] == list_names(storage_of(villain))
        tokens = [request.query.get("continue") for request in villain.requests]
        assert [None, "t/1+=", "t2"] == tokens


def test_list_begins_anew_when_its_moment_is_forgotten(
    storage_of: StorageOf, set_pauses: SetPauses
) -> None:
    """Names of two moments would miss some or tell some twice."""
    set_pauses(0.0)
    pages = [table("a", token="t1"), status(410, "Expired"), table("b", token="t2"), table("c")]
    with Villain(*pages) as villain:
        assert ["b", "c"] == list_names(storage_of(villain))
        tokens = [request.query.get("continue") for request in villain.requests]
        assert [None, "t1", None, "t2"] == tokens


ODD_LISTS = {
    "objects": (
        {
            "kind": "NamespaceList",
            "items": [{"metadata": {"name": "a"}}, {"metadata": None}, None],
        },
        ["a"],
    ),
    "null items": ({"kind": "NamespaceList", "metadata": None, "items": None}, []),
    "null rows": ({"kind": "Table", "columnDefinitions": None, "rows": None}, []),
    "odd rows": (
        {
            "kind": "Table",
            "columnDefinitions": [{"name": "Status"}, None, {"name": "Name"}],
            "rows": [
                None,
                {},
                {"cells": None},
                {"cells": "Active"},
                {"cells": ["Active"]},
                {"cells": ["Active", "a"]},
                {"cells": ["Active", 7]},
            ],
        },
        ["a"],
    ),
}


@pytest.mark.parametrize(("content", "expected"), ODD_LISTS.values(), ids=ODD_LISTS)
def test_list_that_is_odd_gives_the_names_that_are_in_it(
    storage_of: StorageOf, content: Json, expected: list[str]
) -> None:
    """Nulls where a list belongs do no harm."""
    with Villain(json_answer(content)) as villain:
        assert expected == list_names(storage_of(villain))


def test_refusal_to_list_is_final(storage_of: StorageOf) -> None:
    """It tells of which kind."""
    with Villain(status(403, "Forbidden")) as villain:
        with pytest.raises(KubernetesError) as caught:
            list_names(storage_of(villain))
        assert (403, "Namespace") == (caught.value.status, caught.value.kind)


# -- Deletion ----------------------------------------------------------------------

CONDITIONS = [
    {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "All is well"},
    {
        "type": "NamespaceContentRemaining",
        "status": "True",
        "message": "Some resources are remaining: pods. has 1 resource instances",
    },
    {
        "type": "NamespaceFinalizersRemaining",
        "status": "True",
        "message": "Some content in the namespace has finalizers remaining:\n example.com/keep",
    },
]


def namespace(
    version: int = 5, uid: str = "n1", *, going: bool = True, conditions: Any = None
) -> Json:
    """Give the namespace ``lab-jovyan``."""
    metadata = {"name": "lab-jovyan", "uid": uid, "resourceVersion": str(version)}
    if going:
        metadata["deletionTimestamp"] = "2026-11-24T06:00:00Z"
    phase = "Terminating" if going else "Active"
    return {
        "kind": "Namespace",
        "metadata": metadata,
        "status": {"phase": phase, "conditions": conditions},
    }


def deletion_script(found: Json, *watches: Act, lists: tuple[Act, ...] = ()) -> Any:
    """There is a namespace, whose deletion is seen in these lists and watches."""
    namespaces = turns(lists or [listed(namespace(6))], watches)

    def script(request: Seen) -> Act:
        if request.path.endswith("/lab-jovyan"):
            return json_answer(found)
        return namespaces(request)

    return script


def delete(storage: Any, seconds: float = PATIENCE_SECONDS) -> None:
    """Delete the namespace."""
    storage.delete_namespace("lab-jovyan", timeout_of(seconds))


def test_namespace_is_waited_for_until_it_is_gone(storage_of: StorageOf) -> None:
    """One DELETE, by UID, and then a watch, whatever its phase says meanwhile."""
    watch = stream(
        line("MODIFIED", namespace(11, conditions=CONDITIONS)),
        line("MODIFIED", {**namespace(12), "status": None}),
        line("DELETED", namespace(13)),
    )
    with Villain(deletion_script(namespace(going=False), watch)) as villain:
        delete(storage_of(villain))
        get, delete_, *watched = villain.requests
        assert ("GET", "DELETE") == (get.method, delete_.method)
        assert {"uid": "n1"} == delete_.json["preconditions"]
        assert ["list", 10] == shapes(watched)
        assert "metadata.name=lab-jovyan" == watched[0].query["fieldSelector"]


def test_namespace_that_is_going_already_is_only_waited_for(storage_of: StorageOf) -> None:
    """A second DELETE would be refused."""
    script = deletion_script(namespace(), stream(line("DELETED", namespace(11))))
    with Villain(script) as villain:
        delete(storage_of(villain))
        assert ["GET"] * 3 == [request.method for request in villain.requests]


GONE_UNSEEN = {
    "in the first list": ((listed(),), stream()),
    "behind a 410": (
        (listed(namespace(6)), listed(version=20)),
        stream(line("ERROR", status_content(410, "Expired"))),
    ),
    "for another": (
        (listed(namespace(6)), listed(namespace(15, "n2", going=False), version=20)),
        status(410, "Expired"),
    ),
}


@pytest.mark.parametrize(("lists", "watch"), GONE_UNSEEN.values(), ids=GONE_UNSEEN)
def test_namespace_that_went_unseen_is_gone(
    storage_of: StorageOf, lists: tuple[Act, ...], watch: Act
) -> None:
    """A namesake that was made since is not waited for."""
    with Villain(deletion_script(namespace(), watch, lists=lists)) as villain:
        delete(storage_of(villain))


def test_namespace_that_is_not_there_is_success(storage_of: StorageOf) -> None:
    """Nothing is deleted, and nothing waited for."""
    with Villain(status(404, "NotFound")) as villain:
        delete(storage_of(villain))
        assert ["GET"] == [request.method for request in villain.requests]


def test_timeout_tells_the_conditions_that_keep_the_namespace(storage_of: StorageOf) -> None:
    """Those that are true, as they were last, and in one line."""
    watch = stream(line("MODIFIED", namespace(11, conditions=CONDITIONS)))
    with Villain(deletion_script(namespace(), watch)) as villain:
        with pytest.raises(OperationTimeoutError) as caught:
            delete(storage_of(villain), 0.5)
        assert str(caught.value).endswith(
            "(last: the namespace is Terminating"
            "; NamespaceContentRemaining: Some resources are remaining: pods. has 1 resource"
            " instances"
            "; NamespaceFinalizersRemaining: Some content in the namespace has finalizers"
            " remaining: example.com/keep)"
        )


def test_timeout_tells_the_conditions_although_the_watch_broke_meanwhile(
    storage_of: StorageOf, set_pauses: SetPauses
) -> None:
    """A load balancer that cuts watches does not hide what keeps the namespace."""
    set_pauses(0.0)
    watches = [
        stream(line("MODIFIED", namespace(11, conditions=CONDITIONS)), end="cut"),
        status(503, "ServiceUnavailable"),
        stream(),
    ]
    with Villain(deletion_script(namespace(), *watches)) as villain:
        with pytest.raises(OperationTimeoutError) as caught:
            delete(storage_of(villain), 0.7)
        assert "example.com/keep" in str(caught.value)
        assert ["list", 10, 11, 11] == shapes(villain.requests[1:])


ODD_STATUSES = {
    "null": (None, "the namespace is still there"),
    "null conditions": (
        {"phase": "Terminating", "conditions": None},
        "the namespace is Terminating",
    ),
    "odd conditions": (
        {"phase": 7, "conditions": [None, 7, {}, {"status": "True"}]},
        "the namespace is 7; None: None",
    ),
    "no object": ("odd", "the namespace is still there"),
}


@pytest.mark.parametrize(("said", "expected"), ODD_STATUSES.values(), ids=ODD_STATUSES)
def test_status_that_is_odd_does_no_harm(said: Any, expected: str) -> None:
    """What a timeout would tell is what there is to tell."""
    assert expected == why_it_stays({**namespace(), "status": said})


def test_short_deadline_is_used_to_its_end(storage_of: StorageOf) -> None:
    """The DELETE is sent, and what goes just before the deadline is success."""
    watch = stream(0.3, line("DELETED", namespace(11)))
    with Villain(deletion_script(namespace(going=False), watch)) as villain:
        delete(storage_of(villain), 0.8)
        assert ["GET", "DELETE", "GET", "GET"] == [each.method for each in villain.requests]


def test_deadline_that_is_too_short_for_a_watch_still_deletes(storage_of: StorageOf) -> None:
    """Deletion is asked for, and the error says that it was not seen to its end."""
    with Villain(deletion_script(namespace(going=False), stream())) as villain:
        with pytest.raises(OperationTimeoutError) as caught:
            delete(storage_of(villain), 0.4)
        assert "DELETE" == villain.requests[1].method
        assert "the namespace is Terminating" == caught.value.last

"""What watches are told, and a server that tells it: for the tests of all that watches."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from lab_storage._api.changes import Change
from lab_storage._api.request import Request
from lab_storage._api.watch import follow
from lab_storage._manifests.kinds import POD
from tests.support.calls import call_of
from tests.support.labs import timeout_of
from tests.support.villain import Act, Script, Seen, Villain, in_turn, json_answer

NAMESPACE = "lab-jovyan"
#: As many of the sizes of the real control plane as a test can be patient for.
PATIENCE_SECONDS = 10.0

Json = dict[str, Any]


def pod(version: int | None = 5, phase: Any = "Pending", uid: str = "u1", **status: Any) -> Json:
    """Give the pod ``lab`` as a server sends it."""
    metadata = {"name": "lab", "namespace": NAMESPACE, "uid": uid}
    if version is not None:
        metadata["resourceVersion"] = str(version)
    return {"kind": "Pod", "metadata": metadata, "status": {"phase": phase, **status}}


def listed(*items: Json, version: int = 10) -> Act:
    """Answer a list."""
    return json_answer({"metadata": {"resourceVersion": str(version)}, "items": list(items)})


def line(kind: str, content: Any) -> Json:
    """Give what stands in a line of a watch."""
    return {"type": kind, "object": content}


def bookmark(version: int) -> Json:
    """Give the line that says how far the watch has got."""
    return line("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(version)}})


def turns(lists: Iterable[Act], watches: Iterable[Act]) -> Script:
    """Answer lists in turn, and watches in turn; the last of each for ever."""
    answer_list, answer_watch = in_turn(*lists), in_turn(*watches)

    def script(request: Seen) -> Act:
        return (answer_watch if request.is_watch else answer_list)(request)

    return script


def follow_pods(
    villain: Villain, logger: Any, seconds: float = PATIENCE_SECONDS
) -> Generator[Change, None, None]:
    """Follow the pods of a namespace."""
    request = Request("GET", POD, NAMESPACE, collection=True)
    return follow(call_of(timeout_of(seconds), logger, villain.api_client()), request)


def brief(change: Change) -> tuple[Any, ...]:
    """Give type, UID and version of a change, as far as there are any."""
    metadata = change.object.get("metadata")
    if metadata is None:
        return (change.type,)
    return change.type, metadata["uid"], metadata.get("resourceVersion")


def take(changes: Generator[Change, None, None], count: int) -> list[tuple[Any, ...]]:
    """Give the next changes in brief."""
    return [brief(next(changes)) for _ in range(count)]


def shapes(requests: Iterable[Seen]) -> list[Any]:
    """Give what each request asked for: ``"list"``, or the version a watch begins at."""
    return [
        int(request.query["resourceVersion"]) if request.is_watch else "list"
        for request in requests
    ]


def routes(**scripts: Script) -> Script:
    """Answer by the last part of the path, the resource."""

    def script(request: Seen) -> Act:
        return scripts[request.path.rsplit("/", 1)[1]](request)

    return script


def event(
    message: Any, version: int | None = 5, uid: str | None = None, pod_uid: str = "u1", **more: Any
) -> Json:
    """Give an event of a pod as a server sends it; its UID is its message where none is given."""
    metadata = {"name": f"lab.{message}", "namespace": NAMESPACE, "uid": uid or str(message)}
    if version is not None:
        metadata["resourceVersion"] = str(version)
    involved = {"kind": "Pod", "namespace": NAMESPACE, "name": "lab", "uid": pod_uid}
    return {"metadata": metadata, "involvedObject": involved, "message": message, **more}

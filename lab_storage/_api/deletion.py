"""Delete one object of any kind, by its UID, and wait until it is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab_storage._api.answer import Answer
from lab_storage._api.call import Call
from lab_storage._api.changes import DELETED, LISTED
from lab_storage._api.objects import read_metadata
from lab_storage._api.request import Request, list_of_one, to_body
from lab_storage._api.watch import follow
from lab_storage._manifests.kinds import KINDS, Kind
from lab_storage.exceptions import KubernetesError


def delete(
    call: Call,
    kind: Kind,
    namespace: str | None,
    name: str,
    *,
    why_it_stays: Callable[[dict[str, Any]], str],
    uid: str | None = None,
    grace_period_seconds: int | None = None,
) -> None:
    """Delete the object that is there now, and block until it is gone.

    One of the same name that is made in the meantime is left alone.

    Parameters
    ----------
    call
        Sends the requests.
    kind, namespace, name
        The object.
    why_it_stays
        Says of the object, as the server sent it, why it is still there: what a
        timeout reports.
    uid
        The only object that is meant, if given: one with another UID is left alone.
    grace_period_seconds
        How long a pod has to end by itself; by default what its manifest says.
    """
    found = request_deletion(call, kind, namespace, name, uid, grace_period_seconds)
    if found is not None:
        wait_until_gone(call, kind, namespace, name, found, why_it_stays)


def request_deletion(
    call: Call,
    kind: Kind,
    namespace: str | None,
    name: str,
    only_uid: str | None = None,
    grace_period_seconds: int | None = None,
) -> str | None:
    """Ask for the deletion of the object that is there now, if it has ``only_uid`` or any.

    Returns
    -------
    str or None
        The UID of what is being deleted; `None` if it is gone already, or was not there.
    """
    metadata = read_metadata(call, kind, namespace, name)
    if metadata is None:
        return None
    uid = str(metadata.get("uid") or "")
    if only_uid is not None and uid != only_uid:
        return None
    if metadata.get("deletionTimestamp") and grace_period_seconds is None:
        return uid
    options = _options(kind, uid, grace_period_seconds)
    request = Request("DELETE", kind, namespace, name, body=to_body(options))
    try:
        found = call.find(request, Answer.read_object)
    except KubernetesError as error:
        if error.status != 409:
            raise
        # Another one of the name has come, or somebody else's deletion is under way.
        metadata = read_metadata(call, kind, namespace, name)
        if metadata is None or (uid and metadata.get("uid") != uid):
            return None
        if not metadata.get("deletionTimestamp"):
            raise
        return uid
    call.debug("Deleted object", request)
    return None if found is None else uid


def _options(kind: Kind, uid: str, grace_period_seconds: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if uid:
        options["preconditions"] = {"uid": uid}
    if kind not in KINDS:
        # By default the pods of a batch/v1 Job stay, without an owner
        # (``DefaultGarbageCollectionPolicy`` in ``pkg/registry/batch/job/strategy.go``).
        options["propagationPolicy"] = "Background"
    if grace_period_seconds is not None:
        options["gracePeriodSeconds"] = grace_period_seconds
    return options


def wait_until_gone(
    call: Call,
    kind: Kind,
    namespace: str | None,
    name: str,
    uid: str,
    why_it_stays: Callable[[dict[str, Any]], str],
) -> None:
    """Block until the object of that UID is gone; the parameters are those of `delete`."""
    request = list_of_one(kind, namespace, name)
    there = False
    for change in follow(call, request, looks_last=True):
        if change.type == LISTED:
            if not there:
                break
        elif change.uid == uid or not uid:
            if change.type == DELETED:
                break
            there = True
            call.wait_for(request, why_it_stays(change.object))
    call.debug("Object is gone", request)

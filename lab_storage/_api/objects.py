"""Create, read and delete one object of any kind; the kinds themselves are data."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from typing import Any

from lab_storage._api.answer import (
    JSON,
    Answer,
    Request,
    UnusableError,
    mapping_at,
    mappings_at,
    refusal,
    summary,
)
from lab_storage._api.client import Client
from lab_storage._api.operation import Operation
from lab_storage._api.retry import Backoff, TransientError, call, check_object, tries
from lab_storage._api.watch import DELETED, LISTED, follow
from lab_storage._manifests.kinds import CONFIG_MAP, RESOURCE_QUOTA, Kind

# https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
# tells of `as=`; a server without it sends the whole object.
_METADATA = f"application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,{JSON}"
# A fieldManager has 128 characters at most.
_MANAGER_PREFIX = "lab_storage-"
# Kinds of which an object may have no field at all. The server gives each of the others one.
_MAY_BE_EMPTY = CONFIG_MAP, RESOURCE_QUOTA
_MANAGER_ANNOTATION = "lab-storage/manager"
# An earlier try may be charged for and its object not stored yet: this often it is looked for.
_LOOKS_AFTER_QUOTA = 3


def manager_of(operation_id: str | None) -> str:
    """Name the operation as who makes its objects: the ``fieldManager`` of their creation.

    Of an ``operation_id`` all counts, however long it is. Without one, an
    operation is like no other.
    """
    if operation_id is None:
        return _MANAGER_PREFIX + uuid.uuid4().hex
    return (
        _MANAGER_PREFIX + hashlib.sha256(operation_id.encode("utf-8", "surrogatepass")).hexdigest()
    )


def is_missing(answer: Answer) -> bool:
    """Whether the API server, and not something on the way to it, says that there is none."""
    return answer.status == 404 and _is_json(answer)


def check_metadata(answer: Answer) -> None:
    """Raise `UnusableError` where an object does not say which one it is."""
    check_object(answer)
    if answer.is_success and not mapping_at(answer.content, "metadata"):
        raise UnusableError("the answer is no object of Kubernetes'")


def _is_json(answer: Answer) -> bool:
    try:
        _ = answer.content
    except UnusableError:
        return False
    return True


def read(
    client: Client,
    operation: Operation,
    kind: Kind,
    namespace: str | None,
    name: str,
    *,
    accept: str = JSON,
) -> dict[str, Any] | None:
    """Give an object as the server sends it, or `None` where there is none."""
    request = Request("GET", kind, namespace, name, accept=accept)
    check = check_metadata if accept == _METADATA else check_object
    answer = call(client, request, operation, is_welcome=is_missing, read=check)
    operation.debug("Read object", kind.name, namespace, name)
    return answer.content if answer.is_success else None


def create(
    client: Client,
    operation: Operation,
    kind: Kind,
    manifest: dict[str, Any],
    manager: str,
    *,
    may_exist: bool = False,
) -> dict[str, Any] | None:
    """Create an object, once, whatever happens to the answers.

    Where an earlier try may have made it, that is looked at first, and not found out by
    another POST: a quota is charged for each one, also for that of an object that turns out
    to exist, and the charge stays until the quota's controller counts anew, which it does every
    5 min (kube-controller-manager's ``--resource-quota-sync-period``). Blind tries would so use
    up the quota of what is still to be made.

    Parameters
    ----------
    client, operation
        What sends the requests, for what.
    kind, manifest
        The object.
    manager
        Who makes it, by `manager_of`: ``metadata.managedFields`` tells that
        of an object that exists.
    may_exist
        Whether an earlier attempt of this operation may have made it.

    Returns
    -------
    dict or None
        The object as the server made it; `None` where this operation had made
        it before.

    Raises
    ------
    KubernetesError
        With status 409, if it exists and is another's or may not be read; else
        if the server refuses.
    """
    metadata = manifest["metadata"]
    namespace, name = metadata.get("namespace"), metadata["name"]
    body = json.dumps(_owned(kind, manifest, manager), allow_nan=False).encode()
    request = Request(
        "POST",
        kind,
        namespace,
        name,
        query={"fieldManager": manager},
        body=body,
        collection=True,
    )
    post = tries(client, request, operation, is_race=is_passing, is_welcome=_may_be_ours)

    def is_made(owners: set[str] | None) -> bool:
        if owners is None or manager not in owners:
            return False
        operation.debug("Object was created before", kind.name, namespace, name)
        return True

    backoff = Backoff(operation, request)
    looks_left = _LOOKS_AFTER_QUOTA
    while True:
        if may_exist and is_made(_owners(client, operation, kind, namespace, name)):
            return None
        try:
            answer = post()
        except TransientError as error:
            backoff.pause(error)
            may_exist = may_exist or error.may_be_done
            continue
        if answer.is_success:
            operation.debug("Created object", kind.name, namespace, name)
            return answer.content
        owners = _owners(client, operation, kind, namespace, name)
        if is_made(owners):
            return None
        is_gone = owners is None and _exists(answer)
        is_coming = owners is None and may_exist and looks_left > 0
        if not is_gone and not is_coming:
            raise refusal(answer, request, operation)
        looks_left -= 1
        reason = operation.last = summary(answer, request)
        backoff.pause(TransientError(reason, answer.status))


def _owned(kind: Kind, manifest: dict[str, Any], manager: str) -> dict[str, Any]:
    """The manifest, with a field that can be owned.

    Who made an object is told by who owns its fields, and of an object without any, as
    a config map without data, nobody would know
    (https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management).
    Such an object gets an annotation.
    """
    metadata = manifest["metadata"]
    content = [manifest.get(field) for field in ("data", "binaryData", "immutable", "spec")]
    owned = ("labels", "annotations", "finalizers", "ownerReferences")
    content += [metadata.get(field) for field in owned]
    if kind not in _MAY_BE_EMPTY or any(_says_something(value) for value in content):
        return manifest
    annotations = {_MANAGER_ANNOTATION: manager}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def _says_something(value: Any) -> bool:
    """Whether the server keeps it: not what is null or empty, at any depth."""
    if isinstance(value, dict):
        return any(_says_something(item) for item in value.values())
    return value is not None and value != []


def _exists(answer: Answer) -> bool:
    return answer.status == 409 and answer.reason == "AlreadyExists"


def _may_be_ours(answer: Answer) -> bool:
    """Whether a creation was refused for what may be an earlier try's object.

    The quota is looked at before the name: where it has room for one pod, the second
    creation of that pod is not told that it exists.
    """
    return _exists(answer) or (answer.status == 403 and "exceeded quota" in answer.message)


def is_passing(answer: Answer) -> bool:
    """Whether a creation was refused for what will be there soon.

    Two controllers are at work in a new namespace. One makes the default
    ServiceAccount, without which no pod is admitted (kubernetes#66689); the other fills
    in the quota's status, without which nothing is that the quota counts, and
    it may write it at the same moment (kubernetes#67761). ``exceeded quota`` is final.
    """
    message = answer.message
    if answer.status == 403:
        return "error looking up service account" in message or (
            "status unknown for quota" in message
        )
    about = mapping_at(answer.details, "details").get("kind")
    return answer.status == 409 and answer.reason == "Conflict" and about == "resourcequotas"


def _owners(
    client: Client, operation: Operation, kind: Kind, namespace: str | None, name: str
) -> set[str] | None:
    """Who wrote an object: the managers of its fields; `None` where there is none.

    Nobody, where it may not be read.
    """
    request = Request("GET", kind, namespace, name, accept=_METADATA)
    answer = call(
        client, request, operation, is_welcome=lambda a: is_missing(a) or a.status == 403
    )
    if answer.status == 403:
        return set()
    if not answer.is_success:
        return None
    fields = mappings_at(answer.content, "metadata", "managedFields")
    return {str(field.get("manager")) for field in fields if field.get("operation") == "Update"}


def delete(
    client: Client,
    operation: Operation,
    kind: Kind,
    namespace: str | None,
    name: str,
    *,
    grace_period_seconds: int | None = None,
) -> str | None:
    """Ask for the deletion of the object that is there now.

    Returns
    -------
    str or None
        The UID of what is going; `None` where it is gone already, or was not
        there. One of the same name that is made in the meantime is let be.
    """
    found = read(client, operation, kind, namespace, name, accept=_METADATA)
    if found is None:
        return None
    metadata = mapping_at(found, "metadata")
    uid = str(metadata.get("uid") or "")
    if metadata.get("deletionTimestamp") and grace_period_seconds is None:
        return uid
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if uid:
        options["preconditions"] = {"uid": uid}
    if grace_period_seconds is not None:
        options["gracePeriodSeconds"] = grace_period_seconds
    request = Request("DELETE", kind, namespace, name, body=json.dumps(options).encode())
    answer = call(
        client, request, operation, is_welcome=lambda a: is_missing(a) or a.status == 409
    )
    operation.debug("Deleted object", kind.name, namespace, name)
    if answer.is_success:
        return uid
    if answer.status == 404:
        return None
    # Another one of the name has come, or somebody else's deletion is under way.
    found = read(client, operation, kind, namespace, name, accept=_METADATA)
    metadata = mapping_at(found, "metadata")
    if found is None or (uid and metadata.get("uid") != uid):
        return None
    if metadata.get("deletionTimestamp"):
        return uid
    raise refusal(answer, request, operation)


def named(kind: Kind, namespace: str | None, name: str) -> Request:
    """The list of the one object of a name, for a watch of it."""
    return Request(
        "GET",
        kind,
        namespace,
        name,
        query={"fieldSelector": f"metadata.name={name}"},
        collection=True,
    )


def wait_until_gone(
    client: Client,
    operation: Operation,
    kind: Kind,
    namespace: str | None,
    name: str,
    uid: str,
    reason: Callable[[dict[str, Any]], str],
) -> None:
    """Block until the object of that UID is gone.

    Parameters
    ----------
    client, operation, kind, namespace, name, uid
        What is waited for.
    reason
        Tells of the object, as the server sent it, why it is still there: what a
        timeout says.
    """
    there = False
    for change in follow(client, operation, named(kind, namespace, name)):
        if change.type == LISTED:
            if not there:
                break
        elif change.uid == uid or not uid:
            if change.type == DELETED:
                break
            there = True
            operation.last = reason(change.object)
    operation.debug("Object is gone", kind.name, namespace, name)

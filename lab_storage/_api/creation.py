"""Create one object of any kind, once, whatever happens to the answers."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from lab_storage._api.answer import Answer, TransientError, mappings_at
from lab_storage._api.call import Call
from lab_storage._api.redaction import summary
from lab_storage._api.request import METADATA, Request, to_body
from lab_storage._manifests.kinds import CONFIG_MAP, RESOURCE_QUOTA, Kind
from lab_storage._manifests.sealed import Sealed
from lab_storage.exceptions import KubernetesError

Manifest = dict[str, Any]

# A fieldManager has 128 characters at most.
_MANAGER_PREFIX = "lab_storage-"
# Kinds of which an object may have no field at all. The server gives each of the others one.
_MAY_BE_EMPTY = CONFIG_MAP, RESOURCE_QUOTA
_MANAGER_ANNOTATION = "lab-storage/manager"
# An earlier attempt may be charged for and its object not stored yet: so often it is looked for.
_LOOKS_AFTER_QUOTA = 3


def manager_of(operation_id: str | None) -> str:
    """The fieldManager of an operation, unique if it has no id.

    All of an ``operation_id`` counts, however long it is.
    """
    if operation_id is None:
        return _MANAGER_PREFIX + uuid.uuid4().hex
    return (
        _MANAGER_PREFIX + hashlib.sha256(operation_id.encode("utf-8", "surrogatepass")).hexdigest()
    )


def create(
    call: Call, kind: Kind, manifest: Sealed[Manifest], manager: str, *, may_exist: bool = False
) -> bool:
    """Create an object, once, whatever happens to the answers. Blocks.

    Where an earlier attempt may have made it, that is looked at first, and not found out by
    another POST: a quota is charged for each one, also for that of an object that turns out
    to exist, and the charge stays until the quota's controller counts anew, which it does every
    5 min (kube-controller-manager's ``--resource-quota-sync-period``). Blind attempts would so
    use up the quota of what is still to be made.

    Parameters
    ----------
    call
        Sends the requests.
    kind, manifest
        The object.
    manager
        Who makes it, by `manager_of`: ``metadata.managedFields`` says who made an object that
        exists.
    may_exist
        Whether an earlier attempt of the same operation may have made it.

    Returns
    -------
    bool
        Whether it was made now; else, the operation had made it before.

    Raises
    ------
    KubernetesError
        With status 409, if it exists and is another's or may not be read; else
        if the server refuses.
    """
    return _Creation(call, kind, manifest, manager, may_exist).run()


class _Creation:
    """The creation of one object."""

    def __init__(
        self,
        call: Call,
        kind: Kind,
        manifest: Sealed[Manifest],
        manager: str,
        may_exist: bool,
    ) -> None:
        metadata = manifest.open()["metadata"]
        namespace, name = metadata.get("namespace"), metadata["name"]
        del metadata  # its annotations may hold anything
        self._call = call
        self._manager = manager
        self._may_exist = may_exist
        self._looks_left = _LOOKS_AFTER_QUOTA
        self._post = Request(
            "POST",
            kind,
            namespace,
            name,
            query={"fieldManager": manager},
            body=to_body(_owned(kind, manifest.open(), manager)),
            collection=True,
        )
        self._look = Request("GET", kind, namespace, name, accept=METADATA)

    def run(self) -> bool:
        for attempt in self._call.attempts(self._post):
            with attempt:
                is_new = self._attempt()
                event = "Created object" if is_new else "Object was created before"
                self._call.debug(event, self._post)
                return is_new
        raise RuntimeError("a call ends by its deadline, not by itself")

    def _attempt(self) -> bool:
        if self._may_exist and self._is_ours(self._read_managers()):
            return False
        try:
            answer = self._call.attempt(self._post)
            if answer.is_success:
                answer.read_object()
                return True
        except TransientError as error:
            self._may_exist = self._may_exist or error.may_be_done
            raise
        refusal = self._call.refusal(self._post, answer)
        if not _may_be_ours(answer):
            raise refusal
        managers = self._read_managers()
        if self._is_ours(managers):
            return False
        if managers is None and self._may_come(answer):
            reason = summary(answer, self._post)
            raise TransientError(reason, answer.status) from refusal
        raise refusal

    def _is_ours(self, managers: set[str] | None) -> bool:
        return managers is not None and self._manager in managers

    def _may_come(self, answer: Answer) -> bool:
        """Whether another attempt is worth making for an object that could not be found."""
        if _exists(answer):
            return True  # it has gone in the meantime
        self._looks_left -= 1
        return self._may_exist and self._looks_left >= 0

    def _read_managers(self) -> set[str] | None:
        """Who wrote the object: the managers of its fields; `None` if there is none.

        Nobody, if it may not be read.
        """
        try:
            return self._call.find(self._look, _managers_of)
        except KubernetesError as error:
            if error.status == 403:
                return set()
            raise


def _managers_of(answer: Answer) -> set[str]:
    fields = mappings_at(answer.read_metadata(), "managedFields")
    return {str(each.get("manager")) for each in fields if each.get("operation") == "Update"}


def _owned(kind: Kind, manifest: Manifest, manager: str) -> Manifest:
    """The manifest, with a field that can be owned.

    Who made an object is told by who owns its fields, and of an object without any, such as
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
    """Whether a creation was refused for what may be an earlier attempt's object.

    The quota is looked at before the name: where it has room for one pod, the second
    creation of that pod is refused for the quota, and not because it exists.
    """
    return _exists(answer) or (answer.status == 403 and "exceeded quota" in answer.message)

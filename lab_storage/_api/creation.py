"""Create one object of any kind, once, whatever happens to the answers."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Mapping
from typing import Any

import attrs

from lab_storage._api.answer import Answer, TransientError, mapping_at, mappings_at
from lab_storage._api.call import Call
from lab_storage._api.deletion import wait_until_gone
from lab_storage._api.objects import read_metadata
from lab_storage._api.redaction import summary
from lab_storage._api.request import METADATA, Request, to_body
from lab_storage._manifests.kinds import NAMESPACE, Kind
from lab_storage._manifests.sealed import Sealed
from lab_storage.exceptions import KubernetesError, describe_object

Manifest = dict[str, Any]

# A fieldManager has 128 characters at most.
_MANAGER_PREFIX = "lab_storage-"
MANAGER_ANNOTATION = "lab-storage/manager"
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
    call: Call,
    kind: Kind,
    manifest: Sealed[Manifest],
    manager: str,
    *,
    may_exist: bool = False,
    keep_existing: bool = False,
    keep_own: bool = False,
) -> bool:
    """Create an object, once, whatever happens to the answers. Blocks.

    Where an earlier attempt may have made it, that is looked at first, and not found out by
    another POST: a quota is charged for each one, also for that of an object that turns out
    to exist, and the charge stays until the quota's controller counts anew, which it does every
    5 min (kube-controller-manager's ``--resource-quota-sync-period``). Blind attempts would so
    use up the quota of what is still to be made.

    An object of the operation that is being deleted does not count as made: its end is waited
    for, and it is made anew.

    Parameters
    ----------
    call
        Sends the requests.
    kind, manifest
        The object.
    manager
        Who makes it, by `manager_of`.
    may_exist
        Whether an earlier attempt of the same operation may have made it.
    keep_existing
        Whether an object that exists is used as it is, whoever has made it.
    keep_own
        Whether one is that another operation of this library has made.

    Returns
    -------
    bool
        Whether it was made now; else, it existed.

    Raises
    ------
    KubernetesError
        With status 409, if it exists and is another's or may not be read; else
        if the server refuses.
    """
    creation = _Creation(call, kind, manifest, manager)
    creation.keep_existing, creation.keep_own = keep_existing, keep_own
    creation.may_exist = may_exist or keep_existing or keep_own
    return creation.run()


@attrs.frozen
class _Found:
    """An object that exists: who made it, and whether it is being deleted."""

    uid: str
    makers: frozenset[str]
    is_dying: bool


class _Creation:
    """The creation of one object."""

    def __init__(
        self,
        call: Call,
        kind: Kind,
        manifest: Sealed[Manifest],
        manager: str,
    ) -> None:
        metadata = manifest.open()["metadata"]
        namespace, name = metadata.get("namespace"), metadata["name"]
        del metadata  # its annotations may hold anything
        self._call = call
        self._manager = manager
        self.may_exist = self.keep_existing = self.keep_own = False
        self._is_perhaps_done = False
        self._looks_left = _LOOKS_AFTER_QUOTA
        self._rhythm = _Rhythm()
        self._post = Request(
            "POST",
            kind,
            namespace,
            name,
            # Strict: a field that the server does not know is an error rather than lost
            # (https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation).
            query={"fieldManager": manager, "fieldValidation": "Strict"},
            body=to_body(_marked(manifest.open(), manager)),
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
        if self.may_exist and self._rhythm.is_time_to_look():
            found = self._read()
            # (One that may not be read may not exist.)
            if found is not None and found.uid and self._is_ours(found):
                if not found.is_dying:
                    return False
                self._wait_until_gone(found)
        answer = self._request_creation()
        if answer.is_success:
            return True
        refusal = self._call.refusal(self._post, answer)
        if not _may_be_ours(answer):
            raise refusal
        found = self._read()
        if found is None:
            if not self._may_come(answer):
                raise refusal
        elif not self._is_ours(found):
            raise refusal
        elif not found.is_dying:
            return False
        else:
            self._wait_until_gone(found)
        raise TransientError(summary(answer, self._post), answer.status) from refusal

    def _request_creation(self) -> Answer:
        try:
            answer = self._call.attempt(self._post)
            if answer.is_success:
                answer.read_object()
        except TransientError as error:
            if error.may_be_done and not self._is_perhaps_done:
                # Of looks, none has followed a POST yet. A second POST in a row would be charged
                # to a quota, which may have no room for another object then.
                self._rhythm = _Rhythm()
                self.may_exist = self._is_perhaps_done = True
            raise
        if self._is_for_earlier_namespace(answer):
            refusal = self._call.refusal(self._post, answer)
            raise TransientError(summary(answer, self._post), answer.status) from refusal
        return answer

    def _is_for_earlier_namespace(self, answer: Answer) -> bool:
        """Whether a server refuses since it still sees the namespace that had this name before.

        An API server admits by a cache of namespaces. It looks at a namespace itself if the cache
        has none, or an active one, but not if the cache has one that is being terminated
        (NamespaceLifecycle, pkg/admission/plugin/namespace/lifecycle of k8s.io/apiserver). In 6 of
        160 namespaces that were made anew, the second of two servers, whose cache was late by
        milliseconds, refused the first object.
        """
        if answer.status != 403 or "being terminated" not in answer.message:
            return False
        if not self._call.namespace_is_new(self._post):
            return False
        try:
            found = read_metadata(self._call, NAMESPACE, None, str(self._post.namespace))
        except KubernetesError:
            return False  # whoever may create it need not be allowed to read it
        return found is not None and not found.get("deletionTimestamp")

    def _is_ours(self, found: _Found) -> bool:
        is_own = self.keep_own and _is_any_manager(found.makers)
        return self._manager in found.makers or self.keep_existing or is_own

    def _wait_until_gone(self, found: _Found) -> None:
        """Block until an object that is being deleted is gone."""
        look = self._look
        what = describe_object(look.kind.name, look.namespace, look.name)
        is_again = self._manager in found.makers
        whose = "made by an earlier attempt" if is_again else "which exists already"
        reason = f"{what}, {whose}, is still being deleted"
        try:
            wait_until_gone(
                self._call, look.kind, look.namespace, str(look.name), found.uid, lambda _: reason
            )
        except KubernetesError as error:
            # Whoever may create it need not be allowed to watch it. It is looked at again.
            raise TransientError(reason) from error

    def _may_come(self, answer: Answer) -> bool:
        """Whether another attempt is worth making for an object that could not be found."""
        if _exists(answer):
            return True  # it has gone in the meantime
        self._looks_left -= 1
        return self.may_exist and self._looks_left >= 0

    def _read(self) -> _Found | None:
        """Look at the object. Nobody has made one that may not be read."""
        try:
            return self._call.find(self._look, _found_in)
        except KubernetesError as error:
            if error.status == 403:
                return _Found("", frozenset(), is_dying=False)
            raise


class _Rhythm:
    """When to look for the object before another POST.

    Not each time: of two servers behind a balancer, one of which fails, the one that works could
    get all the looks and the other all the POSTs. So there are more and more POSTs in a row, and
    with any number of servers one of them arrives.
    """

    def __init__(self) -> None:
        self._in_a_row = 0
        self._left = 0

    def is_time_to_look(self) -> bool:
        """Whether to look before the POST that comes now."""
        if self._left > 0:
            self._left -= 1
            return False
        self._in_a_row += 1
        self._left = self._in_a_row
        return True


def _found_in(answer: Answer) -> _Found:
    """Who made an object, by the answer that it is in.

    That is who owns fields of it (``metadata.managedFields``). With more than ten owners, the
    server keeps the names of the latest alone, and calls the others ``ancient-changes``
    (https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management), and of an
    object without any field nobody is the owner. So it says so in an annotation, too.
    """
    metadata = answer.read_metadata()
    is_dying = bool(metadata.get("deletionTimestamp"))
    return _Found(str(metadata.get("uid") or ""), _makers_in(metadata), is_dying)


def _makers_in(metadata: Mapping[str, Any]) -> frozenset[str]:
    fields = mappings_at(metadata, "managedFields")
    makers = {str(each.get("manager")) for each in fields if each.get("operation") == "Update"}
    if isinstance(marked := mapping_at(metadata, "annotations").get(MANAGER_ANNOTATION), str):
        makers.add(marked)
    return frozenset(makers)


def is_made_here(metadata: Mapping[str, Any]) -> bool:
    """Whether any `create` of this library has made an object, whoever has written to it since."""
    return _is_any_manager(_makers_in(metadata))


def _is_any_manager(makers: Collection[str]) -> bool:
    return any(maker.startswith(_MANAGER_PREFIX) for maker in makers)


def _marked(manifest: Manifest, manager: str) -> Manifest:
    """The manifest, with the annotation that says who makes it."""
    metadata = manifest["metadata"]
    annotations = {**(metadata.get("annotations") or {}), MANAGER_ANNOTATION: manager}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def _exists(answer: Answer) -> bool:
    return answer.status == 409 and answer.reason == "AlreadyExists"


def _may_be_ours(answer: Answer) -> bool:
    """Whether a creation was refused for what may be an earlier attempt's object.

    The quota is looked at before the name: where it has room for one pod, the second
    creation of that pod is refused for the quota, and not because it exists.
    """
    return _exists(answer) or (answer.status == 403 and "exceeded quota" in answer.message)

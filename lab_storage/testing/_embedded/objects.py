"""What can be done to objects: create, read, delete, patch, with admission."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import deletion, pod_warnings
from . import quota as quota_rules
from .admission import admit_pod, admit_to_namespace
from .defaults import Defaults, complete_status
from .errors import (
    APIError,
    already_exists,
    bad_request,
    not_found,
    not_implemented,
    version_too_large,
)
from .incoming import check_identity, decode_patched, kept_metadata, new
from .metadata import new_uid, owned, random_suffix, timestamp, touched
from .patches import patched
from .resources import (
    CLAIMS,
    EVENTS,
    NAMESPACES,
    PODS,
    POLICIES,
    QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICES,
    is_going,
    name_of,
)
from .validation import validate, validate_change

if TYPE_CHECKING:
    from .deletion import DeleteOptions
    from .resources import Object, Resource
    from .store import Store

# What of these specs may be changed is a science of its own.
_FIXED_SPECS = (PODS, CLAIMS, SERVICES)


class Objects:
    """The verbs of the API over a `Store`.

    Each is one step: it holds the store's lock from its first look to its last
    write.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._defaults = Defaults()

    def create(
        self,
        resource: Resource,
        namespace: str | None,
        body: Any,
        manager: str,
        validation: str = "",
    ) -> tuple[Object, list[str]]:
        """Make an object, and give it with the warnings of its decoding.

        The order of the checks is the server's: type, namespace, ServiceAccount,
        fields, quota, and at last whether the name is free. A pod that is there
        already is therefore refused by a full quota before it is a conflict.

        Raises
        ------
        APIError
            400, 403, 404, 409 or 422.
        """
        obj, warnings = new(resource, namespace, body, validation)
        version_given = obj["metadata"].pop("resourceVersion", "")
        with self.store.lock:
            if namespace is not None:
                admit_to_namespace(self.store, resource, obj)
            self._complete(resource, obj)
            validate(resource, obj)
            if namespace is not None:
                quota_rules.admit(self.store, resource, namespace, obj)
            if version_given:
                raise APIError(500, "resourceVersion should not be set on objects to be created")
            existing = self.store.get(resource, namespace, name_of(obj))
            if existing is not None:
                raise already_exists(resource, name_of(obj), going=is_going(existing))
            self._charge(resource, namespace, obj)
            if resource is PODS:
                warnings = [*warnings, *pod_warnings.warnings(obj)]
            return self._storenew(resource, obj, manager), warnings

    def read(
        self, resource: Resource, namespace: str | None, name: str, version: int = 0
    ) -> Object:
        """Give an object.

        Raises
        ------
        APIError
            404; 504 for a version that is still to come.
        """
        with self.store.lock:
            if version > self.store.version:
                raise version_too_large(version, self.store.version)
            found = self.store.get(resource, namespace, name)
        if found is None:
            raise not_found(resource, name)
        return found

    def delete(
        self, resource: Resource, namespace: str | None, name: str, options: DeleteOptions
    ) -> Object:
        """Delete an object, or begin to, and give the object or a Status.

        Raises
        ------
        APIError
            404 or 409.
        """
        with self.store.lock:
            obj = self.read(resource, namespace, name)
            return deletion.delete(self.store, resource, obj, options)

    def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Any,
        *,
        content_type: str,
        manager: str,
        subresource: str | None,
        validation: str = "",
    ) -> tuple[Object, list[str]]:
        """Change an object, and give it with the warnings of its decoding.

        A patch of ``status`` changes that and the metadata, one without changes
        everything but the status, as on the server.

        Raises
        ------
        APIError
            400, 404, 409, 415 or 422; 501 for a change of a spec that this
            server would have to judge.
        """
        if not isinstance(body, dict):
            raise bad_request("invalid JSON patch")
        with self.store.lock:
            current = self.read(resource, namespace, name)
            after, warnings = decode_patched(
                resource, patched(resource, current, body, content_type), validation
            )
            after.setdefault("metadata", {})
            check_identity(resource, current, after)
            identity = {"kind": resource.kind, "apiVersion": resource.api_version}
            changed = {**after, **identity, "metadata": kept_metadata(current, after)}
            if subresource == "status":
                status = after.get("status", {})
                changed = {**current, "metadata": changed["metadata"], "status": status}
            elif "status" in current:
                changed["status"] = current["status"]
            self._complete_changed(resource, current, changed)
            validate_change(resource, current, changed)
            return self._store_changed(resource, current, changed, manager, subresource), warnings

    def set_status(
        self, resource: Resource, current: Object, status: Object, manager: str
    ) -> Object:
        """Give an object another status, as a controller does."""
        changed = {**current, "metadata": dict(current["metadata"]), "status": status}
        return self._store_changed(resource, current, changed, manager, "status")

    def drop_finalizers(self, resource: Resource, obj: Object, *finalizers: str) -> None:
        """Take finalizers off an object, which may let it go."""
        kept = [each for each in obj["metadata"].get("finalizers", ()) if each not in finalizers]
        metadata = {key: value for key, value in obj["metadata"].items() if key != "finalizers"}
        if kept:
            metadata["finalizers"] = kept
        self._store_changed(
            resource, obj, {**obj, "metadata": metadata}, "kube-controller-manager", None
        )

    def _complete(self, resource: Resource, obj: Object) -> None:
        """Fill in a new object, down to its name."""
        self._defaults.complete(resource, obj)
        if resource is PODS:
            admit_pod(self.store, obj)
        metadata = obj["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + random_suffix()

    def _complete_changed(self, resource: Resource, current: Object, changed: Object) -> None:
        """Fill in a changed object, and refuse changes that would have to be judged."""
        if resource is NAMESPACES:
            changed["spec"] = current["spec"]
        if "spec" in current:
            changed.setdefault("spec", {})
        if resource in _FIXED_SPECS and changed["spec"] != current["spec"]:
            raise not_implemented(f"change the spec of {resource.plural}")
        if resource in (EVENTS, POLICIES, ROLES, ROLE_BINDINGS, SECRETS):
            self._defaults.complete(resource, changed)
        if resource is PODS:
            complete_status(changed, current)

    def _charge(self, resource: Resource, namespace: str | None, obj: Object) -> None:
        """Count a new object before it is stored, as admission does."""
        if namespace is not None:
            for quota, status in quota_rules.charged(self.store, resource, namespace, obj):
                self.set_status(QUOTAS, quota, status, "kube-apiserver")

    def _storenew(self, resource: Resource, obj: Object, manager: str) -> Object:
        owned(resource, obj, manager)
        metadata = obj["metadata"]
        metadata["uid"] = new_uid()
        metadata["creationTimestamp"] = timestamp()
        if resource.counts_generations or resource.custom:
            metadata["generation"] = 1
        return self.store.put(resource, obj)

    def _store_changed(
        self,
        resource: Resource,
        current: Object,
        changed: Object,
        manager: str,
        subresource: str | None,
    ) -> Object:
        if changed == current:
            return current
        if "generation" in current["metadata"] and changed.get("spec") != current.get("spec"):
            generation = current["metadata"]["generation"] + 1
            changed = {**changed, "metadata": {**changed["metadata"], "generation": generation}}
        changed["metadata"] = dict(changed["metadata"])
        touched(resource, changed, manager, subresource)
        if deletion.is_free(changed):
            # The last finalizer goes and the object with it: one deletion, no change before it.
            self.store.remove(resource, current)
            return changed
        return self.store.put(resource, changed)

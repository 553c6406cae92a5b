"""What a server writes into ``metadata``: times, UIDs, versions, managers."""

from __future__ import annotations

import random
import uuid
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .resources import Object, Resource

# The alphabet of names that are made up, without letters that could spell a word
# or be taken for another: k8s.io/apimachinery/pkg/util/rand.
_NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def timestamp(after_seconds: float = 0.0) -> str:
    """Give the time, or one that is so much later, as ``metav1.Time`` is written."""
    moment = datetime.now(timezone.utc) + timedelta(seconds=after_seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp() -> str:
    """Give the time as ``metav1.MicroTime`` is written."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parsed(text: str) -> datetime:
    """Read what `timestamp` wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def new_uid() -> str:
    """Make a UID."""
    return str(uuid.uuid4())


def random_suffix() -> str:
    """Make the five letters that ``generateName`` is completed by."""
    return "".join(random.choices(_NAME_ALPHABET, k=5))  # noqa: S311


def owned(resource: Resource, obj: Object, manager: str) -> None:
    """Record the manager that creates an object, as the server does for a POST.

    An object of which nothing can be owned, such as a ServiceAccount that has only a
    name, gets no entry. Which fields are owned is not kept: ``fieldsV1`` is empty.
    """
    metadata = obj["metadata"]
    metadata.pop("managedFields", None)
    parts = ("labels", "annotations", "finalizers", "ownerReferences", "generateName")
    content = set(obj) - {"apiVersion", "kind", "metadata", "status"}
    if any(metadata.get(part) for part in parts) or any(obj[key] for key in content):
        metadata["managedFields"] = [_entry(resource, manager, None)]


def touched(resource: Resource, obj: Object, manager: str, subresource: str | None) -> None:
    """Record the manager that changes an object: a new entry, or a new time in an old one."""
    entry = _entry(resource, manager, subresource)
    kept = [
        each
        for each in obj["metadata"].get("managedFields", ())
        if (each["manager"], each.get("subresource")) != (manager, subresource)
    ]
    obj["metadata"]["managedFields"] = sorted(
        [*kept, entry], key=lambda each: (each["time"], each["manager"])
    )


def _entry(resource: Resource, manager: str, subresource: str | None) -> dict[str, Any]:
    # The scheduler alone speaks the newer API of events.
    newer = resource.plural == "events" and manager == "kube-scheduler"
    entry: dict[str, Any] = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "events.k8s.io/v1" if newer else resource.api_version,
        "time": timestamp(),
        "fieldsType": "FieldsV1",
        "fieldsV1": {},
    }
    if subresource is not None:
        entry["subresource"] = subresource
    return entry

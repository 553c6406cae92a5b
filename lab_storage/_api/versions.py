"""What identifies an object, and which of two of its states is the later."""

from __future__ import annotations

from typing import Any, TypeGuard


def is_object(content: Any) -> TypeGuard[dict[str, Any]]:
    """Whether it may be an object of Kubernetes: it has metadata."""
    return isinstance(content, dict) and isinstance(content.get("metadata"), dict)


def identity(content: dict[str, Any]) -> str:
    """The object's identity: its UID, else its name."""
    metadata = content.get("metadata") or {}
    return str(metadata.get("uid") or metadata.get("name"))


def place_of(content: dict[str, Any]) -> tuple[str, str]:
    """Namespace and name, which no two objects have at the same time."""
    metadata = content["metadata"]
    return str(metadata.get("namespace")), str(metadata.get("name") or identity(content))


def version_of(content: dict[str, Any]) -> str | None:
    """The resource version of an object or a list, if it has one."""
    metadata = content.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) and version else None


def is_later(version: str, known: str | None) -> bool:
    """Whether a version is another than the known one, and not an older one.

    Versions are to be compared for equality; that those of one resource are
    decimal numbers that grow is true of all servers, and promised since 1.35
    (KEP-5504). The longer of two such numbers is the greater.
    """
    if known is None:
        return True
    if version.isdecimal() and known.isdecimal():
        return (len(version), version) > (len(known), known)
    return version != known


def skeleton_of(content: dict[str, Any]) -> dict[str, Any]:
    """What a DELETED needs to say of an object."""
    metadata = content["metadata"]
    kept = ("uid", "name", "namespace")
    return {"metadata": {key: metadata[key] for key in kept if key in metadata}}

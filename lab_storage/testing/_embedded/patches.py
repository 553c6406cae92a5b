"""Merge patches, and of strategic merge patches those that are the same.

Sources: RFC 7386, and
https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/.
A strategic merge patch, which the official client sends by default, merges lists of
objects by a key of each kind of list. One without lists and directives does what a
JSON merge patch does; the others are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import not_implemented, unsupported_media_type

if TYPE_CHECKING:
    from .resources import Resource

_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_OF_REAL_SERVERS = frozenset({"application/json-patch+json", "application/apply-patch+yaml"})


def patched(
    resource: Resource, target: dict[str, Any], patch: dict[str, Any], content_type: str
) -> dict[str, Any]:
    """Give what a patch makes of an object; neither is changed.

    Raises
    ------
    APIError
        415: there is no such kind of patch; 501: only a real server knows it.
    """
    if content_type == _STRATEGIC and resource.custom:
        raise unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, "
            "application/apply-patch+yaml"
        )
    if content_type == _STRATEGIC and not _is_plain(patch):
        raise not_implemented("merge lists, or follow directives, of strategic merge patches")
    if content_type in (_MERGE, _STRATEGIC):
        return _merge(target, patch)
    if content_type in _OF_REAL_SERVERS:
        raise not_implemented(f"patch by {content_type}")
    raise unsupported_media_type("415: Unsupported Media Type", {})


def _is_plain(patch: object) -> bool:
    if isinstance(patch, dict):
        return all(not key.startswith("$") and _is_plain(each) for key, each in patch.items())
    return not isinstance(patch, list)


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            before = result.get(name)
            result[name] = _merge(before if isinstance(before, dict) else {}, value)
        else:
            result[name] = value
    return result

"""Merge patches and strategic merge patches.

Sources: RFC 7386, and for which lists are merged by which key the
``patchMergeKey`` of https://github.com/kubernetes/api/blob/master/core/v1/types.go.
Of the strategic directives ``$patch`` (delete and replace) and
``$setElementOrder`` are read; any other is refused.
"""

from __future__ import annotations

from typing import Any

from .errors import APIError, not_implemented, unsupported_media_type

_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_OF_REAL_SERVERS = frozenset({"application/json-patch+json", "application/apply-patch+yaml"})
# Any other list is replaced whole. Ports have other keys in pods than in services.
_MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "hostAliases": "ip",
    "hostIPs": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "podIPs": "ip",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
_SETS = frozenset({"finalizers"})
_ORDER = "$setElementOrder/"


def patched(target: dict[str, Any], patch: dict[str, Any], content_type: str) -> dict[str, Any]:
    """Give what a patch makes of an object; neither is changed.

    Raises
    ------
    APIError
        415: no such patch; 501: one that only a real server knows.
    """
    if content_type == _MERGE:
        return _merge(target, patch)
    if content_type == _STRATEGIC:
        return _merge_strategically(target, patch)
    if content_type in _OF_REAL_SERVERS:
        raise not_implemented(f"patch by {content_type}")
    raise unsupported_media_type("415: Unsupported Media Type", {})


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


def _merge_strategically(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    result = dict(target)
    for name, value in patch.items():
        if name.startswith(_ORDER):
            continue
        if name.startswith("$"):
            raise not_implemented(f"the directive {name} of strategic merge patches")
        before = result.get(name)
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = _merge_strategically(before if isinstance(before, dict) else {}, value)
        elif isinstance(value, list):
            order = patch.get(_ORDER + name)
            result[name] = _merge_lists(name, before or [], value, order)
        else:
            result[name] = value
    return result


def _merge_lists(name: str, before: list[Any], patch: list[Any], order: object) -> list[Any]:
    if name in _SETS:
        return [*before, *(each for each in patch if each not in before)]
    key = _MERGE_KEYS.get(name)
    if key is None or not all(isinstance(each, dict) for each in patch):
        return patch
    if any(each.get("$patch") == "replace" for each in patch):
        return [each for each in patch if "$patch" not in each]
    for each in patch:
        if not isinstance(each.get(key), str):
            raise APIError(500, f"map: {_as_go(each)} does not contain declared merge key: {key}")
    kept = {each[key]: each for each in before}
    new = {}
    for each in patch:
        if each.get("$patch") == "delete":
            kept.pop(each[key], None)
        elif each[key] in kept:
            kept[each[key]] = _merge_strategically(kept[each[key]], each)
        else:
            new[each[key]] = each
    # The server puts what the patch adds first, unless it is told an order.
    merged = [*new.values(), *kept.values()]
    if isinstance(order, list):
        keys = [str(each.get(key)) for each in order if isinstance(each, dict)]
        positions = {each: i for i, each in enumerate(keys)}
        merged.sort(key=lambda each: positions.get(each[key], len(positions)))
    return merged


def _as_go(value: object) -> str:
    """Give a value as Go prints it."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_as_go(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_as_go, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)

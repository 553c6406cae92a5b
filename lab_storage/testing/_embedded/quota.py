"""ResourceQuota: what objects use, what is left, and which are refused.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/. Counts of
objects, and the compute and storage resources of pods and claims, are counted.
Quotas with scopes are refused when they are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .defaults import containers
from .errors import forbidden, not_implemented
from .quantities import Quantity
from .resources import CLAIMS, PODS, QUOTAS, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .resources import Object, Resource
    from .store import Store

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_COUNTED_BY_PLURAL = frozenset(
    {"configmaps", "persistentvolumeclaims", "pods", "resourcequotas", "secrets", "services"}
)
_ONE = Quantity.parse(1) or Quantity()


def refuse_scopes(spec: Object) -> None:
    """Refuse the spec of a quota that would have to be counted by scope.

    Raises
    ------
    APIError
        501.
    """
    if spec.get("scopes") or spec.get("scopeSelector"):
        raise not_implemented("count a quota by scope")


def admit(store: Store, resource: Resource, namespace: str, obj: Object) -> None:
    """Refuse a new object that a quota of its namespace has no room for.

    Raises
    ------
    APIError
        403: it says nothing of a resource that is limited, it would exceed the
        quota, or what is used is not known yet. A quota without ``status.hard``
        limits nothing yet.
    """
    for quota in store.items(QUOTAS, namespace):
        hard = quota["status"].get("hard", {})
        limited = sorted(set(hard) & _countable(resource))
        if not limited:
            continue
        quota_name = name_of(quota)
        name = name_of(obj)
        if missing := _unspecified(resource, obj, limited):
            text = f"failed quota: {quota_name}: must specify {missing}"
            raise forbidden(resource, name, text)
        used = quota["status"].get("used", {})
        if not set(limited) <= set(used):
            text = f"status unknown for quota: {quota_name}, resources: {','.join(limited)}"
            raise forbidden(resource, name, text)
        if text := _exceeded(usage(resource, obj), _read(hard), _read(used), limited):
            raise forbidden(resource, name, f"exceeded quota: {quota_name}, {text}")


def charged(
    store: Store, resource: Resource, namespace: str, obj: Object
) -> list[tuple[Object, Object]]:
    """Give the quotas that count a new object, each with its status after that."""
    changes = []
    for quota in store.items(QUOTAS, namespace):
        used = quota["status"].get("used", {})
        more = {what: amount for what, amount in usage(resource, obj).items() if what in used}
        if any(amount.value for amount in more.values()):
            total = {what: str(_read(used)[what] + amount) for what, amount in more.items()}
            changes.append((quota, {**quota["status"], "used": {**used, **total}}))
    return changes


def used_in(store: Store, quota: Object) -> dict[str, str]:
    """Give what the objects of a quota's namespace use of what it limits."""
    hard = quota["spec"].get("hard", {})
    total = dict.fromkeys(hard, Quantity())
    for resource in store.resources:
        if not set(hard) & _countable(resource):
            continue
        for obj in store.items(resource, quota["metadata"]["namespace"]):
            for what, amount in usage(resource, obj).items():
                if what in total:
                    total[what] += amount
    return {what: str(amount) for what, amount in total.items()}


def usage(resource: Resource, obj: Object) -> dict[str, Quantity]:
    """Give what one object counts for; a pod that has ended uses nothing."""
    used = {f"count/{resource.qualified}": _ONE}
    if resource.plural in _COUNTED_BY_PLURAL:
        used[resource.plural] = _ONE
    if resource is CLAIMS:
        requests = obj["spec"]["resources"].get("requests", {})
        used["requests.storage"] = Quantity.parse(requests.get("storage", 0)) or Quantity()
    if resource is PODS:
        if obj["status"].get("phase") in ("Succeeded", "Failed"):
            return {"count/pods": _ONE}
        for kind in ("requests", "limits"):
            for name in _COMPUTE:
                used[f"{kind}.{name}"] = _of_pod(obj, kind, name)
        used.update({name: used[f"requests.{name}"] for name in _COMPUTE})
    return used


def _of_pod(pod: Object, kind: str, name: str) -> Quantity:
    # Init containers run one by one before the others, so the greatest counts:
    # https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
    together = Quantity()
    for container in pod["spec"].get("containers", ()):
        together += _of_container(container, kind, name)
    before = [_of_container(each, kind, name) for each in pod["spec"].get("initContainers", ())]
    return max([together, *before], key=lambda amount: amount.value)


def _of_container(container: Mapping[str, object], kind: str, name: str) -> Quantity:
    resources = container.get("resources")
    amounts = resources.get(kind, {}) if isinstance(resources, dict) else {}
    return Quantity.parse(amounts.get(name, 0)) or Quantity()


def _countable(resource: Resource) -> set[str]:
    names = {f"count/{resource.qualified}"}
    if resource.plural in _COUNTED_BY_PLURAL:
        names.add(resource.plural)
    if resource is CLAIMS:
        names.add("requests.storage")
    if resource is PODS:
        names.update(_COMPUTE)
        names.update(f"{kind}.{name}" for kind in ("requests", "limits") for name in _COMPUTE)
    return names


def _unspecified(resource: Resource, obj: Object, limited: Iterable[str]) -> str:
    """Say which containers say nothing of which limited resource."""
    if resource is not PODS:
        return ""
    missing: dict[str, list[str]] = {}
    for what in limited:
        kind, _, name = what.rpartition(".")
        if name not in _COMPUTE:
            continue
        for container in containers(obj):
            if name not in container["resources"].get(kind or "requests", {}):
                missing.setdefault(what, []).append(container["name"])
    return "; ".join(f"{what} for: {','.join(sorted(names))}" for what, names in missing.items())


def _exceeded(
    requested: Mapping[str, Quantity],
    hard: Mapping[str, Quantity],
    used: Mapping[str, Quantity],
    limited: Iterable[str],
) -> str:
    over = [
        what
        for what in limited
        if what in requested and (used[what] + requested[what]).value > hard[what].value
    ]
    if not over:
        return ""
    return ", ".join(
        f"{title}: {','.join(f'{what}={amounts[what]}' for what in over)}"
        for title, amounts in (("requested", requested), ("used", used), ("limited", hard))
    )


def _read(amounts: Mapping[str, str]) -> dict[str, Quantity]:
    return {name: Quantity.parse(amount) or Quantity() for name, amount in amounts.items()}

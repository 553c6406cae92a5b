"""What the content of each kind may be; of some in modules of their own."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

from . import network_validation, pod_validation
from .errors import (
    Cause,
    forbidden_field,
    invalid_value,
    required,
    too_long,
    unsupported,
)
from .names import DNS_SUBDOMAIN, config_key, label_selector, labels, named, qualified
from .quantities import Quantity
from .resources import (
    BUDGETS,
    CLAIMS,
    CONFIG_MAPS,
    EVENTS,
    INGRESSES,
    PODS,
    POLICIES,
    QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .resources import Object, Resource

_LARGEST_DATA = 1024 * 1024
# What a secret of a type has to have: https://kubernetes.io/docs/concepts/configuration/secret/
_SECRET_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_QUOTA_RESOURCES = frozenset(
    {
        *("cpu", "memory", "ephemeral-storage", "pods", "services", "services.loadbalancers"),
        *("services.nodeports", "replicationcontrollers", "resourcequotas", "secrets"),
        *("configmaps", "persistentvolumeclaims"),
        *(f"{k}.{w}" for k in ("requests", "limits") for w in ("cpu", "memory")),
        *(f"{k}.{w}" for k in ("requests", "limits") for w in ("ephemeral-storage",)),
        "requests.storage",
    }
)
_WHOLE = re.compile(
    r"pods|services.*|replicationcontrollers|resourcequotas|secrets|configmaps|"
    r"persistentvolumeclaims|count/.*|.*/.*"
)


def validate(resource: Resource, obj: Object) -> Iterator[Cause]:
    """Say what of an object's content does not fit."""
    check = _CHECKS.get(resource)
    if check is not None:
        yield from check(obj)


def _config_map(obj: Object) -> Iterator[Cause]:
    data, binary = obj.get("data", {}), obj.get("binaryData", {})
    for key in data:
        yield from config_key(f"data[{key}]", key)
        if key in binary:
            yield invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
    for key in binary:
        yield from config_key(f"binaryData[{key}]", key)
    texts = sum(len(each.encode()) for each in data.values())
    if texts + sum(map(_decoded_length, binary.values())) > _LARGEST_DATA:
        yield too_long("[]", _LARGEST_DATA)


def _decoded_length(text: str) -> int:
    return len(base64.b64decode(text))


def _secret(obj: Object) -> Iterator[Cause]:
    data, kind = obj.get("data", {}), obj["type"]
    for key in data:
        yield from config_key(f"data[{key}]", key)
    if sum(map(_decoded_length, data.values())) > _LARGEST_DATA:
        yield too_long("data", _LARGEST_DATA)
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        yield required("data[username]")
        yield required("data[password]")
    if kind == "kubernetes.io/service-account-token":
        account = "kubernetes.io/service-account.name"
        if not obj["metadata"].get("annotations", {}).get(account):
            yield required(f"metadata.annotations[{account}]")
    for key in _SECRET_KEYS.get(kind, ()):
        if key not in data:
            yield required(f"data[{key}]")
        elif "docker" in key:
            try:
                json.loads(base64.b64decode(data[key]))
            except ValueError:
                text = "must be valid JSON"
                yield invalid_value(f"data[{key}]", "<secret contents redacted>", text)


def _claim(obj: Object) -> Iterator[Cause]:
    spec = obj["spec"]
    modes = spec.get("accessModes", [])
    known = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
    if not modes:
        yield required("spec.accessModes", "at least 1 access mode is required")
    yield from labels("spec.selector.matchLabels", spec.get("selector", {}).get("matchLabels", {}))
    for mode in modes:
        if mode not in known:
            yield unsupported("spec.accessModes", mode, known)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        text = "may not use ReadWriteOncePod with other access modes"
        yield forbidden_field("spec.accessModes", text)
    storage = spec["resources"].get("requests", {}).get("storage")
    if storage is None:
        yield required("spec.resources[storage]")
    elif (Quantity.parse(storage) or Quantity()).value <= 0:
        yield invalid_value("spec.resources[storage]", storage, "must be greater than zero")
    if spec.get("storageClassName"):
        yield from named("spec.storageClassName", spec["storageClassName"], DNS_SUBDOMAIN)
    if spec["volumeMode"] not in ("Block", "Filesystem"):
        yield unsupported("spec.volumeMode", spec["volumeMode"], ("Block", "Filesystem"))


def _quota(obj: Object) -> Iterator[Cause]:
    for name, amount in obj["spec"].get("hard", {}).items():
        field = f"spec.hard[{name}]"
        yield from qualified(field, name)
        if "/" not in name and name not in _QUOTA_RESOURCES:
            if "." not in name and " " not in name:
                text = "must be a standard resource type or fully qualified"
                yield invalid_value(field, name, text)
            yield invalid_value(field, name, "must be a standard resource for quota")
        value = (Quantity.parse(amount) or Quantity()).value
        if value < 0:
            yield invalid_value(field, amount, "must be greater than or equal to 0")
        if _WHOLE.fullmatch(name) and value != value.to_integral_value():
            yield invalid_value(field, amount, "must be an integer")


def _budget(obj: Object) -> Iterator[Cause]:
    spec = obj["spec"]
    if "minAvailable" in spec and "maxUnavailable" in spec:
        text = "minAvailable and maxUnavailable cannot be both set"
        yield invalid_value("spec", "<spec>", text)
    for name in ("minAvailable", "maxUnavailable"):
        value = spec.get(name, 0)
        if isinstance(value, int) and value < 0:
            yield invalid_value(f"spec.{name}", value, "must be greater than or equal to 0")
        if isinstance(value, str) and re.fullmatch("[0-9]+%", value) is None:
            text = (
                "a valid percent string must be a numeric string followed by an ending '%' "
                "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
            )
            yield invalid_value(f"spec.{name}", value, text)
    yield from label_selector("spec.selector", spec.get("selector", {}))
    policies, policy = ("AlwaysAllow", "IfHealthyBudget"), spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in policies:
        yield unsupported("spec.unhealthyPodEvictionPolicy", policy, policies)


def _role(obj: Object) -> Iterator[Cause]:
    for i, rule in enumerate(obj["rules"] or ()):
        field = f"rules[{i}]"
        if not rule.get("verbs"):
            yield required(f"{field}.verbs")
        if urls := rule.get("nonResourceURLs"):
            shown = json.dumps(urls, separators=(",", ":"))
            text = f"Invalid value: {shown}: namespaced rules cannot apply to non-resource URLs"
            yield Cause("FieldValueInvalid", f"{field}.nonResourceURLs", text)
            continue
        for name, noun in (("apiGroups", "api group"), ("resources", "resource")):
            if not rule.get(name):
                text = f"resource rules must supply at least one {noun}"
                yield required(f"{field}.{name}", text)


def _role_binding(obj: Object) -> Iterator[Cause]:
    reference = obj["roleRef"]
    if reference.get("kind", "") not in ("Role", "ClusterRole"):
        kinds = ("Role", "ClusterRole")
        yield unsupported("roleRef.kind", reference.get("kind", ""), kinds)
    for i, subject in enumerate(obj.get("subjects", ())):
        field, kind = f"subjects[{i}]", subject.get("kind", "")
        if not subject.get("name"):
            yield required(f"{field}.name")
        if kind not in ("ServiceAccount", "User", "Group"):
            yield unsupported(f"{field}.kind", kind, ("ServiceAccount", "User", "Group"))
        elif kind == "ServiceAccount" and subject.get("name"):
            yield from named(f"{field}.name", subject["name"], DNS_SUBDOMAIN)
    if not reference.get("name"):
        yield required("roleRef.name")


def _event(obj: Object) -> Iterator[Cause]:
    namespace = obj.get("involvedObject", {}).get("namespace", "")
    if namespace != obj["metadata"]["namespace"]:
        text = "does not match event.namespace"
        yield invalid_value("involvedObject.namespace", namespace, text)


_CHECKS: dict[Resource, Callable[[Object], Iterator[Cause]]] = {
    BUDGETS: _budget,
    CLAIMS: _claim,
    CONFIG_MAPS: _config_map,
    EVENTS: _event,
    INGRESSES: network_validation.ingress,
    PODS: pod_validation.validate,
    POLICIES: network_validation.policy,
    QUOTAS: _quota,
    ROLES: _role,
    ROLE_BINDINGS: _role_binding,
    SECRETS: _secret,
    SERVICES: network_validation.service,
}

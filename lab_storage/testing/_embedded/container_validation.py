"""What a pod's containers may be, as far as labs get it wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .errors import absent, duplicate, forbidden_field, invalid_value, required, unsupported
from .names import (
    CONFIG_KEY,
    DNS_LABEL,
    DNS_SUBDOMAIN,
    PROTOCOLS,
    named,
    port,
    port_name,
    port_number,
)
from .quantities import Quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .errors import Cause

LARGEST_ID = 2147483647
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_ENV_NAME = re.compile(r"[ -<>-~]+")
_ENV_TEXT = (
    "a valid environment variable name must consist only of printable ASCII characters other "
    "than '='"
)


def ids(field: str, context: dict[str, Any]) -> Iterator[Cause]:
    for name in ("fsGroup", "runAsUser", "runAsGroup"):
        value = context.get(name, 0)
        if not 0 <= value <= LARGEST_ID:
            text = f"must be between 0 and {LARGEST_ID}, inclusive"
            yield invalid_value(f"{field}.{name}", value, text)


def relative(field: str, path: str) -> Iterator[Cause]:
    if path.startswith("/"):
        yield invalid_value(field, path, "must be a relative path")
    if ".." in path.split("/"):
        yield invalid_value(field, path, "must not contain '..'")


def validate(
    field: str, container: dict[str, Any], seen: set[str], volumes: set[str]
) -> Iterator[Cause]:
    yield from _name_and_image(field, container, seen)
    for hook, handler in container.get("lifecycle", {}).items():
        yield from _handler(f"{field}.lifecycle.{hook}", handler)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            yield from _probe(f"{field}.{probe}", container[probe], probe)
    yield from _ports(field, container.get("ports", ()))
    for i, variable in enumerate(container.get("env", ())):
        yield from _variable(f"{field}.env[{i}]", variable)
    for i, source in enumerate(container.get("envFrom", ())):
        yield from _source(field, i, source)
    yield from _mounts(field, container, volumes)
    if container["imagePullPolicy"] not in _PULL_POLICIES:
        yield unsupported(f"{field}.imagePullPolicy", container["imagePullPolicy"], _PULL_POLICIES)
    yield from _resources(f"{field}.resources", container["resources"])
    yield from ids(f"{field}.securityContext", container.get("securityContext", {}))


def _name_and_image(field: str, container: dict[str, Any], seen: set[str]) -> Iterator[Cause]:
    name, image = container.get("name", ""), container.get("image", "")
    if not name:
        yield required(f"{field}.name")
    elif name in seen:
        yield duplicate(f"{field}.name", name)
    else:
        seen.add(name)
        yield from named(f"{field}.name", name, DNS_LABEL)
    if not image:
        yield required(f"{field}.image")
    elif image != image.strip():
        text = "must not have leading or trailing whitespace"
        yield invalid_value(f"{field}.image", image, text)


def _mounts(field: str, container: dict[str, Any], volumes: set[str]) -> Iterator[Cause]:
    paths: set[str] = set()
    for i, mount in enumerate(container.get("volumeMounts", ())):
        here, name, path = (
            f"{field}.volumeMounts[{i}]",
            mount.get("name", ""),
            mount.get("mountPath"),
        )
        if not name:
            yield required(f"{here}.name")
        if name not in volumes:
            yield absent(f"{here}.name", name)
        if not path:
            yield required(f"{here}.mountPath")
        elif path in paths:
            yield invalid_value(f"{here}.mountPath", path, "must be unique")
        paths.add(path or "")
        # The index is missing in the server's own text.
        yield from relative(f"{field}.volumeMounts.subPath", mount.get("subPath", ""))
    for i, device in enumerate(container.get("volumeDevices", ())):
        if device.get("name", "") not in volumes:
            yield absent(f"{field}.volumeDevices[{i}].name", device.get("name", ""))


def _ports(field: str, ports: Iterator[dict[str, Any]]) -> Iterator[Cause]:
    names: set[str] = set()
    for i, each in enumerate(ports):
        here, name = f"{field}.ports[{i}]", each.get("name", "")
        if name:
            yield from port_name(f"{here}.name", name)
            if name in names:
                yield duplicate(f"{here}.name", name)
            names.add(name)
        if not each.get("containerPort"):
            yield required(f"{here}.containerPort")
        else:
            yield from port_number(f"{here}.containerPort", each["containerPort"])
        if each.get("hostPort"):
            yield from port_number(f"{here}.hostPort", each["hostPort"])
        if each["protocol"] not in PROTOCOLS:
            yield unsupported(f"{here}.protocol", each["protocol"], PROTOCOLS)


def _variable(field: str, variable: dict[str, Any]) -> Iterator[Cause]:
    name = variable.get("name", "")
    if not name:
        yield required(f"{field}.name")
    elif _ENV_NAME.fullmatch(name) is None:
        yield invalid_value(f"{field}.name", name, _ENV_TEXT)
    if "valueFrom" not in variable:
        return
    source = variable["valueFrom"]
    if not source:
        text = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
            "`secretKeyRef` or `fileKeyRef`"
        )
        yield invalid_value(f"{field}.valueFrom", "", text)
    elif variable.get("value"):
        text = "may not be specified when `value` is not empty"
        yield invalid_value(f"{field}.valueFrom", "", text)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source:
            here, reference = f"{field}.valueFrom.{kind}", source[kind]
            yield from named(f"{here}.name", reference.get("name", ""), DNS_SUBDOMAIN)
            if not reference.get("key"):
                yield required(f"{here}.key")
            else:
                yield from named(f"{here}.key", reference["key"], CONFIG_KEY)


def _source(field: str, i: int, source: dict[str, Any]) -> Iterator[Cause]:
    prefix = source.get("prefix", "")
    if prefix and _ENV_NAME.fullmatch(prefix) is None:
        yield invalid_value(f"{field}.envFrom[{i}].prefix", prefix, _ENV_TEXT)
    found = [kind for kind in ("configMapRef", "secretRef") if kind in source]
    if not found:
        text = "must specify one of: `configMapRef` or `secretRef`"
        yield invalid_value(f"{field}.envFrom", "", text)
    for kind in found:
        here, name = f"{field}.envFrom[{i}].{kind}.name", source[kind].get("name")
        yield from named(here, name, DNS_SUBDOMAIN) if name else [required(here)]


def _handler(field: str, handler: dict[str, Any]) -> Iterator[Cause]:
    kinds = [each for each in ("exec", "httpGet", "tcpSocket", "grpc", "sleep") if each in handler]
    if not kinds:
        yield required(field, "must specify a handler type")
    for other in kinds[1:]:
        yield forbidden_field(f"{field}.{other}", "may not specify more than 1 handler type")
    if kinds[:1] == ["exec"] and not handler["exec"].get("command"):
        yield required(f"{field}.exec.command")
    for kind in kinds[:1]:
        if kind in ("httpGet", "tcpSocket"):
            yield from port(f"{field}.{kind}.port", handler[kind].get("port", 0))
    scheme = handler.get("httpGet", {}).get("scheme", "HTTP")
    if scheme not in ("HTTP", "HTTPS"):
        yield unsupported(f"{field}.httpGet.scheme", scheme, ("HTTP", "HTTPS"))


def _probe(field: str, probe: dict[str, Any], kind: str) -> Iterator[Cause]:
    yield from _handler(field, probe)
    for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds"):
        if probe.get(name, 0) < 0:
            text = "must be greater than or equal to 0"
            yield invalid_value(f"{field}.{name}", probe[name], text)
    if kind != "readinessProbe" and probe["successThreshold"] != 1:
        yield invalid_value(f"{field}.successThreshold", probe["successThreshold"], "must be 1")


def _resources(field: str, resources: dict[str, Any]) -> Iterator[Cause]:
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    for place, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            here, value = f"{field}.{place}[{name}]", _value(amount)
            if "/" not in name and not name.startswith("hugepages-") and name not in _COMPUTE:
                text = "must be a standard resource type or fully qualified"
                yield invalid_value(here, name, text)
                yield invalid_value(here, name, "must be a standard resource for containers")
            if value < 0:
                yield invalid_value(here, amount, "must be greater than or equal to 0")
            if "/" in name and value != value.to_integral_value():
                yield invalid_value(here, amount, "must be an integer")
    for name, amount in requests.items():
        if name in limits and _value(amount) > _value(limits[name]):
            text = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid_value(f"{field}.requests", amount, text)
        elif name not in limits and "/" in name:
            text = "Limit must be set for non overcommitable resources"
            yield required(f"{field}.limits", text)


def _value(amount: object) -> Any:
    return (Quantity.parse(amount) or Quantity()).value

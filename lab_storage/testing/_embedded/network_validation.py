"""What services, network policies and ingresses may be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .errors import Cause, duplicate, forbidden_field, invalid_value, required, unsupported
from .names import (
    DNS_LABEL,
    DNS_SUBDOMAIN,
    PROTOCOLS,
    address,
    label_selector,
    labels,
    named,
    network,
    port,
    port_number,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .resources import Object


def service(obj: Object) -> Iterator[Cause]:
    """Say what of a service does not fit."""
    spec = obj["spec"]
    kind, ports = spec["type"], spec.get("ports", [])
    types = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    affinities = ("ClientIP", "None")
    if not ports and spec.get("clusterIP") != "None" and kind != "ExternalName":
        yield required("spec.ports")
    if kind == "ExternalName" and not spec.get("externalName"):
        yield required("spec.externalName")
    yield from _service_ports(ports)
    yield from labels("spec.selector", spec.get("selector", {}))
    if spec["sessionAffinity"] not in affinities:
        yield unsupported("spec.sessionAffinity", spec["sessionAffinity"], affinities)
    if kind not in types:
        yield unsupported("spec.type", kind, types)
    for i, each in enumerate(spec.get("externalIPs", ())):
        yield from address(f"spec.externalIPs[{i}]", each)
    yield from _repeated_ports(ports)
    for i, each in enumerate(ports):
        if kind == "ClusterIP" and each.get("nodePort"):
            text = "may not be used when `type` is 'ClusterIP'"
            yield forbidden_field(f"spec.ports[{i}].nodePort", text)
    for i, each in enumerate(spec.get("clusterIPs", ())):
        if each != "None":
            yield from address(f"spec.clusterIPs[{i}]", each)


def _service_ports(ports: list[dict[str, Any]]) -> Iterator[Cause]:
    names: set[str] = set()
    for i, each in enumerate(ports):
        field = f"spec.ports[{i}]"
        if each.get("name"):
            yield from named(f"{field}.name", each["name"], DNS_LABEL)
            if each["name"] in names:
                yield duplicate(f"{field}.name", each["name"])
            names.add(each["name"])
        elif len(ports) > 1:
            yield required(f"{field}.name")
        yield from port_number(f"{field}.port", each.get("port", 0))
        if each["protocol"] not in PROTOCOLS:
            yield unsupported(f"{field}.protocol", each["protocol"], PROTOCOLS)
        yield from port(f"{field}.targetPort", each["targetPort"])


def _repeated_ports(ports: list[dict[str, Any]]) -> Iterator[Cause]:
    seen: set[tuple[str, int]] = set()
    for i, each in enumerate(ports):
        key = (each["protocol"], each.get("port", 0))
        if key in seen:
            # The server shows its own struct here.
            go = {"Name": "", "Protocol": key[0], "AppProtocol": None, "Port": key[1]}
            text = json.dumps({**go, "TargetPort": 0, "NodePort": 0}, separators=(",", ":"))
            yield Cause("FieldValueDuplicate", f"spec.ports[{i}]", f"Duplicate value: {text}")
        seen.add(key)


def policy(obj: Object) -> Iterator[Cause]:
    """Say what of a network policy does not fit."""
    spec = obj["spec"]
    yield from label_selector("spec.podSelector", spec["podSelector"])
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for i, rule in enumerate(spec.get(direction, ())):
            for j, each in enumerate(rule.get("ports", ())):
                yield from _policy_port(f"spec.{direction}[{i}].ports[{j}]", each)
            for j, peer in enumerate(rule.get(peers, ())):
                yield from _peer(f"spec.{direction}[{i}].{peers}[{j}]", peer)
    types = spec["policyTypes"]
    if len(types) > 2:
        shown = json.dumps(types, separators=(",", ":"))
        text = f"Invalid value: {shown}: may not specify more than two policyTypes"
        yield Cause("FieldValueInvalid", "spec.policyTypes", text)
        return
    for i, each in enumerate(types):
        if each not in ("Ingress", "Egress"):
            yield unsupported(f"spec.policyTypes[{i}]", each, ("Ingress", "Egress"))


def _policy_port(field: str, given: dict[str, Any]) -> Iterator[Cause]:
    protocols = ("TCP", "UDP", "SCTP")
    if given["protocol"] not in protocols:
        yield unsupported(f"{field}.protocol", given["protocol"], protocols)
    if "port" in given:
        yield from port(f"{field}.port", given["port"])
    end, start = given.get("endPort"), given.get("port")
    if isinstance(start, int) and end is not None and end < start:
        yield invalid_value(f"{field}.endPort", end, "must be greater than or equal to `port`")


def _peer(field: str, peer: dict[str, Any]) -> Iterator[Cause]:
    if not peer:
        yield required(field, "must specify a peer")
    for name in ("podSelector", "namespaceSelector"):
        if name in peer:
            yield from label_selector(f"{field}.{name}", peer[name])
    if "ipBlock" not in peer:
        return
    if len(peer) > 1:
        yield forbidden_field(field, "may not specify both ipBlock and another peer")
    block = peer["ipBlock"]
    whole = network(block.get("cidr", ""))
    if whole is None:
        text = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        yield invalid_value(f"{field}.ipBlock.cidr", block.get("cidr", ""), text)
        return
    for i, each in enumerate(block.get("except", ())):
        part = network(each)
        inside = part is not None and part.version == whole.version and part != whole
        if not inside or not part.subnet_of(whole):  # type: ignore[union-attr, arg-type]
            text = "must be a strict subset of `cidr`"
            yield invalid_value(f"{field}.ipBlock.except[{i}]", each, text)


def ingress(obj: Object) -> Iterator[Cause]:
    """Say what of an ingress does not fit."""
    spec = obj["spec"]
    if not spec.get("rules") and "defaultBackend" not in spec:
        text = "either `defaultBackend` or `rules` must be specified"
        yield invalid_value("spec", None, text)
    if "defaultBackend" in spec:
        yield from _backend("spec.defaultBackend", spec["defaultBackend"])
    for i, rule in enumerate(spec.get("rules", ())):
        field = f"spec.rules[{i}]"
        if rule.get("host"):
            yield from named(f"{field}.host", rule["host"].removeprefix("*."), DNS_SUBDOMAIN)
        if "http" in rule:
            if not rule["http"].get("paths"):
                yield required(f"{field}.http.paths")
            for j, each in enumerate(rule["http"].get("paths", ())):
                yield from _ingress_path(f"{field}.http.paths[{j}]", each)


def _ingress_path(field: str, given: dict[str, Any]) -> Iterator[Cause]:
    kinds, kind = ("Exact", "ImplementationSpecific", "Prefix"), given.get("pathType")
    if kind is None:
        yield required(f"{field}.pathType", "pathType must be specified")
    elif kind not in kinds:
        yield unsupported(f"{field}.pathType", kind, kinds)
    elif kind != "ImplementationSpecific" and not given.get("path", "").startswith("/"):
        yield invalid_value(f"{field}.path", given.get("path", ""), "must be an absolute path")
    yield from _backend(f"{field}.backend", given.get("backend", {}))


def _backend(field: str, backend: dict[str, Any]) -> Iterator[Cause]:
    if not backend:
        yield invalid_value(field, "", "resource or service backend is required")
        return
    if "service" in backend:
        service = backend["service"]
        if not service.get("name"):
            yield required(f"{field}.service.name")
        if not service.get("port"):
            yield required(field, "port name or number is required")

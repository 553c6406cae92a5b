"""Which new objects do not fit: 422, with the server's texts.

Names, labels, annotations, finalizers and config keys are checked as a real
server checks them. Of the specs only what labs get wrong is: a pod's containers
and restart policy, a claim's access modes and storage, a service's ports. A spec
that a real server would refuse for another reason is taken here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs

from .errors import (
    Cause,
    duplicate,
    invalid,
    invalid_value,
    required,
    unsupported,
)
from .resources import (
    CLAIMS,
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    PODS,
    SECRETS,
    SERVICES,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .resources import Object, Resource

#: How a pod is to start on the embedded server: an annotation of its own.
START_ANNOTATION = "lab-storage.test/start"
#: How many seconds it takes until then.
DELAY_ANNOTATION = "lab-storage.test/delay"
#: What `START_ANNOTATION` may say.
STARTS = (
    "run",
    "pending",
    "image-pull-back-off",
    "config-error",
    "init-crash",
    "fail",
    "succeed",
)


@attrs.frozen
class _Rule:
    """A rule for names: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/."""

    pattern: str
    longest: int
    text: str
    unit: str = "characters"

    def problem(self, value: str) -> str | None:
        if len(value) > self.longest:
            return f"must be no more than {self.longest} {self.unit}"
        return None if re.fullmatch(self.pattern, value) else self.text


_LABEL_PATTERN = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_PATTERN = rf"{_LABEL_PATTERN}(\.{_LABEL_PATTERN})*"
_QUALIFIED_PATTERN = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_CONFIG_KEY_PATTERN = "[-._a-zA-Z0-9]+"
_DNS_LABEL = _Rule(
    _LABEL_PATTERN,
    63,
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "
    f"used for validation is '{_LABEL_PATTERN}')",
)
_DNS_SUBDOMAIN = _Rule(
    _SUBDOMAIN_PATTERN,
    253,
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_SUBDOMAIN_PATTERN}')",
)
_QUALIFIED_NAME = _Rule(
    _QUALIFIED_PATTERN,
    63,
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{_QUALIFIED_PATTERN}')",
    "bytes",
)
_LABEL_VALUE = _Rule(
    f"({_QUALIFIED_PATTERN})?",
    63,
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    f"or '12345', regex used for validation is '({_QUALIFIED_PATTERN})?')",
    "bytes",
)
_CONFIG_KEY = _Rule(
    _CONFIG_KEY_PATTERN,
    253,
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
    f"'{_CONFIG_KEY_PATTERN}')",
)


def validate(resource: Resource, obj: Object) -> None:
    """Refuse a new object that does not fit.

    Raises
    ------
    APIError
        422, with every field that does not fit.
    """
    causes = [*_metadata(resource, obj["metadata"]), *_content(resource, obj)]
    if causes:
        name = obj["metadata"].get("name", "")
        raise invalid(resource.kind, name, causes, resource.group)


def _metadata(resource: Resource, metadata: Object) -> Iterator[Cause]:
    if not metadata.get("name"):
        yield required("metadata.name", "name or generateName is required")
    else:
        rule = _DNS_LABEL if resource in (NAMESPACES, SERVICES) else _DNS_SUBDOMAIN
        yield from _named("metadata.name", metadata["name"], rule)
    for key, value in metadata.get("labels", {}).items():
        yield from _key("metadata.labels", key)
        yield from _named("metadata.labels", value, _LABEL_VALUE)
    for key in metadata.get("annotations", {}):
        # The case of annotations' keys does not matter to the server.
        yield from _key("metadata.annotations", key, lowered=True)
    for i, finalizer in enumerate(metadata.get("finalizers", ())):
        if "/" not in finalizer and finalizer not in ("foregroundDeletion", "orphan"):
            text = "name is neither a standard finalizer name nor is it fully qualified"
            yield invalid_value(f"metadata.finalizers[{i}]", finalizer, text)


def _key(field: str, key: str, *, lowered: bool = False) -> Iterator[Cause]:
    prefix, slash, name = (key.lower() if lowered else key).rpartition("/")
    if slash and not prefix:
        yield invalid_value(field, key, "prefix part must be non-empty")
    elif slash and (problem := _DNS_SUBDOMAIN.problem(prefix)):
        yield invalid_value(field, key, f"prefix part {problem}")
    elif problem := _QUALIFIED_NAME.problem(name):
        yield invalid_value(field, key, problem)


def _named(field: str, value: str, rule: _Rule) -> Iterator[Cause]:
    if problem := rule.problem(value):
        yield invalid_value(field, value, problem)


def _content(resource: Resource, obj: Object) -> Iterable[Cause]:
    if resource is PODS:
        return [*_start_script(obj["metadata"]), *_pod(obj.get("spec", {}))]
    if resource is CLAIMS:
        return _claim(obj["spec"])
    if resource is SERVICES:
        return _service(obj["spec"])
    if resource in (CONFIG_MAPS, SECRETS):
        return _config_keys(obj)
    if resource is EVENTS:
        return _event(obj)
    return ()


def _start_script(metadata: Object) -> Iterator[Cause]:
    annotations = metadata.get("annotations", {})
    start = annotations.get(START_ANNOTATION, "run")
    if start not in STARTS:
        yield unsupported(f"metadata.annotations[{START_ANNOTATION}]", start, STARTS)
    delay = annotations.get(DELAY_ANNOTATION, "0")
    if re.fullmatch(r"\d+(\.\d+)?", delay) is None:
        field = f"metadata.annotations[{DELAY_ANNOTATION}]"
        yield invalid_value(field, delay, "must be a number of seconds")


def _pod(spec: Object) -> Iterator[Cause]:
    seen: set[str] = set()
    for place in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(place, ())):
            yield from _container(f"spec.{place}[{i}]", container, seen)
    if not spec.get("containers"):
        yield required("spec.containers")
    policies = ("Always", "OnFailure", "Never")
    if spec["restartPolicy"] not in policies:
        yield unsupported("spec.restartPolicy", spec["restartPolicy"], policies)


def _container(field: str, container: dict[str, Any], seen: set[str]) -> Iterator[Cause]:
    name = container.get("name", "")
    if not name:
        yield required(f"{field}.name")
    elif name in seen:
        yield duplicate(f"{field}.name", name)
    else:
        seen.add(name)
        yield from _named(f"{field}.name", name, _DNS_LABEL)
    if not container.get("image"):
        yield required(f"{field}.image")


def _claim(spec: Object) -> Iterator[Cause]:
    if not spec.get("accessModes"):
        yield required("spec.accessModes", "at least 1 access mode is required")
    if "storage" not in spec["resources"].get("requests", {}):
        yield required("spec.resources[storage]")


def _service(spec: Object) -> Iterator[Cause]:
    headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not headless and spec["type"] != "ExternalName":
        yield required("spec.ports")


def _event(event: Object) -> Iterator[Cause]:
    namespace = event.get("involvedObject", {}).get("namespace", "")
    if namespace != event["metadata"]["namespace"]:
        text = "does not match event.namespace"
        yield invalid_value("involvedObject.namespace", namespace, text)


def _config_keys(obj: Object) -> Iterator[Cause]:
    for place in ("data", "binaryData"):
        for key in obj.get(place, {}):
            yield from _named(f"{place}[{key}]", key, _CONFIG_KEY)

"""What a pod may be, as far as labs get it wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lab_storage.testing._pods.behaviours import BEHAVIOURS
from lab_storage.testing._pods.courses import DELAY_ANNOTATION, START_ANNOTATION

from . import container_validation
from .container_validation import LARGEST_ID, ids, relative
from .errors import (
    duplicate,
    forbidden_field,
    invalid_value,
    required,
    unsupported,
)
from .names import (
    DNS_LABEL,
    DNS_SUBDOMAIN,
    labels,
    named,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .errors import Cause
    from .resources import Object

_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
# The name that each source of a volume refers to.
_REFERENCES = {
    "configMap": "name",
    "hostPath": "path",
    "persistentVolumeClaim": "claimName",
    "secret": "secretName",
}


def validate(pod: Object) -> Iterator[Cause]:
    """Say what of a pod does not fit."""
    spec = pod["spec"]
    yield from _script(pod["metadata"])
    volumes: set[str] = set()
    for i, volume in enumerate(spec.get("volumes", ())):
        yield from _volume(f"spec.volumes[{i}]", volume, volumes)
    seen: set[str] = set()
    for i, container in enumerate(spec.get("containers", ())):
        yield from container_validation.validate(f"spec.containers[{i}]", container, seen, volumes)
    if not spec.get("containers"):
        yield required("spec.containers")
    for i, container in enumerate(spec.get("initContainers", ())):
        field = f"spec.initContainers[{i}]"
        yield from container_validation.validate(field, container, seen, volumes)
        if container.get("restartPolicy") != "Always":
            for name in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
                if name in container:
                    text = "may not be set for init containers without restartPolicy=Always"
                    yield forbidden_field(f"{field}.{name}", text)
    if "ephemeralContainers" in spec:
        yield forbidden_field("spec.ephemeralContainers", "cannot be set on create")
    yield from _policies(spec)


def _script(metadata: Object) -> Iterator[Cause]:
    annotations = metadata.get("annotations", {})
    start = annotations.get(START_ANNOTATION, "run")
    if start not in BEHAVIOURS:
        yield unsupported(f"metadata.annotations[{START_ANNOTATION}]", start, tuple(BEHAVIOURS))
    delay = annotations.get(DELAY_ANNOTATION, "0")
    if re.fullmatch(r"\d+(\.\d+)?", delay) is None:
        field = f"metadata.annotations[{DELAY_ANNOTATION}]"
        yield invalid_value(field, delay, "must be a number of seconds")


def _policies(spec: Object) -> Iterator[Cause]:
    if spec["restartPolicy"] not in _RESTART_POLICIES:
        yield unsupported("spec.restartPolicy", spec["restartPolicy"], _RESTART_POLICIES)
    if spec["dnsPolicy"] not in _DNS_POLICIES:
        yield unsupported("spec.dnsPolicy", spec["dnsPolicy"], _DNS_POLICIES)
    elif spec["dnsPolicy"] == "None" and not spec.get("dnsConfig"):
        yield required("spec.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= LARGEST_ID:
        text = f"must be between 1 and {LARGEST_ID}, inclusive"
        yield invalid_value("spec.activeDeadlineSeconds", deadline, text)
    if spec.get("hostname"):
        yield from named("spec.hostname", spec["hostname"], DNS_LABEL)
    if spec.get("nodeName"):
        yield from named("spec.nodeName", spec["nodeName"], DNS_SUBDOMAIN)
        if spec.get("schedulingGates"):
            text = "cannot be set until all schedulingGates have been cleared"
            yield forbidden_field("spec.nodeName", text)
    yield from labels("spec.nodeSelector", spec.get("nodeSelector", {}))
    yield from ids("spec.securityContext", spec["securityContext"])
    for i, toleration in enumerate(spec.get("tolerations", ())):
        yield from _toleration(f"spec.tolerations[{i}]", toleration)


def _toleration(field: str, given: dict[str, Any]) -> Iterator[Cause]:
    operator, effect = given.get("operator", ""), given.get("effect", "")
    if not given.get("key") and operator != "Exists":
        text = (
            'operator must be Exists when `key` is empty, which means "match all values and '
            'all keys"'
        )
        yield invalid_value(f"{field}.operator", operator, text)
    if "tolerationSeconds" in given and effect != "NoExecute":
        text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield invalid_value(f"{field}.effect", effect, text)
    if operator == "Exists" and given.get("value"):
        text = "value must be empty when `operator` is 'Exists'"
        yield invalid_value(f"{field}.operator", given["value"], text)
    elif operator not in ("", "Equal", "Exists") and given.get("key"):
        yield unsupported(f"{field}.operator", operator, ("Equal", "Exists"))
    if effect not in ("", *_EFFECTS):
        yield unsupported(f"{field}.effect", effect, _EFFECTS)


def _volume(field: str, volume: dict[str, Any], names: set[str]) -> Iterator[Cause]:
    name = volume.get("name", "")
    if not name:
        yield required(f"{field}.name")
    else:
        yield from named(f"{field}.name", name, DNS_LABEL)
        if name in names:
            yield duplicate(f"{field}.name", name)
        names.add(name)
    first, *others = sorted(set(volume) - {"name"}) or ["emptyDir"]
    for other in others:
        yield forbidden_field(f"{field}.{other}", "may not specify more than 1 volume type")
    source = volume.get(first) or {}
    reference = _REFERENCES.get(first)
    if reference and not source.get(reference):
        yield required(f"{field}.{first}.{reference}")
    elif first == "hostPath" and ".." in source["path"].split("/"):
        yield invalid_value(f"{field}.hostPath.path", source["path"], "must not contain '..'")
    mode = source.get("defaultMode", 0)
    if not 0 <= mode <= 0o777:
        text = "must be a number between 0 and 0777 (octal), both inclusive"
        yield invalid_value(f"{field}.{first}.defaultMode", mode, text)
    for i, item in enumerate(source.get("items", ()) if first in ("configMap", "secret") else ()):
        if not item.get("key"):
            yield required(f"{field}.{first}.items[{i}].key")
        yield from relative(f"{field}.{first}.items[{i}].path", item.get("path", ""))

"""What the fields of a kind hold, read from the installed client's model classes.

All supported clients describe a model by ``attribute_map`` (names in Python to names in
JSON) and ``openapi_types`` (names in Python to types, as text). What that text leaves
out is below, from k8s.io/api. The library reads the same classes with code of its own:
a server for tests that shared it would share its errors.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
from kubernetes import client

if TYPE_CHECKING:
    from collections.abc import Mapping


@attrs.frozen
class FieldType:
    """The type of a field; one of the four is set.

    Attributes
    ----------
    model
        The client's class of a nested object.
    items, values
        The type of a list's items, or of a map's values.
    plain
        What a single value is: ``string``, ``int``, ``float``, ``bool``, ``time``,
        ``base64``, ``quantity``, ``int-or-string`` or ``any``.
    """

    model: type[Any] | None = None
    items: FieldType | None = None
    values: FieldType | None = None
    plain: str = ""


_PLAIN = {
    "str": "string",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "datetime": "time",
    "bytes": "base64",
    "object": "any",
}
# The client calls these strings, or maps of strings.
_QUANTITIES = frozenset(
    {
        ("ContainerStatus", "allocatedResources"),
        ("EmptyDirVolumeSource", "sizeLimit"),
        ("PersistentVolumeClaimStatus", "allocatedResources"),
        ("PersistentVolumeClaimStatus", "capacity"),
        ("PodSpec", "overhead"),
        ("PodStatus", "allocatedResources"),
        ("ResourceFieldSelector", "divisor"),
        ("ResourceQuotaSpec", "hard"),
        ("ResourceQuotaStatus", "hard"),
        ("ResourceQuotaStatus", "used"),
        ("ResourceRequirements", "limits"),
        ("ResourceRequirements", "requests"),
        ("VolumeResourceRequirements", "limits"),
        ("VolumeResourceRequirements", "requests"),
    }
)
# Strings too, before client 37.
_BASE64 = frozenset({("ConfigMap", "binaryData"), ("Secret", "data")})
# Any JSON, for the client.
_INT_OR_STRING = frozenset(
    {
        ("HTTPGetAction", "port"),
        ("NetworkPolicyPort", "port"),
        ("PodDisruptionBudgetSpec", "maxUnavailable"),
        ("PodDisruptionBudgetSpec", "minAvailable"),
        ("ServicePort", "targetPort"),
        ("TCPSocketAction", "port"),
    }
)
_LIST = re.compile(r"[Ll]ist\[(.+)\]")
_MAP = re.compile(r"[Dd]ict[(\[]str, ?(.+)[)\]]")
# RFC 3339, section 5.6, as Go reads it.
_TIME = re.compile(
    r"(?P<seconds>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?P<offset>Z|[+-]\d\d:\d\d)", re.ASCII
)


def model_of(kind: str) -> type[Any]:
    """Find the installed client's class for a kind, or for the options of a request."""
    names = (f"V1{kind}", f"CoreV1{kind}")
    model: type[Any] = next(getattr(client, name) for name in names if hasattr(client, name))
    return model


_FIELDS: dict[type[Any], Mapping[str, FieldType]] = {}


def fields_of(model: type[Any]) -> Mapping[str, FieldType]:
    """Give the fields of a model class, by their names in JSON."""
    # Threads that come here at the same time read the same, so there is no lock.
    if model not in _FIELDS:
        _FIELDS[model] = _fields_of(model)
    return _FIELDS[model]


def _fields_of(model: type[Any]) -> Mapping[str, FieldType]:
    return {
        model.attribute_map[attribute]: _read(go_name(model), model.attribute_map[attribute], text)
        for attribute, text in model.openapi_types.items()
    }


def go_name(model: type[Any]) -> str:
    """Give the name of a model class as Go has it."""
    return re.sub(r"^(Core)?V1", "", model.__name__)


def go_type(kind: FieldType) -> str:
    """Give a type as Go's decoder names it in its errors."""
    if kind.items is not None:
        return f"[]{go_type(kind.items)}"
    if kind.values is not None:
        return f"map[string]{go_type(kind.values)}"
    if kind.model is not None:
        return f"v1.{go_name(kind.model)}"
    return {"int": "int32", "float": "float64", "bool": "bool", "base64": "[]uint8"}.get(
        kind.plain, "string"
    )


def parse_time(text: str) -> datetime | None:
    """Read a time as the API writes it, to the second; ``None`` where it is not one."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    offset = "+00:00" if match["offset"] == "Z" else match["offset"]
    try:
        return datetime.fromisoformat(match["seconds"] + offset)
    except ValueError:
        return None


def _read(owner: str, name: str, text: str) -> FieldType:
    if match := _LIST.fullmatch(text):
        return FieldType(items=_read(owner, name, match[1]))
    if match := _MAP.fullmatch(text):
        return FieldType(values=_read(owner, name, match[1]))
    if text not in _PLAIN:
        return FieldType(model=getattr(client, text))
    place = (owner, name)
    if place in _QUANTITIES:
        return FieldType(plain="quantity")
    if place in _BASE64:
        return FieldType(plain="base64")
    if place in _INT_OR_STRING:
        return FieldType(plain="int-or-string")
    return FieldType(plain=_PLAIN[text])

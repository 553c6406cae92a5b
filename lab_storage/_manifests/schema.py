"""What the installed client's model classes hold, read from the classes themselves.

All supported clients, the older generator's (31 to 36) and the newer one's on pydantic (37),
describe a model by two class attributes: ``attribute_map`` (names in Python to names in JSON)
and ``openapi_types`` (names in Python to types, as text). That text is the common ground here.
It does not have the formats that JSON has no type for: those are added below from the API's own
definition.
"""

from __future__ import annotations

import enum
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import attrs
from kubernetes import client

from lab_storage._manifests.kinds import KINDS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = [
    "Field",
    "Format",
    "Type",
    "build",
    "build_unchecked",
    "field_values",
    "is_model",
    "model_of",
    "schema_of",
]


class Format(enum.Enum):
    """What one value of a field is, if it is not a model, list or map."""

    STRING = "a string"
    INTEGER = "an integer"
    NUMBER = "a number"
    BOOLEAN = "a boolean"
    TIMESTAMP = "a timestamp (RFC 3339)"
    BASE64 = "base64 text"
    QUANTITY = "a quantity (a string or a number)"
    INT_OR_STRING = "an integer or a string"
    ANY = "a JSON value"


@attrs.frozen
class Type:
    """The type of a field: one of the first four; the others are `None`.

    Attributes
    ----------
    format
        That of a plain value.
    model
        The class of a nested object.
    items
        The type of a list's items.
    values
        The type of a map's values; the keys are strings.
    null_is_empty
        Whether null counts as an empty text.
    """

    format: Format | None = None
    model: type[Any] | None = None
    items: Type | None = None
    values: Type | None = None
    null_is_empty: bool = False


@attrs.frozen
class Field:
    """One field of a model class.

    Attributes
    ----------
    name
        Its name in JSON, such as ``restartPolicy``.
    attribute
        Its name on the model, such as ``restart_policy``.
    argument
        Its name when a model is built without checks; not always the attribute's.
    type
        The type of its value.
    required
        Whether the class refuses an object without it.
    """

    name: str
    attribute: str
    argument: str
    type: Type
    required: bool


# The client calls all of these strings (or maps of strings). Source: the fields of type Quantity
# in https://kubernetes.io/docs/reference/kubernetes-api/, of all kinds that live in a namespace:
# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITIES: Final = frozenset(
    {
        ("V1ContainerStatus", "allocatedResources"),
        ("V1EmptyDirVolumeSource", "sizeLimit"),
        ("V1LimitRangeItem", "default"),
        ("V1LimitRangeItem", "defaultRequest"),
        ("V1LimitRangeItem", "max"),
        ("V1LimitRangeItem", "maxLimitRequestRatio"),
        ("V1LimitRangeItem", "min"),
        ("V1NodeAllocatableMappedResources", "quantity"),
        ("V1NodeAllocatableOverheadResources", "perContainer"),
        ("V1NodeAllocatableOverheadResources", "perPod"),
        ("V1NodeAllocatableResourceClaimStatus", "resources"),
        ("V1PersistentVolumeClaimStatus", "allocatedResources"),
        ("V1PersistentVolumeClaimStatus", "capacity"),
        ("V1PodSpec", "overhead"),
        ("V1PodStatus", "allocatedResources"),
        ("V1ResourceFieldSelector", "divisor"),
        ("V1ResourceQuotaSpec", "hard"),
        ("V1ResourceQuotaStatus", "hard"),
        ("V1ResourceQuotaStatus", "used"),
        ("V1ResourceRequirements", "limits"),
        ("V1ResourceRequirements", "requests"),
        ("V1VolumeResourceRequirements", "limits"),
        ("V1VolumeResourceRequirements", "requests"),
        ("V2MetricTarget", "averageValue"),
        ("V2MetricTarget", "value"),
    }
)
# The fields of format "byte"; clients before 37 call them strings.
_BASE64: Final = frozenset({("V1ConfigMap", "binaryData"), ("V1Secret", "data")})
# The fields of format "int-or-string"; every other "object" is free-form JSON.
_INT_OR_STRING: Final = frozenset(
    {
        ("V1HTTPGetAction", "port"),
        ("V1NetworkPolicyPort", "port"),
        ("V1PodDisruptionBudgetSpec", "maxUnavailable"),
        ("V1PodDisruptionBudgetSpec", "minAvailable"),
        ("V1RollingUpdateDaemonSet", "maxSurge"),
        ("V1RollingUpdateDaemonSet", "maxUnavailable"),
        ("V1RollingUpdateDeployment", "maxSurge"),
        ("V1RollingUpdateDeployment", "maxUnavailable"),
        ("V1RollingUpdateStatefulSetStrategy", "maxUnavailable"),
        ("V1ServicePort", "targetPort"),
        ("V1TCPSocketAction", "port"),
    }
)
# Maps in which the server takes null for an empty text, as Go's decoder of JSON does.
_NULL_IS_EMPTY: Final = frozenset(
    {
        ("V1ConfigMap", "binaryData"),
        ("V1ConfigMap", "data"),
        ("V1Secret", "data"),
        ("V1Secret", "stringData"),
    }
)
_FORMATS: Final = {
    "str": Format.STRING,
    "int": Format.INTEGER,
    "float": Format.NUMBER,
    "bool": Format.BOOLEAN,
    "datetime": Format.TIMESTAMP,
    "bytes": Format.BASE64,
    "object": Format.ANY,
}
_LIST: Final = re.compile(r"[Ll]ist\[(?P<items>.+)\]")
_MAP: Final = re.compile(r"[Dd]ict[(\[]str, ?(?P<values>.+)[)\]]")


def model_of(kind: Kind) -> type[Any]:
    """The installed client's class for a kind.

    Parameters
    ----------
    kind
        The kind.

    Returns
    -------
    type
        Its model class.
    """
    model: type[Any] = getattr(client, kind.model)
    return model


def load_models() -> None:
    """Import the classes of all kinds, which client 37 does not before each is used.

    Nothing may be imported in a call: in a child that is forked meanwhile, the lock of the
    module that another thread imports is never released.
    """
    found = [model_of(kind) for kind in KINDS]
    while found:
        model = found.pop()
        if model not in _SCHEMAS:
            found += [each for field in schema_of(model).values() for each in _models(field.type)]


def _models(type_: Type) -> list[type[Any]]:
    inner = [each for each in (type_.items, type_.values) if each is not None]
    nested = [model for each in inner for model in _models(each)]
    return nested if type_.model is None else [*nested, type_.model]


def is_model(value: object) -> bool:
    """Whether a value is an object of one of the client's model classes.

    Parameters
    ----------
    value
        Anything.

    Returns
    -------
    bool
        Whether `schema_of` describes its class.
    """
    return hasattr(type(value), "openapi_types") and hasattr(type(value), "attribute_map")


_SCHEMAS: Final[dict[type[Any], Mapping[str, Field]]] = {}


def schema_of(model: type[Any]) -> Mapping[str, Field]:
    """The fields of a model class.

    Parameters
    ----------
    model
        The class.

    Returns
    -------
    Mapping
        Its fields by their names in JSON, in the client's order.
    """
    # No lock: threads that get here at the same time make the same.
    if model not in _SCHEMAS:
        _SCHEMAS[model] = _read_schema(model)
    return _SCHEMAS[model]


def _read_schema(model: type[Any]) -> dict[str, Field]:
    arguments = _pydantic_arguments(model)
    schema = {}
    for attribute, text in model.openapi_types.items():
        name = model.attribute_map[attribute]
        argument = arguments.get(name, attribute)
        schema[name] = Field(
            name=name,
            attribute=attribute,
            argument=argument,
            type=_type(model, name, text),
            required=_is_required(model, argument),
        )
    return schema


def build(model: type[Any], values: Mapping[str, Any]) -> Any:
    """Build a model that its class accepts.

    Parameters
    ----------
    model
        The class.
    values
        Its values by the names in JSON; nested objects are models already.

    Returns
    -------
    Any
        The model.

    Raises
    ------
    ValueError
        Raised if the class does not accept them. Its text may show values.
    """
    if _is_pydantic(model):
        return model.model_validate(dict(values))
    return _build_plain(model, values, _CHECKED)


def build_unchecked(model: type[Any], values: Mapping[str, Any]) -> Any:
    """Build a model from whatever there is.

    Parameters
    ----------
    model
        The class.
    values
        Its values by the names in JSON; nested objects are models already.

    Returns
    -------
    Any
        The model, in which nothing was checked or changed; what is missing is `None`.
    """
    if _is_pydantic(model):
        # Every field by name: without checks, an attribute that is not given does not exist.
        return model.model_construct(
            **{field.argument: values.get(name) for name, field in schema_of(model).items()}
        )
    return _build_plain(model, values, _UNCHECKED)


def field_values(model: object) -> list[tuple[Field, Any]]:
    """List the fields and values of a model.

    Parameters
    ----------
    model
        An object for which `is_model` is true.

    Returns
    -------
    list of tuple
        Each field that is not `None`, and its value.
    """
    pairs = ((field, getattr(model, field.attribute)) for field in schema_of(type(model)).values())
    return [(field, value) for field, value in pairs if value is not None]


# Without one of these, a model of a client before 37 makes a whole `Configuration` for itself,
# which sets the levels of loggers. Models read this one attribute of it.
_CHECKED: Final = SimpleNamespace(client_side_validation=True)
_UNCHECKED: Final = SimpleNamespace(client_side_validation=False)


def _build_plain(
    model: type[Any], values: Mapping[str, Any], configuration: SimpleNamespace
) -> Any:
    schema = schema_of(model)
    arguments = {schema[name].argument: value for name, value in values.items()}
    return model(**arguments, local_vars_configuration=configuration)


def _is_pydantic(model: type[Any]) -> bool:
    return hasattr(model, "model_fields")


def _pydantic_arguments(model: type[Any]) -> dict[str, str]:
    # A name that Python reserves (`except`, `from`) is `_except` to a caller of either generator,
    # but pydantic has no fields that begin with an underscore: `var_except`.
    if not _is_pydantic(model):
        return {}
    return {
        info.serialization_alias or argument: argument
        for argument, info in model.model_fields.items()
    }


def _is_required(model: type[Any], argument: str) -> bool:
    if _is_pydantic(model):
        return bool(model.model_fields[argument].is_required())
    # Only the setters know: one of a required field refuses None.
    probe = object.__new__(model)
    probe.local_vars_configuration = _CHECKED
    try:
        setattr(probe, argument, None)
    except ValueError:
        return True
    return False


def _type(model: type[Any], name: str, text: str) -> Type:
    if match := _LIST.fullmatch(text):
        return Type(items=_type(model, name, match["items"]))
    if match := _MAP.fullmatch(text):
        values = _type(model, name, match["values"])
        is_data = (model.__name__, name) in _NULL_IS_EMPTY
        return Type(values=attrs.evolve(values, null_is_empty=is_data))
    if text not in _FORMATS:
        return Type(model=getattr(client, text))
    place = (model.__name__, name)
    if place in _QUANTITIES:
        return Type(format=Format.QUANTITY)
    if place in _BASE64:
        return Type(format=Format.BASE64)
    if place in _INT_OR_STRING:
        return Type(format=Format.INT_OR_STRING)
    return Type(format=_FORMATS[text])

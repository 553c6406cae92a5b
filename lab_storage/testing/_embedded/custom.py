"""Custom resources: their structural schemas, as far as tests need them.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/;
the texts are those of kube-apiserver 1.37.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import Cause, bad_request, invalid_value, required, unsupported
from .schema import model_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .decoding import Decoder
    from .resources import Object, Resource

_PRESERVES = "x-kubernetes-preserve-unknown-fields"
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_KEYWORDS = frozenset(
    {
        "additionalProperties",
        "description",
        "enum",
        "items",
        "minimum",
        "nullable",
        "properties",
        "required",
        "type",
        _PRESERVES,
    }
)


def check_schema(schema: Mapping[str, Any], path: str = "schema") -> None:
    """Refuse a schema that says what is not checked here.

    Raises
    ------
    ValueError
        It has such a keyword, or an unknown type.
    """
    if unknown := sorted(set(schema) - _KEYWORDS):
        known = ", ".join(sorted(_KEYWORDS))
        raise ValueError(f"{path} has {', '.join(unknown)}; the embedded server knows {known}")
    if "type" in schema and schema["type"] not in _TYPES:
        raise ValueError(f"{path}.type must be one of {', '.join(_TYPES)}, got {schema['type']!r}")
    parts = [(f"properties.{name}", each) for name, each in schema.get("properties", {}).items()]
    parts += [(name, schema[name]) for name in ("items", "additionalProperties") if name in schema]
    for name, part in parts:
        check_schema(part, f"{path}.{name}")


def decode(resource: Resource, body: Object, decoder: Decoder) -> Object:
    """Read a custom object: metadata by its model, the rest by the schema.

    Raises
    ------
    APIError
        400: it names no kind, or another version.
    """
    if body.get("apiVersion", "") != resource.api_version:
        raise bad_request(
            f"the API version in the data ({body.get('apiVersion', '')}) does not match the "
            f"expected API version ({resource.api_version})"
        )
    metadata = body.get("metadata")
    decoded: Object = {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "metadata": decoder.model(
            model_of("ObjectMeta"), {} if metadata is None else metadata, "metadata", "metadata"
        ),
    }
    rest = {key: each for key, each in body.items() if key not in decoded}
    schema = resource.schema
    if schema is None:
        return {**decoded, **rest}
    for path in sorted(_prune(schema, rest, "")):
        decoder.warnings.append(f'unknown field "{path}"')
    return {**decoded, **rest}


def validate(resource: Resource, obj: Object) -> Iterator[Cause]:
    """Say what of a custom object does not fit its schema."""
    if obj["kind"] != resource.kind:
        yield invalid_value("kind", obj["kind"], f"must be {resource.kind}")
    if resource.schema is not None:
        rest = {k: each for k, each in obj.items() if k not in ("apiVersion", "kind", "metadata")}
        yield from sorted(_misfits(resource.schema, rest, ""), key=lambda cause: cause.field)


def _prune(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    """Take out in place what a schema does not know, and give where it was."""
    if isinstance(value, list) and "items" in schema:
        for i, each in enumerate(value):
            yield from _prune(schema["items"], each, f"{path}[{i}]")
    if not isinstance(value, dict):
        return
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name in tuple(value):
        here = f"{path}.{name}" if path else name
        part = known.get(name, others)
        if value[name] is None and not (part or {}).get("nullable"):
            del value[name]
        elif part is not None:
            yield from _prune(part, value[name], here)
        elif not schema.get(_PRESERVES):
            del value[name]
            yield here


def _misfits(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[Cause]:
    wanted = schema.get("type")
    found = _type_of(value)
    if wanted is not None and found != wanted and (wanted, found) != ("number", "integer"):
        # The server shows the type here in place of the value.
        text = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
        yield Cause("FieldValueTypeInvalid", path, text)
        return
    if "enum" in schema and value not in schema["enum"]:
        yield unsupported(path, value, schema["enum"])
    minimum = schema.get("minimum")
    if minimum is not None and value < minimum:
        text = f"{path} in body should be greater than or equal to {minimum}"
        yield invalid_value(path, value, text)
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                yield required(f"{path}.{name}" if path else name)
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        for name, each in value.items():
            here = f"{path}.{name}" if path else name
            yield from _misfits(known.get(name, others), each, here)
    elif isinstance(value, list):
        for i, each in enumerate(value):
            yield from _misfits(schema.get("items", {}), each, f"{path}[{i}]")


def _type_of(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return next((name for name, types in _TYPES.items() if isinstance(value, types)), "null")

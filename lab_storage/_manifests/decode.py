"""Models of the client from whatever a server sent.

Servers of another version than the client send fields that its classes do not know, and values
that they refuse: null instead of a list, words that were not defined then, objects without a
required field. The client's own decoding fails then, and one such object fails a whole list
(https://github.com/kubernetes-client/python/issues/1494).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lab_storage._manifests.schema import (
    Format,
    Type,
    build,
    build_unchecked,
    model_of,
    schema_of,
)
from lab_storage._manifests.times import parse_time

if TYPE_CHECKING:
    from lab_storage._manifests.kinds import Kind

__all__ = ["decode"]


def decode(kind: Kind, body: Mapping[str, Any]) -> Any:
    """Make a model from an object that the server sent.

    A field that the class does not know is left out. A required list that is null or missing is
    empty; anything else that is null or missing is `None`. All other values are kept as they are,
    of the right type or not: the classes can hold them.

    Parameters
    ----------
    kind
        Its kind.
    body
        The object, as ``json.loads`` returned it.

    Returns
    -------
    Any
        An object of the kind's class in ``kubernetes.client``.

    Raises
    ------
    TypeError
        Raised if ``body`` is not a mapping; no JSON object raises, whatever its content.
    """
    if not isinstance(body, Mapping):
        raise TypeError(f"a {kind.name} must be a mapping, not {type(body).__name__}")
    model = model_of(kind)
    validate = getattr(model, "model_validate", None)
    if validate is not None:
        # At once in compiled code, for a valid object.
        try:
            return validate(body)
        except ValueError:
            # Its text shows values: nothing may be raised in this block.
            pass
    return _decode_model(model, body)


def _decode_model(model: type[Any], body: Mapping[str, Any]) -> Any:
    values = {}
    for name, field in schema_of(model).items():
        value = _decode(field.type, body.get(name))
        if value is None and field.required and field.type.items is not None:
            value = []
        if value is not None:
            values[name] = value
    try:
        return build(model, values)
    except ValueError:
        pass
    return build_unchecked(model, values)


def _decode(expected: Type, value: Any) -> Any:
    if expected.model is not None and isinstance(value, Mapping):
        return _decode_model(expected.model, value)
    if expected.items is not None and isinstance(value, list):
        return [_decode(expected.items, item) for item in value]
    if expected.values is not None and isinstance(value, Mapping):
        return {key: _decode(expected.values, item) for key, item in value.items()}
    if expected.format is Format.TIMESTAMP and isinstance(value, str):
        # Anything but a timestamp stays text.
        return parse_time(value) or value
    return value

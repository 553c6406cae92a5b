"""One object: JSON to the client's model, strictly, and back.

The client's own conversion does not suffice. Versions 31 to 36 accept a value of any type and drop
fields that they do not know; 37 refuses such an object, but shows its values. Here it is checked
against the model classes (`lab_storage._manifests.schema`), with the same outcome and the same
text on every client. No value is ever part of a text.
"""

from __future__ import annotations

import difflib
import math
import re
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime, timezone
from typing import Any, Final

from lab_storage._manifests.place import Place, is_boolean, is_list, what_is
from lab_storage._manifests.schema import (
    Format,
    Type,
    build,
    field_values,
    is_model,
    schema_of,
)
from lab_storage._manifests.times import format_time, parse_time

__all__ = ["read_model", "to_json"]


def read_model(model: type[Any], value: object, place: Place) -> Any:
    """Make a model from JSON.

    Parameters
    ----------
    model
        The class.
    value
        A mapping, as YAML or JSON gives it. It is left unchanged, and the model shares no object
        with it that can be changed.
    place
        Its position.

    Returns
    -------
    Any
        The model.

    Raises
    ------
    ManifestError
        Raised if the value or anything in it is of the wrong type, if a required field is
        missing, or if the class does not have a field.
    """
    if not isinstance(value, Mapping):
        place.refuse(value, "a mapping")
    schema = schema_of(model)
    values = {}
    for name, item in _by_name(value, place).items():
        if name not in schema:
            near = difflib.get_close_matches(name, schema, n=1)
            hint = f" (is it {near[0]}?)" if near else ""
            place.field(name).fail(f"is not a field known to the installed client{hint}")
        # For the server, null is an absent field, as for any program in Go
        # (https://pkg.go.dev/encoding/json#Unmarshal).
        if item is not None:
            values[name] = _read(schema[name].type, item, place.field(name))
    for field in schema.values():
        if field.required and field.name not in values:
            place.field(field.name).fail("is required")
    result = _build(model, values)
    if result is None:
        place.fail("is not accepted by the installed client")
    return result


def _build(model: type[Any], values: Mapping[str, Any]) -> Any:
    try:
        return build(model, values)
    except ValueError:
        # A check of a client that is newer than this library. Its text may show values; an error
        # raised in this block would carry it along as its context.
        return None


def _by_name(value: Mapping[Any, Any], place: Place) -> dict[str, Any]:
    """Convert the keys of a mapping to strings.

    An integer becomes its digits, as with kubectl. A boolean does not: YAML made it from a word,
    such as ``on``, which is lost.
    """
    result = {}
    for key, item in value.items():
        if isinstance(key, str):
            name = _plain(key, place)
        elif isinstance(key, int) and not is_boolean(key):
            name = str(_read_integer(key, place))
        else:
            hint = " (in YAML: quote it)" if isinstance(key, (int, float, date)) else ""
            place.fail(f"has a key that is {what_is(key)}, not a string{hint}")
        if name in result:
            place.field(name).fail("is defined more than once")
        result[name] = item
    return result


def _plain(text: str, place: Place) -> str:
    # JSON's escapes can spell half a surrogate pair, which no UTF-8 can (RFC 8259, section 8.2).
    if re.search(r"[\ud800-\udfff]", text):
        place.fail("must not contain half of a surrogate pair")
    return str.__str__(text)


def _read(expected: Type, value: object, place: Place) -> Any:
    if expected.model is not None:
        return read_model(expected.model, value, place)
    if expected.items is not None:
        if not is_list(value):
            place.refuse(value, "a list")
        items = expected.items
        return [_read(items, item, place.item(index)) for index, item in enumerate(value)]
    if expected.values is not None:
        if not isinstance(value, Mapping):
            place.refuse(value, "a mapping")
        values = expected.values
        return {
            name: _read(values, item, place.field(name))
            for name, item in _by_name(value, place).items()
        }
    if value is None and expected.null_is_empty:
        return ""
    return _READERS[expected.format or Format.ANY](value, place)


# The readers return values of the built-in types themselves: a YAML library may use classes of
# its own for scalars, which cannot be pickled.


def _read_string(value: object, place: Place) -> str:
    if not isinstance(value, str):
        place.refuse(value, Format.STRING)
    return _plain(value, place)


def _read_integer(value: object, place: Place) -> int:
    if not isinstance(value, int) or is_boolean(value):
        place.refuse(value, Format.INTEGER)
    if not -(2**63) <= value < 2**63:
        place.fail("is out of range")
    return int(value)


def _read_number(value: object, place: Place) -> float:
    if is_boolean(value) or not isinstance(value, (int, float)):
        place.refuse(value, Format.NUMBER)
    if isinstance(value, int):
        return float(_read_integer(value, place))
    if not math.isfinite(value):
        place.fail("must be finite")
    return float(value)


def _read_boolean(value: object, place: Place) -> bool:
    if not is_boolean(value):
        place.refuse(value, Format.BOOLEAN)
    return bool(value)


def _read_timestamp(value: object, place: Place) -> datetime:
    if isinstance(value, datetime):
        # Without an offset it is UTC (https://yaml.org/type/timestamp.html).
        return value if value.tzinfo else value.replace(tzinfo=timezone.utc)
    if not isinstance(value, str):
        place.refuse(value, Format.TIMESTAMP)
    time = parse_time(value)
    if time is None:
        place.fail(f"must be {Format.TIMESTAMP.value}")
    return time


# As Go's base64.StdEncoding reads it: padded, and ends of lines are ignored.
_BASE64: Final = re.compile(
    r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII
)


def _read_base64(value: object, place: Place) -> str:
    if isinstance(value, (bytes, bytearray)):
        # YAML's !!binary is base64 in the file; only the YAML library has decoded it.
        return b64encode(value).decode("ascii")
    if not isinstance(value, str):
        place.refuse(value, Format.BASE64)
    if _BASE64.fullmatch(re.sub(r"[\r\n]", "", value)) is None:
        place.fail(f"must be {Format.BASE64.value}")
    return _plain(value, place)


def _read_quantity(value: object, place: Place) -> str:
    if isinstance(value, str):
        return _plain(value, place)
    if is_boolean(value) or not isinstance(value, (int, float)):
        place.refuse(value, Format.QUANTITY)
    # The server reads the digits of a JSON number like those of a string.
    if isinstance(value, int):
        return str(_read_integer(value, place))
    return repr(_read_number(value, place))


def _read_int_or_string(value: object, place: Place) -> int | str:
    if isinstance(value, str):
        return _plain(value, place)
    if is_boolean(value) or not isinstance(value, int):
        place.refuse(value, Format.INT_OR_STRING)
    return _read_integer(value, place)


# JSON without a type in the API is not as deep as this. An alias in YAML that refers to what
# contains it makes it endless.
_DEEPEST: Final = 100


def to_json(value: object, place: Place, depth: int = 0) -> Any:
    """Convert a model, or anything that a model may hold, to JSON.

    Parameters
    ----------
    value
        A model or a part of one, perhaps made by hand.
    place
        Its position.
    depth
        How deep in the object it is.

    Returns
    -------
    Any
        A copy that ``json.dumps`` accepts, without the fields that are `None`; times are in UTC,
        as in RFC 3339.

    Raises
    ------
    ManifestError
        Raised if JSON cannot hold something in it.
    """
    if depth > _DEEPEST:
        Place(place.manifest).fail("is nested too deeply")
    result: Any = value
    if is_model(value):
        result = {
            field.name: to_json(item, place.field(field.name), depth + 1)
            for field, item in field_values(value)
        }
    elif isinstance(value, Mapping):
        result = {
            name: to_json(item, place.field(name), depth + 1)
            for name, item in _by_name(value, place).items()
        }
    elif is_list(value):
        result = [to_json(item, place.item(index), depth + 1) for index, item in enumerate(value)]
    elif value is not None:
        result = _scalar_to_json(value, place)
    return result


def _scalar_to_json(value: object, place: Place) -> Any:
    if isinstance(value, str):
        return _plain(value, place)
    if is_boolean(value):
        return bool(value)
    if isinstance(value, int):
        return _read_integer(value, place)
    if isinstance(value, float):
        return _read_number(value, place)
    if isinstance(value, (bytes, bytearray)):
        # In a model, unlike in YAML, they may be the value or base64 of it: that is not guessed.
        place.refuse(value, Format.BASE64)
    if not isinstance(value, datetime):
        place.refuse(value, Format.ANY)
    return _format_time(value, place)


def _format_time(value: datetime, place: Place) -> str:
    text = None
    # In UTC it may be before the year 1, or after the year 9999.
    with suppress(OverflowError):
        text = format_time(value)
    if text is None:
        place.fail("is out of range")
    return text


_READERS: Final = {
    Format.STRING: _read_string,
    Format.INTEGER: _read_integer,
    Format.NUMBER: _read_number,
    Format.BOOLEAN: _read_boolean,
    Format.TIMESTAMP: _read_timestamp,
    Format.BASE64: _read_base64,
    Format.QUANTITY: _read_quantity,
    Format.INT_OR_STRING: _read_int_or_string,
    Format.ANY: to_json,
}

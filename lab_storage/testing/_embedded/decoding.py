"""From the JSON of a request to an object: what is known is kept, in its type.

What a kind may hold is read from the installed client's model classes. A field
that they do not know is dropped, and reported in the answer's ``Warning`` header
or, with ``fieldValidation=Strict``, as an error. A field of a newer Kubernetes
than the installed client's is therefore unknown here.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any

import attrs

from . import custom
from .errors import APIError, bad_request
from .quantities import quantity
from .schema import FieldType, fields_of, go_name, go_type, model_of, parse_time

if TYPE_CHECKING:
    from .resources import Object, Resource

_JSON_TYPES: dict[type, str] = {
    str: "string",
    bool: "bool",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
}
_FITTING: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "time": (str,),
    "base64": (str,),
    "int-or-string": (int, str),
}
# The whole numbers of the kinds here that are 64 bits wide in k8s.io/api/core/v1.
_INT64 = frozenset(
    {
        "activeDeadlineSeconds",
        "deletionGracePeriodSeconds",
        "expirationSeconds",
        "fsGroup",
        "gracePeriodSeconds",
        "generation",
        "observedGeneration",
        "runAsGroup",
        "runAsUser",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
    }
)
# Plain values in Go, not pointers: the server does not write their zero.
_OMITTED_WHEN_ZERO = frozenset(
    {
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "hostname",
        "nodeName",
        "publishNotReadyAddresses",
        "readOnly",
        "stdin",
        "stdinOnce",
        "subPath",
        "subdomain",
        "tty",
        "value",
    }
)


class Parsed(dict[str, Any]):
    """A JSON object, and which of its keys came more than once."""

    repeated: tuple[str, ...] = ()


def parse(raw: bytes) -> Any:
    """Read JSON, keeping in mind what RFC 8259 leaves open: repeated keys.

    Raises
    ------
    ValueError
        It is not JSON.
    """
    return json.loads(raw, object_pairs_hook=_parsed)


def _parsed(pairs: list[tuple[str, Any]]) -> Parsed:
    found = Parsed(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        # `add` gives None: each key is seen once, and repeated from then on.
        repeated = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
        found.repeated = tuple(dict.fromkeys(repeated))
    return found


@attrs.define
class Decoder:
    """Reads one object of one kind and collects what it drops.

    Attributes
    ----------
    kind
        The kind, as messages name it.
    warnings
        The texts for the ``Warning`` header.
    """

    kind: str
    warnings: list[str] = attrs.field(factory=list, init=False)

    def decode(self, body: Object) -> Object:
        """Give a clean copy of an object.

        Raises
        ------
        APIError
            400: a value is of the wrong type.
        """
        return self.model(model_of(self.kind), body, "", "")

    def model(self, model: type[Any], value: object, at: str, path: str) -> dict[str, Any]:
        """Give a clean copy of a part that has a model class."""
        fields = fields_of(model)
        if not isinstance(value, dict):
            raise self._mismatch(value, at, f"v1.{go_name(model)}")
        result = {}
        for name, each in value.items():
            here = _joined(path, name)
            if name not in fields:
                self.warnings.append(f'unknown field "{here}"')
                continue
            if each is None or (name in _OMITTED_WHEN_ZERO and each in ("", False)):
                continue
            spot = f"{go_name(model)}.{_without_indexes(here)}"
            decoded = self._value(fields[name], each, spot, here)
            # Go's omitempty: an empty list or map is not written, an object is.
            if decoded or not isinstance(decoded, (list, dict)) or fields[name].model:
                result[name] = decoded
        self.note_repeated(value, path)
        return result

    def note_repeated(self, value: object, path: str) -> None:
        """Warn of keys that came more than once; the last value counts."""
        for key in value.repeated if isinstance(value, Parsed) else ():
            self.warnings.append(f'duplicate field "{_joined(path, key)}"')

    def _value(self, kind: FieldType, value: Any, at: str, path: str) -> Any:
        if kind.model is not None:
            return self.model(kind.model, value, at, path)
        if kind.items is not None:
            if not isinstance(value, list):
                raise self._mismatch(value, at, go_type(kind))
            items = enumerate(value)
            return [self._value(kind.items, each, at, f"{path}[{i}]") for i, each in items]
        if kind.values is not None:
            return self._map(kind.values, value, at, path)
        return self._plain(kind.plain, value, at)

    def _map(self, values: FieldType, value: Any, at: str, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._mismatch(value, at, go_type(FieldType(values=values)))
        result = {
            # Go reads null as the zero of its type.
            key: self._value(values, "" if each is None else each, at, f"{path}.{key}")
            for key, each in value.items()
            if each is not None or values.plain in ("string", "base64")
        }
        self.note_repeated(value, path)
        return result

    def _plain(self, kind: str, value: Any, at: str) -> Any:
        if kind == "quantity":
            return str(quantity(value, self.kind))
        if kind in _FITTING and (
            not isinstance(value, _FITTING[kind]) or (isinstance(value, bool) and kind != "bool")
        ):
            name = at.rpartition(".")[2]
            wanted = "int64" if name in _INT64 else go_type(FieldType(plain=kind))
            raise self._mismatch(value, at, wanted)
        if kind == "time" and parse_time(value) is None:
            layout = '"2006-01-02T15:04:05Z07:00": cannot parse'
            raise self.unusable(f'parsing time "{value}" as {layout} "{value}" as "2006"')
        if kind == "base64":
            try:
                base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                text = f"illegal base64 data at input byte {_first_odd(value)}"
                raise self.unusable(text) from None
        return value

    def _mismatch(self, value: object, at: str, wanted: str) -> Exception:
        found = _JSON_TYPES.get(type(value), "object" if isinstance(value, dict) else "null")
        return self.unusable(
            f"json: cannot unmarshal {found} into Go struct field {at} of type {wanted}"
        )

    def unusable(self, text: str) -> APIError:
        """400: it is not an object of this kind."""
        handled = f'{self.kind} in version "v1" cannot be handled as a {self.kind}'
        return bad_request(f"{handled}: {text}")


def decode_options(kind: str, body: Object) -> Object:
    """Read the options of a request, which are refused in fewer words.

    Raises
    ------
    APIError
        400: a value is of the wrong type.
    """
    try:
        return Decoder(kind).decode(body)
    except APIError as error:
        problem = error.message.partition(f"cannot be handled as a {kind}: ")[2]
        raise bad_request(problem) from None


def decode(resource: Resource, body: Object, validation: str) -> tuple[Object, list[str]]:
    """Read an object of a resource, and give what was dropped as warnings.

    Parameters
    ----------
    resource
        What it should be.
    body
        What was sent.
    validation
        What becomes of unknown and repeated fields: ``Ignore``, ``Warn`` (or
        nothing) or ``Strict``.

    Raises
    ------
    APIError
        400: a value is of the wrong type, or a field is refused.
    """
    decoder = Decoder(resource.kind)
    decoded = custom.decode(resource, body, decoder) if resource.custom else decoder.decode(body)
    warnings = list(dict.fromkeys(decoder.warnings))
    if validation == "Strict" and warnings:
        raise decoder.unusable(f"strict decoding error: {', '.join(warnings)}")
    return decoded, [] if validation == "Ignore" else warnings


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _without_indexes(path: str) -> str:
    return re.sub(r"\[\d+\]", "", path)


def _first_odd(text: str) -> int:
    odd = re.search(r"[^A-Za-z0-9+/]", text)
    return odd.start() if odd else len(text) // 4 * 4

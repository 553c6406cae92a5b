"""From the JSON of a request to an object: what is known is kept, in its type.

What a kind may hold is read from the installed client's model classes. A field
that they do not know is dropped, and the answer's ``Warning`` header says so, as
with a real server (``fieldValidation=Warn``, its default). A field of a newer
Kubernetes than the installed client's is therefore unknown here.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

import attrs
from kubernetes import client

from lab_storage._manifests.schema import Format, Type, parse_time, schema_of

from .errors import APIError, bad_request
from .quantities import quantity

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
_GO_TYPES: dict[Format, str] = {
    Format.STRING: "string",
    Format.INTEGER: "int32",
    Format.NUMBER: "float64",
    Format.BOOLEAN: "bool",
    Format.TIMESTAMP: "string",
    Format.BASE64: "[]uint8",
}
_FITTING: dict[Format, tuple[type, ...]] = {
    Format.STRING: (str,),
    Format.INTEGER: (int,),
    Format.NUMBER: (int, float),
    Format.BOOLEAN: (bool,),
    Format.TIMESTAMP: (str,),
    Format.BASE64: (str,),
    Format.INT_OR_STRING: (int, str),
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
        names = (f"V1{self.kind}", f"CoreV1{self.kind}")
        model = next(getattr(client, name) for name in names if hasattr(client, name))
        decoded: Object = self._model(model, body, "", "")
        return decoded

    def _model(self, model: type[Any], value: object, at: str, path: str) -> dict[str, Any]:
        schema = schema_of(model)
        if not isinstance(value, dict):
            raise self._mismatch(value, at, f"v1.{_go_name(model)}")
        result = {}
        for name, each in value.items():
            here = f"{path}.{name}" if path else name
            if name not in schema:
                self.warnings.append(f'unknown field "{here}"')
                continue
            if each is None or (name in _OMITTED_WHEN_ZERO and each in ("", False)):
                continue
            spot = f"{_go_name(model)}.{_without_indexes(here)}"
            decoded = self._value(schema[name].type, each, spot, here)
            # Go's omitempty: an empty list or map is not written, an object is.
            if decoded or not isinstance(decoded, (list, dict)) or schema[name].type.model:
                result[name] = decoded
        return result

    def _value(self, kind: Type, value: Any, at: str, path: str) -> Any:
        if kind.model is not None:
            return self._model(kind.model, value, at, path)
        if kind.items is not None:
            if not isinstance(value, list):
                raise self._mismatch(value, at, _go_type(kind))
            items = enumerate(value)
            return [self._value(kind.items, each, at, f"{path}[{i}]") for i, each in items]
        if kind.values is not None:
            if not isinstance(value, dict):
                raise self._mismatch(value, at, _go_type(kind))
            return {
                key: self._value(kind.values, each, at, f"{path}.{key}")
                for key, each in value.items()
                if each is not None
            }
        return self._plain(kind.format or Format.ANY, value, at)

    def _plain(self, kind: Format, value: Any, at: str) -> Any:
        if kind is Format.QUANTITY:
            return str(quantity(value, self.kind))
        if kind in _FITTING and (
            not isinstance(value, _FITTING[kind])
            or (isinstance(value, bool) and kind is not Format.BOOLEAN)
        ):
            name = at.rpartition(".")[2]
            raise self._mismatch(value, at, "int64" if name in _INT64 else _GO_TYPES.get(kind, ""))
        if kind is Format.TIMESTAMP and parse_time(value) is None:
            layout = '"2006-01-02T15:04:05Z07:00": cannot parse'
            raise self._unusable(f'parsing time "{value}" as {layout} "{value}" as "2006"')
        if kind is Format.BASE64:
            try:
                base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise self._unusable(
                    f"illegal base64 data at input byte {_first_odd(value)}"
                ) from None
        return value

    def _mismatch(self, value: object, at: str, wanted: str) -> Exception:
        found = _JSON_TYPES.get(type(value), "null")
        return self._unusable(
            f"json: cannot unmarshal {found} into Go struct field {at} of type {wanted}"
        )

    def _unusable(self, text: str) -> Exception:
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


def decode(resource: Resource, body: Object) -> tuple[Object, list[str]]:
    """Read an object of a resource, and give what was dropped as warnings.

    Raises
    ------
    APIError
        400: a value is of the wrong type.
    """
    decoder = Decoder(resource.kind)
    return decoder.decode(body), decoder.warnings


def _go_name(model: type[Any]) -> str:
    return re.sub(r"^(Core)?V1", "", model.__name__)


def _go_type(kind: Type) -> str:
    if kind.items is not None:
        return f"[]{_go_type(kind.items)}"
    if kind.values is not None:
        return f"map[string]{_go_type(kind.values)}"
    if kind.model is not None:
        return f"v1.{_go_name(kind.model)}"
    return _GO_TYPES.get(kind.format or Format.ANY, "string")


def _without_indexes(path: str) -> str:
    return re.sub(r"\[\d+\]", "", path)


def _first_odd(text: str) -> int:
    odd = re.search(r"[^A-Za-z0-9+/]", text)
    return odd.start() if odd else len(text) - len(text) % 4

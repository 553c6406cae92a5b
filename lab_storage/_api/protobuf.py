"""A scan of protobuf: where the wanted fields of a message are, and nothing else.

Enough for what the API server writes in it. How that is wrapped:
https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding; field numbers are
those of ``k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto`` and
``k8s.io/apimachinery/pkg/runtime/generated.proto``, which never change.

Whatever the bytes are, a function of this module returns or raises `DecodeError`, in a time that
is linear in their length.
"""

from __future__ import annotations

from typing import Any, Final

PROTOBUF: Final = "application/vnd.kubernetes.protobuf"

Span = tuple[int, int]
"""The places where the bytes of a field begin and end."""

_MAGIC: Final = b"k8s\x00"
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_FIXED_BYTES: Final = {_FIXED_64: 8, _FIXED_32: 4}
# A tag is the field's number and its wire type. All tags that are looked for are of bytes: a
# string, or a message.
F1, F2, F3, F4, F5, F6, F8, F9, F10, F11 = (
    number << 3 | _BYTES for number in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11)
)
# 64 bits in groups of seven.
_LONGEST_VARINT = 10


class DecodeError(Exception):
    """The bytes are not what they should be. Never reaches a caller."""


def unwrapped(data: bytes, start: int, end: int) -> Span:
    """The object in an answer: after four bytes, runtime.Unknown with raw 2."""
    if not data.startswith(_MAGIC, start, end):
        raise DecodeError("not protobuf of Kubernetes")
    raw: list[Span] = []
    scan(data, start + len(_MAGIC), end, {F2: raw})
    if not raw:
        raise DecodeError("no object")
    return raw[-1]


def text(data: bytes, spans: list[Span]) -> str:
    """The text of a field; if it appears twice, the last one counts."""
    if not spans:
        return ""
    start, end = spans[-1]
    return data[start:end].decode("utf-8", "replace")


def scan(  # noqa: C901 - one loop, which has to be quick
    data: bytes,
    at: int,
    end: int,
    wanted: dict[int, list[Span]],
    numbers: dict[int, list[int]] | None = None,
) -> None:
    """Note where the wanted fields of the message between two places are.

    Parameters
    ----------
    data, at, end
        The message.
    wanted
        Where to note the places of fields of bytes, by their tags.
    numbers
        Where to note the values of varints, by the numbers of their fields.
    """
    try:
        while at < end:
            tag = data[at]
            at += 1
            if tag >= 0x80:
                tag, at = _varint(data, at - 1)
            kind = tag & 7
            if kind == _BYTES:
                size = data[at]
                at += 1
                if size >= 0x80:
                    # Nearly all that are long have two bytes. A call costs more than the rest.
                    more = data[at]
                    if more < 0x80:
                        size, at = size & 0x7F | more << 7, at + 1
                    else:
                        size, at = _varint(data, at - 1)
                begin = at
                at += size
                if tag in wanted:
                    wanted[tag].append((begin, at))
            elif kind == _VARINT:
                value, at = _varint(data, at)
                if numbers is not None and tag >> 3 in numbers:
                    numbers[tag >> 3].append(value)
            else:
                at += _FIXED_BYTES[kind]
    except (IndexError, KeyError):
        raise DecodeError("a message that is cut off, or a wire type that is not one") from None
    if at != end:
        raise DecodeError("a field that is longer than its message")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, at + _LONGEST_VARINT):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise DecodeError("a number that is too long")


def number(varint: bytes) -> int:
    """The value of a varint."""
    if len(varint) == 2:
        # As most lengths are.
        return varint[0] & 0x7F | varint[1] << 7
    return _varint(varint, 0)[0]


def status(body: bytes) -> dict[str, Any]:
    """Read a Status, as far as somebody looks at it, into what it is in JSON.

    Raises
    ------
    DecodeError
        If it is not one.
    """
    return status_at(body, *unwrapped(body, 0, len(body)))


def status_at(data: bytes, start: int, end: int) -> dict[str, Any]:
    """Read a Status between two places, as `status` does."""
    # status 2, message 3, reason 4, details 5, code 6; of StatusDetails, name 1, kind 3,
    # retryAfterSeconds 5.
    values: list[Span] = []
    messages: list[Span] = []
    reasons: list[Span] = []
    details: list[Span] = []
    codes: list[int] = []
    wanted = {F2: values, F3: messages, F4: reasons, F5: details}
    scan(data, start, end, wanted, {6: codes})
    content: dict[str, Any] = {"kind": "Status", "apiVersion": "v1"}
    content["status"] = text(data, values)
    content["message"] = text(data, messages)
    content["reason"] = text(data, reasons)
    content["code"] = codes[-1] if codes else 0
    if details:
        names: list[Span] = []
        kinds: list[Span] = []
        after: list[int] = []
        scan(data, *details[-1], {F1: names, F3: kinds}, {5: after})
        content["details"] = {
            "name": text(data, names),
            "kind": text(data, kinds),
            "retryAfterSeconds": after[-1] if after else 0,
        }
    return content

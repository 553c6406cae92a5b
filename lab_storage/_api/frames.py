"""A watch's bytes, as they come, cut into events: frames of protobuf, or lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final

from lab_storage._api import pod_json, pod_protobuf
from lab_storage._api.pod_state import PodEvent
from lab_storage._api.protobuf import PROTOBUF, DecodeError

# etcd takes no object of more than 1.5 MB; a frame that claims ten times that is not one.
LONGEST_FRAME_BYTES: Final = 16 << 20
_LENGTH_BYTES: Final = 4


def events(segments: Iterable[bytes], content_type: str) -> Iterator[PodEvent]:
    """Yield the events of a watch of pods, as soon as each is there.

    Parameters
    ----------
    segments
        The body, in whatever pieces it arrives.
    content_type
        The header of that name: what the server chose to send.

    Raises
    ------
    DecodeError
        If something was said that cannot be read. An event may be lost then.
    """
    if content_type.startswith(PROTOBUF):
        return map(pod_protobuf.event, _frames(segments))
    return map(_read_line, filter(None, map(bytes.strip, _lines(segments))))


def _read_line(line: bytes) -> PodEvent:
    try:
        # Some put a byte order mark in front, which may be ignored (RFC 8259, section 8.1).
        content = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise DecodeError("a line that is not JSON") from None
    return pod_json.event(content)


def _frames(segments: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what is between the lengths, of four bytes each, the most significant first."""
    # Not one growing buffer: a frame that arrives in many pieces would be copied at each.
    parts: list[bytes] = []
    have, need = 0, _LENGTH_BYTES
    for segment in segments:
        parts.append(segment)
        have += len(segment)
        if have < need:
            continue
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        at = 0
        while have - at >= _LENGTH_BYTES:
            size = int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
            if size > LONGEST_FRAME_BYTES:
                raise DecodeError("a frame that is too long")
            need = _LENGTH_BYTES + size
            if have - at < need:
                break
            yield data[at + _LENGTH_BYTES : at + need]
            at += need
            need = _LENGTH_BYTES
        parts = [data[at:]] if at < have else []
        have -= at


def _lines(segments: Iterable[bytes]) -> Iterator[bytes]:
    parts: list[bytes] = []
    have = 0
    for segment in segments:
        *ends, begun = segment.split(b"\n")
        for end in ends:
            yield b"".join((*parts, end))
            parts.clear()
            have = 0
        parts.append(begun)
        have += len(begun)
        if have > LONGEST_FRAME_BYTES:
            raise DecodeError("a line that is too long")

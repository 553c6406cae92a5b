"""Requests, and what was answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/json"

# How long a watch may last says nothing about its answer, and clients make it
# random, so that not all come back together.
_RANDOM_PARAMETERS = {"timeoutSeconds"}
# What else a server sends is about this one answer, or about the connection.
_KEPT_HEADERS = ("Content-Type", "Location", "Retry-After", "Warning")

Body = dict[str, Any]


@attrs.define
class Request:
    """What identifies a request.

    Attributes
    ----------
    method
        The HTTP method.
    url
        Path and query below the API server's address, the query sorted.
    headers
        ``Accept`` and ``Content-Type``, where they ask for something else than JSON.
    body
        Its body, as it is in the file.
    """

    method: str
    url: str
    headers: dict[str, str] = attrs.field(factory=dict)
    body: Body = attrs.field(factory=dict)

    def __str__(self) -> str:
        accept = self.headers.get("Accept")
        return f"{self.method} {self.url}" + (f" ({accept})" if accept else "")

    @classmethod
    def sent(
        cls, method: str, url: str, host: str, headers: Mapping[str, str], body: Any
    ) -> Request:
        """Describe a request as it goes out.

        Parameters
        ----------
        method, url, headers, body
            What is sent.
        host
            The API server's address, with its path prefix: not a part of it.
        """
        split = urlsplit(url)
        query = [
            # What some clients write as Python does.
            (name, value.lower() if value in ("False", "True") else value)
            for name, value in parse_qsl(split.query, keep_blank_values=True)
            if name not in _RANDOM_PARAMETERS
        ]
        path = "/" + split.path.removeprefix(urlsplit(host).path.rstrip("/")).lstrip("/")
        target = f"{path}?{urlencode(sorted(query))}" if query else path
        return cls(method, target, _telling(headers), body_of(body or b""))


@attrs.define
class Response:
    """An answer, or as much of one as was read."""

    status: int
    headers: dict[str, str] = attrs.field(factory=dict)
    body: Body = attrs.field(factory=dict)

    @property
    def content(self) -> bytes:
        """The body, in bytes."""
        if "lines" in self.body:
            return b"".join(map(_bytes, self.body["lines"]))
        return _bytes(self.body.get("json", self.body.get("text", "")))


@attrs.define
class Exchange:
    """A request and its answer, which is `None` until it comes."""

    request: Request
    response: Response | None = None


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    """Of an answer's headers, those that say something about what was answered."""
    return {name: headers[name] for name in _KEPT_HEADERS if name in headers}


def body_of(content: bytes | str) -> Body:
    """A body as it is in the file."""
    if not content:
        return {}
    parsed = _json(content)
    return {"text": _text(content)} if parsed is None else {"json": parsed}


def line_of(line: bytes) -> Any:
    """A line of a stream as it is in the file; text, if it is not a JSON object."""
    # A last line without its end is not the same as a whole one.
    parsed = _json(line) if line.endswith(b"\n") else None
    return _text(line) if parsed is None else parsed


def _bytes(content: Any) -> bytes:
    if isinstance(content, str):
        return content.encode()
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _text(content: bytes | str) -> str:
    return content.decode(errors="replace") if isinstance(content, bytes) else content


def _json(content: bytes | str) -> Any:
    """The object or list that it is, or `None`."""
    try:
        parsed = json.loads(content)
    except ValueError:
        return None
    return parsed if isinstance(parsed, (dict, list)) else None


def _telling(headers: Mapping[str, str]) -> dict[str, str]:
    """Those headers of a request that say what is to come back, and what is sent."""
    lower = {name.lower(): str(value) for name, value in headers.items()}
    said = {}
    accept, content_type = lower.get("accept", ""), lower.get("content-type", "")
    # Clients differ in what else they would take; the server sends the first.
    first = accept.partition(",")[0].replace(" ", "")
    if first not in ("", "*/*", JSON):
        said["Accept"] = first
    if content_type.partition(";")[0] not in ("", JSON):
        said["Content-Type"] = content_type
    return said

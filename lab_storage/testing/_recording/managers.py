"""Field managers that are unique to an operation, and so are other ones each time.

A program that names its operations by ``fieldManager``, as ``LabStorage.create`` does, sends
another name at each run. What makes it unique is a run of hexadecimal digits: a UUID or a
digest. A recording numbers them. A player accepts any that is sent in the place of a recorded
one, the same one each time, and uses it in its answers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs

from .exchanges import Exchange, Request
from .urls import joined, parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_UNIQUE = re.compile(r"[0-9a-f]{32,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PARAMETER = "fieldManager"


def unique_part(request: Request) -> str | None:
    """Give what makes a request's field manager unique; ``None`` if nothing does."""
    for name, value in parts(request.url)[1]:
        if name == _PARAMETER and (found := _UNIQUE.search(value)):
            return found[0]
    return None


def numbered(exchanges: Sequence[Exchange]) -> list[Exchange]:
    """Number the unique parts in the order in which they were sent first."""
    names: dict[str, str] = {}
    for exchange in exchanges:
        part = unique_part(exchange.request)
        if part is not None and part not in names:
            names[part] = _number(len(names) + 1, part)
    return [_renamed(each, names) for each in exchanges]


def _number(number: int, part: str) -> str:
    digits = f"{number:0{len(part.replace('-', ''))}x}"
    if "-" not in part:
        return digits
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _renamed(exchange: Exchange, names: Mapping[str, str]) -> Exchange:
    if not names:
        return exchange
    response = exchange.response
    if response is not None:
        response = attrs.evolve(response, body=_replaced(response.body, names))
    return Exchange(_in_request(exchange.request, names), response)


def _in_request(request: Request, names: Mapping[str, str]) -> Request:
    path, query = parts(request.url)
    url = joined(path, [(name, _replaced(text, names)) for name, text in query])
    # Some annotate an object with the manager, where nothing else of it could be owned.
    return attrs.evolve(request, url=url, body=_replaced(request.body, names))


def _replaced(content: Any, names: Mapping[str, str]) -> Any:
    if isinstance(content, str):
        for before, after in names.items():
            content = content.replace(before, after)
        return content
    if isinstance(content, list):
        return [_replaced(item, names) for item in content]
    if isinstance(content, dict):
        return {key: _replaced(item, names) for key, item in content.items()}
    return content


class Bindings:
    """Which unique part that is sent stands for which that was recorded."""

    def __init__(self) -> None:
        self._recorded: dict[str, str] = {}
        self._sent: dict[str, str] = {}

    def fits(self, recorded: Request, asked: Request) -> bool:
        """Whether a request is the recorded one, except for such a part."""
        before, now = unique_part(recorded), unique_part(asked)
        if before is None or now is None:
            return recorded == asked
        bound = (self._recorded.get(now, before), self._sent.get(before, now))
        return bound == (before, now) and recorded == _in_request(asked, {now: before})

    def bind(self, recorded: Request, asked: Request) -> None:
        """Accept what is sent in the place of what was recorded, from now on."""
        before, now = unique_part(recorded), unique_part(asked)
        if before is not None and now is not None:
            self._recorded[now], self._sent[before] = before, now

    def told(self, content: bytes) -> bytes:
        """Return the body of an answer, with what is sent in the place of what was recorded."""
        for before, now in self._sent.items():
            content = content.replace(before.encode(), now.encode())
        return content

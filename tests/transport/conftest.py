"""What the tests of this room share."""

from __future__ import annotations

import socket
from typing import Any

import pytest

getaddrinfo = socket.getaddrinfo


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What names stand for: a list of addresses and ports, or an error."""
    known: dict[str, Any] = {}

    def look_up(host: str, port: int, *arguments: Any, **options: Any) -> Any:
        found = known.get(host)
        if isinstance(found, Exception):
            raise found
        if found is None:
            return getaddrinfo(host, port, *arguments, **options)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", number)) for number in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known

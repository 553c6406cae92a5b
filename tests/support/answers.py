"""Answers of urllib3 for a client that is played with, and sends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs


@attrs.define
class Response:
    """As much of a response of urllib3 as the client asks for.

    Attributes
    ----------
    status, headers
        Those of the answer.
    data
        Its body.
    pieces
        Its body in the place of ``data``, as it arrives.
    """

    status: int
    data: bytes = b""
    pieces: Iterator[bytes] = attrs.Factory(lambda: iter(()))
    headers: dict[str, str] = attrs.Factory(dict)
    chunked: bool = False

    def read1(self, *_: Any, **__: Any) -> bytes:
        """Give what has arrived."""
        return next(filter(None, self.pieces), b"")

    def close(self) -> None:
        """Nothing is open."""

"""What takes the place of a client's connection pool."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from urllib3.filepost import encode_multipart_formdata


class Substitute:
    """Takes the place of a client's pool manager, for the length of a ``with``."""

    def __init__(self, api_client: Any, path: str | PathLike[str]) -> None:
        self.api_client = api_client
        self.path = Path(path)
        self._pool_manager: Any = None

    def _take_place(self, pool_manager: Any) -> None:
        if self._pool_manager is not None:
            # It would stand in its own place, and send to itself without end.
            kind = type(self).__name__.lower()
            raise RuntimeError(f"this {kind} of {self.path} has been entered and not left")
        rest_client = self.api_client.rest_client
        self._pool_manager = rest_client.pool_manager
        rest_client.pool_manager = pool_manager

    def _give_back(self) -> None:
        self.api_client.rest_client.pool_manager = self._pool_manager
        self._pool_manager = None


def encoded(
    method: str, url: str, options: dict[str, Any]
) -> tuple[str, bytes | str | None, dict[str, str]]:
    """URL, body and headers of a request, with its ``fields`` where urllib3 puts them."""
    body, headers = options.get("body"), dict(options.get("headers") or {})
    fields = options.get("fields")
    if not fields:
        return url, body, headers
    if method in ("DELETE", "GET", "HEAD", "OPTIONS"):
        return f"{url}{'&' if '?' in url else '?'}{urlencode(fields)}", body, headers
    if options.get("encode_multipart", True):
        content, content_type = encode_multipart_formdata(fields)
        return url, content, {**headers, "Content-Type": content_type}
    form = "application/x-www-form-urlencoded"
    return url, urlencode(fields), {**headers, "Content-Type": form}

"""The connections that were made by one state of a configuration and its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import urllib3
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.util.url import parse_url


class Session:
    """A pool manager, and what each request by it is made with.

    Attributes
    ----------
    host
        The address of the API server.
    is_ours
        Whether its connections keep deadlines. Those of something that stands in for a pool
        manager, to record or to play back, may not.
    """

    def __init__(self, api_client: Any, manager: Any, host: str, *, is_ours: bool) -> None:
        self.host = host
        self.is_ours = is_ours
        self._api_client = api_client
        self._manager = manager
        self._pool_and_prefix: tuple[HTTPConnectionPool, str] | None = None

    def close(self) -> None:
        """Close the connections that are not in use."""
        if self.is_ours:
            self._pool_and_prefix = None
            # `clear` alone would leave it to the garbage collector to close them.
            pools = self._manager.pools
            for pool in [pools.get(key) for key in pools.keys()]:  # noqa: SIM118 - no iteration
                if pool is not None:
                    pool.close()
            self._manager.clear()

    def request(
        self,
        method: str,
        path: str,
        *,
        accept: str,
        body: memoryview | None,
        credentials: Mapping[str, str],
        seconds: float,
    ) -> Any:
        """Send a request; give urllib3's response, of which only the headers are read.

        Parameters
        ----------
        method, path
            What is asked; the path with its query, without the prefix of the host.
        accept
            The media types that may come back.
        body
            JSON, or `None`.
        credentials
            Headers that say who asks: `Connections.credentials`.
        seconds
            How long urllib3 itself may take to connect, and for each operation afterwards.
        """
        headers = self._headers(accept, has_body=body is not None)
        headers.update(credentials)
        options: dict[str, Any] = {}
        if body is not None:
            # A view shows nothing in a traceback; what stands in for urllib3 may not know it.
            options["body"] = body if self.is_ours else bytes(body)
        options.update(
            headers=headers,
            preload_content=False,
            timeout=urllib3.Timeout(connect=seconds, read=seconds),
        )
        if not self.is_ours or type(self._manager) is not urllib3.PoolManager:
            return self._manager.request(method, self.host.rstrip("/") + path, **options)
        pool, prefix = self._pool()
        return pool.urlopen(
            method, prefix + path, redirect=False, assert_same_host=False, **options
        )

    def _pool(self) -> tuple[HTTPConnectionPool, str]:
        """The connections to the host, and the prefix of its paths.

        A `urllib3.PoolManager` takes the URL apart and looks for its pool at each request, which
        is a fifth of what a small one costs. One that is a proxy's, or of a class
        of the caller's, may do something else: it is asked each time.
        """
        known = self._pool_and_prefix
        if known is None:
            prefix = (parse_url(self.host).path or "").rstrip("/")
            known = self._manager.connection_from_url(self.host), prefix
            self._pool_and_prefix = known
        return known

    def _headers(self, accept: str, *, has_body: bool) -> dict[str, str]:
        # As ApiClient puts them together, but that the media types are ours.
        ours = {"accept": accept}
        if has_body:
            ours["content-type"] = "application/json"
        headers = {
            name: str(value)
            for name, value in list(self._api_client.default_headers.items())
            if name.lower() not in ours
        }
        headers.update(ours)
        if self._api_client.cookie:
            headers["Cookie"] = self._api_client.cookie
        return headers

"""What requests are made with: a configuration, its credentials, its connections, its TLS."""

from __future__ import annotations

import copy
import ssl
from json import JSONDecodeError
from typing import Any

import urllib3
from kubernetes.client.exceptions import OpenApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util.url import parse_url

from lab_storage._transport.credentials import CredentialsError, Keys
from lab_storage._transport.interruptions import find_interruption
from lab_storage._transport.pool import use_deadlines
from lab_storage._transport.tls import borrow_context, create_context


class Session:
    """A configuration and the connections that were made by it."""

    def __init__(self, api_client: Any, earlier: Keys | None) -> None:
        theirs = api_client.configuration
        # Not deepcopy: it copies what a hook is bound to, and in client 31 it
        # sets the levels of the loggers.
        self._configuration = ours = copy.copy(theirs)
        ours.api_key = dict(theirs.api_key) if earlier is None else earlier.current(theirs.api_key)
        self.keys = Keys(dict(theirs.api_key), ours)
        ours.api_key_prefix = dict(theirs.api_key_prefix)
        ours.retries = False
        self._api_client = api_client
        self._theirs = getattr(api_client.rest_client, "pool_manager", None)
        self.is_ours = self._theirs is None or _is_urllib3s(self._theirs)
        if self.is_ours:
            self._manager = type(api_client.rest_client)(ours).pool_manager
            self.is_ours = _is_urllib3s(self._manager)
        else:
            # What somebody put in place of urllib3, to record or to play back.
            self._manager = self._theirs
        if self.is_ours:
            given = getattr(self._theirs, "connection_pool_kw", {}).get("ssl_context")
            self._bare = _prepare(self._manager, given, is_secure=_is_secure(ours.host))
        self._host_pool: tuple[str, HTTPConnectionPool, str] | None = None

    def fits(self, api_client: Any) -> bool:
        """Whether the caller's client still sends by what it did when this was made."""
        return getattr(api_client.rest_client, "pool_manager", None) is self._theirs

    def close(self) -> None:
        if self.is_ours:
            self._host_pool = None
            # `clear` alone would leave it to the garbage collector to close them.
            pools = self._manager.pools
            for pool in [pools.get(key) for key in pools.keys()]:  # noqa: SIM118 - no iteration
                if pool is not None:
                    pool.close()
            self._manager.clear()

    @property
    def host(self) -> str:
        """The address of the API server."""
        return str(self._configuration.host)

    def request(
        self, method: str, path: str, *, accept: str, body: memoryview | None, seconds: float
    ) -> Any:
        """Send a request; give urllib3's response, of which only the headers are read.

        Raises
        ------
        CredentialsError
            If ``refresh_api_key_hook`` failed.
        """
        try:
            headers = self._headers(accept, has_body=body is not None)
        except (HTTPError, OpenApiException, ConfigException, OSError, JSONDecodeError) as error:
            # Of the hook's own errors, only this could be somebody's time limit.
            if isinstance(error, TimeoutError) and find_interruption(error) is not None:
                raise
            raise CredentialsError(
                f"the credentials could not be refreshed: {type(error).__name__}: {error}"
            ) from error
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
            url = self._configuration.host.rstrip("/") + path
            return self._manager.request(method, url, **options)
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
        host = self._configuration.host
        known = self._host_pool
        if known is None or known[0] != host:
            if self._bare is not None and _is_secure(host):
                # A hook has changed it to what needs authorities after all.
                self._bare.load_default_certs()
                self._bare = None
            prefix = (parse_url(host).path or "").rstrip("/")
            self._host_pool = known = host, self._manager.connection_from_url(host), prefix
        return known[1:]

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
        configuration = self._configuration
        if configuration.refresh_api_key_hook is not None and not configuration.api_key:
            # auth_settings asks the hook only where there is a key already.
            configuration.refresh_api_key_hook(configuration)
        for setting in configuration.auth_settings().values():
            if setting["value"]:
                headers[setting["key"]] = setting["value"]
        return headers


def _is_urllib3s(manager: Any) -> bool:
    """Whether it is urllib3's own, and not something that stands in for it or is patched."""
    return (
        isinstance(manager, urllib3.PoolManager)
        and type(manager).__module__.partition(".")[0] == "urllib3"
        and "request" not in vars(manager)
    )


def _is_secure(host: str) -> bool:
    return host.lower().startswith("https:")


def _prepare(
    manager: urllib3.PoolManager, given: ssl.SSLContext | None, *, is_secure: bool
) -> ssl.SSLContext | None:
    """Make a pool manager that the REST class built keep deadlines, with one TLS context.

    ``given`` is one that the caller's client uses, which is left as it is. Without TLS the
    system's authorities are not read, which takes 20 ms: the context that lacks them
    is given back.
    """
    if given is not None:
        use_deadlines(manager, borrow_context(given))
        return None
    options = manager.connection_pool_kw
    proxy = options.get("_proxy_config")
    if proxy is not None and proxy.ssl_context is None:
        context, is_bare = create_context(options)
        if is_bare:
            context.load_default_certs()
        options["_proxy_config"] = proxy._replace(ssl_context=context)
    context, is_bare = create_context(options)
    if is_bare and is_secure:
        context.load_default_certs()
        is_bare = False
    if options.get("cert_file"):
        context.load_cert_chain(options["cert_file"], options.get("key_file"))
    use_deadlines(manager, context)
    return context if is_bare else None

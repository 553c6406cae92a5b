"""The one door to the API server.

Everything that is sent goes through `Client`, and this is the one place that
catches what urllib3 and the standard library raise. It makes one request a
call: whether to try again is `_retry`'s to decide.
"""

from __future__ import annotations

import copy
import ssl
import threading
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from json import JSONDecodeError
from typing import Any

import attrs
import urllib3
from kubernetes.client.exceptions import OpenApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError, LocationValueError, ProtocolError
from urllib3.util.ssl_ import create_urllib3_context, resolve_cert_reqs
from urllib3.util.ssl_match_hostname import CertificateError
from urllib3.util.url import parse_url

from lab_storage import _wire
from lab_storage._answer import JSON, Answer, Request, SilenceError, UnusableError, unusable
from lab_storage._fork import renew_after_fork
from lab_storage._kinds import SECRET
from lab_storage._operation import Operation
from lab_storage.exceptions import LabStorageError

# A request that hears nothing for so long is given up and made again: a load
# balancer may have forgotten the connection without telling. The API server
# itself ends a request after a minute (kube-apiserver's --request-timeout).
IDLE_SECONDS = 60.0
_SEGMENT_BYTES = 1 << 16


class Client:
    """A client of our own, made from the caller's and never changing it.

    It takes over the caller's configuration (host with its path prefix, TLS,
    proxy, credentials, ``refresh_api_key_hook``), REST class, default headers and
    cookie. The connections, the TLS context and the configuration that the hook
    is called with are its own. They are made at the first request, in a forked
    child anew, and anew when credentials are refused.

    Safe to use from any thread.
    """

    def __init__(self, api_client: Any) -> None:
        self._api_client = api_client
        self._session: _Session | None = None
        self._lock = threading.Lock()
        self._keys: _Keys | None = None
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Drop the connections, which are the parent's, without a word on the wire."""
        self._lock = threading.Lock()
        self._session = None

    def close(self) -> None:
        """Close the connections that are not in use; the next request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def renew(self, origin: object) -> None:
        """Ask for credentials anew, unless it has happened since ``origin`` was answered.

        The configuration is copied from the caller's once more, and the TLS
        context read from its files, so that renewed client certificates count.
        """
        with self._lock:
            if self._session is origin:
                # Not closed: others may be in the middle of a request.
                self._session = None

    def send(self, request: Request, operation: Operation) -> Answer:
        """Make one request and read the answer to its end. Blocks.

        Raises
        ------
        UnusableError
            If no answer came, or none that was whole.
        KubernetesError
            If there is no use in trying again.
        OperationCancelledError, OperationTimeoutError
            If the call is over.
        """
        with _Guard(request, operation, IDLE_SECONDS) as guard:
            session = self._opened(request, operation)
            guard.response = response = session.request(request, operation, guard)
            return Answer(response.status, response.headers, response.data, session)

    def open(self, request: Request, operation: Operation) -> Answer | Stream:
        """Make one request and leave a successful answer's body to be read as it comes.

        Raises as `send` does, until the headers are there; a refusal is read to
        its end.
        """
        with _Guard(request, operation, IDLE_SECONDS) as guard:
            session = self._opened(request, operation)
            guard.response = response = session.request(request, operation, guard)
            if not 200 <= response.status <= 299:
                return Answer(response.status, response.headers, response.data, session)
            guard.keep = True
            return Stream(response, guard)

    def _opened(self, request: Request, operation: Operation) -> _Session:
        session = self._session
        if session is not None and session.fits(self._api_client):
            return session
        with self._lock:
            if self._session is None or not self._session.fits(self._api_client):
                try:
                    self._session = _Session(self._api_client, self._keys)
                    self._keys = self._session.keys
                except (OSError, ValueError) as error:
                    if _wire.foreign(error) is not None:
                        raise
                    # A certificate file that is not there or is none; a proxy's URL.
                    raise unusable(f"cannot be set up: {error}", request, operation) from error
            return self._session


@attrs.frozen
class _Keys:
    """The caller's credentials as they were copied, and the configuration they were copied to.

    A ``refresh_api_key_hook`` sets new ones there, some hooks only when the old are about to
    expire. So they are carried over to the next configuration, unless the caller has
    changed its own.
    """

    theirs: dict[str, str]
    configuration: Any

    def current(self, theirs: dict[str, str]) -> dict[str, str]:
        """What to begin with, where the caller's are ``theirs`` now."""
        return dict(self.configuration.api_key if theirs == self.theirs else theirs)


class _Session:
    """A configuration and the connections that were made by it."""

    def __init__(self, api_client: Any, earlier: _Keys | None) -> None:
        theirs = api_client.configuration
        # Not deepcopy: it copies what a hook is bound to, and in client 31 it
        # sets the levels of the loggers.
        self._configuration = ours = copy.copy(theirs)
        ours.api_key = dict(theirs.api_key) if earlier is None else earlier.current(theirs.api_key)
        self.keys = _Keys(dict(theirs.api_key), ours)
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

    def request(self, request: Request, operation: Operation, guard: _Guard) -> Any:
        try:
            headers = self._headers(request)
        except (HTTPError, OpenApiException, ConfigException, OSError, JSONDecodeError) as error:
            # Of the hook's own errors, only this could be somebody's time limit.
            if isinstance(error, TimeoutError) and _wire.foreign(error) is not None:
                raise
            raise unusable(
                f"the credentials could not be refreshed: {type(error).__name__}: {error}",
                request,
                operation,
            ) from error
        guard.is_ours = self.is_ours
        guard.host = self._configuration.host
        seconds = min(operation.left(), IDLE_SECONDS)
        options: dict[str, Any] = {} if request.body is None else {"body": request.body}
        options.update(
            headers=headers,
            preload_content=False,
            timeout=urllib3.Timeout(connect=seconds, read=seconds),
        )
        if not self.is_ours or type(self._manager) is not urllib3.PoolManager:
            url = self._configuration.host.rstrip("/") + request.url
            return self._manager.request(request.method, url, **options)
        pool, prefix = self._pool()
        return pool.urlopen(
            request.method, prefix + request.url, redirect=False, assert_same_host=False, **options
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

    def _headers(self, request: Request) -> dict[str, str]:
        # As ApiClient puts them together, but that the media types are ours.
        ours = {"accept": request.accept}
        if request.body is not None:
            ours["content-type"] = JSON
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


_UNUSABLE = HTTPError, HTTPException, OpenApiException, OSError, JSONDecodeError
_NETWORK_ERRORS = *_UNUSABLE, ValueError


class _Guard:
    """Bounds one exchange, and makes our errors of what is raised in it."""

    def __init__(self, request: Request, operation: Operation, idle_seconds: float) -> None:
        operation.check()
        self.request = request
        self.operation = operation
        self.exchange = _wire.Exchange(
            operation.timeout, idle_seconds, confidential=request.kind is SECRET
        )
        self.response: Any = None
        self.keep = False
        self.host = "the server"
        self.is_ours = True

    def __enter__(self) -> _Guard:
        self._token = _wire.current.set(self.exchange)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        _wire.current.reset(self._token)
        if error is not None:
            self.close(broken=True)
            self.translate(error)
        elif not self.keep:
            self.close(broken=False)

    def close(self, *, broken: bool) -> None:
        """Let go of the connection: of a broken exchange nobody may use it again."""
        self.exchange.close(broken=broken)
        if broken and self.response is not None:
            self.response.close()

    def translate(self, error: BaseException) -> None:
        """Raise what ``error`` means; return if it is nothing of the network's."""
        if isinstance(error, LabStorageError):
            return
        if not isinstance(error, _NETWORK_ERRORS):
            return
        if self.is_ours:
            interruption = _wire.foreign(error)
            if interruption is error:
                return
            if interruption is not None:
                raise interruption
        operation = self.operation
        # Before there is an answer, only what is sent can be wrong.
        wrong_request = self.response is None and not isinstance(error, _UNUSABLE)
        # http.client shows a header that it refuses: a token may be in it. Errors of
        # HTTP quote what they could not read: a Secret's bytes may be in that.
        of_header = wrong_request and (
            type(error) is ValueError or isinstance(error, UnicodeError)
        )
        secret = self.request.kind is SECRET
        cause = None if secret or of_header else error
        text = type(error).__name__ if secret else _describe(error)
        if operation.last is None and operation.timeout.expired and not self.keep:
            operation.last = f"no answer of {self.host} to {self.request}"
        over = operation.over()
        if over is not None:
            raise over from cause
        if of_header:
            text = "a header of the request cannot be sent"
        if wrong_request or _is_final(error):
            raise unusable(text, self.request, operation) from cause
        silent = any(isinstance(found, _wire.IdleError) for found in _wire.chain(error))
        raise (SilenceError if silent else UnusableError)(text) from cause


class Stream:
    """The body of a watch, line by line: what `kubernetes.watch.Watch` reads from.

    It can be closed from any thread, which ends a read that is blocked.
    """

    status = 200

    def __init__(self, response: Any, guard: _Guard) -> None:
        self._response = response
        self._guard = guard
        self._closed = False

    def limit_silence(self, seconds: float) -> None:
        """End with an `UnusableError` after so long without a byte."""
        self._guard.exchange.idle_seconds = seconds

    def stream(self, amt: int | None = None, decode_content: bool = False) -> Iterator[bytes]:
        """Yield whole lines as they come, until the server ends the stream.

        The parameters are those of `urllib3.HTTPResponse.stream` and change
        nothing. One line a time, because ``Watch`` copies what is left of a
        segment at each line of it.

        Raises
        ------
        UnusableError
            If the stream is cut, cannot be read, or says nothing for too long.
        OperationCancelledError, OperationTimeoutError
            If the call is over.
        """
        del amt, decode_content
        # Not one growing line: a large one in small segments would be copied at each.
        parts: list[bytes] = []
        segments = self._segments()
        while True:
            try:
                segment = next(segments, None)
            except BaseException as error:
                self.close()
                self._guard.translate(error)
                raise
            if segment is None:
                break
            *ends, begun = segment.split(b"\n")
            for end in ends:
                line = b"".join((*parts, end, b"\n"))
                parts.clear()
                yield line
            parts.append(begun)
        self._closed = True
        self._guard.close(broken=False)

    def _segments(self) -> Iterator[bytes]:
        response = self._response
        if getattr(response, "chunked", False):
            yield from response.stream(_SEGMENT_BYTES, decode_content=True)
            return
        # Not `stream`, which waits until a segment is full.
        while segment := response.read1(_SEGMENT_BYTES, decode_content=True):
            yield segment

    def close(self) -> None:
        """Close the connection, unless the server has ended the stream."""
        if not self._closed:
            self._closed = True
            self._guard.close(broken=True)

    def release_conn(self) -> None:
        """Nothing: a stream that has ended has given its connection back."""


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
        _wire.use_deadlines(manager, _wire.lend(given))
        return None
    options = manager.connection_pool_kw
    proxy = options.get("_proxy_config")
    if proxy is not None and proxy.ssl_context is None:
        context, is_bare = _tls_context(options)
        if is_bare:
            context.load_default_certs()
        options["_proxy_config"] = proxy._replace(ssl_context=context)
    context, is_bare = _tls_context(options)
    if is_bare and is_secure:
        context.load_default_certs()
        is_bare = False
    if options.get("cert_file"):
        context.load_cert_chain(options["cert_file"], options.get("key_file"))
    _wire.use_deadlines(manager, context)
    return context if is_bare else None


def _tls_context(options: Mapping[str, Any]) -> tuple[ssl.SSLContext, bool]:
    """What urllib3 would make for each connection; and whether it trusts nobody yet."""
    context = create_urllib3_context(cert_reqs=resolve_cert_reqs(options.get("cert_reqs")))
    authorities = options.get("ca_certs"), options.get("ca_cert_dir"), options.get("ca_cert_data")
    if any(authorities):
        context.load_verify_locations(*authorities)
    return _wire.tls_context(context), not any(authorities)


def _describe(error: BaseException) -> str:
    """What went wrong, in the fewest words that say it."""
    if isinstance(error, ProtocolError) and len(error.args) > 1:
        # ('Connection aborted.', ConnectionResetError(104, '…'))
        return f"{str(error.args[0]).rstrip('.')}: {error.args[1]}"
    return str(error) or type(error).__name__


def _is_final(error: BaseException) -> bool:
    """Whether a certificate does not fit, theirs or ours, or the address is none."""
    for found in _wire.chain(error):
        # urllib3 itself compares where assert_hostname is set.
        if isinstance(found, (ssl.SSLCertVerificationError, CertificateError, LocationValueError)):
            return True
        # Only what OpenSSL itself says has a reason.
        reason = str(getattr(found, "reason", None))
        if isinstance(found, ssl.SSLError) and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
            return True
    return False

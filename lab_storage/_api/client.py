"""The one door to the API server.

Everything that is sent goes through `Client`, and this is the one place that
catches what urllib3 and the standard library raise. It makes one request a
call: whether to try again is `_retry`'s to decide.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.client import HTTPException
from json import JSONDecodeError
from typing import Any

from kubernetes.client.exceptions import OpenApiException
from urllib3.exceptions import HTTPError, LocationValueError, ProtocolError
from urllib3.util.ssl_match_hostname import CertificateError

from lab_storage._api.answer import Answer, Request, SilenceError, UnusableError, unusable
from lab_storage._api.operation import Operation
from lab_storage._manifests.kinds import SECRET
from lab_storage._transport.credentials import CredentialsError, Keys
from lab_storage._transport.exchange import Exchange, IdleError, current_exchange
from lab_storage._transport.fork import renew_after_fork
from lab_storage._transport.interruptions import causal_chain, find_interruption
from lab_storage._transport.session import Session
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
        self._session: Session | None = None
        self._lock = threading.Lock()
        self._keys: Keys | None = None
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
            guard.response = response = self._ask(session, request, operation, guard)
            return Answer(response.status, response.headers, response.data, session)

    def open(self, request: Request, operation: Operation) -> Answer | Stream:
        """Make one request and leave a successful answer's body to be read as it comes.

        Raises as `send` does, until the headers are there; a refusal is read to
        its end.
        """
        with _Guard(request, operation, IDLE_SECONDS) as guard:
            session = self._opened(request, operation)
            guard.response = response = self._ask(session, request, operation, guard)
            if not 200 <= response.status <= 299:
                return Answer(response.status, response.headers, response.data, session)
            guard.keep = True
            return Stream(response, guard)

    def _ask(self, session: Session, request: Request, operation: Operation, guard: _Guard) -> Any:
        seconds = min(operation.left(), IDLE_SECONDS)
        guard.is_ours, guard.host = session.is_ours, session.host
        try:
            return session.request(
                request.method,
                request.url,
                accept=request.accept,
                body=request.body,
                seconds=seconds,
            )
        except CredentialsError as error:
            raise unusable(str(error), request, operation) from error.__cause__

    def _opened(self, request: Request, operation: Operation) -> Session:
        session = self._session
        if session is not None and session.fits(self._api_client):
            return session
        with self._lock:
            if self._session is None or not self._session.fits(self._api_client):
                try:
                    self._session = Session(self._api_client, self._keys)
                    self._keys = self._session.keys
                except (OSError, ValueError) as error:
                    if find_interruption(error) is not None:
                        raise
                    # A certificate file that is not there or is none; a proxy's URL.
                    raise unusable(f"cannot be set up: {error}", request, operation) from error
            return self._session


_UNUSABLE = HTTPError, HTTPException, OpenApiException, OSError, JSONDecodeError
_NETWORK_ERRORS = *_UNUSABLE, ValueError


class _Guard:
    """Bounds one exchange, and makes our errors of what is raised in it."""

    def __init__(self, request: Request, operation: Operation, idle_seconds: float) -> None:
        operation.check()
        self.request = request
        self.operation = operation
        self.exchange = Exchange(
            operation.timeout, idle_seconds, confidential=request.kind is SECRET
        )
        self.response: Any = None
        self.keep = False
        self.host = "the server"
        self.is_ours = True

    def __enter__(self) -> _Guard:
        self._token = current_exchange.set(self.exchange)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        current_exchange.reset(self._token)
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
            interruption = find_interruption(error)
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
        silent = any(isinstance(found, IdleError) for found in causal_chain(error))
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


def _describe(error: BaseException) -> str:
    """What went wrong, in the fewest words that say it."""
    if isinstance(error, ProtocolError) and len(error.args) > 1:
        # ('Connection aborted.', ConnectionResetError(104, '…'))
        return f"{str(error.args[0]).rstrip('.')}: {error.args[1]}"
    return str(error) or type(error).__name__


def _is_final(error: BaseException) -> bool:
    """Whether a certificate does not fit, theirs or ours, or the address is none."""
    for found in causal_chain(error):
        # urllib3 itself compares where assert_hostname is set.
        if isinstance(found, (ssl.SSLCertVerificationError, CertificateError, LocationValueError)):
            return True
        # Only what OpenSSL itself says has a reason.
        reason = str(getattr(found, "reason", None))
        if isinstance(found, ssl.SSLError) and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
            return True
    return False

"""One attempt of a request on the wire, and our error of what goes wrong in it.

This is the one place that catches what urllib3 and the standard library raise.
"""

from __future__ import annotations

import re
import ssl
from http.client import HTTPException
from json import JSONDecodeError
from time import monotonic
from typing import TYPE_CHECKING, Any

from kubernetes.client.exceptions import OpenApiException
from urllib3.exceptions import HTTPError, LocationValueError
from urllib3.util.ssl_match_hostname import CertificateError

from lab_storage._api.answer import SilenceError, TransientError
from lab_storage._api.request import Request
from lab_storage._manifests.sealed import forget_locals
from lab_storage._transport.exchange import (
    Exchange,
    ExchangeOverError,
    IdleError,
    current_exchange,
)
from lab_storage._transport.interruptions import causal_chain, find_interruption
from lab_storage.exceptions import LabStorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab_storage._api.call import Call
    from lab_storage._transport.session import Session

_UNUSABLE = HTTPError, HTTPException, OpenApiException, OSError, JSONDecodeError
_NETWORK_ERRORS = *_UNUSABLE, ValueError
# http.client's text of an answer to CONNECT. 408 and 429 pass.
_REFUSED_BY_PROXY = re.compile(r"Tunnel connection failed: 4(?!08|29)\d\d")


class RequestExchange(Exchange):
    """The exchange of a request: a context in which its answer is awaited and read.

    Attributes
    ----------
    response
        urllib3's, as soon as its headers are there.
    session
        What it was sent by, once that is known.
    stays_open
        Whether the body is read after the context has been left, by a `Stream`.
    attempt
        Which attempt of the request is being sent, counted from 1; 0 if none is, or if the
        observer knows of it already.
    while_quiet
        Called while nothing comes.
    """

    __slots__ = (
        "_call",
        "_request",
        "_started_at",
        "_token",
        "attempt",
        "response",
        "session",
        "stays_open",
        "while_quiet",
    )

    def __init__(self, request: Request, call: Call, idle_seconds: float) -> None:
        call.check()
        super().__init__(call.timeout, idle_seconds, confidential=request.kind.confidential)
        self._request = request
        self._call = call
        self.response: Any = None
        self.session: Session | None = None
        self.stays_open = False
        self.attempt = 0
        self.while_quiet: Callable[[], None] | None = None

    def __enter__(self) -> RequestExchange:
        self._token = current_exchange.set(self)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        current_exchange.reset(self._token)
        if error is not None:
            self.end(broken=True)
            self.translate(error)
        elif not self.stays_open:
            self.end(broken=False)

    def start(self) -> None:
        """Note that the request is being sent now."""
        if self._call.client.observer is not None:
            self._started_at = monotonic()
            self.attempt = self._call.count(self._request)

    def on_sent(self) -> None:
        """Do what the call has to do meanwhile."""
        self._call.do_meanwhile()

    def on_quiet(self) -> None:
        """Do what there is to do while nothing comes."""
        if self.while_quiet is not None:
            self.while_quiet()

    def end(self, *, broken: bool) -> None:
        """Let go of the connection, which nobody may use again if it is broken."""
        self.close(broken=broken)
        if broken and self.response is not None:
            self.response.close()
        if self.attempt:
            attempt, self.attempt = self.attempt, 0
            self._call.observe(
                self._request,
                status=None if self.response is None else self.response.status,
                attempt=attempt,
                seconds=monotonic() - self._started_at,
            )

    def translate(self, error: BaseException) -> None:
        """Raise what ``error`` means; return if it is not the network's."""
        if isinstance(error, LabStorageError) or not isinstance(error, _NETWORK_ERRORS):
            return
        session = self.session
        if session is None or session.is_ours:
            interruption = find_interruption(error)
            if interruption is error:
                return
            if interruption is not None:
                raise interruption
        call, request = self._call, self._request
        over = call.over(self._missing(error))
        if over is not None:
            raise over from over.__cause__
        # Before there is an answer, only what is sent can be wrong.
        is_wrong_request = self.response is None and not isinstance(error, _UNUSABLE)
        if is_wrong_request and (type(error) is ValueError or isinstance(error, UnicodeError)):
            # http.client shows the header that it refuses: a token may be in it.
            raise call.no_answer(request, "a header of the request cannot be sent") from None
        # Errors of HTTP quote what they could not read: a Secret's bytes may be in that.
        text = type(error).__name__ if request.kind.confidential else _describe(error)
        # Local variables in other libraries' frames are tokens and bodies.
        forget_locals(error)
        cause = None if request.kind.confidential else error
        is_news = _is_about_certificates(error) and call.client.renew_files(session)
        if is_wrong_request or (_is_final(error) and not is_news):
            raise call.no_answer(request, text) from cause
        is_idle = any(isinstance(found, IdleError) for found in causal_chain(error))
        raise (SilenceError if is_idle else TransientError)(text) from cause

    def _missing(self, error: BaseException) -> str | None:
        """What has not happened, if it is too late now."""
        for found in causal_chain(error):
            if isinstance(found, ExchangeOverError) and found.waiting_for is not None:
                return f"waiting for {found.waiting_for}"
        if self.stays_open:
            return None
        # While headers are awaited, the deadline says who has not answered.
        host = "the server" if self.session is None else self.session.host
        return f"no answer from {host} to {self._request}"


def _describe(error: BaseException) -> str:
    """What went wrong, in the fewest words that say it.

    urllib3's errors have connections and pools among their arguments, or in front of their
    texts, and other errors behind: ``('Connection aborted.', ConnectionResetError(104, '…'))``.
    """
    if not isinstance(error, HTTPError):
        return str(error) or type(error).__name__
    texts = [
        _describe(each) if isinstance(each, BaseException) else each.rstrip(".")
        for each in error.args
        if isinstance(each, (str, BaseException))
    ]
    text = ": ".join(filter(None, texts))
    for owner in ("conn", "pool"):
        text = text.removeprefix(f"{vars(error).get(owner)}: ")
    return text or type(error).__name__


def _is_final(error: BaseException) -> bool:
    """Whether a certificate does not fit, the address is not one, or a proxy refuses."""
    return _is_about_certificates(error) or any(
        isinstance(found, LocationValueError) or _REFUSED_BY_PROXY.match(str(found))
        for found in causal_chain(error)
    )


def _is_about_certificates(error: BaseException) -> bool:
    """Whether a certificate does not fit, theirs or ours."""
    for found in causal_chain(error):
        # urllib3 itself compares where assert_hostname is set.
        if isinstance(found, (ssl.SSLCertVerificationError, CertificateError)):
            return True
        # Only what OpenSSL itself says has a reason.
        reason = str(getattr(found, "reason", None))
        if isinstance(found, ssl.SSLError) and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
            return True
    return False

"""The one door to the API server: everything that is sent goes through `Client`.

It makes one HTTP request a call. What is tried again is for `lab_storage._api.retry` to decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lab_storage._api.answer import Answer
from lab_storage._api.exchange import RequestExchange
from lab_storage._api.request import Request
from lab_storage._api.server_warnings import ServerWarnings
from lab_storage._api.stream import Stream
from lab_storage._transport.body import read_body
from lab_storage._transport.connections import Connections
from lab_storage._transport.credentials import CredentialsError
from lab_storage._transport.interruptions import find_interruption
from lab_storage._transport.session import Session

if TYPE_CHECKING:
    from lab_storage._api.call import Call
    from lab_storage.models import RequestRecord

# A request that hears nothing for so long is given up and made again: a load
# balancer may have forgotten the connection without telling. The API server
# itself ends a request after a minute (kube-apiserver's --request-timeout).
IDLE_SECONDS = 60.0


class Client:
    """A client of our own, made from the caller's and never changing it.

    It takes over the caller's configuration (host with its path prefix, TLS,
    credentials, ``refresh_api_key_hook``), pool manager (proxy, TLS), default headers and
    cookie. The connections, the TLS context and the configuration that the hook
    is called with are its own. They are made at the first request, in a forked
    child anew, and anew when credentials are refused or files have changed.

    Safe to use from any thread.

    Attributes
    ----------
    observer
        Called with a `lab_storage.models.RequestRecord` after each HTTP request, or `None`.
    """

    def __init__(
        self, api_client: Any, observer: Callable[[RequestRecord], object] | None = None
    ) -> None:
        self._connections = Connections(api_client)
        self.observer = observer
        self.warnings = ServerWarnings()

    def close(self) -> None:
        """Close the connections that are not in use; the next request opens new ones."""
        self._connections.close()

    def renew(self, origin: object) -> None:
        """Ask for credentials anew, unless it has happened since ``origin`` was answered."""
        self._connections.renew(origin)

    def renew_files(self, origin: object) -> bool:
        """Read the files of certificates once more; whether another attempt is worth making."""
        return self._connections.renew_files(origin)

    def send(self, request: Request, call: Call) -> Answer:
        """Make one request and read the answer to its end. Blocks.

        Raises
        ------
        TransientError
            If no answer came, or none that was whole.
        KubernetesError
            If there is no use in trying again.
        OperationCancelledError, OperationTimeoutError
            If the call is over.
        """
        with RequestExchange(request, call, call.idle_seconds or IDLE_SECONDS) as exchange:
            return self._read(exchange, self._ask(exchange, request, call), call)

    def open(self, request: Request, call: Call) -> Answer | Stream:
        """Make one request and leave a successful answer's body to be read as it comes.

        Raises as `send` does, until the headers are there; a refusal is read to
        its end.
        """
        with RequestExchange(request, call, call.idle_seconds or IDLE_SECONDS) as exchange:
            session = self._ask(exchange, request, call)
            if not 200 <= exchange.response.status <= 299:
                return self._read(exchange, session, call)
            exchange.stays_open = True
            return Stream(exchange)

    def _ask(self, exchange: RequestExchange, request: Request, call: Call) -> Session:
        """Send a request, and await the headers of its answer."""
        try:
            credentials = self._connections.credentials(exchange)
        except CredentialsError as error:
            raise call.no_answer(request, str(error)) from error.__cause__
        exchange.session = session = self._session(request, call)
        exchange.start()
        exchange.response = session.request(
            request.method,
            request.url,
            accept=request.accept,
            body=request.body,
            credentials=credentials,
            seconds=min(call.left(), call.idle_seconds or IDLE_SECONDS),
        )
        return session

    @staticmethod
    def _read(exchange: RequestExchange, session: Session, call: Call) -> Answer:
        response = exchange.response
        # Behind a balancer, the connection leads to the server that failed.
        exchange.keeps_connection = response.status < 500
        body = read_body(response, exchange) if session.is_ours else response.data
        return Answer(response.status, response.headers, body, session, call.check)

    def _session(self, request: Request, call: Call) -> Session:
        try:
            return self._connections.session()
        except (OSError, ValueError) as error:
            if find_interruption(error) is not None:
                raise
            # A certificate file that is missing or unreadable; a proxy's URL.
            raise call.no_answer(request, f"cannot be set up: {error}") from error

"""Playing back what an API server has said."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Any, cast
from urllib.parse import urlsplit

import requests
import responses
from requests.adapters import HTTPAdapter
from responses.registries import FirstMatchRegistry

from .exchanges import Exchange, Request, Response
from .files import load
from .managers import Bindings
from .steady import steady
from .substitute import Substitute, encoded


class UnexpectedRequestError(AssertionError):
    """A request has no answer in the recording, or no further one."""


class UnusedResponsesError(AssertionError):
    """Some recorded answers were never asked for."""


class Player(Substitute):
    """Answers a client's requests from a recording.

    A context manager. While it is entered, nothing of the client goes to the
    network. It is strict: each recorded answer is given as often as it was recorded, to
    the same request (method, URL, body, and the form that is asked for), the
    answers to one request in their order. Between different requests there is no order,
    since some run side by side. A ``fieldManager`` that is unique to an operation may be
    another one than was recorded.

    Parameters
    ----------
    api_client
        A client of the official library, of any version and with any host. It must not be
        in use when the player is entered or left.
    path
        The recording.

    Attributes
    ----------
    api_client
        The client.
    responses
        The `responses.RequestsMock` that answers. More may be added to it, such as a refusal
        that was not recorded; like those in the file it is used once. Its URLs begin with the
        client's host.

    Raises
    ------
    UnexpectedRequestError
        Raised to whatever makes a request that was not recorded.
    UnusedResponsesError
        When it is left without an exception, if an answer was not asked for.
    ValueError
        When it is entered, if the file is not a recording.

    Notes
    -----
    A watch ends where the recording of it does. Whoever asks for more than was
    recorded makes an unexpected request.
    """

    def __enter__(self) -> Player:
        # From 36 on a client without a host has an empty one.
        host = str(self.api_client.configuration.host).rstrip("/") or "http://localhost"
        exchanges = load(self.path)
        mock = responses.RequestsMock(registry=_Once)
        self._take_place(_PlayingPool(mock, host))
        self.responses = mock
        self._registry = cast("_Once", mock.get_registry())
        self._registry.file, self._registry.host = self.path.name, host
        for exchange in exchanges:
            mock.add(_Recorded(exchange, host, self._registry.bindings))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give_back()
        if kind is not None:
            return
        for unexpected in self._registry.unexpected:
            # Somebody has caught it, or the thread that it was raised in has ended.
            raise unexpected
        left = self._registry.registered
        if left:
            raise UnusedResponsesError(
                f"{self.path.name} has answers that were never asked for:\n{_listed(left)}"
            )


class _PlayingPool:
    """What a client sees of a player."""

    def __init__(self, mock: responses.RequestsMock, host: str) -> None:
        self._adapter = _Adapter(mock)
        self._host = host

    def request(self, method: str, url: str, **options: Any) -> Any:
        """Answer a request, as `urllib3.PoolManager.request` does."""
        url, body, headers = encoded(method, url, options)
        asked = Request.sent(method, url, self._host, headers, body)
        prepared = requests.Request(method, self._host + asked.url, headers, data=body).prepare()
        return self._adapter.send(prepared, stream=True).raw

    def clear(self) -> None:
        """Do nothing: there are no connections to close."""


class _Adapter(HTTPAdapter):
    """Has `responses` answer only what is sent through this adapter."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        super().__init__()
        self._answer = mock.unbound_on_send()

    def send(self, request: Any, *arguments: Any, **options: Any) -> Any:
        """Answer."""
        return self._answer(self, request, *arguments, **options)


class _Once(FirstMatchRegistry):
    """Gives each answer once, those to the same request in order.

    What was not recorded is an error of its own, in place of a connection that is
    refused, which might well be tried again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.file = self.host = ""
        self.unexpected: list[UnexpectedRequestError] = []
        self.bindings = Bindings()
        self._lock = threading.Lock()

    def find(self, request: Any) -> tuple[Any, list[str]]:
        """Find the answer, and forget it."""
        with self._lock:
            for place, response in enumerate(self.registered):
                if response.matches(request)[0]:
                    if isinstance(response, _Recorded):
                        response.bind(request)
                    return self.registered.pop(place), []
        asked = _forms(request, self.host)
        why = self._why(asked)
        error = UnexpectedRequestError(f"{self.file} has no answer to {asked[0]}: {why}")
        self.unexpected.append(error)
        raise error

    def _why(self, asked: list[Request]) -> str:
        for left in self.registered:
            recorded = left.exchange.request if isinstance(left, _Recorded) else None
            if recorded is not None and str(recorded) == str(asked[0]):
                places = min((_differences(recorded.body, each.body) for each in asked), key=len)
                return f"the body is not the recorded one, by {', '.join(places)}"
        if not self.registered:
            return "all answers have been given"
        return f"what is left is\n{_listed(self.registered)}"


class _Recorded(responses.Response):
    """An answer of the recording, to one request."""

    def __init__(self, exchange: Exchange, host: str, bindings: Bindings) -> None:
        self.exchange = exchange
        self._host = host
        self._bindings = bindings
        request, response = exchange.request, exchange.response or Response(500)
        headers = {k: v for k, v in response.headers.items() if k.lower() != "content-type"}

        def is_asked(prepared: Any) -> tuple[bool, str]:
            forms = _forms(prepared, host)
            return any(bindings.fits(request, each) for each in forms), "another request"

        super().__init__(
            request.method,
            host + urlsplit(request.url).path,
            body=response.content,
            status=response.status,
            headers=headers,
            content_type=response.headers.get("Content-Type"),
            match=[is_asked],
        )

    def bind(self, prepared: Any) -> None:
        """Be the answer to this request: say its field manager in place of the recorded one."""
        self._bindings.bind(self.exchange.request, _forms(prepared, self._host)[0])
        if self.exchange.response is not None:
            self.body = self._bindings.told(self.exchange.response.content)


def _forms(prepared: Any, host: str) -> list[Request]:
    """A request as it would be recorded, with and without the values of Secrets."""
    asked = Request.sent(prepared.method, prepared.url, host, prepared.headers, prepared.body)
    return [steady(Exchange(asked), keep_secrets=keep).request for keep in (True, False)]


def _listed(left: list[Any]) -> str:
    """What is left, each request once and with how often."""
    counted = Counter(
        str(each.exchange.request) if isinstance(each, _Recorded) else f"{each.method} {each.url}"
        for each in left
    )
    return "\n".join(f"  {count}x {text}" for text, count in counted.items())


def _differences(recorded: Any, sent: Any, path: str = "") -> list[str]:
    """Where two bodies differ, without what is there: it may be a Secret's."""
    if isinstance(recorded, dict) and isinstance(sent, dict):
        return [
            place
            for key in sorted({*recorded, *sent})
            for place in _differences(
                recorded.get(key), sent.get(key), f"{path}.{key}" if path else str(key)
            )
        ]
    if isinstance(recorded, list) and isinstance(sent, list) and len(recorded) == len(sent):
        return [
            place
            for number, (one, other) in enumerate(zip(recorded, sent, strict=True))
            for place in _differences(one, other, f"{path}[{number}]")
        ]
    return [] if recorded == sent else [path.removeprefix("json.") or "all of it"]

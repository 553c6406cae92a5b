"""Recording what an API server says."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from os import PathLike
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import urllib3

from .exchanges import Exchange, Request, Response, body_of, kept, line_of
from .files import save
from .scrubbing import scrubbed
from .substitute import Substitute, encoded

_SEGMENT_BYTES = 1 << 16


class Recorder(Substitute):
    """Writes down what an API server says to a client.

    A context manager. While it is entered, the client's requests go to the server as
    before. When it is left without an exception, the file is written.

    The file is made so that a second recording differs from the first only where the
    server does, and so that it can be shown to others:

    - The client's credentials, tokens, certificates and the server's address are
      replaced. Headers of requests are not recorded, but for the media types that
      are asked for; of an answer's headers ``Content-Type``, ``Location``, ``Retry-After``
      and ``Warning`` are.
    - The values of Secrets are replaced, unless they are to be kept.
    - UIDs, IP addresses and names that a server makes up are replaced by others of
      the same form, resource versions by small numbers that are in the same order. What
      the client said first is its own and stays.
    - All times are the same, and so are the ages in tables.
    - ``timeoutSeconds`` is left out. So does a player, and it may differ.
    - What makes a ``fieldManager`` unique, as that of ``LabStorage.create`` is, is
      numbered.
    - What was asked stands in the order of its URLs, and what was answered to the same
      request in the order in which that happened.

    Parameters
    ----------
    api_client
        The client of the official library. It must not be in use when the recorder is
        entered or left.
    path
        The file. Its folder is created if it does not exist.
    keep_secrets
        Whether the values of Secrets are recorded: only for those that are made up.

    Notes
    -----
    A watch is recorded as far as it is read, line by line, and is over there when it is
    played.
    """

    def __init__(
        self, api_client: Any, path: str | PathLike[str], *, keep_secrets: bool = False
    ) -> None:
        super().__init__(api_client, path)
        self._keep_secrets = keep_secrets

    def __enter__(self) -> Recorder:
        self._take_place(_RecordingPool(self))
        self._exchanges: list[Exchange] = []
        self._credentials: set[str] = set()
        self._lock = threading.Lock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give_back()
        if kind is None:
            with self._lock:
                exchanges = list(self._exchanges)
            save(
                self.path,
                scrubbed(
                    exchanges,
                    host=self._host,
                    credentials=sorted(self._credentials),
                    keep_secrets=self._keep_secrets,
                ),
            )

    @property
    def _host(self) -> str:
        return str(self.api_client.configuration.host)

    def _send(self, method: str, url: str, options: dict[str, Any]) -> Any:
        headers = options.get("headers") or {}
        options["preload_content"] = False
        full_url, body, _ = encoded(method, url, options)
        exchange = Exchange(Request.sent(method, full_url, self._host, headers, body))
        with self._lock:
            self._exchanges.append(exchange)
            self._credentials |= set(_credentials(headers))
        answer = self._pool_manager.request(method, url, **options)
        response = Response(answer.status, kept(answer.headers))
        if _is_stream(full_url) and answer.status == 200:
            lines: list[Any] = []
            response.body["lines"] = lines
            exchange.response = response
            return _RecordedStream(answer, lines)
        content = answer.data
        response.body = body_of(content)
        exchange.response = response
        return _answer(answer, content)


class _RecordingPool:
    """What a client sees of a recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def request(self, method: str, url: str, **options: Any) -> Any:
        """Send a request on, as `urllib3.PoolManager.request` does."""
        return self._recorder._send(method, url, options)

    def clear(self) -> None:
        """Close the connections, as a client that is closed asks for."""
        self._recorder._pool_manager.clear()


class _RecordedStream:
    """An answer that is written down as it is read, a line at a time.

    One line is read as often as one is asked for, so that a recording ends where its
    reader did and not where a segment happened to end.
    """

    chunked = True

    def __init__(self, answer: Any, lines: list[Any]) -> None:
        self._answer = answer
        self._lines = lines
        self._unread = self._read_lines()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._answer, name)

    def _read_lines(self) -> Iterator[bytes]:
        rest = b""
        for segment in self._segments():
            *whole, rest = (rest + segment).split(b"\n")
            for line in whole:
                yield self._noted(line + b"\n")
        if rest:
            yield self._noted(rest)

    def _segments(self) -> Iterator[bytes]:
        if self._answer.chunked:
            yield from self._answer.stream(None, decode_content=True)
            return
        # Not `stream`, which waits for the end.
        while segment := self._answer.read1(_SEGMENT_BYTES, decode_content=True):
            yield segment

    def _noted(self, line: bytes) -> bytes:
        self._lines.append(line_of(line))
        return line

    def stream(
        self, amt: int | None = None, decode_content: bool | None = None
    ) -> Iterator[bytes]:
        """Yield lines as they come."""
        del amt, decode_content
        return self._unread

    def read(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Read a line where an amount is given, else all that is left."""
        del decode_content
        return b"".join(self._unread) if amt is None else next(self._unread, b"")

    read1 = read

    @property
    def data(self) -> bytes:
        """All that is left."""
        return self.read()


def _is_stream(url: str) -> bool:
    """Whether the answer comes bit by bit: a watch, or a log that is followed."""
    query = dict(parse_qsl(urlsplit(url).query))
    return any(query.get(name) in ("1", "true", "True") for name in ("watch", "follow"))


def _answer(answer: Any, content: bytes) -> urllib3.HTTPResponse:
    """The same answer, to be read once more."""
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name.lower() not in ("content-encoding", "transfer-encoding")
    }
    return urllib3.HTTPResponse(
        body=io.BytesIO(content),
        headers=headers,
        status=answer.status,
        reason=answer.reason,
        preload_content=False,
    )


def _credentials(headers: dict[str, Any]) -> Iterator[str]:
    for name, value in headers.items():
        if name.lower() in ("authorization", "cookie"):
            yield str(value)
            yield str(value).partition(" ")[2]

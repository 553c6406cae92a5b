"""The body of a watch, read as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import NoReturn

from lab_storage._api.exchange import RequestExchange
from lab_storage._transport.body import (
    MOST_BYTES,
    BodyTooLargeError,
    arriving,
    decoded,
)


class Stream:
    """The body of a watch, line by line: what `kubernetes.watch.Watch` reads from.

    It can be closed from any thread, which ends a read that is blocked.
    """

    status = 200

    def __init__(self, exchange: RequestExchange) -> None:
        self._response = exchange.response
        self.headers = exchange.response.headers
        self._exchange = exchange
        self._closed = False

    @property
    def content_type(self) -> str:
        """What the server chose to send; empty if it does not say."""
        return self._response.headers.get("Content-Type") or ""

    def limit_silence(self, seconds: float) -> None:
        """End with a `SilenceError` after so long without a byte."""
        self._exchange.idle_seconds = seconds

    def heard(self) -> None:
        """Note that it said something of use: what else comes is silence, too, as of now.

        Something on the way may keep a dead connection alive, as by blank lines.
        """
        self.limit(self._exchange.idle_seconds)

    def limit(self, seconds: float) -> None:
        """End with a `SilenceError` so long from now, whatever comes."""
        self._exchange.ends_at = monotonic() + seconds

    def while_quiet(self, do: Callable[[], None]) -> None:
        """Have something done, in the thread that reads, again and again while nothing comes."""
        self._exchange.while_quiet = do

    def stream(self, amt: int | None = None, decode_content: bool = False) -> Iterator[bytes]:
        """Yield whole lines as they come, until the server ends the stream.

        The parameters are those of `urllib3.HTTPResponse.stream` and change
        nothing. One line at a time, because ``Watch`` copies what is left of a
        segment at each line of it.

        Raises
        ------
        TransientError
            If the stream is cut, cannot be read, or says nothing for too long.
        OperationCancelledError, OperationTimeoutError
            If the call is over.
        """
        del amt, decode_content
        # Not one growing line: a large one in small segments would be copied at each.
        begun: list[bytes] = []
        begun_bytes = 0
        for segment in self.segments():
            *ends, rest = segment.split(b"\n")
            for end in ends:
                line = b"".join((*begun, end, b"\n"))
                begun.clear()
                begun_bytes = 0
                if line.isspace():
                    # Something keeps the connection alive: nothing has been said.
                    self._exchange.on_quiet()
                yield line
            begun.append(rest)
            begun_bytes += len(rest)
            if begun_bytes > MOST_BYTES:
                self.give_up(BodyTooLargeError())

    def segments(self) -> Iterator[bytes]:
        """Yield the body in the pieces in which it comes; raises as `stream`."""
        segments = self._segments()
        while True:
            try:
                segment = next(segments, None)
            except BaseException as error:
                self.give_up(error)
            if segment is None:
                break
            yield segment
        self._closed = True
        self._exchange.end(broken=False)

    def give_up(self, error: BaseException) -> NoReturn:
        """Close the connection, and raise what an error in reading means."""
        self.close()
        self._exchange.translate(error)
        raise error

    def _segments(self) -> Iterator[bytes]:
        return decoded(arriving(self._response), self._response, self._exchange)

    def close(self) -> None:
        """Close the connection, unless the server has ended the stream."""
        if not self._closed:
            self._closed = True
            self._exchange.end(broken=True)

    def release_conn(self) -> None:
        """Nothing: a stream that has ended has given its connection back."""

"""Reading the body of an answer: in pieces, under its exchange's deadline, and not without end."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Generator, Iterable, Iterator
from http.client import HTTPException, IncompleteRead
from typing import Any, Final

from urllib3 import HTTPResponse
from urllib3.exceptions import DecodeError, HTTPError

from lab_storage._transport.exchange import Exchange

# How long a body may be, decompressed. A page of 500 pods has some 10 MB, and what a
# server stores as one object has 1.5 MB (etcd's --max-request-bytes).
MOST_BYTES = 32 << 20
PIECE_BYTES = 1 << 16
_LINE_END_BYTES: Final = 2
_LONGEST_LINE_BYTES: Final = 1 << 16
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;|\Z)")


class BodyTooLargeError(HTTPError):
    """The body is longer than anybody could want. Never reaches a caller."""

    def __init__(self) -> None:
        super().__init__(f"the answer is longer than {MOST_BYTES >> 20} MiB")


def read_body(response: Any, exchange: Exchange) -> bytes:
    """Read the body of urllib3's ``response`` to its end. Blocks, by the exchange's deadline.

    Raises
    ------
    BodyTooLargeError
        If it has more than `MOST_BYTES`, or says that it will.
    ExchangeOverError
        If it is not there by the deadline.
    HTTPError, OSError
        If it cannot be read.
    """
    length = response.length_remaining
    if length is not None and length > MOST_BYTES:
        raise BodyTooLargeError
    if length is not None and length <= PIECE_BYTES and "Content-Encoding" not in response.headers:
        # One piece, as nearly always. The sockets see to the deadline.
        return bytes(response.data)
    # Not a list of pieces: whatever prints the local variables of a traceback cannot look in.
    body = io.BytesIO()
    for piece in decoded(_pieces(response), response, exchange):
        body.write(piece)
        if body.tell() > MOST_BYTES:
            raise BodyTooLargeError
    return body.getvalue()


def _pieces(response: Any) -> Iterator[bytes]:
    while piece := response.read(PIECE_BYTES, decode_content=False):
        yield piece
        if response.length_remaining == 0:
            return


def arriving(response: Any) -> Generator[bytes, None, None]:
    """Yield the body of urllib3's ``response`` in the pieces in which it arrives. Blocks.

    Not urllib3's ``stream``: of a body in chunks, that keeps each back until the line that ends
    it has come, and an API server sends that on its own, at times milliseconds later.

    Raises
    ------
    HTTPException, HTTPError, OSError
        If it is cut, or is not in chunks as it claims.
    """
    if not getattr(response, "chunked", False):
        # Not `stream` either, which waits until a piece is full.
        while piece := response.read1(PIECE_BYTES, decode_content=False):
            yield piece
        return
    if type(response) is not HTTPResponse or not response.supports_chunked_reads():
        # Somebody stands in between, such as one who records what comes.
        yield from response.stream(PIECE_BYTES, decode_content=False)
        return
    original: Any = response._fp
    if (yield from _chunked(original.fp)):
        original.close()
        response.release_conn()
    else:
        response.close()


def _chunked(file: io.BufferedReader) -> Generator[bytes, None, bool]:
    """Yield what is in the chunks of a file (RFC 9112, section 7.1), and read to their end.

    Returns whether nothing has come behind that, which the next answer would be taken from.
    """
    # What is missing of a chunk, with the end of the line behind it; or the line that has begun.
    left, line = 0, b""
    is_last = False
    while data := file.read1(PIECE_BYTES):
        data, line, at = line + data, b"", 0
        while at < len(data):
            if left > _LINE_END_BYTES:
                to = min(at + left - _LINE_END_BYTES, len(data))
                yield data[at:to]
                left, at = left - (to - at), to
            elif left:
                left, at = left - 1, at + 1
            else:
                end = data.find(b"\r\n", at)
                if end < 0:
                    line = data[at:]
                    break
                if is_last:
                    # A trailer, or the empty line after all.
                    if end == at:
                        return len(data) == end + _LINE_END_BYTES
                else:
                    size = _chunk_size(data[at:end])
                    is_last = not size
                    left = size + _LINE_END_BYTES if size else 0
                at = end + _LINE_END_BYTES
        if len(line) > _LONGEST_LINE_BYTES:
            raise HTTPException("a line between chunks that is too long")
    raise IncompleteRead(b"")


def _chunk_size(line: bytes) -> int:
    # What follows a semicolon is an extension, which may be ignored.
    found = _CHUNK_SIZE.match(line)
    if found is None:
        raise HTTPException("a chunk without a size")
    return int(found[1], 16)


def decoded(pieces: Iterable[bytes], response: Any, exchange: Exchange) -> Iterator[bytes]:
    """Decompress the pieces of a body, each into pieces that are not much larger.

    API servers compress by gzip or not at all, and requests ask for neither (feature gate
    APIResponseCompression in
    https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/).

    Raises
    ------
    DecodeError
        If it is compressed by other means, or damaged.
    ExchangeOverError
        After the deadline, between two pieces.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in {"", "identity"}:
        # The socket sees to the deadline, before each piece.
        yield from pieces
    elif encoding in {"gzip", "x-gzip"}:
        for piece in _unzipped(pieces):
            exchange.seconds()
            yield piece
    else:
        raise DecodeError("the answer is compressed by other means than gzip")


def _unzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    # urllib3 before 2.6 decompresses a piece at once, to a thousand times its size.
    member = _Member()
    try:
        for piece in pieces:
            rest = piece
            while rest:
                if member.eof:
                    member = _Member()
                yield from member.read(rest)
                rest = member.unused
    except zlib.error as error:
        raise DecodeError("the compressed answer is damaged") from error
    if not member.eof:
        raise DecodeError("the compressed answer is not whole")


class _Member:
    """One member of a gzip file (RFC 1952, section 2.2), of which there may be several."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        """Whether it has been read to its end."""
        return self._zlib.eof

    @property
    def unused(self) -> bytes:
        """What comes after its end."""
        return self._zlib.unused_data

    def read(self, data: bytes) -> Iterator[bytes]:
        """Yield what ``data`` goes on with."""
        while data or not self.eof:
            piece = self._zlib.decompress(data, PIECE_BYTES)
            data = self._zlib.unconsumed_tail
            if not piece:
                return
            yield piece

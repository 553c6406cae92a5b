"""What a cancel may shut down, and what it may not."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab_storage._transport.exchange import Exchange, ExchangeOverError, IdleError
from lab_storage._transport.sockets import socket_classes
from tests.support.labs import timeout_of


@pytest.fixture
def pair() -> Iterator[tuple[Any, socket.socket]]:
    """A socket of the kind that is used, and the other end of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours: Any = socket_classes()[0]()
        ours.connect(listener.getsockname())
        theirs, _ = listener.accept()
        with ours, theirs:
            yield ours, theirs


def test_a_cancel_ends_a_read(pair: tuple[Any, socket.socket]) -> None:
    """The other end sees it too."""
    timeout = timeout_of(10)
    exchange = Exchange(timeout, 10)
    exchange.attach(pair[0])
    timeout.cancel()

    with pytest.raises(ExchangeOverError):
        pair[0].recv(1)
    assert b"" == pair[1].recv(1)


def test_a_cancel_before_is_made_up_for(pair: tuple[Any, socket.socket]) -> None:
    """Whoever attaches too late is cut at once."""
    timeout = timeout_of(10)
    exchange = Exchange(timeout, 10)
    timeout.cancel()
    exchange.attach(pair[0])

    assert b"" == pair[1].recv(1)


@pytest.mark.parametrize("leave", [Exchange.detach, Exchange.close])
def test_a_cancel_after_does_no_harm(
    leave: Callable[[Exchange], None], pair: tuple[Any, socket.socket]
) -> None:
    """By then the socket is another's."""
    timeout = timeout_of(10)
    exchange = Exchange(timeout, 10)
    exchange.attach(pair[0])
    leave(exchange)
    timeout.cancel()
    pair[0].sendall(b"x")

    assert b"x" == pair[1].recv(1)


def test_a_number_that_was_given_away_is_not_shut_down(pair: tuple[Any, socket.socket]) -> None:
    """As to the TLS socket that took it over."""
    timeout = timeout_of(10)
    exchange = Exchange(timeout, 10)
    exchange.attach(pair[0])
    with socket.socket(fileno=pair[0].detach()) as heir:
        timeout.cancel()
        heir.sendall(b"x")

        assert b"x" == pair[1].recv(1)


def test_silence_is_limited(pair: tuple[Any, socket.socket]) -> None:
    """Long before the deadline."""
    exchange = Exchange(timeout_of(10), 0.05)
    exchange.attach(pair[0])

    with pytest.raises(IdleError, match=r"nothing heard for 0\.05 s"):
        pair[0].recv(1)


def test_a_socket_without_one_is_like_any_other(pair: tuple[Any, socket.socket]) -> None:
    """Its own timeout counts."""
    pair[0].settimeout(0.01)

    with pytest.raises(TimeoutError, match="timed out"):
        pair[0].recv(1)
    pair[0].sendall(b"x")
    pair[1].sendall(b"y")
    assert (b"y", b"x") == (pair[0].recv(1), pair[1].recv(1))

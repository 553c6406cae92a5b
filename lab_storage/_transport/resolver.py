"""Looking names up, in threads that the caller can leave.

The C library offers nothing to interrupt that, so it cannot be bounded as other operations are.
"""

from __future__ import annotations

import socket
from typing import Any

from lab_storage._transport.background import Background
from lab_storage._transport.exchange import Exchange, ExchangeOverError
from lab_storage._transport.interruptions import find_interruption

# A name that nobody answers for keeps a thread for as long as the C library waits; those that
# ask for it meanwhile wait for the same look-up. So this bounds the names, not the callers.
MOST_LOOKUPS = 16

_background = Background("lab_storage-resolver", MOST_LOOKUPS)


def look_up(host: str, port: int, exchange: Exchange) -> list[Any]:
    """Give the addresses of a name, as `socket.getaddrinfo` does.

    Blocks until they are there, or the exchange is over.

    Raises
    ------
    socket.gaierror
        If there are none.
    ExchangeOverError, IdleError
        If the exchange is over.
    """
    try:
        run = _background.run(
            (host, port),
            lambda: socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM),
            exchange,
            exchange.idle_seconds,
        )
    except ExchangeOverError as over:
        over.waiting_for = f"the name {host} to be looked up"
        raise
    error = run.error
    if isinstance(error, (OSError, ValueError)):
        if run.is_inline and find_interruption(error) is not None:
            raise error
        # An exception that several threads have must not be raised itself. The ValueError is a
        # UnicodeError of a name with an empty label.
        reason = error.args if isinstance(error, OSError) else (socket.EAI_NONAME, str(error))
        raise socket.gaierror(*reason)
    return run.result()

"""Whose exception is it: the network's, or one that somebody raised into the call."""

from __future__ import annotations

import re
from collections.abc import Iterator


def find_interruption(error: BaseException) -> BaseException | None:
    """Find the exception that somebody's signal handler raised, in ``error`` or behind it.

    A time limit may well be a `TimeoutError` raised by a handler of SIGALRM.
    urllib3 takes it for the socket's and wraps it. It is recognised by where it comes
    from: an error of a class, or raised in a function, of neither the standard
    library, nor urllib3, nor this package is not about our socket. Nor is one without
    arguments: ``PyThreadState_SetAsyncExc`` makes such. Nor is one that comes out of the switch
    to another greenlet, as what is thrown into a greenlet does, unless its words are those of
    gevent or eventlet at the timeout of a socket.
    """
    return next((found for found in causal_chain(error) if _is_interruption(found)), None)


def _is_interruption(error: BaseException) -> bool:
    trace = error.__traceback__
    if not isinstance(error, (OSError, ValueError)):
        return False  # nobody takes it for the network's
    if trace is None or not _is_of_network(trace.tb_frame.f_globals.get("__name__")):
        # It had left this package before the call began, in whose handling it was made.
        return False
    if type(error).__module__ != "builtins":
        # urllib3 wraps it, and gives the wrapper the trace of what is in it.
        return not _is_of_network(type(error).__module__)
    while trace.tb_next is not None:
        trace = trace.tb_next
    module = str(trace.tb_frame.f_globals.get("__name__"))
    if not _is_of_network(module) or (isinstance(error, OSError) and not error.args):
        return True
    return _SWITCH.match(module) is not None and _is_thrown(error)


def _is_thrown(error: BaseException) -> bool:
    return not (isinstance(error, TimeoutError) and error.args[0] in _TIMEOUTS_OF_GREENLETS)


def _is_of_network(module: object) -> bool:
    return str(module).partition(".")[0] in _NETWORK_MODULES


def causal_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what is behind it: its cause or context, theirs, and so on."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


# Where greenlets are switched: the function itself is compiled, or belongs to no module.
_SWITCH = re.compile(r"gevent\..*greenlet_primitives|eventlet\.hubs\.")
# In gevent/_socketcommon.py and gevent/ssl.py; eventlet has the first alone.
_TIMEOUTS_OF_GREENLETS = (
    "timed out",
    "The read operation timed out",
    "The write operation timed out",
    "The handshake operation timed out",
)
_NETWORK_MODULES = {
    "_socket", "_ssl", "contextlib", "encodings", "eventlet", "gevent", "http", "idna", "io",
    "json", "kubernetes", "lab_storage", "selectors", "socket", "socks", "ssl", "urllib3",
}  # fmt: skip

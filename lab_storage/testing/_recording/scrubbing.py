"""What a recording must not show, and what would differ at each recording.

Four passes, each a function of the one before:

1. `steady` looks at one value at a time. Credentials, certificates, the values of
   Secrets and the server's address go; times and ages become fixed ones; what has
   no order of its own is sorted. A player does the same to what is sent to it.
2. `numbered` counts the field managers that are unique to an operation.
3. `renumbered` counts resource versions anew.
4. `renamed` gives what a server makes up (UIDs, addresses, generated names) values
   of the same form, numbered in the order in which they stand in the file.

The order of the file is that of what was asked, not of when: requests that run
side by side are answered in another order each time. What one request was
answered at several times stays in that order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from .exchanges import Exchange
from .made_up import MADE_UP, renamed
from .managers import numbered
from .steady import TOKEN, steady
from .urls import parts
from .versions import RESOURCE_VERSION, renumbered

HOST = "kubernetes.invalid"  # RFC 2606: a name that never resolves
# Shorter ones are in half of all words.
_SHORTEST_CREDENTIAL = 4
_VERSION_IN_JSON = re.compile(r'"resourceVersion": "\d+"')


def scrubbed(
    exchanges: Sequence[Exchange],
    *,
    host: str = "",
    credentials: Collection[str] = (),
    keep_secrets: bool = False,
) -> list[Exchange]:
    """Make a recording of what was recorded, in the order of its file.

    Parameters
    ----------
    exchanges
        What was asked and answered, in the order of the asking. Left unchanged.
    host
        The address of the API server.
    credentials
        What must show nowhere.
    keep_secrets
        Whether the values of Secrets stay.
    """
    done = [each for each in exchanges if each.response is not None]
    hidden = {each: TOKEN for each in credentials if len(each) >= _SHORTEST_CREDENTIAL}
    address = urlsplit(host).netloc
    if address:
        hidden[address] = HOST
    steadied = numbered([steady(each, hidden=hidden, keep_secrets=keep_secrets) for each in done])
    return renamed(renumbered(sorted(steadied, key=_place), asked=steadied), asked=steadied)


def _place(exchange: Exchange) -> tuple[str, ...]:
    """Where an exchange stands in the file: by what is the same at each recording."""
    request = exchange.request
    path, query = parts(request.url)
    asked = [value for name, value in query if name not in (RESOURCE_VERSION, "continue")]
    kind = "watch" if ("watch", "true") in query else request.method
    body = _VERSION_IN_JSON.sub("", json.dumps(request.body))
    said = path, kind, str(asked), str(request.headers), body
    return tuple(MADE_UP.sub("*", text) for text in said)

"""The fourth pass: what a server makes up."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs

from .exchanges import Exchange, Request, Response
from .urls import joined, parts
from .values import dicts, texts

MADE_UP = re.compile(
    r"""
    (?P<uid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)
    | (?P<ipv4>(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\w))
    | (?P<ipv6>(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:.]*\w))
    # An event is named by the time of its writing.
    | (?P<event>(?<=\.)[0-9a-f]{16}\b)
    | (?P<volume>(?<=\bkube-api-access-)[a-z0-9]{5}\b)
    | (?P<container>(?<=://)[0-9a-f]{64}\b)
    """,
    re.VERBOSE,
)
_FORMS: dict[str, Callable[[int], str]] = {
    "uid": lambda number: f"00000000-0000-4000-8000-{number:012d}",  # RFC 9562: version 4
    # For documentation: RFC 5737 and RFC 3849.
    "ipv4": lambda number: str(ipaddress.IPv4Address("192.0.2.0") + number),
    "ipv6": lambda number: str(ipaddress.IPv6Address("2001:db8::") + number),
    "event": lambda number: f"{number:016x}",
    "volume": lambda number: f"{number:05d}",
    "container": lambda number: f"{number:064x}",
    "name": lambda number: f"{number:05d}",
    "continue": lambda number: f"continue-{number}",
}


def renamed(exchanges: list[Exchange], asked: list[Exchange]) -> list[Exchange]:
    """Give made-up values others of the same form.

    What a client sent before any answer contained it is its own and stays, such as a
    network policy's addresses.
    """
    own = _own_values(asked)
    generated = _generated(asked)
    names: dict[str, str] = {value: value for value in own}
    numbers: Counter[str] = Counter()

    def rename(found: re.Match[str]) -> str:
        value = found[0]
        if value not in names:
            form, prefix = _form(found, generated)
            if form is None:
                return value
            numbers[form] += 1
            names[value] = prefix + _FORMS[form](numbers[form])
        return names[value]

    # The longest first, so that a name is not taken for the beginning of itself.
    literals = sorted(map(re.escape, generated), key=len, reverse=True)
    literal = rf"(?<![\w-])(?:{'|'.join(literals)})(?![\w-])|" if literals else ""
    pattern = re.compile(literal + MADE_UP.pattern, re.VERBOSE)
    return [_mapped(each, lambda text: pattern.sub(rename, text)) for each in exchanges]


def _form(found: re.Match[str], generated: dict[str, tuple[str, str]]) -> tuple[str | None, str]:
    form = found.lastgroup
    if form is None:
        return generated[found[0]]
    if form in ("ipv4", "ipv6"):
        try:
            address = ipaddress.ip_address(found[0])
        except ValueError:
            return None, ""
        if address.is_loopback or address.is_unspecified:
            return None, ""
    return form, ""


def _generated(exchanges: list[Exchange]) -> dict[str, tuple[str, str]]:
    """Names that were asked for by ``generateName``, and lists' tokens to go on by."""
    found: dict[str, tuple[str, str]] = {}
    for exchange in exchanges:
        for value in dicts([exchange.response.body if exchange.response else {}]):
            metadata = value.get("metadata")
            if not isinstance(metadata, dict):
                continue
            prefix, name = metadata.get("generateName"), metadata.get("name")
            if isinstance(prefix, str) and isinstance(name, str) and name.startswith(prefix):
                found[name] = "name", prefix
            token = metadata.get("continue")
            if isinstance(token, str) and token:
                found[token] = "continue", ""
    return found


def _own_values(asked: list[Exchange]) -> set[str]:
    answered: set[str] = set()
    own: set[str] = set()
    for exchange in asked:
        own |= {value for value in _found(exchange.request) if value not in answered}
        answered |= _found(exchange.response)
    return own


def _found(message: Request | Response | None) -> set[str]:
    content = attrs.asdict(message) if message is not None else {}
    content["url"] = [*parts(content.get("url", ""))[1]]
    return {found[0] for text in texts(content) for found in MADE_UP.finditer(text)}


def _mapped(exchange: Exchange, rename: Callable[[str], str]) -> Exchange:
    def value(content: Any) -> Any:
        if isinstance(content, str):
            return rename(content)
        if isinstance(content, list):
            return [value(item) for item in content]
        if isinstance(content, dict):
            return {rename(key): value(item) for key, item in content.items()}
        return content

    request, response = exchange.request, exchange.response
    path, query = parts(request.url)
    url = joined(rename(path), [(name, rename(text)) for name, text in query])
    request = attrs.evolve(request, url=url, body=value(request.body))
    if response is not None:
        headers = {name: rename(text) for name, text in response.headers.items()}
        response = attrs.evolve(response, headers=headers, body=value(response.body))
    return Exchange(request, response)

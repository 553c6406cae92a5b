"""Names, keys, labels, ports and addresses: what they may look like, in the server's words.

Source: k8s.io/apimachinery/pkg/util/validation, whose texts kube-apiserver 1.37 sent.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

import attrs

from .errors import Cause, forbidden_field, invalid_value, required

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@attrs.frozen
class Rule:
    """A rule for names: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/."""

    pattern: str
    longest: int
    text: str
    unit: str = "characters"

    def problem(self, value: str) -> str | None:
        """Say what is wrong with a name, if anything is."""
        if len(value) > self.longest:
            return f"must be no more than {self.longest} {self.unit}"
        return None if re.fullmatch(self.pattern, value) else self.text


_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_KEY = "[-._a-zA-Z0-9]+"
DNS_LABEL = Rule(
    _LABEL,
    63,
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "
    f"used for validation is '{_LABEL}')",
)
DNS_SUBDOMAIN = Rule(
    _SUBDOMAIN,
    253,
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_SUBDOMAIN}')",
)
QUALIFIED_NAME = Rule(
    _QUALIFIED,
    63,
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{_QUALIFIED}')",
    "bytes",
)
LABEL_VALUE = Rule(
    f"({_QUALIFIED})?",
    63,
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    f"or '12345', regex used for validation is '({_QUALIFIED})?')",
    "bytes",
)
CONFIG_KEY = Rule(
    _KEY,
    253,
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
    f"'{_KEY}')",
)
PROTOCOLS = ("SCTP", "TCP", "UDP")
PORT_RANGE = "must be between 1 and 65535, inclusive"
_PORT_NAME = re.compile("[-a-z0-9]+")
_LONGEST_PORT_NAME = 15


def named(field: str, value: str, rule: Rule) -> Iterator[Cause]:
    """Say what is wrong with a name."""
    if problem := rule.problem(value):
        yield invalid_value(field, value, problem)


def qualified(field: str, key: str, *, lowered: bool = False) -> Iterator[Cause]:
    """Say what is wrong with a key of labels or annotations, or with a resource's name."""
    prefix, slash, name = (key.lower() if lowered else key).rpartition("/")
    if slash and not prefix:
        yield invalid_value(field, key, "prefix part must be non-empty")
    elif slash and (problem := DNS_SUBDOMAIN.problem(prefix)):
        yield invalid_value(field, key, f"prefix part {problem}")
    elif problem := QUALIFIED_NAME.problem(name):
        yield invalid_value(field, key, problem)


def labels(field: str, given: Mapping[str, str]) -> Iterator[Cause]:
    """Say what is wrong with labels, or with what selects by them."""
    for key, value in given.items():
        yield from qualified(field, key)
        yield from named(field, value, LABEL_VALUE)


def label_selector(field: str, selector: dict[str, Any]) -> Iterator[Cause]:
    """Say what is wrong with a selector of labels."""
    yield from labels(f"{field}.matchLabels", selector.get("matchLabels", {}))
    for i, each in enumerate(selector.get("matchExpressions", ())):
        here, operator = f"{field}.matchExpressions[{i}]", each.get("operator", "")
        if operator in ("In", "NotIn"):
            if not each.get("values"):
                text = "must be specified when `operator` is 'In' or 'NotIn'"
                yield required(f"{here}.values", text)
        elif operator in ("Exists", "DoesNotExist"):
            if each.get("values"):
                text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield forbidden_field(f"{here}.values", text)
        else:
            yield invalid_value(f"{here}.operator", operator, "not a valid selector operator")
        yield from qualified(f"{here}.key", each.get("key", ""))


def config_key(field: str, key: str) -> Iterator[Cause]:
    """Say what is wrong with a key of a config map or secret."""
    if key in (".", ".."):
        yield invalid_value(field, key, f"must not be '{key}'")
    elif key.startswith(".."):
        yield invalid_value(field, key, "must not start with '..'")
    else:
        yield from named(field, key, CONFIG_KEY)


def port_number(field: str, port: int) -> Iterator[Cause]:
    """Say what is wrong with the number of a port."""
    if not 1 <= port <= 65535:
        yield invalid_value(field, port, PORT_RANGE)


def port_name(field: str, name: str) -> Iterator[Cause]:
    """Say what is wrong with the name of a port."""
    if len(name) > _LONGEST_PORT_NAME:
        yield invalid_value(field, name, f"must be no more than {_LONGEST_PORT_NAME} characters")
    if _PORT_NAME.fullmatch(name) is None:
        text = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
        yield invalid_value(field, name, text)
    if re.search("[a-z]", name) is None:
        yield invalid_value(field, name, "must contain at least one letter (a-z)")
    if "--" in name:
        yield invalid_value(field, name, "must not contain consecutive hyphens")
    if name[:1] == "-" or name[-1:] == "-":
        yield invalid_value(field, name, "must not begin or end with a hyphen")


def port(field: str, value: int | str) -> Iterator[Cause]:
    """Say what is wrong with a port by number or name."""
    yield from (port_number(field, value) if isinstance(value, int) else port_name(field, value))


def address(field: str, text: str) -> Iterator[Cause]:
    """Say what is wrong with an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        example = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        yield invalid_value(field, text, example)


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Read a CIDR; ``None`` where it is not one."""
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None

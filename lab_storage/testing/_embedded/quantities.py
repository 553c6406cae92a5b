"""Quantities: ``500m``, ``1Gi``, ``2e3``, added and written as the server does.

Grammar: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Context, Decimal

import attrs

from .errors import bad_request

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+|)")
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
# Wide enough for an Ei of nanos.
_CONTEXT = Context(prec=60)
_SUFFIXES = {exponent: suffix for suffix, exponent in _DECIMAL.items()}


@attrs.frozen
class Quantity:
    """A number, and in which of three formats it is written."""

    value: Decimal = Decimal(0)
    binary: bool = False
    exponent: bool = False

    @classmethod
    def parse(cls, text: object) -> Quantity | None:
        """Read a quantity from text or a number; ``None`` if it is not one."""
        if isinstance(text, bool) or not isinstance(text, (str, int, float)):
            return None
        parts = _QUANTITY.fullmatch(str(text))
        if parts is None:
            return None
        number, suffix = Decimal(parts[1]), parts[2]
        if suffix in _BINARY:
            return cls(number * 1024 ** _BINARY[suffix], binary=True)
        if suffix in _DECIMAL:
            return cls(number.scaleb(_DECIMAL[suffix]))
        return cls(number.scaleb(int(suffix[1:])), exponent=True)

    def __add__(self, other: Quantity) -> Quantity:
        # A sum is written like its first part, unless that is zero.
        kind = self if self.value else other
        return attrs.evolve(kind, value=self.value + other.value)

    def __str__(self) -> str:
        # Nothing finer than a nano is kept: it is rounded up.
        value = self.value.quantize(Decimal("1e-9"), ROUND_UP, _CONTEXT).normalize(_CONTEXT)
        if self.binary and abs(value) >= 1024 and value == value.to_integral_value():
            return _binary(int(value))
        tail = value.as_tuple().exponent if value else 0
        exponent = min(int(tail) // 3 * 3, max(_SUFFIXES))
        number = int(value.scaleb(-exponent))
        if self.exponent:
            return f"{number}e{exponent}" if exponent else str(number)
        return f"{number}{_SUFFIXES[exponent]}"


def _binary(number: int) -> str:
    suffixes = ["", *_BINARY]
    power = 0
    while number % 1024 == 0 and power < len(_BINARY):
        number //= 1024
        power += 1
    return f"{number}{suffixes[power]}"


def quantity(value: object, kind: str) -> Quantity:
    """Read a quantity of a request.

    Raises
    ------
    APIError
        400: it is not a quantity.
    """
    read = Quantity.parse(value)
    if read is None:
        raise bad_request(
            f'{kind} in version "v1" cannot be handled as a {kind}: quantities must match the '
            "regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    return read

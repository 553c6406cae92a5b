"""Label and field selectors, as the server parses and refuses them.

Grammar: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
and .../field-selectors/; the texts of the refusals are the server's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from .errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Collection

    from .resources import Object, Resource

_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_SYMBOLS = frozenset(["==", "!=", "=", "!", "(", ")", ",", "<", ">"])
_OPERATORS = {"in": "in", "notin": "notin", "=": "in", "==": "in", "!=": "notin"}
_TERM = re.compile(r"(?P<field>(?:[^\\=!]|\\.)*?)(?P<operator>!=|==|=)(?P<value>.*)", re.DOTALL)


@attrs.frozen
class Requirement:
    """One requirement on labels."""

    key: str
    operator: str
    values: Collection[str] = ()

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether labels match it."""
        value = labels.get(self.key)
        if self.operator == "exists":
            return value is not None
        if self.operator == "!":
            return value is None
        if self.operator == "notin":
            return value is None or value not in self.values
        if self.operator == "in":
            return value is not None and value in self.values
        return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        (bound,) = self.values
        try:
            number = int(value or "")
        except ValueError:
            return False
        return number > int(bound) if self.operator == ">" else number < int(bound)


@attrs.frozen
class Selector:
    """What a list or a watch asks for."""

    resource: Resource
    labels: tuple[Requirement, ...] = ()
    fields: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def parse(cls, resource: Resource, labels: str, fields: str) -> Selector:
        """Read the two query parameters.

        Raises
        ------
        APIError
            400: they cannot be read, or name a field that the real server
            cannot select by.
        """
        terms = tuple(_field_terms(fields))
        for field, _, _ in terms:
            _check_field(resource, field)
        return cls(resource, tuple(_Parser(labels).requirements()), terms)

    @property
    def empty(self) -> bool:
        """Whether it selects everything."""
        return not self.labels and not self.fields

    @property
    def name(self) -> str | None:
        """The one name that it asks for, if it asks for one."""
        named = (
            value
            for field, operator, value in self.fields
            if (field, operator) == ("metadata.name", "=")
        )
        return next(named, None)

    def matches(self, obj: Object) -> bool:
        """Whether an object is selected."""
        labels = obj["metadata"].get("labels", {})
        if not all(requirement.matches(labels) for requirement in self.labels):
            return False
        readers = self.resource.selectable()
        return all(
            (readers[field](obj) == value) == (operator == "=")
            for field, operator, value in self.fields
        )


def _check_field(resource: Resource, field: str) -> None:
    if field in resource.selectable():
        return
    if resource.fields or resource.custom:
        raise bad_request(f"field label not supported: {field}")
    raise bad_request(
        f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )


def _field_terms(text: str) -> list[tuple[str, str, str]]:
    terms = []
    for term in re.findall(r"(?:[^\\,]|\\.)+", text):
        parsed = _TERM.fullmatch(term)
        if parsed is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        operator = "!=" if parsed["operator"] == "!=" else "="
        terms.append((parsed["field"], operator, re.sub(r"\\(.)", r"\1", parsed["value"])))
    return terms


class _Parser:
    """Reads label selectors token by token, the way ``labels.Parse`` does."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while self._tokens:
            first = self._next()
            if first in _SYMBOLS - {"!"}:
                raise bad_request(f"found '{first}', expected: !, identifier, or 'end of string'")
            found.append(self._requirement(first))
            if not self._tokens:
                break
            separator = self._next()
            if separator != ",":
                raise bad_request(f"found '{separator}', expected: ',' or 'end of string'")
            if not self._tokens or self._tokens[0] in _SYMBOLS - {"!"}:
                found_instead = self._next() if self._tokens else ""
                raise bad_request(f"found '{found_instead}', expected: identifier after ','")
        return found

    def _next(self) -> str:
        return str(self._tokens.pop(0)) if self._tokens else ""

    def _requirement(self, first: str) -> Requirement:
        if first == "!":
            return Requirement(self._identifier(), "!")
        if not self._tokens or self._tokens[0] == ",":
            return Requirement(first, "exists")
        operator = self._next()
        if operator in ("in", "notin"):
            return Requirement(first, operator, self._values())
        if operator in _OPERATORS:
            ends = not self._tokens or self._tokens[0] == ","
            return Requirement(first, _OPERATORS[operator], ("" if ends else self._identifier(),))
        if operator in ("<", ">"):
            return Requirement(first, operator, (self._integer(),))
        raise _unreadable(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def _identifier(self) -> str:
        token = self._next()
        if not token or token in _SYMBOLS:
            raise _unreadable(f"found '{token}', expected: identifier")
        return token

    def _integer(self) -> str:
        value = self._identifier()
        if re.fullmatch(r"-?\d+", value) is None:
            text = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise _unreadable(f'values[0]: Invalid value: "{value}": {text}')
        return value

    def _values(self) -> frozenset[str]:
        if (opening := self._next()) != "(":
            raise _unreadable(f"found '{opening}' expected: '('")
        values = set()
        while True:
            part = self._next()
            if part in (",", ")"):
                values.add("")
            elif part in _SYMBOLS or not part:
                raise _unreadable(f"found '{part}', expected: ',', ')' or identifier")
            else:
                values.add(part)
                part = self._next()
            if part == ")":
                return frozenset(values)
            if part != ",":
                raise _unreadable(f"found '{part}', expected: ',' or ')'")


def _unreadable(text: str) -> Exception:
    return bad_request(f"unable to parse requirement: {text}")

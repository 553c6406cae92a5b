"""The third pass: resource versions, counted anew."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import attrs

from .exchanges import Exchange
from .made_up import MADE_UP
from .urls import joined, parts, resource_of
from .values import as_dict, dicts

RESOURCE_VERSION = "resourceVersion"
# As in `too old resource version: 5 (7)` and `Too large resource version: 9, current: 7`.
_VERSIONS_IN_MESSAGE = re.compile(r"(?<=resource version: )(\d+)(?:( \(|, current: )(\d+))?")


@attrs.define
class _Versions:
    """The versions of one resource, and what they are to be.

    Versions can be compared within a resource
    (https://github.com/kubernetes/enhancements/issues/5504), and between two of
    those that a recording knows, the server may have given any number of others. So
    an object's versions are numbered one after another, and that of a list says how
    many of them it knows. Objects that were made between the same two lists, and
    not in a watch, may as well have been made in another order.
    """

    # By version: the object that has it. By number, since 9 is before 10.
    objects: dict[int, str] = attrs.field(factory=dict)
    lists: set[int] = attrs.field(factory=set)
    watched: set[int] = attrs.field(factory=set)
    _numbers: dict[int, int] = attrs.field(factory=dict)

    def count(self) -> None:
        """Number what has been gathered."""
        spans: defaultdict[int, list[int]] = defaultdict(list)
        for version in sorted(self.objects):
            spans[sum(known < version for known in self.lists)].append(version)
        ordered: list[int] = []
        for _, span in sorted(spans.items()):
            if self.watched.isdisjoint(span):
                span.sort(key=lambda version: (self.objects[version], version))
            ordered += span
        self._numbers = {version: place for place, version in enumerate(ordered, 1)}

    def number(self, text: str) -> str:
        """The number of a version; ``0``, and what is not a number, stays."""
        if not text.isdecimal() or text == "0":
            return text
        version = int(text)
        if version in self.lists or version not in self._numbers:
            return str(1 + sum(known <= version for known in self.objects))
        return str(1 + self._numbers[version])


def renumbered(exchanges: list[Exchange], asked: list[Exchange]) -> list[Exchange]:
    """Count resource versions anew, those of each resource from 1 on."""
    versions: defaultdict[str, _Versions] = defaultdict(_Versions)
    kinds: dict[str, str] = {}
    for exchange in asked:
        _gather(exchange, versions, kinds)
    for known in versions.values():
        known.count()
    return [
        _Renumbering(resource_of(each.request.url), versions, kinds).run(each)
        for each in exchanges
    ]


def _gather(
    exchange: Exchange, versions: defaultdict[str, _Versions], kinds: dict[str, str]
) -> None:
    resource = resource_of(exchange.request.url)
    body = exchange.response.body if exchange.response else {}
    for value in dicts([body]):
        metadata = value.get("metadata")
        if not isinstance(metadata, dict):
            continue
        version = str(metadata.get("resourceVersion", ""))
        if "uid" in metadata and isinstance(value.get("kind"), str):
            kinds[value["kind"]] = resource
        elif isinstance(value.get("items"), list):
            kinds[str(value.get("kind")).removesuffix("List")] = resource
        if not version.isdecimal() or version == "0":
            continue
        if "uid" not in metadata:
            versions[resource].lists.add(int(version))
            continue
        versions[resource].objects[int(version)] = _owner(metadata)
        if "lines" in body:
            versions[resource].watched.add(int(version))


@attrs.define
class _Renumbering:
    """The third pass, over one exchange."""

    resource: str
    versions: defaultdict[str, _Versions]
    kinds: dict[str, str]

    def run(self, exchange: Exchange) -> Exchange:
        request, response = exchange.request, exchange.response
        path, query = parts(request.url)
        number = self.versions[self.resource].number
        query = [
            (name, number(text) if name == RESOURCE_VERSION else text) for name, text in query
        ]
        request = attrs.evolve(request, url=joined(path, query), body=self.value(request.body))
        if response is not None:
            response = attrs.evolve(response, body=self.value(response.body))
        return Exchange(request, response)

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return _VERSIONS_IN_MESSAGE.sub(self._message, value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, dict):
            return value
        value = {key: self.value(item) for key, item in value.items()}
        items = value.get("items")
        if isinstance(items, list):
            # A server sorts by names, which may be made up.
            value["items"] = sorted(items, key=_position)
        version = value.get(RESOURCE_VERSION)
        if isinstance(version, str):
            # A reference to an object, as an event has one, may be to another resource.
            kind = value.get("kind")
            resource = self.kinds.get(kind, "") if isinstance(kind, str) else self.resource
            value[RESOURCE_VERSION] = self.versions[resource].number(version)
        return value

    def _message(self, found: re.Match[str]) -> str:
        number = self.versions[self.resource].number
        said = number(found[1])
        return said if found[2] is None else f"{said}{found[2]}{number(found[3])}"


def _owner(metadata: dict[str, Any]) -> str:
    """Whose metadata it is, but for what is made up in its name."""
    name = metadata.get("generateName") or MADE_UP.sub("*", str(metadata.get("name")))
    return f"{metadata.get('namespace')}/{name}"


def _position(item: Any) -> tuple[str, int]:
    metadata = as_dict(as_dict(item).get("metadata"))
    version = str(metadata.get(RESOURCE_VERSION))
    return _owner(metadata), int(version) if version.isdecimal() else 0

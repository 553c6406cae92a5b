"""The YAML file that keeps what was asked and answered.

A format of our own: that of `responses`' recorder holds neither the request's
body nor a stream, and a body only as one long line. Here JSON is YAML, so that a
diff shows the field that changed:

.. code-block:: yaml

    exchanges:
    - request:
        method: POST
        url: /api/v1/namespaces?fieldManager=hub
        json: {apiVersion: v1, kind: Namespace, metadata: {name: lab}}
      response:
        status: 201
        headers: {Content-Type: application/json}
        json: {…}

A body is under ``json``, ``lines`` (each line of a stream as JSON, or as text
if it is not JSON) or ``text``, in which invalid UTF-8 is replaced. An empty one is
left out.
"""

from __future__ import annotations

import os
import re
from math import inf
from typing import TYPE_CHECKING, Any

import attrs
import yaml

from .exchanges import Body, Exchange, Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

HEADLINE = "# Made by lab_storage.testing.recording.Recorder: to be made anew, not edited.\n"


class _Dumper(yaml.SafeDumper):
    """Writes the same value out each time: an alias would hide a change."""

    def ignore_aliases(self, data: Any) -> bool:
        """No value is an alias of another."""
        del data
        return True


# What ends a line in YAML 1.1 and in nothing else: to be escaped.
_LINE_ENDS = re.compile("[\r\x85\u2028\u2029]")


def _text_node(dumper: _Dumper, text: str) -> yaml.Node:
    style = '"' if _LINE_ENDS.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text_node)

# The one in C, where PyYAML has it, reads a recording in a tenth of the time.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def save(path: Path, exchanges: Iterable[Exchange]) -> None:
    """Write a recording, whole or not at all."""
    content = [
        {"request": _plain(each.request), "response": _plain(each.response)}
        for each in exchanges
        if each.response is not None
    ]
    # Values are not broken into lines, so that a change in one is one line.
    text = yaml.dump(
        {"exchanges": content}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=inf
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(HEADLINE + text, encoding="utf-8")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def load(path: Path) -> list[Exchange]:
    """Read a recording.

    Raises
    ------
    ValueError
        If the file is not a recording.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - safe
        return [
            Exchange(
                Request(
                    each["request"]["method"],
                    each["request"]["url"],
                    each["request"].get("headers", {}),
                    _body(each["request"]),
                ),
                Response(
                    each["response"]["status"],
                    each["response"].get("headers", {}),
                    _body(each["response"]),
                ),
            )
            for each in content["exchanges"]
        ]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a recording: {error}") from error


def _plain(message: Request | Response | None) -> dict[str, Any]:
    content: dict[str, Any] = attrs.asdict(message, recurse=False) if message else {}
    body = content.pop("body")
    if not content["headers"]:
        del content["headers"]
    return {**content, **body}


def _body(content: Mapping[str, Any]) -> Body:
    return {form: content[form] for form in ("json", "lines", "text") if form in content}

"""Makes a recording the same each time, where what happened was the same.

Names, addresses and paths of the machine go; what is random is numbered in the order in which it
comes; times keep their distances and begin with that at which the pod was made.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.plane.control_plane import ControlPlane

    from .conditions import Json

BEGINNING = datetime(2026, 1, 1, tzinfo=timezone.utc)
MEMORY = "quantity: 25000000000, available: 20000000Ki"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
UID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
#: Containers and sandboxes; an image's digest is that of its content.
IDENTITY = re.compile(r"(?<!sha256:)\b[0-9a-f]{64}\b")


def steady(found: Json, namespace: str, name: str, plane: ControlPlane) -> Json:
    """What was found, as it is written."""
    text = json.dumps(found)
    text = text.replace(namespace, name)
    text = text.replace(plane.folder.name, "node").replace(str(plane.folder.parent), "/tmp")
    text = text.replace(f"{plane.node.network}.", "198.18.0.")
    text = text.replace(f"-{socket.gethostname()}", "-host")
    # The resolver that an answer came from is the machine's.
    text = re.sub(r"\b(?!198\.18\.|127\.0\.|0\.0\.0\.0)\d+\.\d+\.\d+\.\d+\b", "192.0.2.53", text)
    text = re.sub(r"198\.18\.0\.(?!1\b|2\b)\d+", "198.18.0.10", text)
    # So is how much memory it has.
    text = re.sub(r"quantity: \d+, available: \d+Ki", MEMORY, text)
    made = _time(found["pod"]["metadata"]["creationTimestamp"])
    text = TIME.sub(lambda match: _shifted(match[0], made), text)
    text = _numbered(text, UID, lambda n: str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {n}")))
    text = _numbered(text, IDENTITY, lambda n: hashlib.sha256(f"{name} {n}".encode()).hexdigest())
    steadied: Json = json.loads(text)
    _number_versions(steadied)
    for n, event in enumerate(steadied["events"]):
        event["metadata"]["name"] = f"{event['involvedObject']['name']}.{n:016x}"
    return steadied


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _shifted(text: str, made: datetime) -> str:
    # A time of the runtime's own that means none stays.
    if _time(text).year < 2000:
        return text
    shifted = BEGINNING + (_time(text) - made)
    return shifted.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if "." in text else "%Y-%m-%dT%H:%M:%SZ")


def _numbered(text: str, pattern: re.Pattern[str], name: Callable[[int], str]) -> str:
    known: dict[str, str] = {}
    return pattern.sub(lambda match: known.setdefault(match[0], name(len(known))), text)


def _number_versions(found: Json) -> None:
    places: list[dict[str, Any]] = [found["pod"]["metadata"]]
    for event in found["events"]:
        places += [event["metadata"], event["involvedObject"]]
    places = [each for each in places if "resourceVersion" in each]
    versions = sorted({int(each["resourceVersion"]) for each in places})
    for each in places:
        each["resourceVersion"] = str(101 + versions.index(int(each["resourceVersion"])))

"""Whatever happens to objects, streams and versions, `follow` tells what is the case.

Hypothesis makes up a script: what is written, when the server tells of it, and what goes wrong.
A model of an API server plays it below the library's own client, in the place of urllib3, so that
all from the answer's bytes upward is the real code. Then what was told is compared with what the
model knows it has said.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, NoReturn
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes import client as kubernetes_client
from urllib3.exceptions import ProtocolError

from lab_storage import OperationCancelledError, Timeout
from lab_storage._api import watch as _watch
from lab_storage._api.call import Call
from lab_storage._api.changes import ADDED, DELETED, LISTED, MODIFIED, Change
from lab_storage._api.client import Client
from lab_storage._api.request import Request
from lab_storage._api.watch import follow
from lab_storage._manifests.kinds import CONFIG_MAP
from lab_storage._transport.exchange import IdleError
from tests.support.answers import Response
from tests.support.pauses import replace_pauses

Json = dict[str, Any]

WRITES = st.tuples(
    st.sampled_from(["put", "put", "delete", "replace"]), st.sampled_from(["a", "b", "c"])
)
# The version grows by objects of other kinds too. What is compacted cannot be resumed from.
UNSEEN = st.lists(
    st.one_of(WRITES, st.just(("elsewhere", "")), st.just(("compact", ""))), max_size=4
)
FRACTIONS = st.floats(0, 1)
BROKEN = [
    b"{",
    b"null",
    b"[1]",
    b"\xff\xfe\x00",
    b'{"type": "MODIFIED"}',
    b'{"type": "MODIFIED", "object": null}',
    b'{"type": "MODIFIED", "object": {"metadata": null}}',
    b'{"type": "BOOKMARK", "object": {}}',
    b'{"type": "ERROR", "object": null}',
    b'{"type": "PONDERED", "object": {"metadata": {"uid": "u", "resourceVersion": "9999"}}}',
    b'{"type": ["ADDED"], "object": {"metadata": {}}}',
]
STEPS = st.one_of(
    # The first is what hypothesis puts in the place of steps that do not matter.
    st.tuples(st.just("blank")),
    WRITES,
    WRITES,
    # On an open stream.
    st.tuples(st.just("deliver")),
    st.tuples(st.just("deliver")),
    st.tuples(st.just("bookmark")),
    st.tuples(st.just("repeat"), st.integers(2, 8)),
    st.tuples(st.just("repeat"), st.integers(2, 8)),
    # Which of the lines that wait to be sent, and by what.
    st.tuples(st.just("break line"), FRACTIONS, st.sampled_from(BROKEN)),
    # Its end: how, how much of what waits to be sent gets through, and what happens then.
    st.tuples(
        st.just("end"),
        st.sampled_from(["orderly", "cut", "silent", "410", "429", "500", "504"]),
        FRACTIONS,
        UNSEEN,
    ),
    # While no stream is open.
    st.tuples(st.just("refuse"), st.sampled_from(["503", "429", "too large", "reset", "garbage"])),
)
SCRIPTS = st.lists(STEPS, min_size=15, max_size=60)


class Model:
    """An API server with objects of one kind, and all it has ever said.

    Attributes
    ----------
    objects
        What exists, by name.
    listed
        What existed, by UID, each time a list was answered.
    said
        How often which version of which UID was said, in lists and in whole lines of
        streams; lines that were repeats of lines do not count.
    """

    def __init__(self, script: list[Any], segment: int, timeout: Timeout) -> None:
        self.objects: dict[str, Json] = {}
        self.listed: list[dict[str, str]] = []
        self.said: Counter[tuple[str, str]] = Counter()
        self._script = list(script)
        # What is done before the next request is answered.
        self._unseen: list[tuple[str, str]] = []
        self._segment = segment
        self._timeout = timeout
        self._version = 9
        self._born = 0
        self._history: list[tuple[int, str, Json]] = []
        self._lines: list[bytes] = []
        self._floor = 0
        # What the client has to know by now.
        self._client_version = 0
        self._client_must_list = True
        self._requests = 0
        self._steps: dict[str, Callable[..., Iterator[bytes]]] = {
            "put": lambda name: self._writes("put", name),
            "delete": lambda name: self._writes("delete", name),
            "replace": lambda name: self._writes("replace", name),
            "deliver": self._deliver,
            "bookmark": self._send_bookmark,
            "blank": self._send_blank,
            "repeat": self._repeat,
            "break line": self._break_line,
            "refuse": lambda _: iter(()),
        }

    # -- Objects -------------------------------------------------------------------

    def _write(self, verb: str, name: str) -> None:
        if verb == "compact":
            self._floor = self._version
        elif verb == "elsewhere":
            self._version += 1
        if verb in ("delete", "replace") and name in self.objects:
            self._record(DELETED, self.objects.pop(name)["metadata"])
        if verb == "put" and name in self.objects:
            self._record(MODIFIED, self.objects[name]["metadata"])
        elif verb in ("put", "replace"):
            self._born += 1
            metadata = {"name": name, "namespace": "lab", "uid": f"{name}-{self._born}"}
            self._record(ADDED, metadata)

    def _record(self, kind: str, metadata: Json) -> None:
        self._version += 1
        metadata = {**metadata, "resourceVersion": str(self._version)}
        # More bytes than characters, so that a cut may go through one.
        content = {"metadata": metadata, "data": {"é": f"\u2028 {self._version}\n"}}
        if kind != DELETED:
            self.objects[metadata["name"]] = content
        self._history.append((self._version, kind, content))

    # -- Requests ------------------------------------------------------------------

    def request(self, _method: str, url: str, **_options: Any) -> Response:
        """Answer, as urllib3's pool manager does."""
        self._requests += 1
        assert self._requests <= 200, "asked in a loop"
        query = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
        if not self._unseen and self._is_next("end"):
            self._unseen = self._script.pop(0)[-1]
        for verb, name in self._unseen:
            self._write(verb, name)
        self._unseen = []
        if self._is_next("refuse"):
            return self._refuse(self._script.pop(0)[1], "watch" in query)
        return self._watch(query) if "watch" in query else self._list(query)

    def _is_next(self, verb: str) -> bool:
        return bool(self._script) and self._script[0][0] == verb

    def _refuse(self, how: str, is_watch: bool) -> Response:
        if how == "reset":
            raise ProtocolError("Connection aborted.", ConnectionResetError(104, "reset"))
        if how == "garbage" and not is_watch:
            return Response(200, b"<html>")
        if how == "too large":
            self._client_must_list = True
            return Response(504, json.dumps(_status(504)).encode())
        code = 429 if how == "429" else 503
        return Response(code, json.dumps(_status(code)).encode())

    def _list(self, query: Json) -> Response:
        assert self._client_must_list, "a list that was not needed"
        assert {} == query
        self._client_must_list = False
        self._client_version = self._version
        items = list(self.objects.values())
        self.listed.append(versions_of(items))
        self.said.update(set(versions_of(items).items()) - set(self.said))
        metadata = {"resourceVersion": str(self._version)}
        content = {"metadata": metadata, "items": items or None}
        return Response(200, json.dumps(content).encode())

    def _watch(self, query: Json) -> Response:
        assert not self._client_must_list, "a watch where a list was needed"
        assert str(self._client_version) == query["resourceVersion"]
        if self._client_version < self._floor:
            self._client_must_list = True
            body = json.dumps(_status(410)).encode() if self._floor % 2 else b"<html>"
            return Response(410, body)
        return Response(200, pieces=self._stream(self._client_version))

    # -- Streams -------------------------------------------------------------------

    def _stream(self, version: int) -> Iterator[bytes]:
        self._pending = [line for line in self._history if line[0] > version]
        self._seen_to = len(self._history)
        if not self._script and not self._pending:
            self._timeout.cancel()
            self._lose_connection()
        while self._script:
            verb, *arguments = self._script.pop(0)
            if verb == "end":
                how, fraction, self._unseen = arguments
                yield from self._send_part(fraction, of_lines=how.isdecimal())
                yield from self._end(how)
                return
            yield from self._steps[verb](*arguments)
        yield from self._deliver()
        self._fall_silent()

    def _take_pending(self) -> list[tuple[int, str, Any, bytes]]:
        self._pending += self._history[self._seen_to :]
        self._seen_to = len(self._history)
        lines = []
        for version, kind, content in self._pending:
            text = json.dumps({"type": kind, "object": content}, ensure_ascii=False)
            lines.append((version, kind, content["metadata"]["uid"], text.encode() + b"\n"))
        self._pending = []
        return lines

    def _writes(self, verb: str, name: str) -> Iterator[bytes]:
        self._write(verb, name)
        return iter(())

    def _say(self, lines: list[Any]) -> None:
        """Note that lines get to the client whole."""
        for version, kind, uid, line in lines:
            self._client_version = version
            self._lines.append(line)
            if kind != DELETED:
                self.said[uid, str(version)] += 1

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), self._segment):
            yield data[start : start + self._segment]

    def _deliver(self) -> Iterator[bytes]:
        lines = self._take_pending()
        self._say(lines)
        yield from self._pieces(b"".join(line[-1] for line in lines))

    def _send_part(self, fraction: float, *, of_lines: bool) -> Iterator[bytes]:
        lines = self._take_pending()
        data = b"".join(line[-1] for line in lines)
        data = data[: round(fraction * len(data))]
        if of_lines:
            data = data[: data.rfind(b"\n") + 1]
        self._say(lines[: data.count(b"\n")])
        yield from self._pieces(data)

    def _send_bookmark(self) -> Iterator[bytes]:
        yield from self._deliver()
        self._version += 1
        self._client_version = self._version
        metadata = {"resourceVersion": str(self._version)}
        bookmark = {"type": "BOOKMARK", "object": {"metadata": metadata}}
        yield from self._pieces(json.dumps(bookmark).encode() + b"\n")

    def _send_blank(self) -> Iterator[bytes]:
        yield from self._pieces(b"\n \r\n")

    def _repeat(self, count: int) -> Iterator[bytes]:
        yield from self._pieces(b"".join(self._lines[-count:]))

    def _break_line(self, fraction: float, broken: bytes) -> Iterator[bytes]:
        """Send nonsense in the place of one line, if there is any, with the others around it."""
        lines = self._take_pending()
        place = round(fraction * (len(lines) - 1)) if lines else 0
        sent = [line[-1] for line in lines]
        sent[place : place + 1] = [broken + b"\n"]
        del lines[place : place + 1]
        self._say(lines)
        self._client_must_list = True
        yield from self._pieces(b"".join(sent))

    def _end(self, how: str) -> Iterator[bytes]:
        if how == "cut":
            self._lose_connection()
        elif how == "silent":
            self._fall_silent()
        elif how != "orderly":
            code = int(how)
            if code in (410, 504):
                self._client_must_list = True
            yield json.dumps({"type": "ERROR", "object": _status(code)}).encode() + b"\n"

    def _lose_connection(self) -> NoReturn:
        raise ProtocolError("Connection broken", ConnectionResetError(104, "reset"))

    def _fall_silent(self) -> NoReturn:
        raise ProtocolError("Read timed out") from IdleError("nothing heard")


def _status(code: int) -> Json:
    messages = {504: "Timeout: Too large resource version: 9, current: 8"}
    return {"kind": "Status", "code": code, "message": messages.get(code, "no")}


def versions_of(contents: list[Json]) -> dict[str, str]:
    """Give the version of each object, by UID."""
    return {
        content["metadata"]["uid"]: content["metadata"]["resourceVersion"] for content in contents
    }


class Listener:
    """Believes what it is told, and refuses what cannot be."""

    def __init__(self) -> None:
        self.told: Counter[tuple[str, str]] = Counter()
        self.listed: list[dict[str, str]] = []
        self.known: dict[str, tuple[str, str]] = {}
        self._ever: set[str] = set()

    @property
    def versions(self) -> dict[str, str]:
        """The version of each object, by UID."""
        return dict(self.known.values())

    def hear(self, change: Change) -> None:
        """Take note of a change."""
        if change.type == LISTED:
            self.listed.append(self.versions)
            return
        name = change.object["metadata"]["name"]
        if change.type == DELETED:
            uid, _ = self.known.pop(name)
            assert uid == change.uid, "another was deleted than the one that is known"
            return
        version = change.object["metadata"]["resourceVersion"]
        assert {"é": f"\u2028 {version}\n"} == change.object["data"]
        if change.type == ADDED:
            assert name not in self.known, "added to a place that is taken"
            assert change.uid not in self._ever, "back from the dead"
            self._ever.add(change.uid)
        else:
            known_uid, known_version = self.known[name]
            assert known_uid == change.uid, "another was changed than the one that is known"
            assert int(known_version) < int(version), "an older version"
        self.known[name] = change.uid, version
        self.told[change.uid, version] += 1


def _drop(logger: Any, method: str, event: Any) -> NoReturn:
    raise structlog.DropEvent


SILENT_LOG = structlog.wrap_logger(None, processors=[_drop])


def play(script: list[Any], segment: int) -> tuple[Model, Listener]:
    """Follow a model through a script, to its end."""
    timeout = Timeout("Following a history", timedelta(seconds=60))
    model = Model(script, segment, timeout)
    api_client = kubernetes_client.ApiClient(kubernetes_client.Configuration())
    api_client.rest_client.pool_manager = model
    request = Request("GET", CONFIG_MAP, "lab", collection=True)
    listener = Listener()
    with ExitStack() as stack:
        # Pauses are another test's.
        replace_pauses(stack.enter_context(pytest.MonkeyPatch.context()), 0.0)
        stack.enter_context(patch.object(_watch, "DOUBT_SECONDS", 60.0))
        stack.enter_context(pytest.raises(OperationCancelledError))
        for change in follow(Call(Client(api_client), timeout, SILENT_LOG), request):
            listener.hear(change)
    return model, listener


@settings(
    max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(SCRIPTS, st.sampled_from([1, 7, 100, 10_000]))
def test_history_is_told_whole_once_and_in_order(script: list[Any], segment: int) -> None:
    """All that was said is told, once, in order, and at the end the state is the server's."""
    model, listener = play(script, segment)
    assert model.said == listener.told
    assert model.listed == listener.listed
    assert versions_of(list(model.objects.values())) == listener.versions

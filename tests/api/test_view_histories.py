"""Whatever happens to pods, watches, lists and versions, a view tells no reader a lie.

The twin of ``test_watch_histories``. Hypothesis makes up a script: what is written, when the
server tells of it, what goes wrong, and when somebody reads. A model of an API server plays it
below the library's own client, in the place of urllib3, by a clock of its own. What each reader is
told is compared with what was the case: nobody is told what was over before the moment that he
asked for, nor an older state after a newer one, whoever was told that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any, NoReturn
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import attrs
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes import client as kubernetes_client
from urllib3.exceptions import ProtocolError

from lab_storage import Timeout
from lab_storage._api import pod_source as _pod_source
from lab_storage._api import retry as _retry
from lab_storage._api.call import Call
from lab_storage._api.client import Client
from lab_storage._api.following import feed as _feed
from lab_storage._api.following import rounds as _rounds
from lab_storage._api.following.asking import Asker
from lab_storage._api.following.feed import Feed
from lab_storage._api.following.health import Health
from lab_storage._api.following.listeners import ChangeReader, Told
from lab_storage._api.following.scope import Scope
from lab_storage._api.following.view import Unknown, View
from lab_storage._api.pod_source import PodSource
from lab_storage._api.pod_state import PodState
from lab_storage._api.protobuf import PROTOBUF
from lab_storage._transport.exchange import IdleError
from lab_storage.models import PodPhase
from tests.support import protobuf
from tests.support.answers import Response

Json = dict[str, Any]

MAX_AGE = 6.0
READERS = 3
NAMESPACE = "lab-jovyan"
NAMES = ["a", "b", "c"]
PHASES = ["Pending", "Running", "Succeeded", "Failed"]

WRITES = st.tuples(
    st.sampled_from(["put", "put", "delete", "replace", "label"]), st.sampled_from(NAMES)
)
UNSEEN = st.lists(
    st.one_of(WRITES, st.just(("elsewhere", "")), st.just(("compact", ""))), max_size=4
)
FRACTIONS = st.floats(0, 1)
AGES = [0.0, 1.0, MAX_AGE]
ASKS = st.tuples(st.just("ask"), st.sampled_from([*NAMES, "*"]), st.sampled_from(AGES))
REFUSALS = st.sampled_from(
    ["503", "429", "403", "410", "too large", "reset", "garbage", "old", "old", "old"]
)
STEPS = st.one_of(
    # The first is what hypothesis puts in the place of steps that do not matter.
    st.tuples(st.just("wait")),
    WRITES,
    WRITES,
    WRITES,
    st.tuples(st.just("deliver")),
    st.tuples(st.just("deliver")),
    st.tuples(st.just("bookmark")),
    st.tuples(st.just("bookmark")),
    st.tuples(st.just("repeat"), st.integers(1, 6)),
    st.tuples(st.just("repeat"), st.integers(1, 6)),
    st.tuples(st.just("break_"), FRACTIONS),
    ASKS,
    ASKS,
    st.tuples(st.just("late"), st.sampled_from(NAMES), UNSEEN),
    st.tuples(st.just("send"), st.sampled_from(NAMES)),
    st.tuples(st.just("arrive")),
    st.tuples(st.just("fetch"), st.integers(0, READERS - 1)),
    st.tuples(
        st.just("end"),
        st.sampled_from(["orderly", "orderly", "cut", "silent", "410", "429", "500", "504"]),
        FRACTIONS,
        UNSEEN,
        # What happens to the next requests.
        st.lists(REFUSALS, max_size=2),
    ),
    st.tuples(st.just("refuse"), REFUSALS),
)
SCRIPTS = st.lists(STEPS, min_size=20, max_size=80)


class LieError(BaseException):
    """What must not be. The feed takes any `Exception` for a failure, and goes on."""


@contextmanager
def no_mistakes() -> Iterator[None]:
    """Have a mistake of this module seen."""
    try:
        yield
    except ProtocolError:
        raise
    except Exception as error:
        raise LieError(repr(error)) from error


@attrs.frozen
class Kind:
    """What the server can do."""

    has_protobuf: bool
    streams_lists: str
    segment: int
    # Whether only those of a label are followed.
    selects: bool


KINDS = st.builds(
    Kind,
    has_protobuf=st.booleans(),
    streams_lists=st.sampled_from(["yes", "yes", "refuses", "ignores"]),
    segment=st.sampled_from([1, 100, 100_000]),
    selects=st.booleans(),
)


@attrs.frozen
class Moment:
    """A state of a pod: which version, `None` for none, and from when to when it was so."""

    version: int | None
    since: float


class Model:
    """An API server with pods in a namespace, and all that was ever the case."""

    def __init__(self, script: list[Any], kind: Kind) -> None:
        self.now = 100.0
        self.version = 9
        self.pods: dict[str, Json] = {}
        self.past: dict[str, list[Moment]] = {name: [Moment(None, 0.0)] for name in NAMES}
        self.script = list(script)
        self.kind = kind
        self.read: Callable[[str, float], None]
        self.ask: Callable[[str, float], None]
        self.fetch: Callable[[int], None]
        self.learn: Callable[[str, PodState | None, int, float], None]
        self.end: Callable[[], None]
        self.known_version: Callable[[], int]
        self._history: list[tuple[int, str, Json]] = []
        self._snapshots: list[tuple[int, list[Json]]] = [(9, [])]
        self._floor = 0
        self._unseen: list[tuple[str, str]] = []
        self._on_the_way: list[tuple[str, PodState | None, int, float]] = []
        self._born = 0
        self._requests = 0
        self._is_nested = False
        self._is_protobuf = False

    def clock(self) -> float:
        """The time."""
        return self.now

    # -- Objects ---------------------------------------------------------------------

    def write(self, verb: str, name: str) -> None:
        """Write something."""
        self.now += 0.01
        if verb == "compact":
            self._floor = self.version
        elif verb == "elsewhere":
            self.version += 1
        if verb in ("delete", "replace") and name in self.pods:
            self._record("DELETED", self.pods.pop(name))
        if verb == "put" and name in self.pods:
            pod = self.pods[name]
            number = PHASES.index(pod["status"]["phase"]) + 1
            self._record("MODIFIED", {**pod, "status": {"phase": PHASES[number % len(PHASES)]}})
        elif verb == "label" and name in self.pods:
            pod = self.pods[name]
            self._record("MODIFIED", {**pod, "is_labelled": not pod["is_labelled"]})
        elif verb in ("put", "replace"):
            self._born += 1
            metadata = {"name": name, "namespace": NAMESPACE, "uid": f"{name}-{self._born}"}
            status = {"phase": "Pending"}
            self._record("ADDED", {"metadata": metadata, "status": status, "is_labelled": True})

    def selects(self, pod: Json | None) -> bool:
        """Whether the pod is one of those that are followed."""
        return pod is not None and (pod["is_labelled"] or not self.kind.selects)

    def _record(self, kind: str, pod: Json) -> None:
        self.version += 1
        pod = {**pod, "metadata": {**pod["metadata"], "resourceVersion": str(self.version)}}
        name = pod["metadata"]["name"]
        was_selected = self.selects(pod if kind == "DELETED" else self.pods.get(name))
        if kind != "DELETED":
            self.pods[name] = pod
        version = None if kind == "DELETED" else self.version
        self.past[name].append(Moment(version, self.now))
        # Who selects is told of what comes and goes for him.
        if kind == "DELETED" or not self.selects(pod):
            kind = "DELETED" if was_selected else ""
        elif not was_selected:
            kind = "ADDED"
        if kind:
            self._history.append((self.version, kind, pod))
        self._snapshots.append((self.version, list(self.pods.values())))

    # -- Requests --------------------------------------------------------------------

    def request(self, _method: str, url: str, **options: Any) -> Response:
        """Answer, as urllib3's pool manager does."""
        with no_mistakes():
            return self._respond(url, **options)

    def _respond(self, url: str, **options: Any) -> Response:
        self._requests += 1
        self.now += 0.02
        if self._requests > 500:
            raise LieError("asked in a loop")
        query = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
        is_watch = "watch" in query
        self._is_protobuf = self.kind.has_protobuf and PROTOBUF in options["headers"]["accept"]
        if not self._is_nested and self._is_next("end"):
            *_, self._unseen, refusals = self.script.pop(0)
            self.script[:0] = [("refuse", how) for how in refusals]
        for verb, name in self._unseen:
            self.write(verb, name)
        self._unseen = []
        snapshot = self.version, list(self.pods.values())
        if self._is_next("refuse"):
            how = self.script.pop(0)[1]
            older = [each for each in self._snapshots if each[0] < self.known_version()]
            if how != "old":
                return self._refuse(how, is_watch)
            if older and not is_watch:
                snapshot = older[-1]
        return self._watch(query) if is_watch else self._list(query, *snapshot)

    def _is_next(self, verb: str) -> bool:
        return bool(self.script) and self.script[0][0] == verb

    def _answer(self, status: int, json_: Json, data: bytes) -> Response:
        if self._is_protobuf:
            return Response(status, data, headers={"Content-Type": PROTOBUF})
        return Response(status, json.dumps(json_).encode(), headers={})

    def _failure(self, code: int) -> Response:
        content = _status(code)
        return self._answer(code, content, protobuf.status(content))

    def _refuse(self, how: str, is_watch: bool) -> Response:
        if how == "reset":
            raise ProtocolError("Connection aborted.", ConnectionResetError(104, "reset"))
        if how == "garbage" and not is_watch:
            return Response(200, b"<html>")
        if how == "410":
            return self._failure(410) if is_watch else Response(410, b"<html>")
        if how == "403" and self._is_nested:
            how = "503"  # a question that is refused for good is another test's
        codes = {"too large": 504, "garbage": 503}
        return self._failure(codes[how] if how in codes else int(how))

    def _list(self, query: Json, version: int, pods: list[Json]) -> Response:
        if "continue" in query:
            version, start = map(int, query["continue"].split("-"))
            pods = next(each[1] for each in reversed(self._snapshots) if each[0] <= version)
        else:
            start = 0
        if "labelSelector" in query:
            pods = list(filter(self.selects, pods))
        selector = query.get("fieldSelector")
        if selector is not None:
            pods = [pod for pod in pods if f"metadata.name={pod['metadata']['name']}" == selector]
        limit = int(query.get("limit", 100))
        token = f"{version}-{start + limit}" if start + limit < len(pods) else ""
        pods = pods[start : start + limit]
        metadata = {"resourceVersion": str(version), "continue": token}
        data = protobuf.page(pods, str(version), token)
        return self._answer(200, {"metadata": metadata, "items": pods or None}, data)

    def _watch(self, query: Json) -> Response:
        # Nobody hears what happens before the answer is there.
        is_initial = "sendInitialEvents" in query
        if is_initial and self.kind.streams_lists == "refuses":
            return self._failure(422)
        version = int(query.get("resourceVersion", self.version))
        if version < self._floor:
            return self._failure(410)
        content_type = PROTOBUF + ";stream=watch" if self._is_protobuf else "application/json"
        stream = Stream(self, version, is_protobuf=self._is_protobuf)
        pieces = stream.body(is_initial=is_initial)
        return Response(200, pieces=pieces, headers={"Content-Type": content_type})

    # -- Streams ---------------------------------------------------------------------

    def since(self, version: int) -> list[tuple[int, str, Json]]:
        """Give the events after a version."""
        return [event for event in self._history if event[0] > version]

    def step(self, stream: Stream) -> bytes:
        """Do the next step of the script; what the stream says then."""
        if not self.script:
            # All is told in the end.
            return stream.deliver() + stream.bookmark()
        verb, *arguments = self.script.pop(0)
        self.now += 0.3
        if verb == "end":
            how, fraction, self._unseen, refusals = arguments
            self.script[:0] = [("refuse", how) for how in refusals]
            return stream.last_words(how, fraction)
        if verb in ("put", "delete", "replace", "label"):
            self.write(verb, *arguments)
            return b""
        if verb in ("deliver", "bookmark", "repeat", "break_"):
            return bytes(getattr(stream, verb)(*arguments))
        self._serve(verb, arguments)
        return b""

    def read_all(self) -> None:
        """Let readers of all kinds look into the memory."""
        for name in NAMES:
            for age in AGES:
                self.read(name, age)

    def finish(self) -> None:
        """Let the client stop, once it knows all."""
        if self.known_version() >= self.version:
            self.end()

    def _serve(self, verb: str, arguments: list[Any]) -> None:
        """Let somebody read, in the middle of the stream."""
        self._is_nested = True
        try:
            if verb == "ask":
                self.ask(*arguments)
            elif verb == "fetch":
                self.fetch(*arguments)
            elif verb == "send":
                self._on_the_way.append(self._answer_about(*arguments))
            elif verb == "arrive" and self._on_the_way:
                answer = self._on_the_way.pop(0)
                self.learn(*answer)
                self.read(answer[0], MAX_AGE)
            elif verb == "late":
                name, unseen = arguments
                answers = [self._answer_about(name)]
                for write in unseen:
                    self.write(*write)
                answers.append(self._answer_about(name))
                # The later answer arrives first.
                for answer in reversed(answers):
                    self.learn(*answer)
                    self.read(name, MAX_AGE)
        finally:
            self._is_nested = False

    def _answer_about(self, name: str) -> tuple[str, PodState | None, int, float]:
        pod = self.pods.get(name)
        return name, None if pod is None else state_of(pod), self.version, self.now


class Stream:
    """A watch that is being answered."""

    def __init__(self, model: Model, version: int, *, is_protobuf: bool) -> None:
        self._model = model
        self._version = version
        self._is_protobuf = is_protobuf
        self._said: list[bytes] = []
        self._breaks_off: str | None = None
        self._is_over = False

    def body(self, *, is_initial: bool) -> Iterator[bytes]:
        """Yield what is said, in segments."""
        model = self._model
        if is_initial:
            yield from self._segments(self._existing())
        while not self._is_over:
            is_last = not model.script
            with no_mistakes():
                data = model.step(self)
            yield from self._segments(data)
            with no_mistakes():
                model.read_all()
            if is_last:
                model.finish()
                self._breaks_off = "cut"
                break
        if self._breaks_off == "silent":
            raise ProtocolError("Read timed out") from IdleError("nothing heard")
        if self._breaks_off:
            raise ProtocolError("Connection broken", ConnectionResetError(104, "reset"))

    def _segments(self, data: bytes) -> Iterator[bytes]:
        size = self._model.kind.segment
        return (data[start : start + size] for start in range(0, len(data), size))

    def _pack(self, kind: str, content: Json) -> bytes:
        if self._is_protobuf:
            return protobuf.frame(kind, content)
        return json.dumps({"type": kind, "object": content}).encode() + b"\n"

    def _existing(self) -> bytes:
        pods = filter(self._model.selects, self._model.pods.values())
        data = b"".join(self._pack("ADDED", pod) for pod in pods)
        if self._model.kind.streams_lists == "yes":
            data += self.bookmark(annotations={"k8s.io/initial-events-end": "true"})
        return data

    def _lines(self) -> list[bytes]:
        events = self._model.since(self._version)
        self._version = self._model.version
        return [self._pack(kind, content) for _, kind, content in events]

    def deliver(self) -> bytes:
        """Say what has happened."""
        lines = self._lines()
        self._said += lines
        return b"".join(lines)

    def bookmark(self, **metadata: Any) -> bytes:
        """Say how far it is."""
        data = self.deliver()
        metadata["resourceVersion"] = str(self._version)
        return data + self._pack("BOOKMARK", {"metadata": metadata})

    def repeat(self, count: int) -> bytes:
        """Say again what was said, but not all of it."""
        return b"".join(self._said[-count:][: (count + 1) // 2])

    def break_(self, fraction: float) -> bytes:
        """Say nonsense in the place of one event, if there is any, with the others around it."""
        lines = self._lines()
        place = round(fraction * len(lines))
        lines[place : place + 1] = [b"\0\0\0\5xxxxx" if self._is_protobuf else b"{]\n"]
        return b"".join(lines)

    def last_words(self, how: str, fraction: float) -> bytes:
        """Say a part of what has happened, and end."""
        self._is_over = True
        data = self.deliver()
        if how.isdecimal():
            return data + self._pack("ERROR", _status(int(how)))
        if how != "orderly":
            self._breaks_off = how
        return data if how == "orderly" else data[: round(fraction * len(data))]


def _status(code: int) -> Json:
    messages = {504: "Timeout: Too large resource version: 9, current: 8"}
    reasons = {410: "Expired", 403: "Forbidden"}
    message = messages.get(code, "no")
    return {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "message": message,
        "reason": reasons.get(code, ""),
    }


def state_of(pod: Json) -> PodState:
    """What the decoder makes of a pod."""
    metadata = pod["metadata"]
    return PodState(
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        int(metadata["resourceVersion"]),
        None,
        False,
        PodPhase(pod["status"]["phase"]),
        False,
    )


class Witness:
    """Knows what was the case, and what has been told of it."""

    def __init__(self, model: Model) -> None:
        self._model = model
        # By name: the place in its past of what was told last, to anybody.
        self._told = dict.fromkeys(NAMES, 0)
        self.count = 0

    def hear(self, name: str, pod: PodState | None, since: float) -> None:
        """Somebody is told a state that was to be true at ``since`` or later."""
        self.count += 1
        past = self._model.past[name]
        version = None if pod is None else pod.version
        for place in range(self._told[name], len(past)):
            over = past[place + 1].since if place + 1 < len(past) else float("inf")
            if past[place].version == version and over >= since:
                self._told[name] = place
                return
        raise LieError(f"{name} at {version} since {since}, told {self._told[name]}: {past}")


def _drop(logger: Any, method: str, event: Any) -> NoReturn:
    raise structlog.DropEvent


SILENT_LOG = structlog.wrap_logger(None, processors=[_drop])


class Play:
    """A model, a view that follows it, and those who read."""

    def __init__(self, script: list[Any], kind: Kind) -> None:
        self.model = model = Model(script, kind)
        self.witness = Witness(model)
        api_client = kubernetes_client.ApiClient(kubernetes_client.Configuration())
        api_client.rest_client.pool_manager = model
        self._client = Client(api_client)
        self._timeout = Timeout("Following a history", timedelta(seconds=60))
        scope = Scope("lab-", label_selector="app=lab" if kind.selects else None)
        self.view = View(scope, model.clock)
        source = PodSource(None, scope.label_selector, wants=scope.covers, clock=model.clock)
        self._asker = Asker(source, self.view, MAX_AGE, model.clock)
        self.readers = [ChangeReader() for _ in range(READERS)]
        self.told: list[list[Told]] = [[] for _ in range(READERS)]
        for reader in self.readers:
            self.view.listen(reader)
        self.feed = Feed(
            Call(self._client, self._timeout, SILENT_LOG),
            source,
            self.view,
            Health(lambda _: None, model.clock),
            MAX_AGE,
            model.clock,
        )
        model.read, model.ask, model.fetch = self.read, self.ask, self.fetch
        model.learn, model.end = self.learn, self._timeout.cancel
        model.known_version = lambda: self.view.version

    def read(self, name: str, age: float) -> None:
        """Look into the memory."""
        since = self.model.now - age
        pod = self.view.look((NAMESPACE, name), since)
        if not isinstance(pod, Unknown):
            self.witness.hear(name, pod, since)

    def ask(self, name: str, age: float) -> None:
        """Ask the server, if need be."""
        call = Call(self._client, Timeout("Asking", timedelta(seconds=60)), SILENT_LOG)
        began = self.model.now
        if name == "*":
            self._asker.ask_for_all(call, lambda: began - age)
            for each in NAMES:
                self.read(each, MAX_AGE)
        else:
            pod = self._asker.ask(call, (NAMESPACE, name), lambda: began - age)
            self.witness.hear(name, pod, began - age)

    def learn(self, name: str, pod: PodState | None, version: int, sent_at: float) -> None:
        """Have an answer arrive."""
        self.view.learn((NAMESPACE, name), pod, version, sent_at)

    def fetch(self, number: int) -> None:
        """Let a reader of changes read."""
        for told in self.readers[number].changes():
            self.told[number].append(told)


def play(script: list[Any], kind: Kind) -> Play:
    """Follow a model through a script, to its end."""
    playing = Play(script, kind)
    with ExitStack() as stack:
        # Pauses are another test's.
        stack.enter_context(patch.object(_retry, "_jitter", lambda _: 0.0))
        stack.enter_context(patch.object(_rounds, "_pause_seconds", lambda *_: 0.0))
        stack.enter_context(patch.object(_rounds, "FIRST_REFUSAL_SECONDS", 0.0))
        stack.enter_context(patch.object(_feed, "GATHERING_SECONDS", 0.0))
        stack.enter_context(patch.object(_pod_source, "PAGE_SIZE", 2))
        playing.feed.run()
    return playing


@settings(
    max_examples=500, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(SCRIPTS, KINDS)
def test_nobody_is_told_a_lie(script: list[Any], kind: Kind) -> None:
    """What is told was so when it was to be, and at the end all is known."""
    playing = play(script, kind)
    pods = list(filter(playing.model.selects, playing.model.pods.values()))
    versions = {pod["metadata"]["name"]: int(pod["metadata"]["resourceVersion"]) for pod in pods}
    assert versions == {pod.name: pod.version for pod in playing.view.pods()}
    phases = {pod["metadata"]["uid"]: PodPhase(pod["status"]["phase"]) for pod in pods}
    for number in range(READERS):
        playing.fetch(number)
        known: dict[str, PodPhase] = {}
        gone: set[str] = set()
        for told in playing.told[number]:
            assert known.get(told.uid) == told.previous, "not the phase that was told last"
            # One that is selected again is another matter.
            assert kind.selects or told.uid not in gone, "back from the dead"
            if told.phase is None:
                del known[told.uid]
                gone.add(told.uid)
            else:
                known[told.uid] = told.phase
        assert phases == known

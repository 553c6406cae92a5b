"""What is read of pods from protobuf is what is read from JSON, and no bytes do harm."""

from __future__ import annotations

import itertools
import json
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab_storage import PodPhase
from lab_storage._api import frames, pod_json, pod_protobuf
from lab_storage._api import protobuf as scanner
from lab_storage._api.pod_state import PodState
from lab_storage._api.protobuf import PROTOBUF, DecodeError
from tests.support import protobuf

Json = dict[str, Any]

NAMES = st.text("abc-é", min_size=1, max_size=8)
TEXTS = st.one_of(st.none(), st.text(max_size=200))
WAITING = st.fixed_dictionaries({"reason": TEXTS, "message": TEXTS})
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": NAMES, "state": st.one_of(st.none(), st.fixed_dictionaries({"waiting": WAITING}))}
    ),
    max_size=3,
)
CONDITIONS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["Ready", "PodScheduled", "Initialized", "ReadyToGo", ""]),
            "status": st.sampled_from(["True", "False", "Unknown", ""]),
            "reason": TEXTS,
            "message": TEXTS,
        }
    ),
    max_size=6,
)
TIMES = st.sampled_from([None, "2026-02-03T04:05:06Z", "1970-01-01T00:00:01Z"])
PODS = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {
                "name": NAMES,
                "namespace": NAMES,
                "uid": st.one_of(st.none(), NAMES),
                "resourceVersion": st.one_of(st.none(), st.integers(1, 10**12).map(str), NAMES),
                "creationTimestamp": TIMES,
                "deletionTimestamp": TIMES,
            }
        ),
        "status": st.fixed_dictionaries(
            {
                "phase": st.sampled_from([*(phase.value for phase in PodPhase), "Odd", "", None]),
                "conditions": st.one_of(st.none(), CONDITIONS),
                "containerStatuses": st.one_of(st.none(), CONTAINERS),
                "initContainerStatuses": st.one_of(st.none(), CONTAINERS),
                "nominatedNodeName": st.sampled_from([None, "", "node-1"]),
            }
        ),
    }
)
POD: Json = {
    "metadata": {
        "name": "lab",
        "namespace": "lab-jovyan",
        "uid": "u-1",
        "resourceVersion": "17",
        "creationTimestamp": "2026-02-03T04:05:06Z",
    },
    "status": {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady"},
        ],
        "containerStatuses": [
            {"name": "notebook", "state": {"waiting": {"reason": "ErrImagePull", "message": "é"}}}
        ],
    },
}
REFUSAL: Json = {
    "kind": "Status",
    "apiVersion": "v1",
    "status": "Failure",
    "message": "too many requests",
    "reason": "TooManyRequests",
    "code": 429,
    "details": {"name": "lab", "kind": "pods", "retryAfterSeconds": 7},
}


def read(pod: Json) -> tuple[Any, ...]:
    """What is read of a pod in protobuf."""
    data = protobuf.pod(pod)
    return attrs.astuple(pod_protobuf.pod(data, 0, len(data)))


@settings(max_examples=300, deadline=None, database=None)
@given(PODS)
def test_protobuf_says_what_json_says(pod: Json) -> None:
    """A pod is read alike from both."""
    assert attrs.astuple(pod_json.pod(pod)) == read(pod)


def test_fields_of_a_pod_are_read() -> None:
    """What reads, waits and lists need is there."""
    expected = PodState(
        namespace="lab-jovyan",
        name="lab",
        uid="u-1",
        version=17,
        created=1770091506,
        is_terminating=False,
        phase=PodPhase.PENDING,
        is_ready=False,
        waiting=((None, "Unschedulable", None), ("notebook", "ErrImagePull", "é")),
    )
    assert attrs.astuple(expected) == read(POD)


# Lengths, tags and texts that look like each other: "2" and "8" are tags, too.
ALIKE = st.text("28-a0", min_size=1, max_size=60)


@settings(max_examples=300, deadline=None, database=None)
@given(ALIKE, ALIKE, ALIKE, st.integers(1, 10**20).map(str), st.integers(0, 300), TIMES)
def test_pattern_finds_what_a_scan_finds(
    name: str, namespace: str, uid: str, version: str, generation: int, deleted: str | None
) -> None:
    """What looks alike is told apart by its length."""
    metadata = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": version}
    times = {"creationTimestamp": "2026-02-03T04:05:06Z", "deletionTimestamp": deleted}
    pod = {**POD, "metadata": {**metadata, **times, "generation": generation}}
    frame = protobuf.event("MODIFIED", pod)
    found = pod_protobuf.event(frame)
    assert found.pod is not None
    assert attrs.astuple(pod_json.pod(pod)) == attrs.astuple(found.pod)
    assert ("MODIFIED", found.pod.version) == (found.type, found.version)


@pytest.mark.parametrize("seconds", [253_402_300_799, 253_402_300_800, 2**64 - 1])
def test_time_that_is_none_here_is_left_out(seconds: int) -> None:
    """Python has no date for what comes after the year 9999, nor for what is below zero."""
    known, created = protobuf.varint(1770091506), protobuf.varint(seconds)
    data = protobuf.pod(POD)
    size, at = len(created) - len(known), data.index(b"\x08" + known)
    data = data.replace(known, created)
    # The lengths of the metadata and of the time in it.
    data = bytes([data[0], data[1] + size, *data[2 : at - 1], data[at - 1] + size, *data[at:]])
    expected = seconds if seconds < 253_402_300_800 else None
    assert expected == pod_protobuf.pod(data, 0, len(data)).created


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
def test_what_servers_write_is_found_by_the_pattern(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A scan of the same costs more than twice as much."""
    uid = "2be4feed-da37-4a50-8ed5-2b50de844b8e"
    pod = {**POD, "metadata": {**POD["metadata"], "uid": uid, "generation": 1}}
    scans: list[int] = []
    scan = scanner.scan

    def count(data: bytes, at: int, *arguments: Any) -> None:
        scans.append(at)
        scan(data, at, *arguments)

    monkeypatch.setattr(pod_protobuf, "scan", count)
    monkeypatch.setattr(scanner, "scan", count)
    frame = protobuf.event(kind, {**pod, "status": {"phase": "Running"}})
    found = pod_protobuf.event(frame).pod
    assert found is not None
    assert (uid, PodPhase.RUNNING) == (found.uid, found.phase)
    # Where the status is, and what it says.
    assert 2 == len(scans)


def test_frame_that_is_cut_off_is_an_error() -> None:
    """Wherever it is cut off."""
    frame = protobuf.event("ADDED", POD)
    for size in range(len(frame)):
        with pytest.raises(DecodeError):
            pod_protobuf.event(frame[:size])


def test_pod_that_has_started_waits_for_nothing() -> None:
    """What a running pod's containers wait for is not kept; whether it is ready is."""
    ready = {"type": "Ready", "status": "True"}
    status = {**POD["status"], "phase": "Running", "conditions": [ready]}
    data = protobuf.pod({**POD, "status": status})
    state = pod_protobuf.pod(data, 0, len(data))
    assert ((), True, True) == (state.waiting, state.is_ready, state.has_started)


@pytest.mark.parametrize("content_type", [PROTOBUF + ";stream=watch", "application/json"])
@pytest.mark.parametrize("size", [1, 3, 4, 50, 100_000])
def test_events_are_cut_from_any_pieces(content_type: str, size: int) -> None:
    """Each event is there as soon as its last byte is, however the bytes arrive."""
    end = {"metadata": {"resourceVersion": "18", "annotations": {"k8s.io/initial-events-end": ""}}}
    sent = [("ADDED", POD), ("BOOKMARK", end), ("ERROR", REFUSAL)]
    if content_type.startswith(PROTOBUF):
        body = b"".join(protobuf.frame(*each) for each in sent)
    else:
        lines = [json.dumps({"type": kind, "object": content}) for kind, content in sent]
        body = ("\ufeff" + "\r\n\n".join(lines) + "\n").encode()
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    told = list(frames.events(pieces, content_type))
    assert ["ADDED", "BOOKMARK", "ERROR"] == [event.type for event in told]
    assert [17, 18, 0] == [event.version for event in told]
    assert [False, True, False] == [event.is_initial_end for event in told]
    assert told[0].pod is not None
    assert "u-1" == told[0].pod.uid
    assert REFUSAL == told[2].status


def test_pages_are_read() -> None:
    """A page has a version, a token, and the pods; what is not one is left out."""
    nameless: Json = {"metadata": {"namespace": "lab-jovyan"}}
    items = [POD, nameless, {"metadata": {**POD["metadata"], "name": "two"}}]
    pages = [
        pod_protobuf.page(protobuf.page(items, "99", "more")),
        pod_json.page(
            {"metadata": {"resourceVersion": "99", "continue": "more"}, "items": [*items, None]}
        ),
    ]
    for page in pages:
        assert (99, "more") == (page.version, page.token)
        assert ["lab", "two"] == [pod.name for pod in page.pods]


def test_refusal_is_read() -> None:
    """A Status in protobuf is what it is in JSON."""
    assert REFUSAL == scanner.status(protobuf.status(REFUSAL))


FUNCTIONS = [
    pod_protobuf.page,
    pod_protobuf.event,
    scanner.status,
    lambda data: pod_protobuf.pod(data, 0, len(data)),
    lambda data: list(frames.events([data], PROTOBUF)),
    lambda data: list(frames.events([data, b"\n"], "application/json")),
]
WHOLE = [
    protobuf.page([POD, POD], "5"),
    protobuf.event("MODIFIED", POD),
    protobuf.event("BOOKMARK", POD),
    protobuf.event("ERROR", REFUSAL),
    protobuf.status(REFUSAL),
    protobuf.pod(POD),
    protobuf.frame("ADDED", POD),
    json.dumps({"type": "ADDED", "object": POD}).encode(),
]


@settings(max_examples=1000, deadline=None, database=None)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=12), st.integers(0, 12)), max_size=3),
)
def test_no_bytes_do_harm(data: bytes, edits: list[tuple[float, bytes, int]]) -> None:
    """Whatever is broken in an answer, there is a result or the one error."""
    for place, put, gone in edits:
        at = round(place * len(data))
        data = data[:at] + put + data[at + gone :]
    for function in FUNCTIONS:
        try:
            function(data)
        except DecodeError:
            pass


@settings(max_examples=500, deadline=None, database=None)
@given(st.binary(max_size=200))
def test_noise_does_no_harm(data: bytes) -> None:
    """Bytes that mean nothing do not either."""
    for function in FUNCTIONS:
        for start in (b"", b"k8s\x00", b"\x00\x00\x00\x10"):
            try:
                function(start + data)
            except DecodeError:
                pass


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # longer than anything
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length that does not end
        b"\x0b\x0a\x01\x61",  # a group, which nobody writes
        b"\x0a\x05\x0a\x06abc",  # a field that reaches out of its message
        b"",
    ],
)
def test_what_cannot_be_read_is_one_error(data: bytes) -> None:
    """A pod that is cut, or not one, raises."""
    with pytest.raises(DecodeError):
        pod_protobuf.pod(data, 0, len(data))


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"null",
        b"[1]",
        b"\xff\xfe\x00",
        b'{"type": "MODIFIED"}',
        b'{"type": "MODIFIED", "object": null}',
        b'{"type": "MODIFIED", "object": {"metadata": null}}',
        b'{"type": "BOOKMARK", "object": {}}',
        b'{"type": "PONDERED", "object": {"metadata": {"uid": "u", "resourceVersion": "9"}}}',
        b'{"type": ["ADDED"], "object": {"metadata": {"name": "lab"}}}',
        b"[" * 100_000,
    ],
)
def test_line_that_is_not_an_event_is_an_error(line: bytes) -> None:
    """Something was said, and is lost."""
    with pytest.raises(DecodeError):
        list(frames.events([line + b"\n"], "application/json"))


def test_frame_that_claims_too_much_is_an_error() -> None:
    """Nobody waits for four gigabytes."""
    with pytest.raises(DecodeError):
        list(frames.events([b"\xff\xff\xff\xff"], PROTOBUF))


def test_line_that_does_not_end_is_an_error() -> None:
    """Nobody keeps all that a server says without a break."""
    endless = itertools.repeat(b"x" * (1 << 20))
    with pytest.raises(DecodeError):
        list(frames.events(endless, "application/json"))

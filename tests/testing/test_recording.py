"""The recorder and the player of HTTP, on any client and any server."""

from __future__ import annotations

import base64
import itertools
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes import client, watch

from lab_storage import LabObjectNames, LabStorage, PodPhase
from lab_storage.testing._recording.exchanges import Exchange, Request, Response
from lab_storage.testing._recording.files import load, save
from lab_storage.testing._recording.scrubbing import scrubbed
from lab_storage.testing.recording import (
    Player,
    Recorder,
    UnexpectedRequestError,
    UnusedResponsesError,
)
from tests.support import villain
from tests.support.labs import timeout_of
from tests.support.recorded import RECORDINGS
from tests.support.villain import TOKEN, Seen, Villain, json_answer

NAMES = LabObjectNames("jovyan", "lab", "env", "quota", "lab")
UID = "3f0c6b1e-7a52-4b1d-9a3e-5d1c2b7f8e90"
OTHER_UID = "c1d7a0f4-1111-4222-8333-944455566677"
POD_PATH = "/api/v1/namespaces/lab/pods/lab"
PODS_PATH = "/api/v1/namespaces/lab/pods"


def pod(version: int = 7, phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    """A pod as a server sends it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "lab",
            "namespace": "lab",
            "uid": UID,
            "resourceVersion": str(version),
            "creationTimestamp": "2026-11-24T06:22:12Z",
            **metadata,
        },
        "spec": {"containers": [{"name": "notebook", "image": "lab:1"}]},
        "status": {"phase": phase, "podIP": "10.4.3.2"},
    }


def exchange(
    url: str, content: Any = None, *, method: str = "GET", sent: Any = None, status: int = 200
) -> Exchange:
    """A request for JSON, and its answer: a list is a stream's lines."""
    body = {"lines": content} if isinstance(content, list) else {"json": content}
    return Exchange(
        Request(method, url, {}, {} if sent is None else {"json": sent}),
        Response(status, {"Content-Type": "application/json"}, {} if content is None else body),
    )


def player_of(tmp_path: Path, *exchanges: Exchange, host: str = "https://any.example") -> Player:
    """A player of a recording of these."""
    path = tmp_path / "case.yaml"
    save(path, exchanges)
    return Player(client.ApiClient(client.Configuration(host=host)), path)


def core(player: Player) -> client.CoreV1Api:
    """The official client's own methods, played."""
    return client.CoreV1Api(player.api_client)


# -- The player ------------------------------------------------------------------


@pytest.mark.parametrize("host", ["https://any.example", "http://10.0.0.1:8001/k8s/cluster-1/"])
def test_official_client_reads_from_a_recording(tmp_path: Path, host: str) -> None:
    """Its models come from the file, whatever its host is."""
    with player_of(tmp_path, exchange(POD_PATH, pod()), host=host) as player:
        read = core(player).read_namespaced_pod("lab", "lab")
    assert ("lab", UID) == (read.metadata.name, read.metadata.uid)


def test_official_client_gets_recorded_refusal(tmp_path: Path) -> None:
    """A refusal is the client's own exception, with body and headers."""
    refused = exchange(POD_PATH, villain.status_content(429, "TooManyRequests"), status=429)
    assert refused.response is not None
    refused.response.headers["Retry-After"] = "7"
    with player_of(tmp_path, refused) as player, pytest.raises(client.ApiException) as error:
        core(player).read_namespaced_pod("lab", "lab")
    assert 429 == error.value.status
    assert "7" == error.value.headers["Retry-After"]
    assert "TooManyRequests" == json.loads(error.value.body)["reason"]


def test_official_client_creates_from_a_recording(tmp_path: Path) -> None:
    """What is sent is compared, and what was answered comes back."""
    sent = {"metadata": {"name": "env"}, "data": {"a": "b"}}
    created = {"apiVersion": "v1", "kind": "ConfigMap", **sent}
    url = "/api/v1/namespaces/lab/configmaps?fieldManager=me"
    recorded = exchange(url, created, method="POST", sent=sent, status=201)
    with player_of(tmp_path, recorded) as player:
        made = core(player).create_namespaced_config_map("lab", sent, field_manager="me")
    assert {"a": "b"} == made.data


def test_official_watch_ends_where_the_recording_does(tmp_path: Path) -> None:
    """The events come in their order; the client's random time limit does not matter."""
    lines = [
        {"type": "ADDED", "object": pod(7, "Pending")},
        {"type": "MODIFIED", "object": pod(8)},
    ]
    with player_of(tmp_path, exchange(f"{PODS_PATH}?watch=true", lines)) as player:
        events = list(
            watch.Watch().stream(core(player).list_namespaced_pod, "lab", timeout_seconds=41)
        )
    assert [("ADDED", "Pending"), ("MODIFIED", "Running")] == [
        (event["type"], event["object"].status.phase) for event in events
    ]


def test_answers_to_one_request_come_in_order(tmp_path: Path) -> None:
    """Each is given once; between different requests there is no order."""
    phases = [exchange(POD_PATH, pod(phase=phase)) for phase in ("Pending", "Running")]
    with player_of(tmp_path, exchange(PODS_PATH, {"items": []}), *phases) as player:
        read = [core(player).read_namespaced_pod("lab", "lab").status.phase for _ in range(2)]
        assert [] == core(player).list_namespaced_pod("lab").items
    assert ["Pending", "Running"] == read


def test_unexpected_request_is_named_and_never_retried(tmp_path: Path, logger: Any) -> None:
    """Through the library, which tries again what is only a failing connection."""
    with (
        pytest.raises(UnexpectedRequestError) as error,
        player_of(tmp_path, exchange(PODS_PATH, {"items": []})) as player,
        LabStorage(player.api_client, logger) as storage,
    ):
        storage.read_pod_phase(NAMES, timeout_of(60))
    assert (
        f"case.yaml has no answer to GET {POD_PATH}: what is left is\n  1x GET {PODS_PATH}"
        == str(error.value)
    )


def test_answer_is_not_given_twice(tmp_path: Path) -> None:
    """One recorded answer is one answer."""
    with (
        pytest.raises(UnexpectedRequestError, match="all answers have been given"),
        player_of(tmp_path, exchange(POD_PATH, pod())) as player,
    ):
        list(map(core(player).read_namespaced_pod, ["lab"] * 2, ["lab"] * 2))


def test_other_body_is_unexpected_and_its_values_are_not_shown(tmp_path: Path) -> None:
    """The error says where the body differs, and not by what: it may be a Secret."""
    sent = {"metadata": {"name": "s"}, "stringData": {"a": "hush", "b": "same"}}
    changed = {**sent, "stringData": {"a": "shout", "b": "same"}}
    recorded = exchange("/api/v1/namespaces/lab/secrets", {}, method="POST", sent=sent)
    with (
        pytest.raises(UnexpectedRequestError) as error,
        player_of(tmp_path, recorded) as player,
    ):
        core(player).create_namespaced_secret("lab", changed)
    assert str(error.value).endswith(": the body is not the recorded one, by stringData.a")


def test_another_form_is_another_request(tmp_path: Path) -> None:
    """A Table is not what was asked for without one."""
    with (
        pytest.raises(UnexpectedRequestError, match=r"\(application/json;as=Table\)"),
        player_of(tmp_path, exchange(PODS_PATH, {"items": []})) as player,
    ):
        player.api_client.rest_client.pool_manager.request(
            "GET",
            f"https://any.example{PODS_PATH}",
            headers={"accept": "application/json;as=Table, application/json"},
        )


def test_unexpected_request_that_nobody_saw_is_raised_at_the_end(tmp_path: Path) -> None:
    """A thread that died of it, or a broad except, hides nothing."""

    def ask() -> None:
        with pytest.raises(UnexpectedRequestError):
            core(player).read_namespaced_pod("lab", "lab")

    with (
        pytest.raises(UnexpectedRequestError, match=POD_PATH),
        player_of(tmp_path) as player,
        ThreadPoolExecutor() as threads,
    ):
        threads.submit(ask).result()


def test_answers_that_nobody_asked_for_are_an_error(tmp_path: Path) -> None:
    """They are counted by request."""
    left = [exchange(POD_PATH, pod()), exchange(POD_PATH, pod()), exchange(PODS_PATH, {})]
    with pytest.raises(UnusedResponsesError) as error, player_of(tmp_path, *left):
        pass
    assert [f"  2x GET {POD_PATH}", f"  1x GET {PODS_PATH}"] == str(error.value).splitlines()[1:]


def test_error_of_the_test_is_not_hidden_by_what_is_left(tmp_path: Path) -> None:
    """What went wrong first is what is seen."""
    with pytest.raises(KeyError), player_of(tmp_path, exchange(POD_PATH, pod())):
        raise KeyError


def test_client_is_as_before(tmp_path: Path) -> None:
    """Its pool is put back, and can be closed in between."""
    player = player_of(tmp_path)
    before = player.api_client.rest_client.pool_manager
    with player:
        player.api_client.rest_client.pool_manager.clear()
        assert before is not player.api_client.rest_client.pool_manager
    assert before is player.api_client.rest_client.pool_manager


def test_only_its_own_client_is_played(tmp_path: Path) -> None:
    """Two players at once answer each their own, and others that use requests are let be."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        Villain(json_answer({"from": "a server"})) as real,
        player_of(tmp_path / "a", exchange(POD_PATH, pod(phase="Pending"))) as one,
        player_of(tmp_path / "b", exchange(POD_PATH, pod(phase="Failed"))) as other,
        requests.Session() as session,
    ):
        read = [core(each).read_namespaced_pod("lab", "lab").status.phase for each in (one, other)]
        assert ["Pending", "Failed"] == read
        assert {"from": "a server"} == session.get(real.url).json()


def test_answers_can_be_added(tmp_path: Path, logger: Any) -> None:
    """A 503 that no server sent comes first, and the library retries it."""
    with (
        player_of(tmp_path) as player,
        LabStorage(player.api_client, logger) as storage,
    ):
        for status in (503, 200):
            player.responses.add(
                "GET", f"https://any.example{POD_PATH}", json=pod(), status=status
            )
        assert PodPhase.RUNNING == storage.read_pod_phase(NAMES, timeout_of(60))


@pytest.mark.parametrize(
    "text", ["", "exchanges: 1", "exchanges: [{}]", "{", "- a", "exchanges: [{request: 1}]"]
)
def test_file_that_is_not_a_recording_is_named(tmp_path: Path, text: str) -> None:
    """A YAML parser's exception is not what the user sees."""
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    player = Player(client.ApiClient(client.Configuration(host="https://any.example")), path)
    with pytest.raises(ValueError, match=r"odd\.yaml is not a recording"):
        player.__enter__()


@pytest.mark.parametrize(
    ("method", "fields", "url", "body"),
    [
        ("GET", [("labelSelector", "a=b")], "/x?labelSelector=a%3Db", {}),
        ("POST", [("a", "b c")], "/x", {"text": "a=b+c"}),
    ],
)
def test_fields_are_sent_as_urllib3_sends_them(
    tmp_path: Path, method: str, fields: Any, url: str, body: dict[str, Any]
) -> None:
    """In the query if there is no body, else as a form."""
    headers = {} if method == "GET" else {"Content-Type": "application/x-www-form-urlencoded"}
    recorded = Exchange(Request(method, url, headers, body), Response(200, {}, {"text": "done"}))
    with player_of(tmp_path, recorded) as player:
        answer = player.api_client.rest_client.pool_manager.request(
            method, "https://any.example/x", fields=fields, encode_multipart=False
        )
    assert b"done" == answer.data


# -- The recorder ----------------------------------------------------------------


def test_what_is_recorded_can_be_played(tmp_path: Path, logger: Any) -> None:
    """The same calls give the same, with and without the server."""

    def script(request: Seen) -> villain.Act:
        if request.is_watch:
            return villain.stream({"type": "MODIFIED", "object": pod(9)})
        if request.path == PODS_PATH:
            items = [pod(8, "Pending")]
            return json_answer({"metadata": {"resourceVersion": "8"}, "items": items})
        return json_answer(pod(9))

    def calls(api_client: Any) -> list[Any]:
        with LabStorage(api_client, logger) as storage:
            return [
                storage.wait_for_pod_start("lab", "lab", timeout_of(60)),
                storage.read_pod_phase(NAMES, timeout_of(60)),
                client.CoreV1Api(api_client).read_namespaced_pod("lab", "lab").status.phase,
            ]

    with (
        Villain(script) as server,
        Recorder(server.api_client(), tmp_path / "case.yaml") as recorder,
    ):
        heard = calls(recorder.api_client)
    with Player(
        client.ApiClient(client.Configuration(host="https://a.b")), recorder.path
    ) as player:
        assert heard == calls(player.api_client)
    assert [PodPhase.RUNNING, PodPhase.RUNNING, "Running"] == heard


def test_watch_is_recorded_as_far_as_it_is_read(tmp_path: Path) -> None:
    """Not to the end of the segment, which is another each time."""
    lines = [json.dumps({"type": "ADDED", "object": pod(n)}).encode() + b"\n" for n in range(1, 4)]
    with (
        Villain(villain.stream(b"".join(lines))) as server,
        Recorder(server.api_client(), tmp_path / "case.yaml") as recorder,
    ):
        answer = recorder.api_client.rest_client.pool_manager.request(
            "GET", f"{server.url}{PODS_PATH}?watch=true", preload_content=False
        )
        heard = list(itertools.islice(answer.stream(), 2))
        answer.close()
    assert lines[:2] == heard
    (only,) = load(recorder.path)
    assert only.response is not None
    assert ["2", "3"] == [
        line["object"]["metadata"]["resourceVersion"] for line in only.response.body["lines"]
    ]


def test_stream_is_read_as_the_client_likes(tmp_path: Path) -> None:
    """Line by line, in amounts, or whole; a last line that is cut stays cut."""
    served = b'{"a": 1}\n\nno json\n{"cut'
    with (
        Villain(villain.stream(served, end="orderly")) as server,
        Recorder(server.api_client(), tmp_path / "case.yaml") as recorder,
    ):
        answer = recorder.api_client.rest_client.pool_manager.request(
            "GET", f"{server.url}/log?follow=true"
        )
        heard = [answer.read(10), next(answer.stream(5)), answer.data]
    assert [b'{"a": 1}\n', b"\n", b'no json\n{"cut'] == heard
    (only,) = load(recorder.path)
    assert only.response is not None
    assert [{"a": 1}, "\n", "no json\n", '{"cut'] == only.response.body["lines"]
    assert b'{"a":1}\n\nno json\n{"cut' == only.response.content


def test_no_recording_is_made_of_what_failed(tmp_path: Path) -> None:
    """An earlier one stays as it is, and the client's pool is put back."""
    path = tmp_path / "case.yaml"
    path.write_text("earlier")
    with Villain(json_answer(pod())) as server:
        api_client = server.api_client()
        before = api_client.rest_client.pool_manager
        with pytest.raises(AttributeError, match="shape"), Recorder(api_client, path):
            _ = client.CoreV1Api(api_client).read_namespaced_pod("lab", "lab").shape
        assert before is api_client.rest_client.pool_manager
    assert "earlier" == path.read_text()
    assert [path] == list(tmp_path.iterdir())


def test_request_without_an_answer_is_left_out(tmp_path: Path) -> None:
    """A reset connection is not an answer."""
    with (
        Villain(villain.reset, json_answer(pod())) as server,
        Recorder(server.api_client(retries=False), tmp_path / "case.yaml") as recorder,
    ):
        api = client.CoreV1Api(recorder.api_client)
        with pytest.raises(Exception, match="reset"):
            api.read_namespaced_pod("lab", "lab")
        api.read_namespaced_pod("lab", "lab")
    assert 1 == len(load(recorder.path))


JWT = ".".join(
    base64.urlsafe_b64encode(part).rstrip(b"=").decode()
    for part in (b'{"alg":"RS256"}', b'{"sub":"me"}', b"a signature")
)
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def test_credentials_certificates_and_addresses_are_scrubbed(tmp_path: Path) -> None:
    """Also where a server repeats them."""
    content = {
        "token": JWT,
        "echo": f"you said {TOKEN.removeprefix('Bearer ')}",
        "ca.crt": f"before {PEM}after",
        "caBundle": base64.b64encode(PEM.encode()).decode(),
        "podIP": "10.4.3.2",
        "podIPs": ["10.4.3.2", "fd00::5", "10.4.3.3"],
        "hostIP": "127.0.0.1",
        "version": "1.37.2",
        'k:{"ip":"10.4.3.3"}': {},
    }
    with (
        Villain(
            lambda request: json_answer({**content, "server": f"http://{request.headers['host']}"})
        ) as server,
        Recorder(server.api_client(), tmp_path / "case.yaml") as recorder,
    ):
        recorder.api_client.rest_client.pool_manager.request(
            "GET", f"{server.url}/x", headers={"Authorization": TOKEN, "Cookie": "id=cookie"}
        )
    (only,) = load(recorder.path)
    assert only.response is not None
    assert {
        "token": "(token)",
        "echo": "you said (token)",
        "ca.crt": "before (certificate)after",
        "caBundle": base64.b64encode(b"(certificate)").decode(),
        "podIP": "192.0.2.2",
        "podIPs": ["192.0.2.2", "2001:db8::1", "192.0.2.1"],
        "hostIP": "127.0.0.1",
        "version": "1.37.2",
        'k:{"ip":"192.0.2.1"}': {},
        "server": "http://kubernetes.invalid",
    } == only.response.body["json"]
    text = recorder.path.read_text()
    assert "Authorization" not in text
    assert "cookie" not in text
    assert {"Content-Type": "application/json"} == only.response.headers


SECRETS_PATH = "/api/v1/namespaces/lab/secrets"
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {
        "name": "s",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"a": "hush"}'},
    },
    "data": {"a": base64.b64encode(b"hush").decode()},
    "stringData": {"b": "hush"},
}
INVALID = villain.status_content(422, "Invalid", 'Invalid value: "hush"', {"causes": ["hush"]})


@pytest.mark.parametrize(
    "secret",
    [
        exchange(f"{SECRETS_PATH}/s", SECRET),
        exchange("/apis/example.com/v1/things", {"nested": [SECRET]}),
        exchange(SECRETS_PATH, {"items": [{k: v for k, v in SECRET.items() if k != "kind"}]}),
        exchange(f"{SECRETS_PATH}?watch=true", [{"type": "ADDED", "object": SECRET}]),
        exchange(SECRETS_PATH, INVALID, method="POST", sent=SECRET, status=422),
        exchange(
            f"{SECRETS_PATH}/s",
            SECRET,
            method="PATCH",
            sent=[{"op": "replace", "path": "/data/a", "value": "hush"}],
        ),
        exchange(f"{SECRETS_PATH}/s", SECRET, method="PATCH", sent={"data": {"a": "hush"}}),
        Exchange(Request("GET", SECRETS_PATH), Response(502, {}, {"text": "<p>hush"})),
    ],
)
def test_values_of_secrets_are_not_recorded(tmp_path: Path, secret: Exchange) -> None:
    """Unless they are to be kept; and what is sent is recognised in both cases."""
    for keep_secrets in (False, True):
        path = tmp_path / "case.yaml"
        save(path, scrubbed([secret], keep_secrets=keep_secrets))
        text = path.read_text()
        shown = "hush" in text or base64.b64encode(b"hush").decode() in text
        assert keep_secrets is shown
        request = secret.request
        api_client = client.ApiClient(client.Configuration(host="https://any.example"))
        with Player(api_client, path):
            answer = api_client.rest_client.pool_manager.request(
                request.method,
                f"https://any.example{request.url}",
                body=json.dumps(request.body["json"]) if request.body else None,
            )
            assert secret.response is not None
            assert secret.response.status == answer.status


def test_refusal_of_a_secret_that_tells_nothing_stays() -> None:
    """A 404 or 409 is what tests are about."""
    missing = villain.status_content(404, "NotFound", 'secrets "s" not found')
    (only,) = scrubbed([exchange(f"{SECRETS_PATH}/s", missing, status=404)])
    assert only.response is not None
    assert 'secrets "s" not found' == only.response.body["json"]["message"]


def test_what_differs_each_time_is_fixed() -> None:
    """Times, ages, generated names, and the order that times gave."""
    content = {
        "kind": "Pod",
        "metadata": {
            "name": "lab-x7k2p",
            "generateName": "lab-",
            "uid": UID,
            "ownerReferences": [{"uid": OTHER_UID}],
            "managedFields": [
                {"manager": "b", "operation": "Update", "time": "2026-11-24T06:22:12Z"},
                {"manager": "a", "operation": "Update", "time": "2026-11-24T06:22:13Z"},
            ],
        },
        "spec": {"volumes": [{"name": "kube-api-access-4kbtd"}]},
        "status": {
            "containerID": f"containerd://{'ab' * 32}",
            "micro": "2026-11-24T06:22:12.123456Z",
            "message": f"pod lab-x7k2p ({UID}) at 2026-11-24T08:22:12+02:00",
        },
    }
    (only,) = scrubbed([exchange(f"{PODS_PATH}/lab-x7k2p", content)])
    first, second = (f"00000000-0000-4000-8000-{number:012}" for number in (1, 2))
    assert f"{PODS_PATH}/lab-00001" == only.request.url
    assert only.response is not None
    assert {
        "kind": "Pod",
        "metadata": {
            "name": "lab-00001",
            "generateName": "lab-",
            "uid": second,
            "ownerReferences": [{"uid": first}],
            "managedFields": [
                {"manager": name, "operation": "Update", "time": "2026-01-01T00:00:00Z"}
                for name in ("a", "b")
            ],
        },
        "spec": {"volumes": [{"name": "kube-api-access-00001"}]},
        "status": {
            "containerID": f"containerd://{1:064}",
            "micro": "2026-01-01T00:00:00.000000Z",
            "message": f"pod lab-00001 ({second}) at 2026-01-01T00:00:00Z",
        },
    } == only.response.body["json"]


def test_ages_of_tables_are_fixed() -> None:
    """Of a watch, whose first event alone says which column they are, too."""
    columns = [{"name": "Name"}, {"name": "Age"}]
    tables = [
        {"kind": "Table", "columnDefinitions": columns, "rows": [{"cells": ["lab", "3m"]}]},
        {"kind": "Table", "columnDefinitions": None, "rows": [{"cells": ["lab", "4m"]}]},
        {"kind": "Table", "rows": None},
    ]
    lines = [{"type": "ADDED", "object": table} for table in tables]
    (only,) = scrubbed([exchange(f"{PODS_PATH}?watch=true", lines)])
    assert only.response is not None
    rows = [line["object"]["rows"] for line in only.response.body["lines"]]
    assert [[{"cells": ["lab", "0s"]}], [{"cells": ["lab", "0s"]}], None] == rows


def test_clients_own_values_stay() -> None:
    """What it says first is not the server's, and a player must find it in what is sent."""
    policy = {"spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}}
    told = exchange("/api/v1/namespaces/lab/services/lab", {"spec": {"clusterIP": "10.96.0.7"}})
    sent_back = exchange(
        "/api/v1/namespaces/lab/services/lab",
        {"spec": {"clusterIP": "10.96.0.7"}},
        method="PUT",
        sent={"spec": {"clusterIP": "10.96.0.7"}},
    )
    made = exchange("/apis/networking.k8s.io/v1/n", policy, method="POST", sent=policy)
    services, put, policies = scrubbed([told, made, sent_back])
    assert {"json": policy} == policies.request.body
    assert {"json": {"spec": {"clusterIP": "192.0.2.1"}}} == put.request.body
    assert services.response is not None
    assert put.request.body == services.response.body


def versions_in(exchanges: list[Exchange]) -> list[tuple[str, list[str]]]:
    """The URLs, and the versions in the answers."""
    found = []
    for each in exchanges:
        assert each.response is not None
        text = json.dumps(each.response.body)
        parts = text.split('"resourceVersion": "')[1:]
        found.append((each.request.url, [part.partition('"')[0] for part in parts]))
    return found


def test_versions_keep_their_order_and_their_places() -> None:
    """A watch resumes from what a list says; what others wrote in between leaves no trace."""
    listed = {"kind": "PodList", "metadata": {"resourceVersion": "9731"}, "items": [pod(9702)]}
    lines = [
        {"type": "MODIFIED", "object": pod(9999)},
        {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "10002"}}},
        {"type": "MODIFIED", "object": pod(10010)},
    ]
    event = {
        "kind": "Event",
        "metadata": {"name": "lab.17a0b3c4d5e6f708", "uid": OTHER_UID, "resourceVersion": "9800"},
        "involvedObject": {"kind": "Pod", "uid": UID, "resourceVersion": "9702"},
    }
    message = "too old resource version: 9702 (9999)"
    exchanges = [
        exchange(PODS_PATH, listed),
        exchange(f"{PODS_PATH}?resourceVersion=9731&watch=true", lines),
        exchange(f"{PODS_PATH}?resourceVersion=10002&watch=true", {"message": message}),
        exchange(f"{PODS_PATH}?resourceVersion=0", {}),
        exchange("/api/v1/namespaces/lab/events/e", event),
    ]
    done = scrubbed(exchanges)
    assert [
        ("/api/v1/namespaces/lab/events/e", ["2", "2"]),
        (PODS_PATH, ["2", "2"]),
        (f"{PODS_PATH}?resourceVersion=0", []),
        (f"{PODS_PATH}?resourceVersion=2&watch=true", ["3", "3", "4"]),
        (f"{PODS_PATH}?resourceVersion=3&watch=true", []),
    ] == sorted(versions_in(done))
    assert "too old resource version: 2 (3)" in str(done)


def test_versions_of_a_watch_grow() -> None:
    """In a stream the order is the server's, and resuming starts from the last."""
    other = {"name": "a", "uid": OTHER_UID}
    lines = [{"type": "ADDED", "object": each} for each in (pod(41), pod(57, **other), pod(63))]
    assert [(f"{PODS_PATH}?watch=true", ["2", "3", "4"])] == versions_in(
        scrubbed([exchange(f"{PODS_PATH}?watch=true", lines)])
    )


def test_tokens_to_go_on_by_are_followed() -> None:
    """A list in pages plays, although its tokens hold versions."""
    pages = [
        exchange("/api/v1/pods?limit=1", {"metadata": {"continue": "eyJydiI6NH0"}, "items": []}),
        exchange("/api/v1/pods?continue=eyJydiI6NH0&limit=1", {"metadata": {}, "items": []}),
    ]
    first, second = scrubbed(pages)
    assert first.response is not None
    assert {"continue": "continue-1"} == first.response.body["json"]["metadata"]
    assert "/api/v1/pods?continue=continue-1&limit=1" == second.request.url


def parallel_creation(order: list[int], stride: int, uids: list[str]) -> list[Exchange]:
    """Four config maps made side by side, by a server that is at work for others too."""
    exchanges = []
    for place, number in enumerate(order):
        name = f"map-{number}"
        sent = {"kind": "ConfigMap", "metadata": {"name": name}}
        metadata = {"name": name, "uid": uids[place], "resourceVersion": str(90 + place * stride)}
        exchanges.append(
            exchange(
                "/api/v1/namespaces/lab/configmaps?fieldManager=m",
                {"kind": "ConfigMap", "metadata": metadata},
                method="POST",
                sent=sent,
            )
        )
    return exchanges


@settings(max_examples=50, deadline=None)
@given(
    order=st.permutations(range(4)),
    stride=st.integers(1, 9),
    uids=st.lists(st.uuids().map(str), min_size=4, max_size=4, unique=True),
)
def test_order_of_what_runs_side_by_side_is_not_recorded(
    order: list[int], stride: int, uids: list[str]
) -> None:
    """Whoever comes first, and whatever it is given, the recording is the same."""
    usual = parallel_creation([0, 1, 2, 3], 1, [UID[:-1] + str(n) for n in range(4)])
    assert scrubbed(usual) == scrubbed(parallel_creation(order, stride, uids))


def test_list_of_made_up_names_is_in_the_order_of_their_making() -> None:
    """A server sorts by name, and that of an event holds a time or a digest."""

    def events(*digests: str) -> Exchange:
        items: list[dict[str, Any]] = [
            {
                "metadata": {
                    "name": f"lab.{digest}",
                    "uid": UID[:-1] + digest[0],
                    "resourceVersion": str(100 + place),
                },
                "message": f"event {place}",
            }
            for place, digest in enumerate(digests)
        ]
        items.sort(key=lambda item: str(item["metadata"]["name"]))
        return exchange("/api/v1/namespaces/lab/events", {"kind": "EventList", "items": items})

    first = events("1" * 16, "2" * 16, "3" * 16)
    assert scrubbed([first]) == scrubbed([events("9" * 16, "4" * 16, "7" * 16)])


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(content=JSON_VALUES)
def test_any_json_survives_the_file(
    tmp_path_factory: pytest.TempPathFactory, content: Any
) -> None:
    """YAML's own ideas of dates, numbers and line ends change nothing."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    saved = [exchange("/x", {"content": content}), exchange("/x?watch=true", [{"a": content}])]
    save(path, saved)
    assert saved == load(path)


KEYS = [
    *("annotations", "cells", "columnDefinitions", "continue", "data", "generateName", "items"),
    *("kind", "managedFields", "metadata", "name", "reason", "reportingInstance"),
    *("resourceVersion", "rows", "uid"),
]


@settings(max_examples=300, deadline=None)
@given(
    content=st.recursive(
        st.none() | st.integers() | st.sampled_from(["Secret", "Table", "Status", "5", UID, ""]),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
        ),
        max_leaves=15,
    )
)
def test_odd_answers_can_be_recorded(content: Any) -> None:
    """Servers send null for a list, and worse: a recording is not lost by that."""
    for url in (PODS_PATH, SECRETS_PATH, "/", "/api", "/apis/g", "/version"):
        assert 1 == len(scrubbed([exchange(url, {"content": content, "metadata": content})]))


# -- The recordings of this repository ---------------------------------------------


def test_recordings_are_there() -> None:
    """The tests below look at something."""
    assert len(list(RECORDINGS.glob("*.yaml"))) >= 10


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_recording_shows_no_credential_certificate_or_address(path: Path) -> None:
    """Looked for by other means than those that scrub."""
    text = path.read_text()
    for mark in ("Bearer", "-----BEGIN", "LS0tLS1CRUdJTi", "eyJhbGciOi", "authorization"):
        assert mark not in text
    assert socket.gethostname() not in text.split()
    for word in text.replace('"', " ").replace("'", " ").replace("/", " ").split():
        parts = word.strip(",:").split(".")
        if len(parts) == 4 and all(part.isdecimal() for part in parts):
            assert word.startswith(("192.0.2.", "127.0.0.1"))
        assert not word.startswith("127.0.0.1:")


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_recording_is_written_as_it_would_be_again(tmp_path: Path, path: Path) -> None:
    """Nobody has edited it by hand."""
    again = tmp_path / "again.yaml"
    save(again, load(path))
    assert path.read_text() == again.read_text()

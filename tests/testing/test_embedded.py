"""The embedded server: its life, its users, and what it refuses."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes import client, config

from lab_storage.testing import EmbeddedServer, Silence
from lab_storage.testing._embedded.quantities import Quantity
from lab_storage.testing._embedded.tables import age

from .plain import MERGE, Plain, in_lab

if TYPE_CHECKING:
    from collections.abc import Callable

POD: dict[str, Any] = {
    "metadata": {"name": "x"},
    "spec": {"containers": [{"name": "a", "image": "b"}]},
}
MANIFESTS: dict[str, dict[str, Any]] = {
    "configmaps": {"data": {"a": "b"}},
    "events": {"involvedObject": {"namespace": "lab"}},
    "ingresses": {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 1}}}}},
    "networkpolicies": {"spec": {}},
    "persistentvolumeclaims": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": 1}}}
    },
    "poddisruptionbudgets": {"spec": {"maxUnavailable": 1}},
    "pods": {"spec": POD["spec"]},
    "resourcequotas": {"spec": {"hard": {"pods": 1000}}},
    "rolebindings": {"roleRef": {"kind": "Role", "name": "r"}},
    "roles": {"rules": []},
    "secrets": {"stringData": {"a": "b"}},
    "services": {"spec": {"ports": [{"port": 1}]}},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "1Gi", "%"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "accessModes",
                    "apiVersion",
                    "backend",
                    "binaryData",
                    "cidr",
                    "conditions",
                    "containers",
                    "data",
                    "defaultBackend",
                    "egress",
                    "emptyDir",
                    "env",
                    "envFrom",
                    "except",
                    "exec",
                    "externalIPs",
                    "finalizers",
                    "from",
                    "gracePeriodSeconds",
                    "hard",
                    "hostPath",
                    "http",
                    "httpGet",
                    "image",
                    "immutable",
                    "ingress",
                    "initContainers",
                    "ipBlock",
                    "items",
                    "kind",
                    "labels",
                    "lifecycle",
                    "limits",
                    "matchExpressions",
                    "matchLabels",
                    "metadata",
                    "minAvailable",
                    "mountPath",
                    "name",
                    "path",
                    "paths",
                    "podSelector",
                    "policyTypes",
                    "port",
                    "ports",
                    "postStart",
                    "preconditions",
                    "readinessProbe",
                    "requests",
                    "resources",
                    "roleRef",
                    "rules",
                    "selector",
                    "service",
                    "spec",
                    "status",
                    "storage",
                    "stringData",
                    "subjects",
                    "targetPort",
                    "tolerations",
                    "$patch",
                    "type",
                    "valueFrom",
                    "verbs",
                    "volumeMounts",
                    "volumes",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


def sockets() -> int:
    """How many sockets this process has open."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("needs /proc to count open sockets")
    count = 0
    for each in folder.iterdir():
        with contextlib.suppress(OSError):
            count += str(each.readlink()).startswith("socket:")
    return count


def connect(server: EmbeddedServer, request: bytes = b"") -> socket.socket:
    """Connect, and send something."""
    port = int(server.host.rpartition(":")[2])
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(request)
    return connection


# Life


def test_server_answers_the_official_client() -> None:
    """The client of any supported version creates, reads and lists, without more settings."""
    with EmbeddedServer() as server, server.api_client() as api_client:
        core = client.CoreV1Api(api_client)
        core.create_namespace(body={"metadata": {"name": "lab"}})
        core.create_namespaced_config_map(
            namespace="lab", body={"metadata": {"name": "env"}, "data": {"a": "b"}}
        )
        found = core.read_namespaced_config_map(namespace="lab", name="env")
        names = [each.metadata.name for each in core.list_namespace().items]

    assert {"a": "b"} == found.data
    assert ["default", "kube-node-lease", "kube-public", "kube-system", "lab"] == names


def test_close_leaves_no_thread_and_no_socket() -> None:
    """Idle connections, watches, and requests that are held back end with the server."""
    threads, before = set(threading.enumerate()), sockets()
    server = EmbeddedServer()
    server.start()
    held = server.add_fault(Silence(), verb="get")
    idle = connect(server)
    path = "/api/v1/namespaces"
    watching = connect(server, f"GET {path}?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    silent = connect(server, f"GET {path}/default HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert watching.recv(10) == b"HTTP/1.1 2"
    held.wait()

    server.close()
    server.close()

    assert set() == set(threading.enumerate()) - threads
    assert b"" == idle.recv(1)
    assert b"" == silent.recv(1)
    for connection in (idle, watching, silent):
        connection.close()
    assert sockets() <= before


def test_server_is_started_once() -> None:
    """A second start is an error, and so is to ask for the host before the first."""
    server = EmbeddedServer()
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = server.host
    with server, pytest.raises(RuntimeError, match="can be started only once"):
        server.start()


def test_servers_know_nothing_of_each_other() -> None:
    """Two servers at a time have ports, objects and tokens of their own."""
    with EmbeddedServer() as one, EmbeddedServer() as other:
        Plain(one).make_namespace()

        assert one.host != other.host
        assert 404 == Plain(other).ask("GET", "/api/v1/namespaces/lab")[0]
        foreign = {"Authorization": f"Bearer {one.token()}"}
        assert 401 == Plain(other).ask("GET", "/api/v1/namespaces/default", **foreign)[0]


def test_what_a_server_has_seen_can_be_read_after_its_end() -> None:
    """The requests stay, with what they were about."""
    with EmbeddedServer() as server:
        plain = Plain(server)
        plain.ask("POST", in_lab("pods") + "?fieldManager=me", POD, User_Agent="tests/1")
        plain.ask("GET", in_lab("pods") + "?watch=1&fieldSelector=metadata.name%3Da,x%3Dy")
        plain.ask("GET", "/version")

    create, watch, version = server.requests
    assert ("create", "pods", "lab", "x", "admin") == (
        create.verb,
        create.resource,
        create.namespace,
        create.name,
        create.user,
    )
    assert {"fieldManager": "me"} == create.query
    assert "tests/1" == create.headers["user-agent"]
    assert ("watch", None) == (watch.verb, watch.name)
    assert ("GET", "/version", None) == (version.method, version.path, version.verb)


# Users


def test_revoked_token_is_unknown_and_the_next_one_is_not(plain: Plain) -> None:
    """As after a rotation: 401 with the old token, 200 with the new one."""
    server = plain.server
    old = {"Authorization": f"Bearer {server.token('hub')}"}
    assert 200 == plain.ask("GET", "/version", **old)[0]

    server.revoke("hub")

    assert 401 == plain.ask("GET", "/version", **old)[0]
    new = {"Authorization": f"Bearer {server.token('hub')}"}
    assert 200 == plain.ask("GET", "/version", **new)[0]


def test_nobody_in_particular_may_ask(plain: Plain) -> None:
    """Without a token one is system:anonymous, whom rules can name."""
    plain.server.forbid(user="system:anonymous", verb="get")

    status, answer = plain.ask("GET", in_lab("pods", "x"), Authorization="")

    assert 403 == status
    assert 'User "system:anonymous" cannot get resource "pods"' in answer["message"]


def test_refusal_is_of_what_was_forbidden_alone_and_can_be_taken_back(plain: Plain) -> None:
    """User, verb, resource, namespace and name narrow a rule."""
    allow = plain.server.forbid(
        user="admin", verb="get", resource="secrets", namespace="lab", name="a"
    )
    paths = [in_lab("secrets", "a"), in_lab("secrets", "b"), in_lab("configmaps", "a")]

    refused = [plain.ask("GET", path)[0] for path in paths]
    allow()
    allow()

    assert [403, 404, 404] == refused
    assert 404 == plain.ask("GET", paths[0])[0]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"verb": "read"}, "verb must be one of create, get"),
        ({"resource": "pod"}, "resource must be one of configmaps"),
    ],
)
def test_rule_about_nothing_is_an_error(
    embedded_server: EmbeddedServer, rule: dict[str, Any], text: str
) -> None:
    """A misspelt verb or resource would otherwise never fit, and a test pass for nothing."""
    with pytest.raises(ValueError, match=text):
        embedded_server.forbid(**rule)
    with pytest.raises(ValueError, match=text):
        embedded_server.add_fault(Silence(), **rule)


def test_kubeconfig_is_one_that_the_official_client_loads(
    embedded_server: EmbeddedServer, tmp_path: Path
) -> None:
    """Written as JSON it is a file for --kubeconfig."""
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(embedded_server.kubeconfig("hub")))
    loaded = client.Configuration()
    config.load_kube_config(str(file), client_configuration=loaded)

    with client.ApiClient(loaded) as api_client:
        client.CoreV1Api(api_client).list_namespace()

    assert "hub" == embedded_server.requests[-1].user


def test_client_takes_more_settings(embedded_server: EmbeddedServer) -> None:
    """Attributes of its Configuration are given by name; the default one is left alone."""
    default = client.Configuration().host

    with embedded_server.api_client("hub", retries=False) as api_client:
        assert api_client.configuration.retries is False
        assert embedded_server.host == api_client.configuration.host

    assert default == client.Configuration().host


# What it refuses


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/nodes", None),
        ("GET", "/apis/apps/v1/namespaces/lab/deployments", None),
        ("GET", "/openapi/v3", None),
        ("POST", in_lab("pods", "x") + "/eviction", {}),
        ("PUT", in_lab("configmaps", "x"), {}),
        ("DELETE", in_lab("configmaps"), None),
        ("POST", in_lab("configmaps") + "?dryRun=All", {"metadata": {"name": "x"}}),
        ("DELETE", in_lab("configmaps", "x") + "?dryRun=All", None),
        ("DELETE", in_lab("configmaps", "x"), {"dryRun": ["All"]}),
        ("GET", "/apis/networking.k8s.io/v1/ingressclasses", None),
        ("PUT", in_lab("secrets", "x"), {}),
        (
            "POST",
            in_lab("configmaps"),
            {"metadata": {"name": "x", "ownerReferences": [{"name": "a"}]}},
        ),
        (
            "POST",
            in_lab("resourcequotas"),
            {"metadata": {"name": "x"}, "spec": {"scopes": ["BestEffort"]}},
        ),
    ],
)
def test_what_it_cannot_do_is_501_and_says_so(
    plain: Plain, method: str, path: str, body: object
) -> None:
    """A real server may do it; this one never pretends to."""
    status, answer = plain.ask(method, path, body)

    assert (501, "Status") == (status, answer["kind"])
    assert answer["message"].startswith(
        "the embedded API server of lab_storage.testing does not do this: "
    )


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        ("application/json-patch+json", [{"op": "remove", "path": "/metadata/labels"}]),
        ("application/apply-patch+yaml", {}),
        ("application/strategic-merge-patch+json", {"metadata": {"$retainKeys": ["name"]}}),
        ("application/strategic-merge-patch+json", {"metadata": {"finalizers": []}}),
        (MERGE, {"spec": {"activeDeadlineSeconds": 5}}),
    ],
)
def test_patches_that_it_cannot_judge_are_501(
    plain: Plain, content_type: str, patch: object
) -> None:
    """JSON patches, server-side apply, strategic lists, and changes of a pod's spec."""
    plain.make_pod()

    status, _ = plain.ask("PATCH", in_lab("pods", "x"), patch, Content_Type=content_type)

    expected = 400 if isinstance(patch, list) else 501
    assert expected == status


@pytest.mark.parametrize(
    ("media_type", "status"),
    [("application/yaml", 501), ("application/vnd.kubernetes.protobuf", 406)],
)
def test_formats_other_than_json_are_refused(plain: Plain, media_type: str, status: int) -> None:
    """Neither is read or written, unless JSON will do as well."""
    path = "/api/v1/namespaces/lab"
    assert status == plain.ask("GET", path, Accept=media_type)[0]
    assert 200 == plain.ask("GET", path, Accept=f"{media_type},application/json")[0]
    assert 501 == plain.ask("POST", in_lab("pods"), b"", Content_Type=media_type)[0]


@pytest.mark.parametrize("resource", ["pods", "secrets"])
def test_other_tables_than_of_names_are_501(plain: Plain, resource: str) -> None:
    """A real server prints them, with columns that no lab reads."""
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"

    status, answer = plain.ask("GET", in_lab(resource), Accept=table)

    assert (501, f"print {resource} as a Table") == (status, answer["message"].split(": ")[1])


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        ("lab-storage.test/start", "walk", 'Unsupported value: "walk": supported values: "run"'),
        ("lab-storage.test/delay", "soon", "must be a number of seconds"),
    ],
)
def test_misspelt_script_is_refused(plain: Plain, annotation: str, value: str, text: str) -> None:
    """A pod that would not start as its author believes is not taken."""
    metadata = {"name": "x", "annotations": {annotation: value}}

    status, answer = plain.ask("POST", in_lab("pods"), {**POD, "metadata": metadata})

    assert 422 == status
    assert text in answer["message"]


@pytest.mark.parametrize(
    "request_text",
    [
        "POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
        "POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_bodies_that_cannot_be_read_end_the_connection(
    embedded_server: EmbeddedServer, request_text: str
) -> None:
    """What follows would be taken for another request."""
    with connect(embedded_server, request_text.encode()) as connection:
        answer = b"".join(iter(lambda: connection.recv(4096), b""))

    assert answer.split()[1] in (b"400", b"413", b"501")


def _with_oddity(data: st.DataObject, manifest: Any, odd: Any) -> Any:
    """A manifest in which one value is another one."""
    if isinstance(manifest, dict) and manifest and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(manifest)))
        return {**manifest, key: _with_oddity(data, manifest[key], odd)}
    if isinstance(manifest, list) and manifest and data.draw(st.booleans()):
        return [_with_oddity(data, manifest[0], odd), *manifest[1:]]
    if isinstance(manifest, dict) and isinstance(odd, dict):
        return {**manifest, **odd}
    return odd


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=JSON, place=st.sampled_from(["post", "patch", "strategic", "delete"]), data=st.data())
def test_any_json_is_taken_or_refused_and_nothing_breaks(
    plain: Plain, body: Any, place: str, data: st.DataObject
) -> None:
    """Whatever is sent, the answer is a status of the API and the server lives."""
    resource = data.draw(st.sampled_from(sorted(MANIFESTS)))
    plain.ask("POST", in_lab(resource), {"metadata": {"name": "x"}, **MANIFESTS[resource]})
    content_type = {
        "post": "application/json",
        "delete": "application/json",
        "patch": MERGE,
        "strategic": "application/strategic-merge-patch+json",
    }[place]
    if place == "post" and isinstance(body, dict) and "metadata" not in body:
        body = {**body, "metadata": {"name": "x"}}
    if data.draw(st.booleans()):
        # Odd values where a good one has been, as deep as the manifest goes.
        body = _with_oddity(data, {"metadata": {"name": "x"}, **MANIFESTS[resource]}, body)
    method = "PATCH" if place in ("patch", "strategic") else place.upper()
    path = in_lab(resource) if method == "POST" else in_lab(resource, "x")

    status, answer = plain.ask(method, path, body, Content_Type=content_type)

    assert status in (200, 201, 400, 403, 404, 409, 422, 500, 501), answer
    assert 200 == plain.ask("GET", in_lab(resource))[0]


# Many at a time


def at_once(number: int, action: Callable[[int], Any]) -> list[Any]:
    """Do something in so many threads at a time, and give what came of it."""
    results: list[Any] = [None] * number
    barrier = threading.Barrier(number)

    def run(i: int) -> None:
        barrier.wait(10)
        results[i] = action(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def test_of_many_creates_of_a_name_one_succeeds(plain: Plain) -> None:
    """The others are conflicts."""
    body = {"metadata": {"name": "x"}}

    statuses = at_once(20, lambda _: plain.ask("POST", in_lab("configmaps"), body)[0])

    assert [201, *[409] * 19] == sorted(statuses)


def test_all_watches_tell_the_same_in_the_same_order(plain: Plain) -> None:
    """However many write, and however many watch; nothing twice, nothing left out."""
    writers, watchers, each_writes = 5, 20, 10
    total = writers * each_writes
    _, listed = plain.ask("GET", in_lab("secrets"))
    query = f"resourceVersion={listed['metadata']['resourceVersion']}"

    def act(i: int) -> list[str]:
        if i >= watchers:
            for n in range(each_writes):
                plain.make("secrets", f"s-{i}-{n}")
            return []
        with plain.watch(in_lab("secrets"), query) as events:
            return [next(events)["object"]["metadata"]["resourceVersion"] for _ in range(total)]

    seen = at_once(watchers + writers, act)[:watchers]

    assert sorted(seen[0], key=int) == seen[0]
    assert total == len(set(seen[0]))
    assert [seen[0]] * watchers == seen


# Small parts


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1000", "1k"),
        ("0.5", "500m"),
        ("1500M", "1500M"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1e3", "1e3"),
        ("0.0000000001", "1n"),
        ("12345678901234567890", "12345678901234567890"),
        (4, "4"),
        (True, "None"),
        ("1 Gi", "None"),
        ("Gi", "None"),
    ],
)
def test_quantities_are_written_as_the_server_writes_them(text: object, written: str) -> None:
    """In the canonical form of their format; nothing finer than a nano."""
    assert written == str(Quantity.parse(text))


@pytest.mark.parametrize(
    ("one", "other", "total"),
    [
        ("1Gi", "512Mi", "1536Mi"),
        ("0", "1Gi", "1Gi"),
        ("1", "1Gi", "1073741825"),
        ("1", "500m", "1500m"),
    ],
)
def test_sum_is_written_like_its_first_part(one: str, other: str, total: str) -> None:
    """Unless that is zero."""
    parts = [Quantity.parse(one), Quantity.parse(other)]
    assert None not in parts
    assert total == str(parts[0] + parts[1])  # type: ignore[operator]


@pytest.mark.parametrize(
    ("seconds", "printed"),
    [
        (5, "5s"),
        (119, "119s"),
        (180, "3m"),
        (190, "3m10s"),
        (900, "15m"),
        (18000, "5h"),
        (864000, "10d"),
    ],
)
def test_ages_are_printed_as_by_the_server(seconds: int, printed: str) -> None:
    """The longer ago the coarser."""
    then = datetime.now(timezone.utc) - timedelta(seconds=seconds)
    assert printed == age(then.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))

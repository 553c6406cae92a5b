"""The embedded server: what it serves besides the objects of a lab."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client

from lab_storage.testing import EmbeddedServer

from .plain import Plain, in_lab

if TYPE_CHECKING:
    from lab_storage.testing import RecordedRequest

GROUP = "lab.example"
WIDGETS = f"/apis/{GROUP}/v1/namespaces/lab/widgets"
INITIAL = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


def phase(wanted: str) -> Any:
    """A condition on a pod."""
    return lambda pod: pod["status"].get("phase") == wanted


# Custom resources


def test_custom_resource_is_served_by_its_path(plain: Plain) -> None:
    """It is created, listed, found by discovery, and gone with its namespace."""
    plain.server.add_custom_resource("widgets", "Widget", GROUP)
    widget = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": "x"}}

    status, made = plain.ask("POST", WIDGETS, {**widget, "spec": {"any": [1]}})

    assert (201, {"any": [1]}) == (status, made["spec"])
    assert ["x"] == [each["metadata"]["name"] for each in plain.ask("GET", WIDGETS)[1]["items"]]
    (found,) = plain.ask("GET", f"/apis/{GROUP}/v1")[1]["resources"]
    assert ("widgets", "Widget", True) == (found["name"], found["kind"], found["namespaced"])
    plain.ask("DELETE", "/api/v1/namespaces/lab")
    plain.wait_until_gone("/api/v1/namespaces", "lab")
    assert 404 == plain.ask("GET", f"{WIDGETS}/x")[0]


def test_custom_resource_is_named_by_rules_and_requests(plain: Plain) -> None:
    """Its plural is one that can be forbidden, once it is defined."""
    with pytest.raises(ValueError, match="resource must be one of"):
        plain.server.forbid(resource="widgets")
    plain.server.add_custom_resource("widgets", "Widget", GROUP)
    plain.server.forbid(resource="widgets")

    assert 403 == plain.ask("GET", WIDGETS)[0]
    last: RecordedRequest = plain.server.requests[-1]
    assert ("list", "widgets", "lab") == (last.verb, last.resource, last.namespace)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("pods", "Pod", ""), "pods exists already"),
        (("a", "A", GROUP, {"type": "integer", "maximum": 1}), "schema has maximum; the embedded"),
        (("a", "A", GROUP, {"properties": {"b": {"type": "int"}}}), "schema.properties.b.type"),
    ],
)
def test_custom_resource_that_cannot_be_served_is_an_error(
    embedded_server: EmbeddedServer, arguments: tuple[Any, ...], text: str
) -> None:
    """A name that is taken, and a schema with what is not checked here."""
    *names, schema = arguments if len(arguments) > 3 else (*arguments, None)
    with pytest.raises(ValueError, match=text):
        embedded_server.add_custom_resource(*names, schema=schema)


def test_custom_resource_of_the_cluster_has_no_namespace(plain: Plain) -> None:
    """Its path has no namespace, and a path with one does not exist."""
    plain.server.add_custom_resource("planets", "Planet", GROUP, namespaced=False)
    planet = {"apiVersion": f"{GROUP}/v1", "kind": "Planet", "metadata": {"name": "x"}}

    status, made = plain.ask("POST", f"/apis/{GROUP}/v1/planets", planet)

    assert (201, None) == (status, made["metadata"].get("namespace"))
    assert 404 == plain.ask("GET", WIDGETS.replace("widgets", "planets"))[0]


# Logs


def test_log_is_what_the_test_has_written(plain: Plain) -> None:
    """Of the container that is asked for, its last lines, up to a length."""
    plain.make_pod()
    plain.wait_for(in_lab("pods"), "x", phase("Running"))
    plain.server.write_log("x", "lab", "one\ntwo\n")
    plain.server.write_log("x", "lab", "thr\u00e9\u00e9\n", container="notebook")
    plain.server.write_log("x", "lab", "four\n", container="notebook")
    log = in_lab("pods", "x") + "/log"

    found = [
        plain.send("GET", log + query).data.decode(errors="replace")
        for query in ("", "?container=notebook&tailLines=1", "?tailLines=0", "?limitBytes=2")
    ]

    assert ["thr\u00e9\u00e9\nfour\n", "four\n", "", "th"] == found
    assert ("get", "pods/log") == (
        plain.server.requests[-1].verb,
        plain.server.requests[-1].resource,
    )


def test_log_of_a_container_that_has_not_started_is_refused(plain: Plain) -> None:
    """With the kubelet's words for what it waits for."""
    plain.make_pod(start="image-pull-back-off")
    reason = lambda pod: "ImagePullBackOff" in json.dumps(pod["status"])  # noqa: E731
    plain.wait_for(in_lab("pods"), "x", reason)

    status, answer = plain.ask("GET", in_lab("pods", "x") + "/log")

    text = 'container "notebook" in pod "x" is waiting to start: trying and failing to pull image'
    assert (400, text, "BadRequest") == (status, answer["message"], answer["reason"])


def test_log_of_the_previous_run_is_another(plain: Plain) -> None:
    """It exists once a container has ended and waits to be started again."""
    plain.make_pod(start="init-crash")
    crash = lambda pod: "CrashLoopBackOff" in json.dumps(pod["status"])  # noqa: E731
    plain.wait_for(in_lab("pods"), "x", crash)
    plain.server.write_log("x", "lab", "Traceback\n", container="init", previous=True)
    log = in_lab("pods", "x") + "/log?previous=true&container="

    assert b"Traceback\n" == plain.send("GET", log + "init").data
    status, answer = plain.ask("GET", log + "notebook")
    text = 'previous terminated container "notebook" in pod "x" not found'
    assert (400, text) == (status, answer["message"])


def test_official_client_reads_logs_and_makes_other_kinds(plain: Plain) -> None:
    """Roles, bindings, ingresses and budgets by the classes of any supported client."""
    access, reference = "rbac.authorization.k8s.io", {"kind": "Role", "name": "x"}
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    plain.make_pod()
    plain.wait_for(in_lab("pods"), "x", phase("Running"))
    plain.server.write_log("x", "lab", "hello\n")
    with plain.server.api_client() as api_client:
        rbac = client.RbacAuthorizationV1Api(api_client)
        rbac.create_namespaced_role(namespace="lab", body={"metadata": {"name": "x"}})
        binding = {"metadata": {"name": "x"}, "roleRef": {"apiGroup": access, **reference}}
        rbac.create_namespaced_role_binding(namespace="lab", body=binding)
        ingress = {"metadata": {"name": "x"}, "spec": {"defaultBackend": backend}}
        client.NetworkingV1Api(api_client).create_namespaced_ingress(namespace="lab", body=ingress)
        budget = {"metadata": {"name": "x"}, "spec": {"maxUnavailable": 0}}
        client.PolicyV1Api(api_client).create_namespaced_pod_disruption_budget(
            namespace="lab", body=budget
        )
        log = client.CoreV1Api(api_client).read_namespaced_pod_log(namespace="lab", name="x")

    assert "hello" in str(log)


# Watches


def test_watch_without_watch_list_is_refused(plain: Plain) -> None:
    """As by a server that does not have that feature, whose text it is."""
    with EmbeddedServer(watch_list=False) as server:
        status, answer = Plain(server).ask("GET", f"/api/v1/pods?watch=1&{INITIAL}")
    with plain.watch("/api/v1/pods", INITIAL) as events:
        assert "BOOKMARK" == next(events)["type"]

    # What kube-apiserver 1.37 answers with --feature-gates=WatchList=false.
    text = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
    prefix = 'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: '
    assert (422, prefix + text) == (status, answer["message"])


def test_bookmark_names_the_last_change_of_its_resource(plain: Plain) -> None:
    """However far other resources have gone on; a consistent list makes it catch up."""
    version = plain.make_pod(schedulerName="nobody")["metadata"]["resourceVersion"]
    plain.make("configmaps")
    query = f"allowWatchBookmarks=true&timeoutSeconds=3&resourceVersion={version}"

    with plain.watch(in_lab("pods"), query) as events:
        assert [] == list(events)
    listed = plain.ask("GET", in_lab("pods"))[1]["metadata"]["resourceVersion"]
    with plain.watch(in_lab("pods"), query) as events:
        (bookmark,) = events

    assert int(listed) > int(version)
    assert ("BOOKMARK", listed) == (
        bookmark["type"],
        bookmark["object"]["metadata"]["resourceVersion"],
    )


# Namespaces


@pytest.mark.parametrize("name", ["default", "kube-public", "kube-system"])
def test_namespaces_of_kubernetes_itself_stay(plain: Plain, name: str) -> None:
    """A test that deletes one by mistake would do so on a cluster too, if it could."""
    assert 403 == plain.ask("DELETE", f"/api/v1/namespaces/{name}")[0]
    assert 200 == plain.ask("GET", f"/api/v1/namespaces/{name}")[0]

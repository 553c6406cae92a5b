"""Scenarios of what else a server serves: discovery, logs, custom resources, all namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .api import MERGE, PARTIAL, PARTIAL_LIST, TABLE
from .manifests import NODE, config_map, pod

if TYPE_CHECKING:
    from .api import Api, Json

GROUP = "contract.example"
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1},
                "names": {"type": "array", "items": {"type": "string"}},
                "mode": {"type": "string", "enum": ["a", "b"]},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
# The resources that the embedded server has; a real one has more.
SERVED = {
    "": (
        *("configmaps", "events", "namespaces", "namespaces/status", "persistentvolumeclaims"),
        *("persistentvolumeclaims/status", "pods", "pods/log", "pods/status", "resourcequotas"),
        *("resourcequotas/status", "secrets", "serviceaccounts", "services", "services/status"),
    ),
    "networking.k8s.io": ("ingresses", "ingresses/status", "networkpolicies"),
    "policy": ("poddisruptionbudgets", "poddisruptionbudgets/status"),
    "rbac.authorization.k8s.io": ("rolebindings", "roles"),
}


def discovery(api: Api) -> None:
    """Groups, versions and resources, and what is said of those that do not exist."""
    found = api.ask("GET", "/api", kept=False)
    api.keep("/api", {key: found[key] for key in ("kind", "versions")})
    groups = api.ask("GET", "/apis", kept=False)["groups"]
    api.keep("/apis", sorted((g for g in groups if g["name"] in SERVED), key=lambda g: g["name"]))
    for group, names in SERVED.items():
        if group:
            api.ask("GET", f"/apis/{group}")
        path = f"/apis/{group}/v1" if group else "/api/v1"
        found = api.ask("GET", path, kept=False)
        resources = [each for each in found.pop("resources") if each["name"] in names]
        fields = ("name", "singularName", "namespaced", "kind", "shortNames", "categories")
        kept = [{field: each.get(field) for field in fields} for each in resources]
        api.keep(path, {**found, "resources": kept})
    api.ask("GET", "/apis/policy/", Accept="application/json, */*")
    for path in (
        "/apis/none.example",
        "/apis/none.example/v1",
        "/apis/none.example/v1/namespaces/x/things/y",
        "/none",
        "/apis/policy/v7",
        "/api/v2",
        "/api/v2/namespaces",
        api.path("nones"),
        api.path("nones", "x"),
        api.path("nones", "x", "policy"),
        api.path("pods", "x") + "/none",
        api.path("pods", "x") + "/y/z",
        "/api/v1/pods/x",
        "/api/v1/namespaces/none",
        "/api/v1/namespaces/none/pods/x",
        "/api/v1/namespaces/none/pods",
    ):
        if path.endswith("none/pods"):
            api.ask("GET", path, Accept=f"{PARTIAL_LIST}")
        else:
            api.ask("GET", path)
    api.ask("POST", "/api/v1", {})
    api.ask("POST", "/apis/none.example/v1/namespaces/x/things", {"metadata": {"name": "x"}})
    for name in ("default", "kube-public", "kube-system"):
        api.ask("DELETE", f"/api/v1/namespaces/{name}")


def logs(api: Api) -> None:
    """Which logs are refused before a kubelet is asked for them."""
    api.make_namespace()
    two = pod("two", containers=[{"name": n, "image": "b"} for n in ("a", "b")], nodeName=NODE)
    two["spec"]["initContainers"] = [{"name": "i", "image": "b"}]
    api.make("pods", two)
    api.make("pods", pod("unscheduled", schedulerName="nobody"))
    log = api.path("pods", "two") + "/log"
    for query in (
        *("", "?container=none", "?container=", "?tailLines=-1", "?tailLines=x"),
        *("?limitBytes=0", "?limitBytes=-1&tailLines=-1&container=a", "?previous=true"),
    ):
        api.ask("GET", log + query)
    api.ask("GET", api.path("pods", "unscheduled") + "/log")
    api.ask("GET", api.path("pods", "none") + "/log")
    api.ask("POST", log, {})
    api.ask("GET", log, user="nobody")


def custom_resources(api: Api) -> None:
    """Custom resources with a structural schema: what is taken, dropped and refused."""
    api.make_namespace()
    with api.server.custom_resource("widgets", "Widget", GROUP, SCHEMA):
        api.wait(f"/apis/{GROUP}/v1", lambda found: "resources" in found)
        api.ask("GET", f"/apis/{GROUP}")
        path = api.path("widgets", group=GROUP)
        api.wait(path, lambda found: "items" in found)
        head: Json = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": "x"}}
        free = {"size": 1, "names": ["a"], "labels": {"a": "b"}, "free": {"any": [1]}, "mode": "a"}
        api.ask("POST", path, {**head, "spec": free, "status": {"a": 1}})
        api.ask("POST", path, {**head, "spec": {"size": 1}})
        one = f"{path}/x"
        for tail in ("", "/x", "/x/status", "/none", "?fieldSelector=spec.size=1"):
            api.ask("GET", path + tail)
        api.ask("GET", path, Accept=PARTIAL_LIST)
        api.ask("GET", one, Accept=PARTIAL)
        api.ask("GET", path, Accept="application/vnd.kubernetes.protobuf,application/json")
        api.ask("PATCH", one, {"spec": {"size": 2}}, Content_Type=MERGE)
        api.ask("PATCH", one, {"spec": {"size": 0}}, Content_Type=MERGE)
        api.ask("PATCH", f"{one}/status", {"status": {"ready": True}}, Content_Type=MERGE)
        strategic = "application/strategic-merge-patch+json"
        api.ask("PATCH", one, {"spec": {"size": 3}}, Content_Type=strategic)
        api.ask("DELETE", one, {"preconditions": {"uid": "another"}})
        api.ask("DELETE", one)
        specs: tuple[Any, ...] = (
            *({"size": "1"}, {"size": 0}, {}, [], {"size": True}),
            # One by one: the server lists what does not fit in the random order of Go's maps.
            *({"size": 1, **odd} for odd in ({"names": [1]}, {"mode": "c"}, {"labels": {"a": 1}})),
        )
        for spec in specs:
            api.ask("POST", path, {**head, "spec": spec})
        odd = {**head, "spec": {"size": 1, "bogus": 1}, "datum": 2}
        api.ask("POST", f"{path}?fieldValidation=Strict", odd)
        api.ask("POST", path, {**odd, "metadata": {"name": "odd"}})
        bare = {"metadata": {"name": "y"}, "spec": {"size": 1}}
        api.ask("POST", path, bare)
        api.ask("POST", path, {**head, "kind": "Gadget", "spec": {"size": 1}})
        for name in ("A_", ""):
            api.ask("POST", path, {**head, "metadata": {"name": name}, "spec": {"size": 1}})
        version = api.ask("GET", path, kept=False)["metadata"]["resourceVersion"]
        api.ask("POST", path, {**head, "spec": {"size": 1}}, kept=False)
        api.watch(f"{path}?resourceVersion={version}", 1)


def all_namespaces(api: Api) -> None:
    """Pods of all namespaces, by labels and fields, in pages and as they change."""
    api.make_namespace()
    mine = f"labelSelector=contract={api.namespace}"
    for name in ("a", "b", "c"):
        made = pod(name, nodeName=NODE)
        made["metadata"]["labels"] = {"contract": api.namespace, "n": name}
        last = api.make("pods", made)["metadata"]["resourceVersion"]
    api.ask("GET", f"/api/v1/pods?{mine}", Accept=PARTIAL_LIST)
    token = api.ask("GET", f"/api/v1/pods?{mine}&limit=2", Accept=PARTIAL_LIST)["metadata"][
        "continue"
    ]
    api.ask("GET", f"/api/v1/pods?{mine}&limit=2&continue={token}", Accept=PARTIAL_LIST)
    for query in (
        f"{mine}&fieldSelector=metadata.namespace={api.namespace},metadata.name!=a",
        f"{mine}&fieldSelector=status.phase=Running",
        f"{mine}&fieldSelector=spec.nodeName={NODE}&resourceVersion=0",
        f"{mine},n in (a,b)&resourceVersion={last}&resourceVersionMatch=NotOlderThan",
        f"{mine}&fieldSelector=spec.containers=x",
    ):
        api.ask("GET", f"/api/v1/pods?{query}", Accept=PARTIAL_LIST)
    api.ask("GET", f"/api/v1/pods?{mine}&limit=1", Accept="application/json")
    running = {"status": {"phase": "Running"}}
    status = api.path("pods", "a") + "/status"
    api.ask("PATCH", status, running, kept=False, Content_Type=MERGE)
    api.ask("DELETE", api.path("pods", "b"), {"gracePeriodSeconds": 0}, kept=False)
    api.watch(f"/api/v1/pods?{mine}&resourceVersion={last}", 3, Accept=PARTIAL)
    initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    api.watch(f"/api/v1/pods?{mine}&{initial}", 3, Accept=PARTIAL)
    api.ask("GET", f"/api/v1/namespaces?fieldSelector=metadata.name={api.namespace}", Accept=TABLE)


def bookmarks(api: Api) -> None:
    """A bookmark comes before a watch's time is over, and follows the last list."""
    api.make_namespace()
    path = api.path("pods")
    before = api.ask("GET", path, kept=False)["metadata"]["resourceVersion"]
    api.make("pods", pod("quiet", nodeName=NODE))
    api.make("configmaps", config_map("later"))
    listed = int(api.ask("GET", f"{path}?limit=1", kept=False)["metadata"]["resourceVersion"])
    watched = f"{path}?watch=1&allowWatchBookmarks=true&timeoutSeconds=6&resourceVersion={before}"
    first, *_, last = api.events(watched)
    version = int(last["object"]["metadata"]["resourceVersion"])
    api.keep("after a list", [first["type"], last["type"], version >= listed])
    for start in ("resourceVersion=0", "limit=0"):
        api.watch(f"{path}?allowWatchBookmarks=true&{start}", 2, Accept=PARTIAL)

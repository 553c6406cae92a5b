"""Scenarios of objects that are created and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .api import MERGE
from .manifests import NODE, claim, config_map, limited_pod, pod

if TYPE_CHECKING:
    from .api import Api, Json

POLICIES = "networking.k8s.io"
ACCESS = "rbac.authorization.k8s.io"
SELECTED = "fieldSelector=metadata.name!=kube-root-ca.crt"


def namespaces(api: Api) -> None:
    """A namespace's life, and what cannot be one."""
    path = f"/api/v1/namespaces/{api.namespace}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": api.namespace}}
    listed = api.ask("GET", "/api/v1/namespaces?limit=1", kept=False)
    version = listed["metadata"]["resourceVersion"]
    api.ask("POST", "/api/v1/namespaces?fieldManager=contract", manifest)
    api.ask("POST", "/api/v1/namespaces", manifest)
    api.ask("GET", path)
    for name in ("Upper.case", "x" * 64, ""):
        api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    labelled = {"name": f"{api.namespace}-2", "labels": {"a": "b"}, "annotations": {}}
    status = {"phase": "Terminating"}
    api.ask("POST", "/api/v1/namespaces", {"metadata": labelled, "spec": {}, "status": status})
    api.ask("DELETE", f"{path}-2", kept=False)
    api.wait_for_controllers()
    api.ask("DELETE", path, {"preconditions": {"uid": "another"}})
    api.ask("DELETE", path, {"preconditions": {"resourceVersion": "1"}})
    api.ask("DELETE", path)
    api.ask("DELETE", path)
    api.ask("POST", "/api/v1/namespaces", manifest)
    api.ask("POST", api.path("configmaps"), config_map("late"))
    api.wait(path, lambda found: found["kind"] == "Status")
    api.ask("GET", path)
    api.ask("DELETE", path)
    api.watch(
        f"/api/v1/namespaces?resourceVersion={version}&fieldSelector=metadata.name={api.namespace}",
        4,
    )


def held_namespace(api: Api) -> None:
    """A namespace that is stuck says why in its conditions."""
    api.make_namespace()
    api.make("configmaps", config_map("held", finalizers=["contract.test/one"]))
    both = ["contract.test/one", "contract.test/2"]
    api.make("configmaps", config_map("held-2", finalizers=both))
    api.make("secrets", {"metadata": {"name": "held", "finalizers": ["contract.test/one"]}})
    path = f"/api/v1/namespaces/{api.namespace}"
    api.ask("DELETE", path, kept=False)
    api.wait(path, lambda each: "conditions" in each["status"])
    api.ask("GET", path)
    api.ask("DELETE", path)
    api.ask("GET", api.path("configmaps"))
    for resource, name in (("configmaps", "held"), ("configmaps", "held-2"), ("secrets", "held")):
        bare = {"metadata": {"finalizers": None}}
        api.ask("PATCH", api.path(resource, name), bare, kept=False, Content_Type=MERGE)
    api.wait(path, lambda each: each["kind"] == "Status")


def namespace_with_pod(api: Api) -> None:
    """A namespace waits for its pods before all else."""
    api.make_namespace()
    api.make("pods", {**limited_pod("stays"), "metadata": {"name": "stays"}})
    api.make("configmaps", config_map("waits"))
    path = f"/api/v1/namespaces/{api.namespace}"
    api.ask("DELETE", path, kept=False)
    api.wait(path, lambda each: "conditions" in each["status"])
    api.ask("GET", path)
    api.ask("GET", api.path("pods", "stays"))
    api.ask("GET", api.path("configmaps", "waits"))
    api.ask("DELETE", api.path("pods", "stays"), {"gracePeriodSeconds": 0}, kept=False)
    api.wait(path, lambda each: each["kind"] == "Status")


def config_maps(api: Api) -> None:
    """Creating, reading, listing and deleting, and what is refused of it."""
    api.make_namespace()
    path = api.path("configmaps")
    api.ask("POST", path, config_map("one"))
    api.ask("POST", path, config_map("one"))
    api.ask("POST", path, {"metadata": {"name": "bare"}})
    api.ask("POST", path, {**config_map("odd"), "datum": {"a": "1"}, "binaryData": None})
    api.ask("POST", path, config_map("odder", lables={"a": "b"}, labels={}, annotations=None))
    api.ask("POST", path, {"metadata": {"generateName": "generated-"}})
    api.ask("POST", f"{path}?fieldManager=lab_storage:1", config_map("managed", labels={"a": "b"}))
    api.ask("POST", path, config_map("versioned", resourceVersion="5"))
    api.ask(
        "POST",
        path,
        config_map("identified", uid="mine", creationTimestamp="2020-01-01T00:00:00Z"),
    )
    api.ask("POST", path, config_map("elsewhere", namespace="default"))
    api.ask("POST", path, config_map("under_score"))
    api.ask("POST", path, config_map("labelled", labels={"a b": "c d"}, annotations={"e f": "g"}))
    for key in ("Exa_mple/a", "/a"):
        api.ask("POST", path, config_map("prefixed", annotations={key: "b"}))
    api.ask("POST", path, config_map("held", finalizers=["unqualified"]))
    api.ask("POST", path, {"metadata": {"name": "keys"}, "data": {"a b": "c"}})
    api.ask("POST", path, {"metadata": {"name": "number"}, "data": {"a": 1}})
    api.ask("POST", path, {"metadata": {"name": "list"}, "data": ["a"]})
    api.ask("POST", path, {"metadata": {"name": "time", "creationTimestamp": "now"}})
    api.ask("POST", path, {"metadata": {}})
    api.ask("POST", path, {"metadata": []})
    api.ask("POST", path, {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "x"}})
    api.ask("POST", path, {"kind": "ConfigMap", "apiVersion": "v2", "metadata": {"name": "x"}})
    api.ask("POST", path, b"{nothing")
    api.ask("POST", path, b"a: b", Content_Type="text/plain")
    api.ask("POST", f"{path}?fieldManager={'x' * 129}", config_map("x"))
    api.ask("POST", f"{path}?fieldValidation=Sometimes", config_map("x"))
    api.ask("POST", "/api/v1/namespaces/contract-none/configmaps", config_map("x"))
    api.ask("GET", "/api/v1/namespaces/contract-none/configmaps/x")
    api.ask("GET", f"{path}?{SELECTED}")
    api.ask("GET", api.path("configmaps", "one"))
    api.ask("GET", api.path("configmaps", "one") + "?resourceVersion=0")
    api.ask("GET", api.path("configmaps", "none"))
    api.ask("DELETE", api.path("configmaps", "none"))
    api.ask("DELETE", api.path("configmaps", "one"), {"preconditions": {"uid": "another"}})
    api.ask("DELETE", api.path("configmaps", "one"), {"preconditions": {"resourceVersion": "1"}})
    api.ask("DELETE", api.path("configmaps", "one"), {"propagationPolicy": "Sideways"})
    both = {"propagationPolicy": "Orphan", "orphanDependents": True}
    api.ask("DELETE", api.path("configmaps", "one"), both)
    api.ask("DELETE", api.path("configmaps", "one"), {"gracePeriodSeconds": "soon"})
    api.ask("DELETE", api.path("configmaps", "one") + "?gracePeriodSeconds=soon")
    api.ask("DELETE", api.path("configmaps", "one"), {"kind": "Pod", "apiVersion": "v1"})
    api.ask("DELETE", api.path("configmaps", "one"), b"{nothing")
    api.ask("DELETE", api.path("configmaps", "one"), {"propagationPolicy": "Background"})


def other_kinds(api: Api) -> None:
    """What the server makes of each other kind, and how it is deleted."""
    api.make_namespace()
    port = {"port": 8888}
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    manifests: list[tuple[str, str, Json]] = [
        ("secrets", "", {"stringData": {"a": "b"}, "data": {"c": "ZA=="}}),
        ("secrets", "", {"data": {"a": "%%"}}),
        ("secrets", "", {"data": {"a b": "ZA=="}}),
        ("persistentvolumeclaims", "", claim("x")),
        ("persistentvolumeclaims", "", {"spec": {}}),
        ("services", "", {"spec": {"selector": {"a": "b"}, "ports": [port]}}),
        (
            "services",
            "",
            {"spec": {"clusterIP": "None", "ports": [{**port, "targetPort": "http"}]}},
        ),
        ("services", "", {"spec": {"ports": []}}),
        ("services", "", {"spec": {"type": "ExternalName", "externalName": "example.com"}}),
        ("serviceaccounts", "", {}),
        (
            "serviceaccounts",
            "",
            {"automountServiceAccountToken": False, "imagePullSecrets": [{"name": "p"}]},
        ),
        ("ingresses", POLICIES, {"spec": {"defaultBackend": backend}}),
        (
            "ingresses",
            POLICIES,
            {
                "spec": {
                    "ingressClassName": "nginx",
                    "rules": [
                        {
                            "host": "*.lab.example",
                            "http": {
                                "paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]
                            },
                        }
                    ],
                    "tls": [{"hosts": ["lab.example"], "secretName": "t"}],
                }
            },
        ),
        ("poddisruptionbudgets", "policy", {"spec": {}}),
        (
            "poddisruptionbudgets",
            "policy",
            {"spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"a": "b"}}}},
        ),
        ("poddisruptionbudgets", "policy", {"spec": {"minAvailable": "50%"}}),
        ("roles", ACCESS, {}),
        (
            "roles",
            ACCESS,
            {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        ),
        ("rolebindings", ACCESS, {"roleRef": {"kind": "Role", "name": "r"}}),
        (
            "rolebindings",
            ACCESS,
            {
                "roleRef": {"apiGroup": ACCESS, "kind": "ClusterRole", "name": "view"},
                "subjects": [
                    {"kind": "Group", "name": "g"},
                    {"kind": "ServiceAccount", "name": "default", "namespace": "x"},
                ],
            },
        ),
        ("resourcequotas", "", {"spec": {"hard": {"limits.cpu": 1.5, "limits.memory": "1536Mi"}}}),
        ("resourcequotas", "", {"spec": {"hard": {"limits.cpu": "much"}}}),
        ("networkpolicies", POLICIES, {"spec": {"podSelector": {}}}),
        (
            "networkpolicies",
            POLICIES,
            {
                "spec": {
                    "podSelector": {"matchLabels": {"a": "b"}},
                    "ingress": [{"from": [{"podSelector": {}}], "ports": [port]}],
                    "egress": [{}],
                }
            },
        ),
        ("events", "", {"involvedObject": {"kind": "Pod", "name": "x"}}),
        (
            "events",
            "",
            {
                "involvedObject": {"kind": "Pod", "name": "x", "namespace": api.namespace},
                "message": "m",
                "reason": "r",
                "type": "Normal",
            },
        ),
    ]
    for resource, group, content in manifests:
        manifest = {**content, "metadata": {"name": "x"}}
        made = api.ask("POST", api.path(resource, group=group), manifest)
        if made["kind"] == "Status":
            continue
        if resource != "resourcequotas":
            api.ask("GET", api.path(resource, "x", group=group))
            api.ask("DELETE", api.path(resource, "x", group=group))
        else:
            api.ask("DELETE", api.path(resource, "x"), kept=False)
        gone = api.path(resource, "x", group=group)
        api.wait(gone, lambda found: found["kind"] == "Status")
    for resource, group in (
        ("networkpolicies", POLICIES),
        ("ingresses", POLICIES),
        ("poddisruptionbudgets", "policy"),
        ("roles", ACCESS),
        ("rolebindings", ACCESS),
    ):
        api.ask("GET", api.path(resource, "none", group))
        api.ask("GET", api.path(resource, group=group) + "?fieldSelector=spec.none=x")
        api.ask("GET", api.path(resource, "none", group) + "/status")


def finalizers(api: Api) -> None:
    """Finalizers keep what is deleted until the last is gone."""
    api.make_namespace()
    path = api.path("configmaps", "held")
    made = api.make(
        "configmaps", config_map("held", finalizers=["contract.test/a", "contract.test/b"])
    )
    api.ask("DELETE", path)
    api.ask("DELETE", path)
    api.ask("POST", api.path("configmaps"), config_map("held"))
    one = {"metadata": {"finalizers": ["contract.test/b"]}}
    api.ask("PATCH", path, one, Content_Type=MERGE)
    api.ask("PATCH", path, {"metadata": {"finalizers": None}}, Content_Type=MERGE)
    api.ask("GET", path)
    version = made["metadata"]["resourceVersion"]
    api.watch(api.path("configmaps") + f"?resourceVersion={version}&{SELECTED}", 3)
    api.make("configmaps", config_map("foreground"))
    foreground = api.path("configmaps", "foreground")
    api.ask("DELETE", foreground, {"propagationPolicy": "Foreground"})
    api.wait(foreground, lambda found: found["kind"] == "Status")
    for query in ("propagationPolicy=Orphan", "orphanDependents=true", "orphanDependents=false"):
        api.make("configmaps", config_map("asked"))
        api.ask("DELETE", f"{api.path('configmaps', 'asked')}?{query}")
        api.wait(api.path("configmaps", "asked"), lambda found: found["kind"] == "Status")
    api.make("persistentvolumeclaims", claim("home"))
    volume = {"name": "home", "persistentVolumeClaim": {"claimName": "home"}}
    api.make("pods", pod("user", volumes=[volume], nodeName=NODE))
    home = api.path("persistentvolumeclaims", "home")
    api.ask("DELETE", home)
    api.ask("DELETE", api.path("pods", "user"), {"gracePeriodSeconds": 0}, kept=False)
    api.wait(home, lambda found: found["kind"] == "Status")

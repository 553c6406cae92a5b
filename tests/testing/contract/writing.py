"""Scenarios of changes, and of what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .api import MERGE
from .manifests import NODE, config_map, limited_pod, pod

if TYPE_CHECKING:
    from .api import Api, Json

POLICIES = "networking.k8s.io"


def patches(api: Api) -> None:
    """Patches of status and metadata, and which are refused."""
    api.make_namespace()
    api.make("pods", pod("x", nodeName=NODE))
    one = api.path("pods", "x")
    ready = {"type": "Ready", "status": "True"}
    container = {"name": "notebook", "state": {"waiting": {"reason": "ContainerCreating"}}}
    status = f"{one}/status?fieldManager=kubelet"
    patches_of_status: list[Json] = [
        {"phase": "Running", "conditions": [ready]},
        {"conditions": [{**ready, "status": "False", "reason": "Because"}]},
        {"conditions": [], "containerStatuses": [container]},
        {"phase": "Failed", "message": "m"},
        {"message": None},
        {},
    ]
    for patch in patches_of_status:
        api.ask("PATCH", status, {"status": patch}, Content_Type=MERGE)
    # What the official client sends; without lists it does the same.
    strategic = "application/strategic-merge-patch+json"
    api.ask("PATCH", status, {"status": {"message": "n"}}, Content_Type=strategic)
    other = {
        "spec": {"nodeName": "other"},
        "metadata": {"labels": {"a": "b"}},
        "status": {"phase": "Unknown"},
    }
    api.ask("PATCH", status, other, Content_Type=MERGE)
    labels = {"status": {"phase": "Running"}, "metadata": {"labels": {"a": None, "c": "d"}}}
    api.ask("PATCH", one, labels, Content_Type=MERGE)
    for metadata in (
        {"resourceVersion": "1"},
        {"uid": "another"},
        {"name": "other"},
        {"namespace": "default"},
    ):
        api.ask(
            "PATCH",
            f"{one}/status",
            {"metadata": metadata, "status": {"phase": "Pending"}},
            Content_Type=MERGE,
        )
    api.ask("PATCH", one, {}, Content_Type="application/json")
    api.ask("PATCH", f"{one}/status", b"{nothing", Content_Type=MERGE)
    api.ask("PATCH", api.path("pods", "none") + "/status", {"status": {}}, Content_Type=MERGE)
    renamed = {"metadata": {"labels": {"a": "b"}}, "spec": {"finalizers": []}, "status": {}}
    api.ask("PATCH", f"/api/v1/namespaces/{api.namespace}", renamed, Content_Type=MERGE)
    api.make("configmaps", config_map("c"))
    api.ask(
        "PATCH",
        api.path("configmaps", "c"),
        {"data": {"z": "1", "key": None}},
        Content_Type=strategic,
    )
    api.ask("PATCH", api.path("configmaps", "c"), {"data": {"z": 1}}, Content_Type=MERGE)
    api.ask("GET", api.path("configmaps", "c") + "/status")


def quotas(api: Api) -> None:
    """A quota is counted, refuses what exceeds it, and what does not say its share."""
    api.make_namespace()
    hard = {"limits.cpu": "3", "limits.memory": "3Gi", "pods": "2", "secrets": "1"}
    api.make("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    path = api.path("resourcequotas", "q")
    api.wait(path, lambda found: "used" in found["status"])
    api.ask("GET", path)
    api.ask_until_refused("pods", pod("silent", nodeName=NODE), "must specify")
    api.ask("POST", api.path("pods"), limited_pod("large", cpu="4"))
    api.ask("POST", api.path("pods"), limited_pod("larger", cpu="3500m", memory="4Gi"))
    api.ask("POST", api.path("pods"), limited_pod("one", cpu="500m", memory="512Mi"))
    api.wait(path, lambda found: found["status"]["used"]["pods"] == "1")
    api.ask("GET", path)
    api.ask_until_refused("pods", limited_pod("rest", cpu="2600m"), "used: limits.cpu=500m")
    api.make("pods", limited_pod("two"))
    api.wait(path, lambda found: found["status"]["used"]["pods"] == "2")
    api.ask_until_refused("pods", limited_pod("three"), "used: pods=2")
    api.ask("POST", api.path("pods"), limited_pod("two"))
    api.make("secrets", {"metadata": {"name": "one"}})
    api.wait(path, lambda found: found["status"]["used"]["secrets"] == "1")
    api.ask_until_refused("secrets", {"metadata": {"name": "two"}}, "exceeded quota")
    api.ask("DELETE", api.path("pods", "two"), {"gracePeriodSeconds": 0}, kept=False)
    api.wait(path, lambda found: found["status"]["used"]["pods"] == "1")
    ended = {"status": {"phase": "Succeeded"}}
    api.ask("PATCH", api.path("pods", "one") + "/status", ended, kept=False, Content_Type=MERGE)
    api.wait(path, lambda found: found["status"]["used"]["limits.cpu"] == "0")
    api.ask("GET", path)
    api.ask(
        "PATCH",
        path,
        {"spec": {"hard": {"pods": "5", "secrets": None}}},
        kept=False,
        Content_Type=MERGE,
    )
    api.wait(path, lambda found: found["status"]["hard"].get("pods") == "5")


def refusals(api: Api) -> None:
    """What authorization and authentication refuse, and paths and methods that are not."""
    api.make_namespace()
    for method, path, body in (
        ("GET", api.path("configmaps", "x"), None),
        ("GET", api.path("configmaps"), None),
        ("GET", "/api/v1/configmaps", None),
        ("GET", api.path("pods") + "?watch=1", None),
        ("GET", api.path("pods") + "?watch=1&fieldSelector=metadata.name=x", None),
        ("POST", api.path("pods"), pod("x")),
        ("DELETE", api.path("pods", "x"), None),
        ("GET", api.path("pods", "x") + "/status", None),
        ("GET", f"/api/v1/namespaces/{api.namespace}", None),
        ("DELETE", f"/api/v1/namespaces/{api.namespace}", None),
        ("GET", "/api/v1/namespaces", None),
        ("GET", f"/api/v1/namespaces?watch=1&fieldSelector=metadata.name={api.namespace}", None),
        ("POST", "/api/v1/namespaces", {"metadata": {"name": "x"}}),
        ("GET", api.path("networkpolicies", "x", POLICIES), None),
    ):
        api.ask(method, path, body, user="nobody")
    api.ask("PATCH", api.path("pods", "x") + "/status", {}, user="nobody", Content_Type=MERGE)
    unknown: dict[str, Any] = {"Authorization": "Bearer unknown"}
    api.ask("GET", api.path("configmaps"), user=None, **unknown)
    api.ask("GET", "/version", user=None, kept=True, **unknown)
    api.ask("GET", "/readyz")
    for method, path in (
        ("PUT", api.path("configmaps")),
        ("POST", "/api/v1/configmaps"),
        ("POST", api.path("configmaps", "x")),
        ("DELETE", "/api/v1/namespaces"),
        ("OPTIONS", api.path("configmaps")),
        ("GET", api.path("configmaps", "x") + "/status"),
        ("GET", api.path("namespaces", "x")),
    ):
        api.ask(method, path)


def late_controllers(api: Api) -> None:
    """What is refused until there is a ServiceAccount and a quota is counted."""
    account = api.path("serviceaccounts", "default")
    quota = api.path("resourcequotas", "q")
    with api.server.paused_controllers():
        api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": api.namespace}}, kept=False)
        api.ask("POST", api.path("pods"), limited_pod("early"))
        api.ask("POST", api.path("pods"), {**pod("empty"), "spec": {"containers": []}})
        api.ask("GET", account)
        api.make("serviceaccounts", {"metadata": {"name": "default"}})
        hard = {"limits.cpu": "3", "limits.memory": "1Gi", "pods": "2", "configmaps": "5"}
        api.make("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
        status = {"status": {"hard": hard}}
        api.ask("PATCH", f"{quota}/status", status, kept=False, Content_Type=MERGE)
        api.wait(quota, lambda found: "hard" in found["status"])
        api.ask_until_refused("pods", limited_pod("uncounted"), "status unknown")
        api.ask("POST", api.path("pods"), pod("silent"))
        api.ask("POST", api.path("configmaps"), config_map("uncounted"))
        used = {"limits.cpu": "2500m", "limits.memory": "512Mi", "pods": "0", "configmaps": "0"}
        status = {"status": {"used": used}}
        api.ask("PATCH", f"{quota}/status", status, kept=False, Content_Type=MERGE)
        api.ask_until_refused("pods", limited_pod("exceeding"), "exceeded quota")

"""Scenarios of pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .api import MERGE
from .manifests import NODE, config_map, limited_pod, pod

if TYPE_CHECKING:
    from .api import Api, Json


def pods(api: Api) -> None:
    """What the server makes of pods, and which it refuses."""
    api.make_namespace()
    path = api.path("pods")
    api.ask("POST", path, pod("plain", nodeName=NODE))
    container = {
        "name": "notebook",
        "image": "lab:1",
        "ports": [{"containerPort": 8888}],
        "resources": {"limits": {"cpu": 1.5, "memory": "1024Mi"}, "requests": {"cpu": "100m"}},
        "env": [
            {"name": "A", "value": ""},
            {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        "envFrom": [{"configMapRef": {"name": "env"}}],
        "volumeMounts": [{"name": "home", "mountPath": "/home", "readOnly": False}],
        "readinessProbe": {"httpGet": {"port": 8888}},
        "livenessProbe": {"exec": {"command": ["true"]}},
        "securityContext": {"allowPrivilegeEscalation": False},
    }
    volumes = [
        {"name": "home", "persistentVolumeClaim": {"claimName": "home"}},
        {"name": "config", "configMap": {"name": "c", "items": [{"key": "a", "path": "b"}]}},
        {"name": "secret", "secret": {"secretName": "s"}},
        {"name": "empty"},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1024Ki"}},
        {"name": "host", "hostPath": {"path": "/x"}},
        {"name": "nfs", "nfs": {"server": "s", "path": "/p"}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {
            "name": "down",
            "downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.name"}}]},
        },
    ]
    full = pod(
        "full",
        containers=[container, {"name": "side", "image": "registry:5000/side@sha256:abc"}],
        initContainers=[{"name": "init", "image": "init"}],
        volumes=volumes,
        restartPolicy="OnFailure",
        nodeName=NODE,
        securityContext={"runAsUser": 1000, "fsGroup": 1000},
        tolerations=[{"key": "a", "operator": "Exists"}],
        imagePullSecrets=[{"name": "pull"}],
        affinity={"nodeAffinity": {}},
        hostNetwork=False,
        unheardOf=1,
    )
    full["metadata"]["annotations"] = {"A/b": "c"}
    full["metadata"]["labels"] = {"app": "lab", "empty": ""}
    api.ask("POST", path, full)
    api.ask("POST", path, pod("bare", automountServiceAccountToken=False, nodeName=NODE))
    api.ask("POST", path, pod("accounted", serviceAccountName="nobody"))
    api.ask("POST", path, pod("empty", containers=[]))
    api.ask("POST", path, {"metadata": {"name": "nothing"}})
    odd = [
        {"name": "Odd_1"},
        {"image": "x"},
        {"name": "two", "image": "x"},
        {"name": "two", "image": "x"},
    ]
    api.ask("POST", path, pod("odd", containers=odd, restartPolicy="Perhaps"))
    api.ask("POST", path, pod("Up.Per_", containers=[]))
    api.ask("POST", path, pod("x" * 254))
    wrong: list[Json] = [
        {"metadata": {"name": 5}},
        {"metadata": {"name": "x", "labels": {"a": 1}}},
        {"metadata": {"name": "x"}, "spec": []},
        {"metadata": {"name": "x"}, "spec": {"containers": {}}},
        {"metadata": {"name": "x"}, "spec": {"containers": ["a"]}},
        {"metadata": {"name": "x"}, "spec": {"containers": [{"name": 1}]}},
        {"metadata": {"name": "x"}, "spec": {"terminationGracePeriodSeconds": "x"}},
        {"metadata": {"name": "x"}, "spec": {"hostNetwork": "yes"}},
        limited_pod("x", cpu="much"),
        limited_pod("x", cpu=[]),
    ]
    for manifest in wrong:
        api.ask("POST", path, manifest)
    api.ask("GET", f"{path}?fieldSelector=spec.nodeName={NODE},status.phase=Pending")
    api.ask("GET", api.path("pods", "plain") + "/status")


def pod_deletion(api: Api) -> None:
    """Grace periods: given, shortened, absent, and of pods that run nowhere."""
    api.make_namespace()
    version = api.make("configmaps", config_map("before"))["metadata"]["resourceVersion"]
    path = api.path("pods", "x")
    unscheduled = pod("x", nodeSelector={"no": "node"}, schedulerName="nobody")
    api.make("pods", unscheduled)
    api.ask("DELETE", path)
    api.make("pods", limited_pod("x"))
    api.ask("DELETE", path, {"preconditions": {"uid": "another"}})
    api.ask("DELETE", path, {"gracePeriodSeconds": 20})
    api.ask("DELETE", path, {"gracePeriodSeconds": 30})
    api.ask("DELETE", path)
    api.ask("POST", api.path("pods"), limited_pod("x"))
    api.ask("DELETE", path + "?gracePeriodSeconds=5")
    api.ask("DELETE", path, {"gracePeriodSeconds": -1})
    api.ask("DELETE", path, {"gracePeriodSeconds": 0})
    api.ask("DELETE", path)
    api.make("pods", limited_pod("x"))
    api.ask("DELETE", path, {"gracePeriodSeconds": 0})
    api.make("pods", limited_pod("x"))
    ended = {"status": {"phase": "Succeeded"}}
    api.ask("PATCH", path + "/status", ended, Content_Type=MERGE)
    api.ask("DELETE", path)
    held = limited_pod("x")
    held["metadata"]["finalizers"] = ["contract.test/one"]
    api.make("pods", held)
    api.ask("DELETE", path, {"gracePeriodSeconds": 1})
    api.ask("DELETE", path, {"gracePeriodSeconds": 0})
    api.ask("PATCH", path, {"metadata": {"finalizers": []}}, Content_Type=MERGE)
    api.watch(api.path("pods") + f"?resourceVersion={version}", 19)


def scheduling(api: Api) -> None:
    """What the scheduler says of a pod that fits nowhere."""
    api.make_namespace()
    api.make("pods", pod("nowhere", nodeSelector={"no": "node"}))
    api.wait(api.path("pods", "nowhere"), lambda found: "conditions" in found["status"])
    selector = "involvedObject.name=nowhere,reason=FailedScheduling"
    events = f"{api.path('events')}?fieldSelector={selector}"
    api.wait(events, lambda found: bool(found["items"]))
    api.ask("GET", api.path("pods", "nowhere"))
    api.ask("GET", events)


def start_of_pod(api: Api) -> None:
    """The events of a pod that starts and is deleted, in order."""
    api.make_namespace()
    api.make("pods", pod("lab", initContainers=[{"name": "init", "image": "init:1"}]))
    api.wait(api.path("pods", "lab"), lambda found: found["status"]["phase"] == "Running")
    api.ask("DELETE", api.path("pods", "lab"), {"gracePeriodSeconds": 1}, kept=False)
    api.wait(api.path("pods", "lab"), lambda found: found["kind"] == "Status")
    told = api.ask("GET", api.path("events"), kept=False)["items"]
    told.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
    # The scheduler and the kubelet write independently of each other, each in its order.
    told.sort(key=lambda event: event["reason"] != "Scheduled")
    fields = ("reason", "message", "type", "count")
    api.keep("events", [{field: event.get(field) for field in fields} for event in told])

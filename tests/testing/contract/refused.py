"""Scenarios of what is refused, kind by kind, and of what is taken with a warning."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from .api import MERGE
from .manifests import NODE, config_map, pod

if TYPE_CHECKING:
    from .api import Api, Json

NETWORK = "networking.k8s.io"
ACCESS = "rbac.authorization.k8s.io"
LARGE = 1024 * 1024 + 1


def _tried(api: Api, resource: str, contents: list[Json], group: str = "") -> None:
    for content in contents:
        api.try_to_make(resource, {"metadata": {"name": "x"}, **content}, group)


def refused_config(api: Api) -> None:
    """Config maps, secrets, quotas and claims that do not fit."""
    api.make_namespace()
    large = base64.b64encode(b"x" * LARGE).decode()
    half = base64.b64encode(b"x" * (LARGE // 2)).decode()
    _tried(
        api,
        "configmaps",
        [
            {"data": {"a": "1"}, "binaryData": {"a": "MQ=="}},
            {"data": {"a": "x" * LARGE}},
            {"data": {"a": "x" * (LARGE // 2)}, "binaryData": {"b": half, "c": "MQ=="}},
            {"data": {"": "x"}},
            {"data": {"..": "x"}},
            {"data": {"..a": "x"}},
            {"data": {"a": None}},
            {"metadata": {"name": "x", "annotations": {"a": "x" * (256 * 1024)}}},
        ],
    )
    docker = "kubernetes.io/dockerconfigjson"
    _tried(
        api,
        "secrets",
        [
            {"data": {"a": large}},
            {"data": {"a": None}, "stringData": {"b": None}},
            {"type": docker},
            {"type": docker, "data": {".dockerconfigjson": "e30="}},
            {"type": docker, "data": {".dockerconfigjson": "e30"}},
            {"type": docker, "stringData": {".dockerconfigjson": "{"}},
            {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}},
            {"type": "kubernetes.io/basic-auth", "data": {"a": ""}},
            {"type": "kubernetes.io/ssh-auth", "data": {}},
            {"type": "kubernetes.io/service-account-token"},
        ],
    )
    _tried(
        api,
        "resourcequotas",
        [
            {"spec": {"hard": {name: amount}}}
            for name, amount in (
                ("pods", "-1"),
                ("pods", "1.5"),
                ("a b", "1"),
                ("nonsense", 1),
                ("example.com/x", "1.5"),
                ("requests.example.com/gpu", "2"),
                ("count/deployments.apps", "1"),
            )
        ],
    )
    storage = {"requests": {"storage": "1Gi"}}
    once: Json = {"accessModes": ["ReadWriteOnce"], "resources": storage}
    _tried(
        api,
        "persistentvolumeclaims",
        [
            {"spec": {**once, **spec}}
            for spec in (
                {"accessModes": ["Sometimes"]},
                {"accessModes": ["ReadWriteOnce", "ReadWriteOncePod"]},
                {"resources": {"requests": {"storage": "-1"}}},
                {"resources": {"requests": {"storage": "0"}}},
                {"volumeMode": "Solid"},
                {"storageClassName": "A_"},
                {"selector": {"matchLabels": {"a b": "c"}}},
            )
        ],
    )


def refused_network(api: Api) -> None:
    """Services, network policies and ingresses that do not fit."""
    api.make_namespace()
    port: Json = {"port": 80}
    specs: list[Json] = [
        {"type": "Usual"},
        {"ports": [{"port": 0}]},
        {"ports": [{"port": 70000}]},
        {"ports": [{}]},
        {"ports": [{**port, "targetPort": 0}]},
        {"ports": [port, port]},
        {"ports": [{**port, "name": "a"}, {"port": 81, "name": "a"}]},
        {"ports": [{**port, "name": "A_b"}]},
        {"ports": [{**port, "protocol": "HTTP"}]},
        {"ports": [{**port, "targetPort": "a_b"}]},
        {"ports": [{**port, "nodePort": 30000}]},
        {"clusterIP": "nowhere"},
        {"externalIPs": ["x"]},
        {"selector": {"a b": "c"}},
        {"selector": {"a": "c d"}},
        {"type": "ExternalName"},
        {"sessionAffinity": "Some"},
    ]
    _tried(api, "services", [{"spec": {"ports": [port], **spec}} for spec in specs])
    _tried(api, "services", [{"metadata": {"name": "Abc"}, "spec": {"ports": [port]}}])
    block = {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}
    ingress: list[Json] = [
        {"ports": [{"port": 0}]},
        {"ports": [{"port": "A_"}]},
        {"ports": [{"port": 80, "endPort": 70}]},
        {"ports": [{"protocol": "HTTP"}]},
        {"from": [{}]},
        {"from": [{"ipBlock": {"cidr": "x"}}]},
        {"from": [{"ipBlock": block}]},
        {"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]},
    ]
    selectors: list[Json] = [
        {"matchLabels": {"a b": "c"}},
        {"matchExpressions": [{"key": "a", "operator": "Like"}]},
        {"matchExpressions": [{"key": "a", "operator": "In"}]},
    ]
    policies: list[Json] = [
        {},
        {"spec": {"policyTypes": ["Sideways"]}},
        {"spec": {"policyTypes": ["Ingress", "Egress", "Ingress"]}},
        *({"spec": {"ingress": [rule]}} for rule in ingress),
        *({"spec": {"podSelector": selector}} for selector in selectors),
    ]
    _tried(api, "networkpolicies", policies, NETWORK)
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    paths: list[Json] = [
        {"path": "/", "backend": backend},
        {**path, "path": "x"},
        {**path, "pathType": "Suffix"},
        {**path, "backend": {}},
    ]
    ingresses: list[Json] = [
        {},
        {"defaultBackend": {"service": {"name": "", "port": {}}}},
        {"rules": [{"http": {"paths": []}}]},
        {"rules": [{"host": "A_"}]},
        *({"rules": [{"http": {"paths": [each]}}]} for each in paths),
    ]
    _tried(api, "ingresses", [{"spec": spec} for spec in ingresses], NETWORK)


def refused_access(api: Api) -> None:
    """Roles, role bindings and disruption budgets that do not fit."""
    api.make_namespace()
    rules: list[Json] = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": []},
        {"verbs": ["get"], "nonResourceURLs": ["/x"]},
        {"verbs": ["get"], "resources": ["pods"]},
        {"verbs": ["get"], "apiGroups": [""]},
    ]
    _tried(api, "roles", [{"rules": [rule]} for rule in rules], ACCESS)
    user = {"kind": "User", "name": "u"}
    odd = [user, {"kind": "Someone", "name": "u"}, {"kind": "ServiceAccount", "name": "A_"}]
    reference = {"apiGroup": ACCESS, "kind": "Role", "name": "r"}
    bindings: list[Json] = [
        {},
        {"roleRef": {"apiGroup": ACCESS, "kind": "Rule", "name": ""}, "subjects": odd},
        {"roleRef": reference, "subjects": [{"kind": "User"}]},
    ]
    _tried(api, "rolebindings", bindings, ACCESS)
    budgets: list[Json] = [
        {"minAvailable": "x"},
        {"minAvailable": -1},
        {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "Never"},
        {"selector": {"matchLabels": {"a b": "c"}}},
    ]
    _tried(api, "poddisruptionbudgets", [{"spec": spec} for spec in budgets], "policy")


def _volumes() -> list[Json]:
    return [
        {"name": "V_"},
        {},
        {"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}},
        {"name": "v", "hostPath": {}},
        {"name": "v", "hostPath": {"path": "/a/../b"}},
        {"name": "v", "secret": {}},
        {"name": "v", "configMap": {}},
        {"name": "v", "persistentVolumeClaim": {}},
        {"name": "v", "configMap": {"name": "c", "items": [{"key": "", "path": "/x"}]}},
        {"name": "v", "configMap": {"name": "c", "defaultMode": 1000}},
    ]


def _containers() -> list[Json]:
    port: Json = {"containerPort": 80}
    field = {"fieldRef": {"fieldPath": "metadata.name"}}
    return [
        {"volumeMounts": [{"name": "none", "mountPath": "/x"}]},
        {"volumeMounts": [{"name": "", "mountPath": ""}]},
        {"volumeMounts": [{"name": "v", "mountPath": "/x"}, {"name": "v", "mountPath": "/x"}]},
        {"volumeMounts": [{"name": "v", "mountPath": "/x", "subPath": "../a"}]},
        {"volumeMounts": [{"name": "v", "mountPath": "/x", "subPath": "/a"}]},
        {"volumeDevices": [{"name": "none", "devicePath": "/x"}]},
        {"ports": [{"containerPort": 0}]},
        {"ports": [{"containerPort": 70000}]},
        {"ports": [{**port, "name": "a_b"}]},
        {"ports": [{**port, "name": "a-name-too-long-for-it"}]},
        {"ports": [{**port, "name": "123"}]},
        {"ports": [{**port, "name": "a"}, {"containerPort": 81, "name": "a"}]},
        {"ports": [{**port, "protocol": "HTTP"}]},
        {"ports": [{**port, "hostPort": -1}]},
        {"env": [{"name": "", "value": "a"}]},
        {"env": [{"name": "a=b", "value": "a"}]},
        {"env": [{"name": "A", "value": "a", "valueFrom": field}]},
        {"env": [{"name": "A", "valueFrom": {}}]},
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "", "key": ""}}}]},
        {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"key": "a b"}}}]},
        {"envFrom": [{}]},
        {"envFrom": [{"prefix": "=", "configMapRef": {"name": "a"}}]},
        {"envFrom": [{"configMapRef": {}}]},
        {"envFrom": [{"secretRef": {"name": "A_"}}]},
        {"resources": {"limits": {"cpu": "-1"}}},
        {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
        {"resources": {"limits": {"bogus": "1"}}},
        {"resources": {"requests": {"example.com/gpu": "1"}}},
        {"resources": {"limits": {"example.com/gpu": "1.5"}}},
        {"imagePullPolicy": "Sometimes"},
        {"image": " b"},
        {"readinessProbe": {}},
        {"readinessProbe": {"httpGet": {"port": 0}}},
        {"readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": -1}},
        {"readinessProbe": {"httpGet": {"port": 80}, "exec": {"command": ["a"]}}},
        {"readinessProbe": {"exec": {}}},
        {"readinessProbe": {"httpGet": {"port": "a_b"}}},
        {"readinessProbe": {"httpGet": {"port": 80, "scheme": "FTP"}}},
        {"livenessProbe": {"httpGet": {"port": 80}, "successThreshold": 2}},
        {"lifecycle": {"postStart": {}}},
        {"lifecycle": {"preStop": {"exec": {}}}},
        {"securityContext": {"runAsUser": -1}},
    ]


def _specs() -> list[Json]:
    init: Json = {"name": "i", "image": "b"}
    hook = {"postStart": {"exec": {"command": ["a"]}}}
    return [
        {"volumes": [{"name": "v"}, {"name": "v"}]},
        {"initContainers": [{**init, "volumeMounts": [{"name": "q", "mountPath": "/x"}]}]},
        {"initContainers": [{**init, "lifecycle": hook}]},
        {"initContainers": [{**init, "readinessProbe": {"httpGet": {"port": 80}}}]},
        {"ephemeralContainers": [{"name": "e", "image": "b"}]},
        {"activeDeadlineSeconds": 0},
        {"dnsPolicy": "Some"},
        {"dnsPolicy": "None"},
        {"hostname": "A_b"},
        {"nodeSelector": {"a b": "c"}},
        {"tolerations": [{"key": "a", "operator": "Like"}]},
        {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
        {"tolerations": [{"operator": "Equal"}]},
        {"tolerations": [{"key": "a", "effect": "Never"}]},
        {"tolerations": [{"key": "a", "tolerationSeconds": 3}]},
        {"securityContext": {"fsGroup": -5}},
        {"nodeName": "A_"},
        {"schedulingGates": [{"name": "a"}]},
        {"priority": 5},
    ]


def refused_pods(api: Api) -> None:
    """Pods that do not fit: their volumes, containers and the rest."""
    api.make_namespace()
    volume = {"name": "v"}
    container: Json = {"name": "notebook", "image": "lab:1"}
    specs = [
        *({"volumes": [each]} for each in _volumes()),
        *({"containers": [{**container, **c}], "volumes": [volume]} for c in _containers()),
        *_specs(),
    ]
    for spec in specs:
        api.try_to_make("pods", pod("x", **{"nodeName": NODE, **spec}))


def warnings(api: Api) -> None:
    """Unknown and repeated fields, by validation, and what else is worth a warning."""
    api.make_namespace()
    path = api.path("configmaps")
    odd = {**config_map("x", lables={"a": "b"}), "datum": 1}
    twice = b'{"metadata":{"name":"x","name":"x"},"data":{"a":"b","a":"c"},"datum":1}'
    for validation in ("Strict", "Warn", "Ignore", ""):
        query = f"?fieldValidation={validation}" if validation else ""
        for body in (odd, twice, {"metadata": {"name": "x"}, "data": {"a": 1}, "datum": 1}):
            made = api.ask("POST", path + query, body)
            if made["kind"] != "Status":
                api.ask("DELETE", f"{path}/x", kept=False)
    strict = "?fieldValidation=Strict"
    nested = pod("x", bogus={"a": 1}, nodeName=NODE)
    nested["spec"]["containers"][0] |= {"imagee": "c", "ports": [{"containerPort": 1, "no": 2}]}
    api.ask("POST", api.path("pods") + strict, nested)
    api.try_to_make("pods", nested)
    doubtful = pod("x", nodeName=NODE, imagePullSecrets=[{}])
    doubtful["spec"]["containers"][0] |= {
        "ports": [{"containerPort": 80}, {"containerPort": 80}],
        "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
        "resources": {"limits": {"memory": "1m"}},
    }
    api.try_to_make("pods", doubtful)
    api.make("configmaps", config_map("x"))
    one = f"{path}/x"
    for query in (strict, ""):
        api.ask("PATCH", one + query, {"datum": 1}, Content_Type=MERGE)


def changes(api: Api) -> None:
    """Changes that are refused: of what is immutable, and to what does not fit."""
    api.make_namespace()
    api.make("configmaps", {**config_map("fixed"), "immutable": True})
    fixed, free = api.path("configmaps", "fixed"), api.path("configmaps", "free")
    refused: list[Json] = [
        {"data": {"key": "other"}},
        {"immutable": False},
        {"binaryData": {"z": "MQ=="}},
        {"metadata": {"labels": {"a": "b"}}},
    ]
    for patch in refused:
        api.ask("PATCH", fixed, patch, Content_Type=MERGE)
    api.make("configmaps", config_map("free"))
    refused = [
        {"data": {"a b": "c"}},
        {"data": {"a": "x" * LARGE}},
        {"metadata": {"labels": {"a b": "c"}}},
        {"metadata": {"finalizers": ["a"]}},
    ]
    for patch in refused:
        api.ask("PATCH", free, patch, Content_Type=MERGE)
    api.make("secrets", {"metadata": {"name": "x"}, "data": {"a": "MQ=="}, "immutable": True})
    secret = api.path("secrets", "x")
    api.ask("PATCH", secret, {"stringData": {"a": "c"}}, Content_Type=MERGE)
    api.ask("PATCH", secret, {"type": "other"}, Content_Type=MERGE)
    api.make("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}})
    quota = api.path("resourcequotas", "q")
    api.ask("PATCH", quota, {"spec": {"hard": {"pods": "-1"}}}, Content_Type=MERGE)
    policy = {"metadata": {"name": "p"}, "spec": {"podSelector": {}}}
    api.make("networkpolicies", policy, NETWORK)
    changed = {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}
    api.ask("PATCH", api.path("networkpolicies", "p", NETWORK), changed, Content_Type=MERGE)

"""What the server fills in where a manifest says nothing.

Source: https://kubernetes.io/docs/reference/kubernetes-api/ for each kind, and
what kube-apiserver 1.37 answered; the contract tests compare the fields.
"""

from __future__ import annotations

import base64
import ipaddress
import itertools
from typing import TYPE_CHECKING, Any

from .resources import (
    ACCOUNTS,
    BUDGETS,
    CLAIMS,
    CONFIG_MAPS,
    EVENTS,
    INGRESSES,
    NAMESPACES,
    PODS,
    POLICIES,
    QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .resources import Object, Resource

# 0644, as JSON has no octal numbers.
_FILE_MODE = 0o644
_VOLUMES_WITH_MODE = ("configMap", "secret", "downwardAPI", "projected")
_SECONDS_TOLERATED = 300


class Defaults:
    """Completes new objects; knows which cluster addresses it has given out."""

    def __init__(self) -> None:
        network = ipaddress.ip_network("10.96.0.0/16")
        self._addresses: Iterator[Any] = itertools.islice(network.hosts(), 1, None)
        self._completers: dict[Resource, Callable[[Object], None]] = {
            ACCOUNTS: _nothing,
            BUDGETS: _budget,
            CLAIMS: _claim,
            CONFIG_MAPS: _nothing,
            EVENTS: _event,
            INGRESSES: _ingress,
            NAMESPACES: _namespace,
            PODS: _pod,
            POLICIES: _policy,
            QUOTAS: _quota,
            ROLE_BINDINGS: _role_binding,
            ROLES: _role,
            SECRETS: _secret,
            SERVICES: self._service,
        }

    def complete(self, resource: Resource, obj: Object) -> None:
        """Fill in an object in place: its defaults, and the status it begins with."""
        self._completers.get(resource, _nothing)(obj)

    def _service(self, service: Object) -> None:
        spec = service.setdefault("spec", {})
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        for port in spec.get("ports", ()):
            port.setdefault("protocol", "TCP")
            if not port.get("targetPort"):
                port["targetPort"] = port.get("port", 0)
        service["status"] = {"loadBalancer": {}}
        if spec["type"] == "ExternalName":
            return
        spec.setdefault("internalTrafficPolicy", "Cluster")
        headless = spec.get("clusterIP") == "None"
        if not spec.get("clusterIP"):
            spec["clusterIP"] = str(next(self._addresses))
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
        # A headless service without a selector can be of both families.
        both = headless and not spec.get("selector")
        spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if both else ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "RequireDualStack" if both else "SingleStack")


def _nothing(obj: Object) -> None:
    del obj


def _namespace(namespace: Object) -> None:
    metadata = namespace["metadata"]
    if "name" in metadata:
        labels = metadata.setdefault("labels", {})
        labels["kubernetes.io/metadata.name"] = metadata["name"]
    namespace["spec"] = {"finalizers": ["kubernetes"]}
    namespace["status"] = {"phase": "Active"}


def _secret(secret: Object) -> None:
    for key, text in secret.pop("stringData", {}).items():
        secret.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()
    secret.setdefault("type", "Opaque")


def _claim(claim: Object) -> None:
    # Taken off again by a controller once no pod uses the claim.
    claim["metadata"].setdefault("finalizers", []).append("kubernetes.io/pvc-protection")
    spec = claim.setdefault("spec", {})
    spec.setdefault("resources", {})
    spec.setdefault("volumeMode", "Filesystem")
    claim["status"] = {"phase": "Pending"}


def _quota(quota: Object) -> None:
    quota.setdefault("spec", {})
    quota["status"] = {}


def _policy(policy: Object) -> None:
    spec = policy.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    spec.setdefault("policyTypes", ["Ingress", *(["Egress"] if "egress" in spec else [])])
    rules = (*spec.get("ingress", ()), *spec.get("egress", ()))
    for port in itertools.chain.from_iterable(rule.get("ports", ()) for rule in rules):
        port.setdefault("protocol", "TCP")


def _budget(budget: Object) -> None:
    budget.setdefault("spec", {})
    counts = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    budget["status"] = dict.fromkeys(counts, 0)


def _ingress(ingress: Object) -> None:
    ingress.setdefault("spec", {})
    ingress["status"] = {"loadBalancer": {}}


def _role(role: Object) -> None:
    # Not an empty list: that is how Go writes a list that is missing.
    role["rules"] = role.get("rules") or None


def _role_binding(binding: Object) -> None:
    group = "rbac.authorization.k8s.io"
    binding.setdefault("roleRef", {}).setdefault("apiGroup", group)
    for subject in binding.get("subjects", ()):
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", group)


def _event(event: Object) -> None:
    event.setdefault("source", {})
    for time in ("firstTimestamp", "lastTimestamp", "eventTime"):
        event.setdefault(time, None)
    for text in ("reportingComponent", "reportingInstance"):
        event.setdefault(text, "")


def _pod(pod: Object) -> None:
    spec = pod.setdefault("spec", {})
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in spec.get("volumes", ()):
        _volume(volume)
    for container in containers(pod):
        _container(container)
    spec["tolerations"] = [*spec.get("tolerations", ()), *_tolerations(spec)]
    pod["status"] = {"phase": "Pending", "qosClass": _quality(pod)}


def containers(pod: Object) -> list[dict[str, Any]]:
    """Give the init containers of a pod and then its containers."""
    spec = pod.get("spec", {})
    return [*spec.get("initContainers", ()), *spec.get("containers", ())]


def _volume(volume: dict[str, Any]) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for source in _VOLUMES_WITH_MODE:
        if source in volume:
            volume[source].setdefault("defaultMode", _FILE_MODE)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for source in volume.get("projected", {}).get("sources", ()):
        _downward_items(source.get("downwardAPI", {}))
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    _downward_items(volume.get("downwardAPI", {}))


def _downward_items(source: dict[str, Any]) -> None:
    for item in source.get("items", ()):
        if "fieldRef" in item:
            item["fieldRef"].setdefault("apiVersion", "v1")


def _container(container: dict[str, Any]) -> None:
    image = container.get("image", "")
    tag = image.rpartition("/")[2].partition(":")[2]
    latest = "@" not in image and tag in ("", "latest")
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    resources = container.setdefault("resources", {})
    for name, limit in resources.get("limits", {}).items():
        resources.setdefault("requests", {}).setdefault(name, limit)
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for variable in container.get("env", ()):
        source = variable.get("valueFrom", {})
        if "fieldRef" in source:
            source["fieldRef"].setdefault("apiVersion", "v1")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _probe(container[probe])


def _probe(probe: dict[str, Any]) -> None:
    probe.setdefault("timeoutSeconds", 1)
    probe.setdefault("periodSeconds", 10)
    probe.setdefault("successThreshold", 1)
    probe.setdefault("failureThreshold", 3)
    if "httpGet" in probe:
        probe["httpGet"].setdefault("path", "/")
        probe["httpGet"].setdefault("scheme", "HTTP")


def _tolerations(spec: dict[str, Any]) -> list[dict[str, Any]]:
    tolerated = {each.get("key") for each in spec.get("tolerations", ())}
    return [
        {
            "key": key,
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": _SECONDS_TOLERATED,
        }
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
        if not tolerated & {key, None}
    ]


def _quality(pod: Object) -> str:
    # https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
    all_resources = [each.get("resources", {}) for each in containers(pod)]
    if not any(each.get("limits") or each.get("requests") for each in all_resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= set(each.get("limits", {}))
        and each.get("requests", {}) == each["limits"]
        for each in all_resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def complete_status(pod: Object, before: Object) -> None:
    """Fill in a pod's status in place, after a patch of it."""
    status = pod["status"]
    if "qosClass" in before["status"]:
        status.setdefault("qosClass", before["status"]["qosClass"])
    for condition in status.get("conditions", ()):
        condition.setdefault("lastProbeTime", None)
        condition.setdefault("lastTransitionTime", None)
    for kind in ("containerStatuses", "initContainerStatuses"):
        for container in status.get(kind, ()):
            container.setdefault("state", {})
            container.setdefault("lastState", {})
            container.setdefault("ready", False)
            container.setdefault("restartCount", 0)
            container.setdefault("image", "")
            container.setdefault("imageID", "")

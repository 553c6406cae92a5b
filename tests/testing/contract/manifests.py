"""Manifests of the scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api import Json

#: The only node of both servers; its kubelet is stopped meanwhile.
NODE = "lab-node"


def config_map(name: str, **metadata: object) -> Json:
    """A config map with one key."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": {"key": "value"},
    }


def pod(name: str, **spec: object) -> Json:
    """A pod of one container."""
    containers = [{"name": "notebook", "image": "lab:1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, **spec},
    }


def limited_pod(name: str, cpu: object = "1", memory: object = "1Gi") -> Json:
    """A pod with limits on a node whose kubelet is stopped: only the server writes about it."""
    resources = {"limits": {"cpu": cpu, "memory": memory}}
    container = {"name": "notebook", "image": "lab:1", "resources": resources}
    return pod(name, containers=[container], nodeName=NODE)


def claim(name: str, **spec: object) -> Json:
    """A claim of one GiB."""
    storage = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": storage, **spec}
    return {"kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}

"""The state of a lab in a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["describe_state"]

Manifest = dict[str, Any]


def describe_state(found: dict[str, Manifest | None]) -> Iterator[str]:
    """Describe the pod, the use of the quota, and the environment.

    Parameters
    ----------
    found
        The manifests of ``env_config_map``, ``quota`` and ``pod``.

    Yields
    ------
    str
        The lines.
    """
    yield from _pod(found["pod"] or {})
    if found["quota"] is not None:
        yield from _quota(found["quota"])
    config_map = found["env_config_map"] or {}
    yield f"ConfigMap {_name(config_map)}"
    for key, value in sorted((config_map.get("data") or {}).items()):
        yield f"  {key}={value}"


def _pod(pod: Manifest) -> Iterator[str]:
    status = pod.get("status") or {}
    node = (pod.get("spec") or {}).get("nodeName")
    yield f"Pod {_name(pod)}: {status.get('phase')}" + (f" on {node}" if node else "")
    for field in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(field) or []:
            yield f"  {container.get('name')}: {_state(container)}"


def _state(container: Manifest) -> str:
    """``running, ready`` or ``waiting, ErrImagePull: …``, after ``containerStatuses``.

    One of the states is set
    (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-states).
    """
    for state, details in (container.get("state") or {}).items():
        if details is None:
            continue
        reason = details.get("reason")
        message = details.get("message")
        said = f", {reason}" if reason else ", ready" if container.get("ready") else ""
        return f"{state}{said}" + (f": {message}" if message else "")
    return "unknown"


def _quota(quota: Manifest) -> Iterator[str]:
    hard = (quota.get("spec") or {}).get("hard") or {}
    used = (quota.get("status") or {}).get("used") or {}
    yield f"ResourceQuota {_name(quota)}"
    for resource, limit in sorted(hard.items()):
        yield f"  {resource}: {used.get(resource, 'unknown')} of {limit}"


def _name(manifest: Manifest) -> str:
    metadata = manifest.get("metadata") or {}
    return f"{metadata.get('namespace')}/{metadata.get('name')}"

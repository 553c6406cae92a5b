"""All labs at a glance: namespaces, and the pods in each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from functools import partial

from lab_storage._api import pod_json
from lab_storage._api.call import Call
from lab_storage._api.objects import read_metadata
from lab_storage._api.pod_source import PodSource
from lab_storage._api.pod_state import PodState
from lab_storage._api.workers import Workers
from lab_storage._manifests.kinds import NAMESPACE
from lab_storage.models import LabSummary, PodSummary


def list_labs(
    call: Call, workers: Workers, prefix: str, label_selector: str | None
) -> list[LabSummary]:
    """List the namespaces of a prefix, and the pods in them, by name."""
    wants = partial(_starts_with, prefix)
    pods = PodSource(label_selector=label_selector, wants=wants, needs_versions=False)
    tasks: list[Callable[[Call], list[PodState]]] = [
        partial(list_namespaces, prefix=prefix),
        lambda part: pods.list_all(part).pods,
    ]
    namespaces, listed = workers.run(call, tasks)
    return summaries(namespaces, listed)


def list_namespaces(call: Call, prefix: str, name: str | None = None) -> list[PodState]:
    """List the metadata of the namespaces of a prefix, or of the one of a name.

    The one is read and not listed: a Role may allow that in its namespace, and no Role can allow
    to list namespaces.
    """
    if name is not None:
        metadata = read_metadata(call, NAMESPACE, None, name)
        return [] if metadata is None else [pod_json.pod({"metadata": metadata})]
    wants = partial(_starts_with, prefix)
    return PodSource(kind=NAMESPACE, wants=wants, needs_versions=False).list_all(call).pods


def _starts_with(prefix: str, name: str) -> bool:
    return name.startswith(prefix)


def summaries(namespaces: Iterable[PodState], pods: Iterable[PodState]) -> list[LabSummary]:
    """Put namespaces and pods together."""
    by_namespace: dict[str, list[PodState]] = defaultdict(list)
    for pod in pods:
        by_namespace[pod.namespace].append(pod)
    return [
        LabSummary(
            namespace=namespace.name,
            uid=namespace.uid,
            created=_time(namespace.created),
            is_terminating=namespace.is_terminating,
            pods=tuple(map(_summary, sorted(by_namespace[namespace.name], key=_name))),
        )
        for namespace in sorted(namespaces, key=_name)
    ]


def _name(state: PodState) -> str:
    return state.name


def _summary(pod: PodState) -> PodSummary:
    return PodSummary(
        name=pod.name,
        uid=pod.uid,
        phase=pod.phase,
        is_ready=pod.is_ready,
        is_terminating=pod.is_terminating,
        created=_time(pod.created),
    )


def _time(seconds: int | None) -> datetime:
    # All servers say it.
    return datetime.fromtimestamp(seconds or 0, timezone.utc)

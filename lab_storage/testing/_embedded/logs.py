"""The logs of containers: what a test writes, and what the API server and kubelet refuse.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
(read log of the specified Pod). No container runs, so a log has what a test put there.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from .defaults import containers
from .errors import APIError, bad_request, invalid, invalid_value, not_implemented
from .requests import whole_number
from .resources import name_of, namespace_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .errors import Cause
    from .resources import Object

_NOT_SERVED = ("follow", "sinceSeconds", "sinceTime", "stream", "timestamps")
# What the kubelet says of the common reasons: pkg/kubelet/kubelet_pods.go.
_WHY = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


class Logs:
    """What the containers of a server have written; thread-safe, as it only appends."""

    def __init__(self) -> None:
        # By namespace, pod, container (or None for any) and whether of the previous run.
        self._texts: defaultdict[tuple[str | None, str, str | None, bool], list[str]]
        self._texts = defaultdict(list)

    def write(
        self, namespace: str, pod: str, container: str | None, text: str, *, previous: bool
    ) -> None:
        """Add to the log of a container."""
        self._texts[namespace, pod, container, previous].append(text)

    def read(self, pod: Object, query: Mapping[str, str]) -> bytes | None:
        """Give the log that a query asks for; ``None`` for a pod that has no node.

        Raises
        ------
        APIError
            400: there is no such container, or it has no log yet; 422: a number is
            out of its range; 501: what is only on real servers.
        """
        name = name_of(pod)
        tail, limit = _number(query, "tailLines"), _number(query, "limitBytes")
        causes = list(_out_of_range(tail, limit))
        if causes:
            raise invalid("PodLogOptions", name, causes)
        for option in _NOT_SERVED:
            if query.get(option) not in (None, "", "false", "0"):
                raise not_implemented(f"{option} of logs")
        container = _container(pod, query.get("container", ""))
        if not pod["spec"].get("nodeName"):
            return None
        previous = query.get("previous", "false").lower() not in ("", "0", "false")
        _check_state(pod, container, previous=previous)
        named = self._texts.get((namespace_of(pod), name, container, previous))
        texts = named or self._texts.get((namespace_of(pod), name, None, previous), [])
        text = "".join(texts)
        if tail is not None:
            text = "".join(text.splitlines(keepends=True)[-tail:] if tail else [])
        return text.encode()[:limit]


def _number(query: Mapping[str, str], option: str) -> int | None:
    return whole_number(query[option]) if query.get(option) else None


def _out_of_range(tail: int | None, limit: int | None) -> Iterator[Cause]:
    if tail is not None and tail < 0:
        yield invalid_value("tailLines", tail, "must be greater than or equal to 0")
    if limit is not None and limit < 1:
        yield invalid_value("limitBytes", limit, "must be greater than 0")


def _container(pod: Object, asked: str) -> str:
    names = [str(each["name"]) for each in containers(pod)]
    if not asked and len(names) == 1:
        return names[0]
    if not asked:
        text = f"a container name must be specified for pod {name_of(pod)}, choose one of: "
        raise bad_request(f"{text}[{' '.join(names)}]")
    if asked not in names:
        raise bad_request(f"container {asked} is not valid for pod {name_of(pod)}")
    return asked


def _check_state(pod: Object, container: str, *, previous: bool) -> None:
    """Refuse what a kubelet refuses: the log of a container that has not run."""
    status = pod["status"]
    known = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    found: Object = next((each for each in known if each["name"] == container), {})
    state, last = found.get("state", {}), found.get("lastState", {})
    subject = f'"{container}" in pod "{name_of(pod)}"'
    if previous:
        if "terminated" not in last:
            raise bad_request(f"previous terminated container {subject} not found")
    elif not ({"running", "terminated"} & set(state) or "terminated" in last):
        raise _waiting(subject, state.get("waiting", {}).get("reason"))


def _waiting(subject: str, reason: str | None) -> APIError:
    if reason is None:
        return bad_request(f"container {subject} is not available")
    return bad_request(f"container {subject} is waiting to start: {_WHY.get(reason, reason)}")

"""Sees every version of every pod and event, since what is between two reads may be the point."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import urllib3
from kubernetes import client

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]


@dataclass
class Story:
    """What was seen of one pod."""

    #: All its versions, in order.
    pods: list[Json] = field(default_factory=list)
    #: Its events by UID, as they are now, in the order in which they were first seen.
    events: dict[str, Json] = field(default_factory=dict)
    gone: bool = False


class Witness:
    """Watches the pods and events of a whole cluster, from its construction on.

    Parameters
    ----------
    api_client
        Of somebody who may watch them.
    """

    def __init__(self, api_client: client.ApiClient) -> None:
        self._core = client.CoreV1Api(api_client)
        self._changed = threading.Condition()
        self._stories: defaultdict[str, Story] = defaultdict(Story)
        for kind, note in (("pod", self._note_pod), ("event", self._note_event)):
            watch = getattr(self._core, f"list_{kind}_for_all_namespaces")
            threading.Thread(target=self._watch, args=(watch, note), daemon=True).start()

    def story(self, namespace: str, name: str) -> Story:
        """What was seen of that pod until now."""
        with self._changed:
            return self._stories[f"{namespace}/{name}"]

    def wait(
        self,
        namespace: str,
        name: str,
        condition: Callable[[Story], Any],
        seconds: float,
    ) -> Any:
        """Wait until something is true of the story of a pod, and give that.

        Raises
        ------
        TimeoutError
            If it does not become true in time.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            story = self._stories[f"{namespace}/{name}"]
            while not (found := condition(story)):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{namespace}/{name}: {summary(story)}")
                self._changed.wait(left)
        return found

    def _watch(self, watch: Callable[..., Any], note: Callable[[Json], None]) -> None:
        # From all that exists on, and until the server is gone.
        answer = watch(watch=True, _preload_content=False, _request_timeout=3600)
        with answer, contextlib.suppress(urllib3.exceptions.HTTPError):
            for line in answer:
                event = json.loads(line)
                with self._changed:
                    note(event)
                    self._changed.notify_all()

    def _note_pod(self, event: Json) -> None:
        pod = event["object"]
        story = self._stories[f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"]
        story.pods.append(pod)
        story.gone = event["type"] == "DELETED"

    def _note_event(self, event: Json) -> None:
        told = event["object"]
        about = told["involvedObject"]
        if event["type"] != "DELETED" and about["kind"] == "Pod":
            story = self._stories[f"{about['namespace']}/{about['name']}"]
            story.events[told["metadata"]["uid"]] = told


def summary(story: Story) -> str:
    """What was seen, for whoever waited for something else."""
    status = story.pods[-1]["status"] if story.pods else None
    events = [f"{each['reason']}: {each['message']}" for each in story.events.values()]
    return json.dumps({"gone": story.gone, "status": status, "events": events}, indent=1)

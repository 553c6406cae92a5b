"""Servers that do not do what is asked of them."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

from lab_storage import PodPhase
from tests.live.conftest import PATIENCE_SECONDS, names
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.villain import Act, Seen, Villain, json_answer, stream


def test_server_that_knows_neither_streamed_lists_nor_ends_of_watches(
    storage_of: StorageOf,
) -> None:
    """It never says that it has told all, and goes on talking: then the pods are listed."""
    versions = itertools.count(11)

    def pod() -> dict[str, Any]:
        metadata = {
            "name": "lab",
            "namespace": "lab-ada",
            "uid": "1",
            "resourceVersion": str(next(versions)),
        }
        return {"kind": "Pod", "metadata": metadata, "status": {"phase": "Running"}}

    def script(request: Seen) -> Act:
        if request.is_watch:
            events = ([{"type": "MODIFIED", "object": pod()}, 0.1] for _ in itertools.count())
            return stream(events)
        version = {"resourceVersion": str(next(versions))}
        return json_answer({"kind": "PodList", "metadata": version, "items": [pod()]})

    with (
        Villain(script) as villain,
        storage_of(villain).live("lab-", max_age=timedelta(seconds=1)) as live,
    ):
        live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
        assert PodPhase.RUNNING == live.read_pod_phase(names("ada"), timeout_of(PATIENCE_SECONDS))
        assert 1 == live.freshness.pods


def test_blank_lines_are_silence(storage_of: StorageOf) -> None:
    """What keeps the connection of a dead watch alive does not keep the watch."""

    def pod(phase: str, version: int) -> dict[str, Any]:
        metadata = {
            "name": "lab",
            "namespace": "lab-ada",
            "uid": "1",
            "resourceVersion": str(version),
        }
        return {"kind": "Pod", "metadata": metadata, "status": {"phase": phase}}

    def script(request: Seen) -> Act:
        if "sendInitialEvents" in request.query:
            annotations = {"k8s.io/initial-events-end": "true"}
            end = {"metadata": {"resourceVersion": "10", "annotations": annotations}}
            return stream(
                {"type": "ADDED", "object": pod("Pending", 5)},
                {"type": "BOOKMARK", "object": end},
                ([b"\n", 0.1] for _ in itertools.count()),
            )
        if request.is_watch:
            return stream({"type": "MODIFIED", "object": pod("Running", 11)})
        return json_answer({"metadata": {"resourceVersion": "10"}, "items": [pod("Pending", 5)]})

    with (
        Villain(script) as villain,
        storage_of(villain).live("lab-", max_age=timedelta(seconds=1)) as live,
    ):
        changes = live.changes(timeout_of(PATIENCE_SECONDS))
        assert [PodPhase.PENDING, PodPhase.RUNNING] == [next(changes).phase for _ in range(2)]
        changes.close()

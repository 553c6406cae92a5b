"""Plays cases on a real node, and writes what came of them."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from kubernetes import client

from tests.support.cluster import eventually, has_service_account

from .case import POD, Case, Stage
from .conditions import gone
from .steady import steady
from .witness import Witness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.plane.control_plane import ControlPlane

    from .conditions import Condition, Json
    from .witness import Story

FOLDER = Path(__file__).parent.parent / "recordings" / "statuses"
#: As many start side by side as two cores can do with.
AT_ONCE = 12
#: Events are sent beside the status, and may come a little later.
SETTLE_SECONDS = 0.4
#: Kinds that are in no namespace, and what makes and deletes them.
GLOBAL = {
    "PersistentVolume": (client.CoreV1Api, "persistent_volume"),
    "RuntimeClass": (client.NodeV1Api, "runtime_class"),
}
NAMESPACED = {
    "ConfigMap": "config_map",
    "PersistentVolumeClaim": "persistent_volume_claim",
    "Secret": "secret",
}


def record(plane: ControlPlane, cases: Iterable[Case]) -> Iterator[tuple[Case, Json | Exception]]:
    """Play cases, side by side where they allow it, and give what is in the file of each."""
    cases = list(cases)
    with plane.api_client() as admin:
        witness = Witness(admin)

        def attempt(case: Case) -> tuple[Case, Json | Exception]:
            try:
                return case, play(case, plane, witness)
            except Exception as error:
                return case, error

        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield from pool.map(attempt, [each for each in cases if each.around is None])
        yield from map(attempt, [each for each in cases if each.around is not None])


def write(case: Case, found: Json) -> None:
    """Write the file of a case."""
    FOLDER.mkdir(exist_ok=True)
    text = yaml.safe_dump(found, sort_keys=False, width=110, allow_unicode=True)
    (FOLDER / f"{case.name}.yaml").write_text(text)


def play(case: Case, plane: ControlPlane, witness: Witness) -> Json:
    """Play one case, and give what is in its file."""
    around = case.around or contextlib.nullcontext
    with plane.api_client() as admin, around(plane):
        core = client.CoreV1Api(admin)
        namespace = f"{case.name}-{time.monotonic_ns() % 10**6:06}"
        core.create_namespace({"metadata": {"name": namespace}})
        try:
            eventually(lambda: has_service_account(core, namespace))
            for manifest in case.objects:
                _create(admin, namespace, manifest)
            manifest = {"metadata": {"name": POD}, "spec": case.spec}
            core.create_namespaced_pod(namespace, manifest)
            found = _follow(case, Stage(plane, core, namespace), witness)
        finally:
            with contextlib.suppress(client.ApiException):
                core.delete_namespaced_pod(POD, namespace, grace_period_seconds=0)
            core.delete_namespace(namespace)
            for manifest in case.objects:
                _delete_global(admin, manifest)
    return steady(found, namespace, case.name, plane)


def _follow(case: Case, stage: Stage, witness: Witness) -> Json:
    deadline = time.monotonic() + case.seconds

    def wait(condition: Callable[[Story], Any]) -> Any:
        left = deadline - time.monotonic()
        return witness.wait(stage.namespace, POD, condition, max(left, 0.0))

    moments = []
    seen = 0
    for step in case.steps:
        seen, pod = wait(_first(step.until, seen))
        if step.note is not None:
            moments.append({"note": step.note, "status": pod["status"]})
        if step.then is not None:
            step.then(stage)
    if case.until is gone:
        pod = wait(lambda story: story.gone and story.pods[-2])
    else:
        _, pod = wait(_last(case.until, seen))
    logs = {}
    if case.log is not None:
        logs["log"] = _log(stage, case.log, previous=False)
        logs["previous_log"] = _log(stage, case.log, previous=True)
    time.sleep(SETTLE_SECONDS)
    events = list(witness.story(stage.namespace, POD).events.values())
    found: Json = {"description": case.description}
    if moments:
        found["moments"] = moments
    return {**found, "pod": _bare(pod), "events": [_bare(each) for each in events], **logs}


def _first(condition: Condition, seen: int) -> Callable[[Story], tuple[int, Json] | None]:
    """The first version of a pod, from the one of that number on, for which it holds."""

    def find(story: Story) -> tuple[int, Json] | None:
        events = list(story.events.values())
        for number, pod in enumerate(story.pods[seen:], seen):
            if condition(pod, events):
                return number, pod
        return None

    return find


def _last(condition: Condition, seen: int) -> Callable[[Story], tuple[int, Json] | None]:
    """The pod as it is, if the condition holds; else the first version for which it did."""

    def find(story: Story) -> tuple[int, Json] | None:
        if story.pods and condition(story.pods[-1], list(story.events.values())):
            return len(story.pods) - 1, story.pods[-1]
        return _first(condition, seen)(story)

    return find


def _log(stage: Stage, container: str, *, previous: bool) -> str | None:
    try:
        answer = stage.core.read_namespaced_pod_log(
            POD, stage.namespace, container=container, previous=previous, _preload_content=False
        )
    except client.ApiException:
        return None
    return str(answer.data.decode())


def _bare(found: Json) -> Json:
    metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
    return {**found, "metadata": metadata}


def _create(admin: client.ApiClient, namespace: str, manifest: Json) -> None:
    if manifest["kind"] in GLOBAL:
        api, words = GLOBAL[manifest["kind"]]
        getattr(api(admin), f"create_{words}")(manifest)
    else:
        words = NAMESPACED[manifest["kind"]]
        getattr(client.CoreV1Api(admin), f"create_namespaced_{words}")(namespace, manifest)


def _delete_global(admin: client.ApiClient, manifest: Json) -> None:
    if manifest["kind"] in GLOBAL:
        api, words = GLOBAL[manifest["kind"]]
        with contextlib.suppress(client.ApiException):
            getattr(api(admin), f"delete_{words}")(manifest["metadata"]["name"])

"""Probes and hooks."""

from __future__ import annotations

from typing import Any

from .case import (
    FOREVER,
    POD,
    Case,
    Json,
    Stage,
    Step,
    container,
    delete,
    kill_container,
    spec,
)
from .conditions import all_of, has_phase, is_going, is_ready, is_running, restarted, told, waits

RANDOM = "/proc/sys/kernel/random/uuid"
FAILS: Json = {"exec": {"command": ["sh", "-c", "echo not well; exit 1"]}, "periodSeconds": 1}
REFUSED: Json = {"httpGet": {"path": "/api", "port": 8888}, "periodSeconds": 1}


def _hook(when: str, code: int) -> Json:
    return {when: {"exec": {"command": ["sh", "-c", f"echo too bad; exit {code}"]}}}


def _probed(**probes: Any) -> Json:
    return spec(container(FOREVER, **probes))


def _give_memory(stage: Stage) -> None:
    """Resize the container in place.

    https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/
    """
    resources = {"requests": {"memory": "32Mi"}}
    stage.core.patch_namespaced_pod_resize(
        POD,
        stage.namespace,
        {"spec": {"containers": [{"name": "notebook", "resources": resources}]}},
    )


CASES = (
    Case(
        "restarted-for-more-memory",
        "Nothing is wrong: it was given more memory, for which its container is restarted.",
        spec(
            container(
                FOREVER,
                resources={"requests": {"memory": "16Mi"}},
                resizePolicy=[{"resourceName": "memory", "restartPolicy": "RestartContainer"}],
                readinessProbe={
                    "exec": {"command": ["true"]},
                    "initialDelaySeconds": 3,
                    "periodSeconds": 1,
                },
            )
        ),
        all_of(restarted(), told("Killing")),
        (Step(is_ready, then=_give_memory),),
    ),
    Case(
        "killed-after-many-probes",
        "Somebody has killed its container, whose readiness probe failed in many ways before.",
        spec(
            container(
                FOREVER,
                readinessProbe={
                    "exec": {"command": ["sh", "-c", f"cat {RANDOM}; exit 1"]},
                    "periodSeconds": 1,
                },
            ),
            restart="Never",
        ),
        has_phase("Failed"),
        (Step(all_of(is_running, told("Unhealthy", count=12)), then=kill_container),),
    ),
    Case(
        "startup-probe-fails",
        "Its container is killed, since its startup probe does not succeed.",
        _probed(startupProbe={**FAILS, "failureThreshold": 1}),
        all_of(waits("CrashLoopBackOff"), told("Unhealthy", "Killing", "BackOff")),
        (Step(restarted(), "while it runs again"),),
    ),
    Case(
        "startup-probe-has-failed-once",
        "Its startup probe has failed; there are tries left.",
        _probed(startupProbe={**FAILS, "failureThreshold": 100}),
        all_of(is_running, told("Unhealthy", count=2)),
    ),
    Case(
        "liveness-probe-fails",
        "Its container is killed again and again, since its liveness probe fails.",
        _probed(livenessProbe={**FAILS, "failureThreshold": 1}),
        all_of(waits("CrashLoopBackOff"), told("Unhealthy", "Killing", "BackOff")),
        (
            Step(restarted(), "while it runs again"),
            Step(told("Killing", count=2), "after it was killed a second time"),
        ),
    ),
    Case(
        "liveness-probe-refused",
        "Its container is killed, since nobody listens where the liveness probe asks.",
        _probed(
            livenessProbe={"httpGet": {"port": 8888}, "periodSeconds": 1, "failureThreshold": 1}
        ),
        all_of(waits("CrashLoopBackOff"), told("Unhealthy", "Killing", "BackOff")),
    ),
    Case(
        "liveness-probe-failed-once",
        "Nothing is wrong: its liveness probe failed once, and succeeds since.",
        spec(
            container(
                FOREVER,
                livenessProbe={
                    "exec": {"command": ["sh", "-c", "test -e /tmp/a || ! touch /tmp/a"]},
                    "periodSeconds": 1,
                },
            )
        ),
        all_of(is_ready, told("Unhealthy")),
    ),
    Case(
        "readiness-probe-fails",
        "It runs, and is not ready, since its readiness probe fails.",
        _probed(readinessProbe=FAILS),
        all_of(is_running, told("Unhealthy", count=2)),
    ),
    Case(
        "readiness-probe-refused",
        "It runs, and is not ready: nobody listens where the readiness probe asks.",
        _probed(readinessProbe=REFUSED),
        all_of(is_running, told("Unhealthy", count=2)),
    ),
    Case(
        "readiness-probe-is-early",
        "Nothing is wrong: its readiness probe has not been tried yet.",
        _probed(readinessProbe={**FAILS, "initialDelaySeconds": 60}),
        all_of(is_running, told("Started")),
    ),
    Case(
        "readiness-probe-times-out",
        "It runs, and is not ready: its readiness probe does not end.",
        _probed(
            readinessProbe={
                "exec": {"command": ["sleep", "100"]},
                "periodSeconds": 1,
                "timeoutSeconds": 1,
            }
        ),
        all_of(is_running, told("Unhealthy", count=2)),
    ),
    Case(
        "post-start-hook-fails",
        "Its container is killed, since the hook after its start fails.",
        spec(container(FOREVER, lifecycle=_hook("postStart", 5))),
        all_of(waits("CrashLoopBackOff"), told("FailedPostStartHook", "BackOff")),
        (Step(told("FailedPostStartHook"), "after the first try"),),
    ),
    Case(
        "pre-stop-hook-fails",
        "It is being deleted, and the hook before its end has failed.",
        spec(container(FOREVER, lifecycle=_hook("preStop", 6)), grace=10),
        all_of(is_going, told("FailedPreStopHook")),
        (Step(is_ready, then=delete()),),
    ),
)

"""Containers that end: exit codes, crash loops, a lack of memory, init containers, deadlines."""

from __future__ import annotations

from .case import FOREVER, POLITE, Case, Step, container, delete, kill_container, spec
from .conditions import (
    all_of,
    containers,
    ended,
    gone,
    has_phase,
    is_going,
    is_ready,
    is_running,
    restarted,
    told,
    waits,
)

GREEDY = "echo reading; sleep 0.2; tail /dev/zero"
LITTLE = {"limits": {"memory": "16Mi"}}
LOOPS = all_of(waits("CrashLoopBackOff"), told("BackOff"))


def _ends(name: str, description: str, code: int) -> Case:
    return Case(
        name,
        description,
        spec(container(f"echo bye; exit {code}"), restart="Never"),
        all_of(has_phase("Failed"), told("Started")),
        log="notebook",
    )


CASES = (
    Case(
        "running",
        "Nothing is wrong: it runs and is ready.",
        spec(container(FOREVER)),
        all_of(is_ready, told("Started")),
    ),
    Case(
        "succeeded",
        "Its container has ended with 0, and is not to be restarted.",
        spec(container("echo done"), restart="Never"),
        all_of(has_phase("Succeeded"), told("Started")),
    ),
    _ends("exit-1", "Its container has ended with 1, and is not to be restarted.", 1),
    _ends("exit-2", "Its container has ended with 2, and is not to be restarted.", 2),
    _ends("exit-137", "Its container ended with 137 by itself: nobody killed it.", 137),
    _ends("exit-143", "Its container ended with 143, as after a SIGTERM.", 143),
    Case(
        "killed-by-somebody",
        "Its container was killed by SIGKILL, by somebody on the node.",
        spec(container(FOREVER), restart="Never"),
        has_phase("Failed"),
        (Step(is_ready, then=kill_container),),
    ),
    Case(
        "crash-loop",
        "Its container ends with 1 again and again.",
        spec(container("echo run; sleep 0.2; exit 1")),
        LOOPS,
        (Step(ended("Error"), "after the first run"),),
        log="notebook",
    ),
    Case(
        "completed-loop",
        "Its container is to run always, and ends with 0 again and again.",
        spec(container("echo run")),
        LOOPS,
        log="notebook",
    ),
    Case(
        "restarted-and-ready",
        "Nothing is wrong any more: its container crashed once, and is ready again.",
        spec(
            container(
                f"test -e /data/again && {FOREVER}; touch /data/again; exit 1",
                volumeMounts=[{"name": "data", "mountPath": "/data"}],
            ),
            volumes=[{"name": "data", "emptyDir": {}}],
        ),
        all_of(restarted(), is_ready),
    ),
    Case(
        "one-of-two-crashes",
        "One of its containers runs, the other crashes again and again.",
        spec(container(FOREVER), container("exit 3", "helper")),
        LOOPS,
    ),
    Case(
        "out-of-memory",
        "Its container was killed for want of memory, and is not to be restarted.",
        spec(container(GREEDY, resources=LITTLE), restart="Never"),
        all_of(has_phase("Failed"), told("Started")),
        log="notebook",
    ),
    Case(
        "out-of-memory-loop",
        "Its container is killed for want of memory again and again.",
        spec(container(GREEDY, resources=LITTLE)),
        LOOPS,
        (Step(ended("OOMKilled"), "after the first run"),),
        log="notebook",
    ),
    Case(
        "out-of-memory-once",
        "Nothing is wrong any more: its container ran out of memory once, and is ready again.",
        spec(
            container(
                f"test -e /data/again && {FOREVER}; touch /data/again; tail /dev/zero",
                volumeMounts=[{"name": "data", "mountPath": "/data"}],
                resources=LITTLE,
            ),
            volumes=[{"name": "data", "emptyDir": {}}],
        ),
        all_of(restarted(), is_ready),
    ),
    Case(
        "init-out-of-memory",
        "Its init container is killed for want of memory again and again.",
        spec(
            container(FOREVER),
            initContainers=[container(GREEDY, "home", resources=LITTLE)],
        ),
        LOOPS,
        log="home",
    ),
    Case(
        "init-exit-1",
        "Its init container has ended with 1, and is not to be restarted.",
        spec(
            container(FOREVER),
            initContainers=[container("echo no home; exit 1", "home")],
            restart="Never",
        ),
        has_phase("Failed"),
        log="home",
    ),
    Case(
        "init-crash-loop",
        "Its second init container ends with 1 again and again.",
        spec(
            container(FOREVER),
            initContainers=[container("true", "first"), container("exit 1", "home")],
        ),
        LOOPS,
        log="home",
    ),
    Case(
        "init-running",
        "Nothing is wrong: its init container runs yet.",
        spec(container(FOREVER), initContainers=[container(FOREVER, "home")]),
        lambda pod, _: any("running" in each["state"] for each in containers(pod)),
    ),
    Case(
        "sidecar-crash-loop",
        "Its sidecar ends with 1 again and again, while its notebook runs.",
        spec(
            container(FOREVER),
            initContainers=[container("sleep 0.5; exit 1", "proxy", restartPolicy="Always")],
        ),
        all_of(LOOPS, is_running),
        log="proxy",
    ),
    Case(
        "sidecar-never-started",
        "Its sidecar does not pass its startup probe, and so the notebook waits.",
        spec(
            container(FOREVER),
            initContainers=[
                container(
                    FOREVER,
                    "proxy",
                    restartPolicy="Always",
                    startupProbe={"exec": {"command": ["false"]}, "periodSeconds": 1},
                )
            ],
        ),
        all_of(told("Unhealthy"), waits("PodInitializing")),
    ),
    Case(
        "deadline",
        "It ran longer than its activeDeadlineSeconds.",
        spec(container(FOREVER), activeDeadlineSeconds=1, restart="Never"),
        all_of(
            has_phase("Failed"),
            told("DeadlineExceeded"),
            lambda pod, _: "terminated" in pod["status"]["containerStatuses"][0]["state"],
        ),
    ),
    Case(
        "slow-end",
        "Nothing is wrong: it is being deleted, and takes the time it was given.",
        spec(container(f"trap 'echo saving' TERM; {FOREVER} & wait; {FOREVER}"), grace=20),
        all_of(is_going, told("Killing")),
        (Step(is_ready, then=delete()),),
    ),
    Case(
        "ended-when-told",
        "Nothing is wrong: it was deleted, and ended when it was asked to.",
        spec(container(POLITE), grace=20),
        gone,
        (Step(is_ready, then=delete()),),
    ),
    Case(
        "killed-after-its-grace",
        "Nothing is wrong: it was deleted, and was killed when its time was over.",
        spec(container(FOREVER), grace=1),
        gone,
        (Step(is_ready, then=delete()),),
    ),
)

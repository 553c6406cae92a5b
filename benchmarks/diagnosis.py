"""Compare diagnoses of pods that were recorded on a real node: ``python -m benchmarks.diagnosis``.

Ours; `prefect_kubernetes.diagnostics.diagnose_k8s_pod`; and Airflow's `await_pod_start` with
`detect_pod_terminate_early_issues`, each as it is published. Ours gets the pod and its events, the
others what they take: the status, and the model of the pod. One is right about a pod if it finds
the trouble that was made, or that there is none; what the others say is taken in its broadest
sense.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from lab_storage import PodTrouble, __version__
from lab_storage.diagnosis import diagnose
from tests.support.statuses import EXPECTED, Recorded, recorded

Diagnose = Callable[[Recorded], "PodTrouble | None"]


def ours() -> Diagnose:
    """What this library says."""
    return lambda case: diagnose(case.pod, case.events).trouble


def prefects() -> Diagnose:
    """What prefect-kubernetes says."""
    from prefect_kubernetes.diagnostics import diagnose_k8s_pod

    # By a word of its summary: only from 0.8 on there are categories.
    meanings = {
        "pull": PodTrouble.IMAGE,
        "crash-looping": PodTrouble.CRASH,
        "out-of-memory": PodTrouble.OUT_OF_MEMORY,
        "evicted": PodTrouble.DISRUPTION,
        "unschedulable": PodTrouble.UNSCHEDULABLE,
    }

    def say(case: Recorded) -> PodTrouble | None:
        found = diagnose_k8s_pod(case.pod["status"])
        if found is None:
            return None
        return next(trouble for word, trouble in meanings.items() if word in found.summary)

    return say


def airflows() -> Diagnose:
    """What the cncf.kubernetes provider of Airflow says."""
    from airflow.providers.cncf.kubernetes.utils import pod_manager
    from kubernetes.client import ApiClient

    class Answered:
        def __init__(self, content: Any) -> None:
            self.data = json.dumps(content)

    client = ApiClient()

    def say(case: Recorded) -> PodTrouble | None:
        pod = client.deserialize(Answered(case.pod), "V1Pod")
        if pod_manager.detect_pod_terminate_early_issues(pod):
            return PodTrouble.IMAGE
        # As `await_pod_start` goes on: "Pod failed before containers started".
        has_failed = pod.status.phase == "Failed" and pod.status.container_statuses is None
        return PodTrouble.NODE if has_failed else None

    return say


PACKAGES = {
    "lab_storage": ours,
    "prefect-kubernetes": prefects,
    "apache-airflow-providers-cncf-kubernetes": airflows,
}


def main() -> int:
    """Print a line a pod and a line a package; 1 if ours is wrong about one."""
    said: dict[str, dict[str, PodTrouble | None]] = {}
    for package, make in PACKAGES.items():
        try:
            release = __version__ if make is ours else version(package)
            say = make()
        except (PackageNotFoundError, ImportError) as error:
            print(f"not compared: {package}: {error}", file=sys.stderr)
            continue
        said[f"{package} {release}"] = {name: say(case) for name, case in recorded().items()}
    width = max(map(len, EXPECTED)) + 2
    print(f"{'pod':{width}}{'trouble':18}" + "".join(f"{title[:22]:24}" for title in said))
    for name, (trouble, *_) in sorted(EXPECTED.items()):
        shown = [
            "right" if troubles[name] is trouble else f"says {_word(troubles[name])}"
            for troubles in said.values()
        ]
        line = f"{name:{width}}{_word(trouble):18}" + "".join(f"{text:24}" for text in shown)
        print(line.rstrip())
    right = {
        title: sum(troubles[name] is trouble for name, (trouble, *_) in EXPECTED.items())
        for title, troubles in said.items()
    }
    print()
    for title, count in right.items():
        print(f"{title}: right on {count} of {len(EXPECTED)}")
    return 0 if next(iter(right.values())) == len(EXPECTED) else 1


def _word(trouble: PodTrouble | None) -> str:
    return trouble.value if trouble else "none"


if __name__ == "__main__":
    sys.exit(main())

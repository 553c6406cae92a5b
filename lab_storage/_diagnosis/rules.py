"""What is wrong with a pod: rules, asked in the order of ``RULES``; the first that finds decides.

Each looks at one place where Kubernetes says what is wrong, takes its words from
`lab_storage._diagnosis.words`, and leaves out what is over.
"""

from __future__ import annotations

from collections.abc import Callable

from lab_storage._diagnosis import running, starting, whole
from lab_storage._diagnosis.events import Event
from lab_storage._diagnosis.finding import Finding
from lab_storage._diagnosis.pod import Pod

RULES: tuple[Callable[[Pod, list[Event]], Finding | None], ...] = (
    running.out_of_memory,
    whole.pod_reason,
    running.lost_container,
    whole.lost_node,
    whole.disruption,
    starting.unscheduled,
    starting.waiting,
    starting.stuck,
    running.ended,
    running.not_ready,
    whole.failed,
)


def find(pod: Pod, events: list[Event]) -> Finding | None:
    """What is wrong with a pod, if anything; events by when they were last seen."""
    for rule in RULES:
        if (finding := rule(pod, events)) is not None:
            return finding
    return None

"""What can be wrong with a pod."""

from __future__ import annotations

import enum


class PodTrouble(enum.Enum):
    """What is wrong with a pod.

    Attributes
    ----------
    UNSCHEDULABLE
        No node takes it.
    GATED
        It waits for somebody to lift its scheduling gates.
    VOLUME
        A volume cannot be attached or mounted.
    SANDBOX
        Its network or its sandbox cannot be made.
    IMAGE
        An image cannot be had.
    CONFIGURATION
        Something that it refers to is missing, or forbids it.
    START
        A container or its hook cannot be started.
    CRASH
        A container ended with an exit code other than 0, or ends again and again although it is
        to run.
    OUT_OF_MEMORY
        A container was killed because it used more memory than it may.
    PROBE
        A container was killed by its liveness or startup probe, or is running and not ready
        because a probe fails.
    DEADLINE
        It ran longer than its ``activeDeadlineSeconds``.
    DISRUPTION
        It was evicted, preempted or drained.
    NODE
        Its node is lost, was shut down, or refused it.
    """

    UNSCHEDULABLE = "Unschedulable"
    GATED = "SchedulingGated"
    VOLUME = "Volume"
    SANDBOX = "Sandbox"
    IMAGE = "Image"
    CONFIGURATION = "Configuration"
    START = "Start"
    CRASH = "Crash"
    OUT_OF_MEMORY = "OutOfMemory"
    PROBE = "Probe"
    DEADLINE = "Deadline"
    DISRUPTION = "Disruption"
    NODE = "Node"

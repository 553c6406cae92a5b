"""Finds answers that cannot be true, or that were over for too long when they were asked for."""

from __future__ import annotations

from collections.abc import Iterable

import attrs


@attrs.frozen
class Write:
    """A phase that was written to a pod; the state before it was over by ``ended``.

    Attributes
    ----------
    pod
        The number of the pod. No phase is written to it twice.
    phase
        The phase.
    began, ended
        When it was first tried, and when it had succeeded.
    """

    pod: int
    phase: str
    began: float
    ended: float


@attrs.frozen
class Read:
    """An answer.

    Attributes
    ----------
    pod, phase
        What was said of which pod; `None` for "there is none".
    began, ended
        When it was asked for, and answered.
    """

    pod: int
    phase: str | None
    began: float
    ended: float


def wrong_answers(
    reads: Iterable[Read], writes: Iterable[Write], max_age_seconds: float
) -> list[Read]:
    """Give the answers that are older than ``max_age_seconds``, or were never true.

    Parameters
    ----------
    reads
        The answers.
    writes
        All that was written, by pod in the order in which it was. The first of each pod is
        older than all reads.
    max_age_seconds
        How old an answer may have been when it was asked for.
    """
    began: dict[tuple[int, str], float] = {}
    over: dict[tuple[int, str], float] = {}
    last: dict[int, str] = {}
    for write in writes:
        key = write.pod, write.phase
        if key in began:
            raise ValueError(f"written twice: {key}")
        began[key] = write.began
        over[key] = float("inf")
        if write.pod in last:
            over[write.pod, last[write.pod]] = write.ended
        last[write.pod] = write.phase
    return [
        read
        for read in reads
        if read.phase is None
        or (read.pod, read.phase) not in began
        or read.ended < began[read.pod, read.phase]
        or read.began - max_age_seconds > over[read.pod, read.phase]
    ]

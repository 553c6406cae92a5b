"""All labs: as a table, and those that may be cleaned up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attrs

from lab_storage._cli.failures import Exit, FailedError
from lab_storage._manifests.kinds import DNS_LABEL
from lab_storage.models import LabSummary, PodPhase, PodSummary

__all__ = ["Candidate", "Criteria", "as_json", "read_keep_file", "table"]

_ENDED = PodPhase.SUCCEEDED, PodPhase.FAILED
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def age(created: datetime, now: datetime) -> str:
    """Write how long something has existed, as kubectl does: ``5m``."""
    seconds = max(0, int((now - created).total_seconds()))
    unit, length = next((each for each in _UNITS if seconds >= each[1]), _UNITS[-1])
    return f"{seconds // length}{unit}"


def table(labs: Iterable[LabSummary], now: datetime) -> Iterator[str]:
    """Write a line for each pod of each lab, or for a lab without one.

    Parameters
    ----------
    labs
        The labs.
    now
        The time that ages are counted to.

    Yields
    ------
    str
        A heading, and the lines.
    """
    rows = [("NAMESPACE", "PHASE", "READY", "AGE", "POD")]
    rows += [_row(lab, pod, now) for lab in labs for pod in lab.pods or (None,)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(
            f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)
        ).rstrip()


def _row(lab: LabSummary, pod: PodSummary | None, now: datetime) -> tuple[str, str, str, str, str]:
    if pod is None:
        phase, ready, name = "-", "-", "-"
    else:
        phase, ready, name = pod.phase.value, "yes" if pod.is_ready else "no", pod.name
    if lab.is_terminating or (pod is not None and pod.is_terminating):
        phase = "Terminating"
    return lab.namespace, phase, ready, age(lab.created, now), name


def as_json(lab: LabSummary) -> dict[str, Any]:
    """Give a lab in JSON's types."""

    def plain(_: object, __: object, value: Any) -> Any:
        if isinstance(value, datetime):
            return value.isoformat()
        return value.value if isinstance(value, PodPhase) else value

    return attrs.asdict(lab, value_serializer=plain)


@attrs.frozen
class Candidate:
    """A lab that may be deleted, and why."""

    lab: LabSummary
    reason: str


@attrs.frozen
class Criteria:
    """Which labs may be deleted.

    Attributes
    ----------
    ended
        Those whose pods have all ended.
    pending_longer_than
        Those with a pod that has been pending for so long, unless another one runs: a notebook
        that has started more pods is in use, even if there is no room for these.
    no_pod
        Those without a pod.
    youngest
        The age from which on a lab without a pod counts: before, it may be in the making.
    keep
        Labs to keep in any case. If it is the only criterion, all others may be deleted.
    """

    ended: bool = False
    pending_longer_than: timedelta | None = None
    no_pod: bool = False
    youngest: timedelta = timedelta(minutes=10)
    keep: Collection[str] | None = None

    @property
    def has_state(self) -> bool:
        """Whether the state of a lab counts."""
        return self.ended or self.no_pod or self.pending_longer_than is not None

    def select(self, labs: Iterable[LabSummary], now: datetime) -> list[Candidate]:
        """Select the labs that may be deleted. One that is being deleted is not among them."""
        selected = []
        for lab in labs:
            if lab.is_terminating or lab.namespace in (self.keep or ()):
                continue
            if reason := self._reason(lab, now):
                selected.append(Candidate(lab, reason))
        return selected

    def _reason(self, lab: LabSummary, now: datetime) -> str | None:
        if not self.has_state:
            return "not in the file of labs to keep"
        if not lab.pods:
            is_old = now - lab.created >= self.youngest
            return (
                f"has no pod, and is {age(lab.created, now)} old"
                if self.no_pod and is_old
                else None
            )
        if self.ended and all(pod.phase in _ENDED for pod in lab.pods):
            return f"ended: {', '.join(f'{pod.name} is {pod.phase.value}' for pod in lab.pods)}"
        longest = self.pending_longer_than
        left = [pod for pod in lab.pods if pod.phase not in _ENDED]
        # An Unknown one counts as running: its node may only be silent.
        if longest is None or any(pod.phase is not PodPhase.PENDING for pod in left):
            return None
        for pod in left:
            if now - pod.created >= longest:
                return f"{pod.name} has been Pending for {age(pod.created, now)}"
        return None


def read_keep_file(path: str) -> frozenset[str]:
    """Read the names of labs to keep: one a line, blank lines and comments (#) left out.

    Raises
    ------
    FailedError
        If it cannot be read, or a line is not the name of a namespace: it was meant to keep
        something.
    """
    try:
        # Editors on Windows put a mark in front, which would be part of the first name.
        lines: Sequence[str] = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise FailedError(Exit.USAGE, f"{path}: {reason}") from error
    names = set()
    for number, line in enumerate(lines, start=1):
        name = line.partition("#")[0].strip()
        if not name:
            continue
        if not DNS_LABEL.allows(name):
            raise FailedError(
                Exit.USAGE, f"{path}:{number}: {name[:100]!r} is not the name of a namespace"
            )
        names.add(name)
    return frozenset(names)

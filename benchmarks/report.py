"""What was measured, as a table in text, Markdown and JSON."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import attrs

from benchmarks.rows import GOALS, MANY, Goal, Results

_PACKAGES = "lab_storage", "kubernetes", "lightkube", "kr8s", "urllib3"
_MEASURES = {
    "CPU": ("CPU, ms", 1000.0),
    "p50": ("p50, ms", 1000.0),
    "p99": ("p99, ms", 1000.0),
    "bytes": ("kB on the wire", 0.001),
    "memory": ("peak memory, kB", 0.001),
}
# Each of them in a column of its own would be empty in nearly all rows.
_OTHERS = {
    "events/s": "{:,.0f} events a second of CPU",
    "threads": "{:.0f} threads more than callers",
    "connections": "{:.0f} connections",
    "memory, half more": "peak memory {:,.0f} B with half as many more that do not match",
}


@attrs.frozen
class Verdict:
    """A goal, and what came of it; `None` where it was not measured."""

    goal: Goal
    value: float | None

    @property
    def is_met(self) -> bool:
        """Whether it is met."""
        return self.value is not None and self.goal.is_met(self.value)

    @property
    def share(self) -> float | None:
        """How much of what is allowed was taken: up to 1 it is met."""
        if not self.value:
            return self.value
        ratio = self.value / self.goal.limit
        return 1 / ratio if self.goal.at_least else ratio


def verdicts(results: Results) -> list[Verdict]:
    """Judge what was measured by the goals."""
    judged = []
    for goal in GOALS:
        try:
            judged.append(Verdict(goal, goal.value(results.median)))
        except KeyError:
            judged.append(Verdict(goal, None))
    return judged


def machine(server: str, rounds: int, absent: dict[str, str]) -> dict[str, Any]:
    """What was measured with."""
    installed = {}
    for package in _PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "server": server,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": installed,
        "rounds": rounds,
        "absent": absent,
    }


def as_json(results: Results, about: dict[str, Any]) -> dict[str, Any]:
    """All of it; times in seconds, sizes in bytes."""
    return {
        "machine": about,
        "goals": [
            {
                "work": each.goal.work,
                "measure": each.goal.text,
                "limit": each.goal.limit,
                "at_least": each.goal.at_least,
                "value": each.value,
                "met": each.is_met,
            }
            for each in verdicts(results)
        ],
        "figures": [
            {"work": work, "client": library, "measure": measure, "median": value}
            for work, library, measure, value in results.figures()
        ],
    }


def tables(results: Results) -> str:
    """The table of the goals and the one of all figures, in Markdown."""
    goals: list[tuple[str, ...]] = [
        ("work", "measured", "`lab_storage`", "goal", "of the goal", "")
    ]
    goals += [_goal_row(each) for each in verdicts(results)]
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for work, library, measure, value in results.figures():
        rows.setdefault((work, library), {})[measure] = value
    figures = [("work", "client", *(title for title, _ in _MEASURES.values()), "")]
    for (work, library), measured in sorted(
        rows.items(), key=lambda row: [work for work, _ in rows].index(row[0][0])
    ):
        cells = [
            f"{measured[name] * factor:,.2f}" if name in measured else ""
            for name, (_, factor) in _MEASURES.items()
        ]
        if work == MANY:
            cells[3], cells[4] = "", f"{measured['bytes'] / 1000:,.1f} a wait"
        others = [
            text.format(measured[name]) for name, text in _OTHERS.items() if name in measured
        ]
        figures.append((work, library, *cells, ", ".join(others)))
    reasons = [
        f"- *{each.goal.work}, {each.goal.text}*: {each.goal.reason}\n"
        for each in verdicts(results)
        if not each.is_met and each.goal.reason
    ]
    missed = "\nMissed, and why:\n\n" + "".join(reasons) if reasons else ""
    return f"{markdown(goals)}{missed}\n{markdown(figures)}"


def _goal_row(verdict: Verdict) -> tuple[str, ...]:
    goal, value, share = verdict.goal, verdict.value, verdict.share
    limit = f"{'at least' if goal.at_least else 'at most'} {goal.limit:g}{goal.unit}"
    if value is None or share is None:
        return goal.work, goal.text, "not measured", limit, "", "missed"
    shown = f"{value:.3g}{goal.unit}"
    return (
        goal.work,
        goal.text,
        shown,
        limit,
        f"{share:.2f}",
        "met" if verdict.is_met else "missed",
    )


def markdown(rows: Iterable[tuple[str, ...]]) -> str:
    """A table, whose first row is its head."""
    head, *body = rows
    widths = [max(len(row[place]) for row in (head, *body)) for place in range(len(head))]
    lines = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        + " |"
        for row in (head, tuple("-" * width for width in widths), *body)
    ]
    return "\n".join(lines) + "\n"


def measured_with(about: dict[str, Any]) -> str:
    """Date, machine and versions, in a sentence."""
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    return f"""Measured on {about["date"]}, on {about["cores"]} cores of {about["processor"]},
by Python {about["python"]}, with {packages}."""


def page(results: Results, about: dict[str, Any], more: str = "") -> str:
    """The page of the documentation; ``more`` are its other sections."""
    absent = "".join(f"\nNot measured: {name} ({why}).\n" for name, why in about["absent"].items())
    return f"""# What it costs

`lab_storage` beside other clients of Kubernetes, in one run on one server: {about["server"]}.
{measured_with(about)}

Each client works in a process of its own; they take turns in each of {about["rounds"]} rounds,
and each figure is the median of the rounds. *CPU* is the time of all threads of the client's
process, a call; *bytes* are those on the wire, TLS and headers included; *peak memory* is what
Python allocates at most at once during a call. The *floor* is urllib3 and `json` on a connection
that is kept. The pod has 20 kB. *At 10 ms* means that what the server says arrives 10 ms
later.

`tox -e bench` makes this page anew. Times are for comparing within it, not for quoting.

![The same work by other clients, as bars](pictures/clients.svg)

![Each goal, and how much of what it allows is taken](pictures/goals.svg)

{tables(results)}{absent}{more and chr(10) + more}"""


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", file.read_text()) if file.exists() else None
    return found[1] if found else platform.processor() or platform.machine()

"""The goals of one watch for all labs, and what came of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from benchmarks.live_clients import FLOOR, INFORMER, OURS, REFLECTOR
from benchmarks.report import markdown

Json = dict[str, Any]
Found = dict[str, Json]


@attrs.frozen
class Goal:
    """What is to be reached.

    Attributes
    ----------
    work
        What is measured.
    value
        The figure, from all that was found; a `KeyError` where it was not measured.
    limit
        What it may be, or has to be if ``at_least``.
    unit
        Of both.
    """

    work: str
    value: Callable[[Found], float]
    limit: float
    unit: str = ""
    at_least: bool = False

    def row(self, found: Found) -> tuple[str, ...]:
        """The work, what was measured, the goal, and the verdict."""
        word = "at least" if self.at_least else "at most"
        goal = f"{word} {self.limit:,g}{self.unit}"
        try:
            value = self.value(found)
        except KeyError:
            return self.work, "not measured", goal, ""
        is_met = value >= self.limit if self.at_least else value <= self.limit
        shown = f"{value:,.0f}" if value >= 1000 else f"{value:,.3g}"
        return self.work, shown + self.unit, goal, "met" if is_met else "missed"


def _ratio(key: str, other: str) -> Callable[[Found], float]:
    return lambda found: float(found[OURS][key] / found[other][key])


def _figure(*keys: str) -> Callable[[Found], float]:
    def value(found: Json) -> float:
        for key in keys:
            found = found[key]
        return float(found)  # type: ignore[arg-type]

    return value


def _taken(found: Found) -> float:
    return float(found[OURS]["take"] / found["json.loads"]["change"])


def _most_refused(found: Found) -> float:
    return float(max(each["requests"] for each in found["refused"].values()))


def _of_lists(way: str, key: str) -> Callable[[Found], float]:
    return lambda found: float(found["lists"][way][key] / found["lists"]["one by one"][key])


def _grown(key: str, unit: float = 1) -> Callable[[Found], float]:
    return lambda found: float(found["day"]["growth"][key] / unit)


def _disasters(key: str) -> Callable[[Found], float]:
    return lambda found: sum(each[key] for each in found["disasters"].values())


GOALS = [
    Goal("all labs known: CPU ÷ SharedInformer", _ratio("cpu", INFORMER), 0.03),
    Goal("all labs known: CPU ÷ a list in JSON", _ratio("cpu", REFLECTOR), 0.1),
    Goal("all labs known: CPU ÷ floor", _ratio("cpu", FLOOR), 1.5),
    Goal("kept for each lab", lambda f: f[OURS]["memory"] / f[OURS]["known"], 1000, " B"),
    Goal("peak above the start", lambda f: f[OURS]["peak"] / 1e6, 60, " MB"),
    Goal("a change: CPU ÷ SharedInformer", _ratio("change", INFORMER), 0.04),
    Goal("a change: CPU once it is read ÷ json.loads of it", _taken, 0.3),
    Goal("a change: CPU, network and all ÷ json.loads of it", _ratio("change", "json.loads"), 0.3),
    Goal("phases read in a second", _figure("reads", "reads"), 50_000, "", True),
    Goal("requests for them", _figure("reads", "requests"), 0),
    Goal("connections of all waits", _figure("waits", "connections"), 1),
    Goal("threads besides the callers", _figure("waits", "threads"), 1),
    Goal("memory of a wait", lambda f: f["waits"]["bytes a wait"] / 1000, 10, " kB"),
    Goal("a wait's return after a write ÷ a raw watch: median", _figure("latency", "median"), 1.3),
    Goal("a wait's return after a write ÷ a raw watch: p99", _figure("latency", "p99"), 2),
    Goal("phases read in six disasters", _disasters("reads"), 10_000, "", True),
    Goal("of them older than `max_age`", _disasters("wrong"), 0),
    Goal("requests in a quiet minute", _figure("quiet", "requests"), 24),
    Goal("requests in a minute of refusals, or of watches that end at once", _most_refused, 30),
    Goal("`list_labs` from memory: time", _figure("lists", "live", "wall"), 2, " s"),
    Goal("`list_labs` from memory: CPU ÷ one lab after the other", _of_lists("live", "cpu"), 0.1),
    Goal("`list_labs` from memory: requests ÷ theirs", _of_lists("live", "requests"), 0.001),
    Goal("`list_labs` without a watch: time", _figure("lists", "plain", "wall"), 2, " s"),
    Goal("`list_labs` without a watch: CPU ÷ theirs", _of_lists("plain", "cpu"), 0.1),
    Goal("`list_labs` without a watch: requests ÷ theirs", _of_lists("plain", "requests"), 0.001),
    Goal("a day: growth of the process", _grown("resident", 1e6), 2, " MB"),
    Goal("a day: growth of what Python allocates", _grown("allocated", 1e6), 0.5, " MB"),
    Goal("a day: threads more", _grown("threads"), 0),
    Goal("a day: sockets more", _grown("sockets"), 0),
]  # fmt: skip


def table(found: Found) -> str:
    """The goals, and what came of them, in Markdown."""
    return markdown([("what", "measured", "goal", ""), *(each.row(found) for each in GOALS)])

"""How long each step took, and the events among them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import attrs
from rich.table import Table
from rich.text import Text

__all__ = ["Timeline"]

# Of the bars at most, and of everything else in a line.
_WIDTH, _OTHERS = 40, 34


@attrs.define
class _Step:
    title: str
    start: float
    end: float | None = None


class Timeline:
    """The steps of something that starts now, in seconds from then.

    Events may be marked from any thread.
    """

    def __init__(self) -> None:
        self._begin = monotonic()
        self._steps: list[_Step] = []
        self._events: list[tuple[float, str]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Measure the body, whether it fails or not."""
        step = _Step(title, self.elapsed())
        self._steps.append(step)
        try:
            yield
        finally:
            step.end = self.elapsed()

    def mark(self, text: str) -> float:
        """Note an event that happens now, and give its time."""
        at = self.elapsed()
        self._events.append((at, text))
        return at

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return monotonic() - self._begin

    def to_json(self) -> dict[str, Any]:
        """Give it in JSON's types, rounded to milliseconds."""
        return {
            "events": [
                {"at_seconds": round(at, 3), "message": text} for at, text in list(self._events)
            ],
            "steps": [
                {
                    "step": step.title,
                    "start_seconds": round(step.start, 3),
                    "seconds": round((step.end or self.elapsed()) - step.start, 3),
                }
                for step in self._steps
            ],
            "seconds": round(self._total(), 3),
        }

    def render(self, *, columns: int, ascii_only: bool) -> Table:
        """Draw it: a row for each step, and one for the events.

        Parameters
        ----------
        columns
            How wide the terminal is.
        ascii_only
            Draw with characters of ASCII only.
        """
        width = max(8, min(_WIDTH, columns - _OTHERS))
        full, dot, mark = ("=", ".", "^") if ascii_only else ("━", "·", "▲")
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        for step in self._steps:
            end = step.end or self.elapsed()
            first, last = self._place(step.start, width), self._place(end, width)
            bar = Text(dot * first, style="bright_black")
            bar.append(full * (last - first + 1), style="green")
            bar.append(dot * (width - last - 1), style="bright_black")
            table.add_row(step.title, bar, f"{end - step.start:.2f} s")
        events = list(self._events)
        places = {self._place(at, width) for at, _ in events}
        marks = "".join(mark if place in places else " " for place in range(width))
        table.add_row(f"{len(events)} events", Text(marks, style="yellow"))
        table.add_row("Altogether", "", f"{self._total():.2f} s")
        return table

    def _total(self) -> float:
        return max((step.end or self.elapsed() for step in self._steps), default=0.0)

    def _place(self, at: float, width: int) -> int:
        total = self._total()
        return min(width - 1, int(width * at / total)) if total > 0 else 0

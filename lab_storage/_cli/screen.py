"""What the program shows: lines or JSON on the standard output, a bar on a terminal."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from lab_storage.exceptions import printable

__all__ = ["Activity", "Screen"]


class Screen:
    """The terminal of the program, or whatever takes its place.

    Lines and results go to the standard output, each line as soon as it is known. The bar
    is on the terminal, and disappears when its work is done; a pipe gets nothing of it. Safe
    to use from any thread.

    Parameters
    ----------
    as_json
        Show results as JSON, and no lines.
    bars
        Whether to show bars if there is a terminal: not beside a log on it.
    """

    def __init__(self, *, as_json: bool = False, bars: bool = True) -> None:
        self.as_json = as_json
        self._lock = threading.Lock()
        self._is_live = False
        # A bar puts something else in its place for a while.
        self._output = sys.stdout
        self.console = Console(highlight=False, markup=False, emoji=False)
        # A bar is drawn where the lines go, so that it stays below them; if that is a pipe,
        # on the standard error.
        beside = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._bar_console = self.console if self.console.is_terminal else beside
        self._has_bars = bars and _can_animate(self._bar_console)

    @property
    def is_lost(self) -> bool:
        """Whether the standard output has failed."""
        return getattr(self._output, "failure", None) is not None

    @property
    def columns(self) -> int | None:
        """The width of the terminal; `None` if results go elsewhere."""
        return self.console.width if self.console.is_terminal else None

    def line(self, text: str) -> None:
        """Show one line to people."""
        if not self.as_json:
            self._write(printable(text))

    def draw(self, what: RenderableType) -> None:
        """Show something with colours to people; nothing in it may come from outside."""
        if not self.as_json:
            self._write(what)

    @property
    def ascii_only(self) -> bool:
        """Whether nothing but ASCII is sure to be shown on the standard output."""
        return not self.console.encoding.startswith("utf")

    def result(self, value: Any, *, compact: bool = False) -> None:
        """Show a result to programs, with ``--json`` only.

        Parameters
        ----------
        value
            Anything of JSON's types.
        compact
            Show it in one line, as one of many.
        """
        if self.as_json:
            self._write(json.dumps(value, indent=None if compact else 2))

    @contextmanager
    def activity(
        self,
        title: str,
        total: int | None = None,
        waiting_for: Callable[[], str | None] = lambda: None,
    ) -> Iterator[Activity]:
        """Show a bar while something is done.

        Parameters
        ----------
        title
            What is being done.
        total
            How many steps it has, if that is known.
        waiting_for
            Says what it is waiting for just now; asked whenever the bar is drawn.
        """
        if not self._has_bars:
            yield Activity()
            return
        detail = _Detail(waiting_for)
        progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=_whole()),
            BarColumn(max(4, min(24, self._bar_console.width - 56)), table_column=_whole()),
            TextColumn("{task.fields[count]}", markup=False, table_column=_whole()),
            TimeElapsedColumn(table_column=_whole()),
            detail,
            console=self._bar_console,
            transient=True,
        )
        count = "" if total is None else f"0/{total}"
        task = progress.add_task(title, total=total, count=count, detail="")
        with progress:
            self._is_live = True
            try:
                yield Activity(progress, task, total, detail)
            finally:
                self._is_live = False

    def _write(self, what: RenderableType) -> None:
        with self._lock:
            is_above_a_bar = self._is_live and self._bar_console is self.console
            if isinstance(what, str) and not is_above_a_bar:
                print(what, file=self._output, flush=True)
            else:
                self.console.print(what, soft_wrap=True)


def _whole() -> Column:
    """A column that is never made narrower for another."""
    return Column(no_wrap=True)


class _Detail(ProgressColumn):
    """What is being waited for; if nothing is, what was noted last."""

    # Ask as often as the bar is drawn.
    max_refresh = None

    def __init__(self, waiting_for: Callable[[], str | None]) -> None:
        super().__init__(Column(ratio=1))
        self.waiting_for = waiting_for

    def render(self, task: Task) -> Text:
        """Draw it."""
        text = self.waiting_for() or task.fields["detail"]
        # Cut at the end of the line: a second one would jump.
        return Text(printable(text), style="dim", no_wrap=True, overflow="ellipsis")


class Activity:
    """Something that is being done, and its bar if there is one."""

    def __init__(
        self,
        progress: Progress | None = None,
        task: TaskID | None = None,
        total: int | None = None,
        detail: _Detail | None = None,
    ) -> None:
        self._progress = progress
        self._detail = detail
        self._task = task
        self._total = total
        self._done = 0

    def advance(self) -> None:
        """Count one more step as done."""
        self._done += 1
        self._update(completed=self._done, count=f"{self._done}/{self._total}", detail="")

    def title(self, text: str) -> None:
        """Change the title: something else is being done now."""
        self._update(description=text, detail="")

    def watch(self, waiting_for: Callable[[], str | None]) -> None:
        """Show what something else is waiting for, from now on."""
        if self._detail is not None:
            self._detail.waiting_for = waiting_for

    def note(self, text: str) -> None:
        """Show what it waits for."""
        self._update(detail=printable(text))

    def _update(self, **fields: Any) -> None:
        if self._progress is not None and self._task is not None:
            # At once: what is done soon after would hide it.
            self._progress.update(self._task, refresh=True, **fields)


def _can_animate(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal

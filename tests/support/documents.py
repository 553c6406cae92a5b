"""Runs one page of the documentation, as somebody who follows it.

It is a program, ``python tests/support/documents.py PAGE``, so that no page finds what another has
left.

The blocks of a page run in their order, in the current folder:

- ``python``: run, all in one namespace. One that begins with a comment of a file name,
  as ``# conftest.py``, is written to that file instead.
- ``console``: each command after a ``$``, or if there is none each line, is run, and what is
  between is what it says. One with an ``&`` at its end runs on until the page is over, and has
  to say a line first. Which programs are not run, and why, is in `NOT_RUN`.
- ``text`` after a block that printed: what it printed. There has to be one.

``…`` in what is printed stands for anything. A block in an HTML comment
(``invisible-code-block: python``) is what the reader does not have to know.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from sybil import Document, Example
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

#: Programs that are named but not run, and why.
NOT_RUN = {
    "celery": "the page's test has a worker in its own process, which needs no Redis",
    "jupyterhub": "needs Node.js; tests/programs runs the spawner in a real Hub",
    "kill": "the page's test ends by itself what runs in the background",
    "kubectl": "needs a cluster",
    "npm": "would change the environment of the tests",
    "pip": "would change the environment of the tests",
    "python3": "makes the environment that this test runs in",
    ".": "the environment of the tests is active",
    "redis-server": "the page's test has a broker in memory",
}
_FILE = re.compile(r"# ([\w/]+\.py)\n")
_COMMAND_SECONDS = 120
_SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def same(shown: str, printed: str) -> bool:
    """Whether it was printed as it is shown; a line of ``…`` alone may be none."""
    pattern = shown.replace("\n…\n", "\n…").replace("…", "...")
    return doctest.OutputChecker().check_output(pattern, printed, _SAME)


class Page:
    """A page, and what is the state of the reader's terminal."""

    def __init__(self) -> None:
        self.printed = ""
        self.evaluate = PythonEvaluator()
        self.running: list[subprocess.Popen[str]] = []

    def run(self, path: Path) -> None:
        """Run its blocks; the first that fails raises."""
        evaluators = {"python": self.python, "console": self.console, "text": self.text}
        parsers = [CodeBlockParser(language, each) for language, each in evaluators.items()]
        document = Document.parse(str(path), *parsers)
        # As in a module, for what looks its own up, as attrs and dataclasses do.
        document.namespace["__name__"] = "__main__"
        try:
            for example in document:
                example.evaluate()
            self.check_all_is_shown()
        finally:
            for program in self.running:
                program.terminate()
                program.communicate()

    def python(self, example: Example) -> None:
        """Run it, or write it to its file."""
        self.check_all_is_shown()
        file = _FILE.match(example.parsed)
        if file is not None:
            Path(file[1]).write_text(example.parsed)
            return
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            self.evaluate(example)
        self.printed = output.getvalue()

    def text(self, example: Example) -> str | None:
        """Compare what was printed with what is shown."""
        printed, self.printed = self.printed, ""
        if printed and not same(example.parsed, printed):
            return f"it printed\n{printed}\nand not\n{example.parsed}"
        return None

    def console(self, example: Example) -> None:
        """Run its commands."""
        self.check_all_is_shown()
        for command, shown in commands(example.parsed):
            self.command(command, shown)

    def command(self, command: str, shown: str) -> None:
        """Run a command, if it is one of those that are."""
        program, *arguments = shlex.split(command, comments=True)
        # One in an environment of its own is the same.
        program = Path(program).name or program
        if program in NOT_RUN:
            return
        if program == "export":
            name, _, value = arguments[0].partition("=")
            os.environ[name] = os.path.expandvars(value)
            return
        line = {
            "lab-storage": [sys.executable, "-m", "lab_storage"],
            "pytest": [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
            "python": [sys.executable],
        }[program]
        if arguments[-1:] == ["&"]:
            background = subprocess.Popen(
                [*line, *arguments[:-1]], stdout=subprocess.PIPE, text=True
            )
            self.running.append(background)
            if background.stdout is None or not background.stdout.readline():
                raise AssertionError(f"{command}: it has ended and said nothing")
            return
        done = subprocess.run(
            [*line, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_COMMAND_SECONDS,
        )
        # An error is shown where one is meant.
        is_meant = shown.rstrip().rpartition("\n")[2].startswith("lab-storage: ")
        if (done.returncode != 0) != is_meant:
            raise AssertionError(f"{command}: exit code {done.returncode}\n{done.stdout}")
        if shown and not same(shown, done.stdout):
            raise AssertionError(f"{command}: it printed\n{done.stdout}\nand not\n{shown}")

    def check_all_is_shown(self) -> None:
        """Raise if something was printed that the page does not show."""
        if self.printed:
            raise AssertionError(f"the page does not show what is printed:\n{self.printed}")


def commands(block: str) -> list[tuple[str, str]]:
    """Split a block of ``console`` into commands, each with what it says.

    Where no line begins with ``$``, each is a command, and what it says is not shown.
    """
    block = block.replace("\\\n", " ")
    if not re.search(r"^\$ ", block, re.MULTILINE):
        return [(line, "") for line in block.splitlines() if line.strip()]
    found: list[tuple[str, str]] = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        found.append((command, shown))
    return found


if __name__ == "__main__":
    # What the page imports is beside it, and not beside this file.
    sys.path[0] = os.environ["PWD"] = str(Path.cwd())
    Page().run(Path(sys.argv[1]))

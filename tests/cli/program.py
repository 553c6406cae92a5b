"""The real program, ``python -m lab_storage``: on pipes, and on a pseudo-terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kubernetes import client
from pexpect import EOF
from pexpect.fdpexpect import fdspawn

from lab_storage.testing import EmbeddedServer

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "lab.yaml"
# Ctrl-C ends a command within a second; the rest is for the interpreter,
# which has to end too, on a machine that is busy.
END_SECONDS = 1.0
SLACK_SECONDS = 4.0
# To start the interpreter and load the official client, and for what a test waits for.
PATIENCE_SECONDS = 60.0
# What a pod of the example says while it starts.
EVENTS = 9
CTRL_C = "\x03"
SHOW_CURSOR = "\x1b[?25h"
HIDE_CURSOR = "\x1b[?25l"


_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def plain(written: str) -> list[str]:
    """The lines that a terminal was given, without what moves its cursor or colours them."""
    return _ESCAPES.sub("", written).splitlines()


class Program:
    """Runs the program, with nothing of the tester's own cluster in its environment.

    Parameters
    ----------
    home
        Its home directory, and the folder of its temporary files.
    kubeconfig
        Its ``KUBECONFIG``, if it has one.
    """

    def __init__(self, home: Path, kubeconfig: Path | None = None) -> None:
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("KUBE", "NO_COLOR", "FORCE_COLOR", "TTY_", "COLUMNS"))
            and not name.lower().endswith("_proxy")
        }
        self.temporary = home / "temporary"
        self.temporary.mkdir(exist_ok=True)
        self.environment |= {
            "HOME": str(home),
            "TMPDIR": str(self.temporary),
            "TERM": "xterm-256color",
            "PYTHONIOENCODING": "utf-8",
        }
        if kubeconfig is not None:
            self.environment["KUBECONFIG"] = str(kubeconfig)

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "lab_storage", *arguments]

    def run(
        self,
        *arguments: str,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end, on pipes."""
        return subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            env={**self.environment, **(environment or {})},
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    @contextmanager
    def piped(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Have it run on pipes; it is ended with the body."""
        with subprocess.Popen(
            self.command(*arguments),
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def on_terminal(
        self, *arguments: str, script: str = 'exec "$@"', **environment: str
    ) -> Iterator[Terminal]:
        """Have it run on a terminal of its own; it is ended with the body.

        Parameters
        ----------
        arguments
            Those of the program.
        script
            What a shell does with its command line.
        environment
            More variables.
        """
        command = self.command(*arguments)
        terminal = Terminal(script, command, {**self.environment, **environment})
        try:
            yield terminal
        finally:
            terminal.close()


class Terminal:
    """A pseudo-terminal that a program controls, with 120 columns."""

    def __init__(self, script: str, command: list[str], environment: Mapping[str, str]) -> None:
        master, slave = os.openpty()
        # A session's leader that opens a terminal is controlled by it, so that Ctrl-C is a
        # signal. Forking into one is what Python warns of in a process with threads.
        self.process = subprocess.Popen(
            ["sh", "-c", f'exec <"$0"; {script}', os.ttyname(slave), *command],
            cwd=ROOT,
            env={**environment, "COLUMNS": environment.get("COLUMNS", "120"), "LINES": "40"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        # The program's alone, so that its end is the terminal's.
        os.close(slave)
        self._expect: Any = fdspawn(master, timeout=PATIENCE_SECONDS, encoding="utf-8")
        self._seen = ""

    def wait_for(self, text: str) -> None:
        """Block until the program has written a text, after the last one that was waited for."""
        self._expect.expect_exact(text)
        self._seen += self._expect.before + self._expect.after

    def type(self, text: str) -> None:
        """Press keys."""
        self._expect.send(text)

    def end(self, seconds: float = PATIENCE_SECONDS) -> tuple[int, str]:
        """Block until the program has ended; give its exit code, and all that it wrote.

        A process that it left behind keeps the terminal open: that is a `pexpect.TIMEOUT`.
        """
        self._expect.expect(EOF, timeout=seconds)
        self._seen += self._expect.before
        return self.process.wait(seconds), self._seen

    def close(self) -> None:
        """End what is left."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait()
        self._expect.close()


def namespaces(server: EmbeddedServer) -> list[str]:
    """The namespaces that are on the server."""
    with server.api_client() as api_client:
        found = client.CoreV1Api(api_client).list_namespace().items
    return [each.metadata.name for each in found]

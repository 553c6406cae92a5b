"""On a terminal: a bar while it waits, and Ctrl-C, which ends every command at once."""

from __future__ import annotations

import json
import os
import re
import signal
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from lab_storage.testing import Silence

from .program import (
    CTRL_C,
    END_SECONDS,
    EXAMPLE,
    HIDE_CURSOR,
    SHOW_CURSOR,
    SLACK_SECONDS,
    Program,
    Terminal,
    plain,
)

if TYPE_CHECKING:
    from lab_storage import LabObjectNames
    from lab_storage.testing import EmbeddedServer

FILE = ("-f", str(EXAMPLE))
TITLES = {
    "create": "Creating the lab",
    "events": "Watching the events",
    "phase": "Reading the phase",
    "wait": "Waiting for the pod",
    "show": "Reading the lab",
    "list": "Listing the labs",
    "delete-pod": "Deleting the pod",
    "delete-namespace": "Deleting the namespace",
}
# What each waits for when all is well, in a watch; the others do not wait.
WATCHED = {
    "create": "serviceaccounts",
    "events": "events",
    "wait": "pods",
    "delete-pod": "pods",
    "delete-namespace": "namespaces",
}


def arguments_of(command: str) -> tuple[str, ...]:
    """The arguments of a command: the lab, if it concerns one."""
    return (command,) if command == "list" else (command, *FILE)


def interrupt(terminal: Terminal) -> tuple[int, list[str]]:
    """Press Ctrl-C; give the exit code and what is written from then on, line by line.

    Nothing is left of the program: neither a process, nor a hidden cursor.
    """
    pressed = monotonic()
    terminal.type(CTRL_C)
    code, written = terminal.end(END_SECONDS + SLACK_SECONDS)
    assert monotonic() - pressed < END_SECONDS + SLACK_SECONDS
    with pytest.raises(ProcessLookupError):
        os.killpg(terminal.process.pid, 0)
    assert written.rfind(HIDE_CURSOR) <= written.rfind(SHOW_CURSOR)
    return code, plain(written)


@pytest.mark.parametrize("command", TITLES)
def test_ctrl_c_ends_a_command_that_gets_no_answer(
    program: Program, server: EmbeddedServer, command: str
) -> None:
    """The request is on its way, and the server is silent."""
    silence = server.add_fault(Silence(), times=None)

    with program.on_terminal(*arguments_of(command)) as terminal:
        silence.wait(timedelta(seconds=60))
        code, lines = interrupt(terminal)

    assert 130 == code
    assert lines[-1].startswith(f"lab-storage: {TITLES[command]} was interrupted")


@pytest.mark.parametrize("command", WATCHED)
def test_ctrl_c_ends_a_command_that_waits(
    program: Program,
    server: EmbeddedServer,
    request: pytest.FixtureRequest,
    command: str,
) -> None:
    """What it waits for never happens, and its watch is silent."""
    server.script_pods(start="pending")
    if command != "create":
        request.getfixturevalue("lab")
    server.delays.service_account = None
    server.pause_kubelet()
    server.hold_namespaces()
    silence = server.add_fault(
        Silence(after_commit=True), verb="watch", resource=WATCHED[command], times=None
    )

    with program.on_terminal(*arguments_of(command)) as terminal:
        silence.wait(timedelta(seconds=60))
        code, lines = interrupt(terminal)

    assert 130 == code
    assert lines[-1].startswith(f"lab-storage: {TITLES[command]} was interrupted")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_command_without_a_terminal(
    program: Program, server: EmbeddedServer, number: signal.Signals, code: int
) -> None:
    """A service manager's too; the exit code is a shell's for that signal."""
    silence = server.add_fault(Silence(), times=None)

    with program.piped("wait", *FILE) as process:
        silence.wait(timedelta(seconds=60))
        process.send_signal(number)
        output, errors = process.communicate(timeout=END_SECONDS + SLACK_SECONDS)

    assert (code, "") == (process.returncode, output)
    assert "lab-storage: Waiting for the pod was interrupted\n" == errors


def test_an_interrupted_create_can_be_gone_on_with(
    program: Program, server: EmbeddedServer
) -> None:
    """The line shows the option for it; what was made stays."""
    server.delays.service_account = None

    with program.on_terminal("create", *FILE, "--operation-id", "mine") as terminal:
        terminal.wait_for("Service lab-jovyan/lab created")
        code, lines = interrupt(terminal)

    assert 130 == code
    assert lines[-1].endswith("; to go on, repeat it with --operation-id mine")


def test_a_bar_shows_what_is_done_and_disappears(program: Program, server: EmbeddedServer) -> None:
    """Lines stay above it; it counts the objects."""
    server.delays.service_account = timedelta(seconds=0.5)

    with program.on_terminal("create", *FILE) as terminal:
        terminal.wait_for(HIDE_CURSOR)
        terminal.wait_for("Creating the lab")
        terminal.wait_for("10/11")
        code, written = terminal.end()

    assert 0 == code
    assert written.rindex(HIDE_CURSOR) < written.rindex("11/11") < written.rindex(SHOW_CURSOR)
    assert "Lab lab-jovyan/lab is created: 11 objects" == plain(written)[-1]


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("create", "ServiceAccount lab-jovyan/default does not exist yet"),
        ("wait", "the pod is Pending"),
        ("delete-namespace", "the namespace is Terminating"),
    ],
)
def test_a_bar_says_what_it_waits_for(
    program: Program,
    server: EmbeddedServer,
    request: pytest.FixtureRequest,
    command: str,
    what: str,
) -> None:
    """So that nobody wonders whether anything happens at all."""
    server.script_pods(start="pending")
    if command != "create":
        request.getfixturevalue("lab")
    server.delays.service_account = None
    server.hold_namespaces()

    with program.on_terminal(command, *FILE) as terminal:
        terminal.wait_for(TITLES[command])
        terminal.wait_for(what)
        code, _ = interrupt(terminal)

    assert 130 == code


def test_a_bar_fits_into_60_columns(program: Program, server: EmbeddedServer) -> None:
    """What it waits for is cut, and neither the title, the count nor the time."""
    server.delays.service_account = timedelta(seconds=0.5)

    with program.on_terminal("create", *FILE, COLUMNS="60") as terminal:
        code, written = terminal.end()

    bars = [line for line in plain(written) if "Creating the lab " in line]
    waits = [line for line in bars if "ServiceAccount lab-j" in line]
    assert 0 == code
    assert 60 >= max(map(len, bars))
    assert waits
    assert all(re.search(r" 10/11 0:00:0\d ServiceAccount .*…$", line) for line in waits[-1:])


def test_a_bar_shows_what_is_retried(program: Program, server: EmbeddedServer) -> None:
    """A user sees why it takes so long."""
    server.close()

    with program.on_terminal("list", "--timeout", "3") as terminal:
        terminal.wait_for("Listing the labs")
        terminal.wait_for("Connection refused")
        code, written = terminal.end()

    assert 3 == code
    assert plain(written)[-1].startswith("lab-storage: Listing the labs timed out after 3.")


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(
    program: Program, lab: LabObjectNames
) -> None:
    """``TERM=dumb``, as in an editor."""
    with program.on_terminal("list", "--prefix", "lab-", TERM="dumb") as terminal:
        code, written = terminal.end()

    heading, line, end = written.split("\r\n")
    assert (0, "NAMESPACE", "lab-jovyan", "") == (code, heading.split()[0], line.split()[0], end)


def test_json_is_all_that_a_pipe_gets(
    program: Program, lab: LabObjectNames, tmp_path: Path
) -> None:
    """The bar is on the terminal, which the standard error still is."""
    target = tmp_path / "out.json"
    arguments = ("list", "--json", "--prefix", "lab-")

    with program.on_terminal(*arguments, script=f'exec "$@" >"{target}"') as terminal:
        code, written = terminal.end()

    assert (0, ["lab-jovyan"]) == (
        code,
        [each["namespace"] for each in json.loads(target.read_text())],
    )
    assert SHOW_CURSOR in written

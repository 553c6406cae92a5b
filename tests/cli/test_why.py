"""``lab-storage why``: what is wrong with a lab's pod."""

from __future__ import annotations

import json

import attrs
import pytest

from lab_storage import PodTrouble
from lab_storage._cli.why import table
from lab_storage.diagnosis import examine
from lab_storage.testing import EmbeddedServer
from tests.cli.conftest import RunHere
from tests.cli.program import EXAMPLE, Program
from tests.support import diagnosing as made
from tests.support.labs import names_of

BY_NAME = ("-n", "lab-jovyan", "--pod", "lab")
FILE = ("-f", str(EXAMPLE))


def make_lab(run_here: RunHere, server: EmbeddedServer, start: str) -> None:
    """Make a lab whose pod starts so, and wait until it does."""
    server.script_pods(start=start)
    assert 0 == run_here("create", *FILE)[0]
    run_here("wait", *BY_NAME, "--fail-fast", "usual", "--timeout", "3s")


def row(output: str, title: str) -> str:
    """What stands beside a title."""
    [found] = [line for line in output.splitlines() if line.startswith(f"{title}  ")]
    return found.removeprefix(title).strip()


@pytest.mark.parametrize(
    ("start", "trouble", "reason"),
    [
        ("image-pull-back-off", PodTrouble.IMAGE, None),
        ("mount-error", PodTrouble.VOLUME, "FailedMount"),
        ("config-error", PodTrouble.CONFIGURATION, "CreateContainerConfigError"),
    ],
)
def test_why_says_what_is_wrong_and_what_to_do(
    run_here: RunHere, server: EmbeddedServer, start: str, trouble: PodTrouble, reason: str | None
) -> None:
    """The exit code is 4, and a table says what, where, since when, how often."""
    make_lab(run_here, server, start)

    code, output, errors = run_here("why", *BY_NAME)

    assert (4, "") == (code, errors)
    assert ("lab-jovyan/lab", trouble.value) == (row(output, "Pod"), row(output, "Trouble"))
    assert trouble.hint == row(output, "What to do")
    assert reason in (row(output, "Reason"), None)
    assert row(output, "Last events")
    assert row(output, "Since").endswith(" UTC")


def test_why_is_silent_about_a_pod_that_runs(run_here: RunHere, server: EmbeddedServer) -> None:
    """The exit code is 0."""
    make_lab(run_here, server, "run")

    code, output, errors = run_here("why", *FILE)

    assert (0, "") == (code, errors)
    assert ("Running", "yes", "none") == tuple(
        row(output, title) for title in ("Phase", "Ready", "Trouble")
    )
    assert "What to do" not in output


def test_why_gives_json(run_here: RunHere, server: EmbeddedServer) -> None:
    """The diagnosis in JSON's types, with the same exit code."""
    make_lab(run_here, server, "mount-error")

    code, output, _ = run_here("why", *BY_NAME, "--json", "--logs", "5")

    found = json.loads(output)
    assert 4 == code
    assert ("lab-jovyan", "lab", "Pending", "Volume", "FailedMount") == tuple(
        found[key] for key in ("namespace", "pod", "phase", "trouble", "reason")
    )
    assert (None, PodTrouble.VOLUME.hint) == (found["log"], found["hint"])
    assert found["events"][-1].startswith("FailedMount: ")


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["table", "json"])
def test_why_of_no_pod_is_refused(run_here: RunHere, options: tuple[str, ...]) -> None:
    """The exit code is 1, as that of other commands."""
    code, output, errors = run_here("why", *BY_NAME, *options)

    assert (1, "null\n" if options else "") == (code, output)
    assert "lab-storage: Pod lab-jovyan/lab does not exist\n" == errors


def test_the_table_shows_restarts_and_the_log() -> None:
    """A line each, under one title."""
    crashed = made.pod("Running", made.waiting("CrashLoopBackOff", last=made.end(3), restarts=2))
    found = examine(crashed, [made.event("BackOff", "restarting", 30, first=20, count=4)])
    found = attrs.evolve(found, diagnosis=attrs.evolve(found.diagnosis, log="one\n  two"))

    assert [
        "Pod          lab-jovyan/lab",
        "Phase        Running",
        "Ready        no",
        "Trouble      Crash",
        "Container    notebook",
        "Reason       Error",
        "Exit code    3",
        "Since        2026-11-27 10:00:20 UTC",
        "Restarts     2",
        "Last events  BackOff: restarting",
        "Log          one",
        "               two",
        f"What to do   {PodTrouble.CRASH.hint}",
    ] == list(table(names_of(), found))


def test_why_takes_no_negative_count(program: Program) -> None:
    """It is a usage error."""
    done = program.run("why", *BY_NAME, "--logs", "-1")

    assert (2, "") == (done.returncode, done.stdout)
    assert "--logs" in done.stderr


def test_long_lines_are_wrapped_between_words() -> None:
    """On a terminal, beside their title; elsewhere they stay whole."""
    names = names_of()
    found = examine(made.pod(phase="Failed", status={"message": "word " * 40}), [])
    narrow = list(table(names, found, 60))
    assert 60 >= max(map(len, narrow))
    assert [line for line in table(names, found) if len(line) > 60]

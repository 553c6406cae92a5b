"""The program as a whole: with and without its extra, its help, its durations."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import click
import pytest

from lab_storage import __version__
from lab_storage._cli.options import duration

from .program import ROOT, Program


@pytest.mark.parametrize("missing", ["click", "rich", "yaml"])
def test_without_its_extra_the_program_says_what_to_install(missing: str) -> None:
    """In one line, and not by a traceback."""
    code = (
        f"import runpy, sys; sys.modules[{missing!r}] = None; "
        "runpy.run_module('lab_storage', run_name='__main__')"
    )
    # The official client needs PyYAML, and is imported before: only what comes after is hidden.
    code = f"import lab_storage; {code}"

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert (2, "") == (done.returncode, done.stdout)
    assert 'lab-storage: install its extra "cli": pip install "lab_storage[cli]"\n' == done.stderr


def test_a_defect_of_its_own_is_not_taken_for_a_missing_extra() -> None:
    """An import that fails for another reason shows which."""
    code = (
        "import runpy, sys; sys.modules['lab_storage._cli.demo'] = None; "
        "runpy.run_module('lab_storage', run_name='__main__')"
    )

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert 1 == done.returncode
    assert "lab_storage._cli.demo" in done.stderr


def test_help_has_every_command_and_the_exit_codes(program: Program) -> None:
    """A user finds everything."""
    done = program.run("--help")

    words = done.stdout.split()
    assert 0 == done.returncode
    for command in ("create", "delete-namespace", "delete-pod", "demo", "events", "list"):
        assert command in words
    assert "130" in words


def test_the_version_is_that_of_the_library(program: Program) -> None:
    """So that a bug report can name it."""
    assert f"lab-storage, version {__version__}\n" == program.run("--version").stdout


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("2.5s", 2.5),
        ("0", 0),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h1m1s", 3661),
        ("500ms", 0.5),
        ("1m500ms", 60.5),
        ("1s50ms", 1.05),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """A number without a unit is seconds."""
    assert timedelta(seconds=seconds) == duration(text)


@pytest.mark.parametrize(
    "text", ["", "s", "m5", "-1", "1d", "1.5h", "1 s", "٣", "nan", "1e3", "5ms1s", "50 ms"]
)
def test_anything_else_is_refused(text: str) -> None:
    """The error shows it, and some durations."""
    with pytest.raises(click.BadParameter, match=r"\(try 90, 2\.5s or 5m\)"):
        duration(text)

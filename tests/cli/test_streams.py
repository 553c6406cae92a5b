"""Standard streams that are full, closed or no longer read: the work goes on."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kubernetes import client

from lab_storage._cli.streams import Output

from .program import EXAMPLE, PATIENCE_SECONDS, ROOT, Program

if TYPE_CHECKING:
    from lab_storage import LabObjectNames
    from lab_storage.testing import EmbeddedServer

FILE = ("-f", str(EXAMPLE))
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def shell(program: Program, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Have a shell run the program, which is ``"$@"`` in the script."""
    return subprocess.run(
        ["bash", "-c", script, "bash", *program.command(*arguments)],
        cwd=ROOT,
        env=program.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def has_pod(server: EmbeddedServer) -> bool:
    """Whether the last object of the lab was made."""
    with server.api_client() as api_client:
        pods = client.CoreV1Api(api_client).list_namespaced_pod("lab-jovyan").items
    return ["lab"] == [pod.metadata.name for pod in pods]


@needs_full
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["lines", "json"])
def test_a_full_disk_leaves_no_lab_half_made(
    program: Program, server: EmbeddedServer, options: tuple[str, ...]
) -> None:
    """The lab is complete, and exit code and line say that nobody can read about it."""
    done = shell(program, '"$@" >/dev/full', "create", *FILE, *options)

    assert (5, "lab-storage: standard output: No space left on device\n") == (
        done.returncode,
        done.stderr,
    )
    assert has_pod(server)


def test_a_reader_that_stops_leaves_no_lab_half_made(
    program: Program, server: EmbeddedServer
) -> None:
    """As behind ``head``: the exit code is that of a program that SIGPIPE ended."""
    done = shell(program, '"$@" | head -1; exit "${PIPESTATUS[0]}"', "create", *FILE)

    assert ("Namespace lab-jovyan created\n", "") == (done.stdout, done.stderr)
    assert 141 == done.returncode
    assert has_pod(server)


def test_a_reader_that_stops_ends_a_command_that_only_writes(
    program: Program, server: EmbeddedServer, running_lab: LabObjectNames
) -> None:
    """Events would otherwise be watched for nobody, until the timeout."""
    done = shell(program, '"$@" | true; exit "${PIPESTATUS[0]}"', "events", *FILE)

    assert (141, "") == (done.returncode, done.stderr)


@needs_full
def test_a_failure_counts_before_lost_output(program: Program, lab: LabObjectNames) -> None:
    """The exit code is that of what could not be done."""
    done = shell(program, '"$@" >/dev/full', "create", *FILE, "--json")

    assert 1 == done.returncode
    assert done.stderr.startswith("lab-storage: Creating the lab: Namespace lab-jovyan")


@needs_full
@pytest.mark.parametrize("options", [(), ("--debug",)], ids=["quiet", "debug"])
def test_errors_that_cannot_be_written_change_nothing(
    program: Program, server: EmbeddedServer, options: tuple[str, ...]
) -> None:
    """Neither a log nor an error line is worth a lab."""
    first = shell(program, '"$@" 2>/dev/full', "create", *FILE, *options)
    second = shell(program, '"$@" 2>/dev/full', "create", *FILE, *options)

    assert (0, 1) == (first.returncode, second.returncode)
    assert has_pod(server)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_not_needed(
    program: Program, lab: LabObjectNames, closed: str
) -> None:
    """As of a program that a daemon starts; nothing is written into a socket by mistake."""
    done = shell(program, f'"$@" {closed}', "phase", *FILE)

    output = "" if ">&-" in closed.replace("2>&-", "") else done.stdout
    assert (0, "", output) == (done.returncode, done.stderr, done.stdout)


def test_a_closed_input_holds_no_manifest(homeless: Program) -> None:
    """One line says so."""
    done = shell(homeless, '"$@" <&-', "create", "-f", "-")

    assert 2 == done.returncode
    assert "lab-storage: standard input: no Kubernetes manifest in it\n" == done.stderr


@needs_full
def test_help_that_cannot_be_written_ends_without_a_traceback(homeless: Program) -> None:
    """Nor is the version."""
    codes = {
        shell(homeless, '"$@" >/dev/full', *words).returncode
        for words in (["--help"], ["--version"], ["create", "--help"])
    }

    assert {5} == codes


def test_lines_go_into_a_pipe_beside_a_bar_on_the_terminal(
    program: Program, server: EmbeddedServer, tmp_path: Path
) -> None:
    """The bar is drawn on the standard error, and takes no line away."""
    target = tmp_path / "out"

    with program.on_terminal("create", *FILE, script=f'exec "$@" >"{target}"') as terminal:
        code, _ = terminal.end()

    lines = target.read_text().splitlines()
    assert (0, 12) == (code, len(lines))
    assert "Namespace lab-jovyan created" == lines[0]


def test_a_failed_create_says_how_to_go_on_in_json_too(
    program: Program, server: EmbeddedServer
) -> None:
    """Whatever the reason, the line and the JSON have the ID, and the JSON has what was made."""
    server.forbid(verb="create", resource="services")

    done = program.run("create", *FILE, "--json")

    result = json.loads(done.stdout)
    assert (1, False) == (done.returncode, result["complete"])
    assert {"kind": "Namespace", "name": "lab-jovyan"} in result["objects"]
    assert done.stderr.endswith(
        f"; to go on, repeat it with --operation-id {result['operation_id']}\n"
    )


def test_the_first_failure_is_kept() -> None:
    """Everything after it is dropped."""

    class Full:
        def write(self, text: str) -> int:
            raise OSError(28, text)

        def fileno(self) -> int:
            raise OSError

    output = Output(Full())

    assert [1, 1] == [output.write("a"), output.write("b")]
    assert "a" == getattr(output.failure, "strerror", None)

"""The demo: what it shows, and that it leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab_storage._cli.demo import LAB_FILE, NAMESPACE_PREFIX
from lab_storage.testing import Answer

from .conftest import RunHere
from .program import (
    CTRL_C,
    END_SECONDS,
    EVENTS,
    EXAMPLE,
    HIDE_CURSOR,
    SHOW_CURSOR,
    SLACK_SECONDS,
    Program,
    namespaces,
    plain,
)

if TYPE_CHECKING:
    from lab_storage.testing import EmbeddedServer

STEPS = [
    "Create the lab",
    "Wait for its start",
    "Read it back",
    "Delete the pod",
    "Delete the namespace",
]


def test_the_packaged_lab_is_the_one_of_the_documentation() -> None:
    """The package has a copy, because it is installed without the documentation."""
    assert EXAMPLE.read_bytes() == LAB_FILE.read_bytes()


def test_the_demo_shows_a_life_without_a_cluster(homeless: Program) -> None:
    """Each event with its time, what became of it, and a row for each step."""
    done = homeless.run("demo")

    lines = done.stdout.splitlines()
    said = [line[8:].strip() for line in lines]
    assert (0, "") == (done.returncode, done.stderr)
    assert "Successfully assigned lab-jovyan/lab to lab-node" == said[0]
    assert ["The pod is Running", "The pod is gone", "The namespace is gone"] == [
        text for text in said if text.startswith("The ")
    ]
    # The second container is the last to start.
    (_, started) = [i for i, text in enumerate(said) if text == "Container started"]
    assert said.index("The pod is Running") > started
    times = [float(line[:6]) for line in lines if line[6:9] == " s "]
    assert times == sorted(times)
    assert [*STEPS, "10 events", "Altogether"] == [line[:22].strip() for line in lines[-7:]]


def test_the_demo_gives_its_timeline_as_json(homeless: Program) -> None:
    """Steps that follow each other, and the events among them."""
    done = homeless.run("demo", "--json")

    found = json.loads(done.stdout)
    assert (0, "", "Running") == (done.returncode, done.stderr, found["phase"])
    assert STEPS == [step["step"] for step in found["steps"]]
    assert EVENTS <= len(found["events"])
    assert found["seconds"] >= sum(step["seconds"] for step in found["steps"]) - 0.01


def test_the_demo_has_a_bar_on_a_terminal(homeless: Program) -> None:
    """It names the step and goes in the end; the timeline stays."""
    with homeless.on_terminal("demo") as terminal:
        terminal.wait_for(HIDE_CURSOR)
        for step in STEPS:
            terminal.wait_for(step)
        code, written = terminal.end()

    assert 0 == code
    assert written.rindex("5/5") < written.rindex(SHOW_CURSOR)
    assert "▲" in written


def test_the_demo_is_plain_where_there_is_only_ascii(homeless: Program) -> None:
    """Nothing of it is a character that the output cannot take."""
    done = homeless.run("demo", environment={"PYTHONIOENCODING": "ascii"})

    assert 0 == done.returncode
    assert done.stdout.isascii()
    assert "\\u" not in done.stdout


def test_ctrl_c_ends_the_demo_and_nothing_is_left(homeless: Program) -> None:
    """Neither a process, nor a thread that holds it, nor a file."""
    with homeless.on_terminal("demo") as terminal:
        terminal.wait_for("Pulling image")
        terminal.type(CTRL_C)
        code, written = terminal.end(END_SECONDS + SLACK_SECONDS)

    assert 130 == code
    assert "lab-storage: The demo was interrupted" == plain(written)[-1]
    assert written.rfind(HIDE_CURSOR) < written.rfind(SHOW_CURSOR)
    assert [] == list(homeless.temporary.iterdir())


def test_on_a_cluster_the_demo_is_in_a_namespace_of_its_own(
    program: Program, server: EmbeddedServer, kubeconfig: Path
) -> None:
    """With images that exist, and nothing is left of it."""
    before = namespaces(server)

    done = program.run("demo", "--context", "embedded", "--image", "registry.example/tools:1")

    created = {
        request.namespace
        for request in server.requests
        if request.verb == "create" and request.namespace
    }
    (namespace,) = created
    assert (0, "") == (done.returncode, done.stderr)
    assert namespace.startswith(NAMESPACE_PREFIX)
    assert 'Pulling image "registry.example/tools:1"' in done.stdout
    assert "sciplat-lab" not in done.stdout
    assert before == namespaces(server)


def test_a_demo_that_fails_on_a_cluster_leaves_nothing(
    run_here: RunHere, server: EmbeddedServer
) -> None:
    """The error is reported after the namespace is gone."""
    before = namespaces(server)
    server.script_pods(start="image-pull-back-off")

    code, _, errors = run_here("demo")

    (line,) = errors.splitlines()
    assert 1 == code
    assert "container notebook: " in line
    assert before == namespaces(server)


@pytest.mark.parametrize("resource", ["namespaces", "pods", "events"])
def test_a_demo_that_is_refused_on_a_cluster_leaves_nothing(
    run_here: RunHere, server: EmbeddedServer, resource: str
) -> None:
    """Whatever it may not do; what it may not see it says too."""
    before = namespaces(server)
    server.forbid(resource=resource, verb="list" if resource == "events" else "create")

    code, _, errors = run_here("demo")

    (line,) = errors.splitlines()
    assert 1 == code
    assert "403 Forbidden" in line
    assert before == namespaces(server)


def test_ctrl_c_ends_a_demo_on_a_cluster_and_its_namespace(
    program: Program, server: EmbeddedServer
) -> None:
    """It waits for the namespace to be gone."""
    before = namespaces(server)
    server.script_pods(start="pending")

    with program.on_terminal("demo", "--context", "embedded") as terminal:
        terminal.wait_for("Pulling image")
        terminal.type(CTRL_C)
        code, written = terminal.end()

    assert 130 == code
    assert "lab-storage: The demo was interrupted" == plain(written)[-1]
    assert before == namespaces(server)


def test_a_second_ctrl_c_does_not_wait_for_a_namespace_that_does_not_go(
    program: Program, server: EmbeddedServer
) -> None:
    """It is being deleted, and a line has its name."""
    server.script_pods(start="pending")
    server.hold_namespaces()

    with program.on_terminal("demo", "--context", "embedded") as terminal:
        terminal.wait_for("Pulling image")
        terminal.type(CTRL_C)
        terminal.wait_for("Deleting the namespace lab-demo-")
        terminal.wait_for("the namespace is Terminating")
        terminal.type(CTRL_C)
        code, written = terminal.end(END_SECONDS + SLACK_SECONDS)

    assert 130 == code
    *_, remark, last = plain(written)
    assert remark.startswith(f"lab-storage: namespace {NAMESPACE_PREFIX}")
    assert "may be left" in remark
    assert "lab-storage: The demo was interrupted" == last


def test_a_namespace_of_another_is_not_cleaned_up(
    run_here: RunHere, server: EmbeddedServer
) -> None:
    """Should there be one of that name, the demo deletes nothing."""
    exists = Answer(409, "namespaces already exists", "AlreadyExists")
    server.add_fault(exists, verb="create", resource="namespaces", times=None)
    # What may not be read is another's.
    server.forbid(verb="get", resource="namespaces")

    code, *_ = run_here("demo")

    assert 1 == code
    assert [] == [request for request in server.requests if request.verb == "delete"]

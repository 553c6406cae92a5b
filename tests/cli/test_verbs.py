"""The verbs of kubectl, help for every command, and what a shell completes."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from lab_storage import FAIL_FAST
from lab_storage._cli.program import program as group
from lab_storage._cli.timeline import Timeline
from lab_storage._cli.verbs import translate

from .conftest import RunHere
from .program import Program

COMMANDS = sorted(group.commands)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("apply -f a/lab.yaml", "create -f a/lab.yaml"),
        ("delete pod lab -n a", "delete-pod --pod lab -n a"),
        ("delete pod/lab -n a", "delete-pod --pod lab -n a"),
        ("delete po -n a --pod lab", "delete-pod -n a --pod lab"),
        ("delete ns a", "delete-namespace --namespace a"),
        ("delete namespace -f lab.yaml", "delete-namespace -f lab.yaml"),
        ("describe -f lab.yaml", "show -f lab.yaml"),
        ("describe pod lab", "why --pod lab"),
        ("get -f lab.yaml", "show -f lab.yaml"),
        ("get pod lab -n a", "phase --pod lab -n a"),
        ("get namespaces --prefix lab-", "list --prefix lab-"),
        ("create -f a/lab.yaml", "create -f a/lab.yaml"),
        ("frobnicate pod/lab", "frobnicate pod/lab"),
        ("delete", "delete"),
        ("", ""),
    ],
)
def test_verbs_of_kubectl_are_commands(typed: str, expected: str) -> None:
    """The kind may be a word or before a slash, and a name may follow."""
    assert expected.split() == translate(typed.split())


def test_a_verb_of_kubectl_does_what_it_says(run_here: RunHere) -> None:
    """Nothing exists on the server, which is success."""
    code, output, errors = run_here("delete", "pod/lab", "-n", "lab-jovyan")

    assert (0, "Pod lab-jovyan/lab is gone\n", "") == (code, output, errors)


@pytest.mark.parametrize(
    ("typed", "what"),
    [
        (["delete", "-f", "lab.yaml"], 'Say "delete pod" or "delete namespace"'),
        (["logs", "lab"], 'say "why --logs 100"'),
        (["exec", "-it", "lab", "sh"], "use kubectl exec"),
    ],
)
def test_a_verb_without_a_command_says_what_to_type(
    typed: list[str], what: str, run_here: RunHere
) -> None:
    """It is a usage error like any other."""
    code, output, errors = run_here(*typed)

    assert (2, "", 1) == (code, output, len(errors.splitlines()))
    assert what in errors


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_can_be_typed(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line of it parses, and fits into a terminal of 60 columns."""
    monkeypatch.setenv("COLUMNS", "60")

    with click.Context(group.commands[command], info_name=f"lab-storage {command}") as context:
        lines = context.get_help().splitlines()

    examples = [line.split() for line in lines if line.startswith(f"    lab-storage {command}")]
    assert examples
    assert 60 >= max(map(len, lines))
    for words in examples:
        group.commands[command].make_context(command, words[2:])


def test_the_help_of_the_program_fits_into_60_columns(homeless: Program) -> None:
    """It lists each command with a line that is not cut."""
    lines = homeless.run("--help", environment={"COLUMNS": "60"}).stdout.splitlines()

    assert 60 >= max(map(len, lines))
    assert 1 == sum(line.endswith("...") for line in lines)  # the usage


def test_a_timeline_fits_into_60_columns() -> None:
    """The bars are shorter there."""
    timeline = Timeline()
    with timeline.step("Delete the namespace"):
        timeline.mark("x")

    table = timeline.render(columns=60, ascii_only=True)

    cells = [list(column.cells) for column in table.columns]
    widths = [max(len(str(cell)) for cell in column) for column in cells]
    assert 60 >= sum(widths) + 2 * len(widths)


def completed(program: Program, words: str) -> set[str]:
    """Give what a shell would offer for the last of the words."""
    environment = {
        "_LAB_STORAGE_COMPLETE": "bash_complete",
        "COMP_WORDS": f"lab-storage {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    done = program.run(environment=environment)
    assert (0, "") == (done.returncode, done.stderr)
    return {line.partition(",")[2] for line in done.stdout.splitlines() if line}


def test_contexts_are_completed(program: Program, kubeconfig: Path) -> None:
    """Those of the kubeconfig that is selected, or of the usual one, if it exists."""
    config = json.loads(kubeconfig.read_text())
    other = kubeconfig.with_name("other")
    other.write_text(json.dumps(config).replace('"embedded"', '"elsewhere"'))

    assert {"embedded"} == completed(program, "wait --context e")
    assert {"elsewhere"} == completed(program, f"wait --kubeconfig {other} --context e")
    assert set() == completed(program, "wait --kubeconfig /no/such/file --context e")


def test_reasons_are_completed(homeless: Program) -> None:
    """Each of a list with commas."""
    offered = completed(homeless, "wait --fail-fast Unschedulable,ErrImage")

    assert {"Unschedulable,ErrImagePull", "Unschedulable,ErrImageNeverPull"} == offered
    assert {"usual", *FAIL_FAST} < completed(homeless, "wait --fail-fast ")


@pytest.mark.parametrize("option", ["-f", "--kubeconfig"])
def test_files_are_completed(homeless: Program, option: str) -> None:
    """By the shell itself."""
    environment = {
        "_LAB_STORAGE_COMPLETE": "bash_complete",
        "COMP_WORDS": f"lab-storage wait {option} l",
        "COMP_CWORD": "3",
    }

    assert "file,l\n" == homeless.run(environment=environment).stdout

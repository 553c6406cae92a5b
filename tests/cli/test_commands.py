"""Each command, on an API server: what it says, what JSON it gives, and its exit code."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from kubernetes import client

from lab_storage.testing import Answer

from .conftest import RunHere
from .program import EVENTS, EXAMPLE, Program, namespaces

if TYPE_CHECKING:
    from lab_storage import LabObjectNames
    from lab_storage.testing import EmbeddedServer

FILE = ("-f", str(EXAMPLE))
BY_NAME = ("-n", "lab-jovyan", "--pod", "lab")
KINDS = [
    "ConfigMap",
    "ConfigMap",
    "ConfigMap",
    "Namespace",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "Pod",
    "ResourceQuota",
    "Secret",
    "Secret",
    "Service",
]


def test_create_shows_each_object_as_it_is_made(program: Program, server: EmbeddedServer) -> None:
    """The namespace comes first, the pod last, and then the number of objects."""
    done = program.run("create", *FILE)

    *objects, last = done.stdout.splitlines()
    assert (0, "") == (done.returncode, done.stderr)
    assert "Namespace lab-jovyan created" == objects[0]
    assert "Pod lab-jovyan/lab created" == objects[-1]
    assert KINDS == sorted(line.split()[0] for line in objects)
    assert "Lab lab-jovyan/lab is created: 11 objects" == last
    assert "lab-jovyan" in namespaces(server)


def test_create_gives_its_objects_as_json(program: Program) -> None:
    """They have kind and name, and the operation that another attempt has to name."""
    done = program.run(
        "create", "--json", "--operation-id", "mine", "-f", "-", stdin=EXAMPLE.read_text()
    )

    made = json.loads(done.stdout)
    assert (0, "") == (done.returncode, done.stderr)
    assert KINDS == sorted(each["kind"] for each in made["objects"])
    assert ("lab-jovyan", "mine") == (made["namespace"], made["operation_id"])


def test_create_makes_a_lab_in_a_namespace_that_exists(
    program: Program, server: EmbeddedServer, tmp_path: Path
) -> None:
    """Without a namespace of its own, and with one it is refused before anything is sent."""
    manifests = list(yaml.safe_load_all(EXAMPLE.read_text()))
    path = tmp_path / "lab.yaml"
    path.write_text(yaml.safe_dump_all(m for m in manifests if m["kind"] != "Namespace"))
    with server.api_client() as api_client:
        api = client.CoreV1Api(api_client)
        api.create_namespace({"metadata": {"name": "lab-jovyan"}})

    refused = program.run("create", *FILE, "--shared-namespace")
    done = program.run("create", "-f", str(path), "--shared-namespace")

    assert 2 == refused.returncode
    assert "Namespace lab-jovyan must be left out" in refused.stderr
    assert (0, "") == (done.returncode, done.stderr)
    assert "Lab lab-jovyan/lab is created: 10 objects" == done.stdout.splitlines()[-1]


def test_create_leaves_the_object_of_another_alone(program: Program, lab: LabObjectNames) -> None:
    """An object that existed ends it with 1 and one line, which names object and server."""
    done = program.run("create", *FILE)

    (line,) = done.stderr.splitlines()
    assert (1, "") == (done.returncode, done.stdout)
    assert line.startswith(
        "lab-storage: Creating the lab: Namespace lab-jovyan (user jovyan): 409"
    )
    assert line.endswith("[http://127.0.0.1:" + line.rpartition(":")[2])


def test_create_goes_on_with_what_an_earlier_attempt_made(
    program: Program, server: EmbeddedServer
) -> None:
    """The line of an attempt that is out of time says how, and all objects are then there."""
    server.delays.service_account = None
    first = program.run("create", *FILE, "--timeout", "1")
    words = first.stderr.split()
    with server.api_client() as api_client:
        account = {"metadata": {"name": "default"}}
        client.CoreV1Api(api_client).create_namespaced_service_account("lab-jovyan", account)

    second = program.run("create", *FILE, *words[words.index("--operation-id") :][:2])

    assert (3, 1) == (first.returncode, len(first.stderr.splitlines()))
    assert "ServiceAccount lab-jovyan/default does not exist yet" in first.stderr
    assert (0, "") == (second.returncode, second.stderr)
    assert "Namespace lab-jovyan existed already" in second.stdout.splitlines()
    assert "Pod lab-jovyan/lab created" in second.stdout.splitlines()


def test_create_of_what_exists_does_not_advise_to_repeat_it(
    program: Program, running_lab: LabObjectNames
) -> None:
    """It would fail again: nothing of that lab is this attempt's."""
    done = program.run("create", *FILE)

    assert 1 == done.returncode
    assert f'namespaces "{running_lab.namespace}" already exists' in done.stderr
    assert done.stderr.endswith(
        "; to start anew, delete it first; to go on from an earlier attempt, use the "
        "--operation-id of that one\n"
    )


def test_create_that_meets_an_object_in_its_way_names_both_steps(
    program: Program, server: EmbeddedServer
) -> None:
    """Another's object goes first; the rest is this attempt's."""
    shared = ("-f", str(EXAMPLE.parent / "notebook.yaml"), "-n", "notebooks")
    with server.api_client() as api_client:
        core = client.CoreV1Api(api_client)
        core.create_namespace({"metadata": {"name": "notebooks"}})
        first = program.run("create", *shared, "--shared-namespace")
        core.delete_namespaced_config_map("lab-env", "notebooks")
        core.delete_namespaced_service("lab", "notebooks")

    done = program.run("create", *shared, "--shared-namespace", "--operation-id", "mine")

    assert (0, 1) == (first.returncode, done.returncode)
    assert 'pods "lab" already exists' in done.stderr
    assert done.stderr.endswith(
        "; delete it first; to go on, repeat it with --operation-id mine\n"
    )


@pytest.mark.parametrize("which", [FILE, BY_NAME], ids=["file", "names"])
def test_phase_says_the_phase(
    program: Program, running_lab: LabObjectNames, which: tuple[str, ...]
) -> None:
    """The lab is named by its file or by its names."""
    done = program.run("phase", *which)

    assert (0, "Running\n", "") == (done.returncode, done.stdout, done.stderr)


def test_wait_says_the_phase_that_the_pod_comes_to(
    program: Program, server: EmbeddedServer, request: pytest.FixtureRequest
) -> None:
    """It is not done before."""
    server.script_pods(delay=timedelta(seconds=1))
    request.getfixturevalue("lab")

    done = program.run("wait", *FILE)

    assert (0, "Running\n", "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("start", "code", "phase", "errors"),
    [
        ("run", 0, "Running", ""),
        ("succeed", 0, "Succeeded", ""),
        ("fail", 1, "Failed", "lab-storage: Pod lab-jovyan/lab has failed\n"),
    ],
)
def test_wait_reports_a_failure_by_its_exit_code(
    run_here: RunHere,
    server: EmbeddedServer,
    request: pytest.FixtureRequest,
    start: str,
    code: int,
    phase: str,
    errors: str,
) -> None:
    """A pod that has failed has started, but that is not success."""
    server.script_pods(start=start)
    request.getfixturevalue("lab")

    got, output, said = run_here("wait", *FILE, "--json")

    assert (code, {"phase": phase}, errors) == (got, json.loads(output), said)


@pytest.mark.parametrize("reasons", ["usual", "Unschedulable,ImagePullBackOff"])
def test_wait_ends_early_with_fail_fast(
    run_here: RunHere, server: EmbeddedServer, request: pytest.FixtureRequest, reasons: str
) -> None:
    """With a reason to fail fast, the exit code is 1 and the line names the container."""
    server.script_pods(start="image-pull-back-off")
    request.getfixturevalue("lab")

    code, output, errors = run_here("wait", *FILE, "--fail-fast", reasons)

    (line,) = errors.splitlines()
    assert (1, "") == (code, output)
    assert "Pod lab-jovyan/lab, container notebook: " in line


def test_wait_warns_of_a_reason_that_kubernetes_does_not_have(
    run_here: RunHere, running_lab: LabObjectNames
) -> None:
    """It would never match; the word that may be meant is shown."""
    code, output, errors = run_here("wait", *FILE, "--fail-fast", "ErrImagPull")

    line = "lab-storage: Unknown reason in fail_fast: ErrImagPull (is it ErrImagePull?)\n"
    assert (0, "Running\n", line) == (code, output, errors)


def test_events_shows_messages_in_order_until_its_timeout(
    program: Program, running_lab: LabObjectNames
) -> None:
    """The timeout is its normal end, and the exit code says so."""
    done = program.run("events", *FILE, "--timeout", "1")

    lines = done.stdout.splitlines()
    assert (3, EVENTS) == (done.returncode, len(lines))
    assert "Successfully assigned lab-jovyan/lab to lab-node" == lines[0]
    assert 'Pulling image "registry.example/provisioner:1.4.0"' == lines[1]
    assert 1 == len(done.stderr.splitlines())


def test_events_shows_each_as_it_happens(
    program: Program, server: EmbeddedServer, request: pytest.FixtureRequest
) -> None:
    """A pipe gets it at once, and from a pod that is made later."""
    with program.piped("events", *FILE) as process:
        assert process.stdout is not None
        request.getfixturevalue("lab")
        lines = [process.stdout.readline() for _ in range(EVENTS)]

    assert "Successfully assigned lab-jovyan/lab to lab-node\n" == lines[0]
    assert all(lines)


def test_events_gives_an_object_a_line_as_json(
    run_here: RunHere, running_lab: LabObjectNames
) -> None:
    """So that a script reads it as it comes."""
    _, output, _ = run_here("events", *BY_NAME, "--json", "--timeout", "1")

    found = [json.loads(line) for line in output.splitlines()]
    assert EVENTS == len(found)
    assert {"message": "Successfully assigned lab-jovyan/lab to lab-node"} == found[0]


def test_show_says_the_state_of_the_lab(program: Program, running_lab: LabObjectNames) -> None:
    """That is the pod with its containers, the quota with what is used, and the environment."""
    lines = program.run("show", *FILE).stdout.splitlines()

    assert [
        "Pod lab-jovyan/lab: Running on lab-node",
        "  home: terminated, Completed",
        "  notebook: running, ready",
        "ResourceQuota lab-jovyan/lab-quota",
        "  limits.cpu: 2 of 9",
        "  limits.memory: 2Gi of 27Gi",
        "ConfigMap lab-jovyan/lab-env",
        "  CONTAINER_SIZE=small",
    ] == lines[:8]


def test_show_gives_the_objects_as_json(run_here: RunHere, lab: LabObjectNames) -> None:
    """They are manifests, as the server has them."""
    code, output, _ = run_here("show", *FILE, "--json")

    found = json.loads(output)
    assert 0 == code
    assert {"env_config_map": "lab-env", "quota": "lab-quota", "pod": "lab"} == {
        field: manifest["metadata"]["name"] for field, manifest in found.items()
    }
    assert (
        "registry.example/sciplat-lab:w_2026_46"
        == (found["pod"]["spec"]["containers"][0]["image"])
    )


def test_list_shows_the_labs_with_a_prefix(program: Program, running_lab: LabObjectNames) -> None:
    """A line for each pod: phase, readiness and age."""
    done = program.run("list", "--prefix", "lab-")

    assert (0, "") == (done.returncode, done.stderr)
    heading, line = done.stdout.splitlines()
    assert ["NAMESPACE", "PHASE", "READY", "AGE", "POD"] == heading.split()
    namespace, phase, ready, age, pod = line.split()
    assert ("lab-jovyan", "Running", "yes", "lab") == (namespace, phase, ready, pod)
    assert re.fullmatch(r"\d+s", age)


def test_list_gives_all_namespaces_without_a_prefix(
    run_here: RunHere, running_lab: LabObjectNames
) -> None:
    """As JSON it is a list, with the pods of each."""
    code, output, _ = run_here("list", "--json")

    names = ["default", "kube-node-lease", "kube-public", "kube-system", "lab-jovyan"]
    labs = json.loads(output)
    assert (0, names) == (code, [each["namespace"] for each in labs])
    (pod,) = labs[-1]["pods"]
    assert ("lab", "Running", True) == (pod["name"], pod["phase"], pod["is_ready"])


def test_delete_pod_is_done_once_it_is_gone(
    program: Program, run_here: RunHere, lab: LabObjectNames
) -> None:
    """Once more is a success too."""
    done = program.run("delete-pod", *FILE)
    again = run_here("delete-pod", *BY_NAME, "--json")
    phase, *_ = run_here("phase", *BY_NAME)

    text = "Pod lab-jovyan/lab is gone\n"
    assert (0, text, "") == (done.returncode, done.stdout, done.stderr)
    assert (0, {"namespace": "lab-jovyan", "pod": "lab"}) == (again[0], json.loads(again[1]))
    assert 1 == phase


def test_delete_namespace_is_done_once_it_is_gone(
    program: Program, run_here: RunHere, lab: LabObjectNames, server: EmbeddedServer
) -> None:
    """Once more is a success too."""
    done = program.run("delete-namespace", *FILE)
    left = namespaces(server)
    again = run_here("delete-namespace", "-n", "lab-jovyan", "--json")

    text = "Namespace lab-jovyan is gone\n"
    assert (0, text, "") == (done.returncode, done.stdout, done.stderr)
    assert "lab-jovyan" not in left
    assert (0, {"namespace": "lab-jovyan"}) == (again[0], json.loads(again[1]))


@pytest.mark.parametrize(
    ("command", "result", "what"),
    [
        ("phase", {"phase": None}, "Pod lab-jovyan/lab does not exist"),
        ("wait", {"phase": None}, "Pod lab-jovyan/lab does not exist"),
        ("show", None, "Pod lab-jovyan/lab or ConfigMap lab-jovyan/lab-env does not exist"),
    ],
)
def test_a_missing_object_is_a_failure(
    run_here: RunHere, command: str, result: object, what: str
) -> None:
    """The exit code is 1, and the JSON null."""
    code, output, errors = run_here(command, *FILE, "--json")

    assert (1, result) == (code, json.loads(output))
    assert f"lab-storage: {what}\n" == errors


def test_messages_cannot_command_the_terminal(
    program: Program, server: EmbeddedServer, running_lab: LabObjectNames
) -> None:
    """Whoever may write an event writes text, and gets one line."""
    with server.api_client() as api_client:
        api = client.CoreV1Api(api_client)
        pod = api.read_namespaced_pod("lab", "lab-jovyan")
        event = {
            "metadata": {"name": "lab.evil", "namespace": "lab-jovyan"},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": "lab-jovyan",
                "name": "lab",
                "uid": pod.metadata.uid,
            },
            "message": "one\ntwo [red]\x1b[2J\x07",
            "type": "Normal",
            "reason": "Evil",
        }
        api.create_namespaced_event("lab-jovyan", event)

    with program.on_terminal("events", *BY_NAME) as terminal:
        terminal.wait_for(r"one two [red]\x1b[2J\x07")


def test_retries_are_seen_in_the_log_alone(program: Program, server: EmbeddedServer) -> None:
    """A retry that works is only shown with --debug."""
    server.add_fault(Answer(503), resource="namespaces", times=1)
    quiet = program.run("list")
    server.add_fault(Answer(503), resource="namespaces", times=1)
    debug = program.run("list", "--debug")

    assert (0, "") == (quiet.returncode, quiet.stderr)
    # But for ages, which have grown.
    shown = [[line.split()[0] for line in each.stdout.splitlines()] for each in (quiet, debug)]
    assert 0 == debug.returncode
    assert shown[0] == shown[1]
    assert "Retrying Kubernetes request" in debug.stderr


def test_a_reader_that_stops_early_is_not_an_error(program: Program) -> None:
    """As behind ``head``: it ends like a program that SIGPIPE has ended."""
    with program.piped("list") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()

        assert "" == process.stderr.read()
        assert 141 == process.wait()

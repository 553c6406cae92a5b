"""Invalid input: one line that says what and where, no traceback, and an exit code."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lab_storage._cli.program import run
from lab_storage.testing import Answer, Silence

from .program import EXAMPLE, Program

if TYPE_CHECKING:
    from lab_storage.testing import EmbeddedServer

FILE = ("-f", str(EXAMPLE))
LAB = EXAMPLE.read_text()


def without(kind: str) -> str:
    """The example without its objects of a kind."""
    manifests = [each for each in yaml.safe_load_all(LAB) if each["kind"] != kind]
    return yaml.safe_dump_all(manifests)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("a: b: c\n", ":1:5: invalid YAML: mapping values are not allowed here"),
        ("kind: [", ":1:8: invalid YAML: expected the node content, but found '<stream end>'"),
        ("a: !!python/name:os.system x", ":1:4: invalid YAML: could not determine a constructor"),
        ("kind: Pod\nday: 2026-13-45\n", ": invalid YAML: month must be in 1..12"),
        ("\x00", ": invalid YAML: unacceptable character #x0000"),
        ("[" * 5000, ": invalid YAML: maximum recursion depth exceeded"),
        ("", ": no Kubernetes manifest in it"),
        ("---\n---\n", ": no Kubernetes manifest in it"),
        ("- kind: Pod\n", ": document 1 is not a Kubernetes manifest: it has no kind"),
        (
            "apiVersion: v1\nkind: List\nitems: [7]\n",
            ": manifest 1 (List): items[0] must be a mapping, not an integer",
        ),
        ("apiVersion: v1\nkind: List\nitems: []\n", ": no Kubernetes manifest in it"),
        (f"{LAB}---\nkindly: Pod\n", ": document 12 is not a Kubernetes manifest"),
        (without("Pod"), ": no pod in it, and none selected with --pod"),
        (without("ConfigMap"), ": no env config map in it"),
        (
            LAB.replace("configMapRef", "secretRef"),
            ": which env config map? Select one with --env-config-map: lab-env, lab-files, lab-",
        ),
        (
            LAB.replace("kind: Service", "kind: service"),
            ": service lab: kind is not valid (is it Service?)",
        ),
        (
            LAB.replace("readinessProbe:", "readynessProbe:"),
            ": Pod lab: spec.containers[0].readynessProbe",
        ),
        (
            # The reason why nothing says which config map it is.
            LAB.replace("configMapRef", "configMapReff"),
            ": Pod lab: spec.containers[0].envFrom[0].configMapReff is not a field known to",
        ),
        (
            LAB.replace("name: lab-jovyan", "name: Lab_Jovyan", 1),
            ": namespace must be a DNS label, got 'Lab_Jovyan'",
        ),
        (
            LAB.replace(
                "kind: NetworkPolicy\nmetadata:\n", "kind: NetworkPolicy\nmetadata: 7\nx:\n"
            ),
            ": manifest 9 (NetworkPolicy): metadata must be a mapping, not an integer",
        ),
    ],
)
def test_a_file_that_is_not_a_lab_gets_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, what: str
) -> None:
    """It names the file, the position and what is wrong there; nothing is sent."""
    path = tmp_path / "lab.yaml"
    path.write_text(content)

    code = run(["create", "-f", str(path), "--kubeconfig", "/does/not/exist"])

    (line,) = capsys.readouterr().err.splitlines()
    assert 2 == code
    assert line.startswith(f"lab-storage: {path}{what}")


def test_bytes_that_are_not_text_get_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A binary file is not YAML."""
    path = tmp_path / "lab.yaml"
    path.write_bytes(bytes(range(128, 256)))

    code = run(["create", "-f", str(path)])

    (line,) = capsys.readouterr().err.splitlines()
    assert 2 == code
    assert line.startswith(f"lab-storage: {path}: invalid YAML: unacceptable character")


def test_a_file_that_cannot_be_read_gets_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It shows the words of the operating system."""
    codes = [run(["create", "-f", str(path)]) for path in (tmp_path / "nothing", tmp_path)]

    assert [2, 2] == codes
    assert [
        f"lab-storage: {tmp_path}/nothing: No such file or directory",
        f"lab-storage: {tmp_path}: Is a directory",
    ] == capsys.readouterr().err.splitlines()


def test_no_value_of_a_secret_is_in_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error about a Secret names the field only."""
    path = tmp_path / "lab.yaml"
    path.write_text(
        LAB.replace(".dockerconfigjson: eyJhdXRocyI6e319", ".dockerconfigjson: h!dden")
    )

    code = run(["create", "-f", str(path)])

    (line,) = capsys.readouterr().err.splitlines()
    assert 2 == code
    assert "Secret pull-secret: data" in line
    assert "h!dden" not in line


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["phase", "--frobnicate"], "No such option"),
        (["phase", "--timeout", "soon", *FILE], "'soon' is not a duration (try 90, 2.5s or 5m)"),
        (["phase", "--timeout", "-1", *FILE], "'-1' is not a duration"),
        (["phase", "--timeout", "9" * 20 + "h", *FILE], "is too long"),
        (["create"], "which lab? Select its file with -f"),
        (["create", *FILE, "--operation-id", ""], "--operation-id must not be empty"),
        (["phase"], "which namespace? Select it with --namespace, or its file with -f"),
        (["phase", "-n", "lab-jovyan"], "which pod? Select it with --pod, or its file with -f"),
        (["phase", "-n", "lab-jovyan", "--pod", "A"], "pod must be a DNS subdomain name, got 'A'"),
        (["show", "-n", "lab-jovyan", "--pod", "lab"], "which env config map? Select it"),
        (["create", *FILE, "--pod", "other"], 'Pod lab: metadata.name must be "other"'),
        (["create", *FILE, "-n", "other"], 'Namespace lab-jovyan: metadata.name must be "other"'),
        (["delete-namespace"], "which namespace? Select it with --namespace"),
    ],
)
def test_a_command_line_that_is_wrong_gets_a_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], what: str
) -> None:
    """It says what is wrong; usage is at hand by --help."""
    code = run(arguments)

    output, errors = capsys.readouterr()
    assert (2, "") == (code, output)
    assert 1 == len(errors.splitlines())
    assert what in errors


def test_without_a_command_the_program_explains_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """That is usage, of which nothing has been done."""
    code = run([])

    assert 2 == code
    assert "delete-namespace" in capsys.readouterr().err


Change = Callable[[dict[str, Any]], Any]


def cluster_of(config: dict[str, Any]) -> dict[str, Any]:
    """The cluster in a kubeconfig."""
    cluster: dict[str, Any] = config["clusters"][0]["cluster"]
    return cluster


FAILING = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "command": "false",
    "interactiveMode": "Never",
}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda config: config.pop("current-context"), "Expected key current-context"),
        (lambda config: config.update(contexts=[]), "Expected object with name embedded"),
        (lambda config: config.update(clusters=7), "not a valid kubeconfig: "),
        (
            lambda config: cluster_of(config).update(
                {"server": "https://127.0.0.1:1", "certificate-authority": "/no/such/file"}
            ),
            "File does not exist: /no/such/file",
        ),
        (
            lambda config: cluster_of(config).update(
                {"server": "https://127.0.0.1:1", "certificate-authority-data": "no!"}
            ),
            "not a valid kubeconfig: ",
        ),
        (
            lambda config: config["users"][0].update(user={"exec": FAILING}),
            "exec: process returned",
        ),
    ],
)
def test_an_invalid_kubeconfig_gets_a_line(
    kubeconfig: Path, capsys: pytest.CaptureFixture[str], change: Change, what: str
) -> None:
    """It names the file; a credentials program that fails is not ignored."""
    config = json.loads(kubeconfig.read_text())
    change(config)
    kubeconfig.write_text(json.dumps(config))

    code = run(["list", "--kubeconfig", str(kubeconfig), "--timeout", "5"])

    (line,) = capsys.readouterr().err.splitlines()
    assert 2 == code
    assert line.startswith(f"lab-storage: kubeconfig {kubeconfig}: ")
    assert what in line


HANGING = {**FAILING, "command": "sleep", "args": ["20"]}


def test_a_credentials_program_that_hangs_is_left_at_the_deadline(
    kubeconfig: Path, program: Program
) -> None:
    """The line says what was waited for."""
    config = json.loads(kubeconfig.read_text())
    config["users"][0].update(user={"exec": HANGING})
    kubeconfig.write_text(json.dumps(config))

    begin = time.monotonic()
    done = program.run("list", "--kubeconfig", str(kubeconfig), "--timeout", "0.5")

    assert (3, "") == (done.returncode, done.stdout)
    assert "the kubeconfig's program for credentials has not ended" in done.stderr
    assert time.monotonic() - begin < 10


def test_no_token_of_a_kubeconfig_is_in_the_line(
    kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The client library names a part of the file by all that is in it."""
    config = json.loads(kubeconfig.read_text())
    config["users"][0]["user"] = {"token": None, "password": "not-for-you"}
    kubeconfig.write_text(json.dumps(config))

    code = run(["list", "--kubeconfig", str(kubeconfig), "--debug"])

    output, errors = capsys.readouterr()
    assert (2, "") == (code, output)
    assert "Invalid kube-config file" in errors
    assert "not-for-you" not in errors


@pytest.mark.parametrize("content", ["", "words", "[1, 2]", "a: b: c"])
def test_a_file_that_is_not_a_kubeconfig_gets_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """Whatever error the client library raises."""
    path = tmp_path / "kubeconfig"
    path.write_text(content)

    codes = [
        run(["list", "--kubeconfig", str(path), *context])
        for context in ((), ("--context", "any"))
    ]

    lines = capsys.readouterr().err.splitlines()
    assert [2, 2] == codes
    assert 2 == len(lines)
    assert all(line.startswith(f"lab-storage: kubeconfig {path}: ") for line in lines)


def test_an_unknown_context_gets_a_line(
    kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which there are."""
    code = run(["list", "--kubeconfig", str(kubeconfig), "--context", "other"])

    assert 2 == code
    assert (
        f'lab-storage: kubeconfig {kubeconfig}: no context "other" in it (it has: embedded)\n'
        == capsys.readouterr().err
    )


def test_without_any_cluster_the_program_says_where_it_looked(homeless: Program) -> None:
    """Neither a kubeconfig nor a pod's ServiceAccount is there."""
    done = homeless.run("list")

    assert 2 == done.returncode
    assert (
        "lab-storage: kubeconfig ~/.kube/config: no such file; select one with --kubeconfig\n"
        == done.stderr
    )


def test_a_pod_is_known_by_its_environment(homeless: Program) -> None:
    """The line then concerns the ServiceAccount, which this machine does not have."""
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    done = homeless.run("list", environment=environment)

    assert 2 == done.returncode
    assert done.stderr.startswith("lab-storage: ServiceAccount of this pod: ")
    assert 1 == len(done.stderr.splitlines())


def test_a_cluster_that_refuses_gets_a_line(program: Program, server: EmbeddedServer) -> None:
    """It says what was being done, what the server said, and which server."""
    server.forbid(verb="get", resource="pods")

    done = program.run("phase", *FILE)

    assert (1, "") == (done.returncode, done.stdout)
    assert (
        "lab-storage: Reading the phase: Pod lab-jovyan/lab (user jovyan): 403 Forbidden: "
        'pods "lab" is forbidden: User "admin" cannot get resource "pods" in API group "" in '
        f'the namespace "lab-jovyan" [{server.host}]\n' == done.stderr
    )


def test_a_cluster_that_is_broken_gets_a_line(program: Program, server: EmbeddedServer) -> None:
    """At the timeout, it says what the server said last."""
    server.add_fault(Answer(503, "no leader"), times=None)

    done = program.run("list", "--timeout", "1")

    assert (3, "") == (done.returncode, done.stdout)
    assert 1 == len(done.stderr.splitlines())
    assert "lab-storage: Listing the labs timed out after 1." in done.stderr
    assert "no leader" in done.stderr
    assert f"[{server.host}]" in done.stderr


def test_a_cluster_that_does_not_answer_gets_a_line(
    program: Program, server: EmbeddedServer
) -> None:
    """The exit code is that of a timeout."""
    server.add_fault(Silence(), times=None)

    done = program.run("list", "--timeout", "1")

    assert (3, "") == (done.returncode, done.stdout)
    assert 1 == len(done.stderr.splitlines())
    assert "no answer from" in done.stderr


def test_a_cluster_that_is_not_there_gets_a_line(program: Program, server: EmbeddedServer) -> None:
    """Refused connections are retried until the timeout, whose error shows them."""
    server.close()

    done = program.run("list", "--timeout", "1")

    assert (3, "") == (done.returncode, done.stdout)
    assert 1 == len(done.stderr.splitlines())
    assert "Connection refused" in done.stderr


def test_a_host_without_an_address_gets_a_line(program: Program, kubeconfig: Path) -> None:
    """The name is in it."""
    config = json.loads(kubeconfig.read_text())
    cluster_of(config)["server"] = "https://cluster.invalid"
    kubeconfig.write_text(json.dumps(config))

    done = program.run("list", "--timeout", "1")

    assert (3, "") == (done.returncode, done.stdout)
    assert 1 == len(done.stderr.splitlines())
    assert "[https://cluster.invalid]" in done.stderr


def test_debug_shows_the_rest(homeless: Program) -> None:
    """The traceback comes before the same line."""
    plain = homeless.run("create", "-f", "nothing.yaml")
    debug = homeless.run("create", "-f", "nothing.yaml", "--debug")

    assert (2, 2) == (plain.returncode, debug.returncode)
    assert "Traceback (most recent call last)" in debug.stderr
    assert debug.stderr.endswith(plain.stderr)

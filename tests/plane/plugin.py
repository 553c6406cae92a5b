"""The control plane, and one with a real node, as fixtures of pytest."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from kubernetes import client

from .assets import AssetsUnavailableError, find_assets
from .control_plane import ControlPlane
from .node import why_not
from .programs import ROOT
from .remote import Cluster, RemoteCluster

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

RBAC = ROOT / "docs" / "examples" / "rbac.yaml"
ROLE_SECONDS = 30.0
FIXTURES = ("control_plane", "real_node", "node_assets")
ASSETS = pytest.StashKey["Path | AssetsUnavailableError | subprocess.CalledProcessError"]()
#: How long each test took that needs a real node, its start included.
NODE_SECONDS = pytest.StashKey[list[float]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    config.stash[NODE_SECONDS] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Name a cluster to test on."""
    parser.addoption(
        "--kubeconfig",
        type=Path,
        metavar="FILE",
        help="run the integration tests on the cluster of this file's current context, "
        "as its administrator, instead of on a control plane that is started for them",
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the binaries built before the first test, outside of any test's timeout."""
    config = session.config
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if config.getoption("kubeconfig"):
        wanted.discard("control_plane")
    if not wanted.intersection(FIXTURES) or config.getoption("collectonly"):
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    # A build of ten minutes says on the terminal what it is doing.
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        try:
            config.stash[ASSETS] = find_assets()
        except (AssetsUnavailableError, subprocess.CalledProcessError) as error:
            config.stash[ASSETS] = error


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Take the time of a test that needs a real node."""
    began = time.monotonic()
    result = yield
    if "node_assets" in getattr(item, "fixturenames", ()):
        item.config.stash[NODE_SECONDS].append(time.monotonic() - began)
    return result


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how long the real node took."""
    if seconds := config.stash[NODE_SECONDS]:
        terminalreporter.write_line(
            f"Real node: {len(seconds)} tests took {sum(seconds):.0f} s, its start included"
        )


@pytest.fixture(scope="session")
def control_plane(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """A real API server with all that a lab needs.

    One of our own, or the cluster that ``--kubeconfig`` names. Skips, and says
    why, where neither is to be had.
    """
    kubeconfig = pytestconfig.getoption("kubeconfig")
    if kubeconfig:
        yield RemoteCluster(kubeconfig)
        return
    with ControlPlane(_assets(pytestconfig)) as plane:
        yield plane


@pytest.fixture(scope="session")
def node_assets(pytestconfig: pytest.Config) -> Path:
    """The binaries, for a control plane with a real node.

    Skips, and says why, where there can be none. In CI (if the variable ``CI`` is set)
    that is a failure.
    """
    assets = _assets(pytestconfig)
    if reason := why_not(assets):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no real node: {reason}")
    return assets


@pytest.fixture(scope="session")
def real_node(node_assets: Path) -> Iterator[ControlPlane]:
    """A control plane with a real node: kubelet, containerd, and containers that run.

    It is never that of ``--kubeconfig``: tests kill its kubelet.
    """
    with ControlPlane(node_assets, real_node=True) as plane:
        yield plane


def _assets(config: pytest.Config) -> Path:
    assets = config.stash[ASSETS]
    if isinstance(assets, AssetsUnavailableError):
        pytest.skip(str(assets))
    if isinstance(assets, subprocess.CalledProcessError):
        pytest.fail(f"the control plane could not be built: {assets}", pytrace=False)
    return assets


@pytest.fixture(scope="session")
def lab_role(control_plane: Cluster) -> Iterator[str]:
    """The role of ``docs/examples/rbac.yaml``, bound to the user ``lab``; its name."""
    with _lab_role(control_plane) as name:
        yield name


@pytest.fixture(scope="session")
def node_lab_role(real_node: ControlPlane) -> Iterator[str]:
    """The same, on the control plane with a real node."""
    with _lab_role(real_node) as name:
        yield name


@contextlib.contextmanager
def _lab_role(control_plane: Cluster) -> Iterator[str]:
    """Install the documented role, and bind it.

    The name is a new one, so that a role that somebody has installed under the
    documented one is neither used nor touched.
    """
    documents = yaml.safe_load_all(RBAC.read_text())
    role: dict[str, Any] = next(each for each in documents if each["kind"] == "ClusterRole")
    name = f"{role['metadata']['name']}-tests-{secrets.token_hex(4)}"
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "lab"}],
    }
    with control_plane.api_client() as admin:
        rbac = client.RbacAuthorizationV1Api(admin)
        rbac.create_cluster_role({**role, "metadata": {"name": name}})
        try:
            rbac.create_cluster_role_binding(binding)
            _await_role(control_plane)
            yield name
        finally:
            with contextlib.suppress(client.ApiException):
                rbac.delete_cluster_role_binding(name)
            rbac.delete_cluster_role(name)


def _await_role(control_plane: Cluster) -> None:
    """A server asks its cache for roles, which learns of a new one a moment later."""
    attributes = {"verb": "delete", "resource": "namespaces", "name": "any"}
    review = {"spec": {"resourceAttributes": attributes}}
    deadline = time.monotonic() + ROLE_SECONDS
    with control_plane.api_client("lab") as lab:
        authorization = client.AuthorizationV1Api(lab)
        while not authorization.create_self_subject_access_review(review).status.allowed:
            if time.monotonic() > deadline:
                pytest.fail(f"the role of {RBAC} is not in force after {ROLE_SECONDS:.0f} s")
            time.sleep(0.05)

"""The fixtures that users of the library load into their own tests."""

from __future__ import annotations

import pytest

from tests.plane.programs import ROOT

USER_TESTS = """
from datetime import timedelta

from kubernetes import client

from lab_storage import LabObjectNames, LabObjects, PodPhase, Timeout

NAMES = LabObjectNames("jovyan", "lab-jovyan", "env", "quota", "lab")
MANIFESTS = [
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "env"}},
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lab"},
        "spec": {"containers": [{"name": "notebook", "image": "registry.example/lab"}]},
    },
]


def timeout():
    return Timeout("Testing", timedelta(seconds=20))


def test_lab_starts(embedded_server, embedded_storage):
    embedded_storage.create(LabObjects.from_manifests(MANIFESTS, NAMES), timeout())
    phase = embedded_storage.wait_for_pod_start("lab", "lab-jovyan", timeout())
    assert PodPhase.RUNNING is phase
    assert embedded_server.requests


def test_each_test_has_a_server_of_its_own(embedded_storage):
    assert embedded_storage.read_pod_phase(NAMES, timeout()) is None


def test_server_is_recorded(embedded_api_client, recording_recorder, request):
    recording_recorder(request.path.with_name("recorded.yaml"), embedded_api_client)
    names = [item.metadata.name for item in core(embedded_api_client).list_namespace().items]
    assert "default" in names


def test_recording_is_played(recording_player, request):
    player = recording_player(request.path.with_name("recorded.yaml"))
    names = [item.metadata.name for item in core(player.api_client).list_namespace().items]
    assert "default" in names


def test_order_of_the_classes_serves_too(
    embedded_api_client, recording_recorder, tmp_path
):
    recorder = recording_recorder(embedded_api_client, tmp_path / "other.yaml")
    assert (tmp_path / "other.yaml") == recorder.path


def core(api_client):
    return client.CoreV1Api(api_client)
"""


def test_fixtures_serve_whoever_loads_them(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lab starts on a server for that test alone; what it says is recorded and played."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest('pytest_plugins = ["lab_storage.testing.plugin"]')
    pytester.makepyfile(USER_TESTS)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q")
    result.assert_outcomes(passed=5)


def test_fixtures_are_not_there_by_themselves(pytester: pytest.Pytester) -> None:
    """The library does not add itself to everybody's pytest."""
    pytester.makepyfile("def test_it(embedded_server): pass")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'embedded_server' not found*"])

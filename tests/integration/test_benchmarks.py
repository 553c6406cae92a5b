"""The benchmark of one watch for all labs, with few labs: it runs, and its counts are right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.plane.control_plane import ControlPlane
from tests.plane.remote import Cluster

ROOT = Path(__file__).resolve().parents[2]
DISASTERS = {
    "silence",
    "a stopped server",
    "kill and restart",
    "expired versions",
    "cut connections",
    "a stopped etcd",
}


def test_counts_of_the_benchmark_are_right(control_plane: Cluster, tmp_path: Path) -> None:
    """Times depend on the machine, but requests, connections, threads and wrong answers do not."""
    if not isinstance(control_plane, ControlPlane):
        pytest.skip("the benchmark starts a control plane of its own")
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.live", "--quick", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    for client in ("floor", "lab_storage", "list and watch in JSON", "SharedInformer"):
        assert 50 == found[client]["known"]
    assert 0 == found["reads"]["requests"]
    assert (1, 1) == (found["waits"]["threads"], found["waits"]["connections"])
    assert 20 == found["latency"]["events"]
    assert set(DISASTERS) == set(found["disasters"])
    for told in found["disasters"].values():
        assert (0, []) == (told["wrong"], told["errors"])
        assert told["reads"] >= 20
    assert found["quiet"]["requests"] <= 24
    assert {"403", "429", "503", "ended at once"} == set(found["refused"])
    for told in found["refused"].values():
        assert 2 <= told["requests"] <= 30
    assert ["403"] == found["refused"]["403"]["statuses"]
    assert (1, 2) == (found["lists"]["live"]["requests"], found["lists"]["plain"]["requests"])
    assert 3 * 50 + 1 == found["lists"]["one by one"]["requests"]
    day = found["day"]
    # Each of the 48 minutes is cut, but for those before the watch is there again.
    assert day["cuts"] >= 24
    assert [50] * 24 == [hour["pods"] for hour in day["hours"]]
    assert (0, 0) == (day["growth"]["threads"], day["growth"]["sockets"])
    assert "not measured" not in done.stdout

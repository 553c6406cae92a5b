"""A storage works on in a child of a fork that ran none of Python's hooks, such as uWSGI's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.plane.programs import ROOT
from tests.support.states import PENDING
from tests.support.villain import Villain, authority, json_answer
from tests.transport.forking_in_c import CALLS, CHILDREN

SCENES = {
    "connections": "TLS connections are not shared",
    "workers": "threads that helped with a call are not there",
    "name": "a name is being looked up",
    "hook": "the hook for credentials is being called",
    "lock": "another thread holds a lock",
}


@pytest.mark.parametrize("scene", SCENES, ids=SCENES.values())
def test_children_and_their_parent_call_side_by_side(scene: str) -> None:
    """Each by connections of its own, without an error or a wait for another's thread."""
    with Villain(json_answer(PENDING), tls=True) as villain:
        host = f"https://localhost:{villain.port}"
        command = [sys.executable, "-m", "tests.transport.forking_in_c"]
        done = subprocess.run(
            [*command, scene, host, str(authority().file)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert 0 == done.returncode, done.stdout + done.stderr
    users = ["parent", *(f"child{number}" for number in range(CHILDREN))]
    connections = [
        {each.connection for each in villain.requests if f"/lab-{user}/" in each.path}
        for user in users
    ]
    assert sum(map(len, connections)) == len(set.union(*connections))
    count = (3 if scene == "workers" else CALLS) * (2 + CHILDREN)
    assert count == len(villain.requests)

"""The library under gevent, as in Celery's pool of greenlets: its sockets cooperate."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.plane.programs import ROOT

pytest.importorskip("gevent", reason="gevent is not installed: extra `programs`")


def test_deadline_and_cancel_hold_in_greenlets() -> None:
    """``test_deadlines.py`` passes where threads are greenlets, server and canceller too."""
    # gevent has to replace what is in the standard library before anything uses it.
    command = [sys.executable, "-m", "gevent.monkey", "--module", "pytest"]
    command += ["-q", "-p", "no:cacheprovider", "--timeout=60", "tests/api/test_deadlines.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_what_is_thrown_into_a_greenlet_leaves_its_call() -> None:
    """A time limit of gevent's, or a kill, by an exception that a socket could raise too."""
    command = [sys.executable, "-m", "gevent.monkey", "--module", "tests.programs.greenlets"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "PodPhase.PENDING" in done.stdout

"""What the kernel says of processes."""

from __future__ import annotations

import subprocess


def process_state(pid: int) -> str:
    """What ps says of a process: ``T`` is stopped, and nothing or ``Z`` is dead."""
    asked = ["ps", "-o", "state=", "-p", str(pid)]
    return subprocess.run(asked, stdout=subprocess.PIPE, text=True).stdout.strip()[:1]

"""What all tests may use."""

from __future__ import annotations

pytest_plugins = [
    "pytester",
    "tests.support.fixtures",
    "tests.support.pauses",
    "tests.plane.plugin",
    "tests.support.recorded",
]

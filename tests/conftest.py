"""What all tests may use."""

from __future__ import annotations

pytest_plugins = ["pytester", "tests.fixtures", "tests.plane.plugin", "tests.recorded"]

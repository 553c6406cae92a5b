"""The test kit stands on its own: what it shared with the library, it could not test."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests.plane.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIT = ROOT / "lab_storage" / "testing"
# Its fixtures are the library, on the kit's server.
MODULES = sorted(set(KIT.rglob("*.py")) - {KIT / "plugin.py"})


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports by their whole name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module)
        elif isinstance(node, ast.ImportFrom):
            # Relative ones stay inside, if they do not climb out of the kit.
            depth = len(path.relative_to(KIT).parts)
            yield "lab_storage.testing" if node.level <= depth else "lab_storage"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(KIT)))
def test_module_imports_nothing_from_the_library(path: Path) -> None:
    """Beside the kit itself, whatever module the library gets."""
    found = [name for name in imported(path) if name.partition(".")[0] == "lab_storage"]

    assert [] == [name for name in found if not name.startswith("lab_storage.testing")]

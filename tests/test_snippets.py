"""The Python on the pages of the documentation passes the strictest checks of types."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.snippets import has_snippets, write_snippets

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
#: What carries no types that a checker can use in every supported version.
STRICT = """[mypy]
strict = True
explicit_package_bases = True
[mypy-kubernetes.*]
follow_imports = skip
[mypy-celery.*,jupyterhub.*,traitlets.*]
ignore_missing_imports = True
"""


#: As an editor has it. Client 37 declares nearly every attribute of a model as optional.
PYRIGHT = {
    "extraPaths": [str(ROOT), str(DOCS / "examples")],
    "typeCheckingMode": "standard",
    "useLibraryCodeForTypes": False,
    "reportMissingModuleSource": False,
    "reportOptionalMemberAccess": False,
}


@pytest.fixture(scope="module")
def snippets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The files of each page that shows any Python, in a folder of the page's own."""
    base = tmp_path_factory.mktemp("snippets")
    written = {}
    for page in filter(has_snippets, PAGES):
        name = page.relative_to(ROOT).as_posix()
        folder = base / name.replace("/", "-").removesuffix(".md")
        folder.mkdir()
        written[name] = write_snippets(page, folder)
    return written


def check(*command: Any, **options: Any) -> str:
    """Run a checker; what it says if it finds anything."""
    done = subprocess.run(
        [str(each) for each in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    return done.stdout if done.returncode else ""


def test_code_of_the_pages_passes_mypy(snippets: dict[str, list[Path]], tmp_path: Path) -> None:
    """In its strict mode, as the library itself."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed; `tox -e typing` has it")
    config = tmp_path / "mypy.ini"
    config.write_text(STRICT)
    environment = {"MYPYPATH": f"{ROOT}:{DOCS / 'examples'}", "MYPY_CACHE_DIR": str(tmp_path)}
    command = (sys.executable, "-m", "mypy", "--config-file", config)
    found = {
        page: check(*command, *files, cwd=files[0].parent, env=environment)
        for page, files in snippets.items()
    }
    assert {} == {page: text for page, text in found.items() if text}


def test_code_of_the_pages_passes_pyright(
    snippets: dict[str, list[Path]],
) -> None:
    """In its standard mode, as in an editor."""
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed; `tox -e typing` has it")
    folder = next(iter(snippets.values()))[0].parents[1]
    # Pages have files of the same names, so each is a program of its own.
    roots = [{"root": files[0].parent.name} for files in snippets.values()]
    settings = {**PYRIGHT, "executionEnvironments": roots}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = (sys.executable, "-m", "pyright", "--pythonpath", sys.executable)
    found = check(*command, cwd=folder, timeout=240)
    assert not found, found

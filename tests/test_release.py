"""A release can be made: what is in it, and that it installs where nothing else is."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

import lab_storage

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lab_storage"
TOOLS = ("build", "setuptools", "twine", "wheel")
# What a package for a distribution is tested by.
SOURCES = ("CHANGELOG.md", "LICENSE", "README.md", "docs/conf.py", "tests/conftest.py", "tox.ini")


def run(*command: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program; what it says is in ``stdout``."""
    return subprocess.run(
        [str(each) for each in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        **options,
    )


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was made from it."""
    missing = [name for name in TOOLS if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; `tox -e release` has them")
    source = tmp_path_factory.mktemp("source") / "lab_storage"
    # Not in place: what an earlier build has left would get into the wheel.
    ignored = shutil.ignore_patterns(".*", "_build", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)
    target = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", target, source)
    assert 0 == done.returncode, done.stdout
    return target


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    """The wheel."""
    (only,) = dist.glob("*.whl")
    return only


def test_wheel_is_the_package_and_nothing_else(wheel: Path) -> None:
    """Each module and file of data is in it; tests, documentation and benchmarks are not."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix in {".py", ".typed", ".yaml"}
    }
    assert files == names


def test_sdist_has_what_tests_need(dist: Path) -> None:
    """Whoever packages it for a distribution can test it and build its documentation."""
    (only,) = dist.glob("*.tar.gz")
    with tarfile.open(only) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert [] == [name for name in SOURCES if name not in names]
    assert [] == [name for name in names if "__pycache__" in name or "docs/_build" in name]


def test_metadata_is_valid(dist: Path, wheel: Path) -> None:
    """An index would take both, and show the README."""
    done = run(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir())
    assert 0 == done.returncode, done.stdout
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = Parser().parsestr(archive.read(path).decode())
    assert lab_storage.__version__ == metadata["Version"]


def test_version_is_in_one_place() -> None:
    """All that needs it reads it from ``_version.py``."""
    pattern = re.compile(rf"""version\w*\s*=\s*["']?{re.escape(lab_storage.__version__)}""")
    places = [*ROOT.glob("*.cfg"), *ROOT.glob("*.py"), ROOT / "docs" / "conf.py"]
    found = [
        path for path in [*places, *PACKAGE.rglob("*.py")] if pattern.search(path.read_text())
    ]
    assert [PACKAGE / "_version.py"] == found


def test_wheel_installs_into_a_bare_environment(wheel: Path, tmp_path: Path) -> None:
    """The library works without any extra; with two of them the README's demo runs."""
    venv.create(tmp_path / "bare", with_pip=True)
    bin_folder = tmp_path / "bare" / "bin"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def install(what: str) -> None:
        done = run(bin_folder / "pip", "install", "--quiet", what, env=environment)
        if done.returncode and "CI" not in os.environ and "NewConnectionError" in done.stdout:
            pytest.skip("no package index can be reached")
        assert 0 == done.returncode, done.stdout

    def outcome(*command: str) -> tuple[int, str]:
        done = run(bin_folder / command[0], *command[1:], env=environment, cwd=tmp_path)
        return done.returncode, done.stdout

    install(str(wheel))
    program = "import lab_storage; print(lab_storage.__version__, lab_storage.LabStorage.__name__)"
    assert (0, f"{lab_storage.__version__} LabStorage\n") == outcome("python", "-c", program)
    code, said = outcome("lab-storage", "demo")
    assert (2, 'lab-storage: install its extra "cli"') == (code, said.partition(": pip")[0])

    install(f"{wheel}[cli,testing]")
    code, said = outcome("lab-storage", "demo")
    assert 0 == code, said

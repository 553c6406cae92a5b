"""What CONTRIBUTING.md asks of this repository's files is kept."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEST_MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py"))
#: The dotted name of a test module, or of something in it.
TEST_MODULE = re.compile(r"(^tests|^)(\.\w+)*\.?test_\w+")


def functions_that_test(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """Yield the tests of a module, those in classes too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


def modules_imported(tree: ast.AST) -> Iterator[str]:
    """Yield the name of each module that is imported, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_sentence(text: str) -> bool:
    """Whether a paragraph begins and ends like a sentence, and has more than two words."""
    return text[:1].islower() is False and text.endswith((".", "?")) and len(text.split()) > 2


@pytest.mark.parametrize("module", TEST_MODULES, ids=str)
def test_no_test_module_imports_another(module: Path) -> None:
    """What several of them need is in tests/support."""
    imported = modules_imported(ast.parse((ROOT / module).read_text()))
    assert [] == [name for name in imported if TEST_MODULE.search(name)]


@pytest.mark.parametrize("module", TEST_MODULES, ids=str)
def test_every_test_says_what_holds(module: Path) -> None:
    """Its docstring is a sentence."""
    paragraphs = {
        test.name: (ast.get_docstring(test) or "").partition("\n\n")[0]
        for test in functions_that_test(ast.parse((ROOT / module).read_text()))
    }
    assert {} == {name: text for name, text in paragraphs.items() if not is_sentence(text)}


def requirements(text: str) -> dict[str, str]:
    """Give the version of each requirement in a list: the lowest, or the only one."""
    return dict(re.findall(r"^(?:\w+: )?(\w+)[>=]=([\d.]+)", text, re.MULTILINE))


def padded(version: str) -> tuple[int, ...]:
    """Give the numbers of a version, three of them."""
    return tuple([*map(int, version.split(".")), 0, 0][:3])


def test_lowest_versions_are_tested() -> None:
    """What setup.cfg allows at least is what tox installs in ``lowest``."""
    config = configparser.ConfigParser(interpolation=None)
    config.read([ROOT / "setup.cfg", ROOT / "tox.ini"])
    allowed = requirements(config["options"]["install_requires"].strip())
    pinned = [
        line for line in config["testenv"]["deps"].splitlines() if line.startswith("lowest: ")
    ]
    tested = requirements("\n".join(pinned))
    assert {name: padded(version) for name, version in allowed.items()} == {
        name: padded(version) for name, version in tested.items()
    }


LOG = """
k8s36: commands[0]> pytest
======================== 20 passed, 1 skipped in 3.50s =========================
================== 100 passed, 2 rerun in 61.25s (0:01:01) ===================
  lowest: OK (123.45=setup[1.0]+cmd[2.0] seconds)
"""


@pytest.mark.parametrize(("more", "is_failure"), [(0, 0), (1, 0), (2, 1)])
def test_ci_sums_up_and_fails_after_too_many_reruns(
    tmp_path: Path, more: int, is_failure: int
) -> None:
    """Three tests may be run again in all of CI, and not a fourth."""
    log = tmp_path / "log"
    log.write_text(LOG + (f"==== 1 passed, {more} rerun in 1.00s ====\n" if more else ""))
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "summary.py", log], stdout=subprocess.PIPE, text=True
    )
    assert is_failure == done.returncode
    expected = (
        f"{120 + bool(more)} passed, 1 skipped, {2 + more} rerun in {64.75 + bool(more):.2f}s"
    )
    assert expected == done.stdout.splitlines()[-1].strip("= ")


def layers() -> list[set[str]]:
    """Give the layers that ``lint-imports`` checks, from above."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    lines = config["importlinter:contract:layers"]["layers"].split("\n")
    return [set(re.findall(r"lab_storage\.(\w+)", line)) for line in lines if line]


def test_page_about_layers_names_those_that_are_checked() -> None:
    """The table in the documentation is that of setup.cfg, and CONTRIBUTING.md has none."""
    page = (ROOT / "docs" / "explanation" / "house.md").read_text()
    rows = page.partition("| layer |")[2].partition("\n\n")[0].splitlines()[2:]
    assert layers() == [set(re.findall(r"`(\w+)`", row.split("|")[1])) for row in rows]


def test_files_to_open_exist() -> None:
    """Each answer of CONTRIBUTING.md's table "To change this, open that" is one file."""
    section = (
        (ROOT / "CONTRIBUTING.md").read_text().partition("open that\n")[2].partition("\n## ")[0]
    )
    answers = [row.split("|")[2].strip() for row in re.findall(r"^\|.*`.*", section, re.MULTILINE)]
    assert 9 <= len(answers)
    assert [] == [each for each in answers if not (ROOT / each.strip("`")).is_file()]


def test_files_that_documents_name_exist() -> None:
    """What a page says of a module of the library, it says of one that is there."""
    for page in (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "explanation" / "house.md"):
        named = re.findall(r"`((?:lab_storage/)?_\w+/[\w/]+\.py)`", page.read_text())
        paths = [ROOT / "lab_storage" / name.removeprefix("lab_storage/") for name in named]
        assert [] == [path for path in paths if not path.is_file()]

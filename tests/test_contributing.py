"""What CONTRIBUTING.md asks of this repository's files is kept."""

from __future__ import annotations

import ast
import re
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

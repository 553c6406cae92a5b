"""The Python of the documentation as files, one a page, for checkers of types."""

from __future__ import annotations

import re
from pathlib import Path

_BLOCK = re.compile(
    r"^(?P<indent> *)(?:```python\n|<!-- invisible-code-block: python\n)(?P<code>.*?)"
    r"^(?P=indent)(?:```|-->)$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"# ([\w/]+\.py)\n")


def has_snippets(page: Path) -> bool:
    """Whether a reader of a page sees any Python on it."""
    return re.search(r"^ *```python$", page.read_text(), re.MULTILINE) is not None


def write_snippets(page: Path, folder: Path) -> list[Path]:
    """Write what a page has of Python into a folder, as far as a reader sees it or runs it.

    Lines stay where they are on the page. A block that begins with the name of a file goes into
    that file.
    """
    text = page.read_text()
    lines: list[str] = []
    written = []
    for block in _BLOCK.finditer(text):
        indent = block["indent"]
        code = re.sub(rf"^{indent}", "", block["code"], flags=re.MULTILINE)
        file = _FILE.match(code)
        if file is not None:
            path = folder / file[1]
            path.write_text(code)
            written.append(path)
            continue
        before = text.count("\n", 0, block.start("code"))
        lines += [""] * (before - len(lines))
        lines += code.splitlines()
    if lines:
        path = folder / f"{page.stem.replace('-', '_')}_page.py"
        path.write_text("\n".join(lines) + "\n")
        written.append(path)
    return written

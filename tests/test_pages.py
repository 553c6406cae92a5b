"""Each page of the built documentation can be read, in windows wide and narrow, light and dark."""

from __future__ import annotations

import importlib.util
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.browser import find_chromium, look

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
WIDTHS = (1280, 500, 360)
# Sphinx's own, without any prose.
INDEXES = {"genindex.html", "py-modindex.html", "search.html"}


@pytest.fixture(scope="session")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, built; `tox -e docs` has done that already."""
    built = os.environ.get("LAB_STORAGE_HTML")
    if built:
        return Path(built)
    if importlib.util.find_spec("sphinx") is None:
        pytest.skip("Sphinx is not installed: extra `docs`")
    target = tmp_path_factory.mktemp("html")
    subprocess.run([sys.executable, "-m", "sphinx", "-q", "-b", "html", DOCS, target], check=True)
    return target


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser."""
    found = find_chromium()
    if found is None:
        assert "CI" not in os.environ, ".ci/run installs Chromium"
        pytest.skip("Chromium is not installed: Debian's package `chromium`")
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_text_is_cut_and_no_prose_scrolls_sideways(
    html: Path, chromium: str, tmp_path: Path, dark: bool
) -> None:
    """Nor does a picture have text on text, on a line, or in a colour that is hardly seen."""
    pages = sorted(path.relative_to(html).as_posix() for path in html.rglob("*.html"))
    pages = [page for page in pages if page not in INDEXES]
    pictures = sorted(path.relative_to(html).as_posix() for path in html.rglob("_images/*.svg"))
    assert pages
    assert pictures
    seen = look(html, chromium, tmp_path, pages=pages, pictures=pictures, widths=WIDTHS, dark=dark)
    assert not seen["findings"], "\n".join(seen["findings"])
    assert (dark, len(pages) * len(WIDTHS) + len(pictures)) == (seen["dark"], seen["looked"])


BROKEN_PAGE = """<!doctype html><article style="width: 100px">
<h1>Incomprehensibilities</h1><p style="overflow: hidden; white-space: nowrap">This is cut off.</p>
<p style="overflow: auto; white-space: nowrap">This has to be scrolled.</p>
<div style="width: 3000px">x</div></article><style>h1 { overflow-wrap: anywhere }</style>"""
BROKEN_PICTURE = """<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100">
<rect width="200" height="100" fill="#ffffff"/><text x="150" y="20">far too long</text>
<text x="10" y="50">one</text><text x="12" y="50">other</text>
<text x="10" y="80">crossed</text><path d="M0 76 H100" stroke="#000000"/>
<text x="100" y="95" fill="#dddddd">faint</text></svg>"""


def test_what_a_reader_stumbles_over_is_found(chromium: str, tmp_path: Path) -> None:
    """The test above would fail."""
    folder = tmp_path / "html"
    folder.mkdir()
    (folder / "page.html").write_text(BROKEN_PAGE)
    (folder / "picture.svg").write_text(BROKEN_PICTURE)
    seen = look(
        folder, chromium, tmp_path / "profile", pages=["page.html"], pictures=["picture.svg"],
        widths=[500], dark=False,
    )  # fmt: skip
    found = "\n".join(seen["findings"])
    assert [] == [
        text
        for text in (
            "the page scrolls sideways",
            "“This is cut off.” is cut",
            "“This has to be scrolled.” scrolls",
            "“Incomprehensibilities” is broken",
            "“far too long” leaves the picture",
            "“one” lies on text “other”",
            "a line crosses text “crossed”",
            "“faint” has a contrast of 1",
        )
        if text not in found
    ]


def test_pictures_are_as_they_are_drawn() -> None:
    """``python docs/draw.py`` would write what is there."""
    drawn = runpy.run_path(str(DOCS / "draw.py"))["PICTURES"]
    assert {f"{name}.svg" for name in drawn} == {
        path.name for path in (DOCS / "pictures").iterdir()
    }
    assert [] == [
        name
        for name, draw in drawn.items()
        if draw().svg() != (DOCS / "pictures" / f"{name}.svg").read_text()
    ]

"""Record what ``lab-storage demo`` shows on a terminal: ``docs/demo.svg``.

It runs the real program in a pseudo-terminal and takes pictures of the screen on the way. The
SVG shows them one after another, in real time and without end; where nothing may move, and in
viewers that know no animation, it shows the last. It loads nothing, fonts neither.
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import re
import select
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from string import hexdigits
from time import monotonic

import attrs
import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

COMMAND = "lab-storage demo"
TARGET = Path(__file__).with_name("demo.svg")
COLUMNS = 100
ROWS = 40
# Between two pictures: fewer are not fluent, more are too much to load.
GAP_SECONDS = 0.2
# A screen is whole when nothing more has come for so long.
QUIET_SECONDS = 0.03
# How long the last picture stays.
HOLD_SECONDS = 8.0
# pyte's names of colours that are not rich's.
COLOURS = {"brown": "yellow", "default": None}

# Of rich's parts of a picture, those that are asked for, and what cannot be in them.
SEPARATOR = "\x00"
PARTS = ("styles", "chrome", "backgrounds", "matrix", "width", "height", "char_width")
GEOMETRY = ("terminal_x", "terminal_y", "terminal_width", "terminal_height")
FORMAT = SEPARATOR.join("{" + part + "}" for part in (*PARTS, *GEOMETRY))
# What rich makes of a run of characters in one style.
RUN = re.compile(
    r'<text class="(?P<style>[^"]*)" x="(?P<x>[^"]*)" y="(?P<y>[^"]*)"'
    r' textLength="(?P<length>[^"]*)" clip-path="[^"]*">'
    r"(?P<before>(?:&#160;)*)(?P<text>.*?)(?P<after>(?:&#160;)*)\n?</text>",
)

DOCUMENT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
  aria-label="A recording of the terminal: {command}">
<style>
text {{ font: 20px "DejaVu Sans Mono", Menlo, Consolas, "Liberation Mono", monospace;
  white-space: pre; }}
[class$="-title"] {{ font: bold 18px sans-serif; }}
.picture {{ visibility: hidden; }}
.picture:last-of-type {{ visibility: visible; }}
@media not (prefers-reduced-motion: reduce) {{
.picture {{ animation-duration: {seconds:.2f}s; animation-iteration-count: infinite;
  animation-timing-function: step-end; }}
{animations}
}}
{styles}
</style>
<clipPath id="screen"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#screen)">
{pictures}
</g>
</svg>
"""


@attrs.frozen
class Picture:
    """The screen at a moment, in seconds from the start."""

    at: float
    lines: list[Text]


def record() -> list[Picture]:
    """Run the program, and take pictures of its screen until it has ended."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    stream.feed(f"\x1b[1m$ {COMMAND}\x1b[0m\r\n".encode())
    master, slave = pty.openpty()
    environment = {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    program = subprocess.Popen(
        [sys.executable, "-m", "lab_storage", "demo"],
        env={**os.environ, **environment},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    pictures = [Picture(0.0, picture_of(screen))]
    # The time that the interpreter takes to start is nothing to look at.
    begin: float | None = None
    while chunk := read(master):
        begin = begin or monotonic()
        stream.feed(chunk)
        is_due = monotonic() - begin >= pictures[-1].at + GAP_SECONDS
        if is_due and not select.select([master], [], [], QUIET_SECONDS)[0]:
            pictures.append(Picture(monotonic() - begin, picture_of(screen)))
    os.close(master)
    if program.wait() != 0:
        sys.exit(f"{COMMAND} ended with {program.returncode}:\n" + "\n".join(screen.display))
    pictures.append(Picture(monotonic() - (begin or monotonic()), picture_of(screen)))
    return pictures


def read(master: int) -> bytes:
    """Read what the program has written; nothing once it has ended."""
    try:
        return os.read(master, 1 << 16)
    except OSError:
        # Linux says EIO of a terminal that nobody has open any more.
        return b""


def picture_of(screen: pyte.Screen) -> list[Text]:
    """The screen's lines with their colours, without the blanks at their ends."""
    lines = []
    for row in range(screen.lines):
        cells = [screen.buffer[row][column] for column in range(screen.columns)]
        line = Text()
        for style, run in groupby(cells, key=style_of):
            line.append("".join(cell.data for cell in run), style)
        line.rstrip()
        lines.append(line)
    return lines


def style_of(cell: pyte.screens.Char) -> Style:
    """What rich calls the style of a cell."""
    if cell.data == " ":
        return Style.null()
    colour = COLOURS.get(cell.fg, cell.fg.replace("bright", "bright_"))
    if cell.fg not in COLOURS and set(cell.fg) <= set(hexdigits):
        colour = f"#{cell.fg}"
    return Style(color=colour, bold=cell.bold or None)


def draw(pictures: list[Picture]) -> str:
    """Make an SVG of the pictures."""
    height = 1 + max(
        row for each in pictures for row, line in enumerate(each.lines) if line.plain.strip()
    )
    seconds = pictures[-1].at + HOLD_SECONDS
    ends = [picture.at for picture in pictures[1:]] + [seconds]
    groups, styles, animations = [], [], []
    parts: dict[str, str] = {}
    for number, (picture, end) in enumerate(zip(pictures, ends, strict=True)):
        name = f"p{number}"
        parts = parts_of(picture.lines[:height], name)
        styles.append(parts["styles"])
        groups.append(
            f'<g class="picture" style="animation-name: {name}">'
            f"{parts['backgrounds']}{parts['matrix']}</g>"
        )
        animations.append(
            f"@keyframes {name} {{ 0% {{ visibility: hidden; }} "
            f"{100 * picture.at / seconds:.2f}% {{ visibility: visible; }} "
            f"{100 * end / seconds:.2f}% {{ visibility: hidden; }} }}"
        )
    return DOCUMENT.format(
        command=COMMAND,
        seconds=seconds,
        animations="\n".join(animations),
        styles="\n".join(styles),
        pictures="\n".join(groups),
        **{name: parts[name] for name in ("width", "height", "chrome", *GEOMETRY)},
    )


def parts_of(lines: list[Text], name: str) -> dict[str, str]:
    """Have rich draw a picture, and give the parts of its SVG."""
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    for line in lines:
        console.print(line, no_wrap=True, overflow="ignore", crop=True)
    svg = console.export_svg(title=COMMAND, unique_id=name, code_format=FORMAT)
    parts = dict(zip((*PARTS, *GEOMETRY), svg.split(SEPARATOR), strict=True))
    width = float(parts["char_width"])
    parts["matrix"] = RUN.sub(lambda run: without_blanks(run, width), parts["matrix"])
    return parts


def without_blanks(run: re.Match[str], width: float) -> str:
    """Begin a run of characters where its first is: some viewers leave out blanks.

    It is not clipped to its line: none is longer than the screen.
    """
    if not run["text"]:
        return ""
    before, after = (len(run[name]) // len("&#160;") for name in ("before", "after"))
    return (
        f'<text class="{run["style"]}" x="{float(run["x"]) + width * before:g}" y="{run["y"]}"'
        f' textLength="{float(run["length"]) - width * (before + after):g}">'
        f"{run['text']}</text>"
    ).replace("&#160;", "\u00a0")


def main() -> None:
    """Record, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path, nargs="?", default=TARGET)
    target: Path = parser.parse_args().target
    pictures = record()
    target.write_text(draw(pictures), encoding="utf-8")
    print(f"{target}: {len(pictures)} pictures in {pictures[-1].at:.1f} s")


if __name__ == "__main__":
    main()

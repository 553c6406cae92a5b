"""Record what ``lab-storage`` shows on a terminal: ``docs/demo.svg``.

With ``--node`` it is labs whose containers run on a real node, where one can run:
``docs/node.svg``. It runs the real program in a pseudo-terminal and takes pictures of the screen
on the way. The SVG shows them one after another, in real time and without end; where nothing may
move, and in viewers that know no animation, it shows the last. It loads nothing, fonts neither.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
from itertools import groupby
from pathlib import Path
from string import hexdigits
from time import monotonic

import attrs
import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

DOCS = Path(__file__).parent
# A lab that starts, one that does not, and their end.
NODE_SCRIPT = """\
lab-storage create -f lab.yaml
lab-storage wait -f lab.yaml
lab-storage create -f broken.yaml
lab-storage why -f broken.yaml
lab-storage list --prefix lab-
lab-storage delete-namespace -n lab-jovyan
"""
NODE_LAB = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: lab-env, namespace: lab-jovyan}
data: {SIZE: small}
---
apiVersion: v1
kind: Pod
metadata: {name: lab, namespace: lab-jovyan}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: notebook, image: IMAGE, imagePullPolicy: IfNotPresent, COMMAND}]
"""
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


def record(script: str, **environment: str) -> list[Picture]:
    """Run a script's commands, and take pictures of the screen until they have ended."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    master, slave = pty.openpty()
    environment |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    # Each as it would be typed, and then as it is run. That of a broken lab fails.
    lines = [f"lab-storage() {{ '{sys.executable}' -m lab_storage \"$@\"; }}"]
    for command in script.splitlines():
        lines += [f"printf '\\033[1m$ %s\\033[0m\\n' '{command}'", f"{command} || failed=1"]
    program = subprocess.Popen(
        ["bash", "-c", "\n".join(lines)],
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
    program.wait()
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


def draw(pictures: list[Picture], title: str) -> str:
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
        parts = parts_of(picture.lines[:height], name, title)
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
        command=title,
        seconds=seconds,
        animations="\n".join(animations),
        styles="\n".join(styles),
        pictures="\n".join(groups),
        **{name: parts[name] for name in ("width", "height", "chrome", *GEOMETRY)},
    )


def parts_of(lines: list[Text], name: str, title: str) -> dict[str, str]:
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
    svg = console.export_svg(title=title, unique_id=name, code_format=FORMAT)
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


def record_node() -> list[Picture]:
    """Record labs on a real node: one that starts, and one whose Secret is missing."""
    sys.path.insert(0, str(DOCS.parent))
    from tests.plane.assets import find_assets
    from tests.plane.control_plane import ControlPlane
    from tests.plane.node_image import IDLE

    lab = NODE_LAB.replace("IMAGE", IDLE)
    runs = lab.replace("COMMAND", 'command: [sleep, "1000"]')
    secret = "envFrom: [{secretRef: {name: missing}}]"
    broken = lab.replace("COMMAND", f'command: [sleep, "1000"], {secret}')
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        ControlPlane(find_assets(), real_node=True) as plane,
    ):
        Path("lab.yaml").write_text(runs)
        Path("broken.yaml").write_text(broken.replace("jovyan", "broken"))
        return record(NODE_SCRIPT, KUBECONFIG=str(plane.kubeconfig("admin")))


def main() -> None:
    """Record, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--node", action="store_true", help="a lab on a real node")
    is_node = parser.parse_args().node
    pictures = record_node() if is_node else record("lab-storage demo")
    target = DOCS / ("node.svg" if is_node else "demo.svg")
    title = "Labs on a real node" if is_node else "lab-storage demo"
    target.write_text(draw(pictures, title), encoding="utf-8")
    print(f"{target}: {len(pictures)} pictures in {pictures[-1].at:.1f} s")


if __name__ == "__main__":
    main()

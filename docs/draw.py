"""Draws the pictures of the documentation: ``python docs/draw.py`` writes ``docs/pictures``.

They are readable in light and in dark, load nothing, and say in a title and a description what
they show.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parent / "pictures"
BENCHMARKS = FOLDER.with_name("benchmarks.md")
LIVE = FOLDER.with_name("guides") / "live.md"

STYLE = """\
svg { --ink: #1f2937; --soft: #4b5563; --paper: #ffffff; --line: #4b5563; --box: #e3f2f5;
  --edge: #0b7285; --accent: #0b6273; --note: #fff4d6; --note-edge: #b58100; --bad: #b42318 }
@media (prefers-color-scheme: dark) { svg { --ink: #e5e7eb; --soft: #b6bcc6; --paper: #131416;
  --line: #9ca3af; --box: #12343b; --edge: #4fb3c8; --accent: #7fd0e0; --note: #3a2f10;
  --note-edge: #d9a400; --bad: #ff8a80 } }
text { font: 13px ui-sans-serif, system-ui, sans-serif; fill: var(--ink) }
.code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 12px }
.strong { font-weight: 600 }
.soft { fill: var(--soft) }
.accent { fill: var(--accent); font-weight: 600 }
.bad { fill: var(--bad) }
.paper { fill: var(--paper) }
.box { fill: var(--box); stroke: var(--edge) }
.note { fill: var(--note); stroke: var(--note-edge) }
.other { fill: var(--line); opacity: 0.45 }
.frame { fill: none; stroke: var(--line); stroke-dasharray: 5 4 }
.line { stroke: var(--line); fill: none; stroke-width: 1.4 }
.life { stroke: var(--line); stroke-width: 1; opacity: 0.6 }
.head { fill: var(--line) }
/* What is written across lines, on paper. */
.halo { paint-order: stroke; stroke: var(--paper); stroke-width: 5px; stroke-linejoin: round }
.cross { stroke: var(--bad); stroke-width: 2; fill: none }"""


class Picture:
    """A picture that is being drawn; all lengths are pixels."""

    def __init__(self, title: str, description: str, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._parts = [
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="desc">{escape(description)}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{width}" height="{height}" rx="8"/>',
        ]

    def svg(self) -> str:
        """What has been drawn."""
        size = f'viewBox="0 0 {self.width} {self.height}" width="{self.width}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} height="{self.height}" role="img"'
        return "\n".join([f'{head} aria-labelledby="title desc">', *self._parts, "</svg>\n"])

    def text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
        """Write a line; ``y`` is its base line."""
        kind = f' class="{kind}"' if kind else ""
        anchor = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._parts.append(f'<text x="{x:g}" y="{y:g}"{anchor}{kind}>{escape(text)}</text>')

    def rectangle(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """Draw a box without text."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4"'
            f' class="{kind}"/>'
        )

    def box(
        self, x: float, y: float, width: float, height: float, *lines: str, kind: str = "box"
    ) -> None:
        """Draw a box; its first line is a heading, one in backquotes is code."""
        self.rectangle(x, y, width, height, kind)
        first = y + height / 2 - 9 * (len(lines) - 1) + 4.5
        for number, line in enumerate(lines):
            style = "code" if line.startswith("`") else "" if number else "strong"
            self.text(x + width / 2, first + 18 * number, line.strip("`"), style, "middle")

    def arrow(self, *points: tuple[float, float], dashed: bool = False) -> None:
        """Draw a line along points, the last step of which is straight, with a head."""
        (x0, y0), (x, y) = points[-2:]
        path = "M" + " L".join(f"{px:g} {py:g}" for px, py in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(f'<path d="{path}" class="line"{dash}/>')
        if y == y0:
            back = x - 9 if x > x0 else x + 9
            head = f"M{back:g} {y - 4.5:g} L{x:g} {y:g} L{back:g} {y + 4.5:g} Z"
        else:
            back = y - 9 if y > y0 else y + 9
            head = f"M{x - 4.5:g} {back:g} L{x:g} {y:g} L{x + 4.5:g} {back:g} Z"
        self._parts.append(f'<path d="{head}" class="head"/>')

    def line(self, x0: float, y0: float, x1: float, y1: float, kind: str = "line") -> None:
        """Draw a line without a head."""
        self._parts.append(f'<path d="M{x0:g} {y0:g} L{x1:g} {y1:g}" class="{kind}"/>')

    def cross(self, x: float, y: float) -> None:
        """Mark an end."""
        self._parts.append(f'<path d="M{x - 6:g} {y - 6:g} l12 12 m0 -12 l-12 12" class="cross"/>')

    def message(self, x0: float, x1: float, y: float, text: str, *, dashed: bool = False) -> None:
        """Draw an arrow between two lifelines, with its text above."""
        self.text((x0 + x1) / 2, y - 6, text, "halo", "middle")
        self.arrow((x0, y), (x1, y), dashed=dashed)


def where() -> Picture:
    """Where the library sits."""
    picture = Picture(
        "Where lab_storage sits",
        "A JupyterHub, a Celery worker or your own program calls LabStorage, in the same process."
        " It asks the API server, which has the lab's pod run on a node.",
        780,
        232,
    )
    picture.rectangle(12, 34, 416, 186, "frame")
    picture.text(24, 24, "your process", "soft")
    for number, (name, caller) in enumerate(
        [("JupyterHub", "`LabSpawner`"), ("Celery worker", "`LabTask`"), ("Your program", "")]
    ):
        y = 48 + 56 * number
        picture.box(28, y, 140, 46, *[line for line in (name, caller) if line])
        picture.arrow((168, y + 23), (206, y + 23), (206, 127), (240, 127))
    picture.box(240, 82, 172, 90, "LabStorage", "deadlines, retries,", "watches, clean errors")
    picture.arrow((412, 127), (500, 127))
    picture.text(464, 118, "HTTPS", "soft", "middle")
    picture.box(500, 92, 118, 70, "API server", "the cluster's", "objects")
    picture.arrow((618, 127), (664, 127))
    picture.box(664, 92, 104, 70, "Node", "the lab's pod")
    return picture


def objects() -> Picture:
    """The objects of a lab."""
    picture = Picture(
        "The objects of a lab, and which name refers to which",
        "LabObjectNames has five names. Namespace, env_config_map, quota and pod are the names of"
        " the lab's namespace, config map, quota and pod. The pod refers to the other objects.",
        780,
        420,
    )
    picture.text(12, 24, "LabObjectNames", "strong")
    picture.rectangle(262, 34, 506, 374, "frame")
    picture.text(278, 58, "Namespace lab-jovyan", "strong")
    for y, name, value in (
        (53, "namespace", "lab-jovyan"),
        (108, "env_config_map", "lab-env"),
        (186, "quota", "lab-quota"),
        (290, "pod", "lab"),
    ):
        picture.text(12, y, name, "code")
        picture.text(12, y + 17, f'"{value}"', "code soft")
        picture.arrow((136, y - 4), (262 if name == "namespace" else 280, y - 4))
    picture.text(12, 368, "username", "code")
    picture.text(12, 385, '"jovyan"', "code soft")
    picture.text(96, 385, "for messages only", "soft")
    picture.box(280, 80, 150, 58, "ConfigMap lab-env", "its environment")
    picture.box(448, 80, 148, 58, "ConfigMaps", "files")
    picture.box(614, 80, 138, 58, "Secrets", "tokens, keys")
    picture.box(280, 158, 150, 58, "ResourceQuota", "what it may use")
    picture.box(448, 158, 148, 58, "Volume claims", "disks")
    picture.box(614, 158, 138, 58, "Others", "of any kind")
    picture.box(
        280,
        246,
        472,
        78,
        "Pod lab",
        "refers to config maps, Secrets and claims by name;",
        "the quota counts what it asks for",
    )
    picture.box(280, 354, 226, 40, "NetworkPolicy")
    picture.box(526, 354, 226, 40, "Service")
    picture.arrow((393, 354), (393, 324))
    picture.arrow((639, 354), (639, 324))
    picture.text(516, 345, "by its labels", "soft", "middle")
    return picture


def shapes() -> Picture:
    """Where labs live."""
    picture = Picture(
        "Where labs live",
        "On the left each lab has a namespace of its own, which goes with everything in it. On the"
        " right all labs share a namespace; a claim stays there when its lab is stopped.",
        780,
        250,
    )
    picture.text(14, 26, "A namespace for each lab", "strong")
    for x, user in ((14, "ada"), (198, "grace")):
        picture.rectangle(x, 40, 170, 158, "frame")
        picture.text(x + 12, 62, f"lab-{user}", "code")
        picture.box(x + 12, 74, 146, 34, "Pod lab")
        picture.box(x + 12, 114, 146, 34, "Secrets, quota, …")
        picture.box(x + 12, 154, 146, 34, "Volume claim")
    picture.text(14, 222, "delete_namespace:", "code")
    picture.text(14, 240, "everything goes", "soft")
    picture.text(410, 26, "One namespace for all labs", "strong")
    picture.rectangle(410, 40, 356, 158, "frame")
    picture.text(422, 62, "notebooks", "code")
    for x, user, kind in ((422, "ada", "other"), (598, "grace", "box")):
        stopped = kind == "other"
        if stopped:
            picture.rectangle(x, 74, 156, 74, "frame")
            picture.text(x + 78, 116, "stopped", "soft", "middle")
        else:
            picture.box(x, 74, 156, 34, f"Pod lab-{user}")
            picture.box(x, 114, 156, 34, "Secrets, …")
        picture.box(x, 154, 156, 34, f"Claim claim-{user}")
    picture.text(410, 222, "delete_objects, keeping claims:", "code")
    picture.text(410, 240, "the claim stays, and the next start uses it", "soft")
    return picture


def timeout() -> Picture:
    """The life of a Timeout."""
    picture = Picture(
        "The life of a Timeout and of its parts",
        "A Timeout of 120 s bounds create and wait_for_pod_start. A part of 60 s for the events is"
        " cancelled alone. A part of 60 s that is made late ends with the whole.",
        780,
        330,
    )
    left, right = 200, 740
    scale = (right - left) / 120

    def at(seconds: float) -> float:
        return left + scale * seconds

    for seconds in (0, 30, 60, 90, 120):
        picture.line(at(seconds), 40, at(seconds), 290, "life")
        picture.text(at(seconds), 308, f"{seconds} s", "soft", "middle")
    picture.text(at(120), 24, "deadline", "accent", "middle")
    picture.text(12, 66, "Timeout(…, 120 s)", "code")
    picture.rectangle(at(0), 48, at(120) - at(0), 28, "box")
    picture.text(at(60), 67, "every call that it is given to ends by then", anchor="middle")
    picture.text(12, 116, "create", "code")
    picture.rectangle(at(0), 98, at(8) - at(0), 28, "box")
    picture.text(at(8) + 8, 117, "returned after 8 s", "halo")
    picture.text(12, 156, "wait_for_pod_start", "code")
    picture.rectangle(at(8), 138, at(70) - at(8), 28, "box")
    picture.text(at(39), 157, "has the 112 s that are left", anchor="middle")
    picture.text(12, 196, "partial(60 s)", "code")
    picture.rectangle(at(8), 178, at(52) - at(8), 28, "box")
    picture.text(at(30), 197, "watch_pod_events", "code", "middle")
    picture.cross(at(52), 192)
    picture.text(at(52) + 14, 197, "cancel() ends this part alone", "bad halo")
    picture.text(12, 236, "partial(60 s)", "code")
    picture.rectangle(at(84), 218, at(120) - at(84), 28, "box")
    picture.text(at(102), 237, "36 s, not 60", anchor="middle")
    picture.text(at(84) - 8, 237, "a part that is made late ends with the whole", "halo", "end")
    picture.text(12, 276, "cancel() of the whole", "code")
    picture.text(
        at(0) + 8, 277, "ends all of its calls, and those of its parts, within 0.25 s", "halo"
    )
    return picture


def redelivery() -> Picture:
    """A Celery task that is killed."""
    broker, first, second, server = 70, 270, 470, 690
    picture = Picture(
        "A Celery task that is killed and delivered again",
        "The first process makes the namespace and the config map, and is killed. The broker"
        " delivers the task again under the same id. The second process finds that this operation"
        " has made the namespace, makes the rest, and acknowledges the task.",
        780,
        520,
    )
    for x, name, width in (
        (broker, "broker", 90),
        (first, "process 1", 110),
        (second, "process 2", 110),
        (server, "API server", 116),
    ):
        picture.line(x, 42, x, 508, "life")
        picture.rectangle(x - width / 2, 12, width, 30, "box")
        picture.text(x, 32, name, "strong", "middle")
    picture.message(broker, first, 76, "task 7f3a")
    picture.message(first, server, 112, "create Namespace, as operation 7f3a")
    picture.message(first, server, 148, "create ConfigMap lab-env")
    picture.cross(first, 176)
    picture.text(first + 16, 181, "killed: no answer, no acknowledgement", "bad halo")
    picture.message(broker, second, 222, "task 7f3a again")
    picture.message(second, server, 258, "create Namespace")
    picture.message(server, second, 294, "409: exists", dashed=True)
    picture.message(second, server, 330, "who made it?")
    picture.message(server, second, 366, "operation 7f3a", dashed=True)
    picture.rectangle(second - 104, 382, 208, 30, "note")
    picture.text(second, 402, "mine: it counts as made", anchor="middle")
    picture.message(second, server, 446, "create the rest, the pod last")
    picture.message(second, broker, 486, "done: acknowledged", dashed=True)
    return picture


def pod_states() -> Picture:
    """What a wait for a pod's start returns."""
    picture = Picture(
        "The states of a pod, and what wait_for_pod_start returns",
        "While a pod is Pending or Unknown, the wait goes on. Running, Succeeded and Failed are"
        " returned. A pod that is deleted gives None. A reason in fail_fast, the deadline and a"
        " cancel raise.",
        780,
        430,
    )
    picture.text(12, 24, "what happens to the pod", "soft")
    picture.text(470, 24, "what wait_for_pod_start does", "soft")
    picture.box(
        12, 150, 180, 116, "Pending, Unknown", "scheduling, volumes,", "images, init", "containers"
    )
    picture.text(102, 288, "the wait goes on", "soft", "middle")
    rows = [
        ("Running", "`returns PodPhase.RUNNING`", "box"),
        ("Succeeded", "`returns PodPhase.SUCCEEDED`", "box"),
        ("Failed", "`returns PodPhase.FAILED`", "box"),
        ("deleted, or none exists", "`returns None`", "box"),
        ("waits, reason in fail_fast", "`raises PodStartError`", "note"),
        ("the deadline comes", "`raises OperationTimeoutError`", "note"),
        ("somebody cancels", "`raises OperationCancelledError`", "note"),
    ]
    for number, (state, outcome, kind) in enumerate(rows):
        y = 40 + 54 * number
        picture.arrow((192, 208), (214, 208), (214, y + 20), (240, y + 20))
        picture.box(240, y, 206, 40, state, kind=kind)
        picture.arrow((446, y + 20), (470, y + 20))
        picture.text(478, y + 25, outcome.strip("`"), "code")
    return picture


def rows_of(page: str, *head: str) -> list[list[str]]:
    """Give the cells of the table of a page whose head begins with these."""
    begin = re.search(r"^\|" + "".join(rf" {each} *\|" for each in head), page, re.MULTILINE)
    if begin is None:
        raise ValueError(f"no table of {head}")
    table = page[begin.start() :].partition("\n\n")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]
    ]


def goals() -> Picture:
    """What the benchmark takes of what each goal allows."""
    rows = rows_of(BENCHMARKS.read_text(), "work", "measured")
    picture = Picture(
        "What lab_storage takes of what each goal allows",
        "A bar for each goal of the benchmark. One that ends before the line at the right is met.",
        860,
        64 + 44 * len(rows),
    )
    full = 560
    picture.text(12 + full, 24, "the goal", "accent", "middle")
    for number, (work, measured, value, goal, share, verdict, *_) in enumerate(rows):
        y = 44 + 44 * number
        picture.text(12, y + 12, f"{work}: {measured}")
        width = full * min(float(share), 1.1)
        picture.rectangle(12, y + 18, max(width, 1), 14, "box" if verdict == "met" else "note")
        picture.text(660, y + 30, f"{value}, {goal}", "soft")
    picture.line(12 + full, 34, 12 + full, 44 + 44 * len(rows), "frame")
    return picture


def clients() -> Picture:
    """How long the same work takes with other clients."""
    rows = rows_of(BENCHMARKS.read_text(), "work", "client")
    picture = Picture(
        "The same work by lab_storage and by other clients",
        "Bars of how many milliseconds list_namespaces and read_pod_phase take by lab_storage, by"
        " the official client in versions 37 and 36, by lightkube and by kr8s.",
        780,
        372,
    )
    for place, work in enumerate(["list_namespaces", "read_pod_phase"]):
        times = {row[1]: float(row[3].replace(",", "")) for row in rows if row[0] == work}
        del times["floor"]
        y = 30 + 176 * place
        picture.text(12, y, work, "code")
        picture.text(150, y, "median of the time of one call, ms; shorter is better", "soft")
        for number, (client, milliseconds) in enumerate(times.items()):
            top = y + 12 + 28 * number
            width = max(480 * milliseconds / max(times.values()), 1)
            is_ours = client == "lab_storage"
            picture.text(12, top + 15, client, "strong" if is_ours else "")
            picture.rectangle(150, top, width, 20, "box" if is_ours else "other")
            digits = 0 if milliseconds >= 10 else 1
            text = f"{milliseconds:,.{digits}f}"
            picture.text(150 + width + 8, top + 15, text, "strong" if is_ours else "")
    return picture


def live() -> Picture:
    """What it costs to know all labs."""
    rows = rows_of(LIVE.read_text(), "how all labs are known", "CPU to know 10,000, once")
    picture = Picture(
        "What knowing 10,000 labs costs",
        "Bars of the CPU and the memory that the official informer, a list in JSON that is kept,"
        " and lab_storage take to know all labs, and of the CPU of each change.",
        780,
        380,
    )
    titles = "CPU to know them, once", "memory kept", "CPU of each change of a pod"
    for place, title in enumerate(titles, 1):
        costs = {row[0]: row[place] for row in rows}
        largest = max(map(_number, costs.values()))
        y = 30 + 120 * (place - 1)
        picture.text(12, y, title, "code")
        picture.text(230, y, "shorter is better", "soft")
        for number, (name, cost) in enumerate(costs.items()):
            top = y + 12 + 28 * number
            width = max(420 * _number(cost) / largest, 1)
            is_ours = name == "lab_storage"
            picture.text(12, top + 15, name, "strong" if is_ours else "")
            picture.rectangle(190, top, width, 20, "box" if is_ours else "other")
            picture.text(190 + width + 8, top + 15, cost, "strong" if is_ours else "")
    return picture


def _number(cell: str) -> float:
    return float(cell.split()[0].replace(",", ""))


PICTURES: dict[str, Callable[[], Picture]] = {
    "where": where,
    "objects": objects,
    "shapes": shapes,
    "timeout": timeout,
    "redelivery": redelivery,
    "pod-states": pod_states,
    "goals": goals,
    "clients": clients,
    "live": live,
}


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(draw().svg())


if __name__ == "__main__":
    main()

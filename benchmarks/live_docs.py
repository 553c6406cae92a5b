"""What was measured of one watch for all labs, in the documentation."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from benchmarks.live_clients import FLOOR, INFORMER, OURS, REFLECTOR
from benchmarks.live_goals import table
from benchmarks.report import markdown, measured_with
from benchmarks.team import ROOT

Json = dict[str, Any]

HEADING = "## One watch for all labs\n"
_PAGE = ROOT / "docs" / "benchmarks.md"
_GUIDE = ROOT / "docs" / "guides" / "live.md"
_NAMES = {INFORMER: "official SharedInformer", REFLECTOR: "a list in JSON, kept", OURS: OURS}

_HEAD = "how all labs are known", "CPU to know 10,000, once", "memory kept", "CPU of a change"


def write(found: dict[str, Json]) -> None:
    """Write the section of the page, the table of the guide, and the pictures."""
    head = _PAGE.read_text().partition(HEADING)[0]
    _PAGE.write_text(f"{head.rstrip()}\n\n{section(found)}")
    guide = _GUIDE.read_text()
    begin = guide.index(f"| {_HEAD[0]} ")
    end = guide.index("\n\n", begin) + 1
    _GUIDE.write_text(guide[:begin] + costs(found) + guide[end:])
    subprocess.run([sys.executable, ROOT / "docs" / "draw.py"], check=True)


def kept_section() -> str:
    """The section as it is on the page now."""
    _, heading, rest = _PAGE.read_text().partition(HEADING)
    return heading + rest


def costs(found: dict[str, Json]) -> str:
    """What each client takes to know all labs, in Markdown."""
    rows = [_HEAD]
    for client, name in _NAMES.items():
        told = found[client]
        rows.append(
            (
                name,
                f"{told['cpu']:,.2f} s",
                f"{told['memory'] / 1e6:,.1f} MB",
                f"{told['change'] * 1000:,.2f} ms",
            )
        )
    return markdown(rows)


def section(found: dict[str, Json]) -> str:
    """The section of the page."""
    floor = found[FLOOR]["change"] / found["json.loads"]["change"]
    return f"""{HEADING}
`LabStorage.live` follows the pods of all labs by one watch. Here it is beside the official
informer, and a list that is kept and followed as kubespawner's reflector does, on
{found["machine"]["server"]}.
{measured_with(found["machine"])}

![Bars: what knowing 10,000 labs costs in CPU, in memory and for each change](pictures/live.svg)

{costs(found)}
Each client has a process of its own. The *floor* is a streamed list in protobuf by urllib3, of
which five fields are scanned. `tox -e bench-live -- --docs` makes this section anew.

{table(found)}
- *A change*: eight threads write phases meanwhile. *Once it is read* compares decoding an event
  and storing its state with `json.loads` of the same pod. *Network and all* is the whole process's
  CPU. That goal is out of reach: the floor, which only reads and scans, takes {floor:.3g} times as
  much as `json.loads`.
- *A wait's return after a write*: a raw watch of the same pods reads the same event in another
  process, and looks for bytes in it. Both say when, and count from before the write.
- *Six disasters*: a connection that falls silent, a server that is stopped (SIGSTOP), one that is
  killed and started, versions that have expired, connections that are cut again and again, and an
  etcd that is stopped. Pods change meanwhile; each answer is compared with what was written when.
- *Refusals*: 403, 503 and 429 for each request, and watches that end as soon as they begin, each
  with a client of its own. The largest number counts.
- *One lab after the other*: `list_namespaces`, and `read_lab_objects` for each.
- *A day*: each lab ends and starts again, and all connections are cut each minute. The growth is
  from the median of its first twelve hours to that of its last twelve. 5,000 labs start in that
  time: half a megabyte is 100 B for each, less than any state that could be kept of it. The
  process may take some more, for a burst of connections at one time. All clients run with
  `MALLOC_ARENA_MAX=1`. Without it glibc keeps two pages of pods, some 14 MB, for each thread that
  has ever listed all of them, up to eight threads a core; you may want to set it in a hub, too.
"""

"""Record what becomes of pods on a real node: ``python -m tests.statuses``.

Name cases to record only those; ``courses`` are those that stand-ins are compared with.
"""

from __future__ import annotations

import sys

from tests.plane.assets import find_assets
from tests.plane.control_plane import ControlPlane
from tests.plane.node import why_not

from . import courses
from .cases import CASES
from .record import record, write

COURSES = "courses"


def main(names: list[str]) -> int:
    """Record cases and courses, all of them where none is named; how many failed."""
    assets = find_assets()
    if reason := why_not(assets):
        sys.exit(f"no real node: {reason}")
    failed = 0
    with ControlPlane(assets, real_node=True) as plane:
        chosen = [CASES[name] for name in names or CASES if name != COURSES]
        for case, found in record(plane, chosen):
            if isinstance(found, Exception):
                failed += 1
                print(f"{case.name}: {type(found).__name__}: {found}", flush=True)
            else:
                write(case, found)
                print(f"{case.name}: {len(found['events'])} events", flush=True)
        # Later, since the node has the image under other names after that.
        if not names or COURSES in names:
            with plane.api_client() as admin:
                for behaviour, said in courses.follow_all(admin, courses.COURSES.values()).items():
                    courses.write(behaviour, said)
                    print(f"{COURSES}: {behaviour}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Record what a real control plane says: ``python -m tests.testing.contract``.

Name scenarios to record only those.
"""

from __future__ import annotations

import json
import sys

import urllib3

from tests.plane.assets import find_assets
from tests.plane.control_plane import ControlPlane

from . import SCENARIOS, play
from .api import Api
from .real import FOLDER, RealServer


def main(names: list[str]) -> None:
    """Record the named scenarios, or all of them."""
    with ControlPlane(find_assets()) as plane:
        server = RealServer(plane)
        pool = urllib3.PoolManager(retries=False, ca_certs=server.ca_file)
        for name in names or SCENARIOS:
            api = Api(server, pool)
            play(name, api)
            lines = (json.dumps(each, ensure_ascii=False) + "\n" for each in api.log)
            (FOLDER / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
            print(f"{name}: {len(api.log)} answers")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Start a control plane and keep it until Ctrl-C: ``python -m tests.plane``."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path

from .assets import AssetsUnavailableError, find_assets
from .control_plane import ControlPlane
from .keeper_process import ControlPlaneError
from .node import PACKAGES, why_not
from .node_image import IMAGES


def main() -> None:
    """Print the kubeconfig's path once the control plane is ready."""
    parser = argparse.ArgumentParser(prog="python -m tests.plane", description=__doc__)
    parser.add_argument(
        "--assets",
        type=Path,
        metavar="FOLDER",
        help="with the binaries; else the one that KUBEBUILDER_ASSETS names, or one built by Go",
    )
    parser.add_argument(
        "--node",
        action="store_true",
        help="with a real node, whose containers run; needs root, and Debian's packages "
        f"{', '.join(PACKAGES)}. The one image is {IMAGES[0]}",
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        try:
            assets = arguments.assets or find_assets()
            if arguments.node and (reason := why_not(assets)):
                sys.exit(f"no real node: {reason}")
            with ControlPlane(assets, real_node=arguments.node) as plane:
                print(f"export KUBECONFIG={plane.kubeconfig()}", flush=True)
                print(f"Logs are in {plane.folder}. Ctrl-C ends it.", file=sys.stderr)
                signal.pause()
        except (AssetsUnavailableError, ControlPlaneError) as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()

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


def main() -> None:
    """Print the kubeconfig's path once the control plane is ready."""
    parser = argparse.ArgumentParser(prog="python -m tests.plane", description=__doc__)
    parser.add_argument(
        "--assets",
        type=Path,
        metavar="FOLDER",
        help="with the binaries; else the one that KUBEBUILDER_ASSETS names, or one built by Go",
    )
    folder = parser.parse_args().assets
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        try:
            with ControlPlane(folder or find_assets()) as plane:
                print(f"export KUBECONFIG={plane.kubeconfig()}", flush=True)
                print(f"Logs are in {plane.folder}. Ctrl-C ends it.", file=sys.stderr)
                signal.pause()
        except (AssetsUnavailableError, ControlPlaneError) as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()

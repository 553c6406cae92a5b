"""Where the binaries of the control plane come from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .programs import BINARIES, ROOT

BUILD = ROOT / ".ci" / "control-plane" / "build.py"
#: What the build ends with where there is nothing to build with.
UNAVAILABLE = 69


class AssetsUnavailableError(Exception):
    """There are no binaries, and nothing to build them with; its text says what to do."""


def find_assets() -> Path:
    """The folder with the binaries: the one that is named, or one built now.

    A first build takes ten minutes and more, and says so on the standard error.

    Raises
    ------
    AssetsUnavailableError
        If ``KUBEBUILDER_ASSETS`` names a folder without all of them, or it is
        unset and Go is not there.
    subprocess.CalledProcessError
        If the build failed.
    """
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if named:
        lacking = [name for name in BINARIES if not os.access(Path(named, name), os.X_OK)]
        if lacking:
            raise AssetsUnavailableError(
                f"no control plane: KUBEBUILDER_ASSETS names {named}, which lacks "
                f"{', '.join(lacking)}; add them, or unset it to have all built by Go"
            )
        return Path(named)
    built = subprocess.run([sys.executable, BUILD], stdout=subprocess.PIPE, text=True)
    if built.returncode == UNAVAILABLE:
        raise AssetsUnavailableError(
            "no control plane: KUBEBUILDER_ASSETS is unset, and there is no Go to build one "
            "with; or name a cluster by --kubeconfig"
        )
    built.check_returncode()
    return Path(built.stdout.strip())

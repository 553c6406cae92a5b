"""The program ``lab-storage``: also ``python -m lab_storage``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

# What the extra "cli" brings, by the names they are imported by.
_EXTRA = ("click", "rich", "yaml")
# As in lab_storage._cli.failures, which needs more than this may.
_USAGE = 2
_INTERRUPTED = 130


def main() -> NoReturn:
    """Run the program with the arguments of the process, and end the process."""
    _open_closed_streams()
    try:
        from lab_storage._cli.program import run
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write('lab-storage: install its extra "cli": pip install "lab_storage[cli]"\n')
        sys.exit(_USAGE)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    sys.exit(run(sys.argv[1:]))


def _open_closed_streams() -> None:
    """Open the null device for each stream that was closed, as by ``>&-``.

    Python has `None` for those then, and a socket that is opened next gets the descriptor.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Never closed: it is a standard stream, and its descriptor is the lowest one free.
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115


if __name__ == "__main__":
    main()

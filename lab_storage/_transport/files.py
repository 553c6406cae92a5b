"""Files of certificates and keys: kept as they were read, and read again when they change."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs


@attrs.frozen
class FileContent:
    """What a file contained when it was read."""

    path: str
    data: bytes = attrs.field(repr=False)

    @contextmanager
    def on_disk(self) -> Iterator[str]:
        """Give a path of the same content, which the file itself may not have any more.

        OpenSSL reads keys from files only. This one is in memory where the system has such
        files, and is gone afterwards.
        """
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("lab_storage")
            path = Path(f"/proc/self/fd/{descriptor}")
            with os.fdopen(descriptor, "wb", buffering=0) as memory:
                if path.exists():
                    memory.write(self.data)
                    yield str(path)
                    return
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.data)
            file.flush()
            yield file.name


class WatchedFile:
    """A file whose content is known even when it is gone.

    Parameters
    ----------
    path
        Where it is, or was.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._data: bytes | None = None
        self._error: OSError | None = None
        self._stamp: tuple[int, ...] | None = None
        self.read()

    @property
    def has_changed(self) -> bool:
        """Whether there is another file than the one that was read. No file is no change."""
        stamp = self._look()
        return stamp is not None and stamp != self._stamp

    def read(self) -> bool:
        """Read the file, if there is one; whether its content is new."""
        # First, so that a change during the reading is seen the next time.
        stamp = self._look()
        before = self._data
        try:
            self._data = self._path.read_bytes()
        except OSError as error:
            self._error = error
        if stamp is not None:
            self._stamp = stamp
        return self._data != before

    def content(self) -> FileContent:
        """Give what was read last.

        Raises
        ------
        OSError
            If it could never be read.
        """
        if self._data is None:
            reason = self._error or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            # A new one: an exception that is kept must not be raised itself.
            raise OSError(reason.errno, reason.strerror, str(self._path))
        return FileContent(str(self._path), self._data)

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev

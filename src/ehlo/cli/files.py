"""Files named on the command line."""

from __future__ import annotations

import os
import stat
import sys

from ehlo.cli.commands import UsageError


def read_file(name: str, what: str) -> bytes:
    """A file named on the command line; - is standard input. Raises `UsageError`."""
    try:
        if name == "-":
            return sys.stdin.buffer.read()
        with open(name, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise UsageError(f"The {what} '{name}' cannot be read: {error.strerror}.") from None


def _open_private(name: str, flags: int) -> int:
    descriptor = os.open(name, flags, 0o600)
    # One that was there already may be open to others; a pipe or a device is nobody's business.
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fchmod(descriptor, 0o600)
    return descriptor


def check_writable(name: str, what: str) -> None:
    """See whether a file named on the command line can be written, and leave it as it is. Raises `UsageError`."""
    try:
        # Through a link to nowhere, it is the place it leads to that will be written.
        place = os.path.realpath(name)
        if not os.path.exists(place):
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            os.unlink(place)
        elif os.path.isfile(place) or os.path.isdir(place):
            os.close(os.open(place, os.O_WRONLY))
        # Whoever reads from a pipe would take a look at it for the end.
    except OSError as error:
        raise UsageError(f"The {what} '{name}' cannot be written: {error.strerror}.") from None


def write_file(name: str, what: str, data: bytes, *, private: bool = False) -> None:
    """Write a file named on the command line, a `private` one for its owner alone. Raises `UsageError`."""
    try:
        with open(name, "wb", opener=_open_private if private else None) as stream:
            stream.write(data)
    except OSError as error:
        raise UsageError(f"The {what} '{name}' cannot be written: {error.strerror}.") from None

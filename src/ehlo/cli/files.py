"""Files named on the command line."""

from __future__ import annotations

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


def write_file(name: str, what: str, data: bytes) -> None:
    """Write a file named on the command line. Raises `UsageError`."""
    try:
        with open(name, "wb") as stream:
            stream.write(data)
    except OSError as error:
        raise UsageError(f"The {what} '{name}' cannot be written: {error.strerror}.") from None

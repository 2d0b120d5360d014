"""Finds the mail programs: unpacked in the cache folder, or installed.

Mail servers conflict with each other as Debian packages, so ``.ci/run`` unpacks each into a folder
of the cache (``$EHLO_PEERS``, or ``.cache/peers`` in the repository) instead of installing it.
This module only looks. It never downloads and never changes anything.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


class PeerMissing(Exception):  # noqa: N818 - a state of the machine, not a mistake
    """A mail program that a test wants to talk to is not on this machine."""

    def __init__(self, name: str, reason: str = "run .ci/run to get it") -> None:
        super().__init__(f"peer missing: {name} ({reason})")
        self.name = name


def cache_folder() -> Path:
    """Return the folder that holds one unpacked tree for each package."""
    return Path(os.environ.get("EHLO_PEERS") or REPOSITORY / ".cache" / "peers").absolute()


def tree(package: str, program: str) -> Path:
    """Return the root of the file tree in which `package` has `program`.

    `program` is the path inside the tree, such as ``usr/sbin/exim4``. An unpacked package wins
    over an installed one, whose tree is ``/``.
    """
    for root in (cache_folder() / package, Path("/")):
        if os.access(root / program, os.X_OK):
            return root
    raise PeerMissing(package)


def program(name: str) -> Path:
    """Return the path of an installed program such as ``swaks``."""
    found = shutil.which(name)
    if found is None:
        raise PeerMissing(name)
    return Path(found)


def shared_library(name: str, package: str) -> Path:
    """Return the path of an installed shared library, whatever the machine's architecture."""
    for folder in (Path("/usr/lib"), Path("/lib")):
        for found in sorted(folder.glob(f"*/{name}")):
            return found
    raise PeerMissing(package)

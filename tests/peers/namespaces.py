"""Shows a program a file system in which its package is installed, without installing it.

Some mail servers look for their parts and their accounts at places fixed when they were built. They
get a mount namespace of their own, in which the unpacked packages lie over ``/usr``, and files of
the test's over ``/etc``. No other process sees any of it, and it is gone with the last process inside.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .debian import PeerMissing

# "lower:over" pairs first, then "from:to" pairs, then the command; a mount that fails ends it all.
SCRIPT = """
set -e
overlays=$1; binds=$2; shift 2
while [ "$overlays" -gt 0 ]; do
    mount -t overlay -o "ro,lowerdir=$1:$2" overlay "$2"
    overlays=$((overlays - 1)); shift 2
done
while [ "$binds" -gt 0 ]; do
    mount --bind "$1" "$2"
    binds=$((binds - 1)); shift 2
done
exec "$@"
"""


def inside(
    command: Sequence[str | Path],
    *,
    over: Mapping[str, Sequence[Path]],
    at: Mapping[str, Path] | None = None,
    name: str,
) -> list[str | Path]:
    """Return the command that runs `command` with folders laid over or put in place of others.

    `over` names folders whose content is added to that of a folder of the machine, and can be read
    only; `at` names folders and files that take the place of another and can be written. `name` is
    the peer to be called missing where the machine does not allow this.
    """
    if os.geteuid() != 0:
        raise PeerMissing(name, "only root can run it")
    overlays = [part for place, folders in over.items() for part in (":".join(map(str, folders)), place)]
    binds = [part for place, folder in (at or {}).items() for part in (str(folder), place)]
    counts = (str(len(overlays) // 2), str(len(binds) // 2))
    wrapped = ["unshare", "--mount", "--propagation", "private"]
    wrapped += ["/bin/sh", "-c", SCRIPT, "inside", *counts, *overlays, *binds]
    try:
        subprocess.run([*wrapped, "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as problem:
        raise PeerMissing(name, f"no mount namespace: {problem.__class__.__name__}") from problem
    return [*wrapped, *command]

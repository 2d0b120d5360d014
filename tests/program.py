"""The command `ehlo` as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

EHLO = [sys.executable, "-m", "ehlo"]


def run_ehlo(
    *words: str, stdin: int | None = subprocess.DEVNULL, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end; `env` is added to the environment."""
    environment = {**os.environ, **(env or {})}
    return subprocess.run([*EHLO, *words], capture_output=True, text=True, stdin=stdin, timeout=60, env=environment)

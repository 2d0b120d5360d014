"""The command `ehlo` as a process of its own; and in this one, where what it says is all that is asked."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from unittest import mock

from ehlo.cli.main import main

EHLO = [sys.executable, "-m", "ehlo"]


def run_ehlo(
    *words: str, stdin: int | None = subprocess.DEVNULL, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end; `env` is added to the environment."""
    environment = {**os.environ, **(env or {})}
    return subprocess.run([*EHLO, *words], capture_output=True, text=True, stdin=stdin, timeout=60, env=environment)


def run_here(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The same without a start of Python: nothing is on standard input, and no output is a terminal."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        open(os.devnull, encoding="utf-8") as nothing,
        mock.patch.object(sys, "stdin", nothing),
        mock.patch.dict(os.environ, env or {}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            status = main(words)
        except SystemExit as left:
            status = int(left.code or 0)
    for stream in (out, err):
        stream.seek(0)
    return subprocess.CompletedProcess(words, status, out.read(), err.read())

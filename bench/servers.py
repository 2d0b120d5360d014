"""The servers that are measured or measured against, each in a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

EHLO = str(Path(sys.executable).with_name("ehlo"))

#: Byte code is compiled, as pip does it, the trusted authorities are those of the system's folder, and nothing is
#: configured.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("PYTHONDONTWRITEBYTECODE", "SSL_CERT_FILE", "SSL_CERT_DIR") and not name.startswith("EHLO_")
} | {"EHLO_CONFIG": ""}

_AIOSMTPD = """
import asyncio
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Sink(), hostname="bench", loop=loop), "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@contextlib.contextmanager
def lab(*options: str) -> Iterator[tuple[int, int]]:
    """`ehlo lab`: its port and its process id."""
    command = [EHLO, "lab", "--port", "0", "--quiet", "--color", "never", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    try:
        yield int(_first_line(process).rpartition(":")[2]), process.pid
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def watched_lab() -> Iterator[int]:
    """`ehlo lab` with its page, and somebody who reads what the page is told: its port."""
    command = [EHLO, "lab", "--port", "0", "--http", "0", "--quiet", "--color", "never"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    with contextlib.ExitStack() as stack:
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        port = int(_first_line(process).rpartition(":")[2])
        page = int(_first_line(process).rpartition(":")[2])
        reader = subprocess.Popen(["curl", "-sN", f"http://127.0.0.1:{page}/api/v1/events"], stdout=subprocess.DEVNULL)
        stack.callback(reader.wait, 30)
        stack.callback(reader.terminate)
        yield port


@contextlib.contextmanager
def aiosmtpd() -> Iterator[int]:
    """aiosmtpd with its Sink handler: its port."""
    process = subprocess.Popen([sys.executable, "-c", _AIOSMTPD], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    try:
        yield int(_first_line(process))
    finally:
        process.kill()
        process.wait(30)


def _first_line(process: subprocess.Popen[str]) -> str:
    if process.stdout is None:
        raise RuntimeError("the server has no output")
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError("the server did not start")
    return line

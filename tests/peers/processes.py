"""Starts a server's processes and ends them for certain.

Every server runs in a session (and so a process group) of its own, which is ended as a whole: first
asked, then killed. A *leash* does the same should the test run itself die without cleaning up: a
second tiny process that waits for the end of a pipe, which the kernel closes with the test run.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .world import HOST

START_TIMEOUT = 15.0
STOP_TIMEOUT = 5.0
#: Above those of well-known services, below those of outgoing connections (ip_local_port_range).
PORTS = (10_000, 32_000)

LEASH = 'cat >/dev/null; kill -s KILL -- "-$1"'


class PeerStartError(Exception):
    """A mail program is there but did not come up; the text says what it said."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine that a server runs as."""

    user: int
    group: int

    def give(self, *paths: Path) -> None:
        """Make this user the owner of the paths; without root there is only one user anyway."""
        if os.geteuid() == 0:
            for path in paths:
                os.chown(path, self.user, self.group)


_returned: set[int] = set()


def free_port() -> int:
    """Return a TCP port on loopback that nobody listens on right now.

    It is none of those that the kernel gives to outgoing connections: tests that run at the same
    time open thousands of these, and one could take the port before the server has it. Nor is it one that
    was returned before, here or in another process of the same run: its server may not listen yet.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = PORTS[0] + worker + workers * secrets.randbelow((PORTS[1] - PORTS[0]) // workers)
        if port in _returned:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            _returned.add(port)
            return port


@contextlib.contextmanager
def home(name: str) -> Iterator[Path]:
    """Give a server a folder that every user can enter, and remove it afterwards.

    pytest's `tmp_path` would not do: its parent admits the owner only, and a mail server started
    by root gives up root.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"ehlo-{name}-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    *,
    ports: Sequence[int],
    output: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server that stays in the foreground until the context is left.

    The context is entered once something listens on each of the ports. What the processes print
    goes to the file `output`.
    """
    with contextlib.ExitStack() as ends, output.open("ab") as sink:
        server = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        ends.callback(_stop, server)
        ends.enter_context(_leash(server.pid))
        for port in ports:
            _wait_until_listening(server, port, output)
        yield server


@contextlib.contextmanager
def _leash(group: int) -> Iterator[None]:
    """Have the process group killed if this process ends before the context is left."""
    leash = subprocess.Popen(
        ["/bin/sh", "-c", LEASH, "leash", str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        # Killed before its pipe closes: else it would pull, perhaps at a group that is gone.
        _signal_group(leash.pid, signal.SIGKILL)
        leash.wait()
        if leash.stdin is not None:
            leash.stdin.close()


def _wait_until_listening(server: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        if _has_listener(port):
            return
        if server.poll() is not None or time.monotonic() > deadline:
            said = output.read_text("utf-8", "backslashreplace")
            state = "did not listen" if server.returncode is None else f"ended {server.returncode}"
            raise PeerStartError(f"{server.args!r} {state} on port {port}:\n{said}")
        time.sleep(0.01)


def _has_listener(port: int) -> bool:
    # Asking the kernel, not connecting: a server that counts sessions or logs them sees nothing.
    wanted = f":{port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        for row in table:
            fields = row.split()
            if fields[1].endswith(wanted) and fields[3] == "0A":
                return True
    return False


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and all its children: ask, wait, kill."""
    if server.poll() is None:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_TIMEOUT)
    # The leader may be gone while children are not; the group lives until its last member ends.
    _signal_group(server.pid, signal.SIGKILL)
    server.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)

"""The lab server against aiosmtpd and smtp-sink, under smtp-source."""

from __future__ import annotations

import contextlib
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.measure import Figure, interleaved
from bench.servers import ENVIRONMENT, aiosmtpd, lab, watched_lab
from peers.debian import PeerMissing
from peers.sink import smtp_sink, smtp_source

_COUNT = 4000
_IDLE_SESSIONS = 2000
_OPTIONS = ("-s", "20", "-f", "sender@yourdomain.com", "-t", "recipient@example.com")


def figures(runs: int) -> Iterator[Figure]:
    """Sessions a second with one message each; messages a second with many a session."""
    rows = (
        ("lab-sessions-aiosmtpd", "lab, sessions a second (`smtp-source -s 20`), nothing kept", "aiosmtpd", 7.0),
        ("lab-sessions-sink", "the same", "smtp-sink (C)", 0.8),
        ("lab-messages-aiosmtpd", "lab, messages a second (`smtp-source -s 20 -d`), nothing kept", "aiosmtpd", 7.0),
        ("lab-messages-sink", "the same", "smtp-sink (C)", 0.8),
        ("kept-messages-aiosmtpd", "the same, messages and transcripts kept in memory, the page on", "aiosmtpd", 3.0),
        ("kept-messages-sink", "the same", "smtp-sink (C)", 0.5),
        ("read-messages-aiosmtpd", "the same, and somebody has the page open", "aiosmtpd", 3.0),
    )
    try:
        with contextlib.ExitStack() as stack:
            ports = {
                "lab": stack.enter_context(lab("--no-capture", "--http", "off"))[0],
                "kept": stack.enter_context(lab("--http", "0"))[0],
                "read": stack.enter_context(watched_lab()),
                "aiosmtpd": stack.enter_context(aiosmtpd()),
                "sink": stack.enter_context(smtp_sink(keep=False)).port,
            }
            contestants = {
                f"{kind} {name}": _load(port, *(("-d",) if kind == "messages" else ()))
                for kind in ("sessions", "messages")
                for name, port in ports.items()
            }
            medians = interleaved(runs, contestants)
    except PeerMissing as missing:
        yield from (Figure(id_, what, peer, target, True, None, str(missing)) for id_, what, peer, target in rows)
        return
    for id_, what, peer, target in rows:
        which, kind, name = id_.split("-")
        yield Figure(id_, what, peer, target, True, medians[f"{kind} {which}"] / medians[f"{kind} {name}"])


def _load(port: int, *options: str) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        done = smtp_source("127.0.0.1", port, *_OPTIONS, *options, "-m", str(_COUNT))
        if done.returncode:
            raise RuntimeError(f"smtp-source failed: {done.stderr}")
        return _COUNT / (time.perf_counter() - start)

    return run


def memory(_: int) -> Iterator[Figure]:
    """Resident memory of a session that has said EHLO and is silent since."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _IDLE_SESSIONS + 200
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, limit[1])))
    with lab() as (port, process), contextlib.ExitStack() as stack:
        # The first sessions load what all share.
        _open(stack, port, 50)
        before = _resident(process)
        _open(stack, port, _IDLE_SESSIONS)
        kibibytes = (_resident(process) - before) / _IDLE_SESSIONS
    yield Figure("lab-memory", "lab, memory for an idle session", "", 16.0, False, kibibytes, unit=" KiB")


def _open(stack: contextlib.ExitStack, port: int, count: int) -> None:
    for _ in range(count):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        client.recv(1000)
        client.sendall(b"EHLO idle.example.com\r\n")
        client.recv(1000)


def _resident(process: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    if found is None:
        raise RuntimeError("the system does not tell a process's memory")
    return int(found[1])


_OURS = "from ehlo.lab import Lab; running = Lab().running(); running.__enter__(); stop = running.__exit__"
_THEIRS = "from smtpdfix import SMTPDFix; running = SMTPDFix('127.0.0.1'); running.__enter__(); stop = running.__exit__"


def fixture(runs: int) -> Iterator[Figure]:
    """How long a test waits for its server, from the first import on."""
    seconds = interleaved(runs, {"ours": _started(_OURS), "smtpdfix": _started(_THEIRS)})
    ratio = seconds["smtpdfix"] / seconds["ours"]
    yield Figure("fixture-start", "lab as a fixture, start-up, times faster", "smtpdfix", 1.0, True, ratio)


def _started(code: str) -> Callable[[], float]:
    timed = (
        f"import time; start = time.perf_counter(); {code}; print(time.perf_counter() - start); stop(None, None, None)"
    )

    def run() -> float:
        done = subprocess.run(
            [sys.executable, "-c", timed], capture_output=True, text=True, check=True, env=ENVIRONMENT
        )
        return float(done.stdout)

    return run

"""``smtp-sink`` and ``smtp-source``, the load generators that come with Postfix.

The sink takes everything and keeps it byte for byte (line endings aside), so a test can compare
what arrived with what was sent. The source sends very many messages very fast.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .debian import tree
from .postfix import environment
from .processes import Account, free_port, home, running
from .world import HOST, SERVER_NAME

RUNS_AS = "nobody"
BACKLOG = 128

# What smtp-sink writes above the content: its own X- lines, then a Received field of three lines.
PREAMBLE = re.compile(rb"\A((?:X-[A-Za-z-]+: .*\n)*)Received: .*\n\t.*\n\t.*\n")


@dataclass(frozen=True, slots=True)
class SunkMessage:
    """One message that the sink took: the commands' arguments as received, and the content."""

    helo: str
    mail: str
    """All that followed ``MAIL FROM:``, such as ``<sender@yourdomain.com> BODY=8BITMIME``."""
    recipients: tuple[str, ...]
    content: bytes
    """Dot-stuffing undone, each CRLF an LF."""


@dataclass(frozen=True, slots=True)
class Sink:
    """A running ``smtp-sink``."""

    host: str
    port: int
    folder: Path

    def messages(self) -> list[SunkMessage]:
        """Return what arrived so far, oldest first; a message counts once it was answered."""
        files = sorted(self.folder.glob("m.*"), key=lambda file: file.stat().st_mtime_ns)
        return [_parsed(file.read_bytes()) for file in files]

    def wait_for(self, count: int, timeout: float = 10.0) -> list[SunkMessage]:
        """Return the messages as soon as there are `count`; complain after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while len(list(self.folder.glob("m.*"))) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"fewer than {count} messages reached the sink in {timeout} s")
            time.sleep(0.02)
        return self.messages()


@contextlib.contextmanager
def smtp_sink(*options: str, keep: bool = True) -> Iterator[Sink]:
    """Run ``smtp-sink`` with further options, such as ``-p`` (no PIPELINING) or ``-w 1`` (slow).

    Without `keep` nothing is written to disk, as wanted for measuring speed.
    """
    root = tree("postfix", "usr/sbin/smtp-sink")
    with home("sink") as folder:
        port = free_port()
        dumps = folder / "dumps"
        dumps.mkdir()
        command: list[str | Path] = [root / "usr/sbin/smtp-sink", "-h", SERVER_NAME, *options]
        if os.geteuid() == 0:
            entry = pwd.getpwnam(RUNS_AS)
            Account(entry.pw_uid, entry.pw_gid).give(dumps)
            command += ["-u", RUNS_AS]
        if keep:
            command += ["-d", f"{dumps}/m."]
        command += [f"{HOST}:{port}", str(BACKLOG)]
        output = folder / "output"
        with running(command, ports=[port], output=output, environment=environment(root)):
            yield Sink(HOST, port, dumps)


def smtp_source(host: str, port: int, *options: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run ``smtp-source`` to its end, for instance with ``-s 10 -m 1000 -l 4096``.

    What it says, errors too, is in the result's `stdout`.
    """
    root = tree("postfix", "usr/sbin/smtp-source")
    return subprocess.run(
        [str(root / "usr/sbin/smtp-source"), *options, f"{host}:{port}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment(root)},
        text=True,
        timeout=timeout,
        check=False,
    )


def _parsed(dump: bytes) -> SunkMessage:
    preamble = PREAMBLE.match(dump)
    if preamble is None:
        raise ValueError(f"not a dump of smtp-sink: {dump[:200]!r}")
    arguments: dict[str, list[str]] = {}
    for line in preamble.group(1).decode("utf-8", "backslashreplace").splitlines():
        name, _, value = line.partition(": ")
        arguments.setdefault(name, []).append(value)
    return SunkMessage(
        helo=arguments.get("X-Helo-Args", [""])[0],
        mail=arguments.get("X-Mail-Args", [""])[0],
        recipients=tuple(arguments.get("X-Rcpt-Args", [])),
        # The sink ends each dump with one empty line of its own.
        content=dump[preamble.end() :].removesuffix(b"\n"),
    )

"""The examples in README and docs: each block of language `console` is run and compared.

A block has commands, lines that begin with "$ ", and under each its output. Commands that are not
`ehlo` are not run. The world of the examples is made here: mail.example.com is at 192.0.2.10, which
is the lab; nothing is sent anywhere else.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from unittest import mock

from ehlo.cli.main import main
from ehlo.lab import Lab, Policy, RunningLab
from ehlo.lab.authority import Identity, make_identity
from ehlo.lab.lab import Door
from ehlo.net import aio
from ehlo.net.intents import Address, Connect, Family, Need
from ehlo.net.names import LookupFailedError
from ehlo.net.session import Session

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MASKS = (
    (re.compile(r" +(<1 ms|\d+ ms|\d+\.\d s)$", re.MULTILINE), " TIME"),
    (re.compile(r"^ +\d+\.\d{3}(?=  [CS]: )", re.MULTILINE), " TIME"),
    (re.compile(r"queued as [0-9A-F]{11}"), "queued as ID"),
    (re.compile(r"\d{4}-\d\d-\d\d(?= to\s)|(?<= to)(\s+)\d{4}-\d\d-\d\d"), r"\1DATE"),
    (re.compile(r"127\.0\.0\.1:\d{5}\b"), "127.0.0.1:PORT"),
    (re.compile(r'"(t|first|seconds)": [0-9.e-]+'), r'"\1": TIME'),
)

#: Files that the examples use; the documents show them with `cat`.
FILES = {
    "session.txt": """\
# a message by hand
EHLO yourdomain.com
< 250
MAIL FROM: <sender@yourdomain.com>
< 250
RCPT TO: <recipient@example.com>
< 250 2.1.5
DATA
< 354
Subject: Test Email from ehlo

.
< 250 2.0.0 Ok: queued
""",
    "template.eml": """\
From: {from}
To: {to}
Date: {date}
Message-ID: {message-id}
Subject: Number {n}

{body}
""",
    "order.txt": """\
HELO yourdomain.com
RCPT TO:<recipient@example.com>
< 250
""",
    "pasted.txt": """\
[2026-03-01 09:30:01] DEBUG [pQ3vNx1sZ0] Connection established to 192.0.2.10:587
[2026-03-01 09:30:01] DEBUG [pQ3vNx1sZ0] S: 220 mail.example.com ESMTP Postfix
[2026-03-01 09:30:01] DEBUG [pQ3vNx1sZ0] C: EHLO app.yourdomain.com
[2026-03-01 09:30:01] DEBUG [pQ3vNx1sZ0] S: 250-mail.example.com
[2026-03-01 09:30:01] DEBUG [pQ3vNx1sZ0] S: 250 AUTH PLAIN LOGIN
[2026-03-01 09:30:01] DEBUG [pQ3vNx1sZ0] C: AUTH PLAIN AGFsaWNlAC8qIHNlY3JldCAqLw==
[2026-03-01 09:30:03] DEBUG [pQ3vNx1sZ0] S: 535 5.7.8 Error: authentication failed
""",
    "error.txt": """\
  File "/app/mail.py", line 12, in send
    with smtplib.SMTP_SSL("mail.example.com", 587) as server:
ssl.SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)
""",
    "bounce.eml": """\
From: Mail Delivery System <MAILER-DAEMON@mail.yourdomain.com>
To: sender@yourdomain.com
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary="x"

--x

I'm sorry to have to inform you that your message could not be delivered.

<bob@example.com>: host mail.example.com[192.0.2.10] said: 452 4.2.2 Mailbox
    full (in reply to RCPT TO command)

--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.yourdomain.com

Final-Recipient: rfc822; bob@example.com
Action: failed
Status: 4.2.2
Remote-MTA: dns; mail.example.com
Diagnostic-Code: smtp; 452 4.2.2 Mailbox full
--x--
""",
    "mail.log": """\
2026-03-01T09:30:00+00:00 mail postfix/smtpd[411]: connect from unknown[198.51.100.7]
2026-03-01T09:30:01+00:00 mail postfix/smtpd[411]: NOQUEUE: reject: RCPT from unknown[198.51.100.7]: \
554 5.7.1 <x@example.org>: Relay access denied; from=<a@example.com> to=<x@example.org> proto=ESMTP helo=<pc>
2026-03-01T09:31:07+00:00 mail postfix/smtp[503]: 4F2A1: to=<bob@example.net>, \
relay=mx.example.net[192.0.2.99]:25, delay=2, dsn=4.2.2, \
status=deferred (host mx.example.net[192.0.2.99] said: 452 4.2.2 Mailbox full (in reply to RCPT TO command))
2026-03-01T09:52:40+00:00 mail postfix/smtp[519]: 4F2B7: to=<eve@example.net>, \
relay=mx.example.net[192.0.2.99]:25, delay=3, dsn=4.2.2, \
status=deferred (host mx.example.net[192.0.2.99] said: 452 4.2.2 Mailbox full (in reply to RCPT TO command))
""",
    "login.txt": """\
EHLO yourdomain.com
:starttls
EHLO yourdomain.com
:auth LOGIN
< 235
""",
}

ADDRESSES = {"mail.example.com": "192.0.2.10", "mx.example.net": "192.0.2.99", "closed.example.com": "192.0.2.20"}


class Example(NamedTuple):
    """A command of a document, and the output that stands beneath it."""

    document: Path
    line: int
    command: str
    output: str


def documents() -> list[Path]:
    """All documents that may have examples."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def examples(document: Path) -> Iterator[Example]:
    """The examples of a document, in order."""
    text = document.read_text("utf-8")
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1)) + 1
        for part in re.split(r"^(?=\$ )", block[1], flags=re.MULTILINE):
            if part.startswith("$ "):
                command, _, output = part.partition("\n")
                yield Example(document, line, command[2:], output)
            line += part.count("\n")


def mask(output: str) -> str:
    """What differs from run to run, taken out."""
    for pattern, replacement in _MASKS:
        output = pattern.sub(replacement, output)
    return "\n".join(line.rstrip() for line in output.strip().splitlines())


def run(command: str) -> tuple[int, str]:
    """Run an `ehlo` command line in the world of the examples: exit status, output. `< FILE` is understood."""
    words = shlex.split(command)
    given = io.StringIO(Path(words[-1]).read_text("utf-8") if words[-2:-1] == ["<"] else "")
    words = words[:-2] if words[-2:-1] == ["<"] else words
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(_Stream(out, terminal=True)),
        contextlib.redirect_stderr(_Stream(err, terminal=False)),
        mock.patch.object(sys, "stdin", given),
    ):
        try:
            status = main(words[1:])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
    return status, out.getvalue() + err.getvalue()


class _Stream(io.TextIOBase):
    """A stream that takes UTF-8; what a document shows is what a terminal shows."""

    encoding = "utf-8"

    def __init__(self, target: io.StringIO, *, terminal: bool) -> None:
        self._target = target
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        return self._target.write(text)


POLICY = Policy(refused_senders=frozenset({"refused@yourdomain.com"}), users={"alice": "wonderland"})


@contextlib.contextmanager
def world(
    folder: Path, policy: Policy = POLICY, doors: Mapping[int, Door] = MappingProxyType({})
) -> Iterator[RunningLab]:
    """The world of the examples, for as long as the context lasts. `doors` are ports of mail.example.com that lead
    to another door of the lab than SMTP."""
    identity = make_identity("mail.example.com")
    before = Path.cwd()
    os.chdir(folder)
    Path("message.eml").write_bytes(b"From: sender@yourdomain.com\nSubject: A file\n\nHello!\n")
    Path("secret").write_text("wonderland\n")
    for name, text in FILES.items():
        Path(name).write_text(text, "utf-8")
    try:
        wanted = dict.fromkeys(doors.values(), 0)
        with (
            Lab(policy=policy, identity=identity).running(doors=wanted) as lab,
            _redirected(lab, identity, folder, doors),
        ):
            yield lab
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _redirected(lab: RunningLab, identity: Identity, folder: Path, doors: Mapping[int, Door]) -> Iterator[None]:
    authority = folder / "authority.pem"
    authority.write_bytes(identity.authority)
    (folder / "client.pem").write_bytes(identity.certificate)
    (folder / "client-key.pem").write_bytes(identity.key)

    class Socket(socket.socket):
        def connect(self, address: tuple[str, int] | str) -> None:  # type: ignore[override]
            if isinstance(address, str):
                # A UNIX socket: the root of the file system is the folder.
                super().connect(str(folder / address.lstrip("/")))
            elif address[0] == "192.0.2.10":
                super().connect(("127.0.0.1", lab.ports[doors.get(address[1], "smtp")]))
            elif address[0] == "127.0.0.1" and address[1] in lab.ports.values():
                super().connect(address)
            else:
                raise ConnectionRefusedError(111, "Connection refused")

        def bind(self, address: tuple[str, int] | str) -> None:  # type: ignore[override]
            # The port that an example names may be taken on this machine.
            super().bind(address if isinstance(address, str) else (address[0], 0))

    def resolve(host: str, port: int, family: Family) -> tuple[Address, ...]:
        if host not in ADDRESSES:
            raise LookupFailedError("no-such-host", f"{host}: Name or service not known")
        return (Address(socket.AF_INET, ADDRESSES[host], port),)

    def mail_hosts(domain: str, timeout: float, nameserver: object) -> tuple[str, ...]:
        return ("mail.example.com",)

    from ehlo.net.certificates import trust_context

    connect = aio._connect

    async def connect_aio(session: Session, bridge: aio._Bridge, need: Connect) -> Need:
        if need.address.host != "192.0.2.10":
            return session.fail("refused", "Connection refused")
        return await connect(session, bridge, need._replace(address=Address(socket.AF_INET, "127.0.0.1", lab.port)))

    environment = {"COLUMNS": "80", "NO_COLOR": "1"}
    with (
        mock.patch("ehlo.net.blocking.socket.socket", Socket),
        mock.patch("ehlo.net.blocking.resolve", resolve),
        mock.patch("ehlo.net.blocking.find_mail_hosts", mail_hosts),
        mock.patch("ehlo.net.aio.resolve", resolve),
        mock.patch("ehlo.net.aio._connect", connect_aio),
        mock.patch("ehlo.net.certificates.trust_context", return_value=trust_context(str(authority))),
        mock.patch("ehlo.probe.talk.own_name", return_value="here.org"),
        mock.patch("ehlo.cli.send.own_name", return_value="here.org"),
        mock.patch.dict(os.environ, environment),
    ):
        yield


def update(document: Path) -> None:
    """Write the output of every example anew."""
    text = document.read_text("utf-8")

    def renew(block: re.Match[str]) -> str:
        parts = re.split(r"^(?=\$ )", block[1], flags=re.MULTILINE)
        return "```console\n" + "".join(map(_renewed, parts)) + "```"

    document.write_text(_BLOCK.sub(renew, text), "utf-8")


def _renewed(part: str) -> str:
    command, _, output = part.partition("\n")
    if command.startswith("$ cat "):
        return f"{command}\n{FILES[command[6:]]}"
    if not command.startswith("$ ehlo "):
        return part
    shown = run(command[2:])[1]
    return part if mask(shown) == mask(output) else f"{command}\n{shown.rstrip()}\n"

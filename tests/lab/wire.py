"""Conversations with a lab over a plain socket, octet for octet.

    play(lab, '''
        hello
        C: MAIL FROM:<a@client.example>
        S: 451 4.3.0 Not now
        mail
        closed
    ''')

`C:` sends a line, `S:` is a line that comes, CRLF and all; `S=` are octets that come, written as in Python. What comes
is read as far as it is expected, so that an octet too many is a failure of the next step. A word in capitals is a
command that is answered as ever.
"""

from __future__ import annotations

import socket
import ssl
from types import TracebackType
from typing import Self

from ehlo.lab import RunningLab

#: A bound on what goes wrong; nothing here waits for it.
TIMEOUT = 60.0

EHLO = """\
C: EHLO client.example
S: 250-mail.example.com
S: 250-PIPELINING
S: 250-SIZE 10240000
S: 250-VRFY
S: 250-ETRN
S: 250-STARTTLS
S: 250-ENHANCEDSTATUSCODES
S: 250-8BITMIME
"""
STEPS = {
    "banner": "S: 220 mail.example.com ESMTP Postfix",
    "EHLO": EHLO + "S: 250-DSN\nS: 250 AUTH PLAIN LOGIN",
    "AUTH": "C: AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\nS: 235 2.7.0 Authentication successful",
    "MAIL": "C: MAIL FROM:<a@client.example>\nS: 250 2.1.0 Ok",
    "RCPT": "C: RCPT TO:<recipient@example.com>\nS: 250 2.1.5 Ok",
    "DATA": "C: DATA\nS: 354 Start mail input; end with <CRLF>.<CRLF>",
    "message": "C: Subject: hello\nC:\nC: about a lottery\nC: .",
    "queued": "S: 250 2.0.0 Ok: queued as ***********",
    "NOOP": "C: NOOP\nS: 250 2.0.0 Ok",
    "RSET": "C: RSET\nS: 250 2.0.0 Ok",
    "STARTTLS": "C: STARTTLS\nS: 220 2.0.0 Ready to start TLS\ntls",
    "QUIT": "C: QUIT\nS: 221 2.0.0 Bye\nclosed",
}
STEPS["hello"] = f"{STEPS['banner']}\n{STEPS['EHLO']}"
STEPS["SEND"] = "\n".join(STEPS[step] for step in ("MAIL", "RCPT", "DATA", "message", "queued"))


class Wire:
    """One connection."""

    def __init__(self, lab: RunningLab, door: str = "smtp") -> None:
        self.lab = lab
        self.socket: socket.socket = socket.create_connection((lab.host, lab.ports[door]), timeout=TIMEOUT)
        self.over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def read(self, size: int) -> bytes:
        """So many octets, or what came before the end."""
        came = b""
        while len(came) < size and (part := self.socket.recv(size - len(came))):
            came += part
        return came

    def end(self) -> str:
        """How the connection ends."""
        self.over = True
        try:
            rest = self.socket.recv(65536)
        except ConnectionResetError:
            return "reset"
        return f"more came: {rest!r}" if rest else "closed"

    def start_tls(self, context: ssl.SSLContext | None = None) -> None:
        """The handshake. Raises what `ssl` does."""
        context = context or self.lab.ssl_context()
        self.socket = context.wrap_socket(self.socket, server_hostname=self.lab.lab.persona.host)

    def play(self, script: str) -> None:
        """Play some steps."""
        for line in filter(None, map(str.lstrip, script.splitlines())):
            try:
                self._step(line)
            except (AssertionError, OSError) as error:
                raise AssertionError(f"{line!r}: {error}") from error

    def _step(self, line: str) -> None:
        kind, _, text = line.partition(" ")
        if line in STEPS:
            self.play(STEPS[line])
        elif kind == "C:":
            self.socket.sendall(text.encode() + b"\r\n")
        elif kind == "S:":
            self._expect(text.encode() + b"\r\n")
        elif kind == "S=":
            self._expect(text.encode().decode("unicode_escape").encode("latin-1"))
        elif kind == "kept":
            assert len(self.lab.messages) == int(text)
        elif line == "tls":
            self.start_tls()
        else:
            assert line in ("closed", "reset"), "no such step"
            assert self.end() == line

    def _expect(self, wanted: bytes) -> None:
        came = self.read(len(wanted))
        # What nobody can know before is a star.
        assert len(came) == len(wanted), came
        assert all(a in (b, ord("*")) for a, b in zip(wanted, came, strict=True)), came


def play(lab: RunningLab, script: str, door: str = "smtp") -> None:
    """Play a whole conversation; in the end nothing more has come."""
    with Wire(lab, door) as wire:
        wire.play(script)
        if not wire.over:
            wire.play("NOOP")
